/* Findings inside the lung: filled air spaces, water, lines, round lesions, collapsed lobes; see finding_film.h.
 *
 * Filled air space is painted as a share of the gas on the ray (scene->air): a lesion is then as dense as the lung is
 * thick there, and can never be more than lung full of water.
 */
#include <math.h>
#include <stddef.h>

#include "data/phantom/finding_film.h"
#include "data/phantom/finding_paint.h"

#define LEAST_DEPTH_MM  22.0
#define BALL_ROUNDNESS  0.35 /* 0.5 a ball, 0 a disc: growths are lobed, their edges steeper than a ball's */
#define NEAR_LUNG_SHARE 0.8  /* of the gas on a ray that a lesion all through the lung can fill */

static double mix(double low, double high, double share) { return low + (high - low) * share; }

/* `hides`: how much of the lung it hides; what is this dense no longer passes for lung at the base. */
static void fill_air(phantom_scene *scene, float *cover, int side, size_t i, double share, double hides, double seen) {
    scene->extra[i] += (float)(share * scene->air[side][i]);
    paint_raise(&cover[i], seen);
    if (hides > 0.45) paint_raise(&scene->hidden[i], hides);
}

/* Distance from the dark branching airways that stay open in a consolidation: rays from the hilum with bends. */
static double bronchus(double x, double y, phantom_point hilum, double scale, uint64_t salt) {
    double angle = atan2(y - hilum.y, x - hilum.x);
    double radius = hypot(x - hilum.x, y - hilum.y);
    double bend = paint_noise(radius, 0.37 * scale, 1.6 * scale, 1, salt);
    double spread = sin(5 * (angle + 0.12 * bend));
    double nearby = paint_step(4.5, 1.5, radius / scale); /* towards the edge they are too fine to be seen */
    return nearby * (1 - paint_step(0.0, 0.3, fabs(spread) * radius / scale));
}

void finding_paint_airspace(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    int side = f->side == FINDING_LEFT;
    lung_frame frame = lung_frame_make(scene, side);
    uint64_t salt = random_u64(random);
    double dense = f->kind == FINDING_OPACITY ? mix(0.3, 0.55, f->severity) : mix(0.45, 0.88, f->severity);
    double hides = f->kind == FINDING_OPACITY ? 0 : mix(0.3, 0.78, f->severity);
    double ragged = random_range(random, 0.25, 0.6);
    /* A fissure cuts some off sharply above or below. */
    double fissure = random_chance(random, 0.3) ? random_range(random, -0.5, 0.5) : 9;
    double tilt = random_range(random, -0.3, 0.3);
    if (frame.height < 8) return;
    phantom_point centre = lung_frame_point(scene, &frame, f->u, f->v);
    double rx = fmax(0.5 * lung_frame_pixels(&frame, f->width), 3);
    double ry = fmax(0.5 * lung_frame_pixels(&frame, f->height), 3);
    double grain = 0.5 * (rx + ry);
    bool airways = f->kind != FINDING_OPACITY;
    for (int y = frame.top; y < frame.bottom; y++) {
        for (int x = frame.left; x < frame.right; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!scene->lung_mask[side][i]) continue;
            double dx = (x + 0.5 - centre.x) / rx, dy = (y + 0.5 - centre.y) / ry;
            double r = sqrt(dx * dx + dy * dy);
            if (r > 2) continue;
            double noise = paint_noise(x, y, 0.55 * grain, 4, salt);
            double inside = paint_step(1.15, 0.55, r + ragged * noise);
            double cut = fissure < 2 ? paint_step(-0.06, 0.06, (dy - fissure + tilt * dx) * (fissure < 0 ? 1 : -1)) : 1;
            double share = inside * cut * (0.8 + 0.2 * paint_noise(x, y, 0.2 * grain, 3, salt + 1));
            if (share <= 0.002) continue;
            double open = airways ? 0.25 * bronchus(x, y, scene->landmarks.hilum[side], frame.height * 0.12, salt) : 0;
            share *= NEAR_LUNG_SHARE * (1 - open);
            fill_air(scene, cover, side, i, dense * share, hides * share, inside * cut);
        }
    }
}

