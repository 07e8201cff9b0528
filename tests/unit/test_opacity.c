/* What sentences say of lung opacity, a film's score, and AUC, sensitivity and specificity against hand-made films. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/opacity_report.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))

/* Places in opacity_region_names. */
enum { RIGHT_LUNG, LEFT_LUNG };

static opacity_kind kind_of(const char *says) {
    char sentence[256];
    snprintf(sentence, sizeof sentence, "Left lung %s.", says);
    return opacity_sentence_kind(sentence, "Left lung", atlas_anatomix36());
}

static void kinds(void **state) {
    (void)state;
    assert_int_equal(kind_of("is healthy"), OPACITY_HEALTHY);
    assert_int_equal(kind_of("shows pneumothorax and chest tube"), OPACITY_NEITHER);
    assert_int_equal(kind_of("shows pulmonary edema/hazy opacity"), OPACITY_SHOWN);
    assert_int_equal(kind_of("shows low lung volumes and atelectasis"), OPACITY_SHOWN);
    assert_int_equal(kind_of("shows lung opacity"), OPACITY_SHOWN);
    assert_int_equal(kind_of("shows lung opacity and vascular congestion"), OPACITY_SHOWN);
    /* lung opacity is said above what has a name of its own, too */
    assert_int_equal(kind_of("shows lung lesion and lung opacity and calcified nodule"), OPACITY_NEITHER);
    assert_int_equal(kind_of("shows lung opacity and pleural effusion"), OPACITY_NEITHER);
    assert_int_equal(kind_of("shows consolidation and lung opacity and pleural effusion"), OPACITY_SHOWN);
    assert_int_equal(kind_of("has pneumonia"), OPACITY_NEITHER);
    assert_int_equal(opacity_sentence_kind("Right lung is healthy.", "Left lung", atlas_anatomix36()), OPACITY_NEITHER);
    /* every lung region is in both region sets, and is one of theirs once */
    for (int i = 0; i < OPACITY_REGIONS; i++) {
        assert_true(atlas_find(atlas_anatomix36(), opacity_region_names[i]) >= 0);
        assert_true(atlas_find(atlas_imagenome29(), opacity_region_names[i]) >= 0);
        for (int k = 0; k < i; k++) assert_string_not_equal(opacity_region_names[i], opacity_region_names[k]);
    }
}

/* ---- a database ---- */

static void put(sentence_index *index, const char *region, const char *text, float x, float y) {
    carina_error error;
    const sentence_entry e = {text, strstr(text, "healthy") ? 97 : 1, "train/a"};
    int number = atlas_find(atlas_anatomix36(), region);
    if (sentence_index_add(index, number, &e, (float[]){x, y}, &error) != CARINA_OK) fail_msg("%s", error.message);
}

static void answers(void **state) {
    (void)state;
    sentence_index *index;
    opacity_database *d;
    opacity_answer a[OPACITY_REGIONS];
    carina_error error;
    const atlas *regions = atlas_anatomix36();
    float features[36 * 2] = {0}; /* of the other regions nobody asks */
    float *left = features + 2 * atlas_find(regions, "left lung");
    assert_int_equal(sentence_index_create(&index, regions, NULL, 2, &error), CARINA_OK);
    put(index, "left lung", "Left lung is healthy.", 1, 0);
    put(index, "left lung", "Left lung shows pneumonia.", 0.6f, 0.8f);
    put(index, "left lung", "Left lung shows consolidation.", -1, 0);
    put(index, "left lung", "Left lung shows pneumothorax.", 0, 1);
    put(index, "right lung", "Right lung is healthy.", 1, 0);
    put(index, "left mid lung zone", "Left mid lung zone shows pneumonia.", 1, 0);
    put(index, "spine", "Spine is healthy.", 1, 0);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    sentence_ranking by_cosine = {.index = index}, by_prior = {.index = index, .order = {.prior_weight = 0.2f}};
    assert_int_equal(opacity_database_create(&d, &by_cosine, regions, "set.db", &error), CARINA_OK);
    for (int i = 0; i < OPACITY_REGIONS; i++) assert_true(opacity_database_answers(d)[i] == (i == LEFT_LUNG));

    left[0] = 8, left[1] = 6; /* cosines 0.8, 0.96, -0.8, 0.6 */
    assert_int_equal(opacity_database_ask(d, features, a, &error), CARINA_OK);
    assert_near(a[LEFT_LUNG].shown, 0.96, 1e-6);
    assert_near(a[LEFT_LUNG].healthy, 0.8, 1e-6);
    assert_true(a[LEFT_LUNG].says);
    assert_string_equal(a[LEFT_LUNG].nearest, "Left lung shows pneumonia.");
    assert_true(!a[RIGHT_LUNG].says && !a[RIGHT_LUNG].nearest);

    left[0] = -0.6f,
    left[1] = 0.8f; /* -0.6, 0.28, 0.6, 0.8: an opacity is nearer than health, and neither is nearest */
    assert_int_equal(opacity_database_ask(d, features, a, &error), CARINA_OK);
    assert_near(a[LEFT_LUNG].shown, 0.6, 1e-6);
    assert_near(a[LEFT_LUNG].healthy, -0.6, 1e-6);
    assert_false(a[LEFT_LUNG].says);
    opacity_database_free(d);
    left[0] = 8, left[1] = 6; /* by the prior health comes first; scores stay cosines */
    assert_int_equal(opacity_database_create(&d, &by_prior, regions, "set.db", &error), CARINA_OK);
    assert_int_equal(opacity_database_ask(d, features, a, &error), CARINA_OK);
    assert_near(a[LEFT_LUNG].shown, 0.96, 1e-6);
    assert_near(a[LEFT_LUNG].healthy, 0.8, 1e-6);
    assert_false(a[LEFT_LUNG].says);
    assert_string_equal(a[LEFT_LUNG].nearest, "Left lung is healthy.");
    left[0] = left[1] = 0;
    assert_int_equal(opacity_database_ask(d, features, a, &error), CARINA_ERROR_ARGUMENT);
    opacity_database_free(d);
    assert_int_equal(opacity_database_create(&d, &by_cosine, atlas_imagenome29(), "set.db", &error),
                     CARINA_ERROR_MISMATCH);
    sentence_index_free(index);

    assert_int_equal(sentence_index_create(&index, regions, NULL, 2, &error), CARINA_OK);
    put(index, "spine", "Spine is healthy.", 1, 0);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    assert_int_equal(opacity_database_create(&d, &(sentence_ranking){.index = index}, regions, "set.db", &error),
                     CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "set.db: no lung region"));
    sentence_index_free(index);
}

