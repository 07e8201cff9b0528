/* The kernels in plain C, written so that the compiler vectorises them (exponentials in vectors of their own: with AVX2
 * it leaves loops with clamps in single values). Included by kernels_generic.c, kernels_avx2.c and kernels_avx512.c,
 * which differ only in their compiler flags and KERNELS_TABLE / KERNELS_NAME. This is deliberately a header that
 * defines functions: it is the body of those three files.
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/half.h"
#include "tensor/erf_rational.h"
#include "tensor/exponential_body.h"
#include "tensor/kernels.h"

#define LANES 16

/* Before a loop in which what is written is only ever read by the same pass, before. */
#if !defined(__clang__)
#define EACH_BY_ITSELF _Pragma("GCC ivdep")
#elif __has_feature(address_sanitizer) /* no vectors there, and a warning about that */
#define EACH_BY_ITSELF
#else
#define EACH_BY_ITSELF _Pragma("clang loop vectorize(assume_safety)")
#endif

/* ---- helpers ---- */

static inline float sum_lanes(const float *lane) {
    float s[8];
    for (int i = 0; i < 8; i++) s[i] = lane[i] + lane[i + 8];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* a b + c, rounded once where the processor can: twice as fast there. */
static inline float fused(float a, float b, float c) {
#ifdef __FMA__
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* ---- exponentials ---- */

/* x = e^x */
static void exp_f32(float *x, int64_t n) {
    int64_t i = 0;
    for (; i + EXP_VALUES <= n; i += EXP_VALUES) exponentials_of(x + i);
    if (i == n) return;
    float rest[EXP_VALUES] = {0};
    memcpy(rest, x + i, (size_t)(n - i) * sizeof *x);
    exponentials_of(rest);
    memcpy(x + i, rest, (size_t)(n - i) * sizeof *x);
}

#define PORTION 256 /* values that are exponentiated at a time where something else follows: in the first cache */
static inline int64_t portion(int64_t left) { return left < PORTION ? left : PORTION; }

/* 1 / (1 + e^-x) from e = e^-|x|. */
static inline float sigmoid_from(float x, float e) { return (x >= 0 ? 1.0f : e) * (1.0f / (1.0f + e)); }

/* y = erf(factor x), in place allowed. */
static void erf_f32(float *y, const float *x, int64_t n, float factor) {
    int64_t i = 0, step = NATIVE_BYTES / (int64_t)sizeof(float);
    for (; i + step <= n; i += step) {
        native v;
        memcpy(&v, x + i, sizeof v);
        v = clamped(v * factor, -ERF_END, ERF_END);
        memcpy(y + i, &v, sizeof v);
    }
    native v = {0};
    memcpy(&v, x + i, (size_t)(n - i) * sizeof *x);
    v = clamped(v * factor, -ERF_END, ERF_END);
    memcpy(y + i, &v, (size_t)(n - i) * sizeof *y);
    for (i = 0; i < n; i++) {
        float s = y[i] * y[i];
        y[i] = y[i] * ERF_P(fused, s) / ERF_Q(fused, s);
    }
}

/* ---- conversions and simple sums ---- */

static void widen_bf16(float *restrict out, const uint16_t *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = bf16_to_f32(x[i]);
}

static void narrow_bf16(uint16_t *restrict out, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = bf16_from_f32(x[i]);
}

static void add_into(float *restrict sum, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += x[i];
}

static void add_into_bf16(uint16_t *restrict sum, const uint16_t *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] = bf16_from_f32(bf16_to_f32(sum[i]) + bf16_to_f32(x[i]));
}

static void scale(float *out, const float *x, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * factor;
}

static void multiply(float *out, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

static void multiply_add(float *restrict sum, const float *restrict a, const float *restrict b, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += a[i] * b[i];
}

static float dot(const float *restrict a, const float *restrict b, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += a[i + j] * b[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += a[i] * b[i];
    return sum_lanes(lane);
}

static double sum_of_squares(const float *x, int64_t n) {
    double total = 0; /* blocks keep the f32 lanes short, the double keeps the total exact enough for any n */
    for (int64_t i = 0; i < n; i += 4096) total += (double)dot(x + i, x + i, n - i < 4096 ? n - i : 4096);
    return total;
}

static float sum_f32(const float *x, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += x[i];
    return sum_lanes(lane);
}

/* ---- ReLU gradients ---- */

static void relu_gate(float *restrict g, const float *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) g[i] = y[i] > 0 ? g[i] : 0.0f;
}

static void relu_gate_bf16(uint16_t *restrict g, const uint16_t *restrict y, int64_t n) {
    /* as signed 16-bit numbers: positive floats are the positive integers */
    for (int64_t i = 0; i < n; i++) g[i] = (int16_t)y[i] > 0 ? g[i] : 0;
}

/* Eight values and their byte of signs at a time, in the compiler's vector types: bit tricks are beyond its own
 * vectorisation. */
typedef float floats8 __attribute__((vector_size(32)));
typedef uint32_t words8 __attribute__((vector_size(32)));
typedef int16_t halves8 __attribute__((vector_size(16)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));

/* Lane j, all ones or zero, becomes bit j: keep bit j of byte j, then add the bytes up in the top one. */
static inline uint8_t bits_of_lanes(bytes8 lanes_set) {
    uint64_t bytes;
    memcpy(&bytes, &lanes_set, sizeof bytes);
    return (uint8_t)((bytes & 0x8040201008040201u) * 0x0101010101010101u >> 56);
}

static void sign_pack(uint8_t *restrict bits, const float *restrict y, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        floats8 v;
        memcpy(&v, y + i, sizeof v);
        bits[i / 8] = bits_of_lanes(__builtin_convertvector(v > 0, bytes8));
    }
    unsigned byte = 0;
    for (int j = 0; i + j < n; j++) byte |= (unsigned)(y[i + j] > 0) << j;
    if (i < n) bits[i / 8] = (uint8_t)byte;
}

static void sign_pack_bf16(uint8_t *restrict bits, const uint16_t *restrict y, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        halves8 v; /* as signed numbers: positive floats are the positive integers */
        memcpy(&v, y + i, sizeof v);
        bits[i / 8] = bits_of_lanes(__builtin_convertvector(v > 0, bytes8));
    }
    unsigned byte = 0;
    for (int j = 0; i + j < n; j++) byte |= (unsigned)((int16_t)y[i + j] > 0) << j;
    if (i < n) bits[i / 8] = (uint8_t)byte;
}