/* Short lines at right angles to the pleura at the bases: thickened septa. */
static void paint_septa(phantom_scene *scene, const lung_frame *frame, double severity, random_state *random) {
    double mm = scene->pixels_per_mm;
    int lines = 4 + (int)(10 * severity);
    for (int i = 0; i < lines; i++) {
        double v = random_range(random, 0.6, 0.93);
        phantom_point edge = lung_frame_point(scene, frame, 0.99, v);
        double length = random_range(random, 8, 18) * mm, inward = frame->side == PHANTOM_LEFT ? -1 : 1;
        phantom_point end = {edge.x + inward * length, edge.y + random_range(random, -1.5, 1.5) * mm};
        paint_stroke(scene->extra, NULL, scene->lung_mask[frame->side], scene, edge, end, 0.9 * mm, mix(2, 6, severity),
                     0);
    }
}

void finding_paint_diffuse(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    uint64_t salt = random_u64(random);
    double dense = mix(0.25, 0.6, f->severity), hides = mix(0.1, 0.5, f->severity);
    double bat_wing = random_range(random, 0.3, 1); /* 0 even all over, 1 round the hila */
    for (int side = 0; side < 2; side++) {
        lung_frame frame = lung_frame_make(scene, side);
        if (frame.height < 8) continue;
        phantom_point hilum = scene->landmarks.hilum[side];
        double reach = frame.height * mix(0.28, 0.5, f->severity);
        for (int y = frame.top; y < frame.bottom; y++) {
            for (int x = frame.left; x < frame.right; x++) {
                size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
                if (!scene->lung_mask[side][i]) continue;
                double dx = (x - hilum.x) / reach, dy = (y - hilum.y - 0.15 * reach) / (1.25 * reach);
                double wing = exp(-(dx * dx + dy * dy));
                double base = paint_step(frame.top, frame.bottom, y); /* water sinks */
                double patch = 0.75 + 0.45 * paint_noise(x, y, 0.14 * frame.height, 4, salt + (uint64_t)side);
                double share = (bat_wing * wing + (1 - bat_wing) * (0.35 + 0.5 * base)) * fmax(patch, 0);
                double filled = NEAR_LUNG_SHARE * share;
                fill_air(scene, cover, side, i, dense * filled, hides * filled, 1.4 * share);
            }
        }
        paint_septa(scene, &frame, f->severity, random);
    }
}

/* Plates of airless lung and scars: strokes, more or less along one direction. */
void finding_paint_lines(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    int side = f->side == FINDING_LEFT;
    lung_frame frame = lung_frame_make(scene, side);
    bool plate = f->kind == FINDING_ATELECTASIS;
    int lines = plate ? 1 + (int)random_below(random, 3) : 5 + (int)random_below(random, 12);
    double direction = plate ? random_range(random, -0.35, 0.35) : random_range(random, -1.5, 1.5);
    uint64_t salt = random_u64(random);
    if (frame.height < 8) return;
    const uint8_t *mask = scene->lung_mask[side];
    double mm = scene->pixels_per_mm;
    double w = lung_frame_pixels(&frame, f->width), h = lung_frame_pixels(&frame, f->height);
    phantom_point centre = lung_frame_point(scene, &frame, fmin(f->u, 0.85), f->v);
    for (int k = 0; k < lines; k++) {
        double turn = direction + random_range(random, -0.25, 0.25) * (plate ? 0.5 : 3);
        double length = (plate ? random_range(random, 0.6, 1) * w : random_range(random, 0.25, 0.6) * fmax(w, h));
        phantom_point middle = {centre.x + random_range(random, -0.3, 0.3) * w * (plate ? 0.4 : 1),
                                centre.y + random_range(random, -0.4, 0.4) * h};
        double thick = (plate ? random_range(random, 1.5, 4.5) : random_range(random, 0.7, 2)) * mm;
        double amount = plate ? mix(26, 60, f->severity) : mix(14, 30, f->severity);
        phantom_point a = {middle.x - 0.5 * length * cos(turn), middle.y - 0.5 * length * sin(turn)};
        phantom_point b = {middle.x + 0.5 * length * cos(turn), middle.y + 0.5 * length * sin(turn)};
        phantom_point bend = {middle.x, middle.y + random_range(random, -0.06, 0.06) * length};
        paint_stroke(scene->extra, cover, mask, scene, a, bend, thick, amount, 1);
        paint_stroke(scene->extra, cover, mask, scene, bend, b, thick, amount, 1);
    }
    /* round the lines the lung is a little less aerated */
    double haze = plate ? mix(0.2, 0.52, f->severity) : mix(0.1, 0.25, f->severity);
    double rx = fmax(0.5 * w, 3), ry = fmax(0.5 * h, 3);
    for (int y = frame.top; y < frame.bottom; y++) {
        for (int x = frame.left; x < frame.right; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!mask[i]) continue;
            double r = hypot((x - centre.x) / rx, (y - centre.y) / ry);
            double share = paint_step(1.2, 0.3, r + 0.35 * paint_noise(x, y, 0.5 * rx + 2, 3, salt));
            if (share > 0) fill_air(scene, cover, side, i, NEAR_LUNG_SHARE * haze * share, 0, 0.5 * share);
        }
    }
}

