/* Measures of a chest film; see film_check.h. */
#include "pipeline/film_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/resize.h"
#include "pipeline/film_check_table.h"

#define SIDE   FILM_THORAX_SIDE
#define PIXELS (SIDE * SIDE)
#define SMALL  128 /* pixels of the picture's longer side that grey levels are looked at in */

typedef struct measure_words {
    const char *name, *reason;
    float refuse, usual; /* 0 at and beyond `refuse`, 1 at and beyond `usual` */
} measure_words;

/* The limits: docs/film-check.md says where they come from. */
static const measure_words words[FILM_MEASURE_COUNT] = {
    [FILM_MEASURE_VIEW] = {"view", "the file says that it is a lateral view", 0, 1},
    [FILM_MEASURE_PART] = {"part", "the file says that it shows another part of the body", 0, 1},
    [FILM_MEASURE_SPREAD] = {"spread", "its grey levels hardly differ", 0.02f, 0.10f},
    [FILM_MEASURE_SHADES] = {"shades", "it has next to no shades of grey, like a page or a drawing", 0.20f, 0.50f},
    [FILM_MEASURE_GREY] = {"grey", "it is a colour picture", 0.80f, 0.98f},
    [FILM_MEASURE_SMOOTH] = {"smooth", "neighbouring pixels have little to do with each other, as in noise", 0.60f,
                             0.90f},
    [FILM_MEASURE_SYMMETRY] = {"symmetry", "left and right do not resemble each other", -0.10f, 0.40f},
    [FILM_MEASURE_AIR] = {"air", "no two dark lungs beside a brighter mediastinum", 0.0f, 1.0f},
    [FILM_MEASURE_LIKENESS] = {"likeness", "what lies between the lungs' boxes does not look like a thorax", 0.20f,
                               0.70f},
    [FILM_MEASURE_GEOMETRY] = {"geometry", "the regions found are not arranged as in a chest", 3.0f, 1.5f},
};

const char *film_measure_name(film_measure measure) { return words[measure].name; }
const char *film_measure_reason(film_measure measure) { return words[measure].reason; }

void film_check_score(film_check *check) {
    check->score = 1;
    check->reason = FILM_MEASURE_LIKENESS;
    for (int i = 0; i < FILM_MEASURE_COUNT; i++) {
        if (isnan(check->measure[i])) continue;
        float score = (check->measure[i] - words[i].refuse) / (words[i].usual - words[i].refuse);
        score = fminf(fmaxf(score, 0), 1);
        if (score >= check->score) continue;
        check->score = score;
        check->reason = (film_measure)i;
    }
    check->refused = check->score < FILM_CHECK_LEAST;
}

/* ---- what the file says ---- */

static void measure_words_of_file(film_check *out, const film *f) {
    if (f->view[0]) out->measure[FILM_MEASURE_VIEW] = strcmp(f->view, "LATERAL") != 0;
    if (f->attributes.body_part[0]) out->measure[FILM_MEASURE_PART] = !f->other_part;
}

/* ---- grey levels ---- */

static float share_of_shades(const image *picture) {
    size_t levels[32] = {0}, count = (size_t)picture->width * (size_t)picture->height, most = 0, second = 0;
    for (size_t i = 0; i < count; i++) levels[(int)(fminf(fmaxf(picture->value[i], 0), 1) * 31.999f)]++;
    for (int i = 0; i < 32; i++) {
        if (levels[i] > most) {
            second = most;
            most = levels[i];
        } else if (levels[i] > second) {
            second = levels[i];
        }
    }
    return (float)(1 - (double)(most + second) / (double)count);
}

/* Of n pairs; 0 where one side does not vary. */
typedef struct pair_sums {
    double n, a, b, aa, bb, ab;
} pair_sums;

static void add_pair(pair_sums *s, float a, float b) {
    s->n++;
    s->a += (double)a;
    s->b += (double)b;
    s->aa += (double)a * (double)a;
    s->bb += (double)b * (double)b;
    s->ab += (double)a * (double)b;
}

static float correlation(const pair_sums *s) {
    if (s->n < 2) return 0;
    double va = s->aa - s->a * s->a / s->n, vb = s->bb - s->b * s->b / s->n, cov = s->ab - s->a * s->b / s->n;
    return va > 1e-9 && vb > 1e-9 ? (float)(cov / sqrt(va * vb)) : 0;
}

static float deviation(const float *value, size_t count) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)value[i];
        squares += (double)value[i] * (double)value[i];
    }
    double mean = sum / (double)count;
    return (float)sqrt(fmax(squares / (double)count - mean * mean, 0));
}

