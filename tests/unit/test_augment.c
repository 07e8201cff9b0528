/* Augmentation: nothing on is the identity, drawn shapes and their boxes move together, clipping, same seed same film.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))

#include "image/augment.h"
#include "image/box.h"

enum { SIDE = 160 };

static void *scratch;

static int make_scratch(void **state) {
    (void)state;
    scratch = calloc(1, (size_t)augment_scratch_bytes(2 * SIDE));
    return scratch ? 0 : -1;
}

static int drop_scratch(void **state) {
    (void)state;
    free(scratch);
    return 0;
}

/* A filled ellipse in [x1, y1, x2, y2] of the square. */
static void draw_ellipse(uint8_t *film, int side, box b) {
    double cx = (double)(b.x1 + b.x2) / 2, cy = (double)(b.y1 + b.y2) / 2;
    double rx = (double)(b.x2 - b.x1) / 2, ry = (double)(b.y2 - b.y1) / 2;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            double u = (x + 0.5 - cx) / rx, v = (y + 0.5 - cy) / ry;
            film[y * side + x] = u * u + v * v <= 1 ? 255 : 0;
        }
}

static box extent(const float *film, int side) {
    box b = {(float)side, (float)side, 0, 0};
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            if (film[y * side + x] > 0.5f) {
                b.x1 = fminf(b.x1, (float)x);
                b.y1 = fminf(b.y1, (float)y);
                b.x2 = fmaxf(b.x2, (float)x + 1);
                b.y2 = fmaxf(b.y2, (float)y + 1);
            }
    return b;
}

static void boxes(void **state) {
    (void)state;
    box a = {0, 0, 4, 2}, b = {2, 1, 6, 3};
    assert_near(box_iou(a, b), 2.0 / 14, 1e-9);
    assert_near(box_iou(a, a), 1, 1e-9);
    assert_near(box_iou(a, (box){4, 0, 5, 2}), 0, 0);
    assert_near(box_iou(a, (box){3, 1, 1, 0}), 0, 0); /* turned inside out: empty */
    assert_near(box_iou(a, (box){NAN, 0, 1, 1}), 0, 0);
    box mirrored = box_mirrored(b, 10);
    assert_near(mirrored.x1, 4, 0);
    assert_near(mirrored.x2, 8, 0);
    float normalised[4];
    box_to_normalised(b, 10, 5, normalised);
    box back = box_from_normalised(normalised, 10, 5);
    assert_near(back.x1, 2, 1e-5);
    assert_near(back.y2, 3, 1e-5);
}

static void nothing_on_is_the_identity(void **state) {
    (void)state;
    static uint8_t film[SIDE * SIDE];
    static float out[SIDE * SIDE];
    random_state random = random_seed(1), untouched = random;
    for (int i = 0; i < SIDE * SIDE; i++) film[i] = (uint8_t)(i * 7 % 256);
    float b[8] = {0.5f, 0.5f, 0.2f, 0.2f, 0.95f, 0.5f, 0.2f, 0.2f}, present[2] = {1, 1};
    augment_options none = augment_none();
    augment_apply(out, SIDE, film, SIDE, b, present, 2, &none, &random, scratch);
    for (int i = 0; i < SIDE * SIDE; i++) assert_near(out[i], (float)film[i] / 255, 1e-6);
    assert_memory_equal(&random, &untouched, sizeof random);
    assert_near(b[0], 0.5f, 0);
    assert_near(b[4] + b[6] / 2, 1, 1e-6); /* clipped at the film's edge */
    assert_near(b[4] - b[6] / 2, 0.85, 1e-6);
}

static void shapes_and_boxes_move_together(void **state) {
    (void)state;
    static uint8_t film[SIDE * SIDE];
    static float out[4 * SIDE * SIDE];
    augment_options o = augment_reference();
    o.stretch = 0.2f;
    int flips = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        random_state random = random_stream(9, seed);
        box drawn = {50, 70, 86, 130}; /* off centre, so that it stays inside and a flip shows */
        draw_ellipse(film, SIDE, drawn);
        float b[4], present = 1;
        box_to_normalised(drawn, SIDE, SIDE, b);
        int side = seed % 2 ? SIDE : 2 * SIDE; /* another size as well */
        augment_apply(out, side, film, SIDE, b, &present, 1, &o, &random, scratch);
        box found = extent(out, side), told = box_from_normalised(b, (float)side, (float)side);
        assert_true(present > 0);
        assert_true(box_iou(found, told) > 0.93);
        flips += b[0] > 0.52f; /* the centre was at 0.425 */
    }
    assert_in_range(flips, 8, 32);
}

