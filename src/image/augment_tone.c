/* Grey-level randomisation of a training film; see augment.h for what each strength means.
 *
 * Order: what the anatomy sends through (local contrast, bias field), what the detector and its display do (one table
 * for equalisation, gamma, window and curve), what resampling and storage do (blur, sharpening, noise, blocks), and
 * what covers the film (cutouts). A pass whose strength is 0 is skipped and draws nothing.
 */
#include "image/augment_tone.h"

#include <math.h>
#include <string.h>

#define TABLE 1024 /* entries of the tone table; read with linear interpolation */
#define CELL  8    /* pixels of the coarse grid's cells */

static float clamp01(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }

/* ---- smooth fields: a coarse grid read bilinearly ---- */

/* Where a picture's row or column lies on a grid of `rows` nodes: between node *index and the next. */
static float grid_position(float position, int rows, int *index) {
    float last = (float)(rows - 1);
    position = position < 0 ? 0 : position > last ? last : position;
    *index = (int)position;
    if (*index > rows - 2) *index = rows > 1 ? rows - 2 : 0;
    return position - (float)*index;
}

/* line [rows]: the grid [rows, rows] at row position v, so that along the picture's row only x is left. */
static void grid_line(float *line, const float *grid, int rows, float v) {
    int y, next = rows > 1 ? 1 : 0;
    float f = grid_position(v, rows, &y);
    const float *upper = grid + (int64_t)y * rows, *lower = upper + next * rows;
    for (int x = 0; x < rows; x++) line[x] = upper[x] + (lower[x] - upper[x]) * f;
}

static float line_at(const float *line, int rows, float u) {
    int x;
    float f = grid_position(u, rows, &x);
    return line[x] + (line[rows > 1 ? x + 1 : x] - line[x]) * f;
}

/* Means of CELL x CELL cells, then two passes of a 5-wide box each way: a local mean of about 50 pixels. */
static int coarse_mean(float *grid, float *spare, const float *picture, int size) {
    int rows = (size + CELL - 1) / CELL;
    for (int gy = 0; gy < rows; gy++)
        for (int gx = 0; gx < rows; gx++) {
            int y_end = (gy + 1) * CELL < size ? (gy + 1) * CELL : size;
            int x_end = (gx + 1) * CELL < size ? (gx + 1) * CELL : size;
            float sum = 0;
            for (int y = gy * CELL; y < y_end; y++)
                for (int x = gx * CELL; x < x_end; x++) sum += picture[(int64_t)y * size + x];
            grid[(int64_t)gy * rows + gx] = sum / (float)((y_end - gy * CELL) * (x_end - gx * CELL));
        }
    for (int pass = 0; pass < 4; pass++) { /* each pass transposes, so four make two blurs each way */
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < rows; x++) {
                float sum = 0;
                int used = 0;
                for (int k = x - 2; k <= x + 2; k++)
                    if (k >= 0 && k < rows) sum += grid[(int64_t)y * rows + k], used++;
                spare[(int64_t)x * rows + y] = sum / (float)used;
            }
        memcpy(grid, spare, (size_t)rows * (size_t)rows * sizeof *grid);
    }
    return rows;
}

static void local_contrast(float *picture, int size, float amount, float *scratch) {
    float *grid = scratch, *line = scratch + (int64_t)size * size / 2;
    int rows = coarse_mean(grid, line, picture, size);
    for (int y = 0; y < size; y++) {
        float *row = picture + (int64_t)y * size;
        grid_line(line, grid, rows, ((float)y + 0.5f) / CELL - 0.5f);
        for (int x = 0; x < size; x++) {
            float mean = line_at(line, rows, ((float)x + 0.5f) * (1.0f / CELL) - 0.5f);
            row[x] = clamp01(row[x] + amount * (row[x] - mean));
        }
    }
}

static void bias_field(float *picture, int size, float strength, random_state *random) {
    float grid[16], line[4];
    for (int i = 0; i < 16; i++) grid[i] = 1 + (float)random_range(random, -1, 1) * strength;
    float step = 3.0f / (float)size;
    for (int y = 0; y < size; y++) {
        float *row = picture + (int64_t)y * size;
        grid_line(line, grid, 4, ((float)y + 0.5f) * step);
        for (int x = 0; x < size; x++) row[x] *= line_at(line, 4, ((float)x + 0.5f) * step);
    }
}

/* ---- tone table ---- */

