/* Gemma 3, the decoder of AnatomiX's language model: token ids or vectors in, one row of logits per token out (Gemma
 * Team 2025, arXiv 2503.19786; reference/anatomix section 3). Shapes: B sequences, N tokens, D width, H heads of d, K
 * heads of keys, F feed-forward width, V vocabulary.
 *
 *     ids [B, N] -> sqrt(D) row of the table (+ vectors [B, N, D] where something else stands in a token's place)
 *       -> L layers, each norm a root-mean-square norm with weight 1 + w:
 *          x = x + post(attention(pre(x)))       q and k normed by head, then turned by their positions;
 *                                                every `global_every`-th layer sees all earlier tokens, others a window
 *          x = x + post(W3 (gelu_tanh(W1 pre(x)) * W2 pre(x)))
 *       -> norm -> logits by the table, or by a head of its own
 *
 * Parameter names are Hugging Face's without what stands before "model.".
 */
#ifndef MODEL_GEMMA3_H
#define MODEL_GEMMA3_H

#include "model/layers.h"

#define GEMMA3_MAX_LAYERS 64

typedef struct gemma3_config {
    int vocabulary, width, layers, heads, key_heads, head_width, ffn_width;
    int window;          /* tokens that a local layer sees, itself included */
    int global_every;    /* layer i is global when (i + 1) is divisible by it: 6 */
    double local_base;   /* of the rotary angles, 1e4 */
    double global_base;  /* 1e6 */
    double global_scale; /* global positions are divided by it: 8 from 4B on, 1 in 1B */
    double query_scalar; /* queries are divided by its root: 256 */
    float epsilon;       /* 1e-6 */
    bool tied;           /* logits come from the table */
    int positions;       /* of the longest texts that it was trained for: more is allowed, and a risk */
} gemma3_config;

gemma3_config gemma3_config_4b(void); /* vocabulary 262,208, 34 layers of 2,560 */
gemma3_config gemma3_config_1b(void); /* vocabulary 262,144, 26 layers of 1,152 */
/* Names the value that makes no model, as Hugging Face's config.json calls it. */
carina_status gemma3_config_check(const gemma3_config *config, carina_error *error);
bool gemma3_is_global(const gemma3_config *config, int layer);

/* One of the two: f32 that may learn, or packed in few bits, for running only. */
typedef struct gemma3_matrix {
    parameter *weight;
    quantized_matrix *packed; /* owned by the model */
    int slot;                 /* its place in gemma3_slots */
    /* An adapter that is attached (lora.h), borrowed: the product has scale up down x more. NULL: none. */
    parameter *down, *up; /* [r, inputs], [outputs, r] */
    float scale;
} gemma3_matrix;

typedef struct gemma3_layer {
    gemma3_matrix query, key, value, output;                                /* [H d, D], [K d, D], [K d, D], [D, H d] */
    gemma3_matrix gate, up, down;                                           /* [F, D], [F, D], [D, F] */
    parameter *query_norm, *key_norm;                                       /* [d] */
    parameter *before_attention, *after_attention, *before_ffn, *after_ffn; /* [D] */
} gemma3_layer;

typedef struct gemma3 {
    gemma3_config config;
    parameters *parameters; /* what is not packed: norms at least */
    gemma3_matrix table;    /* [V, D] */
    gemma3_layer layers[GEMMA3_MAX_LAYERS];
    parameter *norm;    /* [D] */
    gemma3_matrix head; /* [V, D]; empty when tied */
} gemma3;

/* A matrix's place in the model: what loaders fill, and quantising goes through. */
typedef struct gemma3_slot {
    char name[64]; /* "model.layers.3.mlp.up_proj.weight" */
    int64_t outputs, inputs;
    gemma3_matrix *matrix;
} gemma3_slot;
#define GEMMA3_MAX_SLOTS (7 * GEMMA3_MAX_LAYERS + 2)
/* All of them, the table first, the head (unless tied) last; returns their number. */
int gemma3_slots(gemma3 *model, gemma3_slot out[GEMMA3_MAX_SLOTS]);

/* Random weights from `seed`: normal with deviation 0.02, norms at 1. */
carina_status gemma3_create(gemma3 **out, const gemma3_config *config, uint64_t seed, carina_error *error);
/* Weights of zero, for weights that are loaded next. */
carina_status gemma3_create_empty(gemma3 **out, const gemma3_config *config, carina_error *error);
/* Norms of zero; every slot's `packed` is to be filled in by the caller before the model is used. */
carina_status gemma3_create_packed(gemma3 **out, const gemma3_config *config, carina_error *error);
void gemma3_free(gemma3 *model); /* accepts NULL */

/* Cosines and sines by position, as op_rotary takes them: out [count, d] for positions first, first + 1, ... of a local
 * or global layer. */
void gemma3_rotary_table(float *out, const gemma3_config *config, bool global, int64_t first, int64_t count);

/* Where the forward pass looks back to: nowhere (whole sequences from position 0, as training and perplexity need
 * them), or to what the rows' sequences have seen. */
typedef struct gemma3_past {
    tensor *local, *global;               /* [R, d] rotary tables of the rows' positions, for local and global layers */
    const cached_row *rows;               /* [R], as op_cached_attention wants them */
    int64_t most;                         /* the largest position + 1 */
    const low_rank_pair *const *adapters; /* [R] of each row's adapter the pairs by slot, as op_low_rank reads them;
                                           * NULL: no row has one */
    int *stored; /* [layers] or NULL: filled with graph_mark behind each layer's keys and values, for rows of which
                  * nobody asks the layers above */
} gemma3_past;

/* ids [B, N] f32 whole numbers; vectors [B, N, D] or NULL: added, not scaled, so an id outside the vocabulary (-1)
 * leaves them alone. Gives [B, N, D]. past NULL: whole sequences, and what the last layer gives. Else B is 1 and N is
 * R, in f32 and with packed weights what a row gets is the same bits whatever the others are, and it is what the last
 * layer is given: that one stores keys and values, and goes on in gemma3_record_last_layer for the rows that are asked
 * for. */
tensor *gemma3_record_body(graph *g, const gemma3 *model, tensor *ids, tensor *vectors, const gemma3_past *past);
/* x [1, R, D], any rows of a body that has run with a past -> [1, R, D] of the last layer; past is of these rows. */
tensor *gemma3_record_last_layer(graph *g, const gemma3 *model, tensor *x, const gemma3_past *past);
/* [.., D] of the last layer -> logits [.., V], f32. */
tensor *gemma3_record_logits(graph *g, const gemma3 *model, tensor *x);
/* [.., D] of the last layer -> sum over tokens of share x -log P(target), [1]: op_vocabulary_cross_entropy, which keeps
 * no logits. targets and shares [..]. Of a model that is not packed. */
tensor *gemma3_record_loss(graph *g, const gemma3 *model, tensor *x, tensor *targets, tensor *shares);

#endif
