/* The locate stage and the public functions over it, with a tiny random model: what matters is everything round the
 * network. Boxes are the same for any number of threads, and a film's neighbours in a batch do not matter. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "carina/locate.h"
#include "model/model_file.h"
#include "pipeline/locate.h"

#define MODEL TEST_TMP "/test-locate-model.safetensors"

static apm_config tiny(void) {
    return (apm_config){
        .backbone = {.depth = 18, .width = 0.0625, .norm = RESNET_GROUP},
        .model_width = 16,
        .heads = 2,
        .encoder_layers = 1,
        .decoder_layers = 1,
        .ffn_width = 32,
        .region_count = 36,
        .feature_size = 16,
        .feature_heads = 2,
        .label_count = 14,
        .image_height = 64,
        .image_width = 64,
    };
}

static int make_model(void **state) {
    (void)state;
    carina_error error = {0};
    apm_config config = tiny();
    apm *model;
    assert_int_equal(apm_create(&model, &config, 7, &error), CARINA_OK);
    if (model_file_save(MODEL, model, NULL, atlas_anatomix36(), MODEL_FILE_F32, NULL, 0, &error) != CARINA_OK)
        fail_msg("%s", error.message);
    apm_free(model);
    return 0;
}

static int remove_model(void **state) {
    (void)state;
    return unlink(MODEL);
}

#define WIDTH  70
#define HEIGHT 90

/* Noise with a bright block whose place depends on the film. */
static void draw(uint8_t *pixels, uint64_t index) {
    random_state random = random_stream(3, index);
    uint64_t left = random_below(&random, WIDTH - 20), top = random_below(&random, HEIGHT - 20);
    for (uint64_t y = 0; y < HEIGHT; y++) {
        for (uint64_t x = 0; x < WIDTH; x++) {
            int inside = x >= left && x < left + 20 && y >= top && y < top + 20;
            pixels[y * WIDTH + x] = (uint8_t)(random_below(&random, 100) + (inside ? 120 : 0));
        }
    }
}

static void make_study(study *s, uint64_t index) {
    carina_error error;
    uint8_t pixels[WIDTH * HEIGHT];
    draw(pixels, index);
    memset(s, 0, sizeof *s);
    assert_int_equal(image_create(&s->film.picture, WIDTH, HEIGHT, &error), CARINA_OK);
    for (int i = 0; i < WIDTH * HEIGHT; i++) s->film.picture.value[i] = (float)pixels[i] / 255.0f;
    s->film.file_width = WIDTH;
    s->film.file_height = HEIGHT;
    s->transform = letterbox_make(WIDTH, HEIGHT, WIDTH, HEIGHT);
}

static double distance(const carina_location *a, const carina_location *b) {
    double worst = 0;
    assert_int_equal(a->region_count, b->region_count);
    for (int i = 0; i < a->region_count; i++) {
        const carina_region *p = &a->regions[i], *q = &b->regions[i];
        const float edges[8] = {p->x1, p->y1, p->x2, p->y2, q->x1, q->y1, q->x2, q->y2};
        for (int e = 0; e < 4; e++) worst = fmax(worst, fabs((double)edges[e] - (double)edges[e + 4]));
    }
    return worst;
}

#define FILMS 11 /* one batch of 8, one of 3 */

static void test_batches_and_threads(void **state) {
    (void)state;
    carina_error error;
    study studies[FILMS];
    const study *pointers[FILMS];
    for (int i = 0; i < FILMS; i++) {
        make_study(&studies[i], (uint64_t)i);
        pointers[i] = &studies[i];
    }
    locator *one, *two;
    assert_int_equal(locator_open(&one, MODEL, &(locator_options){.threads = 1}, &error), CARINA_OK);
    assert_int_equal(locator_open(&two, MODEL, &(locator_options){.threads = 2}, &error), CARINA_OK);
    assert_string_equal(locator_name(one), "test-locate-model");
    assert_int_equal(locator_batch(one), 8);
    carina_location a[FILMS], b[FILMS], single;
    assert_int_equal(locator_run(one, pointers, FILMS, a, &error), CARINA_OK);
    assert_int_equal(locator_run(two, pointers, FILMS, b, &error), CARINA_OK);
    double moved = 0;
    for (int i = 0; i < FILMS; i++) {
        assert_true(distance(&a[i], &b[i]) == 0);
        assert_int_equal(locator_run(two, &pointers[i], 1, &single, &error), CARINA_OK);
        assert_true(distance(&a[i], &single) < 0.01);
        carina_location_free(&single);
        moved = fmax(moved, distance(&a[0], &a[i]));
        assert_int_equal(a[i].width, WIDTH);
        assert_int_equal(a[i].height, HEIGHT);
        assert_int_equal(a[i].transform.left, 10);
        assert_int_equal(a[i].transform.side, HEIGHT);
        assert_int_equal(a[i].transform.size, 64);
        for (int r = 0; r < 36; r++) {
            const carina_region *region = &a[i].regions[r];
            assert_int_equal(region->id, r);
            assert_string_equal(region->name, atlas_anatomix36()->regions[r].name);
            assert_true(region->x1 >= 0 && region->x2 <= WIDTH && region->y1 >= 0 && region->y2 <= HEIGHT);
        }
    }
    assert_true(moved > 0.001); /* the pixels do matter */
    for (int i = 0; i < FILMS; i++) {
        carina_location_free(&a[i]);
        carina_location_free(&b[i]);
        study_close(&studies[i]);
    }
    locator_close(one);
    locator_close(two);
}

