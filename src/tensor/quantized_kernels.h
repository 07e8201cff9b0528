/* What quantized.c and the kernels of quantized_body.h share: the packed bytes, and the table of an instruction set.
 *
 * A block of 16 outputs is a row of runs, a run some groups with their scales before them; every run begins at a
 * multiple of 64 bytes. Numbers are little-endian.
 *
 *     Q8    run of 2 groups   f16 scales [2, 16] | a group: q + 128 [8, 16, 4], inputs 4 i .. 4 i + 3 of a lane
 *     Q4    run of 2 groups   f16 scales [2, 16] | a group: [4, 16, 4], low half input 4 i + j, high half 16 more
 *     Q4M   run of 8 groups   f16 scales [16], minima [16] | u8 [8, 2, 16] factors of scale, of minimum | as Q4
 *     BF16  one run           [inputs / 2, 16, 2]
 *
 * The last run is shorter where groups do not fill it; its scales are filled up to 64 bytes.
 */
#ifndef TENSOR_QUANTIZED_KERNELS_H
#define TENSOR_QUANTIZED_KERNELS_H

#include "tensor/quantized.h"

/* Groups of a full run. */
static inline int64_t quantized_run_groups(quantized_kind kind) { return kind == QUANTIZED_Q4M ? 8 : 2; }
/* Bytes before the groups of a run of `groups`. */
static inline int64_t quantized_run_head(quantized_kind kind, int64_t groups) {
    return kind == QUANTIZED_BF16 ? 0 : kind == QUANTIZED_Q4M ? 64 + (32 * groups + 63) / 64 * 64 : 64;
}
static inline int64_t quantized_group_bytes(quantized_kind kind) {
    return kind == QUANTIZED_BF16 ? 1024 : kind == QUANTIZED_Q8 ? 512 : 256;
}

/* Bytes by which kernels ask ahead: the time that memory takes to answer, at the speed at which one core reads. */
#define PREFETCH_AHEAD 8192

/* Some groups of one panel of quantized_rows: `tokens` of them, at most 16. */
typedef struct quantized_panel {
    int64_t groups; /* the piece's */
    int tokens;
    const int8_t *quants;
    const float *scales;
    const int32_t *offsets;
    const float *sums;
    const uint16_t *values;
} quantized_panel;

/* Groups that many tokens are multiplied with while their weights stay in the first cache: whole runs. */
static inline int64_t quantized_slice_groups(quantized_kind kind) { return kind == QUANTIZED_BF16 ? 16 : 32; }

/* The same groups of one or two blocks of a matrix. */
typedef struct quantized_piece {
    const uint8_t *weights; /* a run begins here */
    int64_t block_bytes;    /* from one block to the next */
    int blocks;             /* 1, 2 */
    /* Sums of token t and output n of the piece begin with from[t QUANTIZED_STEP + n], or zero where from is NULL, and
     * go to to[t to_step + n]. These may be the same place. */
    const float *from;
    float *to;
    int64_t to_step;
    bool from_memory; /* few tokens: weights are read once, and asked for ahead */
    /* Else the weights that are wanted next: kernels ask for these lines of 64 bytes of each block (the blocks lie as
     * the piece's) here and there between their products, which costs nothing; all at once they would wait. */
    const uint8_t *next;
    int64_t next_lines;
} quantized_piece;

#define QUANTIZED_STEP (2 * QUANTIZED_BLOCK)

static inline const float *quantized_from(const quantized_piece *piece, int token, int block) {
    return piece->from + token * QUANTIZED_STEP + block * QUANTIZED_BLOCK;
}
static inline float *quantized_to(const quantized_piece *piece, int token, int block) {
    return piece->to + token * piece->to_step + block * QUANTIZED_BLOCK;
}

/* The lines that are asked for beside tokens [first, first + tokens) of a full panel. */
typedef struct quantized_lines {
    const uint8_t *at, *end;
} quantized_lines;
static inline quantized_lines quantized_lines_beside(const quantized_piece *piece, int first, int tokens) {
    return (quantized_lines){piece->next + piece->next_lines * first / QUANTIZED_PANEL * 64,
                             piece->next + piece->next_lines * (first + tokens) / QUANTIZED_PANEL * 64};
}

/* Rows of y (not of sums that grow aside) lie far apart in memory: a pair of blocks has two lines in each. They too are
 * asked for here and there, beside group `group` of tokens [first, first + tokens). */
static inline void quantized_fetch_target(const quantized_piece *piece, int first, int tokens, int64_t group) {
    if (piece->to_step != QUANTIZED_STEP && group < 2 * tokens)
        __builtin_prefetch(quantized_to(piece, first + (int)(group / 2), (int)(group % 2)), 1);
}

typedef void quantized_product(const quantized_piece *piece, const quantized_panel *x);

struct quantized_kernels {
    const char *name;                   /* "generic", "avx2", "avx512", "avx512 bf16", "amx" */
    const quantized_kernels *otherwise; /* has what is NULL in the next three */
    /* One group of one token: 32 integers, their scale, offset and sum. */
    void (*prepare)(int8_t *quants, float *scale, int32_t *offset, float *sum, const float *x);
    void (*narrow)(uint16_t *values, const float *x); /* the same for BF16 */
    quantized_product *product[QUANTIZED_KINDS];
    void (*begin)(void), (*end)(void); /* around calls of `product`, on each thread; NULL: nothing to do */
};

extern const quantized_kernels quantized_generic_table, quantized_avx2_table, quantized_avx512_table,
    quantized_avx512_bf16_table, quantized_amx_table;

#endif
