/* Side markers and burnt-in text: lead letters laid on the cassette (with initials, a disc, a ring), and words written
 * by the console. Letters are a 5 x 7 dot alphabet drawn with soft edges at any angle: at film resolution nobody can
 * tell.
 */
#include "data/phantom/lettering.h"

#include <math.h>
#include <string.h>

#include "data/phantom/parameters.h"
#include "data/phantom/raster.h"

/* Rows from the top, five bits each, the leftmost dot highest. */
static const uint8_t glyph[26][7] = {
    {0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}, {0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e},
    {0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e}, {0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e},
    {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f}, {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10},
    {0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f}, {0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11},
    {0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e}, {0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0c},
    {0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11}, {0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f},
    {0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11}, {0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11},
    {0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}, {0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10},
    {0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d}, {0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11},
    {0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e}, {0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04},
    {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}, {0x11, 0x11, 0x11, 0x11, 0x11, 0x0a, 0x04},
    {0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11}, {0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11},
    {0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04}, {0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f}};

typedef struct pen {
    image *film;
    double x, y;          /* top left corner of the next letter */
    double size;          /* height in pixels */
    double c, s;          /* direction of writing */
    double level, weight; /* grey level, opacity */
} pen;

static void blend(image *film, int x, int y, double level, double amount) {
    if (x < 0 || y < 0 || x >= film->width || y >= film->height || amount <= 0) return;
    float *cell = film->value + (size_t)y * (size_t)film->width + x;
    *cell += (float)(amount > 1 ? 1 : amount) * ((float)level - *cell);
}

/* Share of the dot matrix lit at (u, v) in dots, linear between dots. */
static double lit(int letter, double u, double v) {
    double sum = 0;
    int column = (int)floor(u - 0.5), row = (int)floor(v - 0.5);
    for (int j = row; j <= row + 1; j++)
        for (int i = column; i <= column + 1; i++) {
            if (i < 0 || i > 4 || j < 0 || j > 6 || !(glyph[letter][j] >> (4 - i) & 1)) continue;
            sum += (1 - fabs(u - 0.5 - i)) * (1 - fabs(v - 0.5 - j));
        }
    return raster_step(0.25, 0.6, sum);
}

static void write_word(pen *p, const char *word) {
    double dot = p->size / 7;
    for (; *word; word++) {
        int letter = *word - 'A';
        if (letter >= 0 && letter < 26) {
            double reach = p->size * 1.3;
            double mx = p->x + (2.5 * p->c - 3.5 * p->s) * dot, my = p->y + (2.5 * p->s + 3.5 * p->c) * dot;
            for (int y = (int)floor(my - reach); y <= (int)(my + reach); y++)
                for (int x = (int)floor(mx - reach); x <= (int)(mx + reach); x++) {
                    double px = x + 0.5 - p->x, py = y + 0.5 - p->y;
                    double u = (px * p->c + py * p->s) / dot, v = (py * p->c - px * p->s) / dot;
                    if (u > -1 && v > -1 && u < 6 && v < 8)
                        blend(p->film, x, y, p->level, p->weight * lit(letter, u, v));
                }
        }
        p->x += 6 * dot * p->c, p->y += 6 * dot * p->s;
    }
}

static void ring(image *film, double cx, double cy, double radius, double line, double level, double weight,
                 bool filled) {
    for (int y = (int)(cy - radius - 2); y <= (int)(cy + radius + 2); y++)
        for (int x = (int)(cx - radius - 2); x <= (int)(cx + radius + 2); x++) {
            double d = hypot(x + 0.5 - cx, y + 0.5 - cy);
            double on = filled ? radius + 0.5 - d : line / 2 + 0.5 - fabs(d - radius);
            blend(film, x, y, level, weight * (on < 0 ? 0 : on > 1 ? 1 : on));
        }
}

static void side_marker(image *film, int side, random_state *r) {
    double w = film->width, h = film->height, size = h * random_range(r, 0.024, 0.05);
    double x = side ? random_range(r, 0.78, 0.96) : random_range(r, 0.03, 0.2), y = random_range(r, 0.03, 0.3);
    if (random_chance(r, 0.08)) y = random_range(r, 0.7, 0.95);
    double angle = random_chance(r, 0.35) ? random_range(r, -0.9, 0.9) : random_range(r, -0.08, 0.08);
    pen p = {film, x * w, y * h, size, cos(angle), sin(angle), 0.98, 0.95};
    int style = (int)random_below(r, 4);
    char letter[2] = {side ? 'L' : 'R', 0};
    if (style == 0) { /* ring, or a dark disc with a ring */
        double cx = p.x + (2.5 * p.c - 3.5 * p.s) * size / 7, cy = p.y + (2.5 * p.s + 3.5 * p.c) * size / 7;
        if (random_chance(r, 0.5)) ring(film, cx, cy, size * 0.95, 0, 0.02, 0.9, true);
        ring(film, cx, cy, size * 0.95, size * 0.11, 0.98, 0.95, false);
        p.size *= 0.85;
    }
    if (style == 3) { /* a whole word on the strip */
        write_word(&p, side ? "LEFT" : "RIGHT");
        return;
    }
    write_word(&p, letter);
    if (style == 2) { /* the technologist's initials below */
        char initials[3] = {(char)('A' + random_below(r, 26)), (char)('A' + random_below(r, 26)), 0};
        pen q = {film, x * w - 1.2 * size * p.s, y * h + 1.2 * size * p.c, size * 0.6, p.c, p.s, p.level, 0.9};
        write_word(&q, initials);
    }
    if (style == 1 && random_chance(r, 0.6)) { /* bubble marker */
        double up = random_range(r, 0.2, 0.9), right = random_range(r, -0.5, 0.8);
        ring(film, p.x + size * right, p.y - size * up, size * 0.55, 0, 0.97, 0.85, true);
    }
}

static void words(image *film, const phantom_scene *scene, random_state *r) {
    static const char *const plain[] = {"PORTABLE", "AP", "SUPINE",  "ERECT", "UPRIGHT",
                                        "SEMI",     "PA", "BEDSIDE", "MOBILE"};
    double size = film->height * random_range(r, 0.012, 0.02);
    int count = 1 + (int)random_below(r, 3);
    for (int i = 0; i < count; i++) {
        const char *word = plain[random_below(r, 9)];
        if (scene->parameters.ap ? !strcmp(word, "PA")
                                 : strcmp(word, "PA") && strcmp(word, "ERECT") && strcmp(word, "UPRIGHT"))
            continue;
        double x = random_chance(r, 0.7)
                       ? (random_chance(r, 0.5) ? random_range(r, 0.02, 0.15) : random_range(r, 0.75, 0.88))
                       : random_range(r, 0.2, 0.7);
        double y = random_chance(r, 0.75) ? random_range(r, 0.02, 0.3) : random_range(r, 0.8, 0.96);
        pen shade = {film, x * film->width + 1, y * film->height + 1, size, 1, 0, 0.0, 0.7};
        write_word(&shade, word);
        pen p = {film, x * film->width, y * film->height, size, 1, 0, 0.99, 1};
        write_word(&p, word);
    }
}

void lettering_draw(image *film, const phantom_scene *scene) {
    random_state random = parameters_stream(&scene->parameters, STREAM_TEXT), *r = &random;
    if (random_chance(r, 0.9)) side_marker(film, random_chance(r, 0.7) ? PHANTOM_LEFT : PHANTOM_RIGHT, r);
    if (random_chance(r, 0.12)) side_marker(film, PHANTOM_RIGHT, r);
    if (random_chance(r, scene->parameters.ap ? 0.5 : 0.08)) words(film, scene, r);
}
