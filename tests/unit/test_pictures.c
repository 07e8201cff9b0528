/* PNG and JPEG: every kind of file, round trips, damaged files. Fixtures: tools/make_picture_fixtures.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/jpeg.h"
#include "format/png.h"

#define FOLDER TEST_DATA "/pictures/"
enum { W = 13, H = 9 };

static uint32_t expected(int x, int y, int c, int depth) {
    return (uint32_t)(37 * x + 101 * y + 11 * x * y + 53 * c) & ((1u << depth) - 1);
}

static raster load_png(const char *name) {
    char path[512];
    snprintf(path, sizeof path, FOLDER "%s", name);
    raster picture;
    carina_error error;
    if (png_load_file(&picture, path, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(picture.width, W);
    assert_int_equal(picture.height, H);
    return picture;
}

static void every_grey_depth(void **state) {
    (void)state;
    for (int depth = 1; depth <= 16; depth *= 2) {
        for (int interlaced = 0; interlaced < 2; interlaced++) {
            char name[64];
            snprintf(name, sizeof name, "grey%d%s.png", depth, interlaced ? "_interlaced" : "");
            raster picture = load_png(name);
            assert_int_equal(picture.channels, 1);
            assert_int_equal(picture.bit_depth, depth);
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) assert_int_equal(picture.sample[y * W + x], expected(x, y, 0, depth));
            assert_int_equal(raster_make_grey(&picture), RASTER_WAS_GREY);
            raster_free(&picture);
        }
    }
}

static uint32_t over_black(uint32_t value, uint32_t opacity, uint32_t full) {
    return (uint32_t)(((uint64_t)value * opacity + full / 2) / full);
}

static void colour_and_alpha(void **state) {
    (void)state;
    for (int depth = 8; depth <= 16; depth += 8) {
        uint32_t full = (1u << depth) - 1;
        const char *kinds[] = {"rgb", "grey_alpha", "rgba"};
        for (int k = 0; k < 3; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s%d.png", kinds[k], depth);
            raster picture = load_png(name);
            int channels = k == 1 ? 1 : 3;
            assert_int_equal(picture.channels, channels);
            assert_int_equal(picture.bit_depth, depth);
            assert_int_equal(picture.had_transparency, k > 0);
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++)
                    for (int c = 0; c < channels; c++) {
                        uint32_t value = expected(x, y, c, depth);
                        if (k > 0) value = over_black(value, expected(x, y, channels, depth), full);
                        assert_int_equal(picture.sample[(y * W + x) * channels + c], value);
                    }
            raster_free(&picture);
        }
    }
}

static void palettes_and_luminance(void **state) {
    (void)state;
    raster picture = load_png("palette4.png");
    assert_int_equal(picture.channels, 3);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            int index = (int)expected(x, y, 0, 4);
            assert_int_equal(picture.sample[(y * W + x) * 3], index * 16);
            assert_int_equal(picture.sample[(y * W + x) * 3 + 1], 255 - index * 16);
            assert_int_equal(picture.sample[(y * W + x) * 3 + 2], index * 7);
        }
    uint32_t red = picture.sample[3], green = picture.sample[4], blue = picture.sample[5];
    assert_int_equal(raster_make_grey(&picture), RASTER_LUMINANCE);
    assert_int_equal(picture.channels, 1);
    assert_int_equal(picture.sample[1], (299 * red + 587 * green + 114 * blue + 500) / 1000);
    raster_free(&picture);

    picture = load_png("palette8_grey.png");
    assert_int_equal(raster_make_grey(&picture), RASTER_CHANNELS_EQUAL);
    for (int i = 0; i < W * H; i++) assert_int_equal(picture.sample[i], expected(i % W, i / W, 0, 8));
    raster_free(&picture);

    picture = load_png("palette4_transparent.png");
    assert_true(picture.had_transparency);
    for (int i = 0; i < W * H; i++) {
        uint32_t index = expected(i % W, i / W, 0, 4);
        uint32_t opacity = index == 1 ? 0 : index == 2 ? 128 : 255;
        assert_int_equal(picture.sample[3 * i + 1], over_black(255 - index * 16, opacity, 255));
    }
    raster_free(&picture);

    picture = load_png("grey2_transparent.png"); /* value 3 of 0..3 is transparent */
    assert_int_equal(picture.bit_depth, 8);
    for (int i = 0; i < W * H; i++) {
        uint32_t value = expected(i % W, i / W, 0, 2);
        assert_int_equal(picture.sample[i], value == 3 ? 0 : value * 85);
    }
    raster_free(&picture);
}

