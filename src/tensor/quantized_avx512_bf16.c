/* BF16's product where AVX-512 multiplies bf16: vdpbf16ps adds to each of 16 sums the second and then the first product
 * of a pair. It fuses both, but products of two bf16 are exact: that is the arithmetic of quantized.h, as long as no
 * product is below the normal numbers of f32 and no sum beyond them. All else is as with AVX-512 VNNI. */
#include <immintrin.h>
#include <string.h>

#include "tensor/quantized_kernels.h"

#define INLINE         static inline __attribute__((always_inline))
#define PREFETCH_AHEAD 4096 /* as in quantized_body.h */

/* Tokens [first, first + tokens) of the panel; `tokens` is a constant where this is inlined. */
INLINE void multiply(int tokens, int first, float *y, int64_t step, const uint8_t *at, const quantized_panel *x) {
    __m512 total[16];
#pragma GCC unroll 16
    for (int t = 0; t < tokens; t++) total[t] = _mm512_setzero_ps();
    for (int64_t g = 0; g < x->groups; g++, at += 1024) {
        const uint16_t *values = x->values + (g * x->tokens + first) * QUANTIZED_GROUP;
#pragma GCC unroll 16
        for (int i = 0; i < QUANTIZED_GROUP; i += 2) {
            __builtin_prefetch(at + PREFETCH_AHEAD + 32 * i, 0, 3);
            __m512bh weights = (__m512bh)_mm512_loadu_si512(at + 32 * i);
#pragma GCC unroll 16
            for (int t = 0; t < tokens; t++) {
                int32_t pair;
                memcpy(&pair, values + t * QUANTIZED_GROUP + i, sizeof pair);
                total[t] = _mm512_dpbf16_ps(total[t], weights, (__m512bh)_mm512_set1_epi32(pair));
            }
        }
    }
#pragma GCC unroll 16
    for (int t = 0; t < tokens; t++) _mm512_storeu_ps(y + (first + t) * step, total[t]);
}

static void product_bf16(float *y, int64_t step, const uint8_t *block, const quantized_panel *x) {
    for (int first = 0, left; (left = x->tokens - first) > 0;) {
        if (left >= 16)
            multiply(16, first, y, step, block, x), first += 16;
        else if (left >= 8)
            multiply(8, first, y, step, block, x), first += 8;
        else if (left >= 4)
            multiply(4, first, y, step, block, x), first += 4;
        else if (left >= 2)
            multiply(2, first, y, step, block, x), first += 2;
        else
            multiply(1, first, y, step, block, x), first += 1;
    }
}

const quantized_kernels quantized_avx512_bf16_table = {
    .name = "avx512 bf16", .otherwise = &quantized_avx512_table, .product = {[QUANTIZED_BF16] = product_bf16}};
