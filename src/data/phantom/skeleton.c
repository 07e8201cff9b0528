/* Spine, ribs, sternum, clavicles, scapulae, humeri: curves in three dimensions, drawn as shells of cortical bone.
 *
 * A rib's path length per film pixel grows where it runs towards the ray (its lateral bend): a tube of cross-section
 * thickness c drawn over a projected length l while its true length is L carries c * L / l. Ribs end at the bony front
 * end; cartilage is seen only when calcified.
 */
#include <math.h>
#include <string.h>

#include "data/phantom/thorax.h"

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

typedef struct bone_shape {
    double radius, thickness, shell; /* units, mm, share of the radius */
} bone_shape;

/* Draws a bone; where it runs along the ray the chord is lengthened. Ends in breaks are denser: parts driven into each
 * other. */
static void bone_tube(thorax *t, const thorax_space *point, int count, bone_shape shape, int caps,
                      const bool driven[2]) {
    raster_node node[PHANTOM_LINE_POINTS];
    if (count > PHANTOM_LINE_POINTS) count = PHANTOM_LINE_POINTS;
    for (int i = 0; i < count; i++) {
        phantom_point at = thorax_project(t, point[i].u, point[i].v, point[i].w);
        node[i] =
            (raster_node){at.x, at.y, shape.radius * thorax_scale_at(t, point[i].w), shape.thickness, shape.shell};
    }
    for (int i = 0; i < count; i++) {
        int a = i > 0 ? i - 1 : 0, b = i + 1 < count ? i + 1 : i;
        double du = point[b].u - point[a].u, dv = point[b].v - point[a].v, dw = point[b].w - point[a].w;
        double whole = sqrt(du * du + dv * dv + dw * dw),
               flat = hypot(node[b].x - node[a].x, node[b].y - node[a].y) / t->scale;
        node[i].thickness *= clamp(whole / fmax(flat, 1e-6), 1, 1.3);
    }
    for (int i = 0; i < 2 && i + 1 < count; i++) {
        if (driven[0]) node[i].thickness *= 1.8;
        if (driven[1]) node[count - 1 - i].thickness *= 1.8;
    }
    raster_tube((raster){t->width, t->height, t->scene->bone}, t->work, node, count, t->p->bone, caps);
}

/* The node after which a broken bone's next part begins. */
static int break_node(const phantom_fracture *f, int count) {
    return (int)(clamp(f->position, 0.05, 0.95) * (count - 1));
}

/* Nodes from `at` + 1 on are shifted and bent. A mended bone comes to lie the same, in a smooth curve. */
static void break_bone(const thorax *t, thorax_space *point, int count, const phantom_fracture *f) {
    int at = break_node(f, count);
    double step = f->displacement_mm / t->unit, bend = tan(clamp(f->angle_degrees, -60, 60) * 0.01745);
    const double callus = 0.03;
    const thorax_space from = point[at], next = point[at + 1];
    /* Parts slip across the bone: a rib's into the chest, where lung shows the step; a clavicle's weight pulls down. */
    double across_u = 0, across_v = 1;
    if (!f->clavicle) {
        double du = next.u - from.u, dv = next.v - from.v, length = fmax(hypot(du, dv), 1e-9);
        double inward = (dv > 0) == (f->side == PHANTOM_LEFT) ? -1 : 1;
        across_u = inward * dv / length, across_v = -inward * du / length;
    }
    for (int i = f->mended ? 0 : at + 1; i < count; i++) {
        double run = hypot(point[i].u - from.u, point[i].v - from.v), far = i > at ? run : -run;
        double fade = f->clavicle ? 1 : exp(-run / 0.12); /* a rib's far end is held by its neighbours */
        double shifted = 1, turned = run;
        if (f->mended) {
            shifted = raster_step(-callus, callus, far);
            turned = far <= -callus ? 0 : far < callus ? (far + callus) * (far + callus) / (4 * callus) : far;
        }
        double slip = (step * shifted + bend * turned) * fade;
        point[i].u += slip * across_u, point[i].v += slip * across_v;
    }
}

