/* DICOM: every transfer syntax against golden values, attributes, refusals, lies, and the writer.
 * Fixtures: tools/make_dicom_fixtures.py, put together without the library's own toolkit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/dicom.h"

#define FOLDER TEST_DATA "/dicom/"
enum { W = 24, H = 20 };

static int32_t stored(int x, int y, int bits, bool is_signed, int frame) {
    int a = bits == 8 ? 5 : bits == 10 ? 20 : bits == 12 ? 60 : 1000;
    int b = bits == 8 ? 6 : bits == 10 ? 25 : bits == 12 ? 80 : 1500;
    return a * x + b * y + 7 * frame - (is_signed ? 1 << (bits - 1) : 0);
}

static dicom_film load(const char *name, int frame) {
    char path[512];
    snprintf(path, sizeof path, FOLDER "%s", name);
    dicom_film film;
    carina_error error;
    dicom_options options = {.frame = frame};
    if (dicom_load_file(&film, path, &options, &error) != CARINA_OK) fail_msg("%s", error.message);
    return film;
}

static void expect_pixels(const char *name, int bits, bool is_signed, int frame, int tolerance) {
    dicom_film film = load(name, frame);
    const dicom_attributes *a = &film.attributes;
    assert_int_equal(a->bits_stored, bits);
    assert_int_equal(a->is_signed, is_signed);
    for (int y = 0; y < a->rows; y++)
        for (int x = 0; x < a->columns; x++) {
            int32_t wanted = stored(x, y, bits, is_signed, frame ? frame - 1 : 0);
            int32_t got = film.pixel[y * a->columns + x];
            if (abs(got - wanted) > tolerance) fail_msg("%s (%d, %d): %d, not %d", name, x, y, got, wanted);
        }
    dicom_film_free(&film);
}

static void every_transfer_syntax(void **state) {
    (void)state;
    static const char *const kinds[] = {"u8", "u12", "u16", "s8", "s12", "s16"};
    static const char *const syntaxes[] = {"explicit", "implicit", "big", "rle", "lossless", "jpegls", "jpeg2000"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t s = 0; s < sizeof syntaxes / sizeof *syntaxes; s++) {
            char name[64];
            snprintf(name, sizeof name, "%s_%s.dcm", kinds[k], syntaxes[s]);
            expect_pixels(name, atoi(kinds[k] + 1), kinds[k][0] == 's', 0, 0);
        }
    expect_pixels("u12_deflated.dcm", 12, false, 0, 0);
    expect_pixels("u12_bare.dcm", 12, false, 0, 0);
    expect_pixels("s16_bareexplicit.dcm", 16, true, 0, 0);
    expect_pixels("u12_lossless14.dcm", 12, false, 0, 0);
    expect_pixels("u12_jpeg2000fragments.dcm", 12, false, 0, 0);
    expect_pixels("u12_jpeg2000jp2.dcm", 12, false, 0, 0);
}

static void lossy_syntaxes_come_close(void **state) {
    (void)state;
    expect_pixels("lossy_u8_baseline.dcm", 8, false, 0, 4);
    expect_pixels("lossy_u12_extended.dcm", 12, false, 0, 60);
    expect_pixels("lossy_u12_nearlossless.dcm", 12, false, 0, 2);
    expect_pixels("lossy_u12_jpeg2000.dcm", 12, false, 0, 60);
}

static void odd_layouts(void **state) {
    (void)state;
    expect_pixels("u10_highbit13.dcm", 10, false, 0, 0);
    expect_pixels("s12_highbit15.dcm", 12, true, 0, 0);
    expect_pixels("u10_overlay.dcm", 10, false, 0, 0); /* an overlay plane in bit 15 is no pixel */
    expect_pixels("u8_odd.dcm", 8, false, 0, 0);
}