#define BOTH TEST_TMP "/test-locate-both.safetensors"

static void make_mirrored(study *s, uint64_t index) {
    make_study(s, index);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH / 2; x++) {
            float *a = &s->film.picture.value[y * WIDTH + x], *b = &s->film.picture.value[y * WIDTH + WIDTH - 1 - x];
            float held = *a;
            *a = *b;
            *b = held;
        }
}

/* A model that reads both sides gives the mean of what a plain one says of the film and of its mirror image, so
 * mirroring a film mirrors its boxes. */
static void test_both_sides(void **state) {
    (void)state;
    carina_error error;
    locator *plain, *both;
    study films[3], mirrored[3];
    const study *list[3], *other[3];
    carina_location one[3], two[3], mean[3], again[3];
    locator_reading readings[2][3], joint[3];
    assert_int_equal(model_file_annotate(BOTH, MODEL, (model_file_note){MODEL_FILE_MIRROR_MEAN, "true"}, &error),
                     CARINA_OK);
    assert_int_equal(locator_open(&plain, MODEL, NULL, &error), CARINA_OK);
    assert_int_equal(locator_open(&both, BOTH, NULL, &error), CARINA_OK);
    for (uint64_t i = 0; i < 3; i++) {
        make_study(&films[i], i);
        make_mirrored(&mirrored[i], i);
        list[i] = &films[i];
        other[i] = &mirrored[i];
    }
    assert_int_equal(locator_read(plain, list, 3, one, readings[0], &error), CARINA_OK);
    assert_int_equal(locator_read(plain, other, 3, two, readings[1], &error), CARINA_OK);
    assert_int_equal(locator_read(both, list, 3, mean, joint, &error), CARINA_OK);
    assert_int_equal(locator_run(both, other, 1, again, &error), CARINA_OK);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 36; k++) {
            const carina_region *a = &one[i].regions[k], *b = &two[i].regions[k], *m = &mean[i].regions[k];
            assert_true(fabsf(m->x1 - (a->x1 + WIDTH - b->x2) / 2) < 0.01f &&
                        fabsf(m->y1 - (a->y1 + b->y1) / 2) < 0.01f);
            assert_true(fabsf(m->x2 - (a->x2 + WIDTH - b->x1) / 2) < 0.01f &&
                        fabsf(m->y2 - (a->y2 + b->y2) / 2) < 0.01f);
            if (i == 0) assert_true(fabsf(m->x1 - (WIDTH - again[0].regions[k].x2)) < 0.01f);
        }
        for (int k = 0; k < 14; k++)
            assert_true(fabsf(joint[i].image_logits[k] -
                              (readings[0][i].image_logits[k] + readings[1][i].image_logits[k]) / 2) < 1e-4f);
        assert_true(fabsf(joint[i].features[5] - (readings[0][i].features[5] + readings[1][i].features[5]) / 2) <
                    1e-4f);
    }
    carina_location_free(&again[0]);
    for (int i = 0; i < 3; i++) {
        carina_location_free(&one[i]);
        carina_location_free(&two[i]);
        carina_location_free(&mean[i]);
        locator_reading_free(&readings[0][i]);
        locator_reading_free(&readings[1][i]);
        locator_reading_free(&joint[i]);
        image_free(&films[i].film.picture);
        image_free(&mirrored[i].film.picture);
    }
    locator_close(plain);
    locator_close(both);
    unlink(BOTH);
}

