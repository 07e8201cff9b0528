/* ResNet-18/34/50: parameters and forward; see resnet.h. */
#include "model/resnet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BATCH_MOMENTUM 0.1f

static int64_t greatest_common_divisor(int64_t a, int64_t b) { return b ? greatest_common_divisor(b, a % b) : a; }

static norm_parameters norm_create(model_builder *b, const char *prefix, int64_t channels, resnet_norm kind) {
    parameter_kind affine = kind == RESNET_FROZEN ? PARAMETER_BUFFER : PARAMETER_WEIGHT;
    norm_parameters n = {.epsilon = 1e-5f};
    n.weight = layer_parameter(b, affine, 1, &channels, "%s.weight", prefix);
    n.bias = layer_parameter(b, affine, 1, &channels, "%s.bias", prefix);
    if (n.weight) parameter_fill(n.weight, 1.0f);
    if (kind == RESNET_GROUP) return n;
    n.running_mean = layer_parameter(b, PARAMETER_BUFFER, 1, &channels, "%s.running_mean", prefix);
    n.running_var = layer_parameter(b, PARAMETER_BUFFER, 1, &channels, "%s.running_var", prefix);
    if (n.running_var) parameter_fill(n.running_var, 1.0f);
    return n;
}

static resnet_convolution convolution_create_layer(model_builder *b, const char *convolution, const char *norm,
                                                   int64_t in, int64_t out, int64_t size, int stride,
                                                   resnet_norm kind) {
    resnet_convolution c = {.stride = stride, .padding = (int)size / 2};
    c.weight = layer_parameter(b, PARAMETER_WEIGHT, 4, (int64_t[]){out, in, size, size}, "%s.weight", convolution);
    if (c.weight) parameter_fill_kaiming_normal(c.weight, b->random);
    c.norm = norm_create(b, norm, out, kind);
    return c;
}

static resnet_convolution block_convolution(model_builder *b, const char *prefix, int number, int64_t in, int64_t out,
                                            int64_t size, int stride, resnet_norm kind) {
    char convolution[112], norm[112];
    snprintf(convolution, sizeof convolution, "%s.conv%d", prefix, number);
    snprintf(norm, sizeof norm, "%s.bn%d", prefix, number);
    return convolution_create_layer(b, convolution, norm, in, out, size, stride, kind);
}

static resnet_block block_create(model_builder *b, const char *prefix, int64_t in, int64_t planes, int stride,
                                 bool bottleneck, resnet_norm kind) {
    resnet_block block = {.count = bottleneck ? 3 : 2};
    int64_t out = bottleneck ? 4 * planes : planes;
    if (bottleneck) {
        block.convolutions[0] = block_convolution(b, prefix, 1, in, planes, 1, 1, kind);
        block.convolutions[1] = block_convolution(b, prefix, 2, planes, planes, 3, stride, kind);
        block.convolutions[2] = block_convolution(b, prefix, 3, planes, out, 1, 1, kind);
    } else {
        block.convolutions[0] = block_convolution(b, prefix, 1, in, planes, 3, stride, kind);
        block.convolutions[1] = block_convolution(b, prefix, 2, planes, planes, 3, 1, kind);
    }
    block.has_shortcut = stride != 1 || in != out;
    if (block.has_shortcut) {
        char convolution[112], norm[112];
        snprintf(convolution, sizeof convolution, "%s.downsample.0", prefix);
        snprintf(norm, sizeof norm, "%s.downsample.1", prefix);
        block.shortcut = convolution_create_layer(b, convolution, norm, in, out, 1, stride, kind);
    }
    return block;
}

static void freeze(resnet_convolution *c) {
    if (c->weight) c->weight->trainable = false;
}

static void freeze_first_stage(resnet *net) {
    for (int i = 0; i < net->stage_end[0]; i++) {
        for (int j = 0; j < net->blocks[i].count; j++) freeze(&net->blocks[i].convolutions[j]);
        if (net->blocks[i].has_shortcut) freeze(&net->blocks[i].shortcut);
    }
}

