/* The nearest (semi-)orthogonal matrix, roughly: U V^T of X = U S V^T, by Newton-Schulz steps (Jordan 2024, "Muon").
 *
 * Five steps of X <- a X + b (X X^T) X + c (X X^T)^2 X push every singular value to between 0.68 and 1.14; nothing here
 * needs more. All steps are polynomials of the one Gram matrix X X^T on the short side (m of m x n), so they are taken
 * on m x m matrices, and X itself is multiplied once: with m much shorter than n that is less than half of the work.
 */
#ifndef TRAIN_ORTHOGONALIZE_H
#define TRAIN_ORTHOGONALIZE_H

#include <stdint.h>

#include "base/error.h"

/* What a shape needs: const once made, for any number of threads. */
typedef struct orthogonalizer orthogonalizer;

/* rows, columns: at least 2. */
carina_status orthogonalizer_create(orthogonalizer **out, int64_t rows, int64_t columns, carina_error *error);
void orthogonalizer_free(orthogonalizer *o); /* accepts NULL */
/* f32 values of scratch that one run needs. */
int64_t orthogonalizer_scratch(const orthogonalizer *o);
/* out [rows, columns] from x [rows, columns]; they must not overlap. A matrix of zeros stays zero. */
void orthogonalizer_run(const orthogonalizer *o, float *out, const float *x, float *scratch);

#endif