static carina_status measure_greys(film_check *out, const film *f, carina_error *error) {
    const image *p = &f->picture;
    int longest = p->width > p->height ? p->width : p->height;
    int width = (int)lround((double)p->width * SMALL / longest),
        height = (int)lround((double)p->height * SMALL / longest);
    image small;
    TRY(resize(&small, p, width > 2 ? width : 2, height > 2 ? height : 2, error));
    pair_sums pairs = {0};
    for (int y = 0; y + 1 < small.height; y++)
        for (int x = 0; x + 1 < small.width; x++) {
            const float *at = small.value + (size_t)y * (size_t)small.width + (size_t)x;
            add_pair(&pairs, at[0], at[1]);
            add_pair(&pairs, at[0], at[small.width]);
        }
    out->measure[FILM_MEASURE_SMOOTH] = correlation(&pairs);
    out->measure[FILM_MEASURE_SPREAD] = deviation(small.value, (size_t)small.width * (size_t)small.height);
    out->measure[FILM_MEASURE_SHADES] = share_of_shades(p);
    out->measure[FILM_MEASURE_GREY] = 1 - f->colour;
    image_free(&small);
    return CARINA_OK;
}

/* ---- the thorax ---- */

static bool lungs_of(box *out, const atlas *regions, const box *boxes) {
    int left = atlas_find(regions, "left lung"), right = atlas_find(regions, "right lung");
    if (left < 0 || right < 0) return false;
    *out = (box){fminf(boxes[left].x1, boxes[right].x1), fminf(boxes[left].y1, boxes[right].y1),
                 fmaxf(boxes[left].x2, boxes[right].x2), fmaxf(boxes[left].y2, boxes[right].y2)};
    return out->x2 - out->x1 >= 4 && out->y2 - out->y1 >= 4;
}

/* The mean of the picture within [x1, x2) x [y1, y2), whole pixels of it, at least one; clamped at its edges. */
static float mean_within(const image *p, double x1, double y1, double x2, double y2) {
    int left = (int)floor(fmin(fmax(x1, 0), p->width - 1)), right = (int)ceil(fmin(fmax(x2, left + 1), p->width));
    int top = (int)floor(fmin(fmax(y1, 0), p->height - 1)), bottom = (int)ceil(fmin(fmax(y2, top + 1), p->height));
    double sum = 0;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) sum += (double)p->value[(size_t)y * (size_t)p->width + (size_t)x];
    return (float)(sum / ((double)(right - left) * (bottom - top)));
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Grey levels as ranks with mean 0 and deviation 1: black borders of collimation and white devices, however many, pull
 * at a film's other grey levels no more than any other cell. Equal values share their rank. */
static bool rank(float value[PIXELS]) {
    float sorted[PIXELS];
    memcpy(sorted, value, sizeof sorted);
    qsort(sorted, PIXELS, sizeof *sorted, compare_floats);
    if (!(sorted[PIXELS - 1] - sorted[0] > 1e-4f)) return false;
    for (int i = 0; i < PIXELS; i++) {
        int below = 0, equal = 0;
        for (int k = 0; k < PIXELS && sorted[k] <= value[i]; k++) {
            below += sorted[k] < value[i];
            equal += sorted[k] == value[i];
        }
        value[i] = ((float)below + (float)(equal - 1) / 2) / (PIXELS - 1) - 0.5f;
    }
    float spread = deviation(value, PIXELS);
    for (int i = 0; i < PIXELS; i++) value[i] /= spread;
    return true;
}

bool film_thorax(float out[PIXELS], const film *f, const atlas *regions, const box *boxes) {
    box lungs;
    if (!lungs_of(&lungs, regions, boxes)) return false;
    const image *p = &f->picture; /* its pixels are the file's but for files whose pixels are not square */
    double sx = (double)p->width / f->file_width, sy = (double)p->height / f->file_height;
    double width = (double)(lungs.x2 - lungs.x1) * sx, height = (double)(lungs.y2 - lungs.y1) * sy;
    double left = (double)lungs.x1 * sx + 0.02 * width, top = (double)lungs.y1 * sy + 0.02 * height;
    double step_x = 0.96 * width / SIDE, step_y = 1.08 * height / SIDE;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            out[y * SIDE + x] =
                mean_within(p, left + x * step_x, top + y * step_y, left + (x + 1) * step_x, top + (y + 1) * step_y);
    return rank(out);
}

static float likeness(const float *thorax, const float *other, bool mirrored) {
    pair_sums pairs = {0};
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            add_pair(&pairs, thorax[y * SIDE + x], other[y * SIDE + (mirrored ? SIDE - 1 - x : x)]);
    return correlation(&pairs);
}

/* The lower quartile of the cells in columns [from, to) of the lungs' middle rows: vessels and ribs are left out. */
static float dark_part(const float *thorax, int from, int to) {
    float cells[PIXELS];
    int count = 0;
    for (int y = SIDE / 4; y < SIDE * 5 / 8; y++)
        for (int x = from; x < to; x++) cells[count++] = thorax[y * SIDE + x];
    qsort(cells, (size_t)count, sizeof *cells, compare_floats);
    return cells[count / 4];
}