static void sign_gate(float *restrict g, const uint8_t *restrict bits, int64_t n) {
    const words8 place = {0, 1, 2, 3, 4, 5, 6, 7};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        words8 v;
        memcpy(&v, g + i, sizeof v);
        v &= -((bits[i / 8] >> place) & 1u);
        memcpy(g + i, &v, sizeof v);
    }
    for (; i < n; i++) g[i] = bits[i / 8] >> (i % 8) & 1 ? g[i] : 0.0f;
}

static void sign_gate_bf16(uint16_t *restrict g, const uint8_t *restrict bits, int64_t n) {
    const halves8 bit = {1, 2, 4, 8, 16, 32, 64, 128}; /* no 16-bit shifts by lane before AVX-512 */
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        halves8 v;
        memcpy(&v, g + i, sizeof v);
        v &= ((int16_t)bits[i / 8] & bit) != 0;
        memcpy(g + i, &v, sizeof v);
    }
    for (; i < n; i++) g[i] = bits[i / 8] >> (i % 8) & 1 ? g[i] : 0;
}

/* ---- activations ---- */

#define GELU_C 0.7978845608f /* sqrt(2 / pi) */

/* (1 + tanh u) / 2 = sigmoid(2 u) */
static inline float gelu_twice_u(float x) { return 2.0f * (GELU_C * (x + 0.044715f * x * x * x)); }

/* These and the gradients below take PORTION values at most. x = 1 / (1 + e^-x) */
static void sigmoid(float *x, int64_t n) {
    float e[PORTION];
    for (int64_t i = 0; i < n; i++) e[i] = -fabsf(x[i]);
    exp_f32(e, n);
    for (int64_t i = 0; i < n; i++) x[i] = sigmoid_from(x[i], e[i]);
}

static void gelu_tanh(float *y, const float *x, int64_t n) {
    float s[PORTION];
    for (int64_t i = 0; i < n; i++) s[i] = gelu_twice_u(x[i]);
    sigmoid(s, n);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * s[i];
}

