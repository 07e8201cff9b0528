/* Support devices: tubes, lines, leads, pacemakers, wires, clips, as steel-equivalent attenuators along curves of the
 * thorax.
 *
 * Each device is reported with its tip and the region the tip lies in, judged by where its curve was laid. Lines follow
 * the great veins: subclavian or jugular to the superior vena cava and on to the atrium.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/phantom/thorax.h"

/* Region indices of the anatomix36 order. */
enum {
    REGION_ABDOMEN = 0,
    REGION_HEART = 4,
    REGION_MEDIASTINUM = 14,
    REGION_ATRIUM = 15,
    REGION_SVC = 28,
    REGION_TRACHEA = 29,
    REGION_CAVOATRIAL = 31
};
static const int REGION_LUNG[2] = {20, 11};
static const int REGION_HILUM[2] = {7, 6};

#define FINE_STEPS 6
#define MAX_KNOTS  18

typedef struct drawing {
    thorax *t;
    random_state *random;
    phantom_device *device; /* NULL: the list is full */
    raster metal;
} drawing;

#define MASK_METAL 0.05f /* mm of steel that are seen */

/* Devices are drawn one after another: what changed since the last one began is its. */
static bool close_mask(thorax *t) {
    phantom_scene *s = t->scene;
    if (!t->metal_before) return true;
    if (t->masked) {
        if (!(t->masked->mask = malloc(t->pixels))) return false;
        for (size_t i = 0; i < t->pixels; i++)
            t->masked->mask[i] = fabsf(s->metal[i] - t->metal_before[i]) >= MASK_METAL && s->field_mask[i];
    }
    t->masked = NULL;
    memcpy(t->metal_before, s->metal, t->pixels * sizeof *s->metal);
    return true;
}

static drawing begin(thorax *t, random_state *r, const char *name, int side) {
    phantom_scene *s = t->scene;
    t->mask_failed |= !close_mask(t);
    drawing d = {t, r, NULL, {t->width, t->height, s->metal}};
    if (t->probe && t->probe->device == s->device_count) d.metal.value = t->probe->metal;
    if (s->device_count < PHANTOM_MAX_DEVICES) {
        d.device = &s->devices[s->device_count++];
        *d.device = (phantom_device){name, side, -1, {0, 0}, {1e9f, 1e9f, -1e9f, -1e9f}, NULL};
        t->masked = d.device;
    }
    return d;
}

static void touch(const drawing *d, phantom_point at, double reach) {
    if (!d->device) return;
    box *b = &d->device->extent;
    b->x1 = fminf(b->x1, (float)(at.x - reach)), b->y1 = fminf(b->y1, (float)(at.y - reach));
    b->x2 = fmaxf(b->x2, (float)(at.x + reach)), b->y2 = fmaxf(b->y2, (float)(at.y + reach));
}

/* A smooth wire or hose through knots. Widths in mm; metal in mm of steel. hollow 0 .. 1. */
static void wire(const drawing *d, const thorax_space *knot, int count, double width_mm, double metal_mm,
                 double hollow) {
    thorax *t = d->t;
    phantom_point flat[MAX_KNOTS], deep[MAX_KNOTS], fine[MAX_KNOTS * FINE_STEPS], fine_deep[MAX_KNOTS * FINE_STEPS];
    raster_node node[MAX_KNOTS * FINE_STEPS];
    if (count > MAX_KNOTS) count = MAX_KNOTS;
    for (int i = 0; i < count; i++) {
        flat[i] = (phantom_point){knot[i].u, knot[i].v};
        deep[i] = (phantom_point){knot[i].w, 0};
    }
    int n = raster_spline(fine, flat, count, FINE_STEPS, false);
    raster_spline(fine_deep, deep, count, FINE_STEPS, false);
    double radius = width_mm / 2 / t->unit * t->scale;
    for (int i = 0; i < n; i++) {
        phantom_point at = thorax_project(t, fine[i].x, fine[i].y, fine_deep[i].x);
        node[i] = (raster_node){at.x, at.y, radius, metal_mm, hollow};
        touch(d, at, radius);
    }
    raster_tube(d->metal, t->work, node, n, 1, RASTER_CAPS);
}

static void tip(const drawing *d, thorax_space at, int region) {
    if (!d->device) return;
    d->device->tip = thorax_project(d->t, at.u, at.v, at.w);
    d->device->end_region = region;
}

static double jitter(random_state *r, double spread) { return parameters_normal(r, 0, spread, 2); }

