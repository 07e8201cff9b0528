/* Quantised products with AVX2; see quantized_body.h. vpmaddubsw adds two products in 16 bits and saturates: weights of
 * 4 bits cannot reach that, not even with a whole group added up (32 15 127 / 2 = 30480); with 8 bits the magnitudes of
 * weights are multiplied with activations that took over their signs (2 128 127 = 32512). */
#include <immintrin.h>
#include <string.h>

#include "tensor/quantized_kernels.h"

#define TABLE       quantized_avx2_table
#define NAME        "avx2"
#define MOST_TOKENS 4
#define TAKEN_OFF_8 0 /* weights have lost their 128 when they are multiplied */

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
/* Four inputs of 8 outputs in a vector. */
typedef struct weights {
    __m256i q[8][2], magnitude[8][2];
} weights;

static inline __m256i load(const uint8_t *bytes) { return _mm256_loadu_si256((const __m256i *)bytes); }

static inline void unpack_8(weights *w, const uint8_t *bytes) {
    for (int i = 0; i < 8; i++)
        for (int half = 0; half < 2; half++) {
            w->q[i][half] = _mm256_xor_si256(load(bytes + 64 * i + 32 * half), _mm256_set1_epi8(-128));
            w->magnitude[i][half] = _mm256_abs_epi8(w->q[i][half]);
        }
}

static inline void unpack_4(weights *w, const uint8_t *bytes) {
    const __m256i low = _mm256_set1_epi8(15);
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < 2; half++) {
            __m256i both = load(bytes + 64 * i + 32 * half);
            w->q[i][half] = _mm256_and_si256(both, low);
            w->q[i + 4][half] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
        }
}

static inline __m256i four(const int8_t *x) {
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return _mm256_set1_epi32(bytes);
}

static inline void add(ints *sum, __m256i left, __m256i right) {
    ints both;
    memcpy(&both, &left, sizeof left);
    memcpy((char *)&both + sizeof left, &right, sizeof right);
    *sum += both;
}

static inline void dot_8(ints *sums, int tokens, const weights *w, const int8_t *x) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (int t = 0; t < tokens; t++) {
        __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int i = 0; i < 8; i++) {
            __m256i a = four(x + t * QUANTIZED_GROUP + 4 * i);
            for (int half = 0; half < 2; half++) {
                __m256i pairs = _mm256_maddubs_epi16(w->magnitude[i][half], _mm256_sign_epi8(a, w->q[i][half]));
                sum[half] = _mm256_add_epi32(sum[half], _mm256_madd_epi16(pairs, ones));
            }
        }
        add(&sums[t], sum[0], sum[1]);
    }
}

static inline void dot_4(ints *sums, int tokens, const weights *w, const int8_t *x) {
    const __m256i ones = _mm256_set1_epi16(1);
    for (int t = 0; t < tokens; t++) {
        __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int i = 0; i < 8; i++) {
            __m256i a = four(x + t * QUANTIZED_GROUP + 4 * i);
            for (int half = 0; half < 2; half++)
                sum[half] = _mm256_add_epi16(sum[half], _mm256_maddubs_epi16(w->q[i][half], a));
        }
        add(&sums[t], _mm256_madd_epi16(sum[0], ones), _mm256_madd_epi16(sum[1], ones));
    }
}

static inline floats join(__m256 left, __m256 right) {
    floats both;
    memcpy(&both, &left, sizeof left);
    memcpy((char *)&both + sizeof left, &right, sizeof right);
    return both;
}

static inline floats widen_scales(const uint8_t *bytes) {
    const __m128i *from = (const __m128i *)bytes;
    return join(_mm256_cvtph_ps(_mm_loadu_si128(from)), _mm256_cvtph_ps(_mm_loadu_si128(from + 1)));
}

static inline floats widen_factors(const uint8_t *bytes) {
    __m128i both = _mm_loadu_si128((const __m128i *)bytes);
    return join(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(both)),
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(both, 8))));
}

#include "tensor/quantized_body.h"