static void equalize_table(float *table, const float *picture, int64_t count) {
    uint32_t bins[TABLE] = {0};
    for (int64_t i = 0; i < count; i++) bins[(int)(clamp01(picture[i]) * (TABLE - 1) + 0.5f)]++;
    bins[0] = 0; /* padding and collimation would push everything up */
    double total = 0, sum = 0;
    for (int i = 0; i < TABLE; i++) total += bins[i];
    for (int i = 0; i < TABLE; i++) {
        sum += bins[i];
        table[i] = total > 0 ? (float)(sum / total) : (float)i / (TABLE - 1);
    }
}

/* One table from grey to grey; the identity when nothing is switched on. */
static bool make_table(float *table, const float *picture, int64_t count, const augment_options *o,
                       random_state *random) {
    bool used = false;
    for (int i = 0; i < TABLE; i++) table[i] = (float)i / (TABLE - 1);
    if (o->equalize_probability > 0 && random_chance(random, (double)o->equalize_probability)) {
        float equal[TABLE], blend = (float)random_range(random, 0.3, 1);
        equalize_table(equal, picture, count);
        for (int i = 0; i < TABLE; i++) table[i] += (equal[i] - table[i]) * blend;
        used = true;
    }
    float gamma = 1, low = 0, high = 1, curve = 0;
    if (o->gamma > 0) gamma = (float)exp(random_range(random, -1, 1) * (double)o->gamma);
    if (o->window > 0) {
        low = (float)random_range(random, -1, 1) * o->window;
        high = 1 + (float)random_range(random, -1, 1) * o->window;
        if (high - low < 0.1f) high = low + 0.1f;
    }
    if (o->curve > 0) curve = (float)random_range(random, -1, 1) * o->curve;
    if (o->gamma <= 0 && o->window <= 0 && o->curve <= 0) return used;
    for (int i = 0; i < TABLE; i++) {
        float x = powf(clamp01((table[i] - low) / (high - low)), gamma);
        float steep = x * x * (3 - 2 * x); /* smoothstep */
        float flat = x + (x - steep);      /* its mirror image about the diagonal, nearly */
        table[i] = clamp01(x + fabsf(curve) * ((curve > 0 ? steep : flat) - x));
    }
    return true;
}

static void tone(float *picture, int64_t count, const augment_options *o, random_state *random) {
    float table[TABLE];
    if (!make_table(table, picture, count, o, random)) return;
    for (int64_t i = 0; i < count; i++) {
        float position = clamp01(picture[i]) * (TABLE - 1);
        int index = (int)position;
        if (index > TABLE - 2) index = TABLE - 2;
        picture[i] = table[index] + (table[index + 1] - table[index]) * (position - (float)index);
    }
}

/* ---- neighbourhoods ---- */

#define MAX_RADIUS 8

/* Separable Gaussian, edges repeated: rows from `in` to `spare`, columns from `spare` to `out` (may be `in`). */
static void gaussian(float *out, const float *in, float *spare, int size, float deviation) {
    int radius = (int)ceilf(2.5f * deviation);
    if (radius > MAX_RADIUS) radius = MAX_RADIUS;
    float weight[2 * MAX_RADIUS + 1], total = 0;
    for (int k = -radius; k <= radius; k++)
        total += weight[k + radius] = expf(-0.5f * (float)(k * k) / (deviation * deviation));
    for (int k = 0; k <= 2 * radius; k++) weight[k] /= total;
    for (int y = 0; y < size; y++) {
        const float *row = in + (int64_t)y * size;
        float *target = spare + (int64_t)y * size;
        memset(target, 0, (size_t)size * sizeof *target);
        for (int k = -radius; k <= radius; k++) {
            float w = weight[k + radius];
            int begin = k < 0 ? -k : 0, end = k > 0 ? size - k : size;
            if (begin > size) begin = size;
            if (end < begin) end = begin;
            for (int x = 0; x < begin; x++) target[x] += w * row[0];
            for (int x = begin; x < end; x++) target[x] += w * row[x + k];
            for (int x = end; x < size; x++) target[x] += w * row[size - 1];
        }
    }
    for (int y = 0; y < size; y++) {
        float *target = out + (int64_t)y * size;
        memset(target, 0, (size_t)size * sizeof *target);
        for (int k = -radius; k <= radius; k++) {
            int from = y + k < 0 ? 0 : y + k >= size ? size - 1 : y + k;
            const float *row = spare + (int64_t)from * size;
            float w = weight[k + radius];
            for (int x = 0; x < size; x++) target[x] += w * row[x];
        }
    }
}