static void airway_tube(thorax *t, random_state *r) {
    drawing d = begin(t, r, "endotracheal tube", -1);
    double end = t->carina.v - random_range(r, 0.01, 0.22), u = t->carina.u;
    thorax_space k[4] = {{u + jitter(r, 0.01), -1.2, 0.15},
                         {u + jitter(r, 0.008), -0.75, 0.12},
                         {u + jitter(r, 0.006), 0.5 * (end - 0.75), 0.06},
                         {u, end, 0}};
    wire(&d, k, 4, 10, 0.45, 0.75);
    for (int i = 0; i < 4; i++) k[i].u += 0.012;
    wire(&d, k, 4, 1.6, 1.2, 0);
    tip(&d, k[3], REGION_TRACHEA);
}

static void enteric_tube(thorax *t, random_state *r) {
    drawing d = begin(t, r, "enteric tube", -1);
    double u = t->carina.u, stomach = t->midline + random_range(r, 0.1, 0.28), dome = t->shape[68].y;
    double end = dome + random_range(r, 0.02, 0.35);
    thorax_space k[7] = {{u + jitter(r, 0.02), -1.2, 0},
                         {u + 0.01 + jitter(r, 0.01), -0.55, -0.05},
                         {u + 0.015 + jitter(r, 0.012), fmin(-0.1, dome - 0.3), -0.12},
                         {thorax_spine(t, 0.2) + 0.03 + jitter(r, 0.015), fmin(0.2, dome - 0.12), -0.1},
                         {t->midline + 0.06, dome, -0.05},
                         {0.5 * (t->midline + stomach) + 0.03, 0.5 * (dome + end + 0.08), 0},
                         {stomach, end + 0.08, 0.05}};
    double width = random_range(r, 2.5, 5.5), metal = random_range(r, 0.3, 0.6);
    wire(&d, k, 7, width, metal, random_chance(r, 0.5) ? 0.7 : 0);
    for (int i = 0; i < 7; i++) k[i].u += 0.22 * width / t->unit;
    wire(&d, k, 7, 1.4, 0.6, 0); /* the stripe of barium */
    for (int i = 0; i < 7; i++) k[i].u -= 0.22 * width / t->unit;
    tip(&d, k[6], REGION_ABDOMEN);
}

/* From the vein's mouth beside the neck's root down the SVC. */
static int caval_path(const thorax *t, random_state *r, thorax_space *k, int n, double depth) {
    double spine = thorax_spine(t, t->carina.v) + t->shift, low = t->carina.v + depth;
    double edge = spine - 0.07;
    k[n++] = (thorax_space){edge + 0.01 + jitter(r, 0.006), t->carina.v - 0.12, 0.08};
    k[n++] = (thorax_space){edge - 0.005 + jitter(r, 0.006), 0.5 * (t->carina.v - 0.12 + low), 0.08};
    k[n++] = (thorax_space){edge - 0.01 + jitter(r, 0.008), low, 0.08};
    return n;
}

static int caval_region(double depth) {
    return depth < 0.12 ? REGION_SVC : depth < 0.2 ? REGION_CAVOATRIAL : REGION_ATRIUM;
}

static void venous_line(thorax *t, random_state *r, int side, const char *name, int entry) {
    /* entry 0 jugular, 1 subclavian, 2 arm vein */
    drawing d = begin(t, r, name, side);
    double sign = side ? 1 : -1, depth = random_range(r, 0.02, 0.26), c = t->midline;
    thorax_space k[12];
    int n = 0;
    if (entry == 0) {
        k[n++] = (thorax_space){c + sign * (0.16 + jitter(r, 0.02)), -0.78, 0.1};
        k[n++] = (thorax_space){c + sign * (0.12 + jitter(r, 0.015)), -0.58, 0.1};
    } else {
        if (entry == 2) {
            k[n++] = (thorax_space){c + sign * (0.85 + jitter(r, 0.04)), 0.25, 0};
            k[n++] = (thorax_space){c + sign * (0.74 + jitter(r, 0.03)), -0.16, 0};
            k[n++] = (thorax_space){c + sign * (0.60 + jitter(r, 0.02)), -0.33, 0.05};
        } else {
            k[n++] = (thorax_space){c + sign * (0.5 + jitter(r, 0.04)), -0.28 + jitter(r, 0.04), 0.2};
        }
        k[n++] = (thorax_space){c + sign * (0.36 + jitter(r, 0.02)), -0.40, 0.15};
        k[n++] = (thorax_space){c + sign * (0.2 + jitter(r, 0.015)), -0.42, 0.12};
    }
    if (side) k[n++] = (thorax_space){c + 0.07, -0.36, 0.12}; /* brachiocephalic vein crosses the midline */
    n = caval_path(t, r, k, n, depth);
    double width = entry == 2 ? random_range(r, 1.2, 2) : random_range(r, 1.6, 3.4);
    wire(&d, k, n, width, random_range(r, 0.55, 1.0), 0);
    tip(&d, k[n - 1], caval_region(depth));
}

