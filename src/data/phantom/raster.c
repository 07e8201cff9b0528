/* Drawing of path lengths; see raster.h. */
#include "data/phantom/raster.h"

#include <math.h>
#include <string.h>

double raster_step(double a, double b, double x) {
    double t = (x - a) / (b - a);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

static int clamp_int(double value, int low, int high) {
    if (!(value > low)) return low;
    if (value > high) return high;
    return (int)value;
}

#define MAX_CROSSINGS 64

void raster_fill(uint8_t *mask, int width, int height, const phantom_point *point, int count, uint8_t value) {
    double top = INFINITY, bottom = -INFINITY;
    for (int i = 0; i < count; i++) {
        if (point[i].y < top) top = point[i].y;
        if (point[i].y > bottom) bottom = point[i].y;
    }
    int first = clamp_int(floor(top), 0, height), last = clamp_int(ceil(bottom), 0, height);
    for (int y = first; y < last; y++) {
        double crossing[MAX_CROSSINGS], row = y + 0.5;
        int crossings = 0;
        for (int i = 0, j = count - 1; i < count; j = i++) {
            if ((point[i].y > row) == (point[j].y > row) || crossings == MAX_CROSSINGS) continue;
            double x = point[j].x + (row - point[j].y) / (point[i].y - point[j].y) * (point[i].x - point[j].x);
            int k = crossings++;
            for (; k > 0 && crossing[k - 1] > x; k--) crossing[k] = crossing[k - 1];
            crossing[k] = x;
        }
        for (int k = 0; k + 1 < crossings; k += 2) {
            int x1 = clamp_int(ceil(crossing[k] - 0.5), 0, width);
            int x2 = clamp_int(ceil(crossing[k + 1] - 0.5), 0, width);
            if (x2 > x1) memset(mask + (size_t)y * (size_t)width + x1, value, (size_t)(x2 - x1));
        }
    }
}

/* Felzenszwalb and Huttenlocher's lower envelope of parabolas over one line of squared distances. */
static void distance_line(const float *f, float *d, int count, int *parabola, float *border) {
    int k = 0;
    parabola[0] = 0;
    border[0] = -INFINITY;
    border[1] = INFINITY;
    for (int q = 1; q < count; q++) {
        float s;
        for (;;) {
            int p = parabola[k];
            s = ((f[q] + (float)q * (float)q) - (f[p] + (float)p * (float)p)) / (2.0f * (float)(q - p));
            if (s > border[k] || k == 0) break;
            k--;
        }
        if (s <= border[k]) {
            parabola[0] = q;
            k = 0;
            border[1] = INFINITY;
            continue;
        }
        k++;
        parabola[k] = q;
        border[k] = s;
        border[k + 1] = INFINITY;
    }
    for (int q = 0, j = 0; q < count; q++) {
        while (border[j + 1] < (float)q) j++;
        float across = (float)(q - parabola[j]);
        d[q] = across * across + f[parabola[j]];
    }
}

void raster_distance(float *out, const uint8_t *mask, int width, int height, float *work) {
    int side = width > height ? width : height;
    float *line = work, *result = work + side, *border = work + 2 * side;
    int *parabola = (int *)(void *)(work + 3 * side + 2);
    const float far = 1e9f;
    /* Down the columns the distance is a plain run length. */
    for (int x = 0; x < width; x++) {
        float run = 3e4f;
        for (int y = 0; y < height; y++) {
            size_t at = (size_t)y * (size_t)width + (size_t)x;
            run = mask[at] ? run + 1 : 0;
            out[at] = run;
        }
        run = 3e4f;
        for (int y = height - 1; y >= 0; y--) {
            size_t at = (size_t)y * (size_t)width + (size_t)x;
            run = mask[at] ? run + 1 : 0;
            if (run < out[at]) out[at] = run;
        }
    }
    for (int y = 0; y < height; y++) {
        float *row = out + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++) line[x] = row[x] >= 3e4f ? far : row[x] * row[x];
        distance_line(line, result, width, parabola, border);
        for (int x = 0; x < width; x++) row[x] = sqrtf(result[x]);
    }
}

static double chord(double distance, double radius, double thickness, double shell) {
    double q = distance / radius;
    if (q >= 1) return 0;
    double length = sqrt(1 - q * q);
    if (shell > 0 && q < shell) length -= 0.6 * shell * sqrt(1 - q * q / (shell * shell));
    return thickness * length;
}