static void sharpen(float *picture, int size, float amount, float *scratch) {
    int64_t count = (int64_t)size * size;
    float *soft = scratch, *spare = scratch + count;
    gaussian(soft, picture, spare, size, 1.0f);
    for (int64_t i = 0; i < count; i++) picture[i] = clamp01(picture[i] + amount * (picture[i] - soft[i]));
}

/* The sum of the four 16-bit parts of a draw is normal enough and costs one draw a pixel. */
static void add_noise(float *picture, int size, float deviation, bool smooth, random_state *random, float *scratch) {
    int64_t count = (int64_t)size * size;
    float *field = scratch, *spare = scratch + count;
    float factor = deviation / (65536 * sqrtf(4.0f / 12));
    for (int64_t i = 0; i < count; i++) {
        uint64_t draw = random_u64(random);
        uint32_t sum = (uint32_t)((draw & 0xffff) + (draw >> 16 & 0xffff) + (draw >> 32 & 0xffff) + (draw >> 48));
        field[i] = ((float)sum - 131070) * factor;
    }
    if (smooth) {
        gaussian(field, field, spare, size, 0.8f);
        for (int64_t i = 0; i < count; i++)
            field[i] *= 2.8f; /* what the smoothing took from the deviation: 2 sqrt(pi) 0.8 */
    }
    for (int64_t i = 0; i < count; i++) picture[i] += field[i];
}

static void coarsen_blocks(float *picture, int size, float step) {
    for (int by = 0; by < size; by += 8)
        for (int bx = 0; bx < size; bx += 8) {
            int y_end = by + 8 < size ? by + 8 : size, x_end = bx + 8 < size ? bx + 8 : size;
            float mean = 0;
            for (int y = by; y < y_end; y++)
                for (int x = bx; x < x_end; x++) mean += picture[(int64_t)y * size + x];
            mean /= (float)((y_end - by) * (x_end - bx));
            for (int y = by; y < y_end; y++)
                for (int x = bx; x < x_end; x++) {
                    float *p = &picture[(int64_t)y * size + x];
                    *p = mean + step * nearbyintf((*p - mean) / step);
                }
        }
}

static void cutouts(float *picture, int size, float fraction, random_state *random) {
    int count = (int)random_below(random, 4);
    for (int i = 0; i < count; i++) {
        int width = (int)(random_uniform(random) * (double)fraction * size);
        int height = (int)(random_uniform(random) * (double)fraction * size);
        int left = (int)(random_uniform(random) * (size - width));
        int top = (int)(random_uniform(random) * (size - height));
        float value = (float)random_uniform(random), opacity = (float)random_range(random, 0.4, 1);
        for (int y = top; y < top + height; y++)
            for (int x = left; x < left + width; x++) {
                float *p = &picture[(int64_t)y * size + x];
                *p += opacity * (value - *p);
            }
    }
}

void augment_tone(float *picture, int size, const augment_options *o, random_state *random, void *scratch) {
    int64_t count = (int64_t)size * size;
    if (o->local_contrast > 0) {
        float amount = (float)random_range(random, -0.5, 1) * o->local_contrast;
        local_contrast(picture, size, amount, scratch);
    }
    if (o->bias_field > 0) bias_field(picture, size, o->bias_field, random);
    tone(picture, count, o, random);
    if (o->blur > 0 && random_chance(random, 0.5)) {
        float deviation = (float)random_uniform(random) * o->blur;
        if (deviation > 0.2f) gaussian(picture, picture, scratch, size, deviation);
    }
    if (o->sharpen > 0 && random_chance(random, 0.5))
        sharpen(picture, size, (float)random_uniform(random) * o->sharpen, scratch);
    if (o->noise > 0) {
        float deviation = (float)random_uniform(random) * o->noise;
        bool smooth = random_chance(random, 0.3);
        add_noise(picture, size, deviation, smooth, random, scratch);
    }
    if (o->blocks > 0 && random_chance(random, 0.5)) {
        float step = (float)random_uniform(random) * o->blocks;
        if (step > 1e-4f) coarsen_blocks(picture, size, step);
    }
    if (o->cutout > 0) cutouts(picture, size, o->cutout, random);
    for (int64_t i = 0; i < count; i++) picture[i] = clamp01(picture[i]);
}
