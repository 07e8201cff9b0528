/* Groups of 32 weights to integers with scales (quantized.h has the kinds). Values must be finite; those that no f16
 * scale can reach (above 65504 times the largest q) end at the largest value there is. */
#ifndef TENSOR_QUANTIZE_H
#define TENSOR_QUANTIZE_H

#include <stdint.h>

/* q [32] and the f16 scale, which is returned. Q8: the largest magnitude becomes 127. Q4: of some scales around the two
 * that take the largest magnitude to -8 or +7 the one with the least squared error, each corrected to what fits its
 * integers best; q - 8 is what is multiplied, q what is given. */
uint16_t quantize_q8(int8_t q[32], const float x[32]);
uint16_t quantize_q4(int8_t q[32], const float x[32]);

/* Up to eight groups (count inputs, a multiple of 32) with their two f16 scales and the groups' factors. Least squares
 * for scale and minimum of each group, then both in steps of the largest / 255. Minima are never above zero, as in
 * Q4_K: the value 0 stays within reach. */
void quantize_q4m(uint16_t *scale, uint16_t *minimum, uint8_t scale_factors[8], uint8_t minimum_factors[8], int8_t *q,
                  const float *x, int count);

#endif