static void frames_by_number(void **state) {
    (void)state;
    for (int frame = 1; frame <= 3; frame++) {
        expect_pixels("frames_u8.dcm", 8, false, frame, 0);
        expect_pixels("frames_u8_rle.dcm", 8, false, frame, 0);
        expect_pixels("frames_u8_lossless.dcm", 8, false, frame, 0);
        expect_pixels("frames_u12_jpeg2000.dcm", 12, false, frame, 0);
    }
    expect_pixels("frames_u16.dcm", 16, false, 2, 0);
    expect_pixels("u12_explicit.dcm", 12, false, 1, 0);
    dicom_film film;
    carina_error error;
    static const int wrong[] = {-1, 4};
    for (int i = 0; i < 2; i++) {
        dicom_options options = {.frame = wrong[i]};
        assert_int_equal(dicom_load_file(&film, FOLDER "frames_u8.dcm", &options, &error), CARINA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, "the file has 3"));
    }
    assert_int_equal(dicom_load_file(&film, FOLDER "frames_u8.dcm", NULL, &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "3 frames: choose one with --frame 1..3"));
    dicom_options describe = {.attributes_only = true};
    assert_int_equal(dicom_load_file(&film, FOLDER "frames_u8.dcm", &describe, &error), CARINA_OK);
    assert_int_equal(film.attributes.frame_count, 3);
    assert_null(film.pixel);
    dicom_film_free(&film);
}

static void attributes_of_a_plain_film(void **state) {
    (void)state;
    dicom_film film = load("u12_explicit.dcm", 0);
    const dicom_attributes *a = &film.attributes;
    assert_string_equal(a->transfer_syntax, "1.2.840.10008.1.2.1");
    assert_string_equal(a->photometric, "MONOCHROME2");
    assert_string_equal(a->modality, "CR");
    assert_string_equal(a->body_part, "CHEST");
    assert_string_equal(a->view_position, "PA");
    assert_string_equal(a->orientation[0], "L");
    assert_string_equal(a->orientation[1], "F");
    assert_string_equal(a->patient_id, "P-17");
    assert_string_equal(a->patient_name, "Doe^Jane");
    assert_string_equal(a->sop_class, "1.2.840.10008.5.1.4.1.1.1");
    assert_string_equal(a->sop_instance, "2.25.1");
    assert_int_equal(a->sex, 'F');
    assert_int_equal(a->age_years, 62);
    assert_false(a->has_rescale || a->has_padding || a->window_count || a->voi_lut.count || a->modality_lut.count);
    dicom_film_free(&film);
    film = load("u12_deflated.dcm", 0);
    assert_string_equal(film.attributes.transfer_syntax, "1.2.840.10008.1.2.1.99");
    dicom_film_free(&film);
    film = load("view_hand.dcm", 0);
    assert_string_equal(film.attributes.laterality, "L");
    assert_string_equal(film.attributes.burned_in, "YES");
    dicom_film_free(&film);
    film = load("view_code.dcm", 0);
    assert_string_equal(film.attributes.view_meaning, "antero-posterior");
    dicom_film_free(&film);
}

static void attributes_of_grey_levels(void **state) {
    (void)state;
    dicom_film film = load("grey_windows.dcm", 0);
    assert_int_equal(film.attributes.window_count, 3);
    assert_true(film.attributes.window[1].centre == 1500 && film.attributes.window[2].width == 30);
    dicom_film_free(&film);
    film = load("grey_window_sigmoid.dcm", 0);
    assert_int_equal(film.attributes.window_function, DICOM_WINDOW_SIGMOID);
    dicom_film_free(&film);
    film = load("grey_rescale.dcm", 0);
    assert_true(film.attributes.rescale_slope == 0.5 && film.attributes.rescale_intercept == -1024);
    dicom_film_free(&film);
    static const char *const luts[] = {"grey_modality_lut.dcm", "grey_voi_lut.dcm"};
    static const uint16_t entries[] = {1000, 3000, 2000, 65535};
    for (int i = 0; i < 2; i++) {
        film = load(luts[i], 0);
        const dicom_lut *lut = i ? &film.attributes.voi_lut : &film.attributes.modality_lut;
        assert_int_equal(lut->count, 4);
        assert_int_equal(lut->first_mapped, 100);
        assert_int_equal(lut->bits, 16);
        assert_string_equal(lut->explanation, "steps");
        assert_memory_equal(lut->entry, entries, sizeof entries);
        dicom_film_free(&film);
    }
    film = load("grey_voi_lut8.dcm", 0); /* two entries packed into each word */
    static const uint16_t packed[] = {0x10, 0x20, 0x30, 0x40, 0x50};
    assert_int_equal(film.attributes.voi_lut.count, 5);
    assert_memory_equal(film.attributes.voi_lut.entry, packed, sizeof packed);
    dicom_film_free(&film);
    film = load("grey_voi_lut_negative.dcm", 0);
    assert_int_equal(film.attributes.voi_lut.first_mapped, -1024);
    dicom_film_free(&film);
    film = load("grey_padding_range.dcm", 0);
    assert_int_equal(film.attributes.padding_low, -2048);
    assert_int_equal(film.attributes.padding_high, -1800);
    dicom_film_free(&film);
    film = load("grey_spacing.dcm", 0);
    assert_true(film.attributes.imager_spacing[0] == 0.2 && film.attributes.imager_spacing[1] == 0.1);
    dicom_film_free(&film);
    film = load("grey_aspect.dcm", 0);
    assert_true(film.attributes.pixel_aspect[0] == 2 && film.attributes.pixel_aspect[1] == 3);
    dicom_film_free(&film);
}