void raster_tube(raster map, float *work, const raster_node *node, int count, double gain, int caps) {
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int i = 0; i + 1 < count; i++) {
        const raster_node *a = node + i, *b = node + i + 1;
        double reach = fmax(fmax(a->radius, b->radius), 0.5);
        double x1 = fmin(a->x, b->x) - reach, x2 = fmax(a->x, b->x) + reach;
        double y1 = fmin(a->y, b->y) - reach, y2 = fmax(a->y, b->y) + reach;
        left = fmin(left, x1), right = fmax(right, x2), top = fmin(top, y1), bottom = fmax(bottom, y2);
        double dx = b->x - a->x, dy = b->y - a->y, length2 = dx * dx + dy * dy + 1e-12, length = sqrt(length2);
        int first_x = clamp_int(floor(x1), 0, map.width), last_x = clamp_int(ceil(x2), 0, map.width);
        int first_y = clamp_int(floor(y1), 0, map.height), last_y = clamp_int(ceil(y2), 0, map.height);
        for (int y = first_y; y < last_y; y++)
            for (int x = first_x; x < last_x; x++) {
                double px = x + 0.5 - a->x, py = y + 0.5 - a->y;
                double t = (px * dx + py * dy) / length2;
                /* Inner joints are butted, not capped: a cap's shell would cross the neighbour's marrow. */
                double overshoot = (t < 0 ? -t : t > 1 ? t - 1 : 0) * length;
                bool cut_start = i > 0 || !(caps & RASTER_CAP_START),
                     cut_end = i + 2 < count || !(caps & RASTER_CAP_END);
                if (overshoot > 1 && ((t < 0 && cut_start) || (t > 1 && cut_end))) continue;
                t = t < 0 ? 0 : t > 1 ? 1 : t;
                double ox = px - t * dx, oy = py - t * dy, distance2 = ox * ox + oy * oy;
                double radius = a->radius + t * (b->radius - a->radius);
                double thickness = a->thickness + t * (b->thickness - a->thickness);
                /* Tubes thinner than a pixel keep their area by getting thinner along the ray instead. */
                if (radius < 0.6) thickness *= radius / 0.6, radius = 0.6;
                if (distance2 >= radius * radius) continue;
                double value = chord(sqrt(distance2), radius, thickness, a->shell + t * (b->shell - a->shell));
                float *cell = work + (size_t)y * (size_t)map.width + (size_t)x;
                if (value > (double)*cell) *cell = (float)value;
            }
    }
    int first_x = clamp_int(floor(left), 0, map.width), last_x = clamp_int(ceil(right), 0, map.width);
    int first_y = clamp_int(floor(top), 0, map.height), last_y = clamp_int(ceil(bottom), 0, map.height);
    for (int y = first_y; y < last_y; y++)
        for (int x = first_x; x < last_x; x++) {
            size_t at = (size_t)y * (size_t)map.width + (size_t)x;
            map.value[at] += (float)gain * work[at];
            work[at] = 0;
        }
}

void raster_ellipse(raster map, double cx, double cy, double rx, double ry, double angle, double thickness,
                    double power) {
    double c = cos(angle), s = sin(angle), reach = fmax(rx, ry);
    int first_x = clamp_int(floor(cx - reach), 0, map.width), last_x = clamp_int(ceil(cx + reach), 0, map.width);
    int first_y = clamp_int(floor(cy - reach), 0, map.height), last_y = clamp_int(ceil(cy + reach), 0, map.height);
    for (int y = first_y; y < last_y; y++)
        for (int x = first_x; x < last_x; x++) {
            double px = x + 0.5 - cx, py = y + 0.5 - cy;
            double u = (px * c + py * s) / rx, v = (py * c - px * s) / ry, r2 = u * u + v * v;
            if (r2 >= 1) continue;
            map.value[(size_t)y * (size_t)map.width + (size_t)x] += (float)(thickness * pow(1 - r2, 0.5 * power));
        }
}

static void box_rows(const float *in, float *out, int width, int height, int radius) {
    float scale = 1.0f / (float)(2 * radius + 1);
    for (int y = 0; y < height; y++) {
        const float *row = in + (size_t)y * (size_t)width;
        float *to = out + (size_t)y * (size_t)width;
        float sum = row[0] * (float)(radius + 1);
        for (int i = 1; i <= radius; i++) sum += row[i < width ? i : width - 1];
        for (int x = 0; x < width; x++) {
            to[x] = sum * scale;
            int enter = x + radius + 1, leave = x - radius;
            sum += row[enter < width ? enter : width - 1] - row[leave > 0 ? leave : 0];
        }
    }
}

static void box_columns(const float *in, float *out, int width, int height, int radius) {
    /* A block of columns at a time keeps the running sums in cache lines. */
    enum { BLOCK = 64 };
    float scale = 1.0f / (float)(2 * radius + 1);
    for (int x0 = 0; x0 < width; x0 += BLOCK) {
        int block = width - x0 < BLOCK ? width - x0 : BLOCK;
        float sum[BLOCK];
        for (int i = 0; i < block; i++) sum[i] = in[x0 + i] * (float)(radius + 1);
        for (int y = 1; y <= radius; y++) {
            const float *row = in + (size_t)(y < height ? y : height - 1) * (size_t)width + x0;
            for (int i = 0; i < block; i++) sum[i] += row[i];
        }
        for (int y = 0; y < height; y++) {
            int enter = y + radius + 1, leave = y - radius;
            const float *plus = in + (size_t)(enter < height ? enter : height - 1) * (size_t)width + x0;
            const float *minus = in + (size_t)(leave > 0 ? leave : 0) * (size_t)width + x0;
            float *to = out + (size_t)y * (size_t)width + x0;
            for (int i = 0; i < block; i++) {
                to[i] = sum[i] * scale;
                sum[i] += plus[i] - minus[i];
            }
        }
    }
}

