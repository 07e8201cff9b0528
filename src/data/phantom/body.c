/* The large volumes: body wall, neck, shoulders, arms, breasts, abdomen; gas in the lungs; heart and great vessels.
 *
 * A volume is a silhouette with a depth that rises from its edge like a rounded solid's (distance transform of the
 * filled outline): the path length through it is then smooth and zero at its border, as in a tangential view. Lungs are
 * gas taken off the solid body; the heart in turn takes its own depth off the gas, which is what makes its border
 * visible and leaves some lung shining through behind it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/phantom/thorax.h"

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

static float rounded(float distance, float radius) {
    float q = distance >= radius ? 1 : distance / radius;
    return sqrtf(q * (2 - q));
}

/* The trunk with neck and shoulders, one closed outline. */
static int trunk_outline(thorax *t, phantom_point *out, random_state *r) {
    enum { NODES = 14 };
    const phantom_parameters *p = t->p;
    double neck = (0.175 + 0.07 * p->fat + 0.03 * p->muscle) * (p->age < 10 ? 1.15 : 1);
    double slope = parameters_normal(r, -0.60, 0.03, 2);
    double tip_v = parameters_normal(r, -0.42, 0.03, 2) - 0.004 * (p->clavicle_rise - 12);
    double tip = 0.76 + 0.08 * p->muscle + 0.06 * p->fat, waist = parameters_normal(r, 0, 0.02, 2);
    for (int side = 0; side < 2; side++) {
        double wall = t->wall[side], sign = side ? 1 : -1;
        const double node[NODES][2] = {{neck * 0.98, -1.5},
                                       {neck * 0.95, -0.95},
                                       {neck * 1.02, -0.74},
                                       {neck * 1.3, slope - 0.05},
                                       {0.42 + 0.05 * p->fat, slope + 0.045 - 0.03 * p->muscle},
                                       {tip - 0.08, tip_v - 0.06},
                                       {tip, tip_v + 0.03},
                                       {tip - 0.02, tip_v + 0.14},
                                       {wall + 0.10, tip_v + 0.30}, /* axilla */
                                       {wall + 0.04, 0.02},
                                       {wall + 0.015 + 0.03 * p->fat + waist, 0.3},
                                       {wall - 0.01 + 0.07 * p->fat + waist, 0.6},
                                       {wall + 0.14 * p->fat + waist, 0.95},
                                       {wall + 0.16 * p->fat + waist, 1.6}};
        for (int i = 0; i < NODES; i++)
            out[side ? i : 2 * NODES - 1 - i] = (phantom_point){t->midline + sign * node[i][0], node[i][1]};
    }
    return 2 * NODES;
}

static void trunk(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    phantom_scene *s = t->scene;
    phantom_point outline[40];
    for (int side = 0; side < 2; side++) {
        double rib = fmax(fabs(thorax_wall(t, side, 0.25) - t->midline), fabs(thorax_wall(t, side, 0.05) - t->midline));
        t->wall[side] = clamp(rib + 0.045 + 0.09 * p->fat + 0.03 * p->muscle, 0.45, 0.95);
    }
    int n = trunk_outline(t, outline, r);
    thorax_fill(t, s->body_mask, outline, n, -0.05);
    raster_distance(t->distance, s->body_mask, t->width, t->height, t->line);
    double front_back = t->depth + 0.11 + 0.26 * p->fat + 0.05 * p->muscle; /* skin to skin at the base */
    double neck = 0.42 + 0.1 * p->fat, belly = front_back * (0.96 + 0.22 * p->fat);
    double shoulder = 0.44 + 0.1 * p->muscle + 0.12 * p->fat;
    double row_v = -t->centre.y / t->scale, ridge = random_range(r, 0.03, 0.16);
    for (int y = 0; y < t->height; y++) {
        double v = row_v + (y + 0.5) / t->scale;
        double body = neck + (shoulder - neck) * raster_step(-0.8, -0.55, v);
        body += (front_back - shoulder) * raster_step(-0.6, 0.05, v);
        body += (belly - front_back) * raster_step(0.1, 0.55, v);
        float deep = (float)(body * t->unit);
        float radius = (float)((0.17 + 0.27 * raster_step(-0.5, 0.1, v)) * t->scale);
        for (int x = 0; x < t->width; x++) {
            size_t at = (size_t)y * (size_t)t->width + (size_t)x;
            if (s->body_mask[at]) s->soft[at] = deep * rounded(t->distance[at], radius);
        }
        /* Spine and the muscle beside it: the middle of a film is its brightest stripe. */
        double axis = t->centre.x + (thorax_spine(t, v) - 0.1 * t->yaw[1]) * t->scale, spread = 0.07 * t->scale;
        int from = (int)clamp(axis - 3 * spread, 0, t->width), to = (int)clamp(axis + 3 * spread, 0, t->width);
        for (int x = from; x < to; x++) {
            size_t at = (size_t)y * (size_t)t->width + (size_t)x;
            double q = (x + 0.5 - axis) / spread;
            if (s->body_mask[at]) s->soft[at] += (float)(ridge * t->unit * exp(-0.5 * q * q));
        }
    }
}