static void jpeg_grey_and_colour(void **state) {
    (void)state;
    static const char *const names[] = {"grey.jpg", "grey_progressive.jpg", "colour_equal.jpg", "colour.jpg",
                                        "colour_420.jpg"};
    for (int k = 0; k < 5; k++) {
        char path[512];
        snprintf(path, sizeof path, FOLDER "%s", names[k]);
        raster picture;
        carina_error error;
        if (jpeg_load_file(&picture, path, &error) != CARINA_OK) fail_msg("%s", error.message);
        assert_int_equal(picture.width, 40);
        assert_int_equal(picture.height, 24);
        assert_int_equal(picture.bit_depth, 8);
        assert_int_equal(picture.channels, k < 2 ? 1 : 3);
        raster_grey_source source = raster_make_grey(&picture);
        assert_int_equal(source, k < 2 ? RASTER_WAS_GREY : k == 2 ? RASTER_CHANNELS_EQUAL : RASTER_LUMINANCE);
        for (int y = 0; y < 24; y++)
            for (int x = 0; x < 40; x++) {
                double value = 8 + 4 * x + 2 * y;
                if (k > 2) value = 0.299 * 6 * x + 0.587 * (255 - 6 * x) + 0.114 * 5 * y;
                double difference = picture.sample[y * 40 + x] - value;
                assert_true(difference > -4 && difference < 4);
            }
        raster_free(&picture);
    }
}

static void writers_round_trip(void **state) {
    (void)state;
    const char *path = TEST_TMP "/round_trip.png";
    enum { width = 31, height = 17 };
    uint8_t grey[width * height], rgb[width * height * 3];
    uint16_t deep[width * height];
    for (int i = 0; i < width * height; i++) {
        grey[i] = (uint8_t)(i * 7 + i / width);
        deep[i] = (uint16_t)(i * 977);
        for (int c = 0; c < 3; c++) rgb[3 * i + c] = (uint8_t)(i * 5 + c * 40);
    }
    raster picture;
    carina_error error;
    assert_int_equal(png_save_grey8(path, grey, width, height, &error), CARINA_OK);
    assert_int_equal(png_load_file(&picture, path, &error), CARINA_OK);
    assert_int_equal(picture.bit_depth, 8);
    for (int i = 0; i < width * height; i++) assert_int_equal(picture.sample[i], grey[i]);
    raster_free(&picture);
    assert_int_equal(png_save_grey16(path, deep, width, height, &error), CARINA_OK);
    assert_int_equal(png_load_file(&picture, path, &error), CARINA_OK);
    assert_int_equal(picture.bit_depth, 16);
    assert_memory_equal(picture.sample, deep, sizeof deep);
    raster_free(&picture);
    assert_int_equal(png_save_rgb8(path, rgb, width, height, &error), CARINA_OK);
    assert_int_equal(png_load_file(&picture, path, &error), CARINA_OK);
    assert_int_equal(picture.channels, 3);
    for (int i = 0; i < width * height * 3; i++) assert_int_equal(picture.sample[i], rgb[i]);
    raster_free(&picture);

    path = TEST_TMP "/round_trip.jpg";
    for (int i = 0; i < width * height; i++) grey[i] = (uint8_t)(40 + i % width * 3 + i / width * 4);
    assert_int_equal(jpeg_save_grey8(path, grey, width, height, 98, &error), CARINA_OK);
    assert_int_equal(jpeg_load_file(&picture, path, &error), CARINA_OK);
    assert_int_equal(picture.channels, 1);
    for (int i = 0; i < width * height; i++) assert_in_range(picture.sample[i] + 3 - grey[i], 0, 6);
    raster_free(&picture);
}

static void damaged_files_are_errors(void **state) {
    (void)state;
    static const struct {
        const char *name;
        carina_status status;
        const char *reason;
    } cases[] = {
        {"bad_truncated.png", CARINA_ERROR_FORMAT, "truncated"},
        {"bad_checksum.png", CARINA_ERROR_FORMAT, "damaged"},
        {"bad_lying_size.png", CARINA_ERROR_FORMAT, "cannot hold"},
        {"bad_oversized.png", CARINA_ERROR_LIMIT, "60000"},
        {"bad_no_pixels.png", CARINA_ERROR_FORMAT, "damaged"},
        {"bad_empty.png", CARINA_ERROR_FORMAT, "empty"},
        {"grey.jpg", CARINA_ERROR_FORMAT, "not a PNG"},
        {"none.png", CARINA_ERROR_IO, "No such file"},
        {"bad_truncated.jpg", CARINA_ERROR_FORMAT, "truncated"},
        {"bad_lying_size.jpg", CARINA_ERROR_FORMAT, "hold"},
        {"grey8.png", CARINA_ERROR_FORMAT, "not a JPEG"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512];
        snprintf(path, sizeof path, FOLDER "%s", cases[i].name);
        raster picture;
        carina_error error;
        bool as_png = (strstr(cases[i].name, ".png") != NULL) != (strstr(cases[i].reason, "not a") != NULL);
        carina_status status = as_png ? png_load_file(&picture, path, &error) : jpeg_load_file(&picture, path, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].reason) || !strstr(error.message, path))
            fail_msg("%s: status %d, %s", cases[i].name, status, status ? error.message : "no error");
        assert_null(picture.sample);
    }
    carina_error error;
    assert_int_equal(png_save_grey8(TEST_TMP "/none.png", NULL, 0, 5, &error), CARINA_ERROR_ARGUMENT);
    assert_false(file_exists(TEST_TMP "/none.png"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_grey_depth),       cmocka_unit_test(colour_and_alpha),
        cmocka_unit_test(palettes_and_luminance), cmocka_unit_test(jpeg_grey_and_colour),
        cmocka_unit_test(writers_round_trip),     cmocka_unit_test(damaged_files_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