/* One ball of tissue (or of chalk) with an uneven edge. amount: density against water, 1 for solid. */
static void paint_ball(phantom_scene *scene, float *cover, const lung_frame *frame, phantom_point centre, double rx,
                       double ry, double amount, bool chalk, double ragged, uint64_t salt) {
    int x0 = (int)fmax(centre.x - 1.6 * rx - 1, 0), x1 = (int)fmin(centre.x + 1.6 * rx + 2, scene->width);
    int y0 = (int)fmax(centre.y - 1.6 * ry - 1, 0), y1 = (int)fmin(centre.y + 1.6 * ry + 2, scene->height);
    /* A small ball's own depth is less than the lung's texture: it is as plain as one of LEAST_DEPTH. */
    double depth_mm = fmax((rx + ry) / scene->pixels_per_mm, LEAST_DEPTH_MM);
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!scene->lung_mask[frame->side][i]) continue;
            double dx = (x + 0.5 - centre.x) / rx, dy = (y + 0.5 - centre.y) / ry;
            double r = sqrt(dx * dx + dy * dy) + ragged * paint_noise(x, y, 0.8 * (rx + ry) / 2 + 1, 3, salt);
            if (r >= 1.15) continue;
            double chord = depth_mm * pow(fmax(1 - r * r / 1.3225, 0), BALL_ROUNDNESS);
            double gas = scene->air[frame->side][i];
            if (chalk) {
                scene->extra_bone[i] += (float)(0.4 * amount * chord);
            }
            /* at most the gas that was there can be replaced */
            double limit = fmax(0.95 * gas, 0.7 * depth_mm);
            scene->extra[i] += (float)fmin(amount * chord * paint_through(scene, i), limit);
            paint_raise(&cover[i], paint_step(1.12, 0.95, r));
        }
    }
}

static void paint_hilum_lumps(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    int first = f->side == FINDING_LEFT ? 1 : 0, last = f->side == FINDING_RIGHT ? 0 : 1;
    for (int side = first; side <= last; side++) {
        lung_frame frame = lung_frame_make(scene, side);
        int lumps = 2 + (int)random_below(random, 3);
        for (int k = 0; k < lumps; k++) {
            double r = random_range(random, 6, 10) * mix(0.8, 1.5, f->severity) * scene->pixels_per_mm;
            double outward = side == PHANTOM_LEFT ? 1 : -1;
            phantom_point centre = {scene->landmarks.hilum[side].x + outward * random_range(random, -0.2, 1) * r,
                                    scene->landmarks.hilum[side].y + random_range(random, -1.6, 1.6) * r};
            uint64_t seed = random_u64(random);
            double high = random_range(random, 0.9, 1.3) * r;
            paint_ball(scene, cover, &frame, centre, r, high, 0.8, false, 0.12, seed);
        }
    }
}

