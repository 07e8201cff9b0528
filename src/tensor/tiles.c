/* Products on AMX tiles; see tiles.h. Compiled for processors that have them, run only where tiles_available(). */
#include "tensor/tiles.h"

#include <stddef.h>

#include "base/cpu.h"

bool tiles_available(void) {
#ifdef __AMX_BF16__
    return cpu_level_effective() == CPU_AMX;
#else
    return false; /* this compiler or processor family knows no tiles */
#endif
}

uint64_t tile_weights_bytes(const tile_weights *w) {
    uint64_t inputs = (uint64_t)(w->inputs + TILE_BLOCK - 1) / TILE_BLOCK * TILE_BLOCK;
    return (uint64_t)w->taps * inputs * (uint64_t)w->outputs * sizeof(uint16_t);
}

int64_t tile_weights_blocks(const tile_weights *w) { return w->outputs / TILE_BLOCK; }

#ifdef __AMX_BF16__

#include <immintrin.h>
#include <string.h>

#define TILE_VALUES      512         /* bf16 values of one tile */
#define WEIGHTS_IN_CACHE (256 << 10) /* values: half a megabyte */

/* Eight tiles of 16 rows of 64 bytes. */
static void open_tiles(void) {
    struct __attribute__((packed)) {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    __asm__ volatile("" : : : "memory"); /* the intrinsic does not say that it reads config */
    _tile_loadconfig(&config);
}

static inline __m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }

/* ---- products ---- */

void tile_weights_pack(const tile_weights *w, uint16_t *packed, const float *plain, int64_t block) {
    int64_t steps = (w->inputs + TILE_BLOCK - 1) / TILE_BLOCK;
    uint16_t *out = packed + block * w->taps * steps * 2 * TILE_VALUES;
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i offsets = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)w->output_step));
    for (int t = 0; t < w->taps; t++)
        for (int64_t k = 0; k < steps * TILE_BLOCK; k += TILE_BLOCK)
            for (int half = 0; half < 2; half++) {
                int64_t n = block * TILE_BLOCK + half * 16;
                const float *from = plain + w->tap[t] + n * w->output_step;
                for (int64_t r = k; r < k + TILE_BLOCK; r += 2, out += 32) {
                    __m512i pair[2];
                    for (int e = 0; e < 2; e++) {
                        const float *row = from + (r + e) * w->input_step;
                        __m512 v = r + e >= w->inputs    ? _mm512_setzero_ps()
                                   : w->output_step == 1 ? _mm512_loadu_ps(row)
                                                         : _mm512_i32gather_ps(offsets, row, 4);
                        __m256i narrow = (__m256i)_mm512_cvtneps_pbh(v);
                        pair[e] = _mm512_cvtepu16_epi32(narrow);
                    }
                    _mm512_storeu_si512(out, _mm512_or_si512(pair[0], _mm512_slli_epi32(pair[1], 16)));
                }
            }
}

void tile_pack_rows(uint16_t *packed, const uint16_t *x, int64_t step, int64_t inputs, int64_t outputs) {
    uint16_t index[32];
    for (int i = 0; i < 32; i++) index[i] = (uint16_t)(i / 2 + i % 2 * 32);
    const __m512i low = _mm512_loadu_si512(index), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    const __mmask32 wanted = outputs >= 32 ? 0xffffffffu : (1u << outputs) - 1;
    for (int64_t k = 0; k < inputs; k += TILE_BLOCK, packed += 2 * TILE_VALUES)
        for (int64_t r = 0; r < 16; r++) {
            int64_t row = k + 2 * r;
            __m512i a = row < inputs ? _mm512_maskz_loadu_epi16(wanted, x + row * step) : _mm512_setzero_si512();
            __m512i b =
                row + 1 < inputs ? _mm512_maskz_loadu_epi16(wanted, x + (row + 1) * step) : _mm512_setzero_si512();
            _mm512_storeu_si512(packed + r * 32, _mm512_permutex2var_epi16(a, low, b));
            _mm512_storeu_si512(packed + TILE_VALUES + r * 32, _mm512_permutex2var_epi16(a, high, b));
        }
}

