/* Products of a piece of one or two blocks with a panel of tokens (quantized.h has the arithmetic, quantized_kernels.h
 * the bytes). Included by quantized_generic.c, _avx2.c and _avx512.c, which bring TABLE, NAME, MOST_TOKENS (how many
 * tokens' sums stay in registers, 1, 2, 4 or 8) and
 *
 *     weights                          32 inputs of 16 outputs, unpacked
 *     unpack_8, unpack_4               from a group's bytes
 *     dot_8, dot_4                     exact: each token's sums += weights times its 32 integers
 *     TAKEN_OFF_8                      what unpack_8's weights have more than q
 *     widen_scales, widen_factors      16 f16, 16 bytes to f32
 *     OWN_PREPARE                      where the file has a `prepare` of its own
 *     PAIR_TOKENS, multiply_pair       where two blocks go together: for how many tokens, and their product
 *
 * and are compiled without contraction: no fused multiply-add. This is deliberately a header that defines functions: it
 * is the body of those files.
 */
#include <string.h>

#include "base/half.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- activations ---- */

#ifndef OWN_PREPARE
/* The magnitudes' bits are in the order of the magnitudes; a sum with 1.5 2^23 rounds to the nearest integer, ties to
 * even, and holds it in its lowest bits. Both ways the compiler can use vectors. */
static void prepare(int8_t *quants, float *scale, int32_t *offset, float *sum, const float *x) {
    int32_t bits[QUANTIZED_GROUP], most = 0;
    uint32_t total = 0; /* not to overflow where an activation is not finite, against the rule */
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < QUANTIZED_GROUP; i++) {
        int32_t magnitude = bits[i] & 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    float largest;
    memcpy(&largest, &most, sizeof largest);
    float inverse = largest < 0x1p-100f ? 0 : 127 / largest;
    *scale = largest < 0x1p-100f ? 0 : largest / 127;
    float shifted[QUANTIZED_GROUP];
    for (int i = 0; i < QUANTIZED_GROUP; i++) shifted[i] = x[i] * inverse + 12582912.0f;
    memcpy(bits, shifted, sizeof bits);
    for (int i = 0; i < QUANTIZED_GROUP; i++) {
        uint32_t q = (uint32_t)bits[i] - 0x4b400000u;
        quants[i] = (int8_t)q;
        total += q;
    }
    *offset = (int32_t)(0u - 8u * total);
    *sum = *scale * (float)(int32_t)total;
}
#endif

static void narrow(uint16_t *values, const float *x) {
    for (int i = 0; i < QUANTIZED_GROUP; i++) values[i] = bf16_from_f32(x[i]);
}

/* ---- products ---- */

INLINE void prefetch(const uint8_t *bytes, int64_t count) {
    for (int64_t i = 0; i < count; i += 64) __builtin_prefetch(bytes + PREFETCH_AHEAD + i, 0, 3);
}

/* What packed weights have more than q: taken off through the sum of the activations. */
#define TAKEN_OFF(kind) ((kind) == QUANTIZED_Q8 ? TAKEN_OFF_8 : (kind) == QUANTIZED_Q4 ? 8 : 0)

INLINE void begin_totals(floats *total, int tokens, int first, int block, const quantized_piece *piece) {
#pragma GCC unroll 16
    for (int t = 0; t < tokens; t++) {
        total[t] = (floats){0};
        if (piece->from) memcpy(&total[t], quantized_from(piece, first + t, block), sizeof total[t]);
    }
}

INLINE void end_totals(const floats *total, int tokens, int first, int block, const quantized_piece *piece) {
#pragma GCC unroll 16
    for (int t = 0; t < tokens; t++) memcpy(quantized_to(piece, first + t, block), &total[t], sizeof total[t]);
}

/* Tokens [first, first + tokens) of the panel and one block. `kind` and `tokens` are constants where this is inlined.
 */
INLINE void multiply(quantized_kind kind, int tokens, int first, int block, const quantized_piece *piece,
                     const quantized_panel *x) {
    const uint8_t *at = piece->weights + block * piece->block_bytes;
    floats total[MOST_TOKENS];
    begin_totals(total, tokens, first, block, piece);
    for (int64_t from = 0, count; from < x->groups; from += count) {
        count = x->groups - from < quantized_run_groups(kind) ? x->groups - from : quantized_run_groups(kind);
        const uint8_t *head = at;
        at += quantized_run_head(kind, count);
        if (piece->from_memory) prefetch(head, at - head);
        floats scales = widen_scales(head), minima = widen_scales(head + 32); /* Q4M's; else of the two groups */
        for (int64_t j = 0; j < count; j++, at += quantized_group_bytes(kind)) {
            if (piece->from_memory) prefetch(at, quantized_group_bytes(kind));
            int64_t place = (from + j) * x->tokens + first;
            floats scale = j ? minima : scales;
            if (kind == QUANTIZED_Q4M) {
                const uint8_t *factors = head + 64 + 32 * j;
                floats minimum = minima * widen_factors(factors + 16);
                scale = scales * widen_factors(factors);
#pragma GCC unroll 16
                for (int t = 0; t < tokens; t++) total[t] -= minimum * x->sums[place + t];
            }
            weights w;
            if (kind == QUANTIZED_Q8)
                unpack_8(&w, at);
            else
                unpack_4(&w, at);
            const int32_t *offsets = x->offsets + place;
            ints sums[MOST_TOKENS];
#pragma GCC unroll 16
            for (int t = 0; t < tokens; t++)
                sums[t] = (ints){0} + (int32_t)(TAKEN_OFF(kind) / 8u * (uint32_t)offsets[t]);
            if (kind == QUANTIZED_Q8)
                dot_8(sums, tokens, &w, x->quants + place * QUANTIZED_GROUP);
            else
                dot_4(sums, tokens, &w, x->quants + place * QUANTIZED_GROUP);
#pragma GCC unroll 16
            for (int t = 0; t < tokens; t++)
                total[t] += __builtin_convertvector(sums[t], floats) * (scale * x->scales[place + t]);
        }
    }
    end_totals(total, tokens, first, block, piece);
}

