/* Sums of the lanes of 16 vectors at once, for AVX-512: in the order of key_rows_body.h's sum_of, at a few shuffles
 * each. A header that defines a function, to be put into kernels. */
#ifndef TENSOR_LANE_SUMS_H
#define TENSOR_LANE_SUMS_H

#include <immintrin.h>
#include <stdint.h>

#define LANE_SUMS_INLINE static inline __attribute__((always_inline))

/* Lanes i, i + 4, i + 8, i + 12 of four vectors: four lanes of each, one vector after the other. */
LANE_SUMS_INLINE __m512 lane_sums_quarters(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

/* Vectors [rows, 16 / rows], 1, 2 or 4 rows, to out[r step + j]. */
LANE_SUMS_INLINE void lane_sums_16(const __m512 v[16], float *out, int rows, int64_t step) {
    __m512 u[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) u[j] = lane_sums_quarters(v[j], v[j + 4], v[j + 8], v[j + 12]);
    __m512 p = _mm512_add_ps(_mm512_shuffle_ps(u[0], u[1], 0x44), _mm512_shuffle_ps(u[0], u[1], 0xee));
    __m512 q = _mm512_add_ps(_mm512_shuffle_ps(u[2], u[3], 0x44), _mm512_shuffle_ps(u[2], u[3], 0xee));
    __m512 sums = _mm512_add_ps(_mm512_shuffle_ps(p, q, 0x88), _mm512_shuffle_ps(p, q, 0xdd));
    if (rows == 1) {
        _mm512_storeu_ps(out, sums);
    } else if (rows == 2) {
        _mm256_storeu_ps(out, _mm512_castps512_ps256(sums));
        _mm256_storeu_ps(out + step, _mm512_extractf32x8_ps(sums, 1));
    } else {
        _mm_storeu_ps(out, _mm512_castps512_ps128(sums));
        _mm_storeu_ps(out + step, _mm512_extractf32x4_ps(sums, 1));
        _mm_storeu_ps(out + 2 * step, _mm512_extractf32x4_ps(sums, 2));
        _mm_storeu_ps(out + 3 * step, _mm512_extractf32x4_ps(sums, 3));
    }
}

#endif
