/* IoU, AP, mAP and bootstrap against numbers worked out by hand; a run over a small set with a known locator. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/report.h"
#include "image/box.h"
#include "image/letterbox.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))

static void average_precision(void **state) {
    (void)state;
    assert_near(metrics_average_precision(4, 4, 4), 1, 1e-12);
    assert_near(metrics_average_precision(0, 4, 4), 0, 1e-12);
    assert_near(metrics_average_precision(2, 4, 4), 0.5 * 51 / 101, 1e-12); /* recalls 0 ... 0.50 */
    assert_near(metrics_average_precision(2, 2, 4), 51.0 / 101, 1e-12);     /* two predictions missing, none wrong */
    assert_near(metrics_average_precision(1, 3, 3), 1.0 / 3 * 34 / 101, 1e-12); /* 0 ... 0.33 */
    assert_near(metrics_average_precision(0, 0, 4), 0, 1e-12);
}

/* Three films, two classes; film 2 lacks class 1, film 1's class 0 has no prediction. */
static void scores(void **state) {
    (void)state;
    const float row[3][2] = {{0.8f, 0.3f}, {-1, 0.6f}, {0.96f, NAN}};
    const metrics_film films[3] = {{row[0], 0}, {row[1], 1}, {row[2], 1}};
    metrics_scores s = metrics_score(films, 3, NULL, (int[]){0, 1}, 2);
    assert_int_equal(s.films, 3);
    assert_int_equal(s.boxes, 5);
    assert_near(s.iou, (0.8 + 0.3 + 0 + 0.6 + 0.96) / 5, 1e-6);
    assert_near(s.iou_found, (0.8 + 0.3 + 0.6 + 0.96) / 4, 1e-6);
    /* per film: (3 + 1) / 8, (0 + 2) / 8, 4 / 4 */
    assert_near(s.map_film, (0.5 + 0.25 + 1) / 3, 1e-6);
    /* class 0: 3 truths, 2 predictions; hits 2 2 2 1. class 1: 2 truths, 2 predictions; hits 2 1 0 0. */
    double a[4] = {67.0 / 101, 67.0 / 101, 67.0 / 101, 0.5 * 34 / 101}, b[4] = {1, 0.5 * 51 / 101, 0, 0};
    double mean = 0;
    for (int t = 0; t < 4; t++) {
        assert_near(s.ap[t], (a[t] + b[t]) / 2, 1e-6);
        mean += (a[t] + b[t]) / 8;
    }
    assert_near(s.map, mean, 1e-6);
    assert_near(s.hit_rate[0], 4.0 / 5, 1e-6);
    assert_near(s.hit_rate[3], 1.0 / 5, 1e-6);

    s = metrics_score(films, 3, (double[]){2, 0, 1}, (int[]){0}, 1); /* as if film 0 stood there twice */
    assert_int_equal(s.films, 2);
    assert_near(s.iou, (0.8 * 2 + 0.96) / 3, 1e-6);
    s = metrics_score(films + 2, 1, NULL, (int[]){1}, 1);
    assert_int_equal(s.boxes, 0);
    assert_true(isnan(s.iou) && isnan(s.map) && isnan(s.map_film));
}

static void bootstrap(void **state) {
    (void)state;
    /* 40 patients with two films each; a patient's IoU is 0 or 1. */
    static float iou[80];
    metrics_film films[80];
    bool keep[80];
    for (uint32_t f = 0; f < 80; f++) {
        iou[f] = (f / 2) % 2 ? 1.0f : 0.0f;
        films[f] = (metrics_film){&iou[f], f / 2};
        keep[f] = f < 20;
    }
    metrics_intervals a, b;
    assert_int_equal(metrics_bootstrap(&a, films, 80, NULL, (int[]){0}, 1, 1000, 7, NULL), CARINA_OK);
    assert_int_equal(metrics_bootstrap(&b, films, 80, NULL, (int[]){0}, 1, 1000, 7, NULL), CARINA_OK);
    assert_memory_equal(&a, &b, sizeof a);
    /* A binomial of 40 patients: 0.5 +- 1.96 x 0.079, not the +- 0.11 of 80 independent films. */
    assert_near(a.iou.low, 0.345, 0.03);
    assert_near(a.iou.high, 0.655, 0.03);
    assert_int_equal(metrics_bootstrap(&b, films, 80, keep, (int[]){0}, 1, 1000, 7, NULL), CARINA_OK);
    assert_true(b.iou.high - b.iou.low > 0.5); /* ten patients */
    assert_int_equal(metrics_bootstrap(&b, films, 80, NULL, (int[]){0}, 1, 0, 7, NULL), CARINA_OK);
    assert_true(isnan(b.iou.low));
}

/* ---- a set of four films and a locator that knows one of them ---- */

enum { WIDTH = 40, HEIGHT = 20 };

static uint64_t count(const dataset *d) {
    (void)d;
    return 4;
}

/* Film i: region 0 is [10 + i, 5, 20 + i, 15], region 1 (left lung) only on even films, unsure on film 2. A bright
 * column stands where region 0 begins. */
