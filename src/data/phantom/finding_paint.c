/* Tools for painting findings; see finding_paint.h. */
#include "data/phantom/finding_paint.h"

#include <math.h>
#include <stddef.h>

#define PRIOR_LUNG_SHARE (705.0 / 1024.0)

lung_frame lung_frame_make(const phantom_scene *scene, int side) {
    lung_frame f = {.side = side, .top = scene->height, .left = scene->width};
    const uint8_t *mask = scene->lung_mask[side];
    for (int y = 0; y < scene->height; y++) {
        for (int x = 0; x < scene->width; x++) {
            if (!mask[(size_t)y * (size_t)scene->width + (size_t)x]) continue;
            if (y < f.top) f.top = y;
            if (x < f.left) f.left = x;
            if (x >= f.right) f.right = x + 1;
            f.bottom = y + 1;
        }
    }
    if (f.bottom == 0) f.top = f.left = 0;
    f.height = f.bottom - f.top;
    f.width = f.right - f.left;
    return f;
}

bool lung_frame_row(const phantom_scene *scene, const lung_frame *frame, int y, int *left, int *right) {
    if (y < frame->top || y >= frame->bottom) return false;
    const uint8_t *row = scene->lung_mask[frame->side] + (size_t)y * (size_t)scene->width;
    int first = frame->left, last = frame->right - 1;
    while (first <= last && !row[first]) first++;
    while (last >= first && !row[last]) last--;
    *left = first;
    *right = last + 1;
    return first <= last;
}

phantom_point lung_frame_point(const phantom_scene *scene, const lung_frame *frame, double u, double v) {
    int y = frame->top + (int)(v * fmax(frame->height - 1, 0));
    int left, right;
    while (y > frame->top && !lung_frame_row(scene, frame, y, &left, &right)) y--;
    if (!lung_frame_row(scene, frame, y, &left, &right)) left = frame->left, right = frame->right;
    double along = frame->side == PHANTOM_LEFT ? u : 1 - u;
    return (phantom_point){left + along * (right - left), y + 0.5};
}

double lung_frame_pixels(const lung_frame *frame, double film_share) {
    return film_share / PRIOR_LUNG_SHARE * frame->height;
}

static double lattice(int64_t x, int64_t y, uint64_t salt) {
    uint64_t z = salt + (uint64_t)x * 0x9e3779b97f4a7c15ULL + (uint64_t)y * 0xc2b2ae3d27d4eb4fULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL; /* splitmix64's finisher */
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1.0p-52 - 1;
}

static double smooth(double t) { return t * t * (3 - 2 * t); }

double paint_noise(double x, double y, double scale, int octaves, uint64_t salt) {
    double sum = 0, weight = 1, total = 0;
    for (int i = 0; i < octaves; i++) {
        double px = x / scale, py = y / scale;
        double fx = floor(px), fy = floor(py);
        int64_t ix = (int64_t)fx, iy = (int64_t)fy;
        double tx = smooth(px - fx), ty = smooth(py - fy);
        double top = lattice(ix, iy, salt) * (1 - tx) + lattice(ix + 1, iy, salt) * tx;
        double low = lattice(ix, iy + 1, salt) * (1 - tx) + lattice(ix + 1, iy + 1, salt) * tx;
        sum += weight * (top * (1 - ty) + low * ty);
        total += weight;
        weight *= 0.55;
        scale *= 0.5;
        salt += 0x632be59bd9b4e019ULL;
    }
    return 1.6 * sum / total;
}

double paint_step(double low, double high, double x) {
    if (low == high) return x >= high ? 1 : 0;
    double t = (x - low) / (high - low);
    return t <= 0 ? 0 : t >= 1 ? 1 : smooth(t);
}

double paint_through(const phantom_scene *scene, size_t i) {
    double thick = (double)(scene->soft[i] - scene->air[0][i] - scene->air[1][i]);
    return 1 + 1.6 * paint_step(90, 260, thick);
}

void paint_raise(float *target, double value) {
    if ((float)value > *target) *target = (float)value;
}

static double distance_to_segment(double x, double y, phantom_point a, phantom_point b) {
    double dx = b.x - a.x, dy = b.y - a.y;
    double length2 = dx * dx + dy * dy;
    double t = length2 > 0 ? ((x - a.x) * dx + (y - a.y) * dy) / length2 : 0;
    t = fmin(fmax(t, 0), 1);
    return hypot(x - a.x - t * dx, y - a.y - t * dy);
}

static int clip_pixel(double value, int limit) { return value < 0 ? 0 : value > limit ? limit : (int)value; }

void paint_stroke(float *map, float *cover, const uint8_t *mask, const phantom_scene *scene, phantom_point a,
                  phantom_point b, double width, double mm, double shown) {
    double reach = 1.5 * width + 1;
    int x0 = clip_pixel(fmin(a.x, b.x) - reach, scene->width),
        x1 = clip_pixel(fmax(a.x, b.x) + reach + 1, scene->width);
    int y0 = clip_pixel(fmin(a.y, b.y) - reach, scene->height);
    int y1 = clip_pixel(fmax(a.y, b.y) + reach + 1, scene->height);
    /* A stroke thinner than a pixel keeps its amount of tissue, spread over the pixel. */
    double sigma = fmax(width, 0.8) / 2, amount = mm * width / fmax(width, 0.8);
    for (int y = y0; y < y1; y++) {
        for (int x = x0; x < x1; x++) {
            size_t i = (size_t)y * (size_t)scene->width + (size_t)x;
            if (mask && !mask[i]) continue;
            double d = distance_to_segment(x + 0.5, y + 0.5, a, b) / sigma;
            double profile = exp(-0.5 * d * d);
            map[i] += (float)(amount * profile);
            if (cover) paint_raise(&cover[i], shown * profile);
        }
    }
}
