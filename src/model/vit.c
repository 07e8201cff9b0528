/* DINOv3's vision transformer: parameters and forward pass; see vit.h. */
#include "model/vit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVIATION 0.02
#define BASE      100.0 /* of the frequencies */

vit_config vit_config_small(void) {
    return (vit_config){.patch = 16, .width = 384, .heads = 6, .layers = 12, .ffn_width = 1536, .registers = 4};
}

carina_status vit_config_check(const vit_config *c, carina_error *error) {
    const struct {
        const char *name;
        int value, low, high;
    } ranges[] = {
        {"vit_patch", c->patch, 8, 64},
        {"vit_width", c->width, 4, 4096},
        {"vit_heads", c->heads, 1, 64},
        {"vit_layers", c->layers, 1, VIT_MAX_LAYERS},
        {"vit_ffn_width", c->ffn_width, 1, 65536},
        {"vit_registers", c->registers, 0, 64},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %d is not within %d to %d", ranges[i].name,
                             ranges[i].value, ranges[i].low, ranges[i].high);
    if (c->width % (4 * c->heads))
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "vit_width: %d is not divisible by 4 x vit_heads (%d): a head has half its values for the "
                         "rows, half for the columns, in pairs",
                         c->width, c->heads);
    return CARINA_OK;
}

/* ---- parameters ---- */

static parameter *create_normal(model_builder *b, const char *name, int rank, const int64_t *size) {
    parameter *p = layer_parameter(b, PARAMETER_WEIGHT, rank, size, "%s", name);
    if (p) parameter_fill_normal(p, b->random, DEVIATION);
    return p;
}

static linear_layer create_linear(model_builder *b, const char *prefix, const char *name, int64_t inputs,
                                  int64_t outputs, bool biased) {
    char text[144];
    snprintf(text, sizeof text, "%s%s.weight", prefix, name);
    linear_layer layer = {.weight = create_normal(b, text, 2, (int64_t[]){outputs, inputs})};
    if (biased) layer.bias = layer_parameter(b, PARAMETER_WEIGHT, 1, &outputs, "%s%s.bias", prefix, name);
    return layer;
}

static parameter *create_scale(model_builder *b, const char *prefix, const char *name, int64_t width) {
    parameter *p = layer_parameter(b, PARAMETER_WEIGHT, 1, &width, "%s%s.lambda1", prefix, name);
    if (p) parameter_fill(p, 1.0f);
    return p;
}

static layer_norm_layer create_norm(model_builder *b, const char *prefix, const char *name, int64_t width) {
    char text[144];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    return layer_norm_create(b, text, width);
}

static void create_layer(vit_layer *out, model_builder *b, const char *model_prefix, const vit_config *c, int index) {
    char prefix[112];
    snprintf(prefix, sizeof prefix, "%slayer.%d.", model_prefix, index);
    out->norm1 = create_norm(b, prefix, "norm1", c->width);
    out->query = create_linear(b, prefix, "attention.q_proj", c->width, c->width, true);
    out->key = create_linear(b, prefix, "attention.k_proj", c->width, c->width, false);
    out->value = create_linear(b, prefix, "attention.v_proj", c->width, c->width, true);
    out->output = create_linear(b, prefix, "attention.o_proj", c->width, c->width, true);
    out->scale1 = create_scale(b, prefix, "layer_scale1", c->width);
    out->norm2 = create_norm(b, prefix, "norm2", c->width);
    out->up = create_linear(b, prefix, "mlp.up_proj", c->width, c->ffn_width, true);
    out->down = create_linear(b, prefix, "mlp.down_proj", c->ffn_width, c->width, true);
    out->scale2 = create_scale(b, prefix, "layer_scale2", c->width);
}

void vit_fold_kernel(float *folded, float *folded_bias, const float *weight, const float *bias, int64_t width,
                     int64_t area) {
    static const double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};
    for (int64_t o = 0; o < width; o++) {
        const float *kernel = weight + 3 * o * area;
        double constant = (double)bias[o];
        for (int64_t i = 0; i < area; i++) {
            double sum = 0;
            for (int c = 0; c < 3; c++) {
                double w = (double)kernel[c * area + i] / deviation[c];
                sum += w;
                constant -= w * mean[c];
            }
            folded[o * area + i] = (float)sum;
        }
        folded_bias[o] = (float)constant;
    }
}

static void fill_patch_kernel(vit *net, model_builder *b) {
    if (!b->random) return;
    int64_t width = net->config.width, area = (int64_t)net->config.patch * net->config.patch;
    float *values = malloc((size_t)(3 * width * area) * sizeof *values), *zeros = calloc((size_t)width, sizeof *zeros);
    if (values && zeros) {
        for (int64_t i = 0; i < 3 * width * area; i++) values[i] = (float)(DEVIATION * random_normal(b->random));
        vit_fold_kernel(net->patch_weight->value, net->patch_bias->value, values, zeros, width, area);
    } else {
        b->failed = true;
    }
    free(values);
    free(zeros);
}

