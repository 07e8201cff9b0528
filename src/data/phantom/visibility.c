/* Films with and without one object, held against each other; see visibility.h. */
#include "data/phantom/visibility.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/phantom/parameters.h"
#include "data/phantom/raster.h"

#define SQUARES 21 /* along a film's side */

typedef struct comparison {
    int side;
    const float *with, *without; /* [side, side] */
    const uint8_t *field;
    float *support;         /* what of the object is on each pixel, 0: nothing */
    float *residual, *work; /* the film without it, coarse structures taken off; scratch */
    double floor;           /* support counts from this share of the square's largest on */
    double shift;           /* what changed everywhere */
} comparison;

static int compare_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The display's window moves a little with whatever is on the film: the median change where the object is not. */
static double common_shift(const comparison *c) {
    size_t pixels = (size_t)c->side * (size_t)c->side, count = 0;
    for (size_t i = 0; i < pixels; i += 7)
        if (c->support[i] <= 0 && c->field[i]) c->work[count++] = c->with[i] - c->without[i];
    if (count == 0) return 0;
    qsort(c->work, count, sizeof *c->work, compare_float);
    return (double)c->work[count / 2];
}

typedef struct square {
    double cnr, contrast;
    int pixels;
} square;

static int compare_square(const void *a, const void *b) {
    double x = ((const square *)a)->cnr, y = ((const square *)b)->cnr;
    return (x > y) - (x < y);
}

static double deviation_round(const comparison *c, int x0, int y0, int size) {
    double sum = 0, squares = 0, count = 0;
    for (int y = y0 - size / 2 < 0 ? 0 : y0 - size / 2; y < y0 + size + size / 2 && y < c->side; y++)
        for (int x = x0 - size / 2 < 0 ? 0 : x0 - size / 2; x < x0 + size + size / 2 && x < c->side; x++) {
            size_t i = (size_t)y * (size_t)c->side + (size_t)x;
            if (!c->field[i]) continue;
            double value = (double)c->residual[i];
            sum += value, squares += value * value, count++;
        }
    double mean = sum / fmax(count, 1);
    return sqrt(fmax(squares / fmax(count, 1) - mean * mean, 0));
}

static square measure_square(const comparison *c, int x0, int y0, int size) {
    square out = {0};
    double most = 0, squares = 0;
    int x1 = x0 + size < c->side ? x0 + size : c->side, y1 = y0 + size < c->side ? y0 + size : c->side;
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) {
            size_t i = (size_t)y * (size_t)c->side + (size_t)x;
            if (c->field[i]) most = fmax(most, (double)c->support[i]);
        }
    if (most <= 0) return out;
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) {
            size_t i = (size_t)y * (size_t)c->side + (size_t)x;
            if (!c->field[i] || (double)c->support[i] < c->floor * most) continue;
            double change = (double)(c->with[i] - c->without[i]) - c->shift;
            squares += change * change;
            out.pixels++;
        }
    out.contrast = sqrt(squares / out.pixels);
    out.cnr = out.contrast / fmax(deviation_round(c, x0, y0, size), 0.5 / 255); /* 8 bits */
    return out;
}

/* `coarse`: pixels; structures wider than this are no noise. */
static void compare(comparison *c, double coarse, visibility *out) {
    square squares[(SQUARES + 2) * (SQUARES + 2)];
    int count = 0, size = c->side / SQUARES, half = 0;
    size_t pixels = (size_t)c->side * (size_t)c->side;
    c->shift = common_shift(c);
    memcpy(c->residual, c->without, pixels * sizeof(float));
    raster_blur(c->residual, c->work, c->side, c->side, coarse);
    for (size_t i = 0; i < pixels; i++) c->residual[i] = c->without[i] - c->residual[i];
    for (int y = 0; y < c->side; y += size)
        for (int x = 0; x < c->side; x += size) {
            square s = measure_square(c, x, y, size);
            if (s.pixels > 0) squares[count++] = s, out->pixels += s.pixels;
        }
    if (out->pixels == 0) return;
    qsort(squares, (size_t)count, sizeof *squares, compare_square);
    int weak = 0;
    for (int i = 0; i < count; i++) {
        if (2 * half < out->pixels) out->cnr = squares[i].cnr, out->contrast = 255 * squares[i].contrast;
        half += squares[i].pixels;
        if (squares[i].cnr < 1) weak += squares[i].pixels;
    }
    out->seen = 1 - (double)weak / out->pixels;
}

typedef struct films {
    uint64_t seed, index;
    int side;
    finding_film film;
    phantom_result whole;
    float *support, *residual, *work;
} films;

static comparison begin(films *f, const phantom_result *without, double least_share) {
    return (comparison){f->side,
                        f->whole.film.value,
                        without->film.value,
                        f->whole.scene.field_mask,
                        f->support,
                        f->residual,
                        f->work,
                        least_share,
                        0};
}

static carina_status measure_device(films *f, int device, visibility *out, carina_error *error) {
    finding_film film;
    phantom_result without;
    phantom_hooks hooks = finding_film_hooks(&film);
    memset(f->support, 0, (size_t)f->side * (size_t)f->side * sizeof(float));
    phantom_probe probe = {device, f->support};
    phantom_options options = {.width = f->side, .height = f->side, .hooks = &hooks, .probe = &probe};
    TRY(phantom_render(f->seed, f->index, &options, &without, error));
    *out = (visibility){.kind = f->whole.scene.devices[device].name, .device = true, .told = true};
    comparison c = begin(f, &without, 0.3);
    compare(&c, 6.0 * f->side / 512, out);
    phantom_result_free(&without);
    return CARINA_OK;
}

