/* Hila and lung vessels: trees that leave the hilum, fork, thin out towards the chest wall; and the fine interstitium.
 *
 * The trees give lungs their texture. Each branch is a random walk held to a direction away from the hilum; its
 * diameter falls at every fork as in living trees (the areas of two children equal the parent's). Veins of the lower
 * lungs run flatter than arteries. What is too fine to be drawn singly is a field of noise, scaled by the depth of
 * lung.
 */
#include <math.h>
#include <string.h>

#include "data/phantom/thorax.h"

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

typedef struct grower {
    thorax *t;
    random_state *random;
    raster map;
    double lateral; /* sign of u away from the mediastinum */
    double gain;
    int budget; /* segments left */
} grower;

static void grow(grower *g, thorax_space from, double angle, double dip, double radius, double length, int depth) {
    thorax *t = g->t;
    enum { STEPS = 5 };
    if (radius < 0.0014 || depth > 8 || g->budget <= 0) return;
    raster_node node[STEPS + 1];
    thorax_space at = from;
    double end = radius * random_range(g->random, 0.84, 0.95), wander = 0.13;
    for (int i = 0; i <= STEPS; i++) {
        double f = (double)i / STEPS, r = radius + f * (end - radius);
        phantom_point p = thorax_project(t, at.u, at.v, at.w);
        /* A vessel that runs towards the ray is seen end on: longer chord. */
        double chord = 2 * r * t->unit / fmax(cos(dip), 0.35);
        node[i] = (raster_node){p.x, p.y, r * t->scale, chord, 0};
        angle += parameters_normal(g->random, 0, wander, 2);
        at.u += length / STEPS * cos(dip) * cos(angle), at.v += length / STEPS * cos(dip) * sin(angle);
        at.w += length / STEPS * sin(dip);
    }
    g->budget -= STEPS;
    /* Twigs are drawn stronger than their bore: each stands for the bundle round it. */
    raster_tube(g->map, t->work, node, STEPS + 1, g->gain * (1.9 - 1.1 * clamp(radius / 0.012, 0, 1)), RASTER_CAPS);
    /* Off the film or far outside the chest: nothing to see. */
    if (node[STEPS].x < -40 || node[STEPS].x > t->width + 40 || node[STEPS].y > t->height + 40) return;
    double share = random_range(g->random, 0.3, 0.7), spread = random_range(g->random, 0.35, 0.85);
    /* Areas add up to a little more than the parent's, as in lungs. */
    double big = 1.07 * end * sqrt(fmax(share, 1 - share)), small = 1.07 * end * sqrt(fmin(share, 1 - share));
    double side = random_chance(g->random, 0.5) ? 1 : -1;
    grow(g, at, angle + side * spread * 0.35, dip * 0.8 + parameters_normal(g->random, 0, 0.2, 2), big, length * 0.86,
         depth + 1);
    grow(g, at, angle - side * spread, dip * 0.8 + parameters_normal(g->random, 0, 0.3, 2), small, length * 0.74,
         depth + 1);
    if (random_chance(g->random, 0.45)) { /* a twig on the way */
        double twig_dip = parameters_normal(g->random, 0, 0.5, 2), turn = random_range(g->random, 0.5, 1.1);
        grow(g, (thorax_space){(from.u + at.u) / 2, (from.v + at.v) / 2, (from.w + at.w) / 2}, angle + side * turn,
             twig_dip, 0.42 * end, length * 0.6, depth + 2);
    }
}

