/* Quantised products on AMX tiles: 16 tokens times 16 outputs, 32 inputs per instruction, for full panels of tokens;
 * others go the way of AVX-512 VNNI, whose results are the same bits. As in tiles.c, whose registers are for bf16, this
 * is compiled for processors that have tiles and run only where quantized_kernels_all() found them.
 *
 * Not measured yet: held against plain C bit for bit with its tile instructions emulated, on a machine without tiles.
 */
#include "tensor/quantized_kernels.h"

#ifdef __AMX_INT8__

#include <immintrin.h>
#include <string.h>

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

/* GCC 12's tile instructions do not say which memory they read: without this, stores before them may be dropped or
 * come late. */
#define STORES_ARE_DONE() __asm__ volatile("" ::: "memory")

/* 0: sums, tokens by outputs. 1: activations, 16 tokens of 32 bytes. 2: weights, 8 rows of four inputs of 16 outputs.
 */
static void begin(void) {
    struct __attribute__((packed)) {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1, .row_bytes = {64, 32, 64}, .rows = {16, 16, 8}};
    STORES_ARE_DONE();
    _tile_loadconfig(&config);
}

static void end(void) { _tile_release(); }

static inline void unpack_4(uint8_t out[512], const uint8_t *bytes) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int i = 0; i < 4; i++) {
        __m512i both = _mm512_loadu_si512(bytes + 64 * i);
        _mm512_store_si512(out + 64 * i, _mm512_and_si512(both, low));
        _mm512_store_si512(out + 256 + 64 * i, _mm512_and_si512(_mm512_srli_epi16(both, 4), low));
    }
    STORES_ARE_DONE();
}

static inline floats widen_scales(const uint8_t *bytes) {
    return (floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)bytes));
}

static inline floats widen_factors(const uint8_t *bytes) {
    return (floats)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
}

static inline void multiply_group(int32_t sums[256], const uint8_t *weights, const int8_t *quants) {
    _tile_zero(0);
    _tile_loadd(1, quants, 32);
    _tile_loadd(2, weights, 64);
    _tile_dpbsud(0, 1, 2);
    _tile_stored(0, sums, 64);
}

/* The arithmetic of quantized_body.h, with `kind` a constant. */
static inline __attribute__((always_inline)) void multiply(quantized_kind kind, float *y, int64_t step,
                                                           const uint8_t *at, const quantized_panel *x) {
    uint8_t unpacked[512] __attribute__((aligned(64)));
    int32_t sums[256] __attribute__((aligned(64)));
    floats total[16];
    for (int t = 0; t < 16; t++) total[t] = (floats){0};
    for (int64_t from = 0, count; from < x->groups; from += count) {
        count = x->groups - from < quantized_run_groups(kind) ? x->groups - from : quantized_run_groups(kind);
        const uint8_t *head = at;
        at += quantized_run_head(kind, count);
        for (int64_t j = 0; j < count; j++, at += quantized_group_bytes(kind)) {
            if (kind != QUANTIZED_Q8) unpack_4(unpacked, at);
            multiply_group(sums, kind == QUANTIZED_Q8 ? at : unpacked, x->quants + (from + j) * 16 * QUANTIZED_GROUP);
            floats scale = widen_scales(head + (kind == QUANTIZED_Q4M ? 0 : 32 * j)), minimum = {0};
            if (kind == QUANTIZED_Q4M) {
                scale *= widen_factors(head + 64 + 32 * j);
                minimum = widen_scales(head + 32) * widen_factors(head + 64 + 32 * j + 16);
            }
#pragma GCC unroll 16
            for (int t = 0; t < 16; t++) {
                int64_t place = (from + j) * 16 + t;
                int32_t start = kind == QUANTIZED_Q8   ? x->offsets[place] * 16
                                : kind == QUANTIZED_Q4 ? x->offsets[place]
                                                       : 0;
                ints sum;
                memcpy(&sum, sums + 16 * t, sizeof sum);
                sum += start;
                if (kind == QUANTIZED_Q4M) total[t] -= minimum * x->sums[place];
                total[t] += __builtin_convertvector(sum, floats) * (scale * x->scales[place]);
            }
        }
    }
    for (int t = 0; t < 16; t++) memcpy(y + t * step, &total[t], sizeof total[t]);
}

#define PRODUCT(name, kind)                                                                    \
    static void name(float *y, int64_t step, const uint8_t *block, const quantized_panel *x) { \
        if (x->tokens == 16)                                                                   \
            multiply(kind, y, step, block, x);                                                 \
        else                                                                                   \
            quantized_avx512_table.product[kind](y, step, block, x);                           \
    }
PRODUCT(product_q8, QUANTIZED_Q8)
PRODUCT(product_q4, QUANTIZED_Q4)
PRODUCT(product_q4m, QUANTIZED_Q4M)

static void prepare(int8_t *quants, float *scale, int32_t *offset, float *sum, const float *x) {
    quantized_avx512_table.prepare(quants, scale, offset, sum, x);
}
static void product_bf16(float *y, int64_t step, const uint8_t *block, const quantized_panel *x) {
    quantized_avx512_table.product[QUANTIZED_BF16](y, step, block, x);
}

const quantized_kernels quantized_amx_table = {
    .name = "amx",
    .prepare = prepare,
    .product = {[QUANTIZED_Q8] = product_q8,
                [QUANTIZED_Q4] = product_q4,
                [QUANTIZED_Q4M] = product_q4m,
                [QUANTIZED_BF16] = product_bf16},
    .begin = begin,
    .end = end,
};

#else

const quantized_kernels quantized_amx_table = {0}; /* this compiler or processor family knows no tiles */

#endif
