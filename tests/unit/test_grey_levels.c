/* Grey levels: each display step of a DICOM film against its formula, and what is noted of it; PNG and JPEG; warnings.
 * Fixtures: tools/make_dicom_fixtures.py (stored value 60 x + 80 y at 24 x 20). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "image/film.h"

enum { W = 24, H = 20 };

static film load(const char *name) {
    char path[512];
    snprintf(path, sizeof path, TEST_DATA "/%s", name);
    film f;
    carina_error error;
    if (film_load(&f, path, NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
    return f;
}

static bool has_step(const film *f, const char *text) {
    for (int i = 0; i < f->steps.count; i++)
        if (strcmp(f->steps.text[i], text) == 0) return true;
    return false;
}

static bool warns(const film *f, const char *part) {
    for (int i = 0; i < f->warning_count; i++)
        if (strstr(f->warning[i], part)) return true;
    return false;
}

static double clamp(double value) { return value < 0 ? 0 : value > 1 ? 1 : value; }

/* The formulas, written once more and apart from the code: x is the stored value. */
static double full(double x) { return x / 2900; }
static double linear(double x) { return clamp((x - 1499.5) / 999 + 0.5); }
static double exact(double x) { return clamp((x - 1500) / 1000 + 0.5); }
static double sigmoid(double x) { return 1 / (1 + exp(-4 * (x - 1500) / 1000)); }
static double inverted_linear(double x) { return 1 - linear(x); }
static double inverted_full(double x) { return 1 - full(x); }
static double without_padding(double x) { return x == 0 ? 0 : (x - 60) / 2840; }
static double padded_and_inverted(double x) { return x <= 248 ? 0 : 1 - (x - 260) / 2640; } /* stored is x - 2048 */
static double negative_lut(double x) { return clamp(x / 4095 > 2047.0 / 4095 ? 2047.0 / 4095 : x / 4095); }

static double four_steps(double x) {
    static const double entry[] = {1000, 3000, 2000, 65535};
    int i = (int)x - 100;
    return entry[i < 0 ? 0 : i > 3 ? 3 : i];
}
static double voi_lut(double x) { return four_steps(x) / 65535; }
static double modality_lut(double x) { return (four_steps(x) - 1000) / 64535; }
static double packed_lut(double x) { return x <= 2 ? 16.0 / 255 : 80.0 / 255; } /* next stored value is 60 */

static void each_step_follows_its_formula(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double (*formula)(double);
        const char *step;
    } cases[] = {
        {"u12_explicit", full, "full range 0 to 2900"},
        {"grey_rescale", full, "rescale slope 0.5 intercept -1024"},
        {"grey_modality_lut", modality_lut, "modality LUT of 4 entries, 16 bits"},
        {"grey_voi_lut", voi_lut, "VOI LUT of 4 entries, 16 bits"},
        {"grey_voi_lut8", packed_lut, "VOI LUT of 5 entries, 8 bits"},
        {"grey_voi_lut_negative", negative_lut, "VOI LUT of 2048 entries, 12 bits"},
        {"grey_window_linear", linear, "window 1500/1000 linear"},
        {"grey_window_exact", exact, "window 1500/1000 linear exact"},
        {"grey_window_sigmoid", sigmoid, "window 1500/1000 sigmoid"},
        {"grey_window_odd", linear, "window 1500/1000 linear (the function named is unknown)"},
        {"grey_windows", linear, "window 10/0 ignored: such a width means nothing"},
        {"grey_monochrome1", inverted_linear, "inverted: MONOCHROME1 and presentation LUT shape inverse"},
        {"grey_inverse", inverted_full, "inverted: presentation LUT shape inverse"},
        {"grey_identity", full, "presentation LUT shape identity"},
        {"grey_padding", without_padding, "padding 0 set to black"},
        {"grey_padding_range", padded_and_inverted, "padding -2048 to -1800 set to black"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[128];
        snprintf(name, sizeof name, "dicom/%s.dcm", cases[i].name);
        film f = load(name);
        assert_int_equal(f.picture.width, W);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                double wanted = cases[i].formula(60 * x + 80 * y), got = (double)f.picture.value[y * W + x];
                if (fabs(got - wanted) > 1e-6) fail_msg("%s (%d, %d): %g, not %g", cases[i].name, x, y, got, wanted);
            }
        if (!has_step(&f, cases[i].step)) fail_msg("%s: no step '%s'", cases[i].name, cases[i].step);
        film_free(&f);
    }
}

