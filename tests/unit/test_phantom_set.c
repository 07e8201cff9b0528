/* Phantom sets on disk: written, read back by the reader of the real sets, the same for any number of threads,
 * continued after an interruption. Films are small here: nothing depends on the size. */
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

#include "base/file.h"
#include "data/chest_imagenome.h"
#include "data/dataset.h"
#include "data/phantom/film_names.h"
#include "data/phantom/finding_film.h"
#include "data/phantom/finding_truth.h"
#include "data/phantom/writer.h"
#include "format/csv.h"

#define FILMS 6
#define SIDE  128

static char folder[2][512];

static phantom_writer_options options_for(const char *path) {
    return (phantom_writer_options){
        .folder = path, .seed = 5, .count = FILMS, .width = SIDE, .height = SIDE, .split = {1, 0, 0}, .masks = true};
}

static void write_set(const phantom_writer_options *options) {
    phantom_writer_result result;
    carina_error error;
    if (phantom_writer_run(options, &result, &error) != CARINA_OK) fail_msg("%s", error.message);
}

static int make_sets(void **state) {
    (void)state;
    carina_error error;
    for (int i = 0; i < 2; i++) {
        snprintf(folder[i], sizeof folder[i], "%s/phantoms-%d-%d", TEST_TMP, (int)getpid(), i);
        phantom_writer_options options = options_for(folder[i]);
        if (thread_pool_create(&options.pool, 1 + i, &error) != CARINA_OK) return 1;
        if (i == 1) { /* in two runs: half of the films, then all */
            options.count = FILMS / 2;
            write_set(&options);
            options.count = FILMS;
        }
        write_set(&options);
        thread_pool_free(options.pool);
    }
    return 0;
}

static int remove_sets(void **state) {
    (void)state;
    char command[1200];
    snprintf(command, sizeof command, "rm -rf '%s' '%s'", folder[0], folder[1]);
    return system(command);
}

static dataset *open_set(const char *path) {
    dataset_config config = {.type = "chest_imagenome", .annotations = path, .split = "train"};
    dataset *set;
    carina_error error;
    if (dataset_open(&set, &config, atlas_anatomix36(), &error) != CARINA_OK) fail_msg("%s", error.message);
    return set;
}

/* The same film as the writer makes it. */
typedef struct returning {
    phantom_hooks inner;
} returning;

static carina_status alter(void *context, phantom_parameters *parameters, carina_error *error) {
    returning *r = context;
    film_names_same_patient(parameters);
    return r->inner.alter(r->inner.context, parameters, error);
}

static carina_status add(void *context, phantom_scene *scene, carina_error *error) {
    returning *r = context;
    return r->inner.add(r->inner.context, scene, error);
}

static void comes_back_as_it_was(void **state) {
    (void)state;
    dataset *set = open_set(folder[0]);
    assert_int_equal(dataset_count(set), FILMS);
    for (uint64_t i = 0; i < FILMS; i++) {
        finding_film film;
        returning r = {.inner = finding_film_hooks(&film)};
        phantom_hooks hooks = {.context = &r, .alter = alter, .add = add};
        phantom_options options = {.width = SIDE, .height = SIDE, .hooks = &hooks};
        phantom_result truth;
        carina_error error;
        assert_int_equal(phantom_render(5, i, &options, &truth, &error), CARINA_OK);
        sample s;
        if (dataset_read(set, i, true, &s, &error) != CARINA_OK) fail_msg("%s", error.message);
        for (int k = 0; k < PHANTOM_REGION_COUNT; k++) {
            assert_int_equal(s.present[k], truth.scene.present[k]);
            if (!s.present[k]) continue;
            const box *a = &s.boxes[k], *b = &truth.scene.boxes[k];
            assert_true(fabsf(a->x1 - b->x1) <= 0.006f && fabsf(a->y1 - b->y1) <= 0.006f &&
                        fabsf(a->x2 - b->x2) <= 0.006f && fabsf(a->y2 - b->y2) <= 0.006f);
        }
        assert_int_equal(s.age, truth.scene.parameters.age);
        assert_int_equal(s.sex, truth.scene.parameters.sex);
        assert_string_equal(s.view, truth.scene.parameters.ap ? "AP" : "PA");
        assert_int_equal(s.equipment, truth.scene.device_count > 0);
        assert_int_equal(s.film.width, SIDE);
        double difference = 0;
        for (int p = 0; p < SIDE * SIDE; p++) difference += fabs((double)(s.film.value[p] - truth.film.value[p]));
        assert_true(difference / (SIDE * SIDE) < 0.02); /* JPEG */
        sample_free(&s);
        phantom_result_free(&truth);
    }
    dataset_free(set);
}

