/* Quantised products with AVX-512 VNNI: vpdpbusd adds four products of unsigned weights and signed activations to each
 * of 16 sums; see quantized_body.h. A group takes eight of them and two multiplications, which on Zen 4 and 5 wait for
 * the same units: four fifths of vpdpbusd's own speed is the limit of Q8 and Q4, eight elevenths that of Q4M. */
#include <immintrin.h>
#include <string.h>

#include "tensor/quantized_kernels.h"

#define TABLE         quantized_avx512_table
#define NAME          "avx512"
#define MOST_TOKENS   8
#define TAKEN_OFF_8   128
#define ALWAYS_INLINE inline __attribute__((always_inline))

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef struct weights {
    __m512i q[8];
} weights;

static inline void unpack_8(weights *w, const uint8_t *bytes) {
    for (int i = 0; i < 8; i++) w->q[i] = _mm512_loadu_si512(bytes + 64 * i);
}

static inline void unpack_4(weights *w, const uint8_t *bytes) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int i = 0; i < 4; i++) {
        __m512i both = _mm512_loadu_si512(bytes + 64 * i);
        w->q[i] = _mm512_and_si512(both, low);
        w->q[i + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
    }
}

/* All tokens' sums grow together: each waits four cycles for its last product. */
static inline void dot_4(ints *sums, int tokens, const weights *w, const int8_t *x) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
#pragma GCC unroll 16
        for (int t = 0; t < tokens; t++) {
            int32_t four;
            memcpy(&four, x + t * QUANTIZED_GROUP + 4 * i, sizeof four);
            sums[t] = (ints)_mm512_dpbusd_epi32((__m512i)sums[t], w->q[i], _mm512_set1_epi32(four));
        }
}
static inline void dot_8(ints *sums, int tokens, const weights *w, const int8_t *x) { dot_4(sums, tokens, w, x); }

static inline floats widen_scales(const uint8_t *bytes) {
    return (floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)bytes));
}

static inline floats widen_factors(const uint8_t *bytes) {
    return (floats)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
}

/* ---- activations ---- */

#define OWN_PREPARE

/* As quantized_body.h has it, in whole vectors. */
static void prepare(int8_t *quants, float *scale, int32_t *offset, float *sum, const float *x) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512 first = _mm512_loadu_ps(x), second = _mm512_loadu_ps(x + 16);
    __m512i most = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                                    _mm512_and_si512(_mm512_castps_si512(second), magnitude));
    int32_t bits = _mm512_reduce_max_epi32(most);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    bool counts = !(largest < 0x1p-100f);
    __m512 inverse = _mm512_set1_ps(counts ? 127 / largest : 0);
    __m512i one = _mm512_cvtps_epi32(_mm512_mul_ps(first, inverse));
    __m512i other = _mm512_cvtps_epi32(_mm512_mul_ps(second, inverse));
    _mm_storeu_si128((__m128i *)quants, _mm512_cvtepi32_epi8(one));
    _mm_storeu_si128((__m128i *)(quants + 16), _mm512_cvtepi32_epi8(other));
    uint32_t total = (uint32_t)_mm512_reduce_add_epi32(_mm512_add_epi32(one, other));
    *scale = counts ? largest / 127 : 0;
    *offset = (int32_t)(0u - 8u * total);
    *sum = *scale * (float)(int32_t)total;
}

/* ---- two blocks and four tokens ----
 *
 * An activation that is broadcast serves two products, so that no more is read than two units that multiply can take
 * (Zen 5 has them). A group's sums are scaled and added to the totals between the products of the next group: both in
 * one order would leave the units waiting in turn. */
#define PAIR_TOKENS 4
#define PAIR_SUMS   (2 * PAIR_TOKENS) /* of token 0 both blocks, of token 1 both ... */

/* Loads stay where they are written: moved together, they would be more than there are registers. */
#define LOADS_STAY() __asm__ volatile("" ::: "memory")

/* The sums of the group before. */
typedef struct pending {
    ints sums[PAIR_SUMS];
    floats scale[2];
    const float *token_scales;
} pending;

static ALWAYS_INLINE void add_pending(floats total[PAIR_SUMS], const pending *p, int i) {
    total[i] += (floats)_mm512_cvtepi32_ps((__m512i)p->sums[i]) * (p->scale[i % 2] * p->token_scales[i / 2]);
}

/* Inputs 4 i .. 4 i + 3 of a group. */
static ALWAYS_INLINE __m512i four_inputs(quantized_kind kind, const uint8_t *group, int i) {
    if (kind == QUANTIZED_Q8) return _mm512_loadu_si512(group + 64 * i);
    __m512i both = _mm512_loadu_si512(group + i % 4 * 64);
    return _mm512_and_si512(i < 4 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(15));
}