static void test_public(void **state) {
    (void)state;
    carina_error error;
    carina_model *model;
    carina_model_options options = {.threads = 1, .arithmetic = CARINA_F32};
    assert_int_equal(carina_model_open(&model, MODEL, &options, &error), CARINA_OK);
    assert_int_equal(carina_model_region_count(model), 36);
    assert_string_equal(carina_model_region_name(model, 23), "carina");
    assert_null(carina_model_region_name(model, 36));
    assert_null(carina_model_region_name(model, -1));

    uint8_t narrow[WIDTH * HEIGHT], wide[HEIGHT][WIDTH + 6];
    uint16_t deep[WIDTH * HEIGHT];
    draw(narrow, 0);
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        wide[i / WIDTH][i % WIDTH] = narrow[i];
        deep[i] = (uint16_t)(narrow[i] * 257);
    }
    carina_location a, b, c;
    assert_int_equal(carina_locate_pixels(&a, model, narrow, WIDTH, HEIGHT, WIDTH, 8, &error), CARINA_OK);
    assert_int_equal(carina_locate_pixels(&b, model, wide, WIDTH, HEIGHT, sizeof wide[0], 8, &error), CARINA_OK);
    assert_int_equal(carina_locate_pixels(&c, model, deep, WIDTH, HEIGHT, 2 * WIDTH, 16, &error), CARINA_OK);
    assert_true(distance(&a, &b) == 0);
    assert_true(distance(&a, &c) < 0.01);
    assert_int_equal(a.step_count, 1);
    assert_int_equal(a.warning_count, 0);
    carina_location_free(&a);
    carina_location_free(&b);
    carina_location_free(&c);
    carina_location_free(&c);
    carina_location_free(NULL);

    /* An icon is no film. */
    assert_int_equal(carina_locate_pixels(&a, model, narrow, 64, 63, 64, 8, &error), CARINA_ERROR_LIMIT);
    assert_string_equal(error.message,
                        "64 x 63 pixels: too few to find anything in; a film has at least 64 on its "
                        "shorter side");
    assert_int_equal(carina_locate_pixels(&a, model, narrow, 63, 64, 64, 8, &error), CARINA_ERROR_LIMIT);
    assert_int_equal(carina_locate_pixels(&a, model, narrow, 64, 64, 64, 8, &error), CARINA_OK);
    carina_location_free(&a);
    assert_int_equal(carina_locate_file(&a, model, TEST_DATA "/pictures/grey8.png", &error), CARINA_ERROR_LIMIT);
    assert_non_null(strstr(error.message, "grey8.png: "));
    assert_int_equal(carina_locate_file(&a, model, "", &error), CARINA_ERROR_IO);
    assert_string_equal(error.message, "the name of a file is empty");
    assert_int_equal(carina_locate_pixels(&a, model, narrow, 0, 1, 1, 8, &error), CARINA_ERROR_LIMIT);
    assert_int_equal(carina_locate_pixels(&a, model, narrow, 4, 4, 3, 8, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(carina_locate_pixels(&a, model, narrow, 4, 4, 4, 12, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(carina_locate_pixels(&a, model, NULL, 4, 4, 4, 8, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(carina_locate_file(&a, model, "/nonexistent.dcm", &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "/nonexistent.dcm"));
    assert_int_equal(carina_locate_file(&a, model, MODEL, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(carina_locate_file(&a, model, MODEL, NULL), CARINA_ERROR_FORMAT);
    carina_model_close(model);
    carina_model_close(NULL);
}

static void test_models_refused(void **state) {
    (void)state;
    carina_error error;
    carina_model *model = NULL;
    assert_int_equal(carina_model_open(&model, "/nonexistent.safetensors", NULL, &error), CARINA_ERROR_IO);
    assert_int_equal(carina_model_open(&model, "no-such-name", NULL, &error), CARINA_ERROR_IO);
    assert_int_equal(carina_model_open(&model, MODEL, &(carina_model_options){.threads = -1}, &error),
                     CARINA_ERROR_ARGUMENT);
    assert_int_equal(
        carina_model_open(&model, MODEL, &(carina_model_options){.arithmetic = (carina_arithmetic)7}, &error),
        CARINA_ERROR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_and_threads),
        cmocka_unit_test(test_both_sides),
        cmocka_unit_test(test_public),
        cmocka_unit_test(test_models_refused),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
