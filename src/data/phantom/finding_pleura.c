/* Findings of the pleura and the diaphragm: fluid, air, thickening, hernia; see finding_film.h. */
#include <math.h>
#include <stddef.h>

#include "data/phantom/finding_film.h"
#include "data/phantom/finding_paint.h"

static double mix(double low, double high, double share) { return low + (high - low) * share; }

/* Erect: fluid stands in the base, its upper edge a meniscus that climbs the side wall (and, less, the mediastinum).
 * Large ones fill most of the lung; the smallest only round off the costophrenic corner. */
static void paint_standing_fluid(const finding *f, phantom_scene *scene, float *cover, const lung_frame *frame,
                                 random_state *random) {
    int side = frame->side;
    /* the corner's height is where fluid begins to be seen, the dome's top where it begins to hide the dome */
    double corner = scene->landmarks.costophrenic[side].y, dome = scene->landmarks.dome_top[side].y;
    if (!(corner > dome)) corner = frame->bottom, dome = frame->bottom - 0.1 * frame->height;
    double rise = mix(0.02, 0.8, f->severity * f->severity) * frame->height;
    double level = corner - rise;
    double climb = frame->height * mix(0.06, 0.16, f->severity);
    double blur = frame->height * random_range(random, 0.02, 0.05);
    double dense = random_range(random, 0.8, 0.97);
    uint64_t salt = random_u64(random);
    for (int y = frame->top; y < frame->bottom; y++) {
        int left, right;
        if (!lung_frame_row(scene, frame, y, &left, &right) || right - left < 2) continue;
        for (int x = left; x < right; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!scene->lung_mask[side][i]) continue;
            double u = (x + 0.5 - left) / (right - left);
            if (side == PHANTOM_RIGHT) u = 1 - u;
            double wall = exp(-fabs(1 - u) / 0.14), middle = exp(-fabs(u) / 0.1);
            double surface = level - climb * (wall + 0.35 * middle) + 0.3 * blur * paint_noise(x, 0, 40, 2, salt);
            double share = paint_step(surface - blur, surface + blur * 1.6, y);
            if (share <= 0.001) continue;
            scene->extra[i] += (float)(dense * share * scene->air[side][i]);
            scene->vessel_keep[i] *= (float)(1 - 0.9 * share);
            paint_raise(&scene->hidden[i], share);
            paint_raise(&cover[i], share);
        }
    }
}

/* Supine: fluid lies behind the lung, a veil that thickens to the base, vessels shining through. */
static void paint_layered_fluid(const finding *f, phantom_scene *scene, float *cover, const lung_frame *frame,
                                random_state *random) {
    int side = frame->side;
    double dense = mix(0.12, 0.55, f->severity);
    double from = random_range(random, -0.2, 0.35);
    for (int y = frame->top; y < frame->bottom; y++) {
        int left, right;
        if (!lung_frame_row(scene, frame, y, &left, &right) || right - left < 2) continue;
        double v = (y - frame->top) / frame->height;
        for (int x = left; x < right; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!scene->lung_mask[side][i]) continue;
            double u = (x + 0.5 - left) / (right - left);
            if (side == PHANTOM_RIGHT) u = 1 - u;
            double corner = 0.8 * paint_step(0.82, 0.97, v) * paint_step(0.55, 0.9, u);
            double share = fmin(dense * paint_step(from, 1, v) + corner * mix(0.4, 0.9, f->severity), 0.92);
            scene->extra[i] += (float)(share * scene->air[side][i]);
            if (share > 0.55) paint_raise(&scene->hidden[i], share);
            paint_raise(&cover[i], share / (0.9 * dense));
        }
    }
}

void finding_paint_effusion(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    lung_frame frame = lung_frame_make(scene, f->side == FINDING_LEFT);
    if (frame.height < 8) return;
    if (scene->parameters.supine) {
        paint_layered_fluid(f, scene, cover, &frame, random);
    } else {
        paint_standing_fluid(f, scene, cover, &frame, random);
    }
}

/* The lung shrinks towards its hilum, most at the top and the side: outside the shrunken outline is air without
 * vessels, its edge a thin line, and what is left of the lung is a little denser. */
typedef struct shrunken_lung {
    const phantom_scene *scene;
    const lung_frame *frame;
    phantom_point hilum;
    double top, side, base; /* shrinkage in the three directions, share of the distance */
    uint64_t salt;
} shrunken_lung;

/* > 0 outside the lung, in pixels (roughly), < 0 inside. */
static double outside_lung(const shrunken_lung *lung, double x, double y) {
    double dx = (x - lung->hilum.x) * (lung->frame->side == PHANTOM_LEFT ? 1 : -1), dy = y - lung->hilum.y;
    double r = hypot(dx, dy);
    if (r < 1) return -1e3;
    double up = fmax(-dy / r, 0), down = fmax(dy / r, 0), lateral = fmax(dx / r, 0);
    double shrink = lung->top * up * up + lung->base * down * down + lung->side * lateral * lateral;
    shrink *= 1 + 0.12 * paint_noise(x, y, 0.25 * lung->frame->height, 2, lung->salt);
    if (dx < 0) shrink *= paint_step(-0.5, 0.1, dx / r + up); /* nothing behind the mediastinum */
    shrink = fmin(shrink, 0.85);
    /* along the ray from the hilum: how far beyond the shrunken outline */
    double ux = (x - lung->hilum.x) / r, uy = (y - lung->hilum.y) / r;
    double wall = r;
    const uint8_t *mask = lung->scene->lung_mask[lung->frame->side];
    for (double step = 2; wall < 2 * lung->frame->height; wall += step) {
        int px = (int)floor(lung->hilum.x + wall * ux), py = (int)floor(lung->hilum.y + wall * uy);
        if (px < 0 || py < 0 || px >= lung->scene->width || py >= lung->scene->height) break;
        if (!mask[(size_t)py * (size_t)lung->scene->width + (size_t)px]) break;
    }
    return r - wall * (1 - shrink);
}