/* Below a pixel and a half boxes are too coarse: a three-tap kernel, repeated, gives the exact variance. */
static void blur_small(float *value, float *work, int width, int height, double sigma) {
    double variance = sigma * sigma;
    int passes = (int)ceil(variance / 0.5);
    if (passes < 1) passes = 1;
    float side = (float)(variance / passes / 2), middle = 1 - 2 * side;
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < height; y++) {
            const float *row = value + (size_t)y * (size_t)width;
            float *to = work + (size_t)y * (size_t)width;
            for (int x = 0; x < width; x++)
                to[x] = middle * row[x] + side * (row[x > 0 ? x - 1 : 0] + row[x + 1 < width ? x + 1 : x]);
        }
        for (int y = 0; y < height; y++) {
            const float *row = work + (size_t)y * (size_t)width;
            const float *up = y > 0 ? row - width : row, *down = y + 1 < height ? row + width : row;
            float *to = value + (size_t)y * (size_t)width;
            for (int x = 0; x < width; x++) to[x] = middle * row[x] + side * (up[x] + down[x]);
        }
    }
}

void raster_blur(float *value, float *work, int width, int height, double sigma) {
    if (sigma < 0.05) return;
    if (sigma < 1.6) {
        blur_small(value, work, width, height, sigma);
        return;
    }
    /* Three boxes of odd widths w with 3 (w^2 - 1) / 12 = sigma^2. */
    int radius = (int)floor((sqrt(4 * sigma * sigma + 1) - 1) / 2 + 0.5);
    if (radius < 1) radius = 1;
    for (int pass = 0; pass < 3; pass++) {
        box_rows(value, work, width, height, radius);
        box_columns(work, value, width, height, radius);
    }
}

/* One lattice value in [-1, 1] from its place and a key: no table, no state. */
static float lattice(uint64_t key, int x, int y) {
    uint64_t z = key ^ ((uint64_t)(uint32_t)x * 0x9e3779b97f4a7c15u) ^ ((uint64_t)(uint32_t)y * 0xc2b2ae3d27d4eb4fu);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)(int32_t)(uint32_t)(z >> 32) * 0x1p-31f;
}

void raster_noise(float *out, int width, int height, double cell, int octaves, double persistence,
                  random_state *random) {
    memset(out, 0, (size_t)width * (size_t)height * sizeof *out);
    double weight = 1, total = 0;
    for (int octave = 0; octave < octaves && cell >= 1; octave++) {
        uint64_t key = random_u64(random);
        for (int y = 0; y < height; y++) {
            double v = y / cell;
            int row = (int)v, column = -1;
            float fy = (float)(v - row), top = 0, slope = 0;
            fy = fy * fy * (3 - 2 * fy);
            float *to = out + (size_t)y * (size_t)width;
            for (int x = 0; x < width; x++) {
                double u = x / cell;
                int at = (int)u;
                if (at != column) {
                    column = at;
                    float a = lattice(key, at, row), b = lattice(key, at + 1, row);
                    float c = lattice(key, at, row + 1), d = lattice(key, at + 1, row + 1);
                    top = a + fy * (c - a);
                    slope = b + fy * (d - b) - top;
                }
                float fx = (float)(u - at);
                fx = fx * fx * (3 - 2 * fx);
                to[x] += (float)weight * (top + fx * slope);
            }
        }
        total += weight * weight;
        weight *= persistence;
        cell /= 2;
    }
    /* A lattice of uniform values has deviation 0.577, interpolation takes it to about 0.43. */
    float scale = (float)(1 / (0.43 * sqrt(total > 0 ? total : 1)));
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++) out[i] *= scale;
}

int raster_spline(phantom_point *out, const phantom_point *point, int count, int steps, bool closed) {
    int written = 0, spans = closed ? count : count - 1;
    for (int i = 0; i < spans; i++) {
        phantom_point a = point[closed ? (i + count - 1) % count : i > 0 ? i - 1 : 0];
        phantom_point b = point[i], c = point[(i + 1) % count];
        phantom_point d = point[closed ? (i + 2) % count : i + 2 < count ? i + 2 : count - 1];
        for (int k = 0; k < steps; k++) {
            double t = (double)k / steps, t2 = t * t, t3 = t2 * t;
            double wa = -0.5 * t3 + t2 - 0.5 * t, wb = 1.5 * t3 - 2.5 * t2 + 1, wc = -1.5 * t3 + 2 * t2 + 0.5 * t;
            double wd = 0.5 * t3 - 0.5 * t2;
            out[written++] =
                (phantom_point){wa * a.x + wb * b.x + wc * c.x + wd * d.x, wa * a.y + wb * b.y + wc * c.y + wd * d.y};
        }
    }
    if (!closed) out[written++] = point[count - 1];
    return written;
}
