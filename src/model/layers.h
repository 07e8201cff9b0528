/* The pieces that every model is put together from: parameters with PyTorch's names, and their use in a forward pass.
 *
 * Each piece has two halves: `..._create` adds its parameters, initialised, to a model's set under a prefix;
 * `..._record` records its forward pass on a graph. The halves meet in a small struct of borrowed parameters.
 */
#ifndef MODEL_LAYERS_H
#define MODEL_LAYERS_H

#include "tensor/ops.h"

/* A model under construction. `failed` stays set after the first failure, so that builders need one check at the end.
 */
typedef struct model_builder {
    parameters *set;
    random_state *random; /* NULL: weights stay zero, because others are about to be loaded */
    bool failed;
} model_builder;

/* "prefix.name"; NULL (and failed) when there is no memory or the name is taken. printf-like. */
parameter *layer_parameter(model_builder *b, parameter_kind kind, int rank, const int64_t *size, const char *format,
                           ...) __attribute__((format(printf, 5, 6)));

/* Linear: weight [O, I] Glorot-uniform, bias [O] zero. */
typedef struct linear_layer {
    parameter *weight, *bias;
} linear_layer;
linear_layer linear_create(model_builder *b, const char *prefix, int64_t inputs, int64_t outputs);
tensor *linear_record(graph *g, const linear_layer *layer, tensor *x, activation act);

/* Layer norm: weight one, bias zero; epsilon 1e-5 as in PyTorch. */
typedef struct layer_norm_layer {
    parameter *weight, *bias;
} layer_norm_layer;
layer_norm_layer layer_norm_create(model_builder *b, const char *prefix, int64_t width);
/* norm(x + residual); residual may be NULL */
tensor *layer_norm_record(graph *g, const layer_norm_layer *layer, tensor *x, tensor *residual);

/* Multi-head attention with PyTorch's packed in_proj_weight [3 D, D] (q, k, v rows) and out_proj. */
typedef struct attention_layer {
    parameter *in_weight, *in_bias;
    linear_layer out;
    int64_t width;
    int heads;
} attention_layer;
attention_layer attention_create(model_builder *b, const char *prefix, int64_t width, int heads);
/* dropout: of the attention probabilities */
tensor *attention_record(graph *g, const attention_layer *layer, tensor *query, tensor *key, tensor *value,
                         float dropout);

#endif
