/* sum [m, n] += sum over p of a[p]^T b[p]: what a gradient by weights is, with rows of a and b as they lie in memory.
 * Twice as fast as a general product told to transpose a. f32; sums run over p in order, whatever the block sizes.
 *
 * Both sides are copied into panels as wide as the kernel's registers; the kernel is compiled once per instruction set
 * from outer_product_body.h.
 */
#ifndef TENSOR_OUTER_PRODUCT_H
#define TENSOR_OUTER_PRODUCT_H

#include <stdint.h>

/* The loop over one pair of panels, and how panels are made; one per instruction set. */
typedef struct outer_kernel {
    const char *name;
    int rows, columns; /* widths of a panel of a and of b */
    /* sum [rows, columns], rows sum_step apart, += over p < count of a[p][rows] b[p][columns] */
    void (*add)(float *sum, int64_t sum_step, const float *a, const float *b, int64_t count);
    /* panels [panel_count] [count, rows], panel_step apart, = x, rows of x step apart: row by row, as memory likes it
     */
    void (*copy_a)(float *panels, int64_t panel_step, int64_t panel_count, const float *x, int64_t step, int64_t count);
    /* panel [count, columns] = x */
    void (*copy_b)(float *panel, const float *x, int64_t step, int64_t count);
} outer_kernel;
extern const outer_kernel outer_kernel_generic, outer_kernel_avx2, outer_kernel_avx512;

/* The best for this processor, as capped by CARINA_MAX_ISA: to be asked for once, when an op is prepared. */
const outer_kernel *outer_kernel_best(void);

typedef struct outer_product {
    const outer_kernel *kernel;
    const float *a, *b;
    int64_t a_step, b_step; /* from one p to the next */
    int64_t count;          /* p */
    int64_t m, n;
    float *sum;
    int64_t sum_step;
} outer_product;

uint64_t outer_product_scratch_bytes(void);
void outer_product_add(const outer_product *p, void *scratch);

#endif