/* One group's sums, and what is pending to the totals. */
static ALWAYS_INLINE void multiply_group(quantized_kind kind, ints sums[PAIR_SUMS], floats total[PAIR_SUMS],
                                         const uint8_t *at, int64_t other, const quantized_panel *x, int64_t place,
                                         const floats minimum[2], const pending *last) {
    const int8_t *quants = x->quants + place * QUANTIZED_GROUP;
#pragma GCC unroll 4
    for (int t = 0; t < PAIR_TOKENS; t++) {
        __m512i start = _mm512_set1_epi32(x->offsets[place + t]); /* for 8 */
        if (kind == QUANTIZED_Q8) start = _mm512_slli_epi32(start, 4);
        if (kind == QUANTIZED_Q4M) start = _mm512_setzero_si512();
        sums[2 * t] = sums[2 * t + 1] = (ints)start;
    }
#pragma GCC unroll 8
    for (int i = 0; i < QUANTIZED_GROUP / 4; i++) {
        __m512i left = four_inputs(kind, at, i), right = four_inputs(kind, at + other, i);
#pragma GCC unroll 4
        for (int t = 0; t < PAIR_TOKENS; t++) {
            int32_t bytes;
            memcpy(&bytes, quants + t * QUANTIZED_GROUP + 4 * i, sizeof bytes);
            __m512i four = _mm512_set1_epi32(bytes);
            sums[2 * t] = (ints)_mm512_dpbusd_epi32((__m512i)sums[2 * t], left, four);
            sums[2 * t + 1] = (ints)_mm512_dpbusd_epi32((__m512i)sums[2 * t + 1], right, four);
        }
        add_pending(total, last, i);
        if (kind == QUANTIZED_Q4M) total[i] -= minimum[i % 2] * x->sums[place + i / 2];
        LOADS_STAY();
    }
}

/* `kind` is a constant where this is inlined. */
static ALWAYS_INLINE void multiply_pair(quantized_kind kind, int first, const quantized_piece *piece,
                                        const quantized_panel *x) {
    const uint8_t *at = piece->weights;
    const int64_t other = piece->block_bytes, group_bytes = quantized_group_bytes(kind), groups = x->groups;
    int64_t place = first;
    quantized_lines next = quantized_lines_beside(piece, first, PAIR_TOKENS);
    floats total[PAIR_SUMS];
    pending last = {.token_scales = x->scales + first};
#pragma GCC unroll 8
    for (int i = 0; i < PAIR_SUMS; i++) {
        total[i] = (floats){0};
        last.sums[i] = (ints){0};
        if (piece->from) memcpy(&total[i], quantized_from(piece, first + i / 2, i % 2), sizeof total[i]);
    }
    last.scale[0] = last.scale[1] = (floats){0};
    for (int64_t from = 0, count; from < groups; from += count) {
        count = groups - from < quantized_run_groups(kind) ? groups - from : quantized_run_groups(kind);
        const uint8_t *head = at;
        at += quantized_run_head(kind, count);
        for (int64_t j = 0; j < count; j++, at += group_bytes, place += x->tokens) {
            const uint8_t *factors = head + 64 + 32 * j;
            ints sums[PAIR_SUMS];
            floats minimum[2] = {{0}, {0}};
            if (next.at < next.end) {
                _mm_prefetch((const char *)next.at, _MM_HINT_T0);
                _mm_prefetch((const char *)next.at + other, _MM_HINT_T0);
                next.at += 64;
            }
            quantized_fetch_target(piece, first, PAIR_TOKENS, from + j);
#pragma GCC unroll 2
            for (int b = 0; kind == QUANTIZED_Q4M && b < 2; b++)
                minimum[b] = widen_scales(head + b * other + 32) * widen_factors(factors + b * other + 16);
            multiply_group(kind, sums, total, at, other, x, place, minimum, &last);
#pragma GCC unroll 8
            for (int i = 0; i < PAIR_SUMS; i++) last.sums[i] = sums[i];
#pragma GCC unroll 2
            for (int b = 0; b < 2; b++) {
                last.scale[b] = widen_scales(head + b * other + (kind == QUANTIZED_Q4M ? 0 : 32 * j));
                if (kind == QUANTIZED_Q4M) last.scale[b] *= widen_factors(factors + b * other);
            }
            last.token_scales = x->scales + place;
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < PAIR_SUMS; i++) {
        add_pending(total, &last, i);
        memcpy(quantized_to(piece, first + i / 2, i % 2), &total[i], sizeof total[i]);
    }
}

#include "tensor/quantized_body.h"