carina_status vit_create(vit *out, model_builder *b, const char *prefix, const vit_config *config,
                         carina_error *error) {
    *out = (vit){.config = *config, .set = b->set, .first = b->set->count, .prefix_length = (int)strlen(prefix)};
    TRY(vit_config_check(config, error));
    int64_t width = config->width, patch = config->patch;
    char name[144];
    out->patch_weight = layer_parameter(b, PARAMETER_WEIGHT, 4, (int64_t[]){width, 1, patch, patch},
                                        "%sembeddings.patch_embeddings.weight", prefix);
    out->patch_bias = layer_parameter(b, PARAMETER_WEIGHT, 1, &width, "%sembeddings.patch_embeddings.bias", prefix);
    snprintf(name, sizeof name, "%sembeddings.cls_token", prefix);
    out->cls_token = create_normal(b, name, 3, (int64_t[]){1, 1, width});
    snprintf(name, sizeof name, "%sembeddings.register_tokens", prefix);
    if (config->registers > 0) out->registers = create_normal(b, name, 3, (int64_t[]){1, config->registers, width});
    for (int i = 0; i < config->layers; i++) create_layer(&out->layers[i], b, prefix, config, i);
    out->norm = create_norm(b, prefix, "norm", width);
    out->count = b->set->count - out->first;
    if (!b->failed) fill_patch_kernel(out, b);
    if (b->failed) return error_set(error, CARINA_ERROR_MEMORY, "out of memory for the image encoder's parameters");
    out->cls_token->decay = false; /* not a weight: where a token starts */
    out->cls_token->matrices = 0;
    if (out->registers) {
        out->registers->decay = false;
        out->registers->matrices = 0;
    }
    return CARINA_OK;
}

/* ---- forward pass ---- */

/* Cosines and sines of every patch, row by row: [P, d]. */
static tensor *rotation_table(graph *g, const vit *net, int64_t rows, int64_t columns) {
    int64_t head = net->config.width / net->config.heads, quarter = head / 4, size[2] = {rows * columns, head};
    float *values = malloc((size_t)(size[0] * size[1]) * sizeof *values);
    if (!values) return NULL;
    for (int64_t i = 0; i < size[0]; i++) {
        double place[2] = {2 * ((double)(i / columns) + 0.5) / (double)rows - 1,
                           2 * ((double)(i % columns) + 0.5) / (double)columns - 1};
        float *cosine = values + i * head, *sine = cosine + 2 * quarter;
        for (int64_t j = 0; j < 2 * quarter; j++) {
            double frequency = pow(BASE, -4.0 * (double)(j % quarter) / (double)head);
            double angle = 2 * M_PI * place[j / quarter] * frequency;
            cosine[j] = (float)cos(angle);
            sine[j] = (float)sin(angle);
        }
    }
    tensor *table = graph_constant(g, 2, size, values);
    free(values);
    return table;
}

/* Tokens [1, n, D] of the model in front of every film's. */
static tensor *repeated(graph *g, parameter *p, int64_t batch) {
    return op_repeat(g, op_reshape(g, graph_parameter(g, p), 2, (int64_t[]){p->size[1], p->size[2]}), batch);
}

static tensor *attend(graph *g, const vit *net, const vit_layer *layer, tensor *x, tensor *table) {
    int heads = net->config.heads;
    tensor *q = op_rotary(g, linear_record(g, &layer->query, x, ACTIVATION_NONE), table, heads),
           *k = op_rotary(g, op_linear(g, x, graph_parameter(g, layer->key.weight), NULL, ACTIVATION_NONE), table,
                          heads),
           *v = linear_record(g, &layer->value, x, ACTIVATION_NONE);
    return linear_record(g, &layer->output, op_attention(g, q, k, v, &(attention_options){.heads = heads}),
                         ACTIVATION_NONE);
}

/* x + scale f */
static tensor *add_scaled(graph *g, tensor *x, tensor *f, parameter *scale) {
    return op_add(g, x, op_multiply(g, f, graph_parameter(g, scale)));
}

static tensor *layer_record(graph *g, const vit *net, const vit_layer *layer, tensor *x, tensor *table) {
    tensor *normed = layer_norm_record(g, &layer->norm1, x, NULL);
    x = add_scaled(g, x, attend(g, net, layer, normed, table), layer->scale1);
    tensor *h = linear_record(g, &layer->up, layer_norm_record(g, &layer->norm2, x, NULL), ACTIVATION_GELU);
    return add_scaled(g, x, linear_record(g, &layer->down, h, ACTIVATION_NONE), layer->scale2);
}

tensor *vit_record(graph *g, const vit *net, tensor *film) {
    const vit_config *c = &net->config;
    convolution_options patches = {.stride = c->patch};
    /* The bias apart: bf16 then has the weight gradient by patches, ten times faster (op_convolution.c). */
    tensor *x = op_convolution(g, film, graph_parameter(g, net->patch_weight), NULL, NULL, &patches);
    if (!x) return NULL;
    int64_t batch = tensor_size(x, 0), rows = tensor_size(x, 1), columns = tensor_size(x, 2), count = rows * columns;
    tensor *table = rotation_table(g, net, rows, columns), *tokens = repeated(g, net->cls_token, batch);
    if (net->registers) tokens = op_concatenate(g, tokens, repeated(g, net->registers, batch));
    x = op_add(g, op_reshape(g, x, 3, (int64_t[]){batch, count, c->width}), graph_parameter(g, net->patch_bias));
    x = op_concatenate(g, tokens, x);
    for (int i = 0; i < c->layers; i++) x = layer_record(g, net, &net->layers[i], x, table);
    x = layer_norm_record(g, &net->norm, op_slice(g, x, 1 + c->registers, count), NULL);
    return x ? op_reshape(g, x, 4, (int64_t[]){batch, rows, columns, c->width}) : NULL;
}
