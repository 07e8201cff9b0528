/* The data cursor: a batch depends on seed and number alone; every epoch has every film once; failures name the film.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "data/dataset.h"
#include "data/phantom/writer.h"
#include "train/loader.h"
#include "train_set.h"

static char folder[400];
static dataset *set;
static carina_error error;

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/loader-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder) || train_set_write(folder, 11, &error) != CARINA_OK) return -1;
    dataset_config config = {.type = "nih_boxes", .annotations = folder};
    return dataset_open(&set, &config, atlas_anatomix36(), &error) == CARINA_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[500];
    dataset_free(set);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

static loader_options training(void) {
    loader_options o = {.seed = 5,
                        .batch_size = 3,
                        .image_size = 48,
                        .shuffle = true,
                        .cache = true,
                        .thread_count = 1,
                        .batches_ahead = 2,
                        .augment = augment_reference()};
    o.augment.noise = 0.05f;
    o.augment.equalize_probability = 0.5f;
    o.not_mentioned = NAN;
    return o;
}

static loader *open_loader(loader_options o, uint64_t first) {
    loader *l;
    const dataset *sets[] = {set};
    assert_ok(loader_create(&l, sets, 1, &o, first, &error));
    return l;
}

/* 16 films and batches of 3: five batches an epoch, one film left out. */
static void every_film_once_an_epoch(void **state) {
    (void)state;
    loader *l = open_loader(training(), 0);
    assert_int_equal(loader_batches_per_epoch(l), 5);
    int seen[16] = {0}, first_order[15], other = 0;
    for (uint64_t b = 0; b < 10; b++) {
        const loader_batch *batch;
        assert_ok(loader_next(l, &batch, &error));
        assert_int_equal(batch->number, b);
        assert_int_equal(batch->epoch, b / 5);
        assert_int_equal(batch->count, 3);
        for (int i = 0; i < 3; i++) {
            seen[batch->samples[i]]++;
            if (b < 5) first_order[b * 3 + (uint64_t)i] = (int)batch->samples[i];
            if (b >= 5) other += first_order[(b - 5) * 3 + (uint64_t)i] != (int)batch->samples[i];
        }
        if (b == 4)
            for (int i = 0; i < 16; i++) assert_true(seen[i] <= 1);
    }
    assert_true(other > 5); /* shuffled anew */
    loader_free(l);
}

/* One thread with films kept, three without; begun at 0 or at 7: the same batch 7, 8, 9. */
static void a_batch_depends_on_seed_and_number(void **state) {
    (void)state;
    loader_options other = training();
    other.cache = false;
    other.thread_count = 3;
    other.batches_ahead = 5;
    loader *a = open_loader(training(), 0), *b = open_loader(other, 7);
    const loader_batch *x, *y;
    for (int i = 0; i < 7; i++) assert_ok(loader_next(a, &x, &error));
    for (int i = 7; i < 10; i++) {
        assert_ok(loader_next(a, &x, &error));
        assert_ok(loader_next(b, &y, &error));
        assert_int_equal(x->number, y->number);
        assert_memory_equal(x->samples, y->samples, 3 * sizeof *x->samples);
        assert_memory_equal(x->films, y->films, 3 * 48 * 48 * sizeof(float));
        assert_memory_equal(x->targets, y->targets, 3 * 36 * 4 * sizeof(float));
        assert_memory_equal(x->present, y->present, 3 * 36 * sizeof(float));
        assert_memory_equal(x->labels, y->labels, 3 * ATLAS_LABEL_COUNT * sizeof(float));
    }
    loader_free(a);
    loader_free(b);
}

static void measured_films_come_in_order_and_as_they_are(void **state) {
    (void)state;
    loader_options o = training();
    o.shuffle = false;
    o.image_size = TRAIN_SET_SIDE;
    o.augment = augment_none();
    loader *l = open_loader(o, 0);
    assert_int_equal(loader_batches_per_epoch(l), 6);
    for (int b = 0; b < 12; b++) {
        const loader_batch *batch;
        assert_ok(loader_next(l, &batch, &error));
        assert_int_equal(batch->count, b % 6 == 5 ? 1 : 3);
        assert_int_equal(batch->samples[0], b % 6 * 3);
        if (b % 6 == 5) { /* the filling counts for nothing */
            for (int i = 36; i < 3 * 36; i++) assert_true(batch->present[i] <= 0);
            assert_true(isnan(batch->labels[ATLAS_LABEL_COUNT]));
            assert_true(batch->films[TRAIN_SET_SIDE * TRAIN_SET_SIDE + 99] <= 0);
        }
        /* Film 5 lacks the right lung; the heart's box is where the bright pixels are. */
        assert_true(batch->present[4] > 0);
        if (b % 6 == 1) assert_true(batch->present[2 * 36 + 20] <= 0);
        const float *heart = batch->targets + 4 * 4;
        int x = (int)(heart[0] * TRAIN_SET_SIDE), y = (int)(heart[1] * TRAIN_SET_SIDE);
        assert_true(batch->films[y * TRAIN_SET_SIDE + x] > 0.9f);
    }
    loader_free(l);
}

