/* Weight matrices of language models in few bits, and their products with rows of activations:
 *
 *     y[m][n] = sum over k of x[m][k] w[n][k]          x [M, inputs] f32, w [outputs, inputs], y [M, outputs] f32
 *
 * Weights come in groups of 32 inputs that share a scale (names and arithmetic as in GGUF):
 *
 *     kind   value of a weight                   bits    holds losslessly
 *     Q8     scale q            q -128 .. 127     8.5    Q8_0
 *     Q4     scale (q - 8)      q 0 .. 15         4.5    Q4_0
 *     Q4M    scale q - minimum  q 0 .. 15         4.625  Q4_K
 *     BF16   itself                              16      bf16
 *
 * Scales are f16. In Q4M eight groups share two of them and bring a factor of 8 bits each: scale = scales factor,
 * minimum = minima factor. A scale and a minimum of 16 bits a group would be larger, and would round Q4_K's, whose
 * products have 17 bits.
 *
 * Packed, 16 outputs lie side by side (a block), so that a vector's lanes are outputs and no sum runs across a vector;
 * scales stand before the few groups they belong to, so that a product reads one stream (quantized_kernels.h has the
 * bytes). A packed matrix is the same on every x86-64 and may be mapped from a file.
 *
 * Activations are quantised too, for the three kinds of integers: every token's group of 32 inputs has an f32 scale,
 * largest magnitude / 127, and 32 integers of 8 bits (one scale a token would let one outlier take the others' bits).
 * For BF16 they are rounded to bf16, as its weights are.
 *
 * Arithmetic: the sum over a group is exact in integers. Groups are added in order, in f32, each operation rounded by
 * itself:
 *
 *     Q4M alone:  y = y - minimum * (scale of activations * sum of their integers)
 *                 y = y + sum * (scale of weights * scale of activations)
 *     BF16, pair by pair of inputs:
 *                 y = y + second activation * second weight       (products of two bf16 are exact in f32)
 *                 y = y + first activation * first weight
 *                 which is vdpbf16ps, but at the ends of f32's range; tiles sum first and second products apart, 32
 *                 inputs at a time
 *
 * So a token's result is the same, bit for bit, alone or among 512, and however a caller shares out the blocks; and at
 * every CARINA_MAX_ISA, but for BF16 on tiles and where BF16's products or sums leave the range of normal numbers.
 * Fused multiply-add saves nothing where additions run beside the products (measured on Zen 4). Against the exact sum
 * over the quantised values a result is off by at most (groups + 4) 2^-24 times the sum of the magnitudes of all that
 * is added, with twice the groups for Q4M, and inputs instead of groups for BF16.
 *
 * Activations must be finite: with NaN or infinity in a group, results of that token are unspecified, others are not
 * touched; for BF16 they must be finite in bf16, too (up to 3.38e38). Groups of activations below 2^-100 count as zero.
 */
#ifndef TENSOR_QUANTIZED_H
#define TENSOR_QUANTIZED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef enum quantized_kind { QUANTIZED_Q8, QUANTIZED_Q4, QUANTIZED_Q4M, QUANTIZED_BF16 } quantized_kind;
#define QUANTIZED_KINDS 4

#define QUANTIZED_GROUP 32  /* inputs that share a scale */
#define QUANTIZED_SUPER 256 /* inputs that share Q4M's scales of scales */
#define QUANTIZED_BLOCK 16  /* outputs side by side */
#define QUANTIZED_ALIGN 64  /* of packed bytes */

const char *quantized_kind_name(quantized_kind kind); /* "Q8", "Q4", "Q4M", "BF16" */

/* ---- a matrix ---- */

typedef struct quantized_matrix {
    quantized_kind kind;
    int64_t outputs, inputs;
    int64_t blocks;       /* of 16 outputs; those of the last one that do not exist are zeros */
    uint64_t block_bytes; /* block b begins at packed + b block_bytes */
    uint64_t bytes;
    const uint8_t *packed; /* [bytes], aligned to QUANTIZED_ALIGN */
    uint8_t *owned;        /* the same, or NULL when borrowed */
} quantized_matrix;

/* Bytes of a packed matrix. Refuses sizes that make no sense (inputs are a positive multiple of 32). */
carina_status quantized_bytes(uint64_t *out, quantized_kind kind, int64_t outputs, int64_t inputs, carina_error *error);

/* Zeros, to be filled row by row. */
carina_status quantized_matrix_create(quantized_matrix **out, quantized_kind kind, int64_t outputs, int64_t inputs,
                                      carina_error *error);
/* Packed bytes that the caller keeps (a mapped file): exactly quantized_bytes of them, aligned. Their content is not
 * looked at; whatever it is, products stay inside it. */
carina_status quantized_matrix_borrow(quantized_matrix **out, quantized_kind kind, int64_t outputs, int64_t inputs,
                                      const void *packed, uint64_t bytes, carina_error *error);
void quantized_matrix_free(quantized_matrix *matrix); /* accepts NULL; borrowed bytes stay */

/* Rows of an own matrix, in any order; different rows may be set by different threads. values [inputs] must be finite;
 * the scale is searched for the least squared error (quantize.h). */
carina_status quantized_set_row(quantized_matrix *matrix, int64_t output, const float *values, carina_error *error);

