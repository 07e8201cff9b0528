/* DETR's encoder and decoder; see detr.h. */
#include "model/detr.h"

#include <math.h>
#include <stdio.h>

void detr_create(detr_stack *out, model_builder *b, const char *prefix, int layer_count, int64_t width, int heads,
                 int64_t ffn_width, float dropout, bool is_decoder) {
    *out = (detr_stack){.count = layer_count, .is_decoder = is_decoder, .dropout = dropout};
    for (int i = 0; i < layer_count; i++) {
        detr_layer *layer = &out->layers[i];
        char name[128];
        snprintf(name, sizeof name, "%slayers.%d.self_attn", prefix, i);
        layer->self_attention = attention_create(b, name, width, heads);
        if (is_decoder) {
            snprintf(name, sizeof name, "%slayers.%d.multihead_attn", prefix, i);
            layer->cross_attention = attention_create(b, name, width, heads);
        }
        snprintf(name, sizeof name, "%slayers.%d.linear1", prefix, i);
        layer->expand = linear_create(b, name, width, ffn_width);
        snprintf(name, sizeof name, "%slayers.%d.linear2", prefix, i);
        layer->contract = linear_create(b, name, ffn_width, width);
        for (int j = 0; j < (is_decoder ? 3 : 2); j++) {
            snprintf(name, sizeof name, "%slayers.%d.norm%d", prefix, i, j + 1);
            layer->norms[j] = layer_norm_create(b, name, width);
        }
    }
}

/* norm(x + dropout(f)) */
static tensor *add_and_norm(graph *g, const detr_stack *stack, const layer_norm_layer *norm, tensor *x, tensor *f) {
    return layer_norm_record(g, norm, op_dropout(g, f, stack->dropout), x);
}

static tensor *feed_forward(graph *g, const detr_stack *stack, const detr_layer *layer, tensor *x) {
    tensor *h = op_dropout(g, linear_record(g, &layer->expand, x, ACTIVATION_RELU), stack->dropout);
    return linear_record(g, &layer->contract, h, ACTIVATION_NONE);
}

tensor *detr_encode(graph *g, const detr_stack *stack, tensor *x, tensor *position) {
    for (int i = 0; i < stack->count; i++) {
        const detr_layer *layer = &stack->layers[i];
        tensor *query = op_add(g, x, position);
        x = add_and_norm(g, stack, &layer->norms[0], x,
                         attention_record(g, &layer->self_attention, query, query, x, stack->dropout));
        x = add_and_norm(g, stack, &layer->norms[1], x, feed_forward(g, stack, layer, x));
    }
    return x;
}

tensor *detr_decode_layer(graph *g, const detr_stack *stack, int index, tensor *x, tensor *query_position, tensor *key,
                          tensor *memory) {
    const detr_layer *layer = &stack->layers[index];
    tensor *query = op_add(g, x, query_position);
    x = add_and_norm(g, stack, &layer->norms[0], x,
                     attention_record(g, &layer->self_attention, query, query, x, stack->dropout));
    query = op_add(g, x, query_position);
    x = add_and_norm(g, stack, &layer->norms[1], x,
                     attention_record(g, &layer->cross_attention, query, key, memory, stack->dropout));
    return add_and_norm(g, stack, &layer->norms[2], x, feed_forward(g, stack, layer, x));
}

void detr_sine_position(float *out, int64_t height, int64_t width, int64_t model_width) {
    const double two_pi = 6.283185307179586, epsilon = 1e-6;
    int64_t half = model_width / 2;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            float *row = out + (y * width + x) * model_width;
            double at[2] = {(double)(y + 1) / ((double)height + epsilon) * two_pi,
                            (double)(x + 1) / ((double)width + epsilon) * two_pi};
            for (int64_t i = 0; i < half; i++) {
                double frequency = pow(10000.0, 2.0 * (double)(i / 2) / (double)half);
                for (int axis = 0; axis < 2; axis++)
                    row[axis * half + i] = (float)(i % 2 == 0 ? sin(at[axis] / frequency) : cos(at[axis] / frequency));
            }
        }
}
