/* Queries against keys and values in bf16 where AVX-512 multiplies it: vdpbf16ps adds the products of a pair, of two
 * inputs for scores, of two keys for mixtures; and probabilities, which one instruction rounds. All else, and rows that
 * are no multiple of 32 values, as with AVX-512.
 */
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "tensor/exponential_body.h"
#include "tensor/key_rows.h"
#include "tensor/lane_sums_body.h"

#define INLINE static inline __attribute__((always_inline))
#define WIDE   32 /* values in a vector */

INLINE __m512bh load(const uint16_t *x) { return (__m512bh)_mm512_loadu_si512(x); }

/* ---- scores ---- */

/* `rows` queries, 1, 2 or 4, and 16 / rows keys, of which `there` exist. */
INLINE void score_tile(float *scores, int64_t score_step, const uint16_t *q, int64_t q_step, int rows,
                       const uint16_t *keys, int64_t step, int64_t there, int64_t n) {
    const int key_count = 16 / rows;
    __m512 sum[16];
    const uint16_t *key[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) sum[i] = _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int j = 0; j < key_count; j++) key[j] = keys + (j < there ? j : there - 1) * step;
    for (int64_t i = 0; i < n; i += WIDE) {
        __m512bh x[4];
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) x[r] = load(q + r * q_step + i);
#pragma GCC unroll 16
        for (int j = 0; j < key_count; j++) {
            __m512bh k = load(key[j] + i);
#pragma GCC unroll 4
            for (int r = 0; r < rows; r++) sum[r * key_count + j] = _mm512_dpbf16_ps(sum[r * key_count + j], x[r], k);
        }
    }
    if (there >= key_count) {
        lane_sums_16(sum, scores, rows, score_step);
        return;
    }
    float all[16];
    lane_sums_16(sum, all, rows, key_count);
    for (int r = 0; r < rows; r++) memcpy(scores + r * score_step, all + r * key_count, (size_t)there * sizeof *all);
}

INLINE void score_rows(float *scores, int64_t score_step, const uint16_t *q, int64_t q_step, int rows,
                       const uint16_t *keys, int64_t step, int64_t count, int64_t n) {
    int64_t j = 0;
    for (; j + 16 / rows <= count; j += 16 / rows)
        score_tile(scores + j, score_step, q, q_step, rows, keys + j * step, step, 16 / rows, n);
    if (j < count) score_tile(scores + j, score_step, q, q_step, rows, keys + j * step, step, count - j, n);
}

static void scores_bf16(float *scores, int64_t score_step, const uint16_t *q, int64_t q_step, int64_t rows,
                        const void *keys, int64_t step, int64_t count, int64_t n) {
    if (n % WIDE != 0) {
        key_rows_avx512.scores_bf16(scores, score_step, q, q_step, rows, keys, step, count, n);
        return;
    }
    for (int64_t r = 0; r < rows;) {
        if (rows - r >= 4)
            score_rows(scores + r * score_step, score_step, q + r * q_step, q_step, 4, keys, step, count, n), r += 4;
        else if (rows - r >= 2)
            score_rows(scores + r * score_step, score_step, q + r * q_step, q_step, 2, keys, step, count, n), r += 2;
        else
            score_rows(scores + r * score_step, score_step, q + r * q_step, q_step, 1, keys, step, count, n), r += 1;
    }
}

/* ---- mixtures ---- */

/* Columns of 32 in the order in which pairs of two rows come out of unpacking: 0 .. 3, 8 .. 11, 16 .., 24 .. and the
 * others. */
typedef struct columns {
    __m512 low, high;
} columns;

INLINE columns load_columns(const float *y) {
    __m512 first = _mm512_loadu_ps(y), second = _mm512_loadu_ps(y + 16);
    return (columns){_mm512_shuffle_f32x4(first, second, 0x88), _mm512_shuffle_f32x4(first, second, 0xdd)};
}

INLINE void store_columns(float *y, columns c) {
    __m512 first = _mm512_shuffle_f32x4(c.low, c.high, 0x44), second = _mm512_shuffle_f32x4(c.low, c.high, 0xee);
    _mm512_storeu_ps(y, _mm512_shuffle_f32x4(first, first, 0xd8));
    _mm512_storeu_ps(y + 16, _mm512_shuffle_f32x4(second, second, 0xd8));
}

INLINE void mix_pair(columns *sum, int rows, const uint16_t *p, int64_t p_step, __m512i first, __m512i second) {
    __m512bh low = (__m512bh)_mm512_unpacklo_epi16(first, second);
    __m512bh high = (__m512bh)_mm512_unpackhi_epi16(first, second);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        int32_t pair;
        memcpy(&pair, p + r * p_step, sizeof pair);
        __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
        sum[r].low = _mm512_dpbf16_ps(sum[r].low, low, both);
        sum[r].high = _mm512_dpbf16_ps(sum[r].high, high, both);
    }
}

/* 32 columns of `rows` queries, a constant where this is inlined. */
INLINE void mix_tile(float *y, int64_t y_step, const uint16_t *p, int64_t p_step, int rows, const uint16_t *values,
                     int64_t step, int64_t count) {
    columns sum[8];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sum[r] = load_columns(y + r * y_step);
    int64_t j = 0;
    for (; j + 2 <= count; j += 2)
        mix_pair(sum, rows, p + j, p_step, _mm512_loadu_si512(values + j * step),
                 _mm512_loadu_si512(values + (j + 1) * step));
    if (j < count) mix_pair(sum, rows, p + j, p_step, _mm512_loadu_si512(values + j * step), _mm512_setzero_si512());
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) store_columns(y + r * y_step, sum[r]);
}

