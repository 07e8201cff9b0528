/* AUC, likelihood, calibration error, temperatures and thresholds against numbers worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/label_predictions.h"
#include "eval/label_report.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))

/* A table of one label, film by film; each film is a patient of its own. */
static label_table table_of(const float *logits, const float *truths, uint64_t count) {
    label_table table;
    assert_int_equal(label_table_create(&table, count, 1, NULL), CARINA_OK);
    memcpy(table.logits, logits, (size_t)count * sizeof *logits);
    memcpy(table.truths, truths, (size_t)count * sizeof *truths);
    for (uint32_t f = 0; f < count; f++) table.patients[f] = f;
    table.patient_count = count;
    return table;
}

static label_column column_of(const float *logits, const float *truths, uint64_t count) {
    label_table table = table_of(logits, truths, count);
    label_column column;
    assert_int_equal(label_column_create(&column, &table, 0, NULL), CARINA_OK);
    label_table_free(&table);
    return column;
}

static void areas(void **state) {
    (void)state;
    const float logits[] = {0.8f, 0.1f, 5, 0.4f, 0.35f}, truths[] = {1, 0, NAN, 0, 1};
    label_column c = column_of(logits, truths, 5);
    assert_int_equal(c.count, 4);
    assert_int_equal(c.positives, 2);
    assert_near(label_auc(&c, NULL), 0.75, 1e-12); /* of four pairs, 0.35 loses against 0.4 */
    /* film 4 twice: of 3 x 2 pairs, 4 are won; without film 3 every pair is */
    assert_near(label_auc(&c, (double[]){1, 1, 1, 1, 2}), 4.0 / 6, 1e-12);
    assert_near(label_auc(&c, (double[]){1, 1, 1, 0, 1}), 1, 1e-12);
    assert_true(isnan(label_auc(&c, (double[]){1, 0, 1, 0, 1})));
    label_column_free(&c);

    const float tied[] = {1, 1, 2}, tied_truths[] = {0, 1, 1};
    c = column_of(tied, tied_truths, 3);
    assert_near(label_auc(&c, NULL), 0.75, 1e-12);
    label_column_free(&c);
}

static void scores(void **state) {
    (void)state;
    /* Four films at 0.5, three of them with the label; four at 0.9, all with it. */
    const float nine = logf(9), logits[] = {0, 0, 0, 0, nine, nine, nine, nine}, truths[] = {1, 1, 1, 0, 1, 1, 1, 1};
    label_column column = column_of(logits, truths, 8);
    calibration *c = malloc(sizeof *c);
    calibration_clear(c, 1);
    label_scores s = label_score(&column, c, 0);
    assert_near(s.ece, (4 * 0.25 + 4 * 0.1) / 8, 1e-6);
    assert_near(s.nll, (4 * log(2) - 4 * log(0.9)) / 8, 1e-6);
    assert_near(s.sensitivity, 1, 1e-12); /* 0.5 is at the threshold: present */
    assert_near(s.specificity, 0, 1e-12);
    c->temperature[0] = 2; /* 0.9 becomes 3 to 1 */
    c->threshold[0] = 0.6f;
    s = label_score(&column, c, 0);
    assert_near(s.ece, (4 * 0.25 + 4 * 0.25) / 8, 1e-6);
    assert_near(s.nll, (4 * log(2) - 4 * log(0.75)) / 8, 1e-6);
    assert_near(s.sensitivity, 4.0 / 7, 1e-12);
    assert_near(s.specificity, 1, 1e-12);
    label_column_free(&column);

    /* A logit whose probability rounds to 1 still costs what it should. */
    const float far[] = {200, -200}, wrong[] = {0, 1};
    column = column_of(far, wrong, 2);
    calibration_clear(c, 1);
    assert_near(label_score(&column, c, 0).nll, 200, 1e-9);
    label_column_free(&column);
    column = column_of(far, wrong, 0);
    assert_true(isnan(label_score(&column, c, 0).nll));
    label_column_free(&column);
    free(c);
}

/* `count` films at each of `places` logits, the first `positives` of them with the label. */
static label_column column_at(const float *logits, const int *counts, const int *positives, int places) {
    float x[256], y[256];
    int films = 0;
    for (int p = 0; p < places; p++)
        for (int i = 0; i < counts[p]; i++, films++) {
            x[films] = logits[p];
            y[films] = i < positives[p] ? 1 : 0;
        }
    return column_of(x, y, (uint64_t)films);
}