/* bone_tube from node `first` to `last` of a bone that may be broken: at each break the parts end square, with a cleft
 * between them, and the next one begins where its own direction takes it. */
static void broken_tube(thorax *t, const thorax_space *point, int count, int first, int last, bone_shape shape,
                        int caps, const uint8_t *broken) {
    thorax_space part[PHANTOM_LINE_POINTS];
    double cleft = 2.4 / t->unit + 2 / t->scale; /* ends reach a pixel out */
    int n = 0, part_caps = caps & RASTER_CAP_START;
    bool after_break = false;
    for (int i = first; i <= last && i < count; i++) {
        part[n++] = point[i];
        if (!broken[i] || i >= last || i + 2 >= count) continue;
        bone_tube(t, part, n, shape, part_caps, (bool[2]){after_break, true});
        part_caps = 0, n = 0, after_break = true;
        const thorax_space *a = &point[i + 1], *b = &point[i + 2];
        double spacing =
            sqrt((b->u - a->u) * (b->u - a->u) + (b->v - a->v) * (b->v - a->v) + (b->w - a->w) * (b->w - a->w));
        /* Of the way to where its own line would have the node before. */
        double back = clamp(1 - cleft / fmax(spacing, 1e-6), 0, 1);
        part[n++] =
            (thorax_space){a->u - back * (b->u - a->u), a->v - back * (b->v - a->v), a->w - back * (b->w - a->w)};
    }
    bone_tube(t, part, n, shape, part_caps | (caps & RASTER_CAP_END), (bool[2]){after_break, false});
}

static void vertebra(thorax *t, int number, random_state *r) {
    const phantom_parameters *p = t->p;
    double top = thorax_vertebra(number), bottom = thorax_vertebra(number + 1), tall = bottom - top;
    double disc = tall * (0.17 - 0.09 * p->degeneration * random_uniform(r)), middle = top + (tall + disc) / 2;
    double u = thorax_spine(t, middle), w = -0.40 * t->depth;
    double half = t->vertebra_half * (number < 1 ? 0.82 : 0.88 + 0.018 * number);
    double lean = atan2(thorax_spine(t, bottom) - thorax_spine(t, top), tall);
    double unit = t->unit, mineral = p->bone;
    phantom_point at = thorax_project(t, u, middle, w);
    double m = thorax_scale_at(t, w), angle = -lean + asin(t->roll[1]);
    raster map = {t->width, t->height, t->scene->bone};
    double rx = half * m, ry = 0.5 * (tall - disc) * m;
    /* Superellipse body: a rounded block, spongy inside, with denser end plates and side walls. */
    double c = cos(angle), s = sin(angle), reach = hypot(rx, ry) + 2;
    double deep = 0.017 * unit * mineral, plate = 0.013 * unit * mineral;
    int y1 = (int)clamp(at.y - reach, 0, t->height), y2 = (int)clamp(at.y + reach, 0, t->height);
    int x1 = (int)clamp(at.x - reach, 0, t->width), x2 = (int)clamp(at.x + reach, 0, t->width);
    for (int y = y1; y < y2; y++)
        for (int x = x1; x < x2; x++) {
            double px = x + 0.5 - at.x, py = y + 0.5 - at.y;
            double a = fabs(px * c + py * s) / rx, b = fabs(py * c - px * s) / ry;
            a *= 1 + 0.12 * (1 - b); /* waist */
            if (a >= 1 || b >= 1) continue;
            double edge = fmax(pow(a, 9), pow(b, 7)), soft = (1 - pow(a, 12)) * (1 - pow(b, 12));
            map.value[(size_t)y * (size_t)t->width + (size_t)x] += (float)((deep + plate * edge) * soft);
        }
    /* Pedicles, spinous and transverse processes. */
    double dw = w - 0.12;
    for (int side = 0; side < 2; side++) {
        double sign = side ? 1 : -1;
        at = thorax_project(t, u + sign * half * 0.62, middle - 0.1 * tall, dw);
        raster_ellipse(map, at.x, at.y, 0.2 * rx, 0.28 * ry * 1.2, angle, 0.009 * unit * mineral, 0.6);
        if (number >= 1 && number <= 12) {
            thorax_space process[3] = {{u + sign * half * 0.7, middle - 0.12 * tall, dw},
                                       {u + sign * half * 1.25, middle - 0.2 * tall, dw - 0.02},
                                       {u + sign * half * (1.75 - 0.04 * number), middle - 0.22 * tall, dw - 0.04}};
            thorax_draw(t, map.value, process, 3, (thorax_tube){{0.014, 0.018}, {5 * mineral, 5 * mineral}, 0.5, 1});
        }
        if (p->degeneration > 0.4 && random_chance(r, p->degeneration - 0.3)) { /* osteophyte */
            at = thorax_project(t, u + sign * half * 1.05, bottom, w);
            raster_ellipse(map, at.x, at.y, 0.2 * rx, 0.1 * m * tall, angle, 5 * mineral, 0.8);
        }
    }
    at = thorax_project(t, u, bottom - 0.02 * tall, dw - 0.08);
    raster_ellipse(map, at.x, at.y, 0.13 * rx, 0.36 * ry, angle, 0.009 * unit * mineral, 0.7);
}

