/* Pieces, letters, markers; see side_marker.h. */
#include "pipeline/side_marker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/resize.h"

#define LONG_SIDE      640 /* pixels of the longer side that is looked at: letters are 10 to 60 of them high */
#define REACH          20  /* of what surrounds a pixel */
#define LEAST_HEIGHT   9
#define MOST_HEIGHT    64
#define MOST_PIECES    512
#define COLUMNS        10
#define ROWS           14
#define CELLS          (COLUMNS * ROWS)
#define LEAST_LIKENESS 0.80f
#define LEAST_LEAD     0.06f /* over any other letter */
#define NEAR_MIDDLE    0.08f /* of the width: says nothing */
#define ANGLES         7
#define STEP_DEGREES   8

/* 5 x 7 dots, rows from the top, the leftmost dot highest. L and R first; O is a ring, I a bar. */
static const struct letter {
    char name;
    unsigned char row[7];
} letters[] = {
    {'L', {0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f}}, {'R', {0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11}},
    {'A', {0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}}, {'B', {0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e}},
    {'C', {0x0f, 0x10, 0x10, 0x10, 0x10, 0x10, 0x0f}}, {'D', {0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e}},
    {'E', {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f}}, {'F', {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10}},
    {'H', {0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}}, {'I', {0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f}},
    {'J', {0x01, 0x01, 0x01, 0x01, 0x11, 0x11, 0x0e}}, {'K', {0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11}},
    {'M', {0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11}}, {'N', {0x11, 0x19, 0x19, 0x15, 0x13, 0x13, 0x11}},
    {'O', {0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}}, {'P', {0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10}},
    {'S', {0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e}}, {'T', {0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04}},
    {'U', {0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e}}, {'V', {0x11, 0x11, 0x11, 0x0a, 0x0a, 0x0a, 0x04}},
    {'X', {0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11}}, {'Y', {0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04}},
    {'Z', {0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f}}, {'\\', {0x10, 0x10, 0x08, 0x04, 0x02, 0x01, 0x01}},
};
#define LETTERS ((int)(sizeof letters / sizeof *letters))

typedef struct piece {
    int x1, y1, x2, y2; /* [x1, x2) x [y1, y2) */
    int number;         /* of its pixels in the map */
} piece;

typedef struct search {
    image small;
    double *sums; /* [height + 1, width + 1], of the pixels above and to the left */
    int *map;     /* [height, width]: -1 bright, 0 not, else a piece's number */
    int *stack;
    piece pieces[MOST_PIECES];
    int piece_count;
    float models[LETTERS][2][CELLS]; /* each letter, and its mirror image */
} search;

/* ---- pieces ---- */

static double sum_within(const search *s, int x1, int y1, int x2, int y2) {
    int stride = s->small.width + 1;
    return s->sums[y2 * stride + x2] - s->sums[y1 * stride + x2] - s->sums[y2 * stride + x1] +
           s->sums[y1 * stride + x1];
}

static void find_bright(search *s) {
    int width = s->small.width, height = s->small.height;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            s->sums[(y + 1) * (width + 1) + x + 1] = (double)s->small.value[y * width + x] +
                                                     s->sums[y * (width + 1) + x + 1] +
                                                     s->sums[(y + 1) * (width + 1) + x] - s->sums[y * (width + 1) + x];
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int x1 = x > REACH ? x - REACH : 0, x2 = x + REACH < width ? x + REACH + 1 : width;
            int y1 = y > REACH ? y - REACH : 0, y2 = y + REACH < height ? y + REACH + 1 : height;
            double mean = sum_within(s, x1, y1, x2, y2) / ((x2 - x1) * (y2 - y1));
            double value = (double)s->small.value[y * width + x];
            s->map[y * width + x] = value > 0.5 && value - mean > 0.4 * (1 - mean) ? -1 : 0;
        }
}

