/* Side markers on drawn pictures and on the bundled films, as they are and mirrored. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/film.h"
#include "pipeline/side_marker.h"

#define SIDE 400

static const unsigned char glyph_l[7] = {0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f},
                           glyph_r[7] = {0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11},
                           glyph_e[7] = {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f};

static image grey_picture(void) {
    image p;
    carina_error error;
    if (image_create(&p, SIDE, SIDE, &error) != CARINA_OK) fail_msg("%s", error.message);
    for (int i = 0; i < SIDE * SIDE; i++) p.value[i] = 0.3f + 0.2f * (float)(i % SIDE) / SIDE;
    return p;
}

/* Round dots, `dot` pixels apart and a little wider, with (x, y) in their middle; turned by an angle. */
static void draw(image *p, const unsigned char *glyph, double x, double y, double dot, double degrees) {
    double c = cos(degrees * 3.14159265 / 180), s = sin(degrees * 3.14159265 / 180);
    for (int i = 0; i < 35; i++) {
        if (!(glyph[i / 5] >> (4 - i % 5) & 1)) continue;
        double u = (i % 5 - 2) * dot, v = (i / 5 - 3) * dot;
        double mx = x + c * u - s * v, my = y + s * u + c * v;
        for (int k = 0; k < SIDE * SIDE; k++)
            if (hypot(k % SIDE - mx, k / SIDE - my) < 0.75 * dot) p->value[k] = 0.95f;
    }
}

static void mirror(image *p) {
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width / 2; x++) {
            float *row = p->value + (size_t)y * (size_t)p->width, kept = row[x];
            row[x] = row[p->width - 1 - x];
            row[p->width - 1 - x] = kept;
        }
}

static side_marker find(const image *p) {
    side_marker m;
    carina_error error;
    if (side_marker_find(&m, p, &error) != CARINA_OK) fail_msg("%s", error.message);
    return m;
}

static void lone_letters_are_read(void **state) {
    (void)state;
    static const struct {
        const unsigned char *glyph;
        char letter;
        double x, y, dot, degrees;
        bool contradicts;
    } cases[] = {
        {glyph_l, 'L', 350, 40, 3, 0, false}, {glyph_l, 'L', 50, 60, 4, -12, true},
        {glyph_r, 'R', 40, 40, 4, 15, false}, {glyph_r, 'R', 340, 340, 4, 0, true},
        {glyph_r, 'R', 205, 40, 4, 0, false}, /* in the middle: says nothing */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        image p = grey_picture();
        draw(&p, cases[i].glyph, cases[i].x, cases[i].y, cases[i].dot, cases[i].degrees);
        side_marker m = find(&p);
        assert_int_equal(m.letter, cases[i].letter);
        assert_true(fabs((double)m.x * SIDE - cases[i].x) < 8 && fabs((double)m.y * SIDE - cases[i].y) < 8);
        assert_int_equal(side_marker_contradicts(&m), cases[i].contradicts);
        image_free(&p);
    }
}

static void other_things_are_not(void **state) {
    (void)state;
    image p = grey_picture();
    assert_int_equal(find(&p).letter, 0);
    draw(&p, glyph_e, 60, 60, 4, 0);
    assert_int_equal(find(&p).letter, 0);
    draw(&p, glyph_r, 90, 60, 4, 0); /* "ER": part of a word */
    assert_int_equal(find(&p).letter, 0);
    image_free(&p);
    p = grey_picture();
    for (int i = 0; i < SIDE * SIDE; i++) p.value[i] = (float)((unsigned)i * 2654435761u % 1000) / 1000; /* noise */
    assert_int_equal(find(&p).letter, 0);
    image_free(&p);
    carina_error error;
    assert_int_equal(image_create(&p, 1, 3000, &error), CARINA_OK);
    assert_int_equal(find(&p).letter, 0);
    image_free(&p);
    assert_false(side_marker_contradicts(&(side_marker){0}));
}

static void bundled_films_have_theirs(void **state) {
    (void)state;
    static const char *const names[] = {"phantom-1.jpg", "phantom-2.jpg", "phantom-3.dcm"};
    for (int i = 0; i < 3; i++) {
        char path[512];
        film f;
        carina_error error;
        snprintf(path, sizeof path, PROJECT_ROOT "/demo/films/%s", names[i]);
        if (film_load(&f, path, NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
        side_marker plain = find(&f.picture);
        mirror(&f.picture);
        side_marker mirrored = find(&f.picture);
        assert_int_equal(plain.letter, i == 1 ? 'R' : 'L');
        assert_int_equal(mirrored.letter, plain.letter);
        assert_true(fabsf(mirrored.x - (1 - plain.x)) < 0.01f);
        assert_false(side_marker_contradicts(&plain));
        assert_true(side_marker_contradicts(&mirrored));
        film_free(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lone_letters_are_read),
        cmocka_unit_test(other_things_are_not),
        cmocka_unit_test(bundled_films_have_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