static void pulmonary_catheter(thorax *t, random_state *r) {
    drawing d = begin(t, r, "swan-ganz catheter", PHANTOM_RIGHT);
    double c = t->midline, spine = thorax_spine(t, t->carina.v) + t->shift;
    double side = random_chance(r, 0.7) ? -1 : 1;
    thorax_space k[9] = {{c - 0.15, -0.78, 0.1},
                         {c - 0.11, -0.56, 0.1},
                         {spine - 0.07, t->carina.v - 0.05, 0.1},
                         {spine - 0.085, t->carina.v + 0.2, 0.1},
                         {spine + 0.0, t->carina.v + 0.36, 0.15},
                         {spine + 0.11, t->carina.v + 0.28, 0.2},
                         {spine + 0.085, t->carina.v + 0.11, 0.15},
                         {spine + (side > 0 ? 0.12 : 0.02), t->carina.v + 0.05, 0.05},
                         {spine + side * 0.17, t->carina.v + 0.1, 0}};
    wire(&d, k, 9, 2.3, 0.8, 0);
    tip(&d, k[8], REGION_HILUM[side > 0]);
}

static void port(thorax *t, random_state *r, int side) {
    drawing d = begin(t, r, "port", side);
    double sign = side ? 1 : -1, c = t->midline, u = c + sign * random_range(r, 0.25, 0.38),
           v = random_range(r, -0.3, -0.08);
    double w = 0.5 * t->depth + 0.05, depth = random_range(r, 0.06, 0.2);
    phantom_point at = thorax_project(t, u, v, w);
    double radius = random_range(r, 11, 15) / t->unit * t->scale;
    raster_ellipse(d.metal, at.x, at.y, radius, radius * 0.92, jitter(r, 0.5), 1.1, 0.3);
    raster_ellipse(d.metal, at.x, at.y, radius * 0.6, radius * 0.55, 0, -0.6, 0.2);
    touch(&d, at, radius);
    thorax_space k[9] = {{u, v - 0.03, w},
                         {u - sign * 0.02, v - 0.12, w},
                         {c + sign * 0.24, -0.42, 0.2},
                         {c + sign * 0.16, -0.46, 0.15}};
    int n = 4;
    if (side) k[n++] = (thorax_space){c + 0.06, -0.36, 0.12};
    n = caval_path(t, r, k, n, depth);
    wire(&d, k, n, 2.6, 0.8, 0.3);
    tip(&d, k[n - 1], caval_region(depth));
}

static void chest_tube(thorax *t, random_state *r, int side) {
    drawing d = begin(t, r, "chest tube", side);
    double sign = side ? 1 : -1, v = random_range(r, -0.02, 0.3), wall = thorax_wall(t, side, v),
           top = random_range(r, -0.42, 0.1);
    double u_end = t->midline + sign * random_range(r, 0.14, 0.36);
    thorax_space k[4] = {{wall + sign * 0.3, v + random_range(r, 0, 0.15), 0.05},
                         {wall - sign * 0.02, v, 0.02},
                         {0.4 * wall + 0.6 * u_end + sign * 0.04, 0.5 * (v + top), -0.05},
                         {u_end, top, -0.1}};
    double width = random_range(r, 5, 11);
    wire(&d, k, 4, width, 0.3, 0.8);
    for (int i = 0; i < 4; i++) k[i].v += 0.3 * width / t->unit;
    wire(&d, k, 4, 1.6, 0.9, 0);
    tip(&d, k[3], REGION_LUNG[side]);
}