/* The bright pixels that hang together with one. */
static piece flood(search *s, int start, int number) {
    int width = s->small.width, height = s->small.height, top = 0;
    piece p = {width, height, 0, 0, number};
    s->map[start] = number;
    s->stack[top++] = start;
    while (top) {
        int at = s->stack[--top], x = at % width, y = at / width;
        if (x < p.x1) p.x1 = x;
        if (x >= p.x2) p.x2 = x + 1;
        if (y < p.y1) p.y1 = y;
        if (y >= p.y2) p.y2 = y + 1;
        for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < height; v++)
            for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < width; u++)
                if (s->map[v * width + u] == -1) {
                    s->map[v * width + u] = number;
                    s->stack[top++] = v * width + u;
                }
    }
    return p;
}

static void find_pieces(search *s) {
    int count = s->small.width * s->small.height, number = 1;
    for (int i = 0; i < count && s->piece_count < MOST_PIECES; i++) {
        if (s->map[i] != -1) continue;
        piece p = flood(s, i, number++);
        int width = p.x2 - p.x1, height = p.y2 - p.y1;
        if (height >= LEAST_HEIGHT && height <= MOST_HEIGHT && width * 5 >= height && width <= MOST_HEIGHT)
            s->pieces[s->piece_count++] = p;
    }
}

/* ---- letters ---- */

/* Mean 0, length 1; false when nothing differs. */
static bool normalise(float cell[CELLS]) {
    double sum = 0, squares = 0;
    for (int i = 0; i < CELLS; i++) sum += (double)cell[i];
    for (int i = 0; i < CELLS; i++) {
        cell[i] -= (float)(sum / CELLS);
        squares += (double)cell[i] * (double)cell[i];
    }
    for (int i = 0; i < CELLS; i++) cell[i] = (float)((double)cell[i] / sqrt(fmax(squares, 1e-12)));
    return squares > 1e-6;
}

static void soften(float cell[CELLS]) {
    float from[CELLS];
    memcpy(from, cell, sizeof from);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++) {
            float sum = 0, weight = 0;
            for (int v = y ? y - 1 : 0; v <= y + 1 && v < ROWS; v++)
                for (int u = x ? x - 1 : 0; u <= x + 1 && u < COLUMNS; u++) {
                    float w = u == x && v == y ? 2 : 1;
                    sum += w * from[v * COLUMNS + u];
                    weight += w;
                }
            cell[y * COLUMNS + x] = sum / weight;
        }
}

static void draw_letter(float cell[CELLS], const struct letter *l, bool mirrored) {
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++) {
            int column = mirrored ? 4 - x / 2 : x / 2;
            cell[y * COLUMNS + x] = (float)(l->row[y / 2] >> (4 - column) & 1);
        }
    soften(cell);
    normalise(cell);
}

/* The piece turned by an angle, within its own bounds, in cells. */
static bool draw_piece(float cell[CELLS], const search *s, const piece *p, double angle) {
    double c = cos(angle), d = sin(angle), mx = (p->x1 + p->x2) / 2.0, my = (p->y1 + p->y2) / 2.0;
    double x1 = 1e9, y1 = 1e9, x2 = -1e9, y2 = -1e9;
    for (int y = p->y1; y < p->y2; y++)
        for (int x = p->x1; x < p->x2; x++) {
            if (s->map[y * s->small.width + x] != p->number) continue;
            double u = c * (x + 0.5 - mx) + d * (y + 0.5 - my), v = c * (y + 0.5 - my) - d * (x + 0.5 - mx);
            x1 = fmin(x1, u - 0.5), x2 = fmax(x2, u + 0.5), y1 = fmin(y1, v - 0.5), y2 = fmax(y2, v + 0.5);
        }
    double shape = (x2 - x1) / (y2 - y1);
    if (shape < 0.35 || shape > 1.1) return false;
    for (int i = 0; i < CELLS; i++) {
        int lit = 0;
        for (int k = 0; k < 9; k++) {
            double u = x1 + (x2 - x1) * (i % COLUMNS + (k % 3 + 0.5) / 3) / COLUMNS;
            double v = y1 + (y2 - y1) * (i / COLUMNS + (k / 3 + 0.5) / 3) / ROWS;
            int x = (int)floor(mx + c * u - d * v), y = (int)floor(my + c * v + d * u);
            if (x >= p->x1 && x < p->x2 && y >= p->y1 && y < p->y2) lit += s->map[y * s->small.width + x] == p->number;
        }
        cell[i] = (float)lit / 9;
    }
    soften(cell);
    return normalise(cell);
}

