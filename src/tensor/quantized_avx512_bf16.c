/* BF16's product where AVX-512 multiplies bf16: vdpbf16ps adds to each of 16 sums the second and then the first product
 * of a pair. It fuses both, but products of two bf16 are exact: that is the arithmetic of quantized.h, as long as no
 * product is below the normal numbers of f32 and no sum beyond them. Rounding to bf16 is one
 * instruction. All else is as with AVX-512 VNNI. */
#include <immintrin.h>
#include <string.h>

#include "tensor/quantized_kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* Tokens [first, first + tokens) of the panel and `blocks` blocks: both numbers are constants where this is inlined. */
INLINE void multiply(int blocks, int tokens, int first, const quantized_piece *piece, const quantized_panel *x) {
    const uint8_t *at = piece->weights;
    __m512 total[2][16];
    quantized_lines next = quantized_lines_beside(piece, first, tokens);
#pragma GCC unroll 16
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
        for (int b = 0; b < blocks; b++)
            total[b][t] = piece->from ? _mm512_loadu_ps(quantized_from(piece, first + t, b)) : _mm512_setzero_ps();
    for (int64_t g = 0; g < x->groups; g++, at += 1024) {
        const uint16_t *values = x->values + (g * x->tokens + first) * QUANTIZED_GROUP;
        for (int line = 0; line < 2 && next.at < next.end; line++, next.at += 64)
            for (int b = 0; b < blocks; b++) _mm_prefetch((const char *)next.at + b * piece->block_bytes, _MM_HINT_T0);
        if (blocks == 2) quantized_fetch_target(piece, first, tokens, g);
        if (piece->from_memory)
            for (int b = 0; b < blocks; b++)
                for (int i = 0; i < 1024; i += 64)
                    _mm_prefetch((const char *)at + b * piece->block_bytes + PREFETCH_AHEAD + i, _MM_HINT_T0);
#pragma GCC unroll 16
        for (int i = 0; i < QUANTIZED_GROUP; i += 2) {
            __m512bh weights[2];
#pragma GCC unroll 2
            for (int b = 0; b < blocks; b++)
                weights[b] = (__m512bh)_mm512_loadu_si512(at + b * piece->block_bytes + 32 * i);
#pragma GCC unroll 16
            for (int t = 0; t < tokens; t++) {
                int32_t pair;
                memcpy(&pair, values + t * QUANTIZED_GROUP + i, sizeof pair);
                __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
                for (int b = 0; b < blocks; b++) total[b][t] = _mm512_dpbf16_ps(total[b][t], weights[b], both);
            }
        }
    }
#pragma GCC unroll 16
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
        for (int b = 0; b < blocks; b++) _mm512_storeu_ps(quantized_to(piece, first + t, b), total[b][t]);
}

INLINE void multiply_blocks(int blocks, const quantized_piece *piece, const quantized_panel *x) {
    quantized_piece p = *piece;
    for (int first = 0, left; (left = x->tokens - first) > 0; p.from_memory = false) {
        if (left >= 8)
            multiply(blocks, 8, first, &p, x), first += 8;
        else if (left >= 4)
            multiply(blocks, 4, first, &p, x), first += 4;
        else if (left >= 2)
            multiply(blocks, 2, first, &p, x), first += 2;
        else
            multiply(blocks, 1, first, &p, x), first += 1;
    }
}

static void product_bf16(const quantized_piece *piece, const quantized_panel *x) {
    if (piece->blocks == 2)
        multiply_blocks(2, piece, x);
    else
        multiply_blocks(1, piece, x);
}

/* Lanes that are neither 0 nor a normal number, told by their bits: graphs have the processor take them for zeros. */
INLINE __mmask16 below_normal(__m512 x) {
    __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
    return _mm512_cmplt_epu32_mask(_mm512_sub_epi32(magnitude, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x007fffff));
}

/* The instruction takes numbers below the normal ones for zeros, which no other way does. */
static void narrow(uint16_t *values, const float *x) {
    __m512 first = _mm512_loadu_ps(x), second = _mm512_loadu_ps(x + 16);
    if (below_normal(first) | below_normal(second))
        quantized_avx512_table.narrow(values, x);
    else
        _mm512_storeu_si512(values, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

const quantized_kernels quantized_avx512_bf16_table = {.name = "avx512 bf16",
                                                       .otherwise = &quantized_avx512_table,
                                                       .narrow = narrow,
                                                       .product = {[QUANTIZED_BF16] = product_bf16}};
