/* The phantom: same film for the same seed, boxes inside the film and in step with masks and anatomy, hooks, limits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "atlas/atlas.h"
#include "base/threads.h"
#include "data/phantom/phantom.h"

enum { SIDE = 256, FILMS = 24 };

static phantom_result render(uint64_t seed, uint64_t index, const phantom_options *options) {
    phantom_result result;
    carina_error error;
    if (phantom_render(seed, index, options, &result, &error) != CARINA_OK) fail_msg("%s", error.message);
    return result;
}

static bool same_film(const phantom_result *a, const phantom_result *b) {
    size_t bytes = (size_t)a->film.width * (size_t)a->film.height * sizeof(float);
    return a->film.width == b->film.width && a->film.height == b->film.height &&
           !memcmp(a->film.value, b->film.value, bytes) &&
           !memcmp(a->scene.boxes, b->scene.boxes, sizeof a->scene.boxes);
}

static void test_same_seed_same_film(void **state) {
    (void)state;
    phantom_options options = {.width = SIDE, .height = SIDE};
    phantom_result a = render(7, 3, &options), b = render(7, 3, &options), c = render(7, 4, &options),
                   d = render(8, 3, &options);
    assert_true(same_film(&a, &b));
    assert_false(same_film(&a, &c));
    assert_false(same_film(&a, &d));
    phantom_result_free(&a), phantom_result_free(&b), phantom_result_free(&c), phantom_result_free(&d);
}

typedef struct batch {
    phantom_result result[4];
    carina_status status[4];
} batch;

static void render_shard(void *context, int shard, int worker) {
    (void)worker;
    batch *b = context;
    phantom_options options = {.width = 128, .height = 160};
    b->status[shard] = phantom_render(11, (uint64_t)shard, &options, &b->result[shard], NULL);
}

static void test_threads_do_not_matter(void **state) {
    (void)state;
    batch one = {0}, two = {0};
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 2, NULL), CARINA_OK);
    thread_pool_run(NULL, 4, render_shard, &one);
    thread_pool_run(pool, 4, render_shard, &two);
    thread_pool_free(pool);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(one.status[i], CARINA_OK);
        assert_true(same_film(&one.result[i], &two.result[i]));
        phantom_result_free(&one.result[i]), phantom_result_free(&two.result[i]);
    }
}

static box mask_extent(const uint8_t *mask, const uint8_t *field, int width, int height) {
    box b = {1e9f, 1e9f, -1, -1};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            size_t at = (size_t)y * (size_t)width + (size_t)x;
            if (!mask[at] || !field[at]) continue;
            b.x1 = fminf(b.x1, (float)x), b.x2 = fmaxf(b.x2, (float)(x + 1));
            b.y1 = fminf(b.y1, (float)y), b.y2 = fmaxf(b.y2, (float)(y + 1));
        }
    return b;
}

static int region(const char *name) {
    int index = atlas_find(atlas_anatomix36(), name);
    if (index < 0) fail_msg("no region %s", name);
    return index;
}

static float centre_x(box b) { return (b.x1 + b.x2) / 2; }

static bool within(box inner, box outer, float slack) {
    return inner.x1 >= outer.x1 - slack && inner.x2 <= outer.x2 + slack && inner.y1 >= outer.y1 - slack &&
           inner.y2 <= outer.y2 + slack;
}

static void check_film(const phantom_result *f, int *whole) {
    const phantom_scene *s = &f->scene;
    for (int i = 0; i < PHANTOM_REGION_COUNT; i++) {
        box b = s->boxes[i];
        if (!s->present[i]) continue;
        assert_true(b.x1 >= 0 && b.y1 >= 0 && b.x2 <= (float)s->width && b.y2 <= (float)s->height);
        assert_true(b.x2 - b.x1 > 1 && b.y2 - b.y1 > 1);
    }
    int lung[2] = {region("right lung"), region("left lung")};
    for (int side = 0; side < 2; side++) {
        if (!s->present[lung[side]]) continue;
        box wanted = mask_extent(s->lung_mask[side], s->field_mask, s->width, s->height), got = s->boxes[lung[side]];
        assert_true(fabsf(wanted.x1 - got.x1) <= 2 && fabsf(wanted.x2 - got.x2) <= 2);
        assert_true(fabsf(wanted.y1 - got.y1) <= 2 && fabsf(wanted.y2 - got.y2) <= 2);
        static const char *const zones[2][4] = {
            {"right apical zone", "right upper lung zone", "right mid lung zone", "right lower lung zone"},
            {"left apical zone", "left upper lung zone", "left mid lung zone", "left lower lung zone"}};
        for (int z = 0; z < 4; z++)
            if (s->present[region(zones[side][z])]) assert_true(within(s->boxes[region(zones[side][z])], got, 2));
    }
    for (int i = 0; i < PHANTOM_REGION_COUNT; i++) (*whole) += s->present[i];
    if (s->present[lung[0]] && s->present[lung[1]])
        assert_true(centre_x(s->boxes[lung[0]]) < centre_x(s->boxes[lung[1]]));
    int trachea = region("trachea"), carina = region("carina"), heart = region("cardiac silhouette");
    if (s->present[trachea] && s->present[carina] && s->landmarks.carina.y < s->height - 8) {
        float fork = (float)s->landmarks.carina.y, end = s->boxes[trachea].y2;
        assert_true(fabsf(fork - end) < 0.06f * (float)s->height);
        assert_true(centre_x(s->boxes[carina]) > s->boxes[trachea].x1 - 6 &&
                    centre_x(s->boxes[carina]) < s->boxes[trachea].x2 + 6);
    }
    if (s->present[heart]) {
        box whole_heart = s->boxes[heart];
        int half[2] = {region("right cardiac silhouette"), region("left cardiac silhouette")};
        for (int side = 0; side < 2; side++)
            if (s->present[half[side]]) assert_true(within(s->boxes[half[side]], whole_heart, 1));
        assert_true(within(whole_heart, mask_extent(s->heart_mask, s->field_mask, s->width, s->height), 2));
    }
    for (int i = 0; i < s->device_count; i++) assert_true(s->devices[i].extent.x1 <= s->devices[i].extent.x2 + 1);
    double sum = 0, square = 0;
    size_t pixels = (size_t)s->width * (size_t)s->height;
    for (size_t i = 0; i < pixels; i++) {
        float v = f->film.value[i];
        assert_true(v >= 0 && v <= 1);
        sum += (double)v, square += (double)v * (double)v;
    }
    double mean = sum / (double)pixels;
    assert_true(square / (double)pixels - mean * mean > 0.003); /* a picture, not a grey sheet */
}

