/* Drawing: boxes land where they should, labels do not collide, any text is survived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/png.h"
#include "image/draw.h"

static image grey_film(int width, int height) {
    image film;
    carina_error error;
    if (image_create(&film, width, height, &error) != CARINA_OK) abort();
    for (int i = 0; i < width * height; i++) film.value[i] = 0.5f;
    return film;
}

static raster load(const char *path) {
    raster picture;
    carina_error error;
    if (png_load_file(&picture, path, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(picture.channels, 3);
    return picture;
}

static bool is_red(const raster *picture, int x, int y) {
    const uint16_t *p = picture->sample + 3 * ((size_t)y * (size_t)picture->width + (size_t)x);
    return p[0] > 170 && p[1] < 140 && p[2] < 140;
}

/* Without names there is no margin: pixel (x, y) of the film lies at (x + 8, y + 8). */
static void boxes_land_on_their_pixels(void **state) {
    (void)state;
    const char *path = TEST_TMP "/overlay.png";
    image film = grey_film(1000, 800);
    /* The file's pixels were twice as high as wide: its frame has half the rows. */
    draw_box boxes[] = {{{200, 100, 600, 300}, NULL, 0xff0000, DRAW_SOLID}};
    draw_film what = {&film, 1000, 400, NULL, boxes, 1, NULL, 0, NULL};
    carina_error error;
    if (draw_overlay(path, &what, 1000, &error) != CARINA_OK) fail_msg("%s", error.message);
    raster picture = load(path);
    assert_int_equal(picture.width, 1016);
    assert_true(is_red(&picture, 8 + 200, 8 + 400)); /* left edge, between 2 * 100 and 2 * 300 */
    assert_true(is_red(&picture, 8 + 600, 8 + 400));
    assert_true(is_red(&picture, 8 + 400, 8 + 200));
    assert_true(is_red(&picture, 8 + 400, 8 + 600));
    assert_false(is_red(&picture, 8 + 400, 8 + 400));
    assert_false(is_red(&picture, 8 + 200, 8 + 100));
    raster_free(&picture);
    image_free(&film);
}

/* Rows of the left margin that hold ink, as runs: one run per label when none overlap. */
static int ink_runs(const raster *picture, int x1, int x2, int y1, int y2) {
    int runs = 0;
    bool inside = false;
    for (int y = y1; y < y2; y++) {
        bool ink = false;
        for (int x = x1; x < x2 && !ink; x++)
            ink = picture->sample[3 * ((size_t)y * (size_t)picture->width + (size_t)x)] > 120;
        if (ink && !inside) runs++;
        inside = ink;
    }
    return runs;
}

static void labels_never_overlap(void **state) {
    (void)state;
    const char *path = TEST_TMP "/labels.png";
    image film = grey_film(512, 512);
    draw_box boxes[36];
    for (int i = 0; i < 36; i++) /* all in one place, the worst case */
        boxes[i] = (draw_box){{250, 250, 262 + (float)(i % 5), 262}, "nose", 0xffffff, (draw_line)(i % 3)};
    draw_film what = {&film, 0, 0, NULL, boxes, 36, NULL, 0, "thirty-six"};
    carina_error error;
    if (draw_overlay(path, &what, 0, &error) != CARINA_OK) fail_msg("%s", error.message);
    raster picture = load(path);
    int bottom = picture.height - 40;
    int left = ink_runs(&picture, 0, 40, 30, bottom),
        right = ink_runs(&picture, picture.width - 40, picture.width, 30, bottom);
    assert_int_equal(left + right, 36);
    raster_free(&picture);
    image_free(&film);
}

/* Below the film, in as many rows as they need; any text is survived. */
static void keys_are_drawn_in_rows(void **state) {
    (void)state;
    const char *path = TEST_TMP "/keys.png";
    image film = grey_film(300, 300);
    draw_key keys[] = {{"red", 0xff0000, DRAW_SOLID},
                       {"bad \xff", 0x00ff00, DRAW_DOTTED},
                       {"", 0xffffff, DRAW_DASHED},
                       {"a key that is longer than the picture is wide, so that nothing else can stand beside it in "
                        "its row, and that the picture cuts off with an ellipsis as it does with every longer text",
                        0x00ffff, DRAW_SOLID}};
    draw_film what = {&film, 0, 0, NULL, NULL, 0, NULL, 0, NULL};
    carina_error error;
    int heights[3];
    for (int i = 0; i < 3; i++) {
        what.keys = keys;
        what.key_count = i == 2 ? 4 : i;
        if (draw_overlay(path, &what, 900, &error) != CARINA_OK) fail_msg("%s", error.message);
        raster picture = load(path);
        heights[i] = picture.height;
        bool red = false;
        for (int y = 909; y < picture.height; y++) red |= is_red(&picture, 15, y);
        assert_int_equal(red, i > 0);
        raster_free(&picture);
    }
    assert_true(heights[1] > heights[0] && heights[2] - heights[1] == heights[1] - heights[0]);
    image_free(&film);
}

static void any_text_and_box_is_survived(void **state) {
    (void)state;
    image film = grey_film(40, 90);
    float nan = strtof("nan", NULL);
    draw_box boxes[] = {
        {{nan, 0, 1, 1}, "not a number", 0x123456, DRAW_SOLID},
        {{-1e30f, -5, 1e30f, 500}, "far outside", 0x000000, DRAW_DASHED},
        {{5, 5, 5, 5}, "bad \xff\xfe text", 0xffffff, DRAW_DOTTED},
        {{1, 1, 30, 80},
         "a label that is longer than any margin could ever be, because somebody wrote a whole sentence into a region "
         "set of their own and expects it to be drawn beside a very small film",
         0x00ff00,
         DRAW_SOLID},
    };
    draw_film what = {&film, 0, 0, NULL, boxes, 4, NULL, 0, "caption \xc3"};
    carina_error error;
    assert_int_equal(draw_overlay(TEST_TMP "/odd.png", &what, 0, &error), CARINA_OK);
    draw_film many[5] = {what, what, what, what, what};
    assert_int_equal(draw_sheet(TEST_TMP "/sheet.png", many, 5, 3, 120, "title \xf0", &error), CARINA_OK);
    raster picture = load(TEST_TMP "/sheet.png");
    assert_int_equal(picture.width, 8 + 3 * 128);
    raster_free(&picture);
    assert_int_equal(draw_sheet(TEST_TMP "/none.png", many, 0, 3, 120, NULL, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(draw_sheet(TEST_TMP "/none.png", many, 5, 5, 30000, NULL, &error), CARINA_ERROR_LIMIT);
    assert_false(file_exists(TEST_TMP "/none.png"));
    assert_int_equal(draw_overlay(TEST_TMP "/no/folder.png", &what, 0, &error), CARINA_ERROR_IO);
    image_free(&film);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_land_on_their_pixels),
        cmocka_unit_test(labels_never_overlap),
        cmocka_unit_test(keys_are_drawn_in_rows),
        cmocka_unit_test(any_text_and_box_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
