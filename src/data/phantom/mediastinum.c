/* Trachea and main bronchi, aortic arch, great vessels, hilar masses of vessel: what stands between the lungs.
 *
 * The solid parts need no drawing of their own where no lung lies in front or behind; they matter where they push lung
 * aside (knob, pulmonary trunk, right atrium's and ascending aorta's border), which is done by taking their depth off
 * the lungs' gas. Air columns are gas taken off the soft tissue.
 */
#include <math.h>
#include <string.h>

#include "data/phantom/thorax.h"

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

void mediastinum_place(thorax *t) {
    const phantom_parameters *p = t->p;
    random_state random = parameters_stream(p, STREAM_MEDIASTINUM), *r = &random;
    double child = p->age < 14 ? (14 - p->age) / 14.0 : 0, tortuous = p->aorta_tortuosity;
    t->trachea_radius = parameters_normal(r, p->sex == 'M' ? 0.032 : 0.029, 0.0035, 2) + 0.004 * child;
    t->vertebra_half = parameters_normal(r, 0.058, 0.005, 2) + 0.006 * child;
    t->carina.v = parameters_normal(r, -0.125, 0.026, 2.3) + 0.06 * (t->inflation - 0.95) - 0.02 * child;
    t->carina.u = thorax_spine(t, t->carina.v) + parameters_normal(r, -0.004, 0.008, 2) + 0.7 * t->shift +
                  0.7 * p->trachea_shift_mm / t->unit;
    t->carina.w = -0.06;
    t->trachea_top = t->carina.v - parameters_normal(r, 0.47, 0.045, 2);
    t->arch_radius = clamp(0.05 + 0.018 * tortuous + parameters_normal(r, 0, 0.006, 2) - 0.008 * child, 0.034, 0.085);
    double edge =
        0.112 + 0.038 * tortuous + parameters_normal(r, 0, 0.013, 2) + 0.5 * p->mediastinum_widen_mm / t->unit;
    t->arch_u = thorax_spine(t, t->carina.v) + edge - t->arch_radius + 0.7 * t->shift;
    double above = t->arch_radius * (1.08 + 0.12 * random_uniform(r));
    t->arch_v = t->carina.v - 0.004 - above - 0.03 * tortuous * random_uniform(r);

    /* The sampled left contour carries somebody else's knob at a place of its own: level it, so that this patient's
     * stands alone. */
    for (int i = 81; i <= 92; i++) {
        phantom_point *s = t->shape + i;
        double spine = thorax_spine(t, s->y) + t->shift;
        double base = 0.078 + 0.055 * raster_step(t->carina.v - 0.06, t->carina.v + 0.13, s->y);
        double own = s->x - spine - (double)shape_statistics_mean[2 * i];
        double mix = 0.85 * (1 - raster_step(t->carina.v + 0.04, t->carina.v + 0.16, s->y));
        double level = spine + base + 0.35 * own + 0.4 * p->mediastinum_widen_mm / t->unit;
        s->x += mix * (level - s->x);
    }
}