/* A row that is quantised already, taken over without loss. groups = inputs / 32. */
typedef struct quantized_row {
    const uint16_t *scales;         /* f16. Q8, Q4: [groups]; Q4M: [groups / 8, rounded up] */
    const uint16_t *minima;         /* Q4M: like scales */
    const uint8_t *scale_factors;   /* Q4M: [groups] */
    const uint8_t *minimum_factors; /* Q4M: [groups] */
    const int8_t *quants;           /* [inputs]: Q8 -128 .. 127, Q4 and Q4M 0 .. 15 */
} quantized_row;
/* Refuses quants out of range and scales that are not finite. Not for BF16, which quantized_set_row keeps exactly. */
carina_status quantized_set_quants(quantized_matrix *matrix, int64_t output, const quantized_row *row,
                                   carina_error *error);

/* The reverse, for Q8 and Q4: scales [inputs / 32] and quants [inputs] of a row. */
void quantized_get_quants(const quantized_matrix *matrix, int64_t output, uint16_t *scales, int8_t *quants);

/* values [inputs] = the row, exactly (Q4M's subtraction rounds once, as GGUF's). Also how embeddings are looked up. */
void quantized_get_row(const quantized_matrix *matrix, int64_t output, float *values);

/* How far packed rows are from the values they were made of. Start with zeros. */
typedef struct quantized_error {
    int64_t count;
    double error_squares, value_squares; /* sums */
    double largest;                      /* |error| */
} quantized_error;
void quantized_error_add(quantized_error *sum, const quantized_matrix *matrix, int64_t output, const float *values);
double quantized_error_relative(const quantized_error *sum); /* root of the quotient of the squares; 0 without values */

/* ---- rows of activations ---- */

/* M rows (tokens) in the order in which kernels read them, in panels of 16 tokens (the last one as wide as it needs to
 * be). The same rows serve matrices of all three integer kinds. */
#define QUANTIZED_PANEL 16
typedef struct quantized_rows {
    int64_t count, inputs;
    bool narrow;      /* for BF16: values, else the four others */
    int8_t *quants;   /* panel p begins at 16 p inputs: [groups, tokens of the panel, 32] */
    float *scales;    /* panel p begins at 16 p groups: [groups, tokens of the panel]; so do the next two */
    int32_t *offsets; /* -8 times the sum of a group's quants: what q - 8 has less than q */
    float *sums;      /* scale times that sum */
    uint16_t *values; /* bf16, like quants */
} quantized_rows;

typedef struct quantized_kernels quantized_kernels; /* one instruction set's (quantized_kernels.h) */
/* The best for this processor, as capped by CARINA_MAX_ISA: to be asked for once, when an op is prepared. */
const quantized_kernels *quantized_kernels_best(void);
const char *quantized_kernels_name(const quantized_kernels *kernels);
/* All that this processor can run, best last; for tests. Returns how many. */
#define QUANTIZED_KERNELS_MOST 5
int quantized_kernels_all(const quantized_kernels *out[QUANTIZED_KERNELS_MOST]);

/* Memory for `count` rows, in bytes (at most 2^62: larger counts give that, which no allocation grants). */
uint64_t quantized_rows_bytes(quantized_kind kind, int64_t count, int64_t inputs);
/* Lays rows out in the caller's memory, aligned to QUANTIZED_ALIGN. */
void quantized_rows_place(quantized_rows *rows, void *memory, quantized_kind kind, int64_t count, int64_t inputs);
int64_t quantized_rows_panels(const quantized_rows *rows);
/* Fills panels [first, first + count), shards of any size, from x: row m at x + m step. */
void quantized_rows_prepare(const quantized_kernels *kernels, const quantized_rows *rows, const float *x, int64_t step,
                            int64_t first_panel, int64_t panel_count);
/* One group of inputs of one panel, from x: its tokens' 32 values at x + t step. */
void quantized_rows_prepare_group(const quantized_kernels *kernels, const quantized_rows *rows, int64_t panel,
                                  int64_t group, const float *x, int64_t step);
/* values [inputs] = what products take row m for. */
void quantized_rows_get(const quantized_rows *rows, int64_t m, float *values);

/* ---- the product ---- */

/* y[m][n], at y + m step + n, for all rows m and the outputs n of blocks [first_block, first_block + block_count): a
 * shard of any size. Nothing else is written. Few tokens: the packed bytes are read once, at the memory's speed
 * (quantized_product.c). */
void quantized_product_run(const quantized_kernels *kernels, const quantized_matrix *matrix, const quantized_rows *rows,
                           int64_t first_block, int64_t block_count, float *y, int64_t step);

/* The same for two matrices of one shape, whose kinds share rows: combine(product, product with the other), value by
 * value, while both are in cache. The results are rows of activations for the next product: out, as wide as the
 * matrices have outputs, a multiple of 32; its panels' groups are pairs of blocks, and a shard is of pairs.
 * combine(context, y, other, count) changes y. */
typedef void quantized_combine(void *context, float *y, const float *other, int64_t count);
void quantized_products_combined_run(const quantized_kernels *kernels, const quantized_matrix *matrix,
                                     const quantized_matrix *other, const quantized_rows *rows, int64_t first_pair,
                                     int64_t pair_count, quantized_combine *combine, void *context,
                                     const quantized_rows *out);

#endif
