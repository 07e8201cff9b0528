/* The film check's scoring, its measures on pictures drawn here, and the attention of module F. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/apm_attention.h"
#include "pipeline/calibration.h"
#include "pipeline/film_check.h"
#include "pipeline/film_check_table.h"

#define WIDTH  240
#define HEIGHT 280

/* Every region at its usual place, with the lungs' box at (30, 30) to (210, 230). */
static void usual_boxes(box *boxes) {
    for (int r = 0; r < 36; r++) {
        float x = 30 + 180 * film_place_mean[r][0], y = 30 + 200 * film_place_mean[r][1];
        float w = 180 * film_place_mean[r][2], h = 200 * film_place_mean[r][3];
        boxes[r] = (box){x - w / 2, y - h / 2, x + w / 2, y + h / 2};
    }
}

/* The mean thorax as a film: what lies outside it is dark. */
static void draw_thorax(film *f, bool mirrored) {
    carina_error error;
    memset(f, 0, sizeof *f);
    assert_int_equal(image_create(&f->picture, WIDTH, HEIGHT, &error), CARINA_OK);
    f->file_width = WIDTH;
    f->file_height = HEIGHT;
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            int column = (int)floor((x - 33.6) / 7.2), row = (int)floor((y - 34.0) / 9.0);
            bool inside = column >= 0 && column < FILM_THORAX_SIDE && row >= 0 && row < FILM_THORAX_SIDE;
            if (mirrored) column = FILM_THORAX_SIDE - 1 - column;
            f->picture.value[y * WIDTH + x] =
                inside ? 0.5f + 0.22f * film_mean_thorax[row * FILM_THORAX_SIDE + column] : 0.1f + 0.0003f * (float)y;
        }
}