static void temperature(void **state) {
    (void)state;
    /* Three in four are on the right side of 0: sigmoid(2 / T) = 3/4. */
    label_column column = column_at((float[]){-2, 2}, (int[]){20, 20}, (int[]){5, 15}, 2);
    calibration *c = malloc(sizeof *c);
    calibration_clear(c, 1);
    assert_int_equal(calibrate_label(c, 0, &column, 20), CALIBRATE_FITTED);
    assert_true(c->fitted && c->label_fitted[0]);
    assert_near(c->temperature[0], 2 / log(3), 1e-6);
    assert_near(c->threshold[0], 0.5, 1e-6);
    label_scores s = label_score(&column, c, 0);
    assert_near(s.nll, -0.75 * log(0.75) - 0.25 * log(0.25), 1e-6);
    assert_near(s.ece, 0, 1e-6);

    calibration_clear(c, 1);
    assert_int_equal(calibrate_label(c, 0, &column, 21), CALIBRATE_FEW_POSITIVES);
    assert_true(!c->fitted && !c->label_fitted[0] && c->temperature[0] == 1 && c->threshold[0] == 0.5f);
    label_column_free(&column);

    column = column_at((float[]){-2, 2}, (int[]){3, 20}, (int[]){0, 20}, 2);
    assert_int_equal(calibrate_label(c, 0, &column, 10), CALIBRATE_FEW_NEGATIVES);
    assert_int_equal(calibrate_label(c, 0, &column, 3), CALIBRATE_SEPARATED);
    label_column_free(&column);
    column = column_at((float[]){-2, 2}, (int[]){20, 20}, (int[]){15, 5}, 2);
    assert_int_equal(calibrate_label(c, 0, &column, 10), CALIBRATE_UNTOLD);
    label_column_free(&column);
    column = column_at((float[]){0, 0}, (int[]){20, 20}, (int[]){10, 10}, 2);
    assert_int_equal(calibrate_label(c, 0, &column, 10), CALIBRATE_UNTOLD);
    label_column_free(&column);
    /* The order is right, but nine in ten films without the label lie above 0. */
    column = column_at((float[]){1, 2}, (int[]){90, 10}, (int[]){0, 10}, 2);
    assert_int_equal(calibrate_label(c, 0, &column, 10), CALIBRATE_SHIFTED);
    label_column_free(&column);
    assert_false(c->fitted);
    free(c);
}

static void thresholds(void **state) {
    (void)state;
    /* Between -4 and -2: 11/12 + 20/24 - 1 = 0.75; between -2 and 1: 2/12. The likelihood wants some T near 1.3. */
    label_column column = column_at((float[]){-4, -2, 1}, (int[]){21, 13, 2}, (int[]){1, 9, 2}, 3);
    calibration *c = malloc(sizeof *c);
    calibration_clear(c, 1);
    assert_int_equal(calibrate_label(c, 0, &column, 10), CALIBRATE_FITTED);
    double t = (double)c->temperature[0];
    assert_near(c->threshold[0], (1 / (1 + exp(4 / t)) + 1 / (1 + exp(2 / t))) / 2, 1e-6);
    label_scores best = label_score(&column, c, 0);
    assert_near(best.sensitivity, 11.0 / 12, 1e-12);
    assert_near(best.specificity, 20.0 / 24, 1e-12);
    for (int i = -1; i <= 1; i += 2) { /* no other temperature is as likely */
        c->temperature[0] = (float)(t * (1 + 0.01 * i));
        assert_true(label_score(&column, c, 0).nll > best.nll);
    }
    label_column_free(&column);

    /* Two cuts are equally good, 0.5 both: the higher one raises fewer alarms. */
    column = column_at((float[]){-3, -1, 1}, (int[]){10, 20, 10}, (int[]){0, 10, 10}, 3);
    assert_int_equal(calibrate_label(c, 0, &column, 10), CALIBRATE_FITTED);
    best = label_score(&column, c, 0);
    assert_near(best.sensitivity, 0.5, 1e-12);
    assert_near(best.specificity, 1, 1e-12);
    label_column_free(&column);

    /* Neighbouring probabilities, with none between them: those at the cut are present, those below it are not. */
    int neighbours = 0;
    for (float low = -1.9f; low < -1.1f; low += 0.02f) {
        float high = nextafterf(low, 0);
        column = column_at((float[]){-6, low, high}, (int[]){30, 10, 20}, (int[]){0, 0, 20}, 3);
        assert_int_equal(calibrate_label(c, 0, &column, 10), CALIBRATE_FITTED);
        float below = calibration_probability(c, 0, low), above = calibration_probability(c, 0, high);
        assert_true(c->threshold[0] <= above && (c->threshold[0] > below || below >= above));
        neighbours += above > below && above <= nextafterf(below, 1);
        label_column_free(&column);
    }
    assert_true(neighbours > 0);
    free(c);
}

/* Label 0 is told perfectly, label 1 by a coin, label 2 is on no film. 40 patients of two films each, which are alike.
 */
static label_table table_of_patients(void) {
    label_table table;
    assert_int_equal(label_table_create(&table, 80, 3, NULL), CARINA_OK);
    for (uint32_t f = 0; f < 80; f++) {
        uint32_t patient = f / 2;
        table.patients[f] = patient;
        table.truths[3 * f] = table.truths[3 * f + 1] = (float)(patient % 2);
        table.logits[3 * f] = patient % 2 ? 1 : -1;
        table.logits[3 * f + 1] = (float)(patient / 2 % 2);
        table.truths[3 * f + 2] = f < 40 ? 0 : NAN;
    }
    table.patient_count = 40;
    return table;
}

