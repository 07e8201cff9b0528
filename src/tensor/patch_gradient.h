/* The weight gradient of a convolution over few channels, such as a network's stem on a grey picture: patches are
 * written out (im2col) and dW = dy^T patches is one product. oneDNN's own pass is built for channels by the dozen.
 * Sums over shards of rows are made in shard order. */
#ifndef TENSOR_PATCH_GRADIENT_H
#define TENSOR_PATCH_GRADIENT_H

#include "tensor/convolution_geometry.h"
#include "tensor/dnnl.h"
#include "tensor/graph_internal.h"

typedef struct patch_gradient {
    convolution_geometry shape;
    int64_t patch;      /* C kh kw, the values of one patch, in the order of the weights' axes */
    int64_t chunk_rows; /* rows of dy per product */
    int shards;
    product *full, *tail, *last; /* a chunk; the shorter last one of a shard, which may have two lengths */
    int64_t tail_rows, last_rows;
} patch_gradient;

bool patch_gradient_suits(int64_t channels, int64_t outputs);
carina_status patch_gradient_create(patch_gradient *out, const convolution_geometry *shape, carina_error *error);
void patch_gradient_free(patch_gradient *g);
uint64_t patch_gradient_worker_bytes(const patch_gradient *g);
uint64_t patch_gradient_shared_bytes(const patch_gradient *g); /* the shards' sums, at the op's scratch */

/* The sum f32 [O, C, kh, kw], in the op's shared scratch. */
float *patch_gradient_run(const patch_gradient *g, op *o, const void *x, const void *dy);

#endif