/* Of a break: where the film changed at least half as much as it does most. */
static void keep_break(films *f, const phantom_result *without) {
    size_t pixels = (size_t)f->side * (size_t)f->side, count = 0;
    for (size_t i = 0; i < pixels; i++) {
        if (f->support[i] <= 0) continue;
        f->support[i] = fabsf(f->whole.film.value[i] - without->film.value[i]);
        f->work[count++] = f->support[i];
    }
    qsort(f->work, count, sizeof *f->work, compare_float);
    float most = count ? f->work[(size_t)(0.97 * (double)(count - 1))] : 0;
    for (size_t i = 0; i < pixels; i++) f->support[i] = f->support[i] > 0.5f * most ? 1 : 0;
}

static carina_status measure_finding(films *f, int lesion, visibility *out, carina_error *error) {
    finding_film film;
    phantom_result without;
    int index = f->film.lesion_finding[lesion];
    const finding *item = &f->film.list.items[index];
    phantom_hooks hooks = finding_film_hooks(&film);
    film.left_out = index + 1;
    phantom_options options = {.width = f->side, .height = f->side, .hooks = &hooks};
    TRY(phantom_render(f->seed, f->index, &options, &without, error));
    *out = (visibility){.kind = finding_table[item->kind].name, .told = item->told, .uncertain = item->uncertain};
    size_t pixels = (size_t)f->side * (size_t)f->side, area = 0;
    for (size_t i = 0; i < pixels; i++) {
        f->support[i] = f->whole.scene.lesions[lesion].mask[i];
        area += f->whole.scene.lesions[lesion].mask[i];
    }
    double scale = f->side / 512.0, coarse = 0.5 * sqrt((double)area / 3.14159);
    if (finding_table[item->kind].form == FINDING_FORM_BONE) {
        keep_break(f, &without);
        coarse = 6 * scale;
    }
    comparison c = begin(f, &without, 0.3);
    compare(&c, fmin(fmax(coarse, 4 * scale), 24 * scale), out);
    phantom_result_free(&without);
    return CARINA_OK;
}

static bool wanted(const char *name, const char *kind) { return !kind || strcmp(name, kind) == 0; }

static carina_status measure_all(visibility_list *out, films *f, const char *kind, carina_error *error) {
    phantom_hooks hooks = finding_film_hooks(&f->film);
    phantom_options options = {.width = f->side, .height = f->side, .hooks = &hooks};
    TRY(phantom_render(f->seed, f->index, &options, &f->whole, error));
    const phantom_scene *s = &f->whole.scene;
    for (int i = 0; i < s->device_count && out->count < VISIBILITY_MAX; i++)
        if (wanted(s->devices[i].name, kind)) TRY(measure_device(f, i, &out->items[out->count++], error));
    for (int i = 0; i < f->film.lesion_count && out->count < VISIBILITY_MAX; i++)
        if (wanted(finding_table[f->film.list.items[f->film.lesion_finding[i]].kind].name, kind))
            TRY(measure_finding(f, i, &out->items[out->count++], error));
    return CARINA_OK;
}

carina_status visibility_measure(visibility_list *out, uint64_t seed, uint64_t index, int side, const char *kind,
                                 carina_error *error) {
    *out = (visibility_list){0};
    films *f = calloc(1, sizeof *f);
    size_t bytes = (size_t)side * (size_t)side * sizeof(float);
    if (!f) return error_memory(error, "phantom visibility", sizeof *f);
    *f = (films){.seed = seed, .index = index, .side = side};
    f->support = malloc(bytes), f->residual = malloc(bytes), f->work = malloc(bytes);
    carina_status status = f->support && f->residual && f->work ? measure_all(out, f, kind, error)
                                                                : error_memory(error, "phantom visibility", 3 * bytes);
    phantom_result_free(&f->whole);
    free(f->support), free(f->residual), free(f->work);
    free(f);
    return status;
}

static bool device_wished(const phantom_parameters *p, const char *kind) {
    const struct {
        const char *name;
        bool wished;
    } wishes[] = {{"endotracheal tube", p->ett},
                  {"enteric tube", p->enteric_tube},
                  {"central venous line", p->central_line[0] || p->central_line[1]},
                  {"picc", p->picc[0] || p->picc[1]},
                  {"swan-ganz catheter", p->swan_ganz},
                  {"port", p->port[0] || p->port[1]},
                  {"chest tube", p->chest_tube[0] || p->chest_tube[1]},
                  {"pacemaker", p->pacemaker},
                  {"sternal wires", p->sternal_wires},
                  {"surgical clips", p->surgical_clips},
                  {"prosthetic valve", p->valve},
                  {"ecg leads", p->ecg_leads},
                  {"pads", p->pads}};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        if (strcmp(wishes[i].name, kind) == 0) return wishes[i].wished;
    return false;
}

bool visibility_expected(uint64_t seed, uint64_t index, const char *kind) {
    phantom_parameters p;
    finding_film film = {0};
    parameters_draw(&p, seed, index, NULL);
    finding_film_draw(&film, &p);
    bool found = device_wished(&p, kind);
    for (int i = 0; i < film.list.count; i++) found |= strcmp(finding_table[film.list.items[i].kind].name, kind) == 0;
    return found;
}
