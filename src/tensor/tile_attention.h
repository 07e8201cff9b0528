/* Multi-head attention in bf16 on AMX tiles (tiles.h), forward and backward; instead of oneDNN's products where the
 * processor has tiles and heads are a multiple of 32 wide.
 *
 * Keys and values of a head are packed once. A block of queries is copied to whole blocks of 32 rows; its scores over
 * all keys (f32) stay in the second-level cache, become unscaled exponentials in bf16 in one pass, and are divided by
 * their sum only after the product with the values, on d numbers instead of M. Layout as op_attention.c's: head h is
 * columns [h d, (h + 1) d) of rows D apart.
 */
#ifndef TENSOR_TILE_ATTENTION_H
#define TENSOR_TILE_ATTENTION_H

#include "tensor/graph_internal.h"
#include "tensor/tiles.h"

typedef struct tile_attention {
    int64_t batch, queries, keys, width, heads, head_width; /* B, N, M, D, H, d */
    float factor;                                           /* 1 / sqrt(d) */
    int64_t block, blocks;                                  /* queries of a block, a multiple of 32; blocks of a head */
    int64_t padded_keys;                                    /* M rounded up to 32 */
} tile_attention;

bool tile_attention_suits(int64_t head_width);
tile_attention tile_attention_make(int64_t batch, int64_t queries, int64_t keys, int64_t width, int heads);

uint64_t tile_attention_shared_bytes(const tile_attention *a); /* of the op's shared scratch, forward */
uint64_t tile_attention_worker_bytes(const tile_attention *a, bool backward);

/* q [B, N, D], k and v [B, M, D] -> y [B, N, D]; lse [B, H, N] log-sum-exp of every row, or NULL; mask [B, M] as in
 * attention_options, or NULL. */
void tile_attention_forward(const tile_attention *a, op *o, const uint16_t *q, const uint16_t *k, const uint16_t *v,
                            const float *mask, uint16_t *y, float *lse);

typedef struct tile_attention_gradients {
    const uint16_t *q, *k, *v, *y, *dy;
    const float *lse, *mask;
    uint16_t *dq, *dk, *dv; /* overwritten; NULL: not wanted */
} tile_attention_gradients;
void tile_attention_backward(const tile_attention *a, op *o, const tile_attention_gradients *g);

#endif