static void report(void **state) {
    (void)state;
    label_table table = table_of_patients();
    calibration *c = malloc(sizeof *c);
    calibration_clear(c, 3);
    label_report *r, *again;
    const label_report_options o = {.set = "a set", .model = "m", .resamples = 500, .seed = 3};
    assert_int_equal(label_report_create(&r, &table, c, &o, NULL), CARINA_OK);
    assert_int_equal(r->films, 80);
    assert_int_equal(r->patients, 40);
    assert_near(r->lines[0].auc, 1, 1e-12);
    assert_true(r->lines[0].auc_interval.low >= 1 && r->lines[0].auc_interval.high <= 1);
    assert_near(r->lines[1].auc, 0.5, 1e-12);
    /* The difference of two shares of 20 patients each: 0.5 +- 1.96 x 0.079, not the +- 0.11 of 80 films. */
    assert_near(r->lines[1].auc_interval.low, 0.345, 0.03);
    assert_near(r->lines[1].auc_interval.high, 0.655, 0.03);
    assert_int_equal(r->lines[2].films, 40);
    assert_true(isnan(r->lines[2].auc) && isnan(r->lines[2].auc_interval.low));
    assert_true(isnan(r->lines[2].raw.sensitivity));
    assert_int_equal(r->macro_labels, 2);
    assert_near(r->macro_auc, 0.75, 1e-12);
    assert_near(r->macro_interval.high - 0.5, r->lines[1].auc_interval.high / 2, 1e-9); /* the same patients */
    assert_int_equal(label_report_create(&again, &table, c, &o, NULL), CARINA_OK);
    for (int k = 0; k < 2; k++)
        assert_memory_equal(&r->lines[k].auc_interval, &again->lines[k].auc_interval, sizeof(metrics_interval));
    label_report_free(r);
    label_report_free(again);
    label_table_free(&table);
    free(c);
}

/* What is kept is read back to the bit; patients are numbered as they come. */
static void predictions(void **state) {
    (void)state;
    char *text;
    size_t size;
    float logits[3][ATLAS_LABEL_COUNT], truths[3][ATLAS_LABEL_COUNT];
    label_predictions *p = malloc(sizeof *p);
    calibration *c = malloc(sizeof *c);
    carina_error error;
    calibration_clear(c, ATLAS_LABEL_COUNT);
    c->fitted = c->label_fitted[2] = true;
    c->temperature[2] = 1.7320508f;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(label_put_origin(out, &(label_origin){"m", "0123456789abcdef", "a \"set\""}, c, &error),
                     CARINA_OK);
    for (int f = 0; f < 3; f++) {
        for (int k = 0; k < ATLAS_LABEL_COUNT; k++) {
            logits[f][k] = (float)(k - 7) / 3 + (float)f;
            truths[f][k] = k % 3 == 0 ? NAN : (float)(k % 3 - 1);
        }
        label_put_film(out, (const char *[]){"one", "two", "three"}[f], f == 1 ? "b" : "a", logits[f], truths[f],
                       ATLAS_LABEL_COUNT);
    }
    fclose(out);
    assert_int_equal(label_predictions_parse(p, "kept", text, size - 1, &error), CARINA_OK); /* no last line break */
    assert_string_equal(p->model, "m");
    assert_string_equal(p->model_fingerprint, "0123456789abcdef");
    assert_string_equal(p->set, "a \"set\"");
    assert_true(p->calibration.label_fitted[2] && p->calibration.temperature[2] == c->temperature[2]);
    assert_int_equal(p->table.film_count, 3);
    assert_int_equal(p->table.patient_count, 2);
    assert_memory_equal(p->table.patients, ((uint32_t[]){0, 1, 0}), 3 * sizeof(uint32_t));
    assert_memory_equal(p->table.logits, logits, sizeof logits);
    for (int f = 0; f < 3; f++)
        for (int k = 0; k < ATLAS_LABEL_COUNT; k++) {
            float was = truths[f][k], is = p->table.truths[f * ATLAS_LABEL_COUNT + k];
            assert_true(is == was || (isnan(is) && isnan(was)));
        }
    label_predictions_free(p);
    assert_int_equal(label_predictions_parse(p, "kept", text, size / 2, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "kept:"));
    label_predictions_free(p);
    assert_int_equal(label_predictions_parse(p, "kept", text, 0, &error), CARINA_ERROR_FORMAT);
    label_predictions_free(p);
    free(text);
    out = open_memstream(&text, &size);
    assert_int_equal(label_put_origin(out, &(label_origin){"m", "0123456789abcdef", "s"}, c, &error), CARINA_OK);
    for (int f = 0; f < 3; f++) label_put_film(out, f ? "two" : "one", "a", logits[f], truths[f], ATLAS_LABEL_COUNT);
    fclose(out);
    assert_int_equal(label_predictions_parse(p, "kept", text, size, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "kept:4: film: two is there twice"));
    label_predictions_free(p);
    free(text);
    free(p);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(areas),      cmocka_unit_test(scores), cmocka_unit_test(temperature),
        cmocka_unit_test(thresholds), cmocka_unit_test(report), cmocka_unit_test(predictions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
