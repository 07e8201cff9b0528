/* Products and convolutions through oneDNN 2.6: the only file that knows its API.
 *
 * Every primitive runs on the calling thread alone; ops cut their work into shards (by shape) and run one primitive a
 * shard. That keeps one thread pool in the process and makes results independent of the thread count. Primitives are
 * made once, hold no data, and may run in several threads at a time, each with its own scratch.
 *
 * Pictures are channels last. Weights given as "packed" are in the layout the first primitive of an op prefers;
 * the other shards' primitives are made to accept it (`like`).
 */
#ifndef TENSOR_DNNL_H
#define TENSOR_DNNL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "tensor/graph.h"
#include "tensor/kernels.h"

/* c [m, n] = f(a [m, k] b [k, n] + bias [n]); strides in elements, so that transposed operands need no copy.
 * c's rows are c_stride apart. Sums in f32. */
typedef struct product_shape {
    int64_t m, n, k;
    tensor_type a_type, b_type, c_type;
    int64_t a_row, a_column;
    int64_t b_row, b_column; /* of the plain layout */
    int64_t c_row;
    bool b_packed; /* b comes through product_pack */
    bool has_bias; /* f32 */
    activation_function function;
    bool add; /* c += instead of = */
} product_shape;

typedef struct product product;

/* like: NULL, or a product with b_packed whose packed layout this one must accept. */
carina_status product_create(product **out, const product_shape *shape, const product *like, carina_error *error);
void product_free(product *p);
uint64_t product_scratch_bytes(const product *p);
uint64_t product_packed_bytes(const product *p);
/* b_plain: f32 in the layout of b_row, b_column. */
void product_pack(const product *p, const float *b_plain, void *packed);
void product_run(const product *p, const void *a, const void *b, const float *bias, void *c, void *scratch);

typedef enum convolution_direction {
    CONVOLUTION_FORWARD,
    CONVOLUTION_BACKWARD_DATA,    /* dy, w -> dx */
    CONVOLUTION_BACKWARD_WEIGHTS, /* x, dy -> dw f32 (and dbias f32) */
} convolution_direction;

/* One shard: `batch` pictures, or some rows of one. Rows above and below may be padding. */
typedef struct convolution_shape {
    convolution_direction direction;
    tensor_type type; /* of x and y */
    int64_t batch;
    int input_channels, output_channels, kernel_height, kernel_width, stride;
    int64_t input_height, input_width, output_height, output_width;
    int pad_top, pad_bottom, pad_left, pad_right;
    bool has_bias, relu, has_residual; /* forward only, but bias also for backward weights */
} convolution_shape;

typedef struct convolution convolution;

carina_status convolution_create(convolution **out, const convolution_shape *shape, const convolution *like,
                                 carina_error *error);
void convolution_free(convolution *c);
uint64_t convolution_scratch_bytes(const convolution *c);
uint64_t convolution_packed_bytes(const convolution *c);
/* f32 [O, I, kh, kw] -> packed, and for backward weights: packed f32 -> f32 [O, I, kh, kw]. */
void convolution_pack(const convolution *c, const float *plain, void *packed);
void convolution_unpack(const convolution *c, const void *packed, float *plain);
/* forward: x, w, bias, residual -> y. backward data: y holds dy, w packed, x receives dx. backward weights: x, y (dy)
 * -> w receives packed dw, bias receives dbias. */
void convolution_run(const convolution *c, void *x, void *w, float *bias, const void *residual, void *y, void *scratch);
/* oneDNN's name of the implementation, for benches and `carina doctor`. */
const char *convolution_implementation(const convolution *c);

void dnnl_version_text(char out[32]); /* "2.6.3" */

#endif
