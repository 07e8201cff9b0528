/* Quantised products with AVX-512 VNNI: vpdpbusd adds four products of unsigned weights and signed activations to each
 * of 16 sums; see quantized_body.h. A group takes eight of them and two multiplications, which on Zen 4 wait for the
 * same units: four fifths of vpdpbusd's own speed is the limit of Q8 and Q4, eight elevenths that of Q4M. */
#include <immintrin.h>
#include <string.h>

#include "tensor/quantized_kernels.h"

#define TABLE quantized_avx512_table
#define NAME  "avx512"
#ifndef MOST_TOKENS
#define MOST_TOKENS 8
#endif
#define TAKEN_OFF_8 128

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

#include "tensor/quantized_body.h"
