/* The element types of GGUF tensors: names, sizes, and rows decoded to f32.
 *
 * A row (the axis whose elements lie side by side) is a whole number of blocks; blocks of the quantised types hold 32
 * or 256 elements with their scales. Decoded are F32, F16, BF16, Q4_0, Q8_0, Q4_K and Q6_K, bit for bit as the
 * reference dequantises. Every product in them is exact in f32 (an f16 scale has 11 bits, times at most 7, times at
 * most 5), so only Q4_K rounds, once, where it subtracts; fused multiply-add and another order change nothing. Of the
 * other types name and sizes are known, so that a file can be checked and listed.
 */
#ifndef FORMAT_GGUF_BLOCKS_H
#define FORMAT_GGUF_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* The numbers that stand in files, of the types that are decoded. */
#define GGUF_F32  0u
#define GGUF_F16  1u
#define GGUF_Q4_0 2u
#define GGUF_Q8_0 8u
#define GGUF_Q4_K 12u
#define GGUF_Q6_K 14u
#define GGUF_BF16 30u

/* The type's name ("Q4_K"), also of types that the format has given up; NULL for a number without a meaning. */
const char *gguf_type_name(uint32_t type);
/* Elements and bytes of one block; both 0 when the number has no meaning (any more). */
uint64_t gguf_block_length(uint32_t type);
uint64_t gguf_block_bytes(uint32_t type);
bool gguf_type_is_quantised(uint32_t type); /* scaled integers, whose layout has a version of its own */
bool gguf_type_is_decoded(uint32_t type);

/* Bytes of a row of `length` elements; false when that is no whole number of blocks, does not fit, or the type is
 * unknown. */
bool gguf_row_bytes(uint32_t type, uint64_t length, uint64_t *out);

/* One row: out [length] from gguf_row_bytes bytes, which may lie unaligned. CARINA_ERROR_UNSUPPORTED names a type that
 * is not decoded, CARINA_ERROR_ARGUMENT a length that is no whole number of blocks. NaN in, NaN out. */
carina_status gguf_decode_row(float *out, uint32_t type, const void *row, uint64_t length, carina_error *error);

/* A row taken apart without loss: scales (f16) and small integers, where a type has those for every 32 elements.
 *   Q8_0  scales [groups], quants -128 .. 127           value = scale q
 *   Q4_0  scales [groups], quants 0 .. 15               value = scale (q - 8)
 *   Q4_K  scales, minima [groups / 8], factors [groups] value = scale factor q - minimum factor, quants 0 .. 15 */
typedef struct gguf_quants {
    uint16_t *scales, *minima;                /* minima and factors: of Q4_K only */
    uint8_t *scale_factors, *minimum_factors; /* [length / 32] */
    int8_t *quants;                           /* [length] */
} gguf_quants;
bool gguf_type_has_quants(uint32_t type); /* Q8_0, Q4_0, Q4_K */
/* CARINA_ERROR_UNSUPPORTED for other types, CARINA_ERROR_ARGUMENT for a length that is no whole number of blocks. */
carina_status gguf_unpack_row(const gguf_quants *out, uint32_t type, const void *row, uint64_t length,
                              carina_error *error);
/* The reverse, for Q8_0 and Q4_0: row has gguf_row_bytes bytes. */
carina_status gguf_pack_row(void *row, uint32_t type, const gguf_quants *quants, uint64_t length, carina_error *error);

#endif