static void pixels_become_square(void **state) {
    (void)state;
    film f = load("dicom/grey_spacing.dcm"); /* 0.2 between rows, 0.1 between columns */
    assert_int_equal(f.picture.width, W);
    assert_int_equal(f.picture.height, 2 * H);
    assert_int_equal(f.file_width, W);
    assert_int_equal(f.file_height, H);
    assert_true(has_step(&f, "pixels 2 times as high as wide made square: 24 x 40"));
    film_free(&f);
    f = load("dicom/grey_aspect.dcm"); /* 2 high to 3 wide */
    assert_int_equal(f.picture.width, 36);
    assert_int_equal(f.picture.height, H);
    film_free(&f);
}

static void padding_that_leaves_nothing_is_ignored(void **state) {
    (void)state;
    int32_t pixels[4] = {7, 7, 7, 7};
    dicom_film stored = {
        .attributes = {.rows = 2, .columns = 2, .has_padding = true, .padding_low = 0, .padding_high = 9},
        .pixel = pixels};
    strcpy(stored.attributes.photometric, "MONOCHROME2");
    image out;
    grey_steps steps = {0};
    carina_error error;
    assert_int_equal(grey_levels_from_dicom(&out, &steps, &stored, &error), CARINA_OK);
    assert_string_equal(steps.text[0], "padding ignored: it would leave nothing");
    for (int i = 0; i < 4; i++) assert_true(out.value[i] == 0);
    image_free(&out);
}

/* A slope of 0 would leave nothing either: said, and passed over. */
static void a_slope_of_nothing_is_said(void **state) {
    (void)state;
    int32_t pixels[4] = {0, 1, 2, 4};
    dicom_film stored = {.attributes = {.rows = 2, .columns = 2, .has_rescale = true, .rescale_intercept = -3},
                         .pixel = pixels};
    strcpy(stored.attributes.photometric, "MONOCHROME2");
    image out;
    grey_steps steps = {0};
    carina_error error;
    assert_int_equal(grey_levels_from_dicom(&out, &steps, &stored, &error), CARINA_OK);
    assert_string_equal(steps.text[0], "rescale slope 1 (0 in the file) intercept -3");
    assert_string_equal(steps.text[1], "full range -3 to 1");
    assert_true(out.value[1] == 0.25f);
    image_free(&out);
}

static void pictures_by_depth(void **state) {
    (void)state;
    film f = load("pictures/grey4.png");
    assert_true(has_step(&f, "4-bit grey"));
    assert_true(fabsf(f.picture.value[1] - 5.0f / 15) < 1e-6f); /* 37 mod 16 */
    film_free(&f);
    f = load("pictures/grey16.png");
    assert_true(has_step(&f, "full range 0 to 2308"));
    assert_true(fabsf(f.picture.value[1] - 37.0f / 2308) < 1e-6f);
    film_free(&f);
    f = load("pictures/palette8_grey.png");
    assert_true(has_step(&f, "colour file with equal channels taken as grey"));
    film_free(&f);
    f = load("pictures/rgb8.png");
    assert_true(has_step(&f, "colour turned to luminance"));
    film_free(&f);
    f = load("pictures/grey_alpha8.png");
    assert_true(has_step(&f, "transparency laid over black"));
    film_free(&f);
    f = load("pictures/grey.jpg");
    assert_int_equal(f.kind, FILM_JPEG);
    assert_int_equal(f.attributes.age_years, -1);
    film_free(&f);
}

/* Rows and columns by PatientOrientation: as seen (left, foot), mirrored, flipped, turned. */
static void orientations_that_sides_do_not_fit_are_said(void **state) {
    (void)state;
    uint8_t *data;
    uint64_t size;
    carina_error error;
    assert_int_equal(file_read(TEST_DATA "/dicom/view_orientation.dcm", 1 << 20, &data, &size, &error), CARINA_OK);
    char *value = memmem(data, (size_t)size, "A\\F", 3);
    assert_non_null(value);
    static const char *const values[] = {"L\\F", "R\\F", "L\\H", "R\\H"};
    for (int i = 0; i < 4; i++) {
        film f;
        memcpy(value, values[i], 3);
        assert_int_equal(film_load_memory(&f, data, size, NULL, &error), CARINA_OK);
        assert_int_equal(warns(&f, "the picture is mirrored"), i == 1);
        assert_int_equal(warns(&f, "the picture is flipped top to bottom"), i == 2);
        assert_int_equal(warns(&f, "the picture is turned by 180 degrees"), i == 3);
        film_free(&f);
    }
    free(data);
}