carina_status resnet_create(resnet *out, model_builder *b, const char *prefix, const resnet_config *config,
                            carina_error *error) {
    static const int depths[3][5] = {{18, 2, 2, 2, 2}, {34, 3, 4, 6, 3}, {50, 3, 4, 6, 3}};
    *out = (resnet){.config = *config};
    const int *depth = NULL;
    for (int i = 0; i < 3; i++)
        if (depths[i][0] == config->depth) depth = depths[i];
    if (!depth)
        return error_set(error, CARINA_ERROR_ARGUMENT, "backbone: resnet%d is none of resnet18, resnet34, resnet50",
                         config->depth);
    double base = 64.0 * config->width;
    if (!(base >= 1 && base <= 1024) || base != floor(base))
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "backbone width %g: 64 channels do not scale to a whole number within 1 to 1024",
                         config->width);
    bool bottleneck = config->depth == 50;
    int64_t channels = (int64_t)base;
    char name[96], norm[96];
    snprintf(name, sizeof name, "%sconv1", prefix);
    snprintf(norm, sizeof norm, "%sbn1", prefix);
    out->stem = convolution_create_layer(b, name, norm, 1, channels, 7, 2, config->norm);
    for (int stage = 0; stage < 4; stage++) {
        int64_t planes = (int64_t)base << stage;
        for (int i = 0; i < depth[stage + 1]; i++) {
            snprintf(name, sizeof name, "%slayer%d.%d", prefix, stage + 1, i);
            int stride = i == 0 && stage > 0 && !(stage == 3 && config->fine) ? 2 : 1;
            out->blocks[out->block_count++] = block_create(b, name, channels, planes, stride, bottleneck, config->norm);
            channels = bottleneck ? 4 * planes : planes;
        }
        out->stage_end[stage] = out->block_count;
    }
    out->outputs = channels;
    if (config->norm == RESNET_FROZEN) freeze_first_stage(out);
    return CARINA_OK;
}

/* Convolution, norm, residual, ReLU. Norms whose statistics are constants are folded into the convolution. */
static tensor *convolution_record(graph *g, const resnet *net, const resnet_convolution *c, tensor *x, tensor *residual,
                                  bool relu) {
    bool folds =
        net->config.norm == RESNET_FROZEN || (net->config.norm == RESNET_BATCH && !graph_options_of(g)->training);
    convolution_options options = {.stride = c->stride, .padding = c->padding};
    if (folds) {
        options.relu = relu;
        options.frozen_norm = &c->norm;
        return op_convolution(g, x, graph_parameter(g, c->weight), NULL, residual, &options);
    }
    x = op_convolution(g, x, graph_parameter(g, c->weight), NULL, NULL, &options);
    if (net->config.norm == RESNET_BATCH) return op_batch_norm(g, x, &c->norm, residual, relu, BATCH_MOMENTUM);
    int groups = (int)greatest_common_divisor(32, c->norm.weight->count);
    return op_group_norm(g, x, c->norm.weight, c->norm.bias, groups, c->norm.epsilon, residual, relu);
}

static tensor *block_record(graph *g, const resnet *net, const resnet_block *block, tensor *x) {
    int last = block->count - 1;
    tensor *y = x;
    for (int i = 0; i < last; i++) y = convolution_record(g, net, &block->convolutions[i], y, NULL, true);
    /* not before: its pictures, the largest, would have to be kept meanwhile */
    tensor *shortcut = block->has_shortcut ? convolution_record(g, net, &block->shortcut, x, NULL, false) : x;
    return convolution_record(g, net, &block->convolutions[last], y, shortcut, true);
}

tensor *resnet_record(graph *g, const resnet *net, tensor *x) {
    x = convolution_record(g, net, &net->stem, x, NULL, true);
    x = op_max_pool(g, x, 3, 2, 1);
    for (int i = 0; i < net->block_count; i++) x = block_record(g, net, &net->blocks[i], x);
    return x;
}