/* Pairs of BF16's inputs lie in one lane, the first one below. */
INLINE floats first_of(ints pairs) {
    floats values;
    pairs <<= 16;
    memcpy(&values, &pairs, sizeof values);
    return values;
}
INLINE floats second_of(ints pairs) {
    floats values;
    pairs &= (int32_t)0xffff0000;
    memcpy(&values, &pairs, sizeof values);
    return values;
}

/* The same for BF16. */
INLINE void multiply_bf16(int tokens, int first, int block, const quantized_piece *piece, const quantized_panel *x) {
    const uint8_t *at = piece->weights + block * piece->block_bytes;
    floats total[MOST_TOKENS];
    begin_totals(total, tokens, first, block, piece);
    for (int64_t g = 0; g < x->groups; g++, at += 1024) {
        if (piece->from_memory) prefetch(at, 1024);
        const uint16_t *values = x->values + (g * x->tokens + first) * QUANTIZED_GROUP;
        for (int i = 0; i < QUANTIZED_GROUP; i += 2) {
            ints pairs;
            memcpy(&pairs, at + 32 * i, sizeof pairs);
            floats even = first_of(pairs), odd = second_of(pairs);
#pragma GCC unroll 16
            for (int t = 0; t < tokens; t++) {
                int32_t pair;
                memcpy(&pair, values + t * QUANTIZED_GROUP + i, sizeof pair);
                total[t] += odd * second_of((ints){0} + pair);
                total[t] += even * first_of((ints){0} + pair);
            }
        }
    }
    end_totals(total, tokens, first, block, piece);
}

#ifndef PAIR_TOKENS
#define PAIR_TOKENS (QUANTIZED_PANEL + 1)
INLINE void multiply_pair(quantized_kind kind, int first, const quantized_piece *piece, const quantized_panel *x) {
    (void)kind, (void)first, (void)piece, (void)x;
}
#endif

/* Tokens by powers of two: of three, two and one. The second time a block's weights come from cache. */
#define PRODUCT(name, pairs, kind, call, ...)                                                        \
    static void name(const quantized_piece *piece, const quantized_panel *x) {                       \
        quantized_piece p = *piece;                                                                  \
        int paired = 0;                                                                              \
        for (; pairs && p.blocks == 2 && x->tokens - paired >= PAIR_TOKENS; paired += PAIR_TOKENS) { \
            multiply_pair(kind, paired, &p, x);                                                      \
            p.from_memory = false;                                                                   \
        }                                                                                            \
        for (int b = 0; b < p.blocks; b++) {                                                         \
            p.from_memory = piece->from_memory && !paired;                                           \
            for (int first = paired, left; (left = x->tokens - first) > 0; p.from_memory = false) {  \
                if (MOST_TOKENS >= 8 && left >= 8)                                                   \
                    call(__VA_ARGS__ 8, first, b, &p, x), first += 8;                                \
                else if (MOST_TOKENS >= 4 && left >= 4)                                              \
                    call(__VA_ARGS__ 4, first, b, &p, x), first += 4;                                \
                else if (MOST_TOKENS >= 2 && left >= 2)                                              \
                    call(__VA_ARGS__ 2, first, b, &p, x), first += 2;                                \
                else                                                                                 \
                    call(__VA_ARGS__ 1, first, b, &p, x), first += 1;                                \
            }                                                                                        \
        }                                                                                            \
    }
#define COMMA ,
PRODUCT(product_q8, true, QUANTIZED_Q8, multiply, QUANTIZED_Q8 COMMA)
PRODUCT(product_q4, true, QUANTIZED_Q4, multiply, QUANTIZED_Q4 COMMA)
PRODUCT(product_q4m, true, QUANTIZED_Q4M, multiply, QUANTIZED_Q4M COMMA)
PRODUCT(product_bf16, false, QUANTIZED_BF16, multiply_bf16, )

const quantized_kernels TABLE = {
    .name = NAME,
    .prepare = prepare,
    .narrow = narrow,
    .product = {[QUANTIZED_Q8] = product_q8,
                [QUANTIZED_Q4] = product_q4,
                [QUANTIZED_Q4M] = product_q4m,
                [QUANTIZED_BF16] = product_bf16},
};
