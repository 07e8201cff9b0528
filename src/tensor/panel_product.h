/* y [rows, n] = f(x [rows, k] W + bias (+ residual)) for weights that many rows use: the product of linear layers, of
 * 1x1 convolutions and of Winograd's positions. W is packed into panels as wide as the kernel's registers, rows of x
 * are copied a few at a time, and what follows a product is done while its sums are in registers.
 *
 * f32 at every instruction set; bf16 (x, W and y; sums are f32) where the processor multiplies it. A sum runs over k in
 * order: a row's result depends neither on the rows beside it nor on threads (by Strassen: on one row beside it). The
 * kernel is compiled once per instruction set from panel_product_body.h.
 */
#ifndef TENSOR_PANEL_PRODUCT_H
#define TENSOR_PANEL_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/graph_internal.h"
#include "tensor/kernels.h"

/* Some rows of x against one panel. Steps are in values. */
typedef struct panel_tile {
    const void *x;
    int64_t x_step;
    const void *panel; /* [depth / group] [columns] [group] */
    int64_t depth;     /* k, rounded up to the kernel's group */
    const float *bias; /* of the panel's columns; or NULL */
    const void *residual;
    int64_t residual_step;
    activation_function function; /* none, ReLU or GELU */
    bool wide;                    /* y is f32, whatever x is */
    void *y;
    int64_t y_step;
} panel_tile;

#define STRASSEN_PRODUCTS 7

typedef struct panel_kernel {
    const char *name;
    tensor_type type;
    int rows, columns; /* of a tile, at most; of a panel */
    int group;         /* values of k that one instruction takes */
    void (*run)(const panel_tile *tile, int rows);
    /* A panel whose columns are rows in memory: W[i, j] = rows[j step + i] for i < k, a multiple of the group, and
     * j < count; columns beyond are zeros. */
    void (*panel_of_rows)(void *panel, const void *rows, int64_t step, int64_t count, int64_t k);
    /* The rest is strassen.h's and f32's (else NULL). The left operands of two rows (partner NULL: zeros), `depth`
     * values each, from one operand to the next `step` values: */
    void (*sum_rows)(float *operands, int64_t step, const float *row, const float *partner, int64_t depth);
    /* up to twice as many rows of two panels' columns, from the seven products, which are the tile's x
     * [product][row of a tile][column of a panel]: */
    void (*combine)(const panel_tile *tile, int rows);
} panel_kernel;
extern const panel_kernel panel_kernel_generic, panel_kernel_avx2, panel_kernel_avx512, panel_kernel_avx512_bf16;

/* The best for this processor, as capped by CARINA_MAX_ISA; NULL: none for this type. */
const panel_kernel *panel_kernel_best(tensor_type type);

/* From one copied row of so many bytes to the next: an odd number of cache lines, or a tile's rows would share a few
 * sets of the first-level cache. */
static inline int64_t panel_row_bytes(int64_t bytes) { return ((bytes + 63) / 64 | 1) * 64; }

typedef struct panel_product {
    const panel_kernel *kernel;
    const kernels *kernels; /* for activations */
    int64_t n, k;
    activation_function function;
    bool by_strassen;
    int64_t block; /* rows copied at a time; pairs of them by Strassen */
} panel_product;

/* kernel: panel_kernel_best's */
panel_product panel_product_make(const panel_kernel *kernel, int64_t n, int64_t k, activation_function function);

/* From here on seven products instead of eight where the shape suits (strassen.h): an eighth quicker from some 1,000
 * columns and values on; W takes 7/4 of the room. Before anything else is asked of p. */
void panel_product_prefer_strassen(panel_product *p);

/* W[i, j] = plain[i row + j column]; packed: panel_product_packed_bytes, a multiple of 64. */
uint64_t panel_product_packed_bytes(const panel_product *p);
void panel_product_pack(const panel_product *p, const float *plain, int64_t row, int64_t column, void *packed);

/* What a product reads and writes: rows follow one another without gaps. bias, residual (like y): or NULL. */
typedef struct panel_call {
    const void *x, *packed;
    const float *bias;
    const void *residual;
    void *y;
    int64_t rows;
} panel_call;

/* On the calling thread. scratch: panel_product_scratch_bytes. Where n <= k, y may lie over x, at the same place or
 * before it: rows are copied before any is written that could lie over them. */
uint64_t panel_product_scratch_bytes(const panel_product *p);
void panel_product_run(const panel_product *p, const panel_call *call, void *scratch);

/* The same, spread over the pool; the op's worker scratch is what `scratch` is above. */
void panel_product_pack_parallel(const panel_product *p, op *o, const float *plain, int64_t row, int64_t column,
                                 void *packed);
void panel_product_run_parallel(const panel_product *p, op *o, const panel_call *call);

#endif