static void arms(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    phantom_scene *s = t->scene;
    double away = 0.12 + 0.55 * p->arms;
    for (int side = 0; side < 2; side++) {
        double sign = side ? 1 : -1, out = away + parameters_normal(r, 0, 0.06, 2);
        double thick = 0.10 + 0.05 * p->fat + 0.035 * p->muscle;
        double u = t->midline + sign * 0.71, v = -0.38;
        thorax_space line[8];
        for (int i = 0; i < 8; i++) {
            double f = i * 0.2;
            line[i] = (thorax_space){u + sign * (out * f + 0.03), v + f * 0.95 * (1 - 0.3 * p->arms), -0.03};
        }
        memset(t->distance, 0, t->pixels * sizeof *t->distance);
        thorax_draw(t, t->distance, line, 8,
                    (thorax_tube){{thick, thick * 0.8}, {2 * thick * t->unit, 1.6 * thick * t->unit}, 0, 1});
        for (size_t i = 0; i < t->pixels; i++)
            if (t->distance[i] > 0) {
                s->body_mask[i] = 1;
                /* Where arm and trunk overlap on the film they are partly the same tissue. */
                float more = t->distance[i];
                s->soft[i] = s->soft[i] > more ? s->soft[i] + 0.25f * more : more + 0.25f * s->soft[i];
            }
    }
}

static void raster_breast(raster map, double cx, double cy, double rx, double ry, double angle, double thickness,
                          double fold) {
    double c = cos(angle), s = sin(angle), reach = fmax(rx, ry);
    int x1 = (int)clamp(cx - reach, 0, map.width), x2 = (int)clamp(cx + reach + 1, 0, map.width);
    int y1 = (int)clamp(cy - reach, 0, map.height), y2 = (int)clamp(cy + reach + 1, 0, map.height);
    for (int y = y1; y < y2; y++)
        for (int x = x1; x < x2; x++) {
            double px = x + 0.5 - cx, py = y + 0.5 - cy;
            double a = (px * c + py * s) / rx, b = (py * c - px * s) / ry, r2 = a * a + b * b;
            if (r2 >= 1) continue;
            double power = fold + 2.6 * raster_step(0.55, -0.5, b);
            map.value[(size_t)y * (size_t)map.width + (size_t)x] += (float)(thickness * pow(1 - r2, 0.5 * power));
        }
}

static void breasts(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    double size = p->breast;
    if (size < 0.03) {
        /* Pectoral folds and nipples of a flat chest are left to the noise of the soft tissue. */
        return;
    }
    raster map = {t->width, t->height, t->scene->soft};
    for (int side = 0; side < 2; side++) {
        if (p->sex == 'F' && random_chance(r, 0.02)) continue; /* after mastectomy */
        double sign = side ? 1 : -1;
        double sag = p->supine ? 0.02 : 0.1 * size;
        double u =
            t->midline + sign * (0.29 + 0.05 * size + (p->supine ? 0.08 * size : 0) + parameters_normal(r, 0, 0.02, 2));
        double v = 0.16 + sag + parameters_normal(r, 0, 0.04, 2);
        double rx = 0.13 + 0.12 * size, ry = 0.14 + 0.13 * size;
        phantom_point at = thorax_project(t, u, v, 0.5 * t->depth + 0.05);
        double m = thorax_scale_at(t, 0.5 * t->depth + 0.05),
               deep = (0.06 + 0.2 * size) * t->unit * (p->supine ? 0.7 : 1);
        double tilt = sign * random_range(r, -0.3, 0.5);
        /* Flows into the chest wall above, hangs over with a fold below: the profile sharpens downwards. */
        raster_breast(map, at.x, at.y, rx * m, ry * m, tilt, 0.7 * deep, random_range(r, 0.9, 2));
        for (size_t i = 0; i < t->pixels; i++) t->scene->body_mask[i] |= t->scene->soft[i] > 0;
    }
}

static void head(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    if (p->head <= 0) return;
    double v = -1.13 + 0.28 * p->head, u = t->midline + parameters_normal(r, 0, 0.05, 2);
    phantom_point at = thorax_project(t, u, v, 0.05);
    raster soft = {t->width, t->height, t->scene->soft}, bone = {t->width, t->height, t->scene->bone};
    double rx = 0.27 * t->scale, ry = 0.36 * t->scale, turn = parameters_normal(r, 0, 0.15, 2);
    raster_ellipse(soft, at.x, at.y, rx, ry, turn, 0.6 * t->unit, 1);
    raster_ellipse(bone, at.x, at.y, rx * 0.9, ry * 0.93, turn, 14, 0.5);
    raster_ellipse(bone, at.x, at.y, rx * 0.74, ry * 0.85, turn, -8, 0.7);
    for (size_t i = 0; i < t->pixels; i++) t->scene->body_mask[i] |= t->scene->soft[i] > 0;
}

