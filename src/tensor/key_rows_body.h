/* The loops of key_rows.h. Included by key_rows_generic.c, _avx2.c and _avx512.c, which set ROWS and KEYS (so many sums
 * stay in registers; with fewer rows a tile is longer), KERNEL and NAME; the compiler may fuse multiply and add.
 * This is deliberately a header that defines functions: it is the body of those files.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>

#include "tensor/lane_sums_body.h"
#endif

#include "base/half.h"
#include "tensor/exponential_body.h"
#include "tensor/key_rows.h"

#define LANES  16 /* at every instruction set, or sums would differ */
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef float half_lanes __attribute__((vector_size(2 * LANES)));
typedef float quarter_lanes __attribute__((vector_size(LANES)));
typedef uint32_t lane_bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t narrow_lanes __attribute__((vector_size(2 * LANES)));

/* ---- 16 values of a row ---- */

INLINE lanes load_some(const void *x, bool narrow, int64_t i, int64_t count) {
    lanes v = {0};
    if (!narrow) {
        memcpy(&v, (const float *)x + i, (size_t)count * sizeof(float));
        return v;
    }
    narrow_lanes bits = {0};
    memcpy(&bits, (const uint16_t *)x + i, (size_t)count * sizeof(uint16_t));
    lane_bits wide = __builtin_convertvector(bits, lane_bits) << 16;
    memcpy(&v, &wide, sizeof v);
    return v;
}
INLINE lanes load(const void *x, bool narrow, int64_t i) {
#ifdef __AVX512F__ /* one instruction, which the compiler does not find by itself */
    if (narrow) {
        __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)((const uint16_t *)x + i)));
        return (lanes)_mm512_slli_epi32(bits, 16);
    }
#endif
    return load_some(x, narrow, i, LANES);
}

INLINE const void *row_of(const void *x, bool narrow, int64_t offset) {
    return narrow ? (const void *)((const uint16_t *)x + offset) : (const void *)((const float *)x + offset);
}

INLINE float sum_of(lanes v) {
    half_lanes a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    quarter_lanes b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    return (b[0] + b[2]) + (b[1] + b[3]);
}

/* ---- scores ---- */

/* narrow: queries and keys. rows and keys are constants wherever this is put in, so that all sums are registers. */
INLINE void score_tile(float *scores, int64_t score_step, const void *q, int64_t q_step, int rows, const void *keys,
                       int64_t step, int key_count, int64_t n, bool narrow) {
    lanes sum[ROWS * KEYS] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes key[ROWS * KEYS];
#pragma GCC unroll 16
        for (int j = 0; j < key_count; j++) key[j] = load(row_of(keys, narrow, j * step), narrow, i);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            lanes x = load(row_of(q, narrow, r * q_step), narrow, i);
#pragma GCC unroll 16
            for (int j = 0; j < key_count; j++) sum[r * key_count + j] += x * key[j];
        }
    }
    if (i < n)
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
            for (int j = 0; j < key_count; j++)
                sum[r * key_count + j] += load_some(row_of(q, narrow, r * q_step), narrow, i, n - i) *
                                          load_some(row_of(keys, narrow, j * step), narrow, i, n - i);
#ifdef __AVX512F__
    if (rows * key_count == 16) {
        lane_sums_16((const __m512 *)sum, scores, rows, score_step);
        return;
    }
#endif
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
        for (int j = 0; j < key_count; j++) scores[r * score_step + j] = sum_of(sum[r * key_count + j]);
}

/* All keys for a tile's rows, `together` at a time while there are as many. */
INLINE void score_rows(float *scores, int64_t score_step, const void *q, int64_t q_step, int rows, const void *keys,
                       int64_t step, int64_t count, int64_t n, int together, bool narrow) {
    int64_t j = 0;
    for (; j + together <= count; j += together)
        score_tile(scores + j, score_step, q, q_step, rows, row_of(keys, narrow, j * step), step, together, n, narrow);
    for (; j + KEYS <= count; j += KEYS)
        score_tile(scores + j, score_step, q, q_step, rows, row_of(keys, narrow, j * step), step, KEYS, n, narrow);
    for (; j < count; j++)
        score_tile(scores + j, score_step, q, q_step, rows, row_of(keys, narrow, j * step), step, 1, n, narrow);
}

/* ROWS rows as often as possible, then half as many, and so on. */
INLINE void score_all(float *scores, int64_t score_step, const void *q, int64_t q_step, int64_t rows, const void *keys,
                      int64_t step, int64_t count, int64_t n, bool narrow) {
    int64_t r = 0;
#define SCORE(tile)                                                                                                    \
    for (; r + tile <= rows; r += tile)                                                                                \
    score_rows(scores + r * score_step, score_step, row_of(q, narrow, r * q_step), q_step, tile, keys, step, count, n, \
               ROWS / tile * KEYS, narrow)
    SCORE(ROWS);
    if (ROWS >= 4) SCORE(2);
    SCORE(1);
#undef SCORE
}

/* ---- mixtures ---- */

/* A mixture's numbers in f32 or bf16. */
typedef struct weights {
    const void *p;
    bool narrow;
    int64_t row_step, key_step;
} weights;

