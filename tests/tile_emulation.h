/* The tile instructions of AMX in plain C under the compiler's own names, so that what is written for tiles is tested
 * on processors that have none. Force-included (tests/CMakeLists.txt) when the sources that use them are built once
 * more, beside a cpu.c that claims to have tiles (CARINA_TILES_EMULATED). They do what Intel's instruction set
 * reference says (TILELOADD, TDPBF16PS, TDPBSUD, ...), and abort where the processor would fault.
 */
#ifndef TESTS_TILE_EMULATION_H
#define TESTS_TILE_EMULATION_H

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EMULATED_TILES 8
#define EMULATED_ROWS  16
#define EMULATED_BYTES 64 /* of a row */

/* What LDTILECFG reads. */
typedef struct emulated_configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} emulated_configuration;

/* One set per thread, and per source file: none hands tiles to another. */
static _Thread_local emulated_configuration emulated_shape;
static _Thread_local uint8_t emulated_tile[EMULATED_TILES][EMULATED_ROWS][EMULATED_BYTES];

static inline void emulated_must(int holds) {
    if (!holds) abort();
}
static inline void emulated_must_exist(int tile) {
    emulated_must(emulated_shape.palette == 1 && tile < EMULATED_TILES && emulated_shape.rows[tile] > 0 &&
                  emulated_shape.row_bytes[tile] > 0);
}

static inline void emulated_loadconfig(const void *memory) {
    const emulated_configuration *s = &emulated_shape;
    memcpy(&emulated_shape, memory, sizeof emulated_shape);
    emulated_must(s->palette == 1 && s->start_row == 0);
    for (size_t i = 0; i < sizeof s->reserved; i++) emulated_must(s->reserved[i] == 0);
    for (int t = 0; t < 16; t++) {
        int most = t < EMULATED_TILES ? EMULATED_ROWS : 0;
        emulated_must(s->rows[t] <= most && s->row_bytes[t] <= 4 * most && !s->rows[t] == !s->row_bytes[t]);
    }
    memset(emulated_tile, 0, sizeof emulated_tile);
}
static inline void emulated_release(void) { memset(&emulated_shape, 0, sizeof emulated_shape); }

static inline void emulated_zero(int tile) {
    emulated_must_exist(tile);
    memset(emulated_tile[tile], 0, sizeof emulated_tile[tile]);
}
static inline void emulated_loadd(int tile, const void *memory, size_t step) {
    emulated_zero(tile);
    for (size_t r = 0; r < emulated_shape.rows[tile]; r++)
        memcpy(emulated_tile[tile][r], (const uint8_t *)memory + r * step, emulated_shape.row_bytes[tile]);
}
static inline void emulated_stored(int tile, void *memory, size_t step) {
    emulated_must_exist(tile);
    for (size_t r = 0; r < emulated_shape.rows[tile]; r++)
        memcpy((uint8_t *)memory + r * step, emulated_tile[tile][r], emulated_shape.row_bytes[tile]);
}

/* sums [M, N] += a [M, K] b [K, N], K in 32-bit units: shapes must fit. Returns K. */
static inline int emulated_depth(int sums, int a, int b) {
    emulated_must_exist(sums), emulated_must_exist(a), emulated_must_exist(b);
    emulated_must(sums != a && sums != b && a != b);
    emulated_must(emulated_shape.rows[a] == emulated_shape.rows[sums] &&
                  emulated_shape.row_bytes[b] == emulated_shape.row_bytes[sums] &&
                  emulated_shape.row_bytes[a] == 4 * emulated_shape.rows[b]);
    return emulated_shape.rows[b];
}

static inline float emulated_bf16(const uint8_t *pair, int which) {
    uint32_t bits = (uint32_t)(pair[2 * which] << 16) | (uint32_t)pair[2 * which + 1] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* First and second values of the pairs are summed apart, from zero, each sum rounded; then both are added. */
static inline void emulated_dpbf16ps(int sums, int a, int b) {
    int depth = emulated_depth(sums, a, b), columns = emulated_shape.row_bytes[sums] / 4;
    for (int m = 0; m < emulated_shape.rows[sums]; m++) {
        float first[EMULATED_BYTES / 4] = {0}, second[EMULATED_BYTES / 4] = {0}, row[EMULATED_BYTES / 4];
        for (int k = 0; k < depth; k++) {
            float x = emulated_bf16(emulated_tile[a][m] + 4 * k, 0), z = emulated_bf16(emulated_tile[a][m] + 4 * k, 1);
            for (int n = 0; n < columns; n++) {
                first[n] += x * emulated_bf16(emulated_tile[b][k] + 4 * n, 0);
                second[n] += z * emulated_bf16(emulated_tile[b][k] + 4 * n, 1);
            }
        }
        memcpy(row, emulated_tile[sums][m], sizeof row);
        for (int n = 0; n < columns; n++) row[n] += first[n] + second[n];
        memcpy(emulated_tile[sums][m], row, sizeof row);
    }
}

static inline void emulated_dpb(int sums, int a, int b, int a_is_signed, int b_is_signed) {
    int depth = emulated_depth(sums, a, b), columns = emulated_shape.row_bytes[sums] / 4;
    for (int m = 0; m < emulated_shape.rows[sums]; m++) {
        int32_t row[EMULATED_BYTES / 4];
        memcpy(row, emulated_tile[sums][m], sizeof row);
        for (int k = 0; k < depth; k++)
            for (int n = 0; n < columns; n++)
                for (int i = 0; i < 4; i++) {
                    int x = emulated_tile[a][m][4 * k + i], w = emulated_tile[b][k][4 * n + i];
                    row[n] += (a_is_signed ? (int8_t)x : x) * (b_is_signed ? (int8_t)w : w);
                }
        memcpy(emulated_tile[sums][m], row, sizeof row);
    }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_dpbsud
#undef _tile_dpbusd
#define _tile_loadconfig(memory)         emulated_loadconfig(memory)
#define _tile_release()                  emulated_release()
#define _tile_zero(tile)                 emulated_zero(tile)
#define _tile_loadd(tile, memory, step)  emulated_loadd(tile, memory, (size_t)(step))
#define _tile_stored(tile, memory, step) emulated_stored(tile, memory, (size_t)(step))
#define _tile_dpbf16ps(sums, a, b)       emulated_dpbf16ps(sums, a, b)
#define _tile_dpbsud(sums, a, b)         emulated_dpb(sums, a, b, 1, 0)
#define _tile_dpbusd(sums, a, b)         emulated_dpb(sums, a, b, 0, 1)

#endif
