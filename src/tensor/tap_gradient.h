/* The weight gradient of a convolution with a stride, f32: for each tap of the kernel dW = dy^T x over the pixels that
 * the tap looks at, by outer products of rows (outer_product.h). oneDNN's own pass with a stride runs at a quarter to a
 * half of its forward pass's speed. Sums over groups of rows are added in the groups' order.
 */
#ifndef TENSOR_TAP_GRADIENT_H
#define TENSOR_TAP_GRADIENT_H

#include <stdbool.h>

#include "tensor/convolution_geometry.h"
#include "tensor/graph_internal.h"
#include "tensor/outer_product.h"

typedef struct tap_gradient {
    convolution_geometry shape;
    const outer_kernel *kernel;
    int taps, groups;
    int64_t block_rows; /* of dy per outer product */
} tap_gradient;

bool tap_gradient_suits(const convolution_geometry *shape);
tap_gradient tap_gradient_make(const convolution_geometry *shape);
uint64_t tap_gradient_worker_bytes(const tap_gradient *g);
uint64_t tap_gradient_shared_bytes(const tap_gradient *g); /* at the op's scratch: groups' sums and their total */

/* The sum f32 [O, C, kh, kw], in the op's shared scratch. */
float *tap_gradient_run(const tap_gradient *g, op *o, const float *x, const float *dy);

#endif