/* ---- films ---- */

typedef struct hand_film {
    const char *patient;
    bool seen;
    float right, left; /* how much nearer an opacity is than health */
    bool right_says, left_says;
} hand_film;

/* Scores with opacity: 0.5, -0.25, 0.25; without: -0.25, 0.25, -0.75. */
static const hand_film hand_films[] = {
    {"a", true, 0.5f, -1, false, false}, {"a", true, -0.5f, -0.25f, false, true},
    {"b", true, 0, 0.25f, true, true},   {"c", false, -0.25f, -1, false, false},
    {"d", false, 0.25f, 0, true, false}, {"a", false, -1, -0.75f, false, false},
};

static opacity_table hand_table(opacity_answer given[][OPACITY_REGIONS]) {
    const bool asked[OPACITY_REGIONS] = {[RIGHT_LUNG] = true, [LEFT_LUNG] = true};
    opacity_table t;
    assert_int_equal(opacity_table_create(&t, asked, NULL), CARINA_OK);
    t.not_read = 7;
    for (int i = 0; i < 6; i++) {
        const hand_film *f = &hand_films[i];
        memset(given[i], 0, sizeof given[i]);
        given[i][RIGHT_LUNG] = (opacity_answer){f->right / 2, -f->right / 2, f->right_says, "a \"sentence\""};
        given[i][LEFT_LUNG] = (opacity_answer){f->left / 2, -f->left / 2, f->left_says, "b"};
        assert_int_equal(opacity_table_add(&t, f->patient, f->seen, given[i], NULL), CARINA_OK);
    }
    return t;
}