INLINE float weight_at(const void *p, bool narrow, int64_t i) {
    if (!narrow) return ((const float *)p)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* `parts` times 16 columns, the last of them `last` wide. */
INLINE void mix_tile(float *y, int64_t y_step, const weights *m, int64_t first, int rows, const void *values,
                     int64_t step, int64_t count, int parts, int64_t last, bool narrow) {
    int64_t row_step = m->row_step, at = first * row_step;
    lanes sum[ROWS * KEYS];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
        for (int c = 0; c < parts; c++)
            sum[r * parts + c] = load_some(y + r * y_step, false, c * LANES, c + 1 < parts ? LANES : last);
    for (int64_t j = 0; j < count; j++) {
        const void *row = row_of(values, narrow, j * step);
        lanes value[ROWS * KEYS];
#pragma GCC unroll 16
        for (int c = 0; c < parts; c++)
            value[c] = last == LANES ? load(row, narrow, c * LANES) : load_some(row, narrow, c * LANES, last);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
            for (int c = 0; c < parts; c++)
                sum[r * parts + c] += weight_at(m->p, m->narrow, at + r * row_step) * value[c];
        at += m->key_step;
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
        for (int c = 0; c < parts; c++)
            memcpy(y + r * y_step + c * LANES, &sum[r * parts + c], (size_t)(c + 1 < parts ? LANES : last) * sizeof *y);
}

INLINE void mix_rows(float *y, int64_t y_step, const weights *m, int64_t first, int rows, const void *values,
                     int64_t step, int64_t count, int64_t n, int together, bool narrow) {
    int64_t c = 0;
    for (; c + together * LANES <= n; c += together * LANES)
        mix_tile(y + c, y_step, m, first, rows, row_of(values, narrow, c), step, count, together, LANES, narrow);
    for (; c + LANES <= n; c += LANES)
        mix_tile(y + c, y_step, m, first, rows, row_of(values, narrow, c), step, count, 1, LANES, narrow);
    if (c < n) mix_tile(y + c, y_step, m, first, rows, row_of(values, narrow, c), step, count, 1, n - c, narrow);
}

INLINE void mix_all(float *y, int64_t y_step, const weights *m, int64_t rows, const void *values, int64_t step,
                    int64_t count, int64_t n, bool narrow) {
    int64_t r = 0;
#define MIX(tile)                       \
    for (; r + tile <= rows; r += tile) \
    mix_rows(y + r * y_step, y_step, m, r, tile, values, step, count, n, ROWS / tile * KEYS, narrow)
    MIX(ROWS);
    if (ROWS >= 4) MIX(2);
    MIX(1);
#undef MIX
}

/* ---- the table ---- */

static void scores(float *out, int64_t score_step, const float *q, int64_t q_step, int64_t rows, const void *keys,
                   int64_t step, int64_t count, int64_t n) {
    score_all(out, score_step, q, q_step, rows, keys, step, count, n, false);
}
static void scores_bf16(float *out, int64_t score_step, const uint16_t *q, int64_t q_step, int64_t rows,
                        const void *keys, int64_t step, int64_t count, int64_t n) {
    score_all(out, score_step, q, q_step, rows, keys, step, count, n, true);
}
static void mix(float *y, int64_t y_step, const mixture *m, int64_t rows, const void *values, int64_t step,
                int64_t count, int64_t n) {
    const weights w = {m->p, false, m->row_step, m->key_step};
    mix_all(y, y_step, &w, rows, values, step, count, n, false);
}
static void mix_bf16(float *y, int64_t y_step, const mixture *m, int64_t rows, const void *values, int64_t step,
                     int64_t count, int64_t n) {
    const weights w = {m->p, false, m->row_step, m->key_step};
    mix_all(y, y_step, &w, rows, values, step, count, n, true);
}
static void mix_pairs_bf16(float *y, int64_t y_step, const uint16_t *p, int64_t p_step, int64_t rows,
                           const void *values, int64_t step, int64_t count, int64_t n) {
    const weights w = {p, true, p_step, 1};
    mix_all(y, y_step, &w, rows, values, step, count, n, true);
}

/* ---- probabilities ---- */

/* Comparisons with NaN keep what there is. */
INLINE float largest_of(const float *s, int64_t n) {
    float lane[LANES];
    for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = s[i + j] > lane[j] ? s[i + j] : lane[j];
    for (; i < n; i++) lane[0] = s[i] > lane[0] ? s[i] : lane[0];
    for (int j = 1; j < LANES; j++) lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
    return lane[0];
}

#define PORTION 256 /* values that go through at a time, in the first cache: a multiple of EXP_VALUES */
static float soften_bf16(uint16_t *p, const float *s, int64_t n, float factor) {
    const float largest = largest_of(s, n);
    lanes sum = {0};
    for (int64_t first = 0, count; first < n; first += count) {
        float e[PORTION];
        count = n - first < PORTION ? n - first : PORTION;
        for (int64_t i = 0; i < count; i++) e[i] = (s[first + i] - largest) * factor;
        for (int64_t i = count; i % EXP_VALUES; i++) e[i] = 0;
        for (int64_t i = 0; i < count; i += EXP_VALUES) exponentials_of(e + i);
        for (int64_t i = 0; i < count; i++) p[first + i] = bf16_from_f32(e[i]);
        int64_t i = first;
        for (; i + LANES <= first + count; i += LANES) sum += load(p, true, i);
        if (i < first + count) sum += load_some(p, true, i, first + count - i);
    }
    return sum_of(sum);
}

const key_rows_kernel KERNEL = {.name = NAME,
                                .scores = scores,
                                .scores_bf16 = scores_bf16,
                                .mix = mix,
                                .mix_bf16 = mix_bf16,
                                .mix_pairs_bf16 = mix_pairs_bf16,
                                .soften_bf16 = soften_bf16};