/* A pair of inputs of one output lies together already: words of 32 bits, whose 16 x 16 squares are turned. */
void tile_pack_across(uint16_t *packed, const uint16_t *x, int64_t step, int64_t inputs, int64_t outputs) {
    uint32_t words[16][16] __attribute__((aligned(64)));
    for (int64_t k = 0; k < inputs; k += TILE_BLOCK)
        for (int half = 0; half < 2; half++, packed += TILE_VALUES) {
            int64_t wide = inputs - k < TILE_BLOCK ? inputs - k : TILE_BLOCK;
            __mmask32 wanted = wide == TILE_BLOCK ? 0xffffffffu : (1u << wide) - 1;
            for (int n = 0; n < 16; n++) {
                int64_t output = half * 16 + n;
                _mm512_store_si512(words[n], output < outputs ? _mm512_maskz_loadu_epi16(wanted, x + output * step + k)
                                                              : _mm512_setzero_si512());
            }
            const __m512i lane =
                _mm512_set_epi32(240, 224, 208, 192, 176, 160, 144, 128, 112, 96, 80, 64, 48, 32, 16, 0);
            for (int r = 0; r < 16; r++)
                _mm512_storeu_si512(packed + r * 32, _mm512_i32gather_epi32(lane, &words[0][r], 4));
        }
}

/* 32 x 32 sums into c, rows c_step apart: rows [row, row + 32) of a, one block of outputs. */
static inline void multiply_block(const tile_product *p, int64_t row, const uint16_t *b, float *c, int64_t c_step) {
    const size_t a_bytes = (size_t)p->a_step * sizeof(uint16_t), c_bytes = (size_t)c_step * sizeof(float);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int t = 0; t < p->taps; t++) {
        const uint16_t *a = p->a + p->tap[t] + row * p->a_step, *lower = a + 16 * p->a_step;
        for (int64_t k = 0; k < p->inputs; k += TILE_BLOCK, b += 2 * TILE_VALUES) {
            _tile_loadd(4, a + k, a_bytes);
            _tile_loadd(6, b, 64);
            _tile_loadd(7, b + TILE_VALUES, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, lower + k, a_bytes);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + 16, c_bytes);
    _tile_stored(2, c + 16 * c_step, c_bytes);
    _tile_stored(3, c + 16 * c_step + 16, c_bytes);
}

/* Bias, residual, ReLU, rounding: rows [first, 32) of c to row, row + 1, ... of y. */
static inline void finish_block(const tile_product *p, int64_t row, int first, int64_t n, const float *c) {
    const __m512 zero = _mm512_setzero_ps();
    __m512 bias0 = p->bias ? _mm512_loadu_ps(p->bias + n) : zero;
    __m512 bias1 = p->bias ? _mm512_loadu_ps(p->bias + n + 16) : zero;
    for (int r = first; r < TILE_BLOCK; r++) {
        int64_t at = p->place ? p->place[row + r] : row + r;
        if (at < 0) continue;
        at = at * p->outputs + n;
        __m512 v0 = _mm512_add_ps(_mm512_load_ps(c + r * 32), bias0);
        __m512 v1 = _mm512_add_ps(_mm512_load_ps(c + r * 32 + 16), bias1);
        if (p->residual) {
            __m512i add = _mm512_loadu_si512(p->residual + at);
            v0 = _mm512_add_ps(v0, widen(_mm512_castsi512_si256(add)));
            v1 = _mm512_add_ps(v1, widen(_mm512_extracti64x4_epi64(add, 1)));
        }
        if (p->relu) v0 = _mm512_max_ps(v0, zero), v1 = _mm512_max_ps(v1, zero);
        _mm512_storeu_si512(p->y + at, (__m512i)_mm512_cvtne2ps_pbh(v1, v0));
    }
}

/* The residual's lines are on their way while the products are made: too far apart for the processor to guess. */
static inline void fetch_block(const tile_product *p, int64_t row, int first, int64_t n) {
    for (int r = first; r < TILE_BLOCK; r++) {
        int64_t at = p->place ? p->place[row + r] : row + r;
        if (at >= 0) _mm_prefetch((const char *)(p->residual + at * p->outputs + n), _MM_HINT_T0);
    }
}