/* The brighter of the two dark parts counts: both lungs must be dark. */
static float air(const float *thorax) {
    float left = dark_part(thorax, 1, SIDE * 3 / 8), right = dark_part(thorax, SIDE * 5 / 8, SIDE - 1), middle = 0;
    int count = 0;
    for (int y = SIDE / 4; y < SIDE * 5 / 8; y++)
        for (int x = SIDE * 7 / 16; x < SIDE * 9 / 16; x++, count++) middle += thorax[y * SIDE + x];
    return middle / (float)count - fmaxf(left, right);
}

/* The cosine of what is not symmetric in the thorax with what is not symmetric in the mean one. */
static float side_of(const float *thorax) {
    double ab = 0, aa = 0, bb = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE / 2; x++) {
            int here = y * SIDE + x, there = y * SIDE + SIDE - 1 - x;
            double a = (double)(thorax[here] - thorax[there]),
                   b = (double)(film_mean_thorax[here] - film_mean_thorax[there]);
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
    return aa > 0 && bb > 0 ? (float)(ab / sqrt(aa * bb)) : 0;
}

/* ---- boxes ---- */

bool film_places(float (*out)[4], const atlas *regions, const box *boxes) {
    box lungs;
    if (!lungs_of(&lungs, regions, boxes)) return false;
    float width = lungs.x2 - lungs.x1, height = lungs.y2 - lungs.y1;
    for (int r = 0; r < regions->region_count; r++) {
        const box *b = &boxes[r];
        out[r][0] = ((b->x1 + b->x2) / 2 - lungs.x1) / width;
        out[r][1] = ((b->y1 + b->y2) / 2 - lungs.y1) / height;
        out[r][2] = (b->x2 - b->x1) / width;
        out[r][3] = (b->y2 - b->y1) / height;
    }
    return true;
}

/* Sets are matched by name: a user's own set counts with the regions it shares. */
static float geometry(const atlas *regions, const box *boxes) {
    float places[ATLAS_MAX_REGIONS][4];
    if (!film_places(places, regions, boxes)) return 6;
    const atlas *usual = atlas_anatomix36();
    double sum = 0;
    int count = 0;
    for (int r = 0; r < usual->region_count; r++) {
        int at = atlas_find(regions, usual->regions[r].name);
        for (int k = 0; at >= 0 && k < 4; k++, count++)
            sum += (double)fminf(fabsf(places[at][k] - film_place_mean[r][k]) / film_place_deviation[r][k], 6);
    }
    return count ? (float)(sum / count) : 6;
}

/* ---- sides ---- */

/* The boxes must say so and the picture must not contradict them: either alone errs on one film in thirty and more. */
#define SIDE_CONTRADICTS 0.15f

static void find_mirrored(film_check *out, const film *f, const atlas *regions, const box *boxes) {
    char direction = f->attributes.orientation[0][0];
    int left = atlas_find(regions, "left lung"), right = atlas_find(regions, "right lung");
    if (direction == 'R')
        snprintf(out->mirrored, sizeof out->mirrored,
                 "seems mirrored: the file's orientation says that its rows run towards the patient's right");
    else if (side_marker_contradicts(&out->marker))
        snprintf(out->mirrored, sizeof out->mirrored,
                 "seems mirrored: its side marker %c stands on the %s of the picture", out->marker.letter,
                 out->marker.x < 0.5f ? "left" : "right");
    else if (left >= 0 && right >= 0 && boxes[left].x1 + boxes[left].x2 < boxes[right].x1 + boxes[right].x2 &&
             out->side < SIDE_CONTRADICTS)
        snprintf(out->mirrored, sizeof out->mirrored,
                 "seems mirrored: the left lung was found left of the right one in the picture");
}

carina_status film_check_run(film_check *out, const film *f, const atlas *regions, const box *boxes,
                             carina_error *error) {
    *out = (film_check){0};
    for (int i = 0; i < FILM_MEASURE_COUNT; i++) out->measure[i] = NAN;
    measure_words_of_file(out, f);
    TRY(measure_greys(out, f, error));
    if (atlas_find(regions, "left lung") >= 0 && atlas_find(regions, "right lung") >= 0) {
        float thorax[PIXELS];
        bool found = film_thorax(thorax, f, regions, boxes);
        float same = found ? likeness(thorax, film_mean_thorax, false) : 0;
        float other = found ? likeness(thorax, film_mean_thorax, true) : 0;
        out->measure[FILM_MEASURE_SYMMETRY] = found ? likeness(thorax, thorax, true) : -1;
        out->measure[FILM_MEASURE_AIR] = found ? air(thorax) : 0;
        out->measure[FILM_MEASURE_LIKENESS] = fmaxf(same, other);
        out->measure[FILM_MEASURE_GEOMETRY] = geometry(regions, boxes);
        out->side = found ? side_of(thorax) : 0;
    }
    film_check_score(out);
    TRY(side_marker_find(&out->marker, &f->picture, error));
    find_mirrored(out, f, regions, boxes);
    return CARINA_OK;
}