static void names_become_utf8(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"name_latin1.dcm", "Mu\xc3\xb1oz^Jos\xc3\xa9"},
        {"name_undeclared.dcm", "Mu\xc3\xb1oz^Jos\xc3\xa9"},
        {"name_utf8.dcm", "Mu\xc3\xb1oz^Jos\xc3\xa9"},
        {"name_lying.dcm", "Mu\xc3\xb1oz^ [31m"}, /* no escape sequence reaches a terminal */
        /* glibc's iconv does not know ISO 2022 IR 87: the bytes stay, the escapes go. */
        {"name_japanese.dcm", "Yamada^Tarou= $B;3ED (B^ $BB@O: (B"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dicom_film film = load(cases[i][0], 0);
        assert_string_equal(film.attributes.patient_name, cases[i][1]);
        dicom_film_free(&film);
    }
    dicom_film film = load("name_undeclared.dcm", 0);
    assert_int_equal(film.attributes.age_years, 2); /* 30 months */
    dicom_film_free(&film);
}

static void refusals_say_why(void **state) {
    (void)state;
    static const struct {
        const char *name;
        carina_status status;
        const char *reason;
    } cases[] = {
        {"bad_rgb", CARINA_ERROR_UNSUPPORTED, "a colour image (photometric interpretation RGB)"},
        {"bad_palette", CARINA_ERROR_UNSUPPORTED, "PALETTE COLOR"},
        {"bad_ybr", CARINA_ERROR_UNSUPPORTED, "YBR_FULL_422"},
        {"bad_photometric", CARINA_ERROR_UNSUPPORTED, "unknown photometric interpretation 'MONOCHROME3'"},
        {"bad_no_photometric", CARINA_ERROR_UNSUPPORTED, "unknown photometric interpretation ''"},
        {"bad_report", CARINA_ERROR_UNSUPPORTED, "no pixel data (modality 'SR')"},
        {"bad_bits32", CARINA_ERROR_UNSUPPORTED, "BitsAllocated is 32"},
        {"bad_highbit", CARINA_ERROR_FORMAT, "HighBit 5"},
        {"bad_samples", CARINA_ERROR_FORMAT, "3 samples per pixel"},
        {"bad_rows", CARINA_ERROR_FORMAT, "Rows 30000 x Columns 2000"},
        {"bad_oversized", CARINA_ERROR_LIMIT, "65535 x 65535"},
        {"bad_no_rows", CARINA_ERROR_FORMAT, "empty picture"},
        {"bad_frames_zero", CARINA_ERROR_FORMAT, "NumberOfFrames is 0"},
        {"bad_no_pixels", CARINA_ERROR_FORMAT, "pixel data is empty"},
        {"bad_lut", CARINA_ERROR_FORMAT, "65536 entries but holds 4"},
        {"bad_truncated", CARINA_ERROR_FORMAT, "says 960 bytes where 860 are left"},
        {"bad_truncated_header", CARINA_ERROR_FORMAT, "truncated"},
        {"bad_deflated", CARINA_ERROR_FORMAT, "cut off"},
        {"bad_syntax", CARINA_ERROR_UNSUPPORTED, "transfer syntax 1.2.3.4.5 is not read"},
        {"bad_video", CARINA_ERROR_UNSUPPORTED, "MPEG2"},
        {"bad_length", CARINA_ERROR_FORMAT, "(0010,0010) says 65520 bytes"},
        {"bad_jpeg2000_size", CARINA_ERROR_MISMATCH, "24 x 20, expected 2400 x 20"},
        {"bad_jpeg2000_cut", CARINA_ERROR_FORMAT, "truncated"},
        {"bad_jpeg_size", CARINA_ERROR_FORMAT, "Columns 2400"},
        {"bad_jpeg_cut", CARINA_ERROR_FORMAT, "truncated"},
        {"bad_rle_size", CARINA_ERROR_FORMAT, "Rows 20000"},
        {"bad_empty", CARINA_ERROR_FORMAT, "empty"},
        {"bad_nested", CARINA_ERROR_LIMIT, "nested deeper"},
        {"bad_nested_implicit", CARINA_ERROR_LIMIT, "nested deeper"},
        {"medium/DICOMDIR", CARINA_ERROR_UNSUPPORTED, "DICOMDIR"},
        {"none", CARINA_ERROR_IO, "No such file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512];
        snprintf(path, sizeof path, FOLDER "%s%s", cases[i].name, strchr(cases[i].name, '/') ? "" : ".dcm");
        dicom_film film;
        carina_error error = {0};
        carina_status status = dicom_load_file(&film, path, NULL, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].reason) ||
            strstr(error.message, path) != error.message)
            fail_msg("%s: status %d, %s", cases[i].name, status, error.message);
        assert_null(film.pixel);
    }
    dicom_film film;
    carina_error error;
    dicom_options last = {.frame = 1000000};
    assert_int_equal(dicom_load_file(&film, FOLDER "bad_frame_count.dcm", &last, &error), CARINA_ERROR_FORMAT);
    last.frame = 2;
    assert_int_equal(dicom_load_file(&film, FOLDER "bad_fragments.dcm", &last, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "6 fragments cannot be told apart into 3 frames"));
}

