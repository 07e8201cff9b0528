/* LoRA adapters of a Gemma 3: changes of low rank to the matrices of its layers (Hu et al. 2021, arXiv 2106.09685).
 *
 *     y = W x + scale B (A x)        A [r, inputs], B [outputs, r], scale = alpha / r (rank-stabilised: alpha / sqrt r)
 *
 * One adapter can be used in three ways:
 *   - merged: the model's own weights become W + scale B A (packed ones are packed again), nothing is left to do later;
 *   - beside the weights, by session (gemma3_session_adapt): rows of one step may have different adapters or none;
 *   - attached: the whole-sequence pass of that model has it, with gradients, while the model's own weights stay as
 *     they are. For training, where A and B are parameters like others.
 * Reading PEFT's folders is in lora_file.h.
 */
#ifndef MODEL_LORA_H
#define MODEL_LORA_H

#include "base/threads.h"
#include "model/gemma3.h"

/* Of one matrix of a layer; without an adapter all zero. */
typedef struct lora_part {
    parameter *down, *up; /* A and B: "model.layers.3.mlp.up_proj.lora_A.weight", ".lora_B.weight" */
    float scale;
} lora_part;

typedef struct lora {
    gemma3_config config; /* of the model that it is for */
    parameters *parameters;
    lora_part parts[GEMMA3_MAX_SLOTS];     /* by place in gemma3_slots; table and head have none */
    low_rank_pair pairs[GEMMA3_MAX_SLOTS]; /* the same as op_low_rank wants it */
    float *transposed;                     /* [..] the pairs' scale B^T, owned */
    uint64_t fingerprint;                  /* of names, values and scales, by lora_changed; never 0 */
} lora;

/* What an adapter has for a slot; rank 0: nothing. */
typedef struct lora_shape {
    int64_t rank; /* at most LOW_RANK_MOST */
    float scale;
} lora_shape;

/* Zeros, to be filled; then lora_changed. shapes [GEMMA3_MAX_SLOTS]. */
carina_status lora_create_empty(lora **out, const gemma3_config *config, const lora_shape *shapes, carina_error *error);
void lora_free(lora *adapter); /* accepts NULL */
/* To be called after values were written: sessions read a copy in another order. */
void lora_changed(lora *adapter);
/* Tells adapters apart by what they hold, not by where they lie; NULL: 0. */
uint64_t lora_fingerprint(const lora *adapter);

/* Same layers, widths and heads: an adapter of another model is CARINA_ERROR_MISMATCH. */
carina_status lora_check(const lora *adapter, const gemma3_config *config, carina_error *error);

/* values [inputs] of that row of the slot's matrix, with what the adapter adds to it. */
void lora_add_to_row(const lora *adapter, int slot, int64_t row, float *values);
/* Into the model's weights, for good. A packed row is unpacked, changed and packed again: where the unpacked weights
 * are at hand, merging while they are packed (gemma3_pack_options) rounds once instead of twice. */
carina_status lora_merge(gemma3 *model, const lora *adapter, thread_pool *pool, carina_error *error);

/* Graphs that are recorded from now on have it. Borrowed until lora_detach; one at a time. */
carina_status lora_attach(gemma3 *model, lora *adapter, carina_error *error);
void lora_detach(gemma3 *model);

#endif
