/* Sentences of regions: from a hand-made Chest ImaGenome folder with the real set's oddities, and back to findings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "atlas/sentence_findings.h"
#include "data/dataset.h"
#include "data/region_sentence.h"

static const char *const golden[][2] = {
    {"right lung",
     "Right lung shows atelectasis and lung opacity and pneumonia and sternotomy wires and chest tube and low lung "
     "volumes and acute and interstitial."},
    {"left lung", "Left lung is healthy."},
    {"right lower lung zone", "Right lower lung zone shows Zebra and atelectasis and lung opacity."},
    {"trachea", "Trachea and Main Bronchus shows endotracheal tube."},
    {"cardiac silhouette",
     "Cardiac shadow viewed radiologically or Heart shows enlarged cardiac silhouette and fluid overload/heart failure "
     "and cardiac pacer and wires and swan-ganz catheter."},
    {"left costophrenic angle", "Left costodiaphragmatic recess shows costophrenic angle blunting."},
    {"svc", "Superior vena cava structure shows ij line and picc."},
    {"abdomen", "Abdominal cavity shows enteric tube."},
    {"mediastinum", "Mediastinum shows twice and two lines and earlier kind and later kind."},
    {"aortic arch", "Aortic arch structure is healthy."},
};
#define GOLDEN_COUNT (sizeof golden / sizeof *golden)

static sample read_fixture(bool sentences) {
    dataset_config config = {
        .type = "chest_imagenome", .annotations = TEST_DATA "/imagenome", .split = "train", .sentences = sentences};
    dataset *set;
    carina_error error;
    sample s;
    if (dataset_open(&set, &config, atlas_anatomix36(), &error) != CARINA_OK) fail_msg("%s", error.message);
    if (dataset_read(set, 0, false, &s, &error) != CARINA_OK) fail_msg("%s", error.message);
    dataset_free(set);
    return s;
}

static void says_what_the_report_says(void **state) {
    (void)state;
    sample s = read_fixture(true);
    int count = 0;
    for (int r = 0; r < 36; r++) {
        assert_int_equal(s.sentences[r] != NULL, s.present[r]);
        count += s.sentences[r] != NULL;
    }
    assert_int_equal(count, GOLDEN_COUNT);
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        int r = atlas_find(atlas_anatomix36(), golden[i][0]);
        assert_non_null(s.sentences[r]);
        assert_string_equal(s.sentences[r], golden[i][1]);
    }
    sample_free(&s);
    assert_null(s.sentences[20]);
}

static void costs_nothing_unasked(void **state) {
    (void)state;
    sample s = read_fixture(false);
    for (int r = 0; r < ATLAS_MAX_REGIONS; r++) assert_null(s.sentences[r]);
    assert_true(s.present[20]);
    sample_free(&s);
    dataset_config config = {.type = "nih_boxes", .annotations = TEST_DATA, .sentences = true};
    dataset *set;
    carina_error error;
    assert_int_equal(dataset_open(&set, &config, atlas_anatomix36(), &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "nih_boxes"));
}

static void refuses_endless_sentences(void **state) {
    (void)state;
    enum { COUNT = 600 };
    static char texts[COUNT][32];
    const char *attributes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], "disease|yes|name %d", i);
        attributes[i] = texts[i];
    }
    scene_phrase phrase = {.text = "", .section = "", .attributes = attributes, .attribute_count = COUNT};
    scene_mention mention = {.region = "spine", .phrases = &phrase, .phrase_count = 1};
    char *sentence = NULL;
    carina_error error;
    assert_int_equal(region_sentence_make(&sentence, "Spine", &mention, &error), CARINA_ERROR_LIMIT);
    assert_null(sentence);
    assert_non_null(strstr(error.message, "Spine"));
    phrase.attribute_count = 3;
    assert_int_equal(region_sentence_make(&sentence, "Spine", &mention, &error), CARINA_OK);
    assert_string_equal(sentence, "Spine shows name 0 and name 1 and name 2.");
    free(sentence);
}

static void expect_findings(const char *sentence, const char *object, int count, const char *const *names) {
    sentence_finding findings[SENTENCE_FINDINGS];
    assert_int_equal(sentence_findings_parse(findings, sentence, object, atlas_anatomix36()), count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(findings[i].length, strlen(names[i]));
        assert_memory_equal(findings[i].name, names[i], findings[i].length);
    }
}

static void reads_sentences_back(void **state) {
    (void)state;
    expect_findings("Left lung is healthy.", "Left lung", 0, NULL);
    expect_findings("Trachea and Main Bronchus is healthy.", "Trachea and Main Bronchus", 0, NULL);
    expect_findings("Left lung shows a and b c and d.", "Left lung", 3, (const char *[]){"a", "b c", "d"});
    expect_findings("H shows x and cardiac pacer and wires and y.", "H", 3,
                    (const char *[]){"x", "cardiac pacer and wires", "y"});
    expect_findings("H shows cardiac pacer and wires.", "H", 1, (const char *[]){"cardiac pacer and wires"});
    expect_findings("H shows cardiac pacer and wiresy.", "H", 2, (const char *[]){"cardiac pacer", "wiresy"});
    expect_findings("Left lung", "Left lung", -1, NULL);
    expect_findings("Left lung shows a", "Left lung", -1, NULL);
    expect_findings("Left lung shows .", "Left lung", -1, NULL);
    expect_findings("Left lung shows a and .", "Left lung", -1, NULL);
    expect_findings("Right lung is healthy.", "Left lung", -1, NULL);
    expect_findings("", "Left lung", -1, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_report_says),
        cmocka_unit_test(costs_nothing_unasked),
        cmocka_unit_test(refuses_endless_sentences),
        cmocka_unit_test(reads_sentences_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
