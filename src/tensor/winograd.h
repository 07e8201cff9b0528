/* 3x3 convolutions with stride 1 and padding 1 as Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016): 16
 * products on tiles of 2x2 output pixels replace 36 multiplications by 16. The transforms only add, subtract and
 * halve, so f32 keeps nearly all its accuracy; larger tiles would save more and lose it. Inference in f32.
 *
 * Weights are transformed and packed once. Tiles are worked on in blocks of fixed size, one block a shard.
 */
#ifndef TENSOR_WINOGRAD_H
#define TENSOR_WINOGRAD_H

#include "tensor/dnnl.h"
#include "tensor/graph_internal.h"

typedef struct winograd winograd;

/* Worth it where products are large enough; narrow layers are memory-bound either way. */
bool winograd_suits(int64_t height, int64_t width, int64_t channels, int64_t outputs);

carina_status winograd_create(winograd **out, int64_t batch, int64_t height, int64_t width, int64_t channels,
                              int64_t outputs, bool relu, carina_error *error);
void winograd_free(winograd *w); /* accepts NULL */
uint64_t winograd_worker_bytes(const winograd *w);

/* plain: [O, C, 3, 3] f32 */
void winograd_pack(winograd *w, const float *plain);
/* x [B, H, W, C] -> y [B, H, W, O], plus bias [O] or NULL, plus residual [B, H, W, O] or NULL, then ReLU if asked. */
void winograd_run(const winograd *w, op *o, const float *x, const float *bias, const float *residual, float *y);

#endif