static void ribs(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    enum { NODES = 44 };
    double slope = parameters_normal(r, 1, 0.14, 2.2) * (p->age < 5 ? 0.6 : 1) * (0.85 + 0.3 * p->emphysema);
    slope *= 0.82 + 0.3 * (1 - p->inspiration);
    double wide = parameters_normal(r, 0.0235, 0.0025, 2), cortex = random_range(r, 0.55, 0.82);
    double rib_mineral = random_range(r, 7, 11) * t->unit / 260;
    double calcified = p->age > 45 && random_chance(r, 0.45) ? random_uniform(r) * (p->age - 40) / 50.0 : 0;
    for (int side = 0; side < 2; side++)
        for (int n = 1; n <= 12; n++) {
            double sign = side ? 1 : -1, back = -0.46 * t->depth, jitter = parameters_normal(r, 0, 0.004, 2);
            double root = thorax_vertebra(n) + 0.012 + jitter;
            static const double fall_table[13] = {0,     0.085, 0.17, 0.235, 0.285, 0.325, 0.355,
                                                  0.375, 0.39,  0.37, 0.31,  0.20,  0.12};
            static const double front_table[13] = {0,    0.17, 0.20, 0.215, 0.225, 0.235, 0.25,
                                                   0.27, 0.31, 0.37, 0.43,  0.52,  0.54};
            double fall = fall_table[n] * slope, whole = n <= 10 ? 1 : n == 11 ? 0.62 : 0.45;
            double lateral_v = root + 0.5 * fall;
            double wall = fabs(thorax_wall(t, side, lateral_v) - t->midline) + 0.012;
            if (n == 1) wall = fmin(wall, 0.29);
            if (n == 2) wall = fmin(wall, 0.40);
            double start = t->vertebra_half * 0.9;
            thorax_space point[NODES];
            double deep = t->depth * (0.42 + 0.58 * raster_step(-0.62, -0.05, root));
            for (int i = 0; i < NODES; i++) {
                double f = whole * i / (NODES - 1), a = 3.14159 * f * 0.86;
                double x = sin(a);
                double reach = a < 1.5708 ? start + (wall - start) * pow(x, 0.66)
                                          : front_table[n] + (wall - front_table[n]) * (x - 0.43) / 0.57;
                if (a >= 1.5708 && x < 0.43) reach = front_table[n];
                double drop = fall * (0.62 * raster_step(-0.12, 1.05, f) + 0.38 * f) - 0.012 * sin(fmin(a * 2.2, 3.14));
                double v = root + drop;
                point[i] = (thorax_space){thorax_spine(t, v) + sign * reach, v,
                                          back + deep * (1 - cos(a)) * 0.5 + 0.06 * t->depth * x};
            }
            uint8_t broken[NODES] = {0};
            for (int i = 0; i < p->fracture_count; i++)
                if (!p->fractures[i].clavicle && p->fractures[i].side == side && p->fractures[i].rib == n) {
                    break_bone(t, point, NODES, &p->fractures[i]);
                    broken[break_node(&p->fractures[i], NODES)] = !p->fractures[i].mended;
                }
            double radius = wide * (n == 1 ? 1.1 : n >= 11 ? 0.75 : 1);
            /* Back and front arcs are two bodies on one ray; drawn apart so that their shadows add. */
            int split = (int)(NODES * 0.58 / whole);
            if (split > NODES - 2) split = NODES - 1;
            broken_tube(t, point, NODES, 0, split, (bone_shape){radius, rib_mineral, cortex},
                        split < NODES - 1 ? RASTER_CAP_START : RASTER_CAPS, broken);
            if (split < NODES - 1)
                broken_tube(t, point, NODES, split, NODES - 1, (bone_shape){radius * 1.08, 0.72 * rib_mineral, cortex},
                            RASTER_CAP_END, broken);
            phantom_line *line = &t->scene->rib[side][n - 1];
            line->point_count = NODES;
            line->half_width = radius * t->scale;
            for (int i = 0; i < NODES; i++) line->point[i] = thorax_project(t, point[i].u, point[i].v, point[i].w);
            if (calcified > 0.1 && n <= 9) {
                thorax_space tip = point[NODES - 1];
                for (int k = 0; k < 9; k++) {
                    double f = random_uniform(r), rise = n > 5 ? -0.16 : 0.02;
                    phantom_point at = thorax_project(t, tip.u - sign * f * (front_table[n] - 0.06),
                                                      tip.v + rise * f + random_range(r, -0.012, 0.012), tip.w);
                    double lime = 7 * calcified * random_uniform(r);
                    double high = random_range(r, 0.004, 0.012), broad = random_range(r, 0.006, 0.022);
                    raster_ellipse((raster){t->width, t->height, t->scene->bone}, at.x, at.y, broad * t->scale,
                                   high * t->scale, 0, lime, 1);
                }
            }
        }
}