static void boxes_that_leave_are_dropped(void **state) {
    (void)state;
    static uint8_t film[SIDE * SIDE];
    static float out[SIDE * SIDE];
    augment_options none = augment_none();
    random_state random = random_seed(1);
    /* 30 % and 20 % of the width inside; one not present at all. */
    float b[12] = {1.04f, 0.5f, 0.2f, 0.2f, 1.06f, 0.5f, 0.2f, 0.2f, 0.1f, 0.2f, 0.3f, 0.4f};
    float present[3] = {1, 1, 0};
    augment_apply(out, SIDE, film, SIDE, b, present, 3, &none, &random, scratch);
    assert_near(present[0], 1, 0);
    assert_near(b[2], 0.06, 1e-5);
    assert_near(present[1], 0, 0);
    assert_near(b[6], 0, 0);
    assert_near(present[2], 0, 0);
}

static augment_options everything(void) {
    augment_options o = augment_reference();
    o.stretch = 0.1f;
    o.crop = 0.1f;
    o.equalize_probability = 0.5f;
    o.local_contrast = 1;
    o.gamma = 0.5f;
    o.window = 0.2f;
    o.curve = 0.5f;
    o.bias_field = 0.3f;
    o.blur = 1.5f;
    o.sharpen = 1;
    o.noise = 0.05f;
    o.blocks = 0.05f;
    o.cutout = 0.2f;
    return o;
}

static void reproducible_and_in_range(void **state) {
    (void)state;
    static uint8_t film[SIDE * SIDE];
    static float first[SIDE * SIDE], second[SIDE * SIDE];
    augment_options o = everything();
    for (int i = 0; i < SIDE * SIDE; i++) film[i] = (uint8_t)(i % SIDE + i / SIDE / 2);
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (int run = 0; run < 2; run++) {
            random_state random = random_stream(3, seed);
            float b[4] = {0.5f, 0.5f, 0.5f, 0.5f}, present = 1;
            memset(scratch, run ? 0xff : 0, (size_t)augment_scratch_bytes(SIDE)); /* old contents must not matter */
            augment_apply(run ? second : first, SIDE, film, SIDE, b, &present, 1, &o, &random, scratch);
        }
        assert_memory_equal(first, second, sizeof first);
        for (int i = 0; i < SIDE * SIDE; i++) assert_true(first[i] >= 0 && first[i] <= 1);
    }
}

/* Each strength alone changes a film, keeps a ramp a ramp (never inverted), and odd sizes work. */
static void strengths_alone(void **state) {
    (void)state;
    enum { ODD = 37 };
    static uint8_t film[ODD * ODD];
    static float out[ODD * ODD];
    size_t offsets[] = {
        offsetof(augment_options, equalize_probability),
        offsetof(augment_options, local_contrast),
        offsetof(augment_options, gamma),
        offsetof(augment_options, window),
        offsetof(augment_options, curve),
        offsetof(augment_options, bias_field),
        offsetof(augment_options, blur),
        offsetof(augment_options, sharpen),
        offsetof(augment_options, noise),
        offsetof(augment_options, blocks),
        offsetof(augment_options, cutout),
        offsetof(augment_options, crop),
    };
    for (int y = 0; y < ODD; y++)
        for (int x = 0; x < ODD; x++)
            film[y * ODD + x] = (uint8_t)(x * x * 200 / ((ODD - 1) * (ODD - 1)) + (x * 7 + y * 13) % 48);
    for (size_t k = 0; k < sizeof offsets / sizeof offsets[0]; k++) {
        augment_options o = augment_none();
        float strength = 0.4f;
        memcpy((char *)&o + offsets[k], &strength, sizeof strength);
        double change = 0, slope = 0;
        for (uint64_t seed = 0; seed < 8; seed++) {
            random_state random = random_stream(k, seed);
            augment_apply(out, ODD, film, ODD, NULL, NULL, 0, &o, &random, scratch);
            for (int i = 0; i < ODD * ODD; i++) {
                change += fabs((double)out[i] - (double)film[i] / 255);
                slope += (double)out[i] * (i % ODD - ODD / 2);
            }
        }
        assert_true(change > 0.5);
        assert_true(slope > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes),
        cmocka_unit_test(nothing_on_is_the_identity),
        cmocka_unit_test(shapes_and_boxes_move_together),
        cmocka_unit_test(boxes_that_leave_are_dropped),
        cmocka_unit_test(reproducible_and_in_range),
        cmocka_unit_test(strengths_alone),
    };
    return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