static void a_film_that_cannot_be_read_is_named(void **state) {
    (void)state;
    char path[500], hidden[500];
    snprintf(path, sizeof path, "%s/images/film07.png", folder);
    snprintf(hidden, sizeof hidden, "%s/hidden", folder);
    assert_int_equal(rename(path, hidden), 0);
    loader *l = open_loader(training(), 0);
    carina_status status = CARINA_OK;
    const loader_batch *batch;
    for (int i = 0; i < 10 && status == CARINA_OK; i++) status = loader_next(l, &batch, &error);
    assert_true(status != CARINA_OK);
    assert_null(batch);
    assert_non_null(strstr(error.message, "film07"));
    loader_free(l);
    assert_int_equal(rename(hidden, path), 0);
}

static void senseless_sizes_are_refused(void **state) {
    (void)state;
    loader *l;
    const dataset *sets[] = {set};
    loader_options o = training();
    o.batch_size = 17;
    assert_int_equal(loader_create(&l, sets, 1, &o, 0, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "16 films"));
    o = training();
    o.image_size = 0;
    assert_int_equal(loader_create(&l, sets, 1, &o, 0, &error), CARINA_ERROR_ARGUMENT);
    assert_null(l);
    assert_int_equal(loader_create(&l, sets, 0, &o, 0, &error), CARINA_ERROR_ARGUMENT);
}

/* The same cached or read again, for any number of threads, and moved as the film is. */
static void masks_move_with_the_film(void **state) {
    (void)state;
    enum { ROWS = 6, FINDINGS = 60, VALUES = ROWS * ROWS * FINDINGS };
    char films[500];
    snprintf(films, sizeof films, "%s/phantoms", folder);
    phantom_writer_options wanted = {
        .folder = films, .seed = 5, .count = 6, .width = 96, .height = 96, .split = {1, 0, 0}, .masks = true};
    phantom_writer_result result;
    dataset_config config = {.type = "chest_imagenome", .annotations = films, .own_split_only = true, .masks = true};
    dataset *phantoms;
    loader *loaders[2];
    assert_ok(phantom_writer_run(&wanted, &result, &error));
    assert_ok(dataset_open(&phantoms, &config, atlas_anatomix36(), &error));
    for (int k = 0; k < 2; k++) {
        loader_options o = training();
        o.cache = k == 0;
        o.thread_count = 1 + k;
        o.mask_rows = o.mask_columns = ROWS;
        o.mask_findings = FINDINGS;
        const dataset *sets[] = {phantoms};
        assert_ok(loader_create(&loaders[k], sets, 1, &o, 0, &error));
    }
    int shown = 0, bare = 0, unknown = 0;
    for (int b = 0; b < 4; b++) { /* two epochs: read, then cached */
        const loader_batch *one, *two;
        assert_ok(loader_next(loaders[0], &one, &error));
        assert_ok(loader_next(loaders[1], &two, &error));
        assert_memory_equal(one->masks, two->masks, 3 * VALUES * sizeof(float));
        for (int i = 0; i < 3 * VALUES; i++) {
            shown += one->masks[i] == 1;
            bare += one->masks[i] == 0;
            unknown += isnan(one->masks[i]);
        }
    }
    assert_true(shown > 20 && bare > 20 * shown && unknown > 1000);
    for (int k = 0; k < 2; k++) loader_free(loaders[k]);
    dataset_free(phantoms);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_film_once_an_epoch),
        cmocka_unit_test(a_batch_depends_on_seed_and_number),
        cmocka_unit_test(measured_films_come_in_order_and_as_they_are),
        cmocka_unit_test(a_film_that_cannot_be_read_is_named),
        cmocka_unit_test(senseless_sizes_are_refused),
        cmocka_unit_test(masks_move_with_the_film),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