/* As broken_tube, on the film's plane. */
static void clavicle_tube(thorax *t, const raster_node *node, int count, const uint8_t *broken) {
    raster map = {t->width, t->height, t->scene->bone};
    raster_node part[PHANTOM_LINE_POINTS];
    double cleft = 2.4 * t->scene->pixels_per_mm + 2;
    int n = 0, caps = RASTER_CAP_START;
    for (int i = 0; i < count; i++) {
        part[n++] = node[i];
        if (!broken[i] || i + 2 >= count) continue;
        raster_tube(map, t->work, part, n, t->p->bone, caps);
        caps = 0, n = 1;
        const raster_node *a = &node[i + 1], *b = &node[i + 2];
        double back = clamp(1 - cleft / fmax(hypot(b->x - a->x, b->y - a->y), 1e-6), 0, 1);
        part[0] = *a;
        part[0].x -= back * (b->x - a->x), part[0].y -= back * (b->y - a->y);
    }
    raster_tube(map, t->work, part, n, t->p->bone, caps | RASTER_CAP_END);
}

static void clavicles(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    enum { NODES = 30 };
    double common = parameters_normal(r, -0.362, 0.032, 2.2) - 0.02 * (1 - t->inflation);
    for (int side = 0; side < 2; side++) {
        double sign = side ? 1 : -1, medial = parameters_normal(r, 0.072, 0.008, 2),
               v = common + parameters_normal(r, 0, 0.012, 2);
        double length = parameters_normal(r, 0.555, 0.03, 2),
               rise = (p->clavicle_rise + parameters_normal(r, 0, 2.5, 2)) * 0.01745;
        double bow = parameters_normal(r, 0.035, 0.012, 2), w = 0.40 * t->depth;
        thorax_space point[NODES];
        for (int i = 0; i < NODES; i++) {
            double f = (double)i / (NODES - 1);
            double s = -bow * sin(6.28 * f) * 0.55 - 0.022 * sin(3.14 * f);
            point[i] = (thorax_space){t->midline + 0.5 * t->shift + sign * (medial + length * f),
                                      v - length * f * sin(rise) + s, w - 0.5 * t->depth * f + 0.035 * sin(6.28 * f)};
        }
        uint8_t broken[NODES] = {0};
        for (int i = 0; i < p->fracture_count; i++)
            if (p->fractures[i].clavicle && p->fractures[i].side == side) {
                break_bone(t, point, NODES, &p->fractures[i]);
                broken[break_node(&p->fractures[i], NODES)] = !p->fractures[i].mended;
            }
        raster_node node[NODES];
        double thick = 0.017 + 0.005 * p->muscle, mineral = random_range(r, 15, 25) * t->unit / 260;
        box extent = {1e9f, 1e9f, -1e9f, -1e9f};
        for (int i = 0; i < NODES; i++) {
            double f = (double)i / (NODES - 1),
                   end = 1 + 0.55 * exp(-f * f / 0.006) + 0.25 * exp(-(1 - f) * (1 - f) / 0.01);
            phantom_point at = thorax_project(t, point[i].u, point[i].v, point[i].w);
            double radius = thick * end * thorax_scale_at(t, point[i].w);
            node[i] = (raster_node){at.x, at.y, radius, mineral * (0.9 + 0.25 * sin(3.14 * f)), 0.72};
            t->scene->clavicle[side].point[i] = at;
            extent.x1 = fminf(extent.x1, (float)(at.x - radius)), extent.x2 = fmaxf(extent.x2, (float)(at.x + radius));
            extent.y1 = fminf(extent.y1, (float)(at.y - radius)), extent.y2 = fmaxf(extent.y2, (float)(at.y + radius));
        }
        t->scene->clavicle[side].point_count = NODES;
        t->scene->clavicle[side].half_width = thick * t->scale;
        t->clavicle_box[side] = extent;
        clavicle_tube(t, node, NODES, broken);
    }
}

