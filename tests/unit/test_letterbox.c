/* Resizing and letterboxing: exact small cases, an independent slow reference, and boxes both ways. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "image/letterbox.h"
#include "image/resize.h"

static image random_image(int width, int height, uint64_t seed) {
    image picture;
    carina_error error;
    if (image_create(&picture, width, height, &error) != CARINA_OK) abort();
    random_state random = random_seed(seed);
    for (int i = 0; i < width * height; i++) picture.value[i] = (float)random_uniform(&random);
    return picture;
}

/* One output pixel of the triangle filter, straight from its definition, in double. */
static double reference(const image *source, int out_width, int out_height, int ox, int oy) {
    double fx = (double)source->width / out_width, fy = (double)source->height / out_height;
    double sx = fx > 1 ? fx : 1, sy = fy > 1 ? fy : 1, sum = 0, weights = 0;
    for (int y = 0; y < source->height; y++)
        for (int x = 0; x < source->width; x++) {
            double wx = 1 - fabs((x + 0.5 - (ox + 0.5) * fx) / sx), wy = 1 - fabs((y + 0.5 - (oy + 0.5) * fy) / sy);
            if (wx <= 0 || wy <= 0) continue;
            sum += wx * wy * (double)source->value[y * source->width + x];
            weights += wx * wy;
        }
    return sum / weights;
}

static void resize_follows_its_definition(void **state) {
    (void)state;
    static const int cases[][4] = {{61, 43, 16, 16}, {7, 5, 20, 31}, {33, 20, 33, 20},
                                   {1, 1, 4, 3},     {50, 3, 7, 9},  {2, 64, 1, 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        image source = random_image(cases[k][0], cases[k][1], k), out;
        carina_error error;
        assert_int_equal(resize(&out, &source, cases[k][2], cases[k][3], &error), CARINA_OK);
        for (int y = 0; y < out.height; y++)
            for (int x = 0; x < out.width; x++) {
                double difference =
                    (double)out.value[y * out.width + x] - reference(&source, out.width, out.height, x, y);
                assert_true(fabs(difference) < 2e-6);
            }
        image_free(&source);
        image_free(&out);
    }
}

static void same_size_changes_nothing(void **state) {
    (void)state;
    image source = random_image(19, 11, 5), out;
    carina_error error;
    assert_int_equal(resize(&out, &source, 19, 11, &error), CARINA_OK);
    assert_memory_equal(out.value, source.value, 19 * 11 * sizeof(float));
    image_free(&source);
    image_free(&out);
}

static void letterbox_is_pad_then_resize(void **state) {
    (void)state;
    static const int cases[][3] = {{50, 37, 16}, {37, 50, 16}, {8, 5, 32}, {64, 64, 32}, {31, 30, 8}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int width = cases[k][0], height = cases[k][1], size = cases[k][2];
        image film = random_image(width, height, 40 + k), square, wanted;
        letterbox_transform t = letterbox_make(width, height, width, height);
        assert_int_equal(t.left, (t.side - width) / 2);
        assert_int_equal(t.top, (t.side - height) / 2);
        carina_error error;
        assert_int_equal(image_create(&square, t.side, t.side, &error), CARINA_OK);
        for (int y = 0; y < height; y++)
            memcpy(square.value + (y + t.top) * t.side + t.left, film.value + y * width, (size_t)width * sizeof(float));
        assert_int_equal(resize(&wanted, &square, size, size, &error), CARINA_OK);
        float out[32 * 32];
        assert_int_equal(letterbox_apply(out, size, &film, &error), CARINA_OK);
        for (int i = 0; i < size * size; i++) assert_true(fabs((double)(out[i] - wanted.value[i])) < 1e-6);
        image_free(&film);
        image_free(&square);
        image_free(&wanted);
    }
}

static void boxes_map_both_ways(void **state) {
    (void)state;
    /* formats.md 13.2: x' = (x + padx) * 1024 / max(W, H) */
    letterbox_transform t = letterbox_make(2500, 3001, 2500, 3001);
    assert_int_equal(t.left, 250); /* floor(501 / 2) */
    float n[4];
    letterbox_from_file(&t, (box){100, 200, 1100, 1700}, n);
    assert_true(fabs((double)n[0] - (600.0 + 250) / 3001) < 1e-6);
    assert_true(fabs((double)n[1] - 950.0 / 3001) < 1e-6);
    assert_true(fabs((double)n[2] - 1000.0 / 3001) < 1e-6);
    assert_true(fabs((double)n[3] - 1500.0 / 3001) < 1e-6);

    random_state random = random_seed(9);
    for (int i = 0; i < 200; i++) {
        int width = 1 + (int)random_below(&random, 4000), height = 1 + (int)random_below(&random, 4000);
        /* A film whose pixels were twice as high as wide: resampled to twice the rows. */
        t = letterbox_make(width, height, width, i % 2 ? height : 2 * height);
        box in = {(float)random_range(&random, 0, width), (float)random_range(&random, 0, height), (float)width,
                  (float)height};
        letterbox_from_file(&t, in, n);
        box out = letterbox_to_file(&t, n);
        assert_true(fabsf(in.x1 - out.x1) < 0.01f && fabsf(in.y1 - out.y1) < 0.01f);
        assert_true(fabsf(in.x2 - out.x2) < 0.01f && fabsf(in.y2 - out.y2) < 0.01f);
    }

    t = letterbox_make(100, 50, 100, 50);
    box clipped = letterbox_to_file(&t, (const float[4]){0.5f, 0.5f, 3, 3});
    assert_true(clipped.x1 == 0 && clipped.y1 == 0 && clipped.x2 == 100 && clipped.y2 == 50);
    clipped = letterbox_to_file(&t, (const float[4]){NAN, 0.5f, 1, 1});
    assert_true(clipped.x1 == 0 && clipped.x2 == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_follows_its_definition),
        cmocka_unit_test(same_size_changes_nothing),
        cmocka_unit_test(letterbox_is_pad_then_resize),
        cmocka_unit_test(boxes_map_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
