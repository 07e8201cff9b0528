/* Seven products instead of eight (V. Strassen, "Gaussian elimination is not optimal", Numerische Mathematik 13, 1969):
 * how panel_product.h multiplies where it was asked to and sums are long enough to pay for it.
 *
 * Rows are taken in pairs, sums in halves, panels in pairs: x = [A11 A12; A21 A22], W = [B11 B12; B21 B22], and
 *     M1 = (A11 + A22) (B11 + B22)    M2 = (A21 + A22) B11    M3 = A11 (B12 - B22)    M4 = A22 (B21 - B11)
 *     M5 = (A11 + A12) B22    M6 = (A21 - A11) (B11 + B12)    M7 = (A12 - A22) (B21 + B22)
 *     y11 = M1 + M4 - M5 + M7    y12 = M3 + M5    y21 = M2 + M4    y22 = M1 - M2 + M3 + M6
 * A pair is rows 2i and 2i + 1: in its last bits a row's result depends on its partner, and on no other row. A row
 * without partner is paired with zeros. What is not finite in a row reaches its partner.
 *
 * f32 only: in bf16 sums of x and of W would be rounded once more, and vectors of BERT-base were found 1.4 times as far
 * from those in f32.
 *
 * Called by panel_product.c alone. Rows and panels are counted in pairs here.
 */
#ifndef TENSOR_STRASSEN_H
#define TENSOR_STRASSEN_H

#include "tensor/panel_product.h"

bool strassen_suits(const panel_product *p);

/* Pairs of rows copied at a time. */
int64_t strassen_block(const panel_product *p);
uint64_t strassen_scratch_bytes(const panel_product *p);

/* Of a pair of panels: seven panels half as deep, packed[product][k][column]. */
int64_t strassen_packed_values(const panel_product *p);
void strassen_pack(const panel_product *p, const float *plain, int64_t row, int64_t column, int64_t pair,
                   float *packed);

void strassen_run(const panel_product *p, const panel_call *call, range row_pairs, range panel_pairs, void *scratch);

#endif
