/* Quantised products on AMX tiles: 16 tokens times 16 outputs, 32 inputs per instruction. Integers for full panels of
 * tokens: others go the way of AVX-512 VNNI, whose results are the same bits. BF16 for all, as tiles sum in an order of
 * their own. As tiles.c, this is compiled for processors that have tiles and run only where quantized_kernels_all()
 * found them.
 *
 * Its speed is not measured yet: it has run with its tile instructions emulated only (tests/tile_emulation.h).
 */
#include "tensor/quantized_kernels.h"

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)

#include <immintrin.h>
#include <string.h>

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));

/* GCC 12's tile instructions do not say which memory they read: without this, stores before them may be dropped or
 * come late. */
#define STORES_ARE_DONE() __asm__ volatile("" ::: "memory")

/* 0: sums, tokens by outputs. Integers: 1: activations, 16 tokens of 32 bytes; 2: weights, 8 rows of four inputs of 16
 * outputs. BF16: 3: activations, 16 tokens of 32 values; 4: weights, 16 rows of two inputs of 16 outputs; 5 to 7: more
 * sums. */
static void begin(void) {
    struct __attribute__((packed)) {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1, .row_bytes = {64, 32, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 8, 16, 16, 16, 16, 16}};
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
static inline __attribute__((always_inline)) void multiply(quantized_kind kind, int block, const quantized_piece *piece,
                                                           const quantized_panel *x) {
    const uint8_t *at = piece->weights + block * piece->block_bytes;
    uint8_t unpacked[512] __attribute__((aligned(64)));
    int32_t sums[256] __attribute__((aligned(64)));
    floats total[16];
    for (int t = 0; t < 16; t++) total[t] = (floats){0};
    for (int t = 0; piece->from && t < 16; t++) memcpy(&total[t], quantized_from(piece, t, block), sizeof total[t]);
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
                uint32_t taken_off = kind == QUANTIZED_Q8 ? 128 : kind == QUANTIZED_Q4 ? 8 : 0;
                int32_t start = (int32_t)(taken_off / 8 * (uint32_t)x->offsets[place]); /* may wrap: not finite */
                ints sum;
                memcpy(&sum, sums + 16 * t, sizeof sum);
                sum += start;
                if (kind == QUANTIZED_Q4M) total[t] -= minimum * x->sums[place];
                total[t] += __builtin_convertvector(sum, floats) * (scale * x->scales[place]);
            }
        }
    }
    for (int t = 0; t < 16; t++) memcpy(quantized_to(piece, t, block), &total[t], sizeof total[t]);
}

/* ---- BF16 ---- */

/* Tokens that a panel does not have are zeros: a token's sums are the same in any company. */
static const uint16_t *full_panel(uint16_t padded[16 * QUANTIZED_GROUP], const quantized_panel *x, int64_t group) {
    const uint16_t *values = x->values + group * x->tokens * QUANTIZED_GROUP;
    if (x->tokens == 16) return values;
    memcpy(padded, values, (size_t)x->tokens * QUANTIZED_GROUP * sizeof *values);
    STORES_ARE_DONE();
    return padded;
}

/* One slice of one block. A tile waits 52 cycles for its last sums and could be given new products every 16: groups
 * take turns with four. */
static void add_slice(const quantized_piece *piece, int block, const quantized_panel *x, int64_t first, int64_t end) {
    const uint8_t *weights = piece->weights + block * piece->block_bytes;
    uint16_t padded[16 * QUANTIZED_GROUP] __attribute__((aligned(64))) = {0};
    float sums[4][16 * QUANTIZED_BLOCK] __attribute__((aligned(64)));
    _tile_zero(0);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t g = first; g < end; g++) {
        _tile_loadd(3, full_panel(padded, x, g), 64);
        _tile_loadd(4, weights + g * 1024, 64);
        switch (g % 4) {
            case 0: _tile_dpbf16ps(0, 3, 4); break;
            case 1: _tile_dpbf16ps(5, 3, 4); break;
            case 2: _tile_dpbf16ps(6, 3, 4); break;
            default: _tile_dpbf16ps(7, 3, 4); break;
        }
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(5, sums[1], 64);
    _tile_stored(6, sums[2], 64);
    _tile_stored(7, sums[3], 64);
    STORES_ARE_DONE();
    for (int t = 0; t < x->tokens; t++)
        for (int n = 0; n < QUANTIZED_BLOCK; n++) {
            int at = t * QUANTIZED_BLOCK + n;
            quantized_to(piece, t, block)[n] += (sums[0][at] + sums[1][at]) + (sums[2][at] + sums[3][at]);
        }
}

/* Slice by slice whatever the piece is, so that a token's sums do not depend on how a matrix is cut. */
static void product_bf16(const quantized_piece *piece, const quantized_panel *x) {
    const int64_t slice = quantized_slice_groups(QUANTIZED_BF16);
    for (int b = 0; b < piece->blocks; b++) {
        for (int t = 0; t < x->tokens; t++) {
            floats total = {0};
            if (piece->from) memcpy(&total, quantized_from(piece, t, b), sizeof total);
            memcpy(quantized_to(piece, t, b), &total, sizeof total);
        }
        for (int64_t g = 0; g < x->groups; g += slice)
            add_slice(piece, b, x, g, g + slice < x->groups ? g + slice : x->groups);
    }
}

#define PRODUCT(name, kind)                                                    \
    static void name(const quantized_piece *piece, const quantized_panel *x) { \
        if (x->tokens < 16) {                                                  \
            quantized_avx512_table.product[kind](piece, x);                    \
            return;                                                            \
        }                                                                      \
        for (int b = 0; b < piece->blocks; b++) multiply(kind, b, piece, x);   \
    }
PRODUCT(product_q8, QUANTIZED_Q8)
PRODUCT(product_q4, QUANTIZED_Q4)
PRODUCT(product_q4m, QUANTIZED_Q4M)

const quantized_kernels quantized_amx_table = {
    .name = "amx",
    .otherwise = &quantized_avx512_table,
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
