/* Products in bf16 on AMX tiles: 16 rows of 64 bytes in a register, 16 x 16 sums of 32 products per instruction. The
 * only place with tile instructions; convolutions and linear layers are put together from these (tile_convolution.h).
 * Sums are f32, in the order of taps and inputs, so a row's result does not depend on where blocks begin.
 *
 * All bf16 values are uint16_t. Counts are in values, never bytes. "Block" is 32: channels come in multiples of it.
 */
#ifndef TENSOR_TILES_H
#define TENSOR_TILES_H

#include <stdbool.h>
#include <stdint.h>

#define TILE_BLOCK    32
#define TILE_MAX_TAPS 9

/* The processor has tiles, the operating system allows them, and CARINA_MAX_ISA does not forbid them. */
bool tiles_available(void);

/* ---- y[m] = sum over taps t and inputs k of a[m + tap t][k] w[t][k] ---- */

/* Where a weight lies in the model's own f32 array: plain[tap[t] + k input_step + n output_step]. */
typedef struct tile_weights {
    int taps;
    int64_t tap[TILE_MAX_TAPS];
    int64_t inputs; /* those beyond the last multiple of 32 are packed as zeros */
    int64_t input_step, output_step;
    int64_t outputs; /* multiple of 32 */
} tile_weights;

uint64_t tile_weights_bytes(const tile_weights *w);
int64_t tile_weights_blocks(const tile_weights *w); /* blocks of 32 outputs: units of parallel packing */
void tile_weights_pack(const tile_weights *w, uint16_t *packed, const float *plain, int64_t block);

/* The same from bf16 rows, for one block of 32 outputs: w[k][n] = x[k step + n], or x[n step + k] with `across`. Inputs
 * and outputs that x does not have (from `inputs` to the next 32; from `outputs`) are zeros. */
void tile_pack_rows(uint16_t *packed, const uint16_t *x, int64_t step, int64_t inputs, int64_t outputs);
void tile_pack_across(uint16_t *packed, const uint16_t *x, int64_t step, int64_t inputs, int64_t outputs);

typedef struct tile_product {
    const uint16_t *a;
    int64_t a_step; /* from one row to the next */
    int taps;
    int64_t tap[TILE_MAX_TAPS]; /* added to `a` */
    int64_t inputs;             /* rounded up to 32; rows of `a` are read so far */
    int64_t rows;               /* with `place`: rounded up to 32 rows of `a` are read; without: at least 32 */
    int64_t outputs;            /* multiple of 32 */
    const uint16_t *packed;
    const float *bias;        /* [outputs] or NULL */
    const uint16_t *residual; /* like y, or NULL; may be y itself */
    bool relu;
    float *sums; /* not NULL: plain f32 sums here, rows sum_step apart, and neither y nor what is added to it */
    int64_t sum_step;
    uint16_t *y;          /* row m at y + m * outputs, */
    const int32_t *place; /* or at y + place[m] * outputs, nowhere when negative; readable up to a multiple of 32 */
} tile_product;

void tile_product_run(const tile_product *p);

/* ---- sum[t][c][o] += sum over rows p of x[p + shift t][c] dy[p][o] ---- */

/* out[c][p] = x[p][c]; rows of `out` are out_step apart. pixels and channels in multiples of 32. */
void tile_transpose(uint16_t *out, int64_t out_step, const uint16_t *x, int64_t x_step, int64_t pixels,
                    int64_t channels);
/* out[p / 2][c][p % 2] = x[p][c]. pixels even, channels in multiples of 32. */
void tile_pair(uint16_t *out, const uint16_t *x, int64_t x_step, int64_t pixels, int64_t channels);

typedef struct tile_gradient {
    const uint16_t *xt; /* as tile_transpose gives it */
    int64_t xt_step;
    int taps;
    int64_t shift[TILE_MAX_TAPS]; /* in pixels */
    const uint16_t *pairs;        /* dy as tile_pair gives it */
    int64_t pixels;               /* multiple of 32 */
    int64_t channels, outputs;    /* multiples of 32 */
    float *sum;                   /* [taps, channels, outputs], taps tap_step apart */
    int64_t tap_step;
} tile_gradient;

void tile_gradient_run(const tile_gradient *g);

#endif