static void views_and_warnings(void **state) {
    (void)state;
    static const struct {
        const char *name, *view, *warning;
    } cases[] = {
        {"u8_explicit", "PA", NULL},
        {"view_code", "AP", NULL},
        {"view_lateral", "LATERAL", "a lateral view"},
        {"view_orientation", "LATERAL", "a lateral view"},
        {"view_hand", "PA", "body part HAND: not a chest"},
        {"view_hand", "PA", "text is burned into"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[128];
        snprintf(name, sizeof name, "dicom/%s.dcm", cases[i].name);
        film f = load(name);
        assert_string_equal(f.view, cases[i].view);
        assert_int_equal(f.other_part, strcmp(cases[i].name, "view_hand") == 0);
        if (cases[i].warning) assert_true(warns(&f, cases[i].warning));
        if (!cases[i].warning) assert_int_equal(f.warning_count, 1); /* only that it is so small */
        film_free(&f);
    }
}

/* Only where nothing else tells the view. */
static void series_named_lateral(void **state) {
    (void)state;
    static const struct {
        const char *position, *description, *view;
    } cases[] = {
        {"", "W034 Chest Lateral", "LATERAL"}, {"", "THORAX LAT.", "LATERAL"},     {"", "bilateral ribs", ""},
        {"", "Chest PA and lateral", ""},      {"PA", "W034 Chest Lateral", "PA"}, {"", "left lateral decubitus", ""},
    };
    const uint16_t samples[4] = {0, 1, 2, 3};
    const char *path = TEST_TMP "/lateral.dcm";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dicom_film_attributes a = {.bits_stored = 8,
                                   .age_years = -1,
                                   .view_position = cases[i].position,
                                   .series_description = cases[i].description};
        film f;
        carina_error error;
        assert_int_equal(dicom_write_film(path, samples, 2, 2, &a, &error), CARINA_OK);
        assert_int_equal(film_load(&f, path, NULL, &error), CARINA_OK);
        if (strcmp(f.view, cases[i].view) != 0) fail_msg("%s: view '%s'", cases[i].description, f.view);
        assert_true(warns(&f, "a lateral view") == (strcmp(cases[i].view, "LATERAL") == 0));
        film_free(&f);
    }
    remove(path);
}

static void other_files_are_named(void **state) {
    (void)state;
    film f;
    carina_error error;
    assert_int_equal(film_load_memory(&f, "%PDF-1.4", 8, NULL, &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "a PDF file"));
    assert_int_equal(film_load_memory(&f, "", 0, NULL, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "empty"));
    assert_int_equal(film_load_memory(&f, "hello", 5, NULL, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "neither a DICOM nor a PNG nor a JPEG"));
    assert_int_equal(film_load(&f, TEST_DATA "/dicom", NULL, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "a folder, not a film"));
    assert_int_equal(film_load(&f, TEST_DATA "/dicom/bad_empty.dcm", NULL, &error), CARINA_ERROR_FORMAT);
    film_options second = {.frame = 2};
    assert_int_equal(film_load(&f, TEST_DATA "/pictures/grey8.png", &second, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(film_load(&f, TEST_DATA "/dicom/frames_u8.dcm", &second, &error), CARINA_OK);
    assert_true(has_step(&f, "frame 2 of 3"));
    film_free(&f);
}

static void real_monochrome1_equals_its_twin_inverted(void **state) {
    (void)state;
    const char *plain = SHARED_DATA "/dicom/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm";
    const char *inverted = SHARED_DATA "/dicom/Fake_MONOHR1.dcm";
    if (!file_exists(plain) || !file_exists(inverted)) {
        print_message("skipped: shared data not found\n");
        skip();
    }
    film a, b;
    carina_error error;
    assert_int_equal(film_load(&a, plain, NULL, &error), CARINA_OK);
    assert_int_equal(film_load(&b, inverted, NULL, &error), CARINA_OK);
    assert_string_equal(a.view, "PA");
    for (int i = 0; i < 1024 * 1024; i += 17) assert_true(fabsf(a.picture.value[i] + b.picture.value[i] - 1) < 1e-6f);
    film_free(&a);
    film_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orientations_that_sides_do_not_fit_are_said),
        cmocka_unit_test(each_step_follows_its_formula),
        cmocka_unit_test(pixels_become_square),
        cmocka_unit_test(padding_that_leaves_nothing_is_ignored),
        cmocka_unit_test(pictures_by_depth),
        cmocka_unit_test(views_and_warnings),
        cmocka_unit_test(series_named_lateral),
        cmocka_unit_test(a_slope_of_nothing_is_said),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(real_monochrome1_equals_its_twin_inverted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