/* Cut anywhere, a film is an error or (stray bytes after the pixels apart) never a picture. */
static void every_truncation_is_an_error(void **state) {
    (void)state;
    static const char *const names[] = {"u8_explicit.dcm", "u8_rle.dcm", "u8_lossless.dcm", "u8_jpeg2000.dcm"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char path[512];
        snprintf(path, sizeof path, FOLDER "%s", names[k]);
        uint8_t *bytes;
        uint64_t size;
        carina_error error;
        assert_int_equal(file_read(path, 1 << 20, &bytes, &size, &error), CARINA_OK);
        for (uint64_t cut = 0; cut < size; cut += 1 + cut % 5) {
            dicom_film film;
            uint8_t *exact = malloc(cut ? cut : 1); /* so that a sanitizer sees a read past the end */
            memcpy(exact, bytes, cut);
            if (dicom_load_memory(&film, exact, cut, NULL, &error) == CARINA_OK)
                fail_msg("%s cut at %d", names[k], (int)cut);
            free(exact);
        }
        free(bytes);
    }
}

static void directory_lists_its_films(void **state) {
    (void)state;
    uint8_t *bytes;
    uint64_t size;
    carina_error error;
    assert_int_equal(file_read(FOLDER "medium/DICOMDIR", 1 << 20, &bytes, &size, &error), CARINA_OK);
    assert_true(dicom_is_directory(bytes, size));
    char **paths;
    int count;
    assert_int_equal(dicom_directory_load(&paths, &count, bytes, size, &error), CARINA_OK);
    assert_int_equal(count, 3); /* the report is no image, and "../" leads out */
    assert_string_equal(paths[0], "FILMS/F2");
    assert_string_equal(paths[1], "FILMS/F1");
    assert_string_equal(paths[2], "FILMS/GONE");
    dicom_directory_free(paths, count);
    free(bytes);
}