static void gelu(float *y, const float *x, int64_t n) {
    float e[PORTION];
    erf_f32(e, x, n, 0.70710678f);
    for (int64_t i = 0; i < n; i++) y[i] = fused(0.5f * x[i], e[i], 0.5f * x[i]);
}

static void activate(float *y, const float *x, int64_t n, activation_function f) {
    switch (f) {
        case FUNCTION_NONE:
            if (y != x) memcpy(y, x, (size_t)n * sizeof *y);
            break;
        case FUNCTION_RELU:
            for (int64_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0.0f;
            break;
        case FUNCTION_GELU:
            for (int64_t i = 0; i < n; i += PORTION) gelu(y + i, x + i, portion(n - i));
            break;
        case FUNCTION_GELU_TANH:
            for (int64_t i = 0; i < n; i += PORTION) gelu_tanh(y + i, x + i, portion(n - i));
            break;
        case FUNCTION_SIGMOID:
            if (y != x) memcpy(y, x, (size_t)n * sizeof *y);
            for (int64_t i = 0; i < n; i += PORTION) sigmoid(y + i, portion(n - i));
            break;
    }
}

static void gelu_gradient(float *dx, const float *x, const float *dy, int64_t n) {
    float u[PORTION], e[PORTION];
    erf_f32(u, x, n, 0.70710678f);
    for (int64_t i = 0; i < n; i++) e[i] = -0.5f * x[i] * x[i];
    exp_f32(e, n);
    for (int64_t i = 0; i < n; i++) {
        float phi = 0.3989422804f * e[i];
        dx[i] = dy[i] * (0.5f * (1.0f + u[i]) + x[i] * phi);
    }
}

static void gelu_tanh_gradient(float *dx, const float *x, const float *dy, int64_t n) {
    float s[PORTION];
    for (int64_t i = 0; i < n; i++) s[i] = gelu_twice_u(x[i]);
    sigmoid(s, n);
    for (int64_t i = 0; i < n; i++) {
        float du = GELU_C * (1.0f + 3.0f * 0.044715f * x[i] * x[i]);
        dx[i] = dy[i] * (s[i] + x[i] * 2.0f * s[i] * (1.0f - s[i]) * du);
    }
}

static void activate_gradient(float *dx, const float *x, const float *dy, int64_t n, activation_function f) {
    switch (f) {
        case FUNCTION_NONE:
            if (dx != dy) memcpy(dx, dy, (size_t)n * sizeof *dx);
            break;
        case FUNCTION_RELU:
            for (int64_t i = 0; i < n; i++) dx[i] = x[i] > 0 ? dy[i] : 0.0f;
            break;
        case FUNCTION_GELU:
            for (int64_t i = 0; i < n; i += PORTION) gelu_gradient(dx + i, x + i, dy + i, portion(n - i));
            break;
        case FUNCTION_GELU_TANH:
            for (int64_t i = 0; i < n; i += PORTION) gelu_tanh_gradient(dx + i, x + i, dy + i, portion(n - i));
            break;
        case FUNCTION_SIGMOID:
            for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * x[i] * (1.0f - x[i]);
            break;
    }
}

/* ---- rows: layer norm and softmax ---- */

static void layer_norm(float *y, const float *x, const float *weight, const float *bias, int64_t n, float epsilon,
                       float *mean, float *rstd) {
    float m = sum_f32(x, n) / (float)n;
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (x[i + j] - m) * (x[i + j] - m);
    for (int j = 0; i < n; i++, j++) lane[j] += (x[i] - m) * (x[i] - m);
    float r = 1.0f / sqrtf(sum_lanes(lane) / (float)n + epsilon);
    for (i = 0; i < n; i++) y[i] = (x[i] - m) * r * weight[i] + bias[i];
    *mean = m;
    *rstd = r;
}

static void layer_norm_gradient(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                                const float *weight, int64_t n, float mean, float rstd) {
    /* dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy weight */
    float lane_g[LANES] = {0}, lane_gx[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            float g = dy[i + j] * weight[i + j];
            lane_g[j] += g;
            lane_gx[j] += g * (x[i + j] - mean) * rstd;
        }
    for (int j = 0; i < n; i++, j++) {
        float g = dy[i] * weight[i];
        lane_g[j] += g;
        lane_gx[j] += g * (x[i] - mean) * rstd;
    }
    float mean_g = sum_lanes(lane_g) / (float)n, mean_gx = sum_lanes(lane_gx) / (float)n;
    for (i = 0; i < n; i++) {
        float xhat = (x[i] - mean) * rstd, d = dy[i];
        dweight[i] += d * xhat;
        dbias[i] += d;
        dx[i] = rstd * (d * weight[i] - mean_g - xhat * mean_gx);
    }
}

static float rms_norm(float *y, const float *x, const float *weight, int64_t n, float epsilon) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * x[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += x[i] * x[i];
    float r = 1.0f / sqrtf(sum_lanes(lane) / (float)n + epsilon);
    EACH_BY_ITSELF
    for (i = 0; i < n; i++) y[i] = x[i] * r * (1.0f + weight[i]);
    return r;
}

static void rms_norm_gradient(float *dx, float *dweight, const float *dy, const float *x, const float *weight,
                              int64_t n, float rstd) {
    /* dx = rstd (g - xhat mean(g xhat)), g = dy (1 + weight) */
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += dy[i + j] * (1.0f + weight[i + j]) * x[i + j] * rstd;
    for (int j = 0; i < n; i++, j++) lane[j] += dy[i] * (1.0f + weight[i]) * x[i] * rstd;
    float mean = sum_lanes(lane) / (float)n;
    for (i = 0; i < n; i++) {
        float xhat = x[i] * rstd, d = dy[i];
        dweight[i] += d * xhat;
        dx[i] = rstd * (d * (1.0f + weight[i]) - xhat * mean);
    }
}

static void rotate(float *y, const float *x, const float *table, int64_t half, float direction) {
    const float *cosine = table, *sine = table + half;
    EACH_BY_ITSELF
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = x[half + i], along = direction * sine[i];
        y[i] = a * cosine[i] - b * along;
        y[half + i] = b * cosine[i] + a * along;
    }
}

