/* Gradients of y = x W^T + b by W and b, for linear layers and 1x1 convolutions: dW [O, I] = dy^T x, db = sum of dy.
 * dW is cut along its own sides, so no partial sums are needed; db is summed per shard of rows, then in shard order.
 * f32 by outer products, bf16 by oneDNN. */
#ifndef TENSOR_LINEAR_GRADIENT_H
#define TENSOR_LINEAR_GRADIENT_H

#include "tensor/dnnl.h"
#include "tensor/graph_internal.h"
#include "tensor/outer_product.h"

typedef struct linear_gradient {
    tensor_type type; /* of x and dy */
    int64_t rows, inputs, outputs;
    bool add;
    const outer_kernel *kernel; /* f32 */
    int64_t block;              /* bf16: rows of dW per shard */
    int across;                 /* f32: shards along I; the rest along O */
    int shards, bias_shards;
    product *full, *tail; /* bf16; the last shard may be shorter */
} linear_gradient;

/* add: run adds to dw instead of overwriting it. */
carina_status linear_gradient_create(linear_gradient *out, tensor_type type, int64_t rows, int64_t inputs,
                                     int64_t outputs, bool add, carina_error *error);
/* For db alone, where dW is made elsewhere. */
void linear_gradient_bias_only(linear_gradient *out, tensor_type type, int64_t rows, int64_t outputs);
void linear_gradient_free(linear_gradient *g);
uint64_t linear_gradient_worker_bytes(const linear_gradient *g);
uint64_t linear_gradient_bias_bytes(const linear_gradient *g); /* of shared scratch */

/* dw f32 [O, I] from dy [rows, O] and x [rows, I]; uses the op's worker scratch. */
void linear_gradient_weights(const linear_gradient *g, op *o, const void *dy, const void *x, float *dw);
/* dbias f32 [O] += sums over rows of dy; uses the first linear_gradient_bias_bytes of the op's shared scratch. */
void linear_gradient_bias(const linear_gradient *g, op *o, const void *dy, float *dbias);

#endif