static void shoulder(thorax *t, random_state *r) {
    const phantom_parameters *p = t->p;
    raster map = {t->width, t->height, t->scene->bone};
    double mineral = random_range(r, 1.4, 2.4) * p->bone * t->unit / 260, lift = -0.0035 * (p->clavicle_rise - 12);
    for (int side = 0; side < 2; side++) {
        double sign = side ? 1 : -1, out = -0.02 + 0.13 * p->scapula_clear + parameters_normal(r, 0, 0.015, 2);
        double turn = random_range(r, -0.02, 0.06) + 0.08 * p->scapula_clear, c = t->midline;
        double v0 = lift + parameters_normal(r, 0, 0.015, 2);
#define AT(x, y) ((thorax_space){c + sign * (x), (y) + v0, -0.36 * t->depth})
        thorax_space medial[5] = {AT(0.47 + out, -0.46), AT(0.415 + out, -0.40), AT(0.40 + out, -0.25),
                                  AT(0.42 + out + turn, -0.08), AT(0.455 + out + 1.6 * turn, 0.03)};
        thorax_space lateral[5] = {AT(0.455 + out + 1.6 * turn, 0.03), AT(0.505 + out + turn, -0.05),
                                   AT(0.555 + out + 0.6 * turn, -0.18), AT(0.62 + 0.6 * out, -0.30),
                                   AT(0.65 + 0.4 * out, -0.36)};
        thorax_space upper[4] = {AT(0.47 + out, -0.46), AT(0.53 + out, -0.435), AT(0.59 + 0.6 * out, -0.42),
                                 AT(0.64 + 0.4 * out, -0.42)};
        thorax_space spine[5] = {AT(0.42 + out, -0.34), AT(0.50 + out, -0.375), AT(0.58 + 0.6 * out, -0.42),
                                 AT(0.66 + 0.3 * out, -0.475), AT(0.715 + 0.2 * out, -0.465)};
        thorax_tube border = {{0.012, 0.013}, {3.5 * mineral, 4.5 * mineral}, 0, 1};
        thorax_draw(t, map.value, medial, 5, (thorax_tube){{0.009, 0.011}, {2.8 * mineral, 2.8 * mineral}, 0, 1});
        thorax_draw(t, map.value, lateral, 5, (thorax_tube){{0.016, 0.022}, {4 * mineral, 5.5 * mineral}, 0.3, 1});
        thorax_draw(t, map.value, upper, 4, border);
        thorax_draw(t, map.value, spine, 5, (thorax_tube){{0.012, 0.03}, {3.5 * mineral, 6 * mineral}, 0.3, 1});
        /* The thin blade. */
        phantom_point blade[14];
        int n = 0;
        for (int i = 0; i < 5; i++) blade[n++] = thorax_project(t, medial[i].u, medial[i].v, medial[i].w);
        for (int i = 1; i < 5; i++) blade[n++] = thorax_project(t, lateral[i].u, lateral[i].v, lateral[i].w);
        for (int i = 3; i > 0; i--) blade[n++] = thorax_project(t, upper[i].u, upper[i].v, upper[i].w);
        uint8_t *mask = (uint8_t *)t->distance;
        memset(mask, 0, t->pixels);
        raster_fill(mask, t->width, t->height, blade, n, 1);
        float thin = (float)(1.3 * mineral);
        for (size_t i = 0; i < t->pixels; i++)
            if (mask[i]) map.value[i] += thin;
        /* Glenoid, coracoid, acromion, humerus. */
        thorax_space socket[3] = {AT(0.645 + 0.4 * out, -0.40), AT(0.635 + 0.4 * out, -0.36),
                                  AT(0.64 + 0.4 * out, -0.31)};
        thorax_draw(t, map.value, socket, 3, (thorax_tube){{0.016, 0.018}, {6 * mineral, 6 * mineral}, 0, 1});
        phantom_point at = thorax_project(t, c + sign * (0.585 + 0.4 * out), -0.405 + v0, 0.05);
        raster_ellipse(map, at.x, at.y, 0.03 * t->scale, 0.022 * t->scale, sign * 0.5, 5 * mineral, 0.8);
        double away = (0.12 + 0.55 * p->arms) * 0.9, head_u = 0.725 + 0.25 * out, head_v = -0.365;
        at = thorax_project(t, c + sign * head_u, head_v + v0, -0.05);
        double head = 0.078 * t->scale;
        raster_ellipse(map, at.x, at.y, head, head, 0, 9 * mineral, 0.7);
        raster_ellipse(map, at.x, at.y, head * 0.86, head * 0.86, 0, -3.5 * mineral, 0.5);
        thorax_space shaft[7];
        for (int i = 0; i < 7; i++) {
            double f = i * 0.2;
            shaft[i] = (thorax_space){c + sign * (head_u + 0.03 + away * f),
                                      head_v + v0 + 0.05 + f * 0.9 * (1 - 0.3 * p->arms), -0.05};
        }
        thorax_draw(t, map.value, shaft, 7, (thorax_tube){{0.05, 0.038}, {9 * mineral, 10 * mineral}, 0.66, 1});
#undef AT
    }
}

static void sternum(thorax *t, random_state *r) {
    double mineral = t->p->bone * t->unit / 260, w = 0.46 * t->depth, u = t->midline;
    double top = parameters_normal(r, -0.335, 0.02, 2);
    thorax_space manubrium[3] = {{u, top, w - 0.03}, {u, top + 0.08, w}, {u, top + 0.15, w + 0.01}};
    thorax_space body[3] = {{u, top + 0.17, w + 0.01}, {u, top + 0.35, w + 0.03}, {u, top + 0.55, w + 0.02}};
    thorax_draw(t, t->scene->bone, manubrium, 3, (thorax_tube){{0.1, 0.05}, {2.6 * mineral, 2.2 * mineral}, 0.5, 1});
    thorax_draw(t, t->scene->bone, body, 3, (thorax_tube){{0.05, 0.055}, {2 * mineral, 2 * mineral}, 0.5, 1});
}

void skeleton_build(thorax *t) {
    random_state random = parameters_stream(t->p, STREAM_SKELETON), *r = &random;
    for (int number = -5; number <= 16; number++) vertebra(t, number, r);
    sternum(t, r);
    ribs(t, r);
    clavicles(t, r);
    shoulder(t, r);
}