static void hilum(thorax *t, int side, random_state *r) {
    const phantom_parameters *p = t->p;
    phantom_landmarks *mark = &t->scene->landmarks;
    double sign = side ? 1 : -1, size = p->hilum_size[side];
    double spine = thorax_spine(t, t->carina.v) + 0.8 * t->shift;
    double v = t->carina.v + (side ? 0.035 : 0.075) + parameters_normal(r, 0, 0.01, 2);
    double u = spine + sign * (0.125 + 0.02 * (size - 1) + 0.25 * p->mediastinum_widen_mm / t->unit);
    double low_up = 1 - 0.35 * p->vessel_cephalization, up_up = 0.72 + 0.4 * p->vessel_cephalization;
    double wide = p->vessel_prominence * (1 - 0.25 * p->emphysema), unit_gain = 2.4;
    grower g = {t, r, {t->width, t->height, t->scene->vessels}, sign, unit_gain, 0};
    double trunk = 0.026 * size * wide;
    /* Interlobar artery: the comma-shaped body of the hilum. */
    thorax_space line[6];
    for (int i = 0; i < 6; i++) {
        double f = i / 5.0;
        line[i] =
            (thorax_space){u + sign * (0.004 + 0.06 * f + 0.015 * sin(3.1 * f)), v - 0.055 + 0.2 * f, -0.02 - 0.08 * f};
    }
    thorax_draw(t, t->scene->vessels, line, 6,
                (thorax_tube){{trunk * 1.25, trunk * 0.5}, {1.3 * trunk * t->unit, 0.5 * trunk * t->unit}, 0, 1});
    phantom_point at = thorax_project(t, u - sign * 0.005, v - 0.015, 0);
    raster_ellipse(g.map, at.x, at.y, 0.036 * size * t->scale, 0.055 * size * t->scale, 0, 0.06 * size * t->unit, 1);
    /* Branches by direction: 0 lateral, pi/2 down, -pi/2 up (mirrored for the right lung). */
    static const double direction[15] = {-1.35, -1.05, -0.75, -0.45, -0.15, 0.12, 0.35, 0.6,
                                         0.8,   1.0,   1.2,   1.38,  1.5,   -0.9, 0.5};
    for (int i = 0; i < 15; i++) {
        double a = direction[i] + parameters_normal(r, 0, 0.1, 2), f = raster_step(-0.3, 0.7, a);
        double strong = (up_up + (low_up * 1.12 - up_up) * f) * random_range(r, 0.65, 1.05);
        thorax_space from = {u + sign * (0.012 + 0.04 * f) + parameters_normal(r, 0, 0.012, 2),
                             v - 0.03 + 0.10 * f + parameters_normal(r, 0, 0.018, 2), random_range(r, -0.08, 0.06)};
        double angle = side ? a : 3.14159265 - a;
        g.budget = 320;
        double length = 0.092 * random_range(r, 0.85, 1.2), dip = random_range(r, -0.55, 0.55);
        grow(&g, from, angle, dip, 0.0118 * wide * strong, length, 0);
    }
    /* Veins of the lower lung: flat, towards the left atrium. */
    for (int i = 0; i < 4; i++) {
        double a = random_range(r, 0.15, 0.75);
        g.budget = 320;
        thorax_space from = {u - sign * 0.015, v + 0.08 + 0.03 * i, random_range(r, -0.05, 0.05)};
        grow(&g, from, side ? a : 3.14159265 - a, random_range(r, -0.4, 0.4), 0.0105 * wide * low_up, 0.1, 0);
    }
    mark->hilum[side] = thorax_project(t, u + sign * 0.025, v, 0);
    double half = 0.1 * clamp(t->inflation, 0.75, 1.1);
    mark->hilum_upper[side] = mark->hilum[side].y - half * t->scale;
    mark->hilum_lower[side] = mark->hilum[side].y + half * t->scale;
}

void vessels_build(thorax *t) {
    const phantom_parameters *p = t->p;
    phantom_scene *s = t->scene;
    random_state random = parameters_stream(p, STREAM_VESSELS), *r = &random;
    for (int side = 0; side < 2; side++) hilum(t, side, r);
    if (p->vessel_blur > 0)
        raster_blur(s->vessels, t->distance, t->width, t->height, 3.2 * p->vessel_blur * s->pixels_per_mm);
    /* Interstitium: ridged noise gives a net, plain noise a haze. */
    float *haze = t->distance;
    double mesh = random_range(r, 3.5, 7) * s->pixels_per_mm;
    raster_noise(haze, t->width, t->height, fmax(mesh, 2), 3, 0.7, r);
    double uneven_gain = random_range(r, 0.02, 0.06), amount = p->interstitial;
    for (size_t i = 0; i < t->pixels; i++) {
        float deep = s->air[0][i] + s->air[1][i];
        if (deep <= 0) {
            s->vessels[i] = 0;
            continue;
        }
        float net = 1.2f - fabsf(haze[i]) * 1.5f;
        float texture = (float)amount * 0.2f * deep * (0.6f * net + 0.4f * haze[i]);
        /* Vessels run in lung; they fade where there is little of it. */
        float inside = deep > 14 ? 1 : deep / 14;
        s->vessels[i] = s->vessels[i] * inside + texture;
    }
    raster_noise(haze, t->width, t->height, 0.22 * t->scale, 4, 0.6, r);
    for (size_t i = 0; i < t->pixels; i++) {
        float deep = s->air[0][i] + s->air[1][i];
        if (deep > 0) s->vessels[i] += (float)uneven_gain * deep * haze[i];
    }
}