static void pacemaker(thorax *t, random_state *r) {
    int side = random_chance(r, 0.85) ? PHANTOM_LEFT : PHANTOM_RIGHT;
    drawing d = begin(t, r, "pacemaker", side);
    double sign = side ? 1 : -1, c = t->midline, w = 0.5 * t->depth + 0.05;
    double u = c + sign * random_range(r, 0.34, 0.46), v = random_range(r, -0.36, -0.2),
           half = random_range(r, 18, 27) / t->unit;
    phantom_point at = thorax_project(t, u, v, w);
    double m = t->scale, turn = jitter(r, 0.4);
    raster_ellipse(d.metal, at.x, at.y, half * m, half * m * 0.9, turn, 2.4, 0.2);
    raster_ellipse(d.metal, at.x, at.y + 0.25 * half * m, half * m * 0.6, half * m * 0.4, turn, 1.5, 0.3);
    raster_ellipse(d.metal, at.x, at.y - 0.8 * half * m, half * m * 0.5, half * m * 0.4, turn, 0.6, 0.2);
    touch(&d, at, half * m);
    int leads = 1 + (int)random_below(r, 3);
    bool shock = random_chance(r, 0.3);
    for (int i = 0; i < leads; i++) {
        thorax_space k[12] = {{u, v - 0.6 * half, w},
                              {u + sign * 0.02 * (i + 1), v + half + 0.015 * i, w},
                              {u - sign * 0.05, v + 0.02 - 0.12, w},
                              {c + sign * 0.24, -0.42 - 0.01 * i, 0.15}};
        int n = 4;
        if (side) k[n++] = (thorax_space){c + 0.05, -0.35, 0.12};
        n = caval_path(t, r, k, n, 0.1);
        double low = t->heart[0].y, apex = t->heart[17].x, u_cava = k[n - 1].u;
        if (i == 1) { /* atrial J */
            k[n++] = (thorax_space){u_cava - 0.01, t->carina.v + 0.27, 0.12};
            k[n++] = (thorax_space){u_cava + 0.04, t->carina.v + 0.21, 0.16};
        } else {
            k[n++] = (thorax_space){u_cava + 0.02, t->carina.v + 0.3, 0.1};
            k[n++] = (thorax_space){0.6 * c + 0.4 * apex, low + 0.02, 0.16};
            k[n++] = (thorax_space){0.25 * c + 0.75 * apex + jitter(r, 0.01), low + 0.01 + jitter(r, 0.02), 0.22};
        }
        wire(&d, k, n, 1.8, 1.0, 0);
        if (shock && i == 0) wire(&d, k + n - 3, 3, 3.2, 1.4, 0);
        if (i == 0) tip(&d, k[n - 1], REGION_HEART);
    }
}

static void sternal_wires(thorax *t, random_state *r) {
    drawing d = begin(t, r, "sternal wires", -1);
    int count = 5 + (int)random_below(r, 3);
    double w = 0.48 * t->depth, lean = jitter(r, 0.01);
    for (int i = 0; i < count; i++) {
        double v = -0.31 + 0.095 * i + jitter(r, 0.008), u = t->midline + lean * i + jitter(r, 0.008),
               half = random_range(r, 0.022, 0.045);
        thorax_space loop[9];
        for (int k = 0; k < 9; k++) {
            double a = 6.2832 * k / 8 + 1.3;
            loop[k] = (thorax_space){u + half * cos(a), v + 0.4 * half * sin(a) + 0.008 * cos(a), w + 0.02 * sin(a)};
        }
        wire(&d, loop, 9, 1.1, 1.6, 0);
        thorax_space twist[3] = {
            {u, v + 0.3 * half, w}, {u + jitter(r, 0.008), v + 0.02, w}, {u + jitter(r, 0.012), v + 0.03, w}};
        wire(&d, twist, 3, 1.5, 1.8, 0);
    }
}

static void clips_and_valve(thorax *t, random_state *r) {
    if (t->p->surgical_clips) {
        drawing d = begin(t, r, "surgical clips", -1);
        double u = t->midline + random_range(r, -0.3, 0.3), v = random_range(r, -0.3, 0.45),
               spread = random_range(r, 0.03, 0.15);
        int count = 2 + (int)random_below(r, 8);
        for (int i = 0; i < count; i++) {
            double cu = u + jitter(r, spread), cv = v + jitter(r, spread), a = random_range(r, 0, 3.14),
                   half = random_range(r, 2, 4) / t->unit;
            thorax_space k[2] = {{cu - half * cos(a), cv - half * sin(a), 0.1},
                                 {cu + half * cos(a), cv + half * sin(a), 0.1}};
            wire(&d, k, 2, 1.5, 1.8, 0);
        }
    }
    if (t->p->valve) {
        drawing d = begin(t, r, "prosthetic valve", -1);
        double u = 0.7 * t->midline + 0.3 * t->heart[14].x, v = t->carina.v + random_range(r, 0.2, 0.32),
               half = random_range(r, 0.04, 0.055), turn = random_range(r, 0, 3);
        thorax_space k[13];
        for (int i = 0; i < 13; i++) {
            double a = 6.2832 * i / 12, x = half * cos(a), y = half * random_range(r, 0.35, 0.37) * sin(a);
            k[i] = (thorax_space){u + x * cos(turn) - y * sin(turn), v + x * sin(turn) + y * cos(turn), 0.05};
        }
        wire(&d, k, 13, 1.9, 1.4, 0);
    }
}