static int count_files(const char *root, const char *pattern) {
    char command[1400], answer[32];
    snprintf(command, sizeof command, "find '%s' -name '%s' | wc -l", root, pattern);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(answer, sizeof answer, f));
    assert_int_equal(pclose(f), 0);
    return atoi(answer);
}

/* A run that is killed leaves half a film; the next one makes the film and clears what was left of it. */
static void clears_up_after_a_killed_run(void **state) {
    (void)state;
    char root[600], command[2600];
    snprintf(root, sizeof root, "%s-killed", folder[0]);
    phantom_writer_options options = options_for(root);
    options.count = 2;
    write_set(&options);
    int whole = count_files(root, "*");
    snprintf(command, sizeof command,
             "cd '%s' && graph=$(find silver_dataset/scene_graph -name '*.json' | head -n 1) && rm \"$graph\" && "
             "id=$(basename \"$graph\" _SceneGraph.json) && film=$(find files -name \"$id.jpg\") && "
             "study=$(dirname \"$film\") && touch \"$graph.tmp-999999999\" \"$film.tmp-999999999\" "
             "\"$study.txt.tmp-999999999\" \"masks/$id/heart.png.tmp-999999999\"",
             root);
    assert_int_equal(system(command), 0);
    assert_int_equal(count_files(root, "*.tmp-*"), 4);
    write_set(&options);
    assert_int_equal(count_files(root, "*.tmp-*"), 0);
    assert_int_equal(count_files(root, "*"), whole);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

/* Masks on disk are the phantom's: each finding and device of the region set is one, and cells are set where it is. */
static void masks_come_back(void **state) {
    (void)state;
    carina_error error;
    const char *names[SENTENCE_FINDING_NAMES];
    int name_count = sentence_finding_names(names, atlas_anatomix36()), masks = 0;
    dataset_config config = {.type = "chest_imagenome", .annotations = folder[0], .split = "train", .masks = true};
    dataset *set;
    if (dataset_open(&set, &config, atlas_anatomix36(), &error) != CARINA_OK) fail_msg("%s", error.message);
    for (uint64_t i = 0; i < FILMS; i++) {
        finding_film film;
        returning r = {.inner = finding_film_hooks(&film)};
        phantom_hooks hooks = {.context = &r, .alter = alter, .add = add};
        phantom_options options = {.width = SIDE, .height = SIDE, .hooks = &hooks, .device_masks = true};
        phantom_result truth;
        assert_int_equal(phantom_render(5, i, &options, &truth, &error), CARINA_OK);
        sample s;
        if (dataset_read(set, i, true, &s, &error) != CARINA_OK) fail_msg("%s", error.message);
        int next = 0;
        for (int k = 0; k < truth.scene.lesion_count + truth.scene.device_count; k++) {
            bool lesion = k < truth.scene.lesion_count;
            const phantom_device *device = lesion ? NULL : &truth.scene.devices[k - truth.scene.lesion_count];
            const char *name = lesion ? finding_table[film.list.items[film.lesion_finding[k]].kind].attribute
                                      : finding_device_find(device->name)->attribute;
            const uint8_t *mask = lesion ? truth.scene.lesions[k].mask : device->mask;
            int number = name ? sentence_finding_find(names, name_count, name, strlen(name)) : -1;
            if (number < 0 && !lesion) continue;
            assert_true(next < s.masks.count);
            const finding_mask *read = &s.masks.items[next++];
            if (number >= 0) assert_true(read->findings.bits[number / 64] >> (number % 64) & 1);
            for (int p = 0; p < SIDE * SIDE; p++) assert_int_equal(read->cells[p / 8] >> (p % 8) & 1, mask[p]);
        }
        assert_int_equal(next, s.masks.count);
        masks += next;
        sample_free(&s);
        phantom_result_free(&truth);
    }
    assert_true(masks > 5);
    dataset_free(set);
    config.type = "nih_films";
    assert_int_equal(dataset_open(&set, &config, atlas_anatomix36(), &error), CARINA_ERROR_UNSUPPORTED);
}

static void is_the_same_for_any_run(void **state) {
    (void)state;
    char command[1400];
    snprintf(command, sizeof command, "diff -r '%s' '%s'", folder[0], folder[1]);
    assert_int_equal(system(command), 0);
    dataset *a = open_set(folder[0]), *b = open_set(folder[1]);
    assert_true(dataset_fingerprint(a) == dataset_fingerprint(b));
    dataset_free(a);
    dataset_free(b);
}

/* A positive label in the table has a sentence with a positive attribute, a negative one never has. */
static void labels_agree_with_sentences(void **state) {
    (void)state;
    static const struct {
        const char *label, *attribute;
    } pairs[] = {{"Pleural Effusion", "pleural effusion"},
                 {"Pneumothorax", "pneumothorax"},
                 {"Cardiomegaly", "enlarged cardiac silhouette"},
                 {"Consolidation", "consolidation"}};
    dataset *set = open_set(folder[0]);
    for (uint64_t i = 0; i < FILMS; i++) {
        sample s;
        scene_graph graph;
        carina_error error;
        assert_int_equal(dataset_read(set, i, false, &s, &error), CARINA_OK);
        assert_int_equal(chest_imagenome_graph(set, i, &graph, &error), CARINA_OK);
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
            char yes[96];
            snprintf(yes, sizeof yes, "anatomicalfinding|yes|%s", pairs[k].attribute);
            bool said = false;
            for (uint32_t m = 0; m < graph.mention_count; m++) {
                for (uint32_t p = 0; p < graph.mentions[m].phrase_count; p++) {
                    const scene_phrase *phrase = &graph.mentions[m].phrases[p];
                    for (uint32_t a = 0; a < phrase->attribute_count; a++) said |= !strcmp(phrase->attributes[a], yes);
                }
            }
            for (int l = 0; l < ATLAS_LABEL_COUNT; l++) {
                if (strcmp(atlas_label_names[l], pairs[k].label) != 0) continue;
                if (s.labels[l] == 0) assert_false(said);
                if (s.labels[l] == 1) assert_true(said);
            }
        }
        scene_graph_free(&graph);
        sample_free(&s);
    }
    dataset_free(set);
}

