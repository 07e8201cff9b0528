/* The kernel of panel_product.h. Included by panel_product_generic.c, _avx2.c, _avx512.c and _avx512_bf16.c, which set
 * LANES, ROWS (so many rows' sums, two registers each, stay in registers), KERNEL, NAME and, for bf16, BF16; the
 * compiler may fuse multiply and add there.
 * This is deliberately a header that defines functions: it is the body of those files.
 */
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "tensor/erf_rational.h"
#include "tensor/panel_product.h"

#define COLUMNS (2 * LANES)
#define INLINE  static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t lane_bits __attribute__((vector_size(4 * LANES)));

INLINE lanes load(const float *x) {
    lanes v;
    memcpy(&v, x, sizeof v);
    return v;
}
INLINE void store(float *x, lanes v) { memcpy(x, &v, sizeof v); }

#ifdef BF16
#define GROUP 2
#define TYPE  TENSOR_BF16
typedef uint16_t value;
typedef __m512bh factors; /* a row of the panel */
typedef __m512bh factor;  /* one value, or group, of x for all of them */

INLINE factors load_factors(const value *w) { return (factors)_mm512_loadu_si512(w); }
INLINE factor load_factor(const value *x) {
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    return (factor)_mm512_set1_epi32(pair);
}
INLINE lanes multiply_add(lanes sum, factor a, factors b) { return (lanes)_mm512_dpbf16_ps((__m512)sum, a, b); }
INLINE lanes widened(const value *x) {
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)x));
    return (lanes)_mm512_slli_epi32(bits, 16);
}
INLINE void store_row(value *y, lanes left, lanes right) {
    _mm512_storeu_si512(y, (__m512i)_mm512_cvtne2ps_pbh((__m512)right, (__m512)left));
}
#else
#define GROUP 1
#define TYPE  TENSOR_F32
typedef float value;
typedef lanes factors;
typedef float factor;

INLINE factors load_factors(const value *w) { return load(w); }
INLINE factor load_factor(const value *x) { return *x; }
INLINE lanes multiply_add(lanes sum, factor a, factors b) { return sum + a * b; }
INLINE lanes widened(const value *x) { return load(x); }
INLINE void store_row(value *y, lanes left, lanes right) { store(y, left), store(y + LANES, right); }
#endif

INLINE lanes not_negative(lanes v) {
    lanes zero = {0};
    return (lanes)((v > zero) & (lane_bits)v);
}

INLINE lanes fused(lanes a, lanes b, float c) { return a * b + c; }

INLINE lanes within(lanes v, float end) {
#ifdef __AVX512F__ /* one instruction each, which the compiler does not find by itself */
    return (lanes)_mm512_max_ps(_mm512_min_ps((__m512)v, _mm512_set1_ps(end)), _mm512_set1_ps(-end));
#else
    lane_bits above = v > end, below = v < -end;
    lanes high = (lanes){0} + end, low = -high;
    return (lanes)(((lane_bits)v & ~(above | below)) | ((lane_bits)high & above) | ((lane_bits)low & below));
#endif
}

INLINE lanes gelu(lanes x) {
    lanes z = within(0.70710678f * x, ERF_END), s = z * z, half = 0.5f * x;
    return half * (z * ERF_P(fused, s) / ERF_Q(fused, s)) + half;
}

/* Both registers of row r: what is added, then f, then written. */
INLINE void finish_row(const panel_tile *t, int r, lanes left, lanes right) {
    if (t->residual) {
        const value *residual = (const value *)t->residual + r * t->residual_step;
        left += widened(residual), right += widened(residual + LANES);
    }
    if (t->function == FUNCTION_RELU) left = not_negative(left), right = not_negative(right);
    if (t->function == FUNCTION_GELU) left = gelu(left), right = gelu(right);
    if (t->wide)
        store((float *)t->y + r * t->y_step, left), store((float *)t->y + r * t->y_step + LANES, right);
    else
        store_row((value *)t->y + r * t->y_step, left, right);
}

/* What a tile adds to and writes lies in main memory, line by line apart: asked for before its sums are made, it is
 * there when they are. */