static void knob_and_vessels(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    raster map = {t->width, t->height, t->scene->heart};
    double m = t->scale, unit = t->unit, tortuous = p->aorta_tortuosity;
    phantom_point at = thorax_project(t, t->arch_u, t->arch_v, -0.03);
    double tall = t->arch_radius * 1.1, wide = t->arch_radius;
    raster_ellipse(map, at.x, at.y, wide * m, tall * m, 0, 0.36 * unit, 0.55);
    double left = at.x - wide * m, right = at.x + wide * m;
    phantom_point trachea = thorax_project(t, t->carina.u, t->arch_v, t->carina.w);
    double wall = trachea.x + t->trachea_radius * m;
    t->arch_box = (box){(float)wall, (float)(at.y - tall * m), (float)right, (float)(at.y + tall * m)};
    if (t->arch_box.x1 > t->arch_box.x2 - 0.02 * m) t->arch_box.x1 = (float)left;
    t->scene->landmarks.arch = (phantom_point){(t->arch_box.x1 + t->arch_box.x2) / 2, at.y};
    if (p->aorta_calcification > 0) {
        thorax_space rim[10];
        double from = random_range(r, -1.6, -0.6), span = random_range(r, 0.6, 1.8);
        for (int i = 0; i < 10; i++) {
            double a = from + span * i / 9;
            rim[i] = (thorax_space){t->arch_u + 0.93 * wide * cos(a), t->arch_v + 0.93 * tall * sin(a), -0.03};
        }
        thorax_draw(t, t->scene->bone, rim, 10,
                    (thorax_tube){{0.005, 0.004}, {9 * p->aorta_calcification, 6 * p->aorta_calcification}, 0, 1});
    }
    /* Pulmonary trunk below the knob, left atrial appendage below that; ascending aorta and SVC on the right. */
    double edge = t->arch_u + wide;
    double spine = thorax_spine(t, t->carina.v) + t->shift;
    at = thorax_project(t, 0.45 * edge + 0.55 * (spine + 0.10) - 0.01, t->carina.v + 0.065, 0.08);
    raster_ellipse(map, at.x, at.y, 0.05 * m, 0.075 * m, 0.25, random_range(r, 0.06, 0.24) * unit, 0.9);
    at = thorax_project(t, spine - 0.035 - 0.035 * tortuous, t->carina.v + 0.02, 0.1);
    raster_ellipse(map, at.x, at.y, 0.065 * m, 0.17 * m, -0.08, (0.15 + 0.15 * tortuous) * unit, 0.8);
    /* Brachiocephalic vessels beside the trachea: a slow shade above arch and clavicles. */
    for (int side = 0; side < 2; side++) {
        double sign = side ? 1 : -1, thick = random_range(r, 0.06, 0.16) * unit;
        thorax_space line[3] = {{spine + sign * 0.045, t->carina.v - 0.05, 0.05},
                                {spine + sign * 0.07, t->carina.v - 0.2, 0.05},
                                {spine + sign * 0.13, t->carina.v - 0.33, 0.02}};
        thorax_draw(t, t->scene->heart, line, 3, (thorax_tube){{0.04, 0.03}, {thick, 0.5 * thick}, 0, 1});
    }
}

static void airways(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    phantom_scene *s = t->scene;
    enum { NODES = 14 };
    thorax_space line[NODES];
    double bend = parameters_normal(r, 0, 0.008, 2) - 0.012 * p->aorta_tortuosity - 0.004;
    double top = t->trachea_top, left = 1e9, right = -1e9;
    double radius = t->trachea_radius;
    for (int i = 0; i < NODES; i++) {
        double f = (double)i / (NODES - 1), v = top + f * (t->carina.v - top);
        double inlet = thorax_spine(t, top) + parameters_normal(r, 0, 0.0015, 2) + 0.2 * t->shift;
        double u = inlet + f * (t->carina.u - inlet) + bend * sin(3.14 * f) +
                   0.3 * p->trachea_shift_mm / t->unit * sin(3.14 * f);
        line[i] = (thorax_space){u, v, 0.10 - 0.16 * f};
        phantom_point at = thorax_project(t, u, v, line[i].w);
        if (at.y + 1 < 0) continue; /* above the film */
        left = fmin(left, at.x - radius * t->scale), right = fmax(right, at.x + radius * t->scale);
    }
    double deep = 3.4 * radius * t->unit * random_range(r, 0.7, 1.3);
    thorax_draw(t, s->gas, line, NODES, (thorax_tube){{radius * 0.9, radius}, {deep, deep}, 0, 1});
    /* Larynx and pharynx above. */
    thorax_space neck[4] = {{line[0].u, top + 0.01, 0.1},
                            {line[0].u, top - 0.05, 0.12},
                            {line[0].u, top - 0.1, 0.12},
                            {line[0].u, top - 0.3, 0.1}};
    thorax_draw(t, s->gas, neck, 4, (thorax_tube){{radius * 0.55, radius * 1.2}, {deep * 0.4, deep * 1.1}, 0, 0.8});
    phantom_point upper = thorax_project(t, line[0].u, top, 0.1);
    phantom_point fork = thorax_project(t, t->carina.u, t->carina.v, t->carina.w);
    s->landmarks.carina = fork;
    t->trachea_box = (box){(float)left, (float)upper.y, (float)right, (float)(fork.y + 0.012 * t->scale)};
    double half = 2 * radius * t->scale;
    t->carina_box =
        (box){(float)(fork.x - half), (float)(fork.y - half / 2), (float)(fork.x + half), (float)(fork.y + half / 2)};
    /* Main bronchi, then the lobar ones as fading stubs. */
    for (int side = 0; side < 2; side++) {
        double sign = side ? 1 : -1, angle = side ? random_range(r, 0.7, 0.95) : random_range(r, 0.4, 0.6);
        double length = side ? 0.16 : 0.09;
        thorax_space branch[5];
        for (int i = 0; i < 5; i++) {
            double f = i / 4.0, a = angle * (1 - 0.25 * f);
            branch[i] = (thorax_space){t->carina.u + sign * (length * f * sin(a) + 0.75 * radius),
                                       t->carina.v + 0.35 * radius + length * f * cos(a), t->carina.w - 0.01};
        }
        thorax_draw(t, s->gas, branch, 5,
                    (thorax_tube){{radius * 0.85, radius * 0.6}, {deep * 0.8, deep * 0.55}, 0, 1});
        thorax_space lobar[4];
        for (int i = 0; i < 4; i++) {
            double f = i / 3.0;
            lobar[i] = (thorax_space){branch[4].u + sign * 0.045 * f, branch[4].v + 0.1 * f, t->carina.w - 0.02};
        }
        thorax_draw(t, s->gas, lobar, 4, (thorax_tube){{radius * 0.55, radius * 0.3}, {deep * 0.5, deep * 0.12}, 0, 1});
    }
}

