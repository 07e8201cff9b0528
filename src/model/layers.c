/* Linear, layer norm, attention: parameters and forward; see layers.h. */
#include "model/layers.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

parameter *layer_parameter(model_builder *b, parameter_kind kind, int rank, const int64_t *size, const char *format,
                           ...) {
    char name[160];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    parameter *p = length > 0 && (size_t)length < sizeof name ? parameters_add(b->set, name, kind, rank, size) : NULL;
    if (!p) b->failed = true;
    return p;
}

linear_layer linear_create(model_builder *b, const char *prefix, int64_t inputs, int64_t outputs) {
    linear_layer layer = {
        layer_parameter(b, PARAMETER_WEIGHT, 2, (int64_t[]){outputs, inputs}, "%s.weight", prefix),
        layer_parameter(b, PARAMETER_WEIGHT, 1, &outputs, "%s.bias", prefix),
    };
    if (layer.weight) parameter_fill_xavier_uniform(layer.weight, b->random);
    return layer;
}

tensor *linear_record(graph *g, const linear_layer *layer, tensor *x, activation act) {
    return op_linear(g, x, graph_parameter(g, layer->weight), graph_parameter(g, layer->bias), act);
}

layer_norm_layer layer_norm_create(model_builder *b, const char *prefix, int64_t width) {
    layer_norm_layer layer = {
        layer_parameter(b, PARAMETER_WEIGHT, 1, &width, "%s.weight", prefix),
        layer_parameter(b, PARAMETER_WEIGHT, 1, &width, "%s.bias", prefix),
    };
    if (layer.weight) parameter_fill(layer.weight, 1.0f);
    return layer;
}

tensor *layer_norm_record(graph *g, const layer_norm_layer *layer, tensor *x, tensor *residual) {
    return op_layer_norm(g, x, residual, graph_parameter(g, layer->weight), graph_parameter(g, layer->bias), 1e-5f);
}

attention_layer attention_create(model_builder *b, const char *prefix, int64_t width, int heads) {
    attention_layer layer = {.width = width, .heads = heads};
    int64_t rows = 3 * width;
    char out[128];
    snprintf(out, sizeof out, "%s.out_proj", prefix);
    layer.in_weight = layer_parameter(b, PARAMETER_WEIGHT, 2, (int64_t[]){rows, width}, "%s.in_proj_weight", prefix);
    layer.in_bias = layer_parameter(b, PARAMETER_WEIGHT, 1, &rows, "%s.in_proj_bias", prefix);
    if (layer.in_weight) {
        parameter_fill_xavier_uniform(layer.in_weight, b->random);
        layer.in_weight->matrices = 3;
    }
    layer.out = linear_create(b, out, width, width);
    return layer;
}

static tensor *project(graph *g, const attention_layer *layer, tensor *x, int part) {
    int64_t begin = part * layer->width;
    return op_linear(g, x, graph_parameter_rows(g, layer->in_weight, begin, layer->width),
                     graph_parameter_rows(g, layer->in_bias, begin, layer->width), ACTIVATION_NONE);
}

tensor *attention_record(graph *g, const attention_layer *layer, tensor *query, tensor *key, tensor *value,
                         float dropout) {
    attention_options options = {.heads = layer->heads, .dropout = dropout};
    tensor *q = project(g, layer, query, 0), *k = project(g, layer, key, 1), *v = project(g, layer, value, 2);
    return linear_record(g, &layer->out, op_attention(g, q, k, v, &options), ACTIVATION_NONE);
}