static float row_maximum(const float *x, int64_t n) {
    float lane[LANES];
    for (int j = 0; j < LANES; j++) lane[j] = x[0];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    float best = lane[0];
    for (int j = 1; j < LANES; j++) best = lane[j] > best ? lane[j] : best;
    return best;
}

static float softmax(float *s, int64_t n, float factor) {
    float maximum_value = row_maximum(s, n) * factor; /* factor > 0 */
    for (int64_t i = 0; i < n; i++) s[i] = s[i] * factor - maximum_value;
    exp_f32(s, n);
    float sum = sum_f32(s, n), inverse = 1.0f / sum;
    for (int64_t i = 0; i < n; i++) s[i] *= inverse;
    return maximum_value + logf(sum);
}

/* Of `width` columns, LANES at most: a constant wherever it can be, so that they are one register. */
static inline __attribute__((always_inline)) void softmax_of_columns(float *s, int64_t n, int64_t columns, int width,
                                                                     float factor) {
    float best[LANES], sum[LANES] = {0}; /* factor > 0 */
    for (int j = 0; j < width; j++) best[j] = s[j];
    for (int64_t i = 1; i < n; i++)
        for (int j = 0; j < width; j++) best[j] = s[i * columns + j] > best[j] ? s[i * columns + j] : best[j];
    for (int j = 0; j < width; j++) best[j] *= factor;
    for (int64_t i = 0; i < n; i += PORTION / LANES) {
        float e[PORTION] = {0};
        int rows = (int)(n - i < PORTION / LANES ? n - i : PORTION / LANES);
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < width; j++) e[r * LANES + j] = s[(i + r) * columns + j] * factor - best[j];
        exp_f32(e, (int64_t)rows * LANES);
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < width; j++) {
                s[(i + r) * columns + j] = e[r * LANES + j];
                sum[j] += e[r * LANES + j];
            }
    }
    for (int j = 0; j < width; j++) sum[j] = 1.0f / sum[j];
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < width; j++) s[i * columns + j] *= sum[j];
}