static void test_boxes_follow_masks(void **state) {
    (void)state;
    int whole = 0;
    for (uint64_t i = 0; i < FILMS; i++) {
        phantom_options options = {.width = SIDE, .height = i % 3 ? SIDE : SIDE + 64};
        phantom_result f = render(20, i, &options);
        check_film(&f, &whole);
        phantom_result_free(&f);
    }
    assert_true(whole > FILMS * PHANTOM_REGION_COUNT * 9 / 10);
}

static carina_status enlarge(void *context, phantom_parameters *p, carina_error *error) {
    (void)context, (void)error;
    p->heart_width = 1.5;
    return CARINA_OK;
}

static carina_status add_square(void *context, phantom_scene *s, carina_error *error) {
    uint8_t *mask = calloc((size_t)s->width * (size_t)s->height, 1);
    assert_non_null(mask);
    (void)context;
    for (int y = 100; y < 120; y++)
        for (int x = 60; x < 90; x++)
            mask[(size_t)y * (size_t)s->width + (size_t)x] = 1, s->extra[(size_t)y * (size_t)s->width + (size_t)x] = 60;
    return phantom_scene_add_lesion(s, "nodule", region("right lung"), mask, error);
}

static carina_status refuse(void *context, phantom_scene *s, carina_error *error) {
    (void)context;
    return phantom_scene_add_lesion(s, "nothing", -1, calloc((size_t)s->width * (size_t)s->height, 1), error);
}

static void test_hooks(void **state) {
    (void)state;
    phantom_hooks hooks = {.alter = enlarge, .add = add_square}, bad = {.add = refuse};
    phantom_options plain = {.width = SIDE, .height = SIDE}, with = plain, failing = plain;
    with.hooks = &hooks, failing.hooks = &bad;
    phantom_result a = render(31, 5, &plain), b = render(31, 5, &with);
    int heart = region("cardiac silhouette");
    assert_true(b.scene.boxes[heart].x2 - b.scene.boxes[heart].x1 >
                1.2f * (a.scene.boxes[heart].x2 - a.scene.boxes[heart].x1));
    assert_int_equal(b.scene.lesion_count, 1);
    assert_string_equal(b.scene.lesions[0].name, "nodule");
    assert_true(b.scene.lesions[0].extent.x1 == 60 && b.scene.lesions[0].extent.y2 == 120);
    phantom_result_free(&a), phantom_result_free(&b);
    carina_error error;
    assert_int_equal(phantom_render(31, 5, &failing, &b, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "nothing"));
    assert_null(b.film.value);
}

/* Masks of devices do not change the film, lie in their devices' extents, and are where metal is. */
static void test_device_masks(void **state) {
    (void)state;
    int devices = 0;
    for (uint64_t index = 0; index < 6; index++) {
        phantom_options plain = {.width = 160, .height = 128}, masked = plain;
        masked.device_masks = true;
        phantom_result a = render(77, index, &plain), b = render(77, index, &masked);
        assert_memory_equal(a.film.value, b.film.value, 160 * 128 * sizeof(float));
        assert_int_equal(a.scene.device_count, b.scene.device_count);
        for (int i = 0; i < b.scene.device_count; i++) {
            const phantom_device *device = &b.scene.devices[i];
            int seen = 0;
            assert_null(a.scene.devices[i].mask);
            for (int p = 0; p < 160 * 128; p++) {
                if (!device->mask[p]) continue;
                float x = (float)(p % 160) + 0.5f, y = (float)(p / 160) + 0.5f;
                assert_true(x > device->extent.x1 - 2 && x < device->extent.x2 + 2);
                assert_true(y > device->extent.y1 - 2 && y < device->extent.y2 + 2);
                assert_true(b.scene.field_mask[p]);
                seen++;
            }
            devices += seen > 0;
        }
        phantom_result_free(&a), phantom_result_free(&b);
    }
    assert_true(devices >= 4);
}

static void test_size_limits(void **state) {
    (void)state;
    phantom_result f;
    phantom_options tiny = {.width = 8, .height = 512}, huge = {.width = 512, .height = 100000};
    assert_int_equal(phantom_render(1, 1, &tiny, &f, NULL), CARINA_ERROR_LIMIT);
    assert_int_equal(phantom_render(1, 1, &huge, &f, NULL), CARINA_ERROR_LIMIT);
    phantom_result_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_film), cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_boxes_follow_masks),  cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_device_masks),        cmocka_unit_test(test_size_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