/* How much a piece is like each letter, whichever way it lies. */
static void compare_letters(float like[LETTERS], const search *s, const piece *p) {
    float cell[CELLS];
    for (int l = 0; l < LETTERS; l++) like[l] = -1;
    for (int a = 0; a < ANGLES; a++) {
        if (!draw_piece(cell, s, p, (a - ANGLES / 2) * STEP_DEGREES * 3.14159265358979 / 180)) continue;
        for (int l = 0; l < 2 * LETTERS; l++) {
            const float *model = s->models[l / 2][l % 2];
            float sum = 0;
            for (int i = 0; i < CELLS; i++) sum += cell[i] * model[i];
            like[l / 2] = fmaxf(like[l / 2], sum);
        }
    }
}

/* Another piece of about its height beside it. */
static bool stands_in_a_word(const search *s, const piece *p) {
    int height = p->y2 - p->y1;
    for (int i = 0; i < s->piece_count; i++) {
        const piece *q = &s->pieces[i];
        int other = q->y2 - q->y1, gap = q->x1 > p->x1 ? q->x1 - p->x2 : p->x1 - q->x2;
        int shared = (p->y2 < q->y2 ? p->y2 : q->y2) - (p->y1 > q->y1 ? p->y1 : q->y1);
        if (q != p && 10 * other > 6 * height && 6 * other < 10 * height && 2 * shared > height && gap < height)
            return true;
    }
    return false;
}

/* The marker that a piece is, when it is more like one than the last. */
static void take_piece(side_marker *out, const search *s, const piece *p) {
    float like[LETTERS], others = -1;
    compare_letters(like, s, p);
    int best = like[1] > like[0];
    for (int l = 0; l < LETTERS; l++)
        if (l != best) others = fmaxf(others, like[l]);
    if (like[best] < LEAST_LIKENESS || like[best] - others < LEAST_LEAD || stands_in_a_word(s, p)) return;
    if (like[best] <= out->likeness) return;
    *out = (side_marker){letters[best].name, (float)(p->x1 + p->x2) / 2 / (float)s->small.width,
                         (float)(p->y1 + p->y2) / 2 / (float)s->small.height, like[best]};
}

static carina_status search_open(search **out, const image *picture, carina_error *error) {
    int longest = picture->width > picture->height ? picture->width : picture->height;
    int width = (int)lround((double)picture->width * LONG_SIDE / longest),
        height = (int)lround((double)picture->height * LONG_SIDE / longest);
    search *s = *out = calloc(1, sizeof *s);
    if (!s) return error_memory(error, "a side marker", sizeof *s);
    TRY(resize(&s->small, picture, width > 0 ? width : 1, height > 0 ? height : 1, error));
    size_t count = (size_t)s->small.width * (size_t)s->small.height;
    s->sums = calloc((size_t)(s->small.width + 1) * (size_t)(s->small.height + 1), sizeof *s->sums);
    s->map = calloc(count, sizeof *s->map);
    s->stack = calloc(count, sizeof *s->stack);
    if (!s->sums || !s->map || !s->stack) return error_memory(error, "a side marker", count * sizeof *s->map);
    for (int l = 0; l < 2 * LETTERS; l++) draw_letter(s->models[l / 2][l % 2], &letters[l / 2], l % 2);
    return CARINA_OK;
}

static void search_close(search *s) {
    if (!s) return;
    image_free(&s->small);
    free(s->sums);
    free(s->map);
    free(s->stack);
    free(s);
}

carina_status side_marker_find(side_marker *out, const image *picture, carina_error *error) {
    search *s;
    *out = (side_marker){0};
    carina_status status = search_open(&s, picture, error);
    if (status == CARINA_OK) {
        find_bright(s);
        find_pieces(s);
        for (int i = 0; i < s->piece_count; i++) take_piece(out, s, &s->pieces[i]);
    }
    search_close(s);
    return status;
}

bool side_marker_contradicts(const side_marker *marker) {
    if (!marker->letter || fabsf(marker->x - 0.5f) < NEAR_MIDDLE) return false;
    return (marker->letter == 'L') != (marker->x > 0.5f);
}
