/* BERT: a sentence's token ids in, one vector per token and per sentence out. Devlin et al. 2019, arXiv 1810.04805.
 * Shapes: B sentences, N tokens, D width, V vocabulary, R feature size.
 *
 *     ids, mask [B, N] -> word + position + type embedding, LayerNorm
 *       -> L layers, post-norm: x = LN(x + attention(x) over the keys of the mask); x = LN(x + W2 act(W1 x)) = hidden
 *     hidden -> mean over the mask = pooled [B, D] -> Linear, ReLU, Linear = projected [B, R] (AnatomiX's projector)
 *
 * Parameter names are Hugging Face's without the prefix "bert.", the projector's AnatomiX's without "text_model.".
 */
#ifndef MODEL_BERT_H
#define MODEL_BERT_H

#include "model/layers.h"

#define BERT_MAX_LAYERS 48

typedef struct bert_config {
    int vocabulary; /* V: rows of the table; a vocabulary may have fewer words */
    int width;      /* D, divisible by heads */
    int heads, layers, ffn_width;
    int positions; /* the longest sequence of tokens */
    int types;
    activation function; /* of the feed-forward part: GELU with erf in the original */
    float epsilon;       /* of every LayerNorm: 1e-12 */
    float dropout;       /* of embeddings, sublayers' outputs and attention probabilities */
    int projector_width; /* 512; 0: no projector */
    int feature_size;    /* R, 16; 0: no projector */
} bert_config;

/* BERT-base with AnatomiX's projector: V 30,522, D 768, 12 layers of 12 heads, FFN 3,072, 512 positions. */
bert_config bert_config_base(void);
/* Names the value that makes no model. */
carina_status bert_config_check(const bert_config *config, carina_error *error);

typedef struct bert_layer {
    linear_layer query, key, value, output, expand, contract;
    layer_norm_layer attention_norm, output_norm;
} bert_layer;

typedef struct bert {
    bert_config config;
    parameters *parameters;
    parameter *words, *positions, *types; /* [V, D], [positions, D], [types, D] */
    layer_norm_layer embedding_norm;
    bert_layer layers[BERT_MAX_LAYERS];
    linear_layer projector[2]; /* empty without a projector */
} bert;

/* Random weights from `seed`: normal with deviation 0.02, as BERT begins. */
carina_status bert_create(bert **out, const bert_config *config, uint64_t seed, carina_error *error);
/* Weights of zero, for weights that are loaded next. */
carina_status bert_create_empty(bert **out, const bert_config *config, carina_error *error);
void bert_free(bert *model); /* accepts NULL */

/* Only the projector stays trainable: AnatomiX's alignment. Before gradients are allocated. */
void bert_freeze_encoder(bert *model);

typedef struct bert_outputs {
    tensor *hidden;    /* [B, N, D], of the graph's type; where the mask is 0 it means nothing */
    tensor *pooled;    /* [B, D], f32 */
    tensor *projected; /* [B, R], f32; NULL without a projector */
} bert_outputs;

/* ids [B, N] whole numbers below V, mask [B, N] 1 or 0, both f32; each sentence has at least one token. Token type 0
 * throughout. More tokens than positions fail the graph. */
bert_outputs bert_record(graph *g, const bert *model, tensor *ids, tensor *mask);

#endif