void tile_product_run(const tile_product *p) {
    float c[TILE_BLOCK * TILE_BLOCK] __attribute__((aligned(64)));
    int64_t block_values = p->taps * ((p->inputs + TILE_BLOCK - 1) / TILE_BLOCK) * 2 * TILE_VALUES;
    int64_t row_blocks = (p->rows + TILE_BLOCK - 1) / TILE_BLOCK, output_blocks = p->outputs / TILE_BLOCK;
    /* Weights that stay in cache are gone through for every block of rows, which then is read and written once. */
    bool rows_outside = block_values * output_blocks <= WEIGHTS_IN_CACHE;
    open_tiles();
    for (int64_t i = 0; i < row_blocks * output_blocks; i++) {
        int64_t row = (rows_outside ? i / output_blocks : i % row_blocks) * TILE_BLOCK;
        int64_t block = rows_outside ? i % output_blocks : i / row_blocks, n = block * TILE_BLOCK;
        /* Without `place` nothing behind the last row may be read: the last block reaches back instead. */
        int64_t from = p->place || row + TILE_BLOCK <= p->rows ? row : p->rows - TILE_BLOCK;
        const uint16_t *b = p->packed + block * block_values;
        if (p->sums) {
            multiply_block(p, from, b, p->sums + from * p->sum_step + n, p->sum_step);
            continue;
        }
        if (p->residual) fetch_block(p, from, (int)(row - from), n);
        multiply_block(p, from, b, c, TILE_BLOCK);
        finish_block(p, from, (int)(row - from), n, c);
    }
    _tile_release();
}

/* ---- gradients ---- */

/* 16-bit 32 x 32: rows of x become columns. Five rounds of exchanging halves between rows 16, 8, 4, 2 and 1 apart. */
static void transpose_block(uint16_t *out, int64_t out_step, const uint16_t *x, int64_t x_step) {
    __m512i r[32], s[32];
    for (int i = 0; i < 32; i++) r[i] = _mm512_loadu_si512(x + i * x_step);
    /* pairs of rows: 16-bit, then 32-bit, then 64-bit interleaving within lanes of 8 values */
    for (int i = 0; i < 16; i++) {
        s[2 * i] = _mm512_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
        s[2 * i + 1] = _mm512_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 2; j++) {
            r[4 * i + 2 * j] = _mm512_unpacklo_epi32(s[4 * i + j], s[4 * i + 2 + j]);
            r[4 * i + 2 * j + 1] = _mm512_unpackhi_epi32(s[4 * i + j], s[4 * i + 2 + j]);
        }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            s[8 * i + 2 * j] = _mm512_unpacklo_epi64(r[8 * i + j], r[8 * i + 4 + j]);
            s[8 * i + 2 * j + 1] = _mm512_unpackhi_epi64(r[8 * i + j], r[8 * i + 4 + j]);
        }
    /* s[8 i + j], lane l: rows 8 i .. 8 i + 7 of column 8 l + j. Gather lane l of i = 0 .. 3 into one row. */
    for (int j = 0; j < 8; j++) {
        __m512i a = s[j], b = s[8 + j], c = s[16 + j], d = s[24 + j];
        __m512i ab_low = _mm512_shuffle_i32x4(a, b, 0x44), ab_high = _mm512_shuffle_i32x4(a, b, 0xee);
        __m512i cd_low = _mm512_shuffle_i32x4(c, d, 0x44), cd_high = _mm512_shuffle_i32x4(c, d, 0xee);
        _mm512_storeu_si512(out + (0 + j) * out_step, _mm512_shuffle_i32x4(ab_low, cd_low, 0x88));
        _mm512_storeu_si512(out + (8 + j) * out_step, _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd));
        _mm512_storeu_si512(out + (16 + j) * out_step, _mm512_shuffle_i32x4(ab_high, cd_high, 0x88));
        _mm512_storeu_si512(out + (24 + j) * out_step, _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd));
    }
}