static void softmax_columns(float *s, int64_t n, int64_t columns, float factor) {
    int64_t j = 0;
    for (; j + LANES <= columns; j += LANES) softmax_of_columns(s + j, n, columns, LANES, factor);
    if (j < columns) softmax_of_columns(s + j, n, columns, (int)(columns - j), factor);
}

static void softmax_again(float *s, int64_t n, float factor, float lse) {
    for (int64_t i = 0; i < n; i++) s[i] = s[i] * factor - lse;
    exp_f32(s, n);
}

static void softmax_gradient(float *restrict dp, const float *restrict p, int64_t n, float delta, float factor) {
    for (int64_t i = 0; i < n; i++) dp[i] = p[i] * (dp[i] - delta) * factor;
}

/* What lies between 0 and a finite number needs no care for NaN: round to nearest, ties to even. */
static inline uint16_t narrow_finite(float x) {
    uint32_t bits = half_bits_of(x);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static float exponentials_bf16(uint16_t *restrict p, float *sum, const float *restrict s, int64_t n, float factor) {
    float maximum_value = row_maximum(s, n) * factor; /* factor > 0 */
    float lane[LANES] = {0}, e[PORTION];
    for (int64_t first = 0, count; first < n; first += count) {
        count = portion(n - first);
        for (int64_t i = 0; i < count; i++) e[i] = s[first + i] * factor - maximum_value;
        exp_f32(e, count);
        int64_t i = 0;
        for (; i + LANES <= count; i += LANES)
            for (int j = 0; j < LANES; j++) lane[j] += e[i + j];
        for (int j = 0; i + j < count; j++) lane[j] += e[i + j];
        for (i = 0; i < count; i++) p[first + i] = narrow_finite(e[i]);
    }
    *sum = sum_lanes(lane);
    return maximum_value;
}

static void softmax_gradient_bf16(uint16_t *restrict p, uint16_t *restrict ds, const float *restrict s,
                                  const float *restrict dp, int64_t n, float factor, float lse, float delta) {
    float e[PORTION];
    for (int64_t first = 0, count; first < n; first += count) {
        count = portion(n - first);
        for (int64_t i = 0; i < count; i++) e[i] = s[first + i] * factor - lse;
        exp_f32(e, count);
        for (int64_t i = 0; i < count; i++) {
            p[first + i] = narrow_finite(e[i]);
            ds[first + i] = narrow_finite(e[i] * (dp[first + i] - delta) * factor);
        }
    }
}

/* ---- channels of a pixel ---- */

static void affine(float *y, const float *x, const float *a, const float *b, const float *residual, int relu,
                   int64_t n) {
    if (residual)
        for (int64_t i = 0; i < n; i++) y[i] = x[i] * a[i] + b[i] + residual[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = x[i] * a[i] + b[i];
    if (relu)
        for (int64_t i = 0; i < n; i++) y[i] = y[i] > 0 ? y[i] : 0.0f;
}

static void accumulate_moments(float *restrict sum, float *restrict squares, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        sum[i] += x[i];
        squares[i] += x[i] * x[i];
    }
}

static void accumulate_norm_gradient(float *restrict dgamma, float *restrict dbeta, const float *restrict g,
                                     const float *restrict x, const float *restrict mean, const float *restrict rstd,
                                     int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        dbeta[i] += g[i];
        dgamma[i] += g[i] * (x[i] - mean[i]) * rstd[i];
    }
}

static void norm_gradient(float *dx, const float *g, const float *x, const float *a, const float *b, const float *d,
                          int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] = g[i] * a[i] + x[i] * b[i] + d[i];
}

/* The same on bf16: sums and coefficients stay f32. */

static void affine_bf16(uint16_t *y, const uint16_t *x, const float *a, const float *b, const uint16_t *residual,
                        int relu, int64_t n) {
    float low = relu ? 0.0f : -INFINITY;
    if (residual)
        for (int64_t i = 0; i < n; i++) {
            float v = bf16_to_f32(x[i]) * a[i] + b[i] + bf16_to_f32(residual[i]);
            y[i] = bf16_from_f32(v < low ? low : v);
        }
    else
        for (int64_t i = 0; i < n; i++) {
            float v = bf16_to_f32(x[i]) * a[i] + b[i];
            y[i] = bf16_from_f32(v < low ? low : v);
        }
}