void finding_paint_round(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    if (f->kind == FINDING_ENLARGED_HILUM) {
        paint_hilum_lumps(f, scene, cover, random);
        return;
    }
    int side = f->side == FINDING_LEFT;
    lung_frame frame = lung_frame_make(scene, side);
    if (frame.height < 8) return;
    /* kept off the very edge, where a ball would be cut in half */
    phantom_point centre = lung_frame_point(scene, &frame, fmin(fmax(f->u, 0.12), 0.88), fmin(fmax(f->v, 0.08), 0.92));
    double rx = fmax(0.5 * lung_frame_pixels(&frame, f->width), 1.6);
    double ry = fmax(0.5 * lung_frame_pixels(&frame, f->height), 1.6);
    double ragged = f->kind == FINDING_MASS ? random_range(random, 0.05, 0.3) : random_range(random, 0, 0.15);
    bool chalk = f->kind == FINDING_CALCIFIED_NODULE;
    double amount = f->kind == FINDING_MASS ? mix(0.6, 0.95, f->severity) : mix(0.75, 1.1, f->severity);
    paint_ball(scene, cover, &frame, centre, rx, ry, amount, chalk, ragged, random_u64(random));
    /* spicules of a growth */
    int spicules = f->kind == FINDING_MASS && random_chance(random, 0.5) ? 6 + (int)random_below(random, 8) : 0;
    for (int k = 0; k < spicules; k++) {
        double angle = random_range(random, 0, 6.283185307179586), far = random_range(random, 1.2, 1.7);
        phantom_point end = {centre.x + far * rx * cos(angle), centre.y + far * ry * sin(angle)};
        paint_stroke(scene->extra, NULL, scene->lung_mask[side], scene, centre, end, scene->pixels_per_mm, 3, 0);
    }
}

/* A lobe without air. Upper right: a wedge above a fissure that rises to the wall. Upper left: a veil that thins out
 * downwards. Lower: a triangle beside the spine down to the dome. */
void finding_paint_collapse(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    int side = f->side == FINDING_LEFT;
    lung_frame frame = lung_frame_make(scene, side);
    double size = random_range(random, 0.8, 1.2) * mix(1.1, 0.75, f->severity); /* the more collapsed the smaller */
    double dense = mix(0.5, 0.9, f->severity);
    uint64_t salt = random_u64(random);
    bool upper = f->v < 0.5;
    if (frame.height < 8) return;
    for (int y = frame.top; y < frame.bottom; y++) {
        int left, right;
        if (!lung_frame_row(scene, &frame, y, &left, &right) || right - left < 2) continue;
        double v = (y - frame.top) / frame.height;
        for (int x = left; x < right; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!scene->lung_mask[side][i]) continue;
            double u = (x + 0.5 - left) / (right - left);
            /* the fissure runs across the whole lung, whatever the width of this row */
            double across = (x + 0.5 - frame.left) / fmax(frame.width, 1);
            if (side == PHANTOM_RIGHT) u = 1 - u, across = 1 - across;
            double wobble = 0.02 * paint_noise(x, y, 0.12 * frame.height, 2, salt);
            double share;
            if (!upper) {
                /* triangle: narrow at the hilum, wide at the dome */
                double edge = fmax(v - 0.45, 0) * 0.95 * size;
                share = v > 0.45 ? paint_step(edge + 0.03, edge - 0.02, u + wobble) : 0;
            } else if (side == PHANTOM_RIGHT) {
                double line = size * (0.36 - 0.26 * across - 0.1 * across * (1 - across));
                share = paint_step(line + 0.015, line - 0.015, v + wobble);
            } else {
                share = 0.75 * paint_step(0.75 * size, 0.15 * size, v + wobble) * (1 - 0.35 * u);
            }
            if (share <= 0) continue;
            fill_air(scene, cover, side, i, 0.92 * dense * share, 0.92 * dense * share, share);
            double least = LEAST_DEPTH_MM * dense * share * paint_through(scene, i),
                   there = 0.92 * dense * share * scene->air[side][i];
            scene->extra[i] += (float)fmax(least - there, 0);
        }
    }
}
