/* The search for scales; see quantize.h. */
#include "tensor/quantize.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

#define GROUP       32
#define LANES       8
#define LARGEST_F16 65504.0f

/* To the nearest integer, ties to even; |x| below 2^22. */
static inline float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }

static inline float within(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static uint16_t narrow(float scale) { return f16_from_f32(within(scale, -LARGEST_F16, LARGEST_F16)); }

/* 1 / scale, with 0 for a scale that became zero: then every q is. */
static float inverse_of(float scale) { return scale == 0 ? 0 : 1 / scale; }

/* The value of largest magnitude, with its sign. */
static float extreme(const float *x) {
    float most = 0;
    for (int i = 0; i < GROUP; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    return most;
}

uint16_t quantize_q8(int8_t q[32], const float x[32]) {
    uint16_t bits = narrow(fabsf(extreme(x)) / 127);
    float inverse = inverse_of(f16_to_f32(bits));
    for (int i = 0; i < GROUP; i++) q[i] = (int8_t)nearest(within(x[i] * inverse, -127, 127));
    return bits;
}

/* Sums over a group of q = x inverse + shift, rounded and kept in [low, high]: in lanes, for the compiler to use
 * vectors. */
typedef struct moments {
    float q, qq, xq;
} moments;

static moments moments_of(const float *x, float inverse, float shift, float low, float high) {
    float q[LANES] = {0}, qq[LANES] = {0}, xq[LANES] = {0};
    for (int i = 0; i < GROUP; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float v = nearest(within(x[i + l] * inverse + shift, low, high));
            q[l] += v, qq[l] += v * v, xq[l] += v * x[i + l];
        }
    moments sum = {0};
    for (int l = 0; l < LANES; l++) sum.q += q[l], sum.qq += qq[l], sum.xq += xq[l];
    return sum;
}

/* sum (x - scale q)^2 - sum x^2 */
static double error_of(moments s, float scale) {
    return (double)scale * ((double)scale * (double)s.qq - 2 * (double)s.xq);
}

uint16_t quantize_q4(int8_t q[32], const float x[32]) {
    /* What the extreme is taken to: whole grids to either side, and less or more of them. */
    static const float targets[] = {-9,     -8.75f, -8.5f, -8.25f, -8,   -7.75f, -7.5f, -7.25f, -7,
                                    -6.75f, -6.5f,  6,     6.25f,  6.5f, 6.75f,  7,     7.25f,  7.5f};
    float most = extreme(x), unit = most == 0 ? 0 : 1 / most;
    uint16_t best = 0;
    double least = 0; /* of nothing but zeros */
    for (size_t i = 0; isfinite(unit) && i < sizeof targets / sizeof *targets; i++) {
        moments s = moments_of(x, targets[i] * unit, 0, -8, 7);
        if (!(s.qq > 0)) continue;
        uint16_t bits = narrow(s.xq / s.qq);
        double error = error_of(s, f16_to_f32(bits));
        if (error < least) least = error, best = bits;
    }
    float inverse = inverse_of(f16_to_f32(best));
    for (int i = 0; i < GROUP; i++) q[i] = (int8_t)(nearest(within(x[i] * inverse, -8, 7)) + 8);
    return best;
}

/* ---- scale and minimum ---- */

typedef struct line {
    float scale, minimum; /* value = scale q - minimum, both >= 0 */
} line;

/* The line through integers whose moments are known, of least squared error among those with minimum >= 0. */
static line fit(moments s, double x) {
    double n = GROUP, determinant = n * (double)s.qq - (double)s.q * (double)s.q;
    if (determinant > 0) {
        double scale = (n * (double)s.xq - x * (double)s.q) / determinant;
        double minimum = -((double)s.qq * x - (double)s.q * (double)s.xq) / determinant;
        if (minimum >= 0) return (line){(float)scale, (float)minimum};
    }
    return (line){s.qq > 0 ? s.xq / s.qq : 0, 0};
}

/* sum (x - scale q + minimum)^2 - sum x^2 */
static double line_error(line l, moments s, double x) {
    double a = (double)l.scale, b = (double)l.minimum;
    return a * a * (double)s.qq + GROUP * b * b - 2 * a * (double)s.xq + 2 * b * x - 2 * a * b * (double)s.q;
}

static line search_line(const float *x) {
    float low = 0, high = x[0];
    double sum = 0;
    for (int i = 0; i < GROUP; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        sum += (double)x[i];
    }
    line best = {(high - low) / 15, -low};
    float unit = 1 / (high - low);
    double least = INFINITY;
    for (float steps = 14; isfinite(unit) && steps <= 16.05f; steps += 0.125f) {
        moments s = moments_of(x, steps * unit, -low * steps * unit, 0, 15);
        line l = fit(s, sum);
        double error = line_error(l, s, sum);
        if (l.scale > 0 && error < least) least = error, best = l;
    }
    return best;
}

/* f16 and factors of 8 bits for up to eight numbers >= 0. */
static uint16_t factor(uint8_t factors[8], const float *values, int count) {
    float most = 0;
    for (int i = 0; i < count; i++) most = values[i] > most ? values[i] : most;
    uint16_t bits = narrow(most / 255);
    float inverse = inverse_of(f16_to_f32(bits));
    for (int i = 0; i < count; i++) factors[i] = (uint8_t)nearest(within(values[i] * inverse, 0, 255));
    return bits;
}

void quantize_q4m(uint16_t *scale, uint16_t *minimum, uint8_t scale_factors[8], uint8_t minimum_factors[8], int8_t *q,
                  const float *x, int count) {
    float scales[8] = {0}, minima[8] = {0};
    int groups = count / GROUP;
    for (int g = 0; g < groups; g++) {
        line l = search_line(x + g * GROUP);
        scales[g] = l.scale, minima[g] = l.minimum;
    }
    *scale = factor(scale_factors, scales, groups);
    *minimum = factor(minimum_factors, minima, groups);
    for (int i = 0; i < count; i++) {
        float step = f16_to_f32(*scale) * (float)scale_factors[i / GROUP];
        float below = f16_to_f32(*minimum) * (float)minimum_factors[i / GROUP];
        q[i] = (int8_t)nearest(within((x[i] + below) * inverse_of(step), 0, 15));
    }
}