void finding_paint_pneumothorax(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    int side = f->side == FINDING_LEFT;
    lung_frame frame = lung_frame_make(scene, side);
    double severity = f->severity;
    shrunken_lung lung = {.scene = scene, .frame = &frame, .hilum = scene->landmarks.hilum[side]};
    lung.top = mix(0.1, 0.6, severity) * random_range(random, 0.85, 1.1);
    lung.side = mix(0.03, 0.5, severity * severity);
    lung.base = mix(0, 0.35, severity * severity);
    if (scene->parameters.supine) { /* free air rises to the front: the base and the corner */
        double swap = lung.top;
        lung.top = 0.5 * lung.base;
        lung.base = swap;
    }
    lung.salt = random_u64(random);
    if (frame.height < 8) return;
    double line_width = fmax(0.9 * scene->pixels_per_mm, 0.9), line_mm = random_range(random, 11, 20);
    for (int y = frame.top; y < frame.bottom; y++) {
        for (int x = frame.left; x < frame.right; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!scene->lung_mask[side][i]) continue;
            double out = outside_lung(&lung, x + 0.5, y + 0.5);
            double gone = paint_step(-0.7, 0.7, out);
            double edge = out / line_width;
            scene->vessel_keep[i] *= (float)(1 - gone);
            /* lung tissue (body_build: about 0.6 of the gas) leaves, and is pressed into what remains */
            double change = -0.42 * gone + (1 - gone) * mix(0.05, 0.3, severity * severity);
            scene->extra[i] += (float)(change * scene->air[side][i] + line_mm * exp(-0.5 * edge * edge));
            paint_raise(&cover[i], gone);
        }
    }
}

/* A rind along the side wall or over the apex, sometimes with chalk in it. */
void finding_paint_thickening(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    int side = f->side == FINDING_LEFT;
    lung_frame frame = lung_frame_make(scene, side);
    bool cap = f->v < 0.12;
    double thick = mix(3.5, 10, f->severity) * scene->pixels_per_mm, amount = mix(35, 75, f->severity);
    bool chalk = !cap && random_chance(random, 0.25);
    uint64_t salt = random_u64(random);
    if (frame.height < 8) return;
    double half = 0.5 * lung_frame_pixels(&frame, fmax(f->height, 0.06)) / frame.height;
    for (int y = frame.top; y < frame.bottom; y++) {
        int left, right;
        if (!lung_frame_row(scene, &frame, y, &left, &right)) continue;
        double v = (y - frame.top) / frame.height;
        double along = cap ? paint_step(0.12, 0.04, v) : paint_step(half * 1.1, half * 0.7, fabs(v - f->v));
        if (along <= 0) continue;
        for (int x = left; x < right; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (!scene->lung_mask[side][i]) continue;
            double wall = side == PHANTOM_LEFT ? right - x - 0.5 : x + 0.5 - left;
            double over = (y + 0.5 - frame.top) * 0.8;
            double depth = (cap ? fmin(wall, over) : wall) + 0.4 * thick * paint_noise(x, y, 5 * thick + 2, 3, salt);
            double share = along * paint_step(thick * 1.2, thick * 0.7, depth);
            if (share <= 0) continue;
            /* Next to the wall there is hardly lung to replace: the rind is more than that, and stands out from the
             * wall. */
            double room = fmax(0.9 * scene->air[side][i], 0.5 * amount);
            scene->extra[i] += (float)(fmin(amount, room) * share);
            if (chalk && paint_noise(x, y, 3 * thick, 3, salt + 9) > 0.1) {
                scene->extra_bone[i] += (float)(2.5 * share);
            }
            paint_raise(&cover[i], share);
        }
    }
}

/* Stomach above the diaphragm behind the heart: a round shadow, often with air over a level. */
void finding_paint_hernia(const finding *f, phantom_scene *scene, float *cover, random_state *random) {
    lung_frame frame = lung_frame_make(scene, PHANTOM_LEFT);
    bool level = random_chance(random, 0.7);
    double off = random_range(random, -0.2, 0.5);
    if (frame.height < 8) return;
    double rx = fmax(0.5 * lung_frame_pixels(&frame, f->width), 4),
           ry = fmax(0.5 * lung_frame_pixels(&frame, f->height), 4);
    double floor_y = 0.5 * (scene->landmarks.cardiophrenic[0].y + scene->landmarks.cardiophrenic[1].y);
    phantom_point centre = {scene->landmarks.midline_x + off * rx, floor_y - 0.7 * ry};
    double depth_mm = 1.4 * (rx + ry) / scene->pixels_per_mm;
    for (int y = (int)fmax(centre.y - ry, 0); y < centre.y + ry && y < scene->height; y++) {
        for (int x = (int)fmax(centre.x - rx, 0); x < centre.x + rx && x < scene->width; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            double dx = (x + 0.5 - centre.x) / rx, dy = (y + 0.5 - centre.y) / ry;
            double r2 = dx * dx + dy * dy;
            if (r2 >= 1) continue;
            double chord = depth_mm * sqrt(1 - r2);
            double gas = scene->air[0][i] + scene->air[1][i];
            double wall = paint_step(0.8, 0.97, r2);
            bool bubble = level && dy < -0.05;
            /* little lung lies behind the heart: the stomach is more than what it replaces */
            double change = bubble ? -0.9 * chord * (1 - wall) + 6 * wall : fmax(fmin(chord, 0.9 * gas), 0.4 * chord);
            scene->extra[i] += (float)change;
            paint_raise(&cover[i], 1);
        }
    }
}
