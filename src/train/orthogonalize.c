/* Newton-Schulz steps on the Gram matrix; see orthogonalize.h. */
#include "train/orthogonalize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dnnl.h"

#define STEPS 5

/* Jordan's coefficients: steepest slope at 0 that still keeps values from 0 to 1 within [0.68, 1.14] after five steps.
 */
static const float coefficient[3] = {3.4445f, -4.7750f, 2.0315f};

struct orthogonalizer {
    int64_t rows, columns, side; /* side: the shorter one */
    product *gram;               /* X X^T or X^T X */
    product *square;             /* of two [side, side] */
    product *apply;              /* P X or X P */
};

static carina_status plain_product(product **out, int64_t m, int64_t n, int64_t k, const int64_t strides[4],
                                   carina_error *error) {
    product_shape shape = {.m = m,
                           .n = n,
                           .k = k,
                           .a_type = TENSOR_F32,
                           .b_type = TENSOR_F32,
                           .c_type = TENSOR_F32,
                           .a_row = strides[0],
                           .a_column = strides[1],
                           .b_row = strides[2],
                           .b_column = strides[3],
                           .c_row = n};
    return product_create(out, &shape, NULL, error);
}

carina_status orthogonalizer_create(orthogonalizer **out, int64_t rows, int64_t columns, carina_error *error) {
    orthogonalizer *o = *out = calloc(1, sizeof *o);
    if (!o) return error_memory(error, "orthogonalizer", sizeof *o);
    bool wide = rows <= columns;
    int64_t side = wide ? rows : columns, length = wide ? columns : rows;
    *o = (orthogonalizer){.rows = rows, .columns = columns, .side = side};
    const int64_t of_rows[4] = {columns, 1, 1, columns}, of_columns[4] = {1, columns, columns, 1};
    const int64_t plain[4] = {side, 1, side, 1}, left[4] = {side, 1, columns, 1}, right[4] = {columns, 1, side, 1};
    carina_status status = plain_product(&o->gram, side, side, length, wide ? of_rows : of_columns, error);
    if (status == CARINA_OK) status = plain_product(&o->square, side, side, side, plain, error);
    if (status == CARINA_OK) status = plain_product(&o->apply, rows, columns, side, wide ? left : right, error);
    if (status == CARINA_OK) return CARINA_OK;
    orthogonalizer_free(o);
    *out = NULL;
    return status;
}

void orthogonalizer_free(orthogonalizer *o) {
    if (!o) return;
    product_free(o->gram);
    product_free(o->square);
    product_free(o->apply);
    free(o);
}

int64_t orthogonalizer_scratch(const orthogonalizer *o) { return 4 * o->side * o->side; }

/* q = a I + b gram + c square */
static void polynomial(float *q, const float *gram, const float *square, int64_t side) {
    for (int64_t i = 0; i < side * side; i++) q[i] = coefficient[1] * gram[i] + coefficient[2] * square[i];
    for (int64_t i = 0; i < side; i++) q[i * side + i] += coefficient[0];
}

void orthogonalizer_run(const orthogonalizer *o, float *out, const float *x, float *scratch) {
    int64_t side = o->side, area = side * side, count = o->rows * o->columns;
    float *gram = scratch, *q = gram + area, *total = q + area, *other = total + area;
    double squares = 0;
    for (int64_t i = 0; i < count; i++) squares += (double)x[i] * (double)x[i];
    if (!(squares > 0)) {
        memset(out, 0, (size_t)count * sizeof *out);
        return;
    }
    product_run(o->gram, x, x, NULL, gram, NULL);
    /* Divided by its norm, X has no singular value above 1. */
    float scale = (float)(1 / squares), root = (float)(1 / sqrt(squares));
    for (int64_t i = 0; i < area; i++) gram[i] *= scale;
    for (int step = 0; step < STEPS; step++) {
        product_run(o->square, gram, gram, NULL, other, NULL);
        polynomial(q, gram, other, side);
        if (step < STEPS - 1) { /* the next X X^T is Q (X X^T) Q */
            product_run(o->square, q, gram, NULL, other, NULL);
            product_run(o->square, other, q, NULL, gram, NULL);
        }
        if (step == 0) {
            memcpy(total, q, (size_t)area * sizeof *total);
        } else {
            product_run(o->square, q, total, NULL, other, NULL);
            memcpy(total, other, (size_t)area * sizeof *total);
        }
    }
    for (int64_t i = 0; i < area; i++) total[i] *= root;
    const float *a = o->rows <= o->columns ? total : x, *b = o->rows <= o->columns ? x : total;
    product_run(o->apply, a, b, NULL, out, NULL);
}