static void written_films_read_back(void **state) {
    (void)state;
    const char *path = TEST_TMP "/written.dcm";
    enum { width = 37, height = 21 };
    static const int depths[] = {8, 12, 16};
    for (int k = 0; k < 4; k++) { /* the last is JPEG */
        int bits = k < 3 ? depths[k] : 8;
        uint16_t sample[width * height];
        for (int i = 0; i < width * height; i++)
            sample[i] = (uint16_t)(((i % width) * 3 + i / width * 2) << (bits - 8));
        dicom_film_attributes a = {.bits_stored = bits,
                                   .inverted = k == 1,
                                   .window_centre = 100.5,
                                   .window_width = 300,
                                   .rescale_slope = 1,
                                   .pixel_spacing = {0.139, 0.139},
                                   .jpeg_quality = k == 3 ? 97 : 0,
                                   .patient_id = "phantom-7",
                                   .patient_name = "Mu\xc3\xb1oz^Jos\xc3\xa9",
                                   .sex = 'M',
                                   .age_years = 7,
                                   .view_position = "AP",
                                   .study_date = "20200102"};
        carina_error error;
        dicom_film film;
        assert_int_equal(dicom_write_film(path, sample, width, height, &a, &error), CARINA_OK);
        if (dicom_load_file(&film, path, NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
        const dicom_attributes *b = &film.attributes;
        assert_int_equal(b->rows, height);
        assert_int_equal(b->columns, width);
        assert_int_equal(b->bits_stored, bits);
        assert_string_equal(b->photometric, k == 1 ? "MONOCHROME1" : "MONOCHROME2");
        assert_string_equal(b->transfer_syntax, k == 3 ? "1.2.840.10008.1.2.4.50" : "1.2.840.10008.1.2.1");
        assert_string_equal(b->patient_name, a.patient_name);
        assert_string_equal(b->view_position, "AP");
        assert_true(b->window_count == 1 && b->window[0].centre == 100.5 && b->window[0].width == 300);
        assert_true(b->pixel_spacing[0] == 0.139 && b->age_years == 7 && b->sex == 'M' && b->has_rescale);
        for (int i = 0; i < width * height; i++) assert_true(abs(film.pixel[i] - (int)sample[i]) <= (k == 3 ? 3 : 0));
        char first[DICOM_CODE];
        strcpy(first, b->sop_instance);
        dicom_film_free(&film);

        /* The same call writes the same bytes; another film has another identity. */
        uint8_t *before, *after;
        uint64_t before_size, after_size;
        assert_int_equal(file_read(path, 1 << 20, &before, &before_size, &error), CARINA_OK);
        assert_int_equal(dicom_write_film(path, sample, width, height, &a, &error), CARINA_OK);
        assert_int_equal(file_read(path, 1 << 20, &after, &after_size, &error), CARINA_OK);
        assert_int_equal(before_size, after_size);
        assert_memory_equal(before, after, before_size);
        free(before);
        free(after);
        sample[5] ^= 1;
        assert_int_equal(dicom_write_film(path, sample, width, height, &a, &error), CARINA_OK);
        assert_int_equal(dicom_load_file(&film, path, NULL, &error), CARINA_OK);
        assert_string_not_equal(film.attributes.sop_instance, first);
        dicom_film_free(&film);
    }
    carina_error error;
    uint16_t large = 300;
    dicom_film_attributes narrow = {.bits_stored = 8, .age_years = -1};
    assert_int_equal(dicom_write_film(path, &large, 1, 1, &narrow, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(dicom_write_film(TEST_TMP "/no/such/folder.dcm", &large, 0, 1, &narrow, &error),
                     CARINA_ERROR_ARGUMENT);
}

static void real_films(void **state) {
    (void)state;
    const char *plain = SHARED_DATA "/dicom/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm";
    const char *inverted = SHARED_DATA "/dicom/Fake_MONOHR1.dcm";
    if (!file_exists(plain) || !file_exists(inverted)) {
        print_message("skipped: shared data not found\n");
        skip();
    }
    dicom_film a, b;
    carina_error error;
    if (dicom_load_file(&a, plain, NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
    if (dicom_load_file(&b, inverted, NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(a.attributes.rows, 1024);
    assert_string_equal(a.attributes.photometric, "MONOCHROME2");
    assert_string_equal(b.attributes.photometric, "MONOCHROME1");
    assert_memory_equal(a.pixel, b.pixel, 1024 * 1024 * sizeof *a.pixel); /* the same film, relabelled */
    dicom_film_free(&a);
    dicom_film_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transfer_syntax),
        cmocka_unit_test(lossy_syntaxes_come_close),
        cmocka_unit_test(odd_layouts),
        cmocka_unit_test(frames_by_number),
        cmocka_unit_test(attributes_of_a_plain_film),
        cmocka_unit_test(attributes_of_grey_levels),
        cmocka_unit_test(names_become_utf8),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(every_truncation_is_an_error),
        cmocka_unit_test(directory_lists_its_films),
        cmocka_unit_test(written_films_read_back),
        cmocka_unit_test(real_films),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