static void figures(void **state) {
    (void)state;
    opacity_answer given[6][OPACITY_REGIONS];
    opacity_table t = hand_table(given);
    opacity_figures f, again;
    const float wanted[6] = {0.5f, -0.25f, 0.25f, -0.25f, 0.25f, -0.75f};
    for (int i = 0; i < 6; i++) assert_near(opacity_film_score(&t, &t.films[i]), wanted[i], 1e-6);
    assert_int_equal(opacity_measure(&f, &t, 200, 5, NULL), CARINA_OK);
    assert_memory_equal(f.films, ((uint64_t[]){3, 3}), sizeof f.films);
    assert_memory_equal(f.patients, ((uint64_t[]){3, 2}), sizeof f.patients); /* a has films of both kinds */
    assert_int_equal(f.patient_count, 4);
    const double *film = f.lines[0].value, *right = f.lines[1 + RIGHT_LUNG].value, *left = f.lines[1 + LEFT_LUNG].value;
    assert_near(film[OPACITY_AUC], (3 + 1.5 + 2.5) / 9, 1e-12); /* 0.5 wins 3; -0.25: a win, a tie; 0.25: 2 and a tie */
    assert_near(film[OPACITY_SENSITIVITY], 2. / 3, 1e-12);
    assert_near(film[OPACITY_SPECIFICITY], 2. / 3, 1e-12);
    assert_near(right[OPACITY_AUC], (3 + 1 + 2) / 9., 1e-12);
    assert_near(right[OPACITY_SENSITIVITY], 1. / 3, 1e-12);
    assert_near(left[OPACITY_AUC], (0.5 + 2 + 3) / 9, 1e-12);
    assert_near(left[OPACITY_SPECIFICITY], 1, 1e-12);
    assert_true(isnan(f.lines[OPACITY_LINES - 1].value[OPACITY_AUC]));
    assert_true(isnan(f.lines[OPACITY_LINES - 1].value[OPACITY_SENSITIVITY]));
    assert_true(isnan(f.lines[OPACITY_LINES - 1].interval[OPACITY_SPECIFICITY].low));
    for (int v = 0; v < OPACITY_VALUES; v++) {
        metrics_interval i = f.lines[0].interval[v];
        assert_true(i.low < film[v] && film[v] < i.high && i.low >= 0 && i.high <= 1);
    }
    assert_int_equal(opacity_measure(&again, &t, 200, 5, NULL), CARINA_OK);
    assert_memory_equal(&f.lines[0], &again.lines[0], sizeof f.lines[0]);

    /* one patient has them all: whatever is drawn is the same; films of one kind alone have no AUC */
    for (int i = 0; i < 6; i++) t.films[i].patient = 0;
    assert_int_equal(opacity_measure(&f, &t, 20, 5, NULL), CARINA_OK);
    for (int v = 0; v < OPACITY_VALUES; v++) {
        assert_near(f.lines[0].interval[v].low, film[v], 1e-12);
        assert_near(f.lines[0].interval[v].high, film[v], 1e-12);
    }
    for (int i = 0; i < 6; i++) t.films[i].seen = false;
    assert_int_equal(opacity_measure(&f, &t, 20, 5, NULL), CARINA_OK);
    assert_true(isnan(film[OPACITY_AUC]) && isnan(film[OPACITY_SENSITIVITY]));
    assert_near(film[OPACITY_SPECIFICITY], 3. / 6, 1e-12);
    opacity_table_free(&t);
}

/* What is kept gives the same figures; what is no such file is refused by line and key. */
static void predictions(void **state) {
    (void)state;
    opacity_answer given[6][OPACITY_REGIONS];
    opacity_table t = hand_table(given);
    opacity_figures f, back;
    opacity_predictions p;
    carina_error error;
    char *text;
    size_t size;
    const opacity_origin origin = {"m", "0123456789abcdef", "m.db", "fedcba9876543210", "a \"set\"", {0.009f, 0.5f, 2}};
    FILE *out = open_memstream(&text, &size);
    opacity_put_origin(out, &origin, &t);
    for (int i = 0; i < 6; i++) {
        char film[8];
        snprintf(film, sizeof film, "film %d", i);
        opacity_put_film(out, &t, film, hand_films[i].patient, hand_films[i].seen, given[i]);
    }
    fclose(out);
    assert_int_equal(opacity_predictions_parse(&p, "kept", text, size - 1, &error), CARINA_OK); /* no last line break */
    assert_string_equal(p.origin.model_fingerprint, origin.model_fingerprint);
    assert_string_equal(p.origin.database_fingerprint, origin.database_fingerprint);
    assert_string_equal(p.origin.set, origin.set);
    assert_true(p.origin.order.prior_weight == 0.009f && p.origin.order.healthy_discount == 0.5f &&
                p.origin.order.finding_worth == 2);
    assert_int_equal(p.table.not_read, 7);
    assert_memory_equal(p.table.answers, t.answers, sizeof t.answers);
    assert_int_equal(opacity_measure(&f, &t, 50, 1, NULL), CARINA_OK);
    assert_int_equal(opacity_measure(&back, &p.table, 50, 1, NULL), CARINA_OK);
    for (int k = 0; k <= 1 + LEFT_LUNG; k++) assert_memory_equal(&f.lines[k], &back.lines[k], sizeof f.lines[k]);
    opacity_predictions_free(&p);
    assert_int_equal(opacity_predictions_parse(&p, "kept", text, size / 2, &error), CARINA_ERROR_FORMAT);
    char place[20];
    int line = 1;
    for (uint64_t i = 0; i < size / 2; i++) line += text[i] == '\n';
    snprintf(place, sizeof place, "kept:%d:", line);
    assert_non_null(strstr(error.message, place));
    opacity_predictions_free(&p);
    char *lungs = strstr(text, "\"right lung\"");
    memcpy(lungs, "\"wrong lung\"", 12);
    assert_int_equal(opacity_predictions_parse(&p, "kept", text, size, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "kept:1: regions: entry 0 is no lung region"));
    opacity_predictions_free(&p);
    opacity_table_free(&t);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(answers),
        cmocka_unit_test(figures),
        cmocka_unit_test(predictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