static double dome_v(const thorax *t, int side, double *u) {
    const phantom_point *s = t->shape;
    double best = 1e9;
    for (int i = side ? 66 : 22; i <= (side ? 71 : 29); i++)
        if (s[i].y < best) best = s[i].y, *u = s[i].x;
    return best;
}

static void abdomen_gas(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    raster map = {t->width, t->height, t->scene->gas};
    double u = 0, v = dome_v(t, 1, &u), m = t->scale, unit = t->unit;
    if (p->stomach_gas > 0.02) {
        double size = p->stomach_gas, rx = 0.05 + 0.1 * size, ry = (0.025 + 0.07 * size) * random_range(r, 0.6, 1.2);
        double gap = random_range(r, 0.012, 0.05);
        phantom_point at =
            thorax_project(t, 0.55 * u + 0.45 * (t->midline + 0.2) + random_range(r, -0.05, 0.04), v + gap + ry, 0.05);
        float *work = t->distance;
        memset(work, 0, t->pixels * sizeof *work);
        double edge = random_range(r, 0.7, 1.4), turn = random_range(r, -0.3, 0.3);
        raster_ellipse((raster){t->width, t->height, work}, at.x, at.y, rx * m, ry * m, turn,
                       (0.08 + 0.2 * size) * unit, edge);
        /* Erect, the bubble ends in a fluid level. */
        double level = p->supine ? 1e9 : at.y + ry * m * random_range(r, -0.1, 0.7);
        for (int y = 0; y < t->height; y++) {
            float keep = (float)(1 - raster_step(level - 1, level + 1, y));
            for (int x = 0; x < t->width; x++) {
                size_t i = (size_t)y * (size_t)t->width + (size_t)x;
                map.value[i] += keep * work[i];
            }
        }
    }
    int loops = (int)(p->bowel_gas * 16);
    for (int i = 0; i < loops; i++) {
        /* Colon and small bowel; a few loops stand high under the left dome. */
        double at_u = t->midline + (random_chance(r, 0.65) ? random_range(r, 0.02, 0.48) : random_range(r, -0.45, 0.3));
        double at_v = v + random_range(r, 0.06, 0.6);
        phantom_point at = thorax_project(t, at_u, at_v, 0.1);
        double rx = random_range(r, 0.02, 0.07), ry = rx * random_range(r, 0.5, 1.1);
        double amount = random_range(r, 0.04, 0.16), turn = random_range(r, 0, 3.1);
        raster_ellipse(map, at.x, at.y, rx * m, ry * m, turn, amount * unit, 1);
    }
}

void mediastinum_build(thorax *t) {
    phantom_scene *s = t->scene;
    random_state random = parameters_stream(t->p, STREAM_MEDIASTINUM), *r = &random;
    for (int i = 0; i < 64; i++) random_u64(r); /* past what mediastinum_place drew */
    knob_and_vessels(t, r);
    airways(t, r);
    abdomen_gas(t, r);
    /* Heart and vessels take their depth off the gas; a rest of lung in front and behind stays. Outlines are filled by
     * whole pixels: a little blur makes them smooth. */
    raster_blur(s->heart, t->distance, t->width, t->height, 0.0018 * t->height);
    for (int side = 0; side < 2; side++)
        raster_blur(s->air[side], t->distance, t->width, t->height, 0.0016 * t->height);
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < t->pixels; i++)
            if (s->heart[i] > 0 && s->air[side][i] > 0) {
                float all = s->air[side][i], left = all - 0.85f * s->heart[i];
                s->air[side][i] = left > 0.07f * all ? left : 0.07f * all;
            }
}