static void refuses_what_makes_no_sense(void **state) {
    (void)state;
    phantom_writer_result result;
    carina_error error;
    phantom_writer_options options = options_for(folder[0]);
    options.seed = 6;
    assert_int_equal(phantom_writer_run(&options, &result, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "choose another folder"));
    options = options_for(folder[0]);
    options.width = 3;
    assert_int_equal(phantom_writer_run(&options, &result, &error), CARINA_ERROR_ARGUMENT);
    options = options_for(folder[0]);
    options.split[0] = -1;
    assert_int_equal(phantom_writer_run(&options, &result, &error), CARINA_ERROR_ARGUMENT);
    options = options_for("/proc/no-such-place");
    assert_int_equal(phantom_writer_run(&options, &result, &error), CARINA_ERROR_IO);
}

static void patients_keep_to_one_part(void **state) {
    (void)state;
    const double split[3] = {0.6, 0.2, 0.2};
    int returning_films = 0, parts[3] = {0};
    film_names before = {0};
    for (uint64_t i = 0; i < 3000; i++) {
        film_names n;
        film_names_make(&n, 9, i, split);
        parts[n.split]++;
        if (i > 0 && n.first == before.first) {
            returning_films++;
            assert_string_equal(n.patient, before.patient);
            assert_int_equal(n.split, before.split);
            assert_true(strcmp(n.date, before.date) > 0);
        }
        assert_string_not_equal(n.id, before.id);
        before = n;
    }
    assert_in_range(returning_films, 400, 900);
    assert_in_range(parts[0], 1650, 1950);
    assert_in_range(parts[2], 480, 720);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),         cmocka_unit_test(masks_come_back),
        cmocka_unit_test(clears_up_after_a_killed_run), cmocka_unit_test(is_the_same_for_any_run),
        cmocka_unit_test(labels_agree_with_sentences),  cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(patients_keep_to_one_part),
    };
    return cmocka_run_group_tests(tests, make_sets, remove_sets);
}