INLINE void fetch_targets(const panel_tile *t, int rows) {
    size_t bytes = t->wide ? sizeof(float) : sizeof(value);
    for (int r = 0; r < rows; r++) {
        const char *y = (const char *)t->y + (size_t)(r * t->y_step) * bytes;
        __builtin_prefetch(y, 1, 2);
        if (COLUMNS * sizeof(value) > 64) __builtin_prefetch(y + 64, 1, 2);
        if (!t->residual) continue;
        const char *residual = (const char *)((const value *)t->residual + r * t->residual_step);
        __builtin_prefetch(residual, 0, 2);
        if (COLUMNS * sizeof(value) > 64) __builtin_prefetch(residual + 64, 0, 2);
    }
}

/* Where to read rows of x: five registers address fourteen of them. Fourteen offsets from one pointer would be more
 * than the processor has, and every one that is kept elsewhere costs the multipliers a turn. */
typedef struct row_pointers {
    const value *x, *x5;
    int64_t step, step3, step5;
} row_pointers;

_Static_assert(ROWS <= 14, "row_pointer knows fourteen rows");
INLINE const value *row_pointer(row_pointers p, int r) {
    switch (r) {
        case 0: return p.x;
        case 1: return p.x + p.step;
        case 2: return p.x + 2 * p.step;
        case 3: return p.x + p.step3;
        case 4: return p.x + 4 * p.step;
        case 5: return p.x5;
        case 6: return p.x5 + p.step;
        case 7: return p.x5 + 2 * p.step;
        case 8: return p.x5 + p.step3;
        case 9: return p.x5 + 4 * p.step;
        case 10: return p.x5 + p.step5;
        case 11: return p.x5 + 2 * p.step3;
        case 12: return p.x + 4 * p.step3;
        default: return p.x5 + 8 * p.step;
    }
}

/* rows is a constant wherever this is put in, so that all sums are registers. */
INLINE void tile_rows(const panel_tile *t, int rows) {
    const value *x = t->x, *w = t->panel;
    int64_t depth = t->depth;
    row_pointers p = {x, rows > 5 ? x + 5 * t->x_step : x, t->x_step, 3 * t->x_step, 5 * t->x_step};
    fetch_targets(t, rows);
    lanes left[ROWS], right[ROWS], bias[2] = {{0}, {0}};
    if (t->bias) bias[0] = load(t->bias), bias[1] = load(t->bias + LANES);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) left[r] = bias[0], right[r] = bias[1];
    for (int64_t k = 0; k < depth; k += GROUP, p.x += GROUP, p.x5 += GROUP, w += GROUP * COLUMNS) {
        factors w_left = load_factors(w), w_right = load_factors(w + LANES * GROUP);
        /* These five, and no others that the compiler could make of them: */
        __asm__("" : "+r"(p.x), "+r"(p.x5), "+r"(p.step), "+r"(p.step3), "+r"(p.step5));
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            factor a = load_factor(row_pointer(p, r));
            left[r] = multiply_add(left[r], a, w_left);
            right[r] = multiply_add(right[r], a, w_right);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) finish_row(t, r, left[r], right[r]);
}

#define CASE(n) \
    case n: tile_rows(t, n); break;

static void run(const panel_tile *t, int rows) {
    switch (rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
#if ROWS > 4
        CASE(5)
        CASE(6)
#endif
#if ROWS > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(14)
#endif
        default: break;
    }
}

/* ---- panels of rows: a transposition of 32-bit units, which are a group each ---- */

#if LANES == 4
#define LOWER_LANES 0, 4, 1, 5 /* of two registers in turn */
#define UPPER_LANES 2, 6, 3, 7
#elif LANES == 8
#define LOWER_LANES 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER_LANES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOWER_LANES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER_LANES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif

