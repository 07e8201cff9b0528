/* 3x3 convolutions with stride 1 and padding 1 as Winograd's minimal filtering (Lavin and Gray 2016), f32: on tiles of
 * 4x4 output pixels 36 products replace 144 multiplications, on tiles of 2x2, for the largest layers, 16 replace 36
 * (winograd_transform.h). Larger tiles would save more and lose f32's accuracy.
 *
 * Y = A^T [U . V] A with U = G g G^T and V = B^T d B is bilinear, so both gradients are of the same kind: the one by x
 * is a convolution of dy with kernels turned round; the one by g is G^T [sum over tiles (A dY A^T) . V] G.
 *
 * Tiles are worked on in blocks of fixed size, one block a shard.
 */
#ifndef TENSOR_WINOGRAD_H
#define TENSOR_WINOGRAD_H

#include "tensor/dnnl.h"
#include "tensor/graph_internal.h"

typedef struct winograd winograd;

/* Worth it where products are large enough; narrow layers are memory-bound either way. */
bool winograd_suits(int64_t height, int64_t width, int64_t channels, int64_t outputs);

typedef struct winograd_shape {
    int64_t batch, height, width;
    int64_t channels, outputs; /* of the picture read and the one written: for the gradient by x, O and C */
    bool is_gradient;          /* by x: kernels are turned round and read with sides exchanged */
    bool relu;
    bool is_kept; /* packed weights stay in memory, as in inference */
} winograd_shape;

carina_status winograd_create(winograd **out, const winograd_shape *shape, carina_error *error);
void winograd_free(winograd *w); /* accepts NULL */
uint64_t winograd_packed_bytes(const winograd *w);
uint64_t winograd_worker_bytes(const winograd *w); /* for packing and running */

/* plain: [O, C, 3, 3] f32, whichever side is read */
void winograd_pack(const winograd *w, op *o, const float *plain, void *packed);
/* x [B, H, W, C] -> y [B, H, W, O], plus bias [O] or NULL, plus residual [B, H, W, O] or NULL, then ReLU if asked. */
void winograd_run(const winograd *w, op *o, const float *x, const void *packed, const float *bias,
                  const float *residual, float *y);

/* dw [O, C, 3, 3] += scale[o] (NULL: 1) times the gradient by the kernels; w is the forward one. sums: shared scratch.
 */
uint64_t winograd_sum_bytes(const winograd *w);
uint64_t winograd_gradient_worker_bytes(const winograd *w);
void winograd_weights(const winograd *w, op *o, const float *x, const float *dy, const float *scale, float *sums,
                      float *dw);

#endif