/* Fills one lung's gas. `share` is the part of the path that is gas. */
static void lung(thorax *t, int side, double share) {
    phantom_scene *s = t->scene;
    float *air = s->air[side];
    uint8_t *mask = s->lung_mask[side];
    raster_distance(t->distance, mask, t->width, t->height, t->line);
    double row_v = -t->centre.y / t->scale;
    float near = (float)(0.028 * t->scale), across = (float)(0.32 * t->scale), inner = (float)(0.2 * t->scale);
    int below = (int)(0.11 * t->scale);
    for (int y = 0; y < t->height; y++) {
        double v = row_v + (y + 0.5) / t->scale;
        double deep = t->depth * t->unit * (0.36 + 0.64 * raster_step(-0.62, 0.05, v)) * share;
        double below_hila = raster_step(t->carina.v - 0.08, t->carina.v + 0.1, v);
        const uint8_t *row = mask + (size_t)y * (size_t)t->width;
        int first = 0, last = t->width - 1;
        while (first < t->width && !row[first]) first++;
        if (first == t->width) continue;
        while (!row[last]) last--;
        for (int x = first; x <= last; x++) {
            size_t at = (size_t)y * (size_t)t->width + (size_t)x;
            if (!row[x]) continue;
            /* From the outer wall inwards: the film's edge is no wall. */
            float lateral = side == 0 ? (first > 0 ? (float)(x - first + 1) : across)
                                      : (last < t->width - 1 ? (float)(last - x + 1) : across);
            air[at] = (float)deep * rounded(t->distance[at], near) * (0.42f + 0.58f * rounded(lateral, across));
            /* Beside the spine the lung's inner face leans back: less of it on the ray the nearer to the midline. */
            float medial = (float)(side == 0 ? last - x : x - first), lean = medial < inner ? medial / inner : 1;
            air[at] *= 1 - (float)below_hila * 0.55f * (1 - lean) * (1 - lean);
        }
    }
    /* The gutter behind the dome: lung seen through liver and stomach, fading downwards. Not part of the mask. */
    for (int x = 0; x < t->width; x++) {
        int low = t->height - 1;
        while (low >= 0 && !mask[(size_t)low * (size_t)t->width + (size_t)x]) low--;
        if (low < 0) continue;
        int from = low - (int)near > 0 ? low - (int)near : 0;
        float lung_here = air[(size_t)from * (size_t)t->width + (size_t)x];
        for (int k = -(int)near; k < below; k++) {
            int y = low + k;
            if (y < 0 || y >= t->height) continue;
            float fade = 1 - (float)(k < 0 ? 0 : k) / (float)below;
            float gutter = 0.17f * lung_here * fade * fade;
            float *cell = air + (size_t)y * (size_t)t->width + (size_t)x;
            if (*cell < gutter) *cell = gutter;
        }
    }
}

static void heart(thorax *t) {
    phantom_scene *s = t->scene;
    double w = 0.22 * t->depth;
    thorax_fill(t, s->heart_mask, t->heart, SHAPE_HEART_POINTS, w);
    raster_distance(t->distance, s->heart_mask, t->width, t->height, t->line);
    float deep = (float)(0.80 * t->depth * t->unit), radius = (float)(0.2 * t->scale);
    for (size_t i = 0; i < t->pixels; i++)
        if (s->heart_mask[i]) s->heart[i] = deep * (0.12f + 0.88f * rounded(t->distance[i], radius));
}

void body_build(thorax *t) {
    const phantom_parameters *p = t->p;
    phantom_scene *s = t->scene;
    random_state random = parameters_stream(p, STREAM_BODY), *r = &random;
    trunk(t, r);
    arms(t, r);
    breasts(t, r);
    head(t, r);
    for (int side = 0; side < 2; side++) thorax_fill(t, s->lung_mask[side], t->lung[side], t->lung_points[side], -0.02);
    heart(t);
    double share = clamp(0.62 + 0.12 * p->emphysema + 0.06 * (p->inspiration - 0.5), 0.5, 0.9);
    for (int side = 0; side < 2; side++) lung(t, side, share * parameters_normal(r, 1, 0.02, 2));
    /* Subcutaneous fat, muscle sheets and the like: slow unevenness of the wall. */
    raster_noise(t->distance, t->width, t->height, 0.25 * t->scale, 6, 0.66, r);
    double uneven = random_range(r, 0.01, 0.045);
    for (size_t i = 0; i < t->pixels; i++) s->soft[i] *= 1 + (float)uneven * t->distance[i];
}
