/* DETR's transformer (Carion et al. 2020) in post-norm form: encoder over tokens with positions, decoder with given
 * queries. Positions are added to queries and keys of every attention, never to values.
 *
 * PyTorch names: PREFIXlayers.{i}.self_attn..., .multihead_attn..., .linear1/2, .norm1/2/3.
 */
#ifndef MODEL_DETR_H
#define MODEL_DETR_H

#include "model/layers.h"

#define DETR_MAX_LAYERS 12

typedef struct detr_layer {
    attention_layer self_attention, cross_attention; /* cross: decoder only */
    linear_layer expand, contract;
    layer_norm_layer norms[3]; /* encoder: after attention, after FFN; decoder: self, cross, FFN */
} detr_layer;

typedef struct detr_stack {
    detr_layer layers[DETR_MAX_LAYERS];
    int count;
    bool is_decoder;
    float dropout;
} detr_stack;

void detr_create(detr_stack *out, model_builder *b, const char *prefix, int layer_count, int64_t width, int heads,
                 int64_t ffn_width, float dropout, bool is_decoder);

/* x [B, N, D], position [B, N, D] -> [B, N, D]. No final norm. */
tensor *detr_encode(graph *g, const detr_stack *stack, tensor *x, tensor *position);

/* Layer `index` of a decoder: x and query_position [B, N, D], memory and key (memory with its positions) [B, P, D] ->
 * [B, N, D]. No final norm. */
tensor *detr_decode_layer(graph *g, const detr_stack *stack, int index, tensor *x, tensor *query_position, tensor *key,
                          tensor *memory);

/* The sine embedding, normalised, scale 2 pi, temperature 10000: out [height * width, D], D/2 numbers for y then D/2
 * for x, sine on even and cosine on odd. D must be divisible by 4. */
void detr_sine_position(float *out, int64_t height, int64_t width, int64_t model_width);

#endif