static void leads_and_pads(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    double front = 0.5 * t->depth + 0.08, c = t->midline;
    if (p->ecg_leads) {
        drawing d = begin(t, r, "ecg leads", -1);
        int count = 2 + (int)random_below(r, 4);
        for (int i = 0; i < count; i++) {
            static const double place[5][2] = {{-0.42, -0.33}, {0.42, -0.33}, {0.4, 0.38}, {-0.4, 0.38}, {0.02, 0.0}};
            double u = c + place[i][0] + jitter(r, 0.08), v = place[i][1] + jitter(r, 0.1),
                   size = random_range(r, 3.5, 7) / t->unit * t->scale;
            phantom_point at = thorax_project(t, u, v, front);
            raster_ellipse(d.metal, at.x, at.y, size, size, 0, random_range(r, 0.3, 1.2), 0.3);
            raster_ellipse(d.metal, at.x, at.y, 0.4 * size, 0.4 * size, 0, 1.2, 0.3); /* the snap */
            touch(&d, at, size);
            double side = u > c ? 1 : -1, away = random_range(r, 0.3, 0.9);
            thorax_space k[5] = {{u, v, front},
                                 {u + side * 0.1 + jitter(r, 0.06), v + jitter(r, 0.12), front},
                                 {u + side * 0.5 * away + jitter(r, 0.1), v + random_range(r, -0.2, 0.3), front},
                                 {u + side * away, v + random_range(r, -0.3, 0.6), front},
                                 {u + side * (away + 0.5), v + random_range(r, -0.5, 0.9), front}};
            double metal = random_range(r, 0.3, 0.7), width = random_range(r, 1.2, 2.4);
            wire(&d, k, 5, width, metal, 0);
        }
    }
    if (p->pads) {
        drawing d = begin(t, r, "pads", -1);
        for (int i = 0; i < 2; i++) {
            double u = c + (i ? 0.4 : -0.25) + jitter(r, 0.05), v = (i ? 0.25 : -0.2) + jitter(r, 0.05);
            phantom_point at = thorax_project(t, u, v, front);
            raster_ellipse(d.metal, at.x, at.y, 0.17 * t->scale, 0.22 * t->scale, jitter(r, 0.3), 0.35, 0.1);
            touch(&d, at, 0.2 * t->scale);
        }
    }
}

static void draw_devices(thorax *t) {
    const phantom_parameters *p = t->p;
    random_state random = parameters_stream(p, STREAM_DEVICES), *r = &random;
    if (p->ett) airway_tube(t, r);
    if (p->enteric_tube) enteric_tube(t, r);
    for (int side = 0; side < 2; side++) {
        if (p->central_line[side]) venous_line(t, r, side, "central venous line", (int)random_below(r, 2));
        if (p->picc[side]) venous_line(t, r, side, "picc", 2);
        if (p->port[side]) port(t, r, side);
        if (p->chest_tube[side]) chest_tube(t, r, side);
    }
    if (p->swan_ganz) pulmonary_catheter(t, r);
    if (p->pacemaker) pacemaker(t, r);
    if (p->sternal_wires) sternal_wires(t, r);
    clips_and_valve(t, r);
    leads_and_pads(t, r);
}

carina_status devices_build(thorax *t, bool masks, carina_error *error) {
    phantom_scene *s = t->scene;
    uint64_t bytes = (uint64_t)t->pixels * sizeof(float);
    if (masks && !(t->metal_before = calloc(t->pixels, sizeof(float))))
        return error_memory(error, "device mask", bytes);
    draw_devices(t);
    bool complete = close_mask(t) && !t->mask_failed;
    free(t->metal_before);
    t->metal_before = NULL;
    if (!complete) return error_memory(error, "device mask", (uint64_t)t->pixels);
    for (size_t i = 0; i < t->pixels; i++)
        if (s->metal[i] < 0) s->metal[i] = 0;
    for (int i = 0; i < s->device_count; i++) {
        box *b = &s->devices[i].extent;
        b->x1 = fminf(fmaxf(b->x1, 0), (float)s->width), b->x2 = fminf(fmaxf(b->x2, 0), (float)s->width);
        b->y1 = fminf(fmaxf(b->y1, 0), (float)s->height), b->y2 = fminf(fmaxf(b->y2, 0), (float)s->height);
    }
    return CARINA_OK;
}