static film_check check(film *f, const box *boxes) {
    film_check c;
    carina_error error;
    if (film_check_run(&c, f, atlas_anatomix36(), boxes, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_true(c.score >= 0 && c.score <= 1);
    return c;
}

static void test_thorax_is_accepted(void **state) {
    (void)state;
    film f;
    box boxes[36];
    usual_boxes(boxes);
    draw_thorax(&f, false);
    film_check c = check(&f, boxes);
    assert_false(c.refused);
    assert_true(c.measure[FILM_MEASURE_LIKENESS] > 0.9f);
    assert_true(c.side > 0.5f);
    assert_string_equal(c.mirrored, "");
    film_free(&f);
}

static void test_mirrored_is_flagged(void **state) {
    (void)state;
    film f;
    box boxes[36];
    usual_boxes(boxes);
    int left = atlas_find(atlas_anatomix36(), "left lung"), right = atlas_find(atlas_anatomix36(), "right lung");
    draw_thorax(&f, true);
    assert_true(check(&f, boxes).side < -0.5f);
    assert_string_equal(check(&f, boxes).mirrored, ""); /* the boxes do not say so */
    box kept = boxes[left];
    boxes[left] = boxes[right];
    boxes[right] = kept;
    film_check c = check(&f, boxes);
    assert_false(c.refused);
    assert_non_null(strstr(c.mirrored, "left lung"));
    film_free(&f);
    draw_thorax(&f, false);
    strcpy(f.attributes.orientation[0], "R");
    assert_non_null(strstr(check(&f, boxes).mirrored, "orientation"));
    strcpy(f.attributes.orientation[0], "L");
    assert_string_equal(check(&f, boxes).mirrored, "");
    for (int y = 0; y < 24; y++) /* a lone L on the picture's left */
        for (int x = 0; x < 16; x++)
            if (x < 4 || y >= 20) f.picture.value[(y + 3) * WIDTH + x + 6] = 1;
    assert_non_null(strstr(check(&f, boxes).mirrored, "its side marker L stands on the left of the picture"));
    film_free(&f);
}

static void test_others_are_refused(void **state) {
    (void)state;
    film f;
    box boxes[36];
    usual_boxes(boxes);
    draw_thorax(&f, false);
    size_t count = WIDTH * HEIGHT;
    for (size_t i = 0; i < count; i++) f.picture.value[i] = 1 - f.picture.value[i];
    assert_true(check(&f, boxes).refused);
    for (size_t i = 0; i < count; i++) f.picture.value[i] = (float)(i * 2654435761u % 1000) / 1000;
    assert_true(check(&f, boxes).refused);
    for (size_t i = 0; i < count; i++) f.picture.value[i] = 0.5f;
    film_check c = check(&f, boxes);
    assert_true(c.refused && c.score == 0);
    film_free(&f);
    draw_thorax(&f, false);
    f.colour = 0.3f;
    c = check(&f, boxes);
    assert_true(c.refused);
    assert_int_equal(c.reason, FILM_MEASURE_GREY);
    f.colour = 0;
    for (int r = 0; r < 36; r++) boxes[r] = (box){0, 0, 10, 10};
    assert_true(check(&f, boxes).refused);
    for (int r = 0; r < 36; r++) boxes[r] = (box){5, 5, 5, 5}; /* empty */
    assert_true(check(&f, boxes).refused);
    film_free(&f);
}

/* A picture like a thorax is refused when its file says that it is something else, and only then. */
static void test_the_file_says_what_it_is(void **state) {
    (void)state;
    static const struct {
        const char *view, *part;
        bool other_part, refused;
        film_measure reason;
    } cases[] = {
        {"PA", "CHEST", false, false, 0},
        {"AP", "", false, false, 0},
        {"LATERAL", "CHEST", false, true, FILM_MEASURE_VIEW},
        {"", "HAND", true, true, FILM_MEASURE_PART},
    };
    film f;
    box boxes[36];
    usual_boxes(boxes);
    draw_thorax(&f, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strcpy(f.view, cases[i].view);
        strcpy(f.attributes.body_part, cases[i].part);
        f.other_part = cases[i].other_part;
        film_check c = check(&f, boxes);
        assert_int_equal(c.refused, cases[i].refused);
        if (c.refused) assert_true(c.reason == cases[i].reason && c.score == 0);
        assert_int_equal(isnan(c.measure[FILM_MEASURE_VIEW]), !*cases[i].view);
        assert_int_equal(isnan(c.measure[FILM_MEASURE_PART]), !*cases[i].part);
    }
    film_free(&f);
}

static void test_unmeasured_plays_no_part(void **state) {
    (void)state;
    film_check c = {0};
    for (int i = 0; i < FILM_MEASURE_COUNT; i++) c.measure[i] = NAN;
    film_check_score(&c);
    assert_true(c.score == 1 && !c.refused);
    c.measure[FILM_MEASURE_SPREAD] = 0;
    film_check_score(&c);
    assert_true(c.score == 0 && c.refused && c.reason == FILM_MEASURE_SPREAD);
}

/* ---- attention ---- */

static void test_attention(void **state) {
    (void)state;
    apm_config config = {.backbone = {.depth = 18, .width = 0.0625, .norm = RESNET_GROUP},
                         .model_width = 8,
                         .heads = 2,
                         .encoder_layers = 1,
                         .decoder_layers = 1,
                         .ffn_width = 8,
                         .region_count = 2,
                         .feature_size = 4,
                         .feature_heads = 2,
                         .label_count = 14,
                         .image_height = 64,
                         .image_width = 64};
    apm *model;
    carina_error error;
    assert_int_equal(apm_create(&model, &config, 1, &error), CARINA_OK);
    /* Identity for queries and keys: scores are dot products per head of 4. */
    parameter_fill(model->feature_attention.in_weight, 0);
    parameter_fill(model->feature_attention.in_bias, 0);
    for (int i = 0; i < 8; i++)
        model->feature_attention.in_weight->value[i * 8 + i] =
            model->feature_attention.in_weight->value[64 + i * 8 + i] = 1;
    float decoded[2][8] = {{2, 0, 0, 0, 0, 0, 0, 0}}, patches[3][8] = {{1}, {0, 1}, {0, 0, 0, 0, 1}}, out[2][3];
    assert_int_equal(apm_attention(out[0], model, decoded[0], patches[0], 3, &error), CARINA_OK);
    /* head 1: softmax(2/2, 0, 0); head 2: even */
    float e = expf(1), first = (e / (e + 2) + 1.0f / 3) / 2, others = (1 / (e + 2) + 1.0f / 3) / 2;
    assert_float_equal(out[0][0], first, 1e-6);
    assert_float_equal(out[0][1], others, 1e-6);
    assert_float_equal(out[0][2], others, 1e-6);
    for (int p = 0; p < 3; p++) assert_float_equal(out[1][p], 1.0f / 3, 1e-6);
    apm_free(model);
}

/* ---- calibration ---- */

static carina_status calibrate(calibration *out, const char *text, carina_error *error) {
    apm network = {.config.label_count = 2};
    char key[] = CALIBRATION_KEY, value[600];
    snprintf(value, sizeof value, "%s", text);
    tensor_file_entry note = {.key = key, .value = value};
    model_file file = {.model = &network, .notes = &note, .note_count = *text ? 1 : 0};
    return calibration_read(out, &file, "m.safetensors", error);
}

static void test_calibration(void **state) {
    (void)state;
    calibration *c = malloc(sizeof *c);
    carina_error error;
    assert_int_equal(calibrate(c, "", &error), CARINA_OK);
    assert_false(c->fitted);
    assert_float_equal(calibration_probability(c, 1, 0), 0.5f, 1e-6);
    assert_int_equal(
        calibrate(c, "{\"temperature\": [2, 1], \"threshold\": [0.2, 0.9], \"fitted_on\": \"a set\"}", &error),
        CARINA_OK);
    assert_true(c->fitted);
    assert_string_equal(c->fitted_on, "a set");
    assert_float_equal(calibration_probability(c, 0, 2), 1 / (1 + expf(-1)), 1e-6);
    assert_float_equal(c->threshold[1], 0.9f, 1e-6);
    static const char *const wrong[] = {"[]",
                                        "{\"temperature\": [1, 1]}",
                                        "{\"temperature\": [1], \"threshold\": [0.5]}",
                                        "{\"temperature\": [0, 1], \"threshold\": [0.5, 0.5]}",
                                        "{\"temperature\": [1, 1], \"threshold\": [0.5, 1.5]}",
                                        "{\"temperature\": [1, null], \"threshold\": [0.5, 0.5]}",
                                        "{\"temperature\": [1, 1], \"threshold\": [null, 0.5]}",
                                        "{\"temperature\": [1, \"1\"], \"threshold\": [0.5, 0.5]}",
                                        "{\"temperature\": 1, \"threshold\": [0.5, 0.5]}",
                                        "nonsense"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(calibrate(c, wrong[i], &error), CARINA_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "m.safetensors"));
    }
    free(c);
}

/* What is written is read back to the last bit; a label that was not fitted stays so. */
static void test_calibration_text(void **state) {
    (void)state;
    calibration *c = malloc(sizeof *c), *again = malloc(sizeof *again);
    carina_error error;
    char *text;
    calibration_clear(c, 2);
    c->label_fitted[1] = true;
    c->temperature[1] = 1.7320508f;
    c->threshold[1] = 0.1f;
    snprintf(c->fitted_on, sizeof c->fitted_on, "a \"set\"");
    assert_int_equal(calibration_text(&text, c, &error), CARINA_OK);
    assert_string_equal(text,
                        "{\"temperature\": [null, 1.7320508], \"threshold\": [null, 0.1], "
                        "\"fitted_on\": \"a \\\"set\\\"\"}");
    assert_int_equal(calibrate(again, text, &error), CARINA_OK);
    assert_true(again->fitted && again->label_fitted[1] && !again->label_fitted[0]);
    assert_true(again->temperature[1] == c->temperature[1] && again->threshold[1] == c->threshold[1]);
    assert_true(again->temperature[0] == 1 && again->threshold[0] == 0.5f);
    assert_string_equal(again->fitted_on, c->fitted_on);
    free(text);
    assert_int_equal(calibrate(again, "{\"temperature\": [null, null], \"threshold\": [null, null]}", &error),
                     CARINA_OK);
    assert_false(again->fitted || again->sentences.fitted);
    free(c);
    free(again);
}

/* What says how sentences are ranked stands beside the labels; files from before it have none. */
static void test_calibration_of_sentences(void **state) {
    (void)state;
    calibration *c = malloc(sizeof *c), *again = malloc(sizeof *again);
    carina_error error;
    char *text;
    calibration_clear(c, 2);
    c->sentences = (sentence_calibration){.fitted = true,
                                          .temperature = 0.00897f,
                                          .prior_exponent = 1.0062f,
                                          .healthy_discount = 0.625f,
                                          .finding_worth = 0.5f,
                                          .finding_count = 2,
                                          .findings = {{"picc", 0.25f, 3.5f}, {"a \"b\"", 0, 1}},
                                          .encoder = "196aa6653e1ed355",
                                          .fitted_on = "a \"set\""};
    assert_int_equal(calibration_text(&text, c, &error), CARINA_OK);
    assert_string_equal(text,
                        "{\"temperature\": [null, null], \"threshold\": [null, null], \"sentences\": "
                        "{\"temperature\": 0.00897, \"prior_exponent\": 1.0062, \"healthy_discount\": 0.625, "
                        "\"finding_worth\": 0.5, \"findings\": [{\"name\": \"picc\", \"cut\": 0.25, \"weight\": 3.5}, "
                        "{\"name\": \"a \\\"b\\\"\", \"cut\": 0, \"weight\": 1}], "
                        "\"text_encoder_fingerprint\": \"196aa6653e1ed355\", \"fitted_on\": \"a \\\"set\\\"\"}}");
    assert_int_equal(calibrate(again, text, &error), CARINA_OK);
    assert_true(!again->fitted && again->sentences.fitted);
    assert_true(again->sentences.temperature == 0.00897f && again->sentences.prior_exponent == 1.0062f);
    assert_true(again->sentences.healthy_discount == 0.625f && again->sentences.finding_worth == 0.5f);
    assert_int_equal(again->sentences.finding_count, 2);
    assert_memory_equal(again->sentences.findings, c->sentences.findings, 2 * sizeof *c->sentences.findings);
    assert_string_equal(again->sentences.encoder, "196aa6653e1ed355");
    assert_string_equal(again->sentences.fitted_on, "a \"set\"");
    free(text);
    assert_int_equal(calibrate(again, "{\"temperature\": [2, 1], \"threshold\": [0.2, 0.9]}", &error), CARINA_OK);
    assert_true(again->fitted && !again->sentences.fitted);
    static const char *const wrong[] = {
        "1",
        "{}",
        "{\"temperature\": 0.01}",
        "{\"prior_exponent\": 1}",
        "{\"temperature\": 0, \"prior_exponent\": 1}",
        "{\"temperature\": 1, \"prior_exponent\": 1, \"healthy_discount\": -1}",
        "{\"temperature\": 1, \"prior_exponent\": 1, \"finding_worth\": 1001}",
        "{\"temperature\": 1, \"prior_exponent\": 1, \"findings\": 2}",
        "{\"temperature\": 1, \"prior_exponent\": 1, \"findings\": [{\"name\": \"x\"}]}",
        "{\"temperature\": 1, \"prior_exponent\": 1, \"findings\": [{\"name\": \"x\", \"cut\": 2, \"weight\": 1}]}",
        ("{\"temperature\": 1, \"prior_exponent\": 1, \"findings\": [{\"name\": \"x\", \"cut\": 0, \"weight\": 1}, "
         "{\"name\": \"x\", \"cut\": 0, \"weight\": 1}]}"),
        "{\"temperature\": 1, \"prior_exponent\": 1, \"findings\": [{\"name\": \"\", \"cut\": 0, \"weight\": 1}]}",
        "{\"temperature\": 1, \"prior_exponent\": 1, \"fitted_on\": 5}",
        "{\"temperature\": 1, \"prior_exponent\": 1, \"fitted_on\": \"a\\u001b[31m\"}",
        "null",
        "{\"temperature\": 11, \"prior_exponent\": 1}",
        "{\"temperature\": 0.01, \"prior_exponent\": -0.1}",
        "{\"temperature\": 0.01, \"prior_exponent\": 4.1}",
        "{\"temperature\": \"0.01\", \"prior_exponent\": 1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char note[400];
        snprintf(note, sizeof note, "{\"temperature\": [2, 1], \"threshold\": [0.2, 0.9], \"sentences\": %s}",
                 wrong[i]);
        assert_int_equal(calibrate(c, note, &error), CARINA_ERROR_FORMAT);
        assert_non_null(strstr(error.message, "m.safetensors: calibration: sentences"));
    }
    free(c);
    free(again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thorax_is_accepted),
        cmocka_unit_test(test_mirrored_is_flagged),
        cmocka_unit_test(test_others_are_refused),
        cmocka_unit_test(test_unmeasured_plays_no_part),
        cmocka_unit_test(test_the_file_says_what_it_is),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_calibration_text),
        cmocka_unit_test(test_calibration_of_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
