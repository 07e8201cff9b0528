/* Convolutions in bf16 on AMX tiles (tiles.h), forward and both gradients; instead of oneDNN's where the processor has
 * tiles and the shape suits.
 *
 * A convolution is a product whose rows are pixels: output pixel p looks at input pixels p + shift(tap). That holds for
 * whole rows at once when a strip of the picture is first copied with its zero border, row after row of `pitch` pixels;
 * the last (k - 1) / stride pixels of a row then are products of nothing and are not stored. With stride 2 the strip is
 * copied as four planes of even and odd rows and columns, and shifts stay whole pixels. 1x1 needs no copy. A stem (one
 * channel) takes each row of its kernel as one tap of up to 32 values, overlapping from pixel to pixel.
 *
 * Sums are f32 and in an order that depends on the shape alone.
 */
#ifndef TENSOR_TILE_CONVOLUTION_H
#define TENSOR_TILE_CONVOLUTION_H

#include "tensor/graph_internal.h"
#include "tensor/tiles.h"

typedef struct tile_shape {
    int64_t batch, height, width, channels; /* x [B, H, W, C] bf16 */
    int64_t output_height, output_width, outputs;
    int64_t kernel, stride, padding; /* square */
} tile_shape;

/* One product over strips: forward, or (a phase of) the gradient by x, which is a convolution of dy. */
typedef struct tile_pass {
    tile_weights weights;       /* also says inputs and outputs */
    int64_t tap[TILE_MAX_TAPS]; /* in values of the strip */
    int64_t packed;             /* where its packed weights begin, in values */
    int64_t row_phase, column_phase;
} tile_pass;

typedef struct tile_convolution {
    tile_shape shape;
    bool direct, stem;
    int64_t pitch, halo;          /* pixels of a strip's row; rows a strip has beyond its output rows */
    int64_t strip_rows;           /* output rows of a strip */
    int64_t planes, plane_pixels; /* of a strip */
    tile_pass forward, data[4];   /* data: one per phase of the stride */
    int data_passes;
    struct {                /* gradient by the weights */
        int64_t strip_rows; /* or pixels, when direct */
        int64_t plane_pixels, pixels, xt_step;
        int groups, ranges; /* partial sums over groups of strips; ranges of the transposed side's channels */
        bool by_output;     /* dy is the transposed side */
    } gradient;
} tile_convolution;

bool tile_convolution_suits(const tile_shape *shape);
tile_convolution tile_convolution_make(const tile_shape *shape);

/* Forward. packed: tile_convolution_packed_bytes; plain: [O, C, k, k]. Worker scratch: tile_convolution_worker_bytes.
 * residual like y, or NULL. */
uint64_t tile_convolution_packed_bytes(const tile_convolution *c);
uint64_t tile_convolution_worker_bytes(const tile_convolution *c);
void tile_convolution_pack(const tile_convolution *c, op *o, const float *plain, uint16_t *packed);
void tile_convolution_forward(const tile_convolution *c, op *o, const uint16_t *x, const uint16_t *packed,
                              const float *bias, const uint16_t *residual, bool relu, uint16_t *y);

/* dx = the gradient by x, overwritten; not for stems. packed holds tile_convolution_packed_bytes too. */
bool tile_convolution_has_data(const tile_convolution *c);
void tile_convolution_pack_data(const tile_convolution *c, op *o, const float *plain, uint16_t *packed);
void tile_convolution_data(const tile_convolution *c, op *o, const uint16_t *dy, const uint16_t *packed, uint16_t *dx);

/* dw [O, C, k, k] += scale[o] times the gradient by the weights; scale NULL: 1. Not for stems. sums: shared scratch of
 * tile_convolution_sum_bytes. */
uint64_t tile_convolution_sum_bytes(const tile_convolution *c);
uint64_t tile_convolution_gradient_worker_bytes(const tile_convolution *c);
void tile_convolution_weights(const tile_convolution *c, op *o, const uint16_t *x, const uint16_t *dy,
                              const float *scale, float *sums, float *dw);

#endif