static void mix_pairs_bf16(float *y, int64_t y_step, const uint16_t *p, int64_t p_step, int64_t rows,
                           const void *values, int64_t step, int64_t count, int64_t n) {
    if (n % WIDE != 0) {
        key_rows_avx512.mix_pairs_bf16(y, y_step, p, p_step, rows, values, step, count, n);
        return;
    }
    for (int64_t r = 0, tile; r < rows; r += tile) {
        tile = rows - r >= 8 ? 8 : rows - r >= 4 ? 4 : rows - r >= 2 ? 2 : 1;
        for (int64_t c = 0; c < n; c += WIDE) {
            float *to = y + r * y_step + c;
            const uint16_t *from = (const uint16_t *)values + c;
            switch (tile) {
                case 8: mix_tile(to, y_step, p + r * p_step, p_step, 8, from, step, count); break;
                case 4: mix_tile(to, y_step, p + r * p_step, p_step, 4, from, step, count); break;
                case 2: mix_tile(to, y_step, p + r * p_step, p_step, 2, from, step, count); break;
                default: mix_tile(to, y_step, p + r * p_step, p_step, 1, from, step, count); break;
            }
        }
    }
}

/* ---- probabilities ---- */

INLINE __mmask16 lanes_there(int64_t count) {
    return (__mmask16)(count >= 16 ? 0xffffu : count > 0 ? (1u << count) - 1 : 0u);
}

/* Comparisons with NaN keep what there is. */
static float largest_of(const float *s, int64_t n) {
    __m512 best[4];
    int64_t i = 0;
    for (int k = 0; k < 4; k++) best[k] = _mm512_set1_ps(-INFINITY);
    for (; i + 64 <= n; i += 64)
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) best[k] = _mm512_max_ps(_mm512_loadu_ps(s + i + 16 * k), best[k]);
    for (; i < n; i += 16) {
        __mmask16 there = lanes_there(n - i);
        best[0] = _mm512_mask_max_ps(best[0], there, _mm512_maskz_loadu_ps(there, s + i), best[0]);
    }
    return _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(best[0], best[1]), _mm512_max_ps(best[2], best[3])));
}

/* The `there` first ones of EXP_VALUES values; sum: of pairs of them. */
INLINE void soften_some(uint16_t *p, const float *s, int64_t there, float largest, float factor, __m512 sum[2]) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    native v[EXP_VECTORS];
    EACH_VECTOR v[k] = (native)_mm512_maskz_loadu_ps(lanes_there(there - 16 * k), s + 16 * k);
    EACH_VECTOR v[k] = (v[k] - largest) * factor;
    exponentials(v);
    EACH_VECTOR v[k] = (native)_mm512_maskz_mov_ps(lanes_there(there - 16 * k), (__m512)v[k]);
#pragma GCC unroll 2
    for (int k = 0; k < EXP_VECTORS / 2; k++) {
        __m512bh narrow = _mm512_cvtne2ps_pbh((__m512)v[2 * k + 1], (__m512)v[2 * k]);
        __mmask32 lanes = lanes_there(there - 32 * k) | (__mmask32)lanes_there(there - 32 * k - 16) << 16;
        _mm512_mask_storeu_epi16(p + 32 * k, lanes, (__m512i)narrow);
        sum[k] = _mm512_dpbf16_ps(sum[k], narrow, ones);
    }
}

static float soften_bf16(uint16_t *p, const float *s, int64_t n, float factor) {
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    float largest = largest_of(s, n);
    int64_t i = 0;
    for (; i + EXP_VALUES <= n; i += EXP_VALUES) soften_some(p + i, s + i, EXP_VALUES, largest, factor, sum);
    if (i < n) soften_some(p + i, s + i, n - i, largest, factor, sum);
    return _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
}

/* ---- the table ---- */

static void scores(float *out, int64_t score_step, const float *q, int64_t q_step, int64_t rows, const void *keys,
                   int64_t step, int64_t count, int64_t n) {
    key_rows_avx512.scores(out, score_step, q, q_step, rows, keys, step, count, n);
}
static void mix(float *y, int64_t y_step, const mixture *m, int64_t rows, const void *values, int64_t step,
                int64_t count, int64_t n) {
    key_rows_avx512.mix(y, y_step, m, rows, values, step, count, n);
}
static void mix_bf16(float *y, int64_t y_step, const mixture *m, int64_t rows, const void *values, int64_t step,
                     int64_t count, int64_t n) {
    key_rows_avx512.mix_bf16(y, y_step, m, rows, values, step, count, n);
}

const key_rows_kernel key_rows_avx512_bf16 = {.name = "avx512 bf16",
                                              .scores = scores,
                                              .scores_bf16 = scores_bf16,
                                              .mix = mix,
                                              .mix_bf16 = mix_bf16,
                                              .mix_pairs_bf16 = mix_pairs_bf16,
                                              .soften_bf16 = soften_bf16};
