/* A convolution, or one of its gradients, by oneDNN: cut into shards of whole pictures or, when there are few, of rows
 * of a picture. A shard of rows is itself a convolution whose missing rows above and below are padding or the
 * neighbour's rows. Shards follow from the shape alone; the gradient by the weights sums theirs in a fixed order.
 *
 * packed: convolution_shards.packed_bytes; worker scratch: convolution_shards.worker_bytes.
 */
#ifndef TENSOR_CONVOLUTION_SHARDS_H
#define TENSOR_CONVOLUTION_SHARDS_H

#include "tensor/convolution_geometry.h"
#include "tensor/dnnl.h"
#include "tensor/graph_internal.h"

#define CONVOLUTION_MAX_SHARDS 16

/* Pictures [picture, picture + shape.batch), rows of x from x_row, rows of y from y_row. */
typedef struct convolution_shard {
    convolution_shape shape;
    int64_t picture, x_row, y_row;
    const convolution *primitive; /* one of the owned; shards of equal shape share it */
} convolution_shard;

typedef struct convolution_shards {
    convolution_geometry shape;
    int count;
    convolution_shard items[CONVOLUTION_MAX_SHARDS];
    convolution *owned[CONVOLUTION_MAX_SHARDS];
    int owned_count;
    uint64_t worker_bytes, packed_bytes;
} convolution_shards;

typedef struct convolution_tail { /* what forward does at the end; of the gradient by the weights: that of the bias too
                                   */
    bool bias, relu, residual;
} convolution_tail;

carina_status convolution_shards_create(convolution_shards *out, const convolution_geometry *shape,
                                        convolution_direction direction, convolution_tail tail, carina_error *error);
void convolution_shards_free(convolution_shards *c);

void convolution_shards_pack(const convolution_shards *c, const float *plain, void *packed); /* plain: [O, C, kh, kw] */

/* bias and residual as the tail said, else NULL. */
void convolution_shards_forward(const convolution_shards *c, op *o, const void *x, const void *packed,
                                const float *bias, const void *residual, void *y);
/* dx is overwritten. */
void convolution_shards_data(const convolution_shards *c, op *o, const void *dy, const void *packed, void *dx);

/* The gradient by the weights, f32 [O, C, kh, kw], somewhere in sums (convolution_shards_sum_bytes, shared scratch);
 * dbias [O], NULL without, is added to. */
uint64_t convolution_shards_sum_bytes(const convolution_shards *c);
float *convolution_shards_weights(const convolution_shards *c, op *o, const void *x, const void *dy, void *sums,
                                  float *dbias);

#endif