/* One round interleaves the first half of v with the second; after as many as LANES has bits, v is transposed. */
INLINE void interleave_halves(lane_bits v[LANES]) {
    lane_bits out[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES / 2; i++) {
        out[2 * i] = __builtin_shufflevector(v[i], v[i + LANES / 2], LOWER_LANES);
        out[2 * i + 1] = __builtin_shufflevector(v[i], v[i + LANES / 2], UPPER_LANES);
    }
    memcpy(v, out, sizeof out);
}

/* `units` units, LANES at most, of up to LANES rows; columns beyond those are zeros. */
INLINE void transpose_block(value *panel, const value *rows, int64_t step, int64_t count, int64_t units) {
    lane_bits v[LANES] = {{0}};
    for (int j = 0; j < LANES && j < count; j++) memcpy(&v[j], rows + j * step, (size_t)units * GROUP * sizeof *rows);
#pragma GCC unroll 4
    for (int i = 1; i < LANES; i *= 2) interleave_halves(v);
    for (int i = 0; i < units; i++) memcpy(panel + i * COLUMNS * GROUP, &v[i], sizeof *v);
}

static void panel_of_rows(void *panel, const void *rows, int64_t step, int64_t count, int64_t k) {
    for (int64_t i = 0; i < k; i += LANES * GROUP)
        for (int64_t j = 0; j < COLUMNS; j += LANES) {
            value *block = (value *)panel + i * COLUMNS + j * GROUP;
            const value *first = (const value *)rows + j * step + i;
            int64_t units = (k - i) / GROUP;
            if (units >= LANES)
                transpose_block(block, first, step, count - j, LANES);
            else
                transpose_block(block, first, step, count - j, units);
        }
}

#ifndef BF16
/* ---- strassen.h ---- */

static void sum_rows(float *operands, int64_t step, const float *row, const float *partner, int64_t depth) {
    lanes zero = {0};
    for (int64_t k = 0; k < depth; k += LANES) {
        lanes a11 = load(row + k), a12 = load(row + depth + k);
        lanes a21 = partner ? load(partner + k) : zero, a22 = partner ? load(partner + depth + k) : zero;
        float *out = operands + k;
        store(out, a11 + a22);
        store(out + step, a21 + a22);
        store(out + 2 * step, a11);
        store(out + 3 * step, a22);
        store(out + 4 * step, a11 + a12);
        store(out + 5 * step, a21 - a11);
        store(out + 6 * step, a12 - a22);
    }
}

static void combine(const panel_tile *t, int rows) {
    lanes bias[4] = {{0}, {0}, {0}, {0}};
    for (int i = 0; t->bias && i < 4; i++) bias[i] = load(t->bias + i * LANES);
    panel_tile right = *t; /* the second panel's columns */
    right.y = (float *)t->y + COLUMNS;
    if (t->residual) right.residual = (const float *)t->residual + COLUMNS;
    for (int r = 0; r < rows; r += 2) {
        lanes y11[2], y12[2], y21[2], y22[2], m[STRASSEN_PRODUCTS];
        for (int i = 0; i < 2; i++) {
            const float *products = (const float *)t->x + r / 2 * COLUMNS + i * LANES;
            for (int j = 0; j < STRASSEN_PRODUCTS; j++) m[j] = load(products + j * ROWS * COLUMNS);
            y11[i] = (m[0] + m[3]) + (m[6] - m[4]) + bias[i];
            y12[i] = m[2] + m[4] + bias[2 + i];
            y21[i] = m[1] + m[3] + bias[i];
            y22[i] = (m[0] - m[1]) + (m[2] + m[5]) + bias[2 + i];
        }
        finish_row(t, r, y11[0], y11[1]);
        finish_row(&right, r, y12[0], y12[1]);
        if (r + 1 == rows) break;
        finish_row(t, r + 1, y21[0], y21[1]);
        finish_row(&right, r + 1, y22[0], y22[1]);
    }
}
#endif

const panel_kernel KERNEL = {.name = NAME,
                             .type = TYPE,
                             .rows = ROWS,
                             .columns = COLUMNS,
                             .group = GROUP,
                             .run = run,
                             .panel_of_rows = panel_of_rows,
#ifndef BF16
                             .sum_rows = sum_rows,
                             .combine = combine
#endif
};