static carina_status read_film(const dataset *d, uint64_t index, bool with_film, sample *out, carina_error *error) {
    (void)d;
    sample_clear(out);
    snprintf(out->id, sizeof out->id, "film%d", (int)index);
    snprintf(out->patient, sizeof out->patient, "p%d", (int)index / 2);
    out->sex = index < 3 ? 'F' : 'M';
    out->width = WIDTH;
    out->height = HEIGHT;
    float begin = 10 + (float)index;
    out->boxes[0] = (box){begin, 5, begin + 10, 15};
    out->present[0] = true;
    out->boxes[11] = (box){0, 0, 20, 20};
    out->present[11] = index % 2 == 0;
    out->unsure[11] = index == 2;
    if (!with_film) return CARINA_OK;
    TRY(image_create(&out->film, WIDTH, HEIGHT, error));
    for (int y = 0; y < HEIGHT; y++) out->film.value[y * WIDTH + (int)begin] = 1;
    return CARINA_OK;
}

static const dataset_class films_class = {"test", count, read_film, NULL, NULL};

/* Region 0: 10 wide to the right of the bright column, or to its left when the column is in the right half (mirrored).
 * Region 11: nothing for the film with the column at 12, else the whole left half of the film. */
static carina_status locate(void *context, const image *films, int film_count, float *boxes, bool *found,
                            carina_error *error) {
    (void)context, (void)error;
    for (int i = 0; i < film_count; i++) {
        float column = 0;
        for (int x = 0; x < WIDTH; x++)
            if (films[i].value[x] > 0) column = (float)x;
        letterbox_transform t = letterbox_make(WIDTH, HEIGHT, WIDTH, HEIGHT);
        box b = column < 15 ? (box){column, 5, column + 10, 15} : (box){column - 9, 5, column + 1, 15};
        letterbox_from_file(&t, b, boxes + (i * 36) * 4);
        letterbox_from_file(&t, (box){-5, 0, 20, 20}, boxes + (i * 36 + 11) * 4); /* reaches past the film */
        if (column == 12) found[i * 36 + 11] = false;
    }
    return CARINA_OK;
}

static void a_whole_evaluation(void **state) {
    (void)state;
    const dataset set = {.type = &films_class, .regions = atlas_anatomix36()};
    eval_constant constant;
    assert_int_equal(eval_constant_fit(&constant, &set, NULL), CARINA_OK);
    assert_true(constant.known[0] && constant.known[11] && !constant.known[1]);
    assert_near(constant.boxes[0][0], 16.5 / 40, 1e-5);
    assert_near(constant.boxes[0][1], 0.5, 1e-5); /* padded by 10 above */
    assert_near(constant.boxes[0][2], 10.0 / 40, 1e-5);

    eval_run runs[2];
    for (int i = 0; i < 2; i++) {
        eval_run_options o = {.mirrored = i == 1, .batch = 3, .constant = &constant};
        assert_int_equal(eval_run_locate(&runs[i], &set, locate, NULL, &o, NULL), CARINA_OK);
    }
    assert_int_equal(runs[0].patient_count, 2);
    assert_true(runs[0].any_unsure);
    eval_report *report;
    eval_report_options o = {.set = "test", .constant_from = "itself", .resamples = 20, .seed = 1};
    assert_int_equal(eval_report_create(&report, &runs[0], &runs[1], &o, NULL), CARINA_OK);
    assert_int_equal(report->section_count, 4);
    const eval_section *plain = &report->sections[0], *sure = &report->sections[1], *mirrored = &report->sections[2];
    assert_false(plain->mirrored);
    assert_true(sure->without_unsure && mirrored->mirrored);

    const eval_line *abdomen = eval_report_find(plain, "abdomen"), *lung = eval_report_find(plain, "left lung");
    assert_near(abdomen->scores.iou, 1, 1e-6);
    assert_int_equal(lung->scores.boxes, 2);
    assert_near(lung->scores.iou, 0.5, 1e-6); /* film 0 found, clipped to the film: 1; film 2 missing: 0 */
    assert_near(lung->scores.iou_found, 1, 1e-6);
    /* The mean box begins at 11.5: overlaps 8.5, 9.5, 9.5, 8.5 of 10. */
    assert_near(abdomen->constant.iou, (8.5 / 11.5 + 9.5 / 10.5) / 2, 1e-5);
    assert_near(eval_report_find(sure, "left lung")->scores.iou, 1, 1e-6);
    assert_near(eval_report_find(mirrored, "abdomen")->scores.iou, 1, 1e-6);
    assert_near(eval_report_find(mirrored, "left lung")->scores.iou, 0, 1e-6); /* drawn on the wrong side now */
    assert_int_equal(eval_report_find(plain, "sex F")->scores.films, 3);
    assert_int_equal(eval_report_find(plain, "sex M")->scores.films, 1);
    assert_null(eval_report_find(plain, "view AP"));
    assert_int_equal(eval_report_find(plain, "lung (both sides)")->scores.boxes, 2);
    assert_null(eval_report_find(plain, "carina"));

    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    eval_report_print(report, out);
    json_writer w = json_writer_make(out, JSON_COMPACT);
    eval_report_json(report, &w);
    fclose(out);
    assert_non_null(strstr(text, "mirrored films, without boxes marked unsure"));
    assert_non_null(strstr(text, "\"name\":\"left lung\",\"films\":2,\"boxes\":2,\"iou\":0.5"));
    free(text);
    eval_report_free(report);
    eval_run_free(&runs[0]);
    eval_run_free(&runs[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(average_precision),
        cmocka_unit_test(scores),
        cmocka_unit_test(bootstrap),
        cmocka_unit_test(a_whole_evaluation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