void tile_transpose(uint16_t *out, int64_t out_step, const uint16_t *x, int64_t x_step, int64_t pixels,
                    int64_t channels) {
    for (int64_t p = 0; p < pixels; p += TILE_BLOCK)
        for (int64_t c = 0; c < channels; c += TILE_BLOCK)
            transpose_block(out + c * out_step + p, out_step, x + p * x_step + c, x_step);
}

void tile_pair(uint16_t *out, const uint16_t *x, int64_t x_step, int64_t pixels, int64_t channels) {
    uint16_t index[32];
    for (int i = 0; i < 32; i++) index[i] = (uint16_t)(i / 2 + i % 2 * 32);
    const __m512i low = _mm512_loadu_si512(index), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int64_t p = 0; p < pixels; p += 2)
        for (int64_t c = 0; c < channels; c += TILE_BLOCK) {
            __m512i a = _mm512_loadu_si512(x + p * x_step + c), b = _mm512_loadu_si512(x + (p + 1) * x_step + c);
            uint16_t *to = out + p * channels + 2 * c;
            _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, low, b));
            _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi16(a, high, b));
        }
}

static inline void gradient_block(const tile_gradient *g, const uint16_t *xt, const uint16_t *pairs, float *sum) {
    const size_t x_bytes = (size_t)g->xt_step * 2, pair_bytes = (size_t)g->outputs * 4;
    const size_t sum_bytes = (size_t)g->outputs * sizeof(float);
    float *lower = sum + 16 * g->outputs;
    _tile_loadd(0, sum, sum_bytes);
    _tile_loadd(1, sum + 16, sum_bytes);
    _tile_loadd(2, lower, sum_bytes);
    _tile_loadd(3, lower + 16, sum_bytes);
    for (int64_t p = 0; p < g->pixels; p += TILE_BLOCK, pairs += TILE_BLOCK * g->outputs) {
        _tile_loadd(4, xt + p, x_bytes);
        _tile_loadd(6, pairs, pair_bytes);
        _tile_loadd(7, pairs + 32, pair_bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, xt + 16 * g->xt_step + p, x_bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sum, sum_bytes);
    _tile_stored(1, sum + 16, sum_bytes);
    _tile_stored(2, lower, sum_bytes);
    _tile_stored(3, lower + 16, sum_bytes);
}

void tile_gradient_run(const tile_gradient *g) {
    open_tiles();
    for (int64_t c = 0; c < g->channels; c += TILE_BLOCK)
        for (int t = 0; t < g->taps; t++)
            for (int64_t o = 0; o < g->outputs; o += TILE_BLOCK)
                gradient_block(g, g->xt + c * g->xt_step + g->shift[t], g->pairs + 2 * o,
                               g->sum + t * g->tap_step + c * g->outputs + o);
    _tile_release();
}

#else

/* Never reached: tiles_available() is false. */
void tile_weights_pack(const tile_weights *w, uint16_t *packed, const float *plain, int64_t block) {
    (void)w, (void)packed, (void)plain, (void)block;
}
void tile_pack_rows(uint16_t *packed, const uint16_t *x, int64_t step, int64_t inputs, int64_t outputs) {
    (void)packed, (void)x, (void)step, (void)inputs, (void)outputs;
}
void tile_pack_across(uint16_t *packed, const uint16_t *x, int64_t step, int64_t inputs, int64_t outputs) {
    (void)packed, (void)x, (void)step, (void)inputs, (void)outputs;
}
void tile_product_run(const tile_product *p) { (void)p; }
void tile_transpose(uint16_t *out, int64_t out_step, const uint16_t *x, int64_t x_step, int64_t pixels,
                    int64_t channels) {
    (void)out, (void)out_step, (void)x, (void)x_step, (void)pixels, (void)channels;
}
void tile_pair(uint16_t *out, const uint16_t *x, int64_t x_step, int64_t pixels, int64_t channels) {
    (void)out, (void)x, (void)x_step, (void)pixels, (void)channels;
}
void tile_gradient_run(const tile_gradient *g) { (void)g; }

#endif