static void accumulate_moments_bf16(float *restrict sum, float *restrict squares, const uint16_t *restrict x,
                                    int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float v = bf16_to_f32(x[i]);
        sum[i] += v;
        squares[i] += v * v;
    }
}

static void accumulate_norm_gradient_bf16(float *restrict dgamma, float *restrict dbeta, const uint16_t *restrict g,
                                          const uint16_t *restrict x, const float *restrict mean,
                                          const float *restrict rstd, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float d = bf16_to_f32(g[i]);
        dbeta[i] += d;
        dgamma[i] += d * (bf16_to_f32(x[i]) - mean[i]) * rstd[i];
    }
}

static void norm_gradient_bf16(uint16_t *dx, const uint16_t *g, const uint16_t *x, const float *a, const float *b,
                               const float *d, int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] = bf16_from_f32(bf16_to_f32(g[i]) * a[i] + bf16_to_f32(x[i]) * b[i] + d[i]);
}

static void larger(float *restrict best, const float *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) best[i] = x[i] > best[i] ? x[i] : best[i];
}

static void larger_bf16(uint16_t *restrict best, const uint16_t *restrict x, int64_t n) {
    for (int64_t i = 0; i < n; i++) best[i] = bf16_to_f32(x[i]) > bf16_to_f32(best[i]) ? x[i] : best[i];
}

static void maximum(float *restrict best, uint8_t *restrict index, const float *restrict x, uint8_t tap, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        bool larger = x[i] > best[i];
        best[i] = larger ? x[i] : best[i];
        index[i] = larger ? tap : index[i];
    }
}

static void maximum_of_rows(float *restrict best, uint8_t *restrict index, const float *restrict x,
                            const uint8_t *restrict x_index, uint8_t tap, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        bool larger = x[i] > best[i];
        best[i] = larger ? x[i] : best[i];
        index[i] = larger ? (uint8_t)(x_index[i] + tap) : index[i];
    }
}

static void scatter_maximum(float *restrict dx, const uint8_t *restrict index, const float *restrict g, uint8_t tap,
                            int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] += index[i] == tap ? g[i] : 0.0f;
}

static void lerp(float *restrict average, const float *restrict x, float weight, int64_t n) {
    for (int64_t i = 0; i < n; i++) average[i] += weight * (x[i] - average[i]);
}

const kernels KERNELS_TABLE = {
    .name = KERNELS_NAME,
    .widen_bf16 = widen_bf16,
    .narrow_bf16 = narrow_bf16,
    .add_into = add_into,
    .add_into_bf16 = add_into_bf16,
    .scale = scale,
    .multiply = multiply,
    .multiply_add = multiply_add,
    .sum_of_squares = sum_of_squares,
    .relu_gate = relu_gate,
    .relu_gate_bf16 = relu_gate_bf16,
    .sign_pack = sign_pack,
    .sign_pack_bf16 = sign_pack_bf16,
    .sign_gate = sign_gate,
    .sign_gate_bf16 = sign_gate_bf16,
    .activate = activate,
    .activate_gradient = activate_gradient,
    .layer_norm = layer_norm,
    .layer_norm_gradient = layer_norm_gradient,
    .rms_norm = rms_norm,
    .rms_norm_gradient = rms_norm_gradient,
    .rotate = rotate,
    .softmax = softmax,
    .softmax_columns = softmax_columns,
    .softmax_again = softmax_again,
    .softmax_gradient = softmax_gradient,
    .exponentials_bf16 = exponentials_bf16,
    .softmax_gradient_bf16 = softmax_gradient_bf16,
    .dot = dot,
    .affine = affine,
    .accumulate_moments = accumulate_moments,
    .accumulate_norm_gradient = accumulate_norm_gradient,
    .norm_gradient = norm_gradient,
    .affine_bf16 = affine_bf16,
    .accumulate_moments_bf16 = accumulate_moments_bf16,
    .accumulate_norm_gradient_bf16 = accumulate_norm_gradient_bf16,
    .norm_gradient_bf16 = norm_gradient_bf16,
    .larger = larger,
    .larger_bf16 = larger_bf16,
    .maximum = maximum,
    .maximum_of_rows = maximum_of_rows,
    .scatter_maximum = scatter_maximum,
    .lerp = lerp,
};
