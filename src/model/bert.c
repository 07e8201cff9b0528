/* BERT's parameters and forward pass; see bert.h. */
#include "model/bert.h"

#include <stdio.h>
#include <stdlib.h>

bert_config bert_config_base(void) {
    return (bert_config){
        .vocabulary = 30522,
        .width = 768,
        .heads = 12,
        .layers = 12,
        .ffn_width = 3072,
        .positions = 512,
        .types = 2,
        .function = ACTIVATION_GELU,
        .epsilon = 1e-12f,
        .dropout = 0.1f,
        .projector_width = 512,
        .feature_size = 16,
    };
}

carina_status bert_config_check(const bert_config *c, carina_error *error) {
    const struct {
        const char *name;
        int value, low, high;
    } ranges[] = {
        {"vocab_size", c->vocabulary, 1, 1 << 20},     {"hidden_size", c->width, 1, 16384},
        {"num_attention_heads", c->heads, 1, 256},     {"num_hidden_layers", c->layers, 1, BERT_MAX_LAYERS},
        {"intermediate_size", c->ffn_width, 1, 65536}, {"max_position_embeddings", c->positions, 2, 65536},
        {"type_vocab_size", c->types, 1, 1024},        {"projector width", c->projector_width, 0, 65536},
        {"feature size", c->feature_size, 0, 4096},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %d is not within %d to %d", ranges[i].name,
                             ranges[i].value, ranges[i].low, ranges[i].high);
    if (c->width % c->heads)
        return error_set(error, CARINA_ERROR_ARGUMENT, "hidden_size: %d is not divisible by num_attention_heads, %d",
                         c->width, c->heads);
    if ((c->projector_width == 0) != (c->feature_size == 0))
        return error_set(error, CARINA_ERROR_ARGUMENT, "projector width %d with feature size %d", c->projector_width,
                         c->feature_size);
    return CARINA_OK;
}

/* ---- parameters ---- */

static void fill_normal(parameter *p, model_builder *b) {
    if (p) parameter_fill_normal(p, b->random, 0.02);
}

static linear_layer create_linear(model_builder *b, const char *prefix, const char *name, int64_t inputs,
                                  int64_t outputs) {
    linear_layer layer = {
        layer_parameter(b, PARAMETER_WEIGHT, 2, (int64_t[]){outputs, inputs}, "%s%s.weight", prefix, name),
        layer_parameter(b, PARAMETER_WEIGHT, 1, &outputs, "%s%s.bias", prefix, name),
    };
    fill_normal(layer.weight, b);
    return layer;
}

static layer_norm_layer create_norm(model_builder *b, const char *prefix, const char *name, int64_t width) {
    char text[96];
    snprintf(text, sizeof text, "%s%s", prefix, name);
    return layer_norm_create(b, text, width);
}

static void create_layer(bert_layer *out, model_builder *b, const bert_config *c, int index) {
    char prefix[48];
    snprintf(prefix, sizeof prefix, "encoder.layer.%d.", index);
    out->query = create_linear(b, prefix, "attention.self.query", c->width, c->width);
    out->key = create_linear(b, prefix, "attention.self.key", c->width, c->width);
    out->value = create_linear(b, prefix, "attention.self.value", c->width, c->width);
    out->output = create_linear(b, prefix, "attention.output.dense", c->width, c->width);
    out->attention_norm = create_norm(b, prefix, "attention.output.LayerNorm", c->width);
    out->expand = create_linear(b, prefix, "intermediate.dense", c->width, c->ffn_width);
    out->contract = create_linear(b, prefix, "output.dense", c->ffn_width, c->width);
    out->output_norm = create_norm(b, prefix, "output.LayerNorm", c->width);
}

static parameter *create_table(model_builder *b, const char *name, int64_t rows, int64_t width) {
    parameter *p = layer_parameter(b, PARAMETER_WEIGHT, 2, (int64_t[]){rows, width}, "embeddings.%s.weight", name);
    fill_normal(p, b);
    return p;
}

static void create_all(bert *m, model_builder *b) {
    const bert_config *c = &m->config;
    m->words = create_table(b, "word_embeddings", c->vocabulary, c->width);
    m->positions = create_table(b, "position_embeddings", c->positions, c->width);
    m->types = create_table(b, "token_type_embeddings", c->types, c->width);
    m->embedding_norm = layer_norm_create(b, "embeddings.LayerNorm", c->width);
    for (int i = 0; i < c->layers; i++) create_layer(&m->layers[i], b, c, i);
    if (!b->failed) {
        m->positions->decay = m->types->decay = false;
        m->words->matrices = m->positions->matrices = m->types->matrices = 0;
    }
    if (c->feature_size == 0) return;
    m->projector[0] = linear_create(b, "project_head.proj.0", c->width, c->projector_width);
    m->projector[1] = linear_create(b, "project_head.proj.2", c->projector_width, c->feature_size);
}

static carina_status create(bert **out, const bert_config *config, random_state *random, carina_error *error) {
    *out = NULL;
    TRY(bert_config_check(config, error));
    bert *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, "BERT", sizeof *m);
    m->config = *config;
    model_builder b = {.random = random};
    carina_status status = parameters_create(&m->parameters, error);
    b.set = m->parameters;
    if (status == CARINA_OK) create_all(m, &b);
    if (b.failed) status = error_set(error, CARINA_ERROR_MEMORY, "out of memory for the text encoder's parameters");
    if (status != CARINA_OK) {
        bert_free(m);
        return status;
    }
    *out = m;
    return CARINA_OK;
}

carina_status bert_create(bert **out, const bert_config *config, uint64_t seed, carina_error *error) {
    random_state random = random_seed(seed);
    return create(out, config, &random, error);
}

carina_status bert_create_empty(bert **out, const bert_config *config, carina_error *error) {
    return create(out, config, NULL, error);
}

void bert_free(bert *model) {
    if (!model) return;
    parameters_free(model->parameters);
    free(model);
}

void bert_freeze_encoder(bert *model) {
    for (int i = 0; i < model->parameters->count; i++) {
        parameter *p = model->parameters->items[i];
        bool projector = false;
        for (int j = 0; j < 2; j++) projector |= p == model->projector[j].weight || p == model->projector[j].bias;
        p->trainable = projector;
    }
}

/* ---- forward pass ---- */

static tensor *normed(graph *g, const bert *m, const layer_norm_layer *norm, tensor *x, tensor *residual) {
    return op_layer_norm(g, x, residual, graph_parameter(g, norm->weight), graph_parameter(g, norm->bias),
                         m->config.epsilon);
}

/* In f32, because three small numbers are added; one cast after the norm. */
static tensor *embed(graph *g, const bert *m, tensor *ids) {
    int64_t width = m->config.width, tokens = tensor_size(ids, 1);
    tensor *x = op_embedding(g, ids, graph_parameter(g, m->words));
    x = op_add(g, x, graph_parameter_rows(g, m->positions, 0, tokens));
    x = op_add(g, x, op_reshape(g, graph_parameter_rows(g, m->types, 0, 1), 1, &width));
    x = normed(g, m, &m->embedding_norm, x, NULL);
    return op_dropout(g, op_cast(g, x, graph_options_of(g)->type), m->config.dropout);
}

static tensor *layer_forward(graph *g, const bert *m, const bert_layer *layer, tensor *x, tensor *mask) {
    float dropout = m->config.dropout;
    tensor *q = linear_record(g, &layer->query, x, ACTIVATION_NONE),
           *k = linear_record(g, &layer->key, x, ACTIVATION_NONE),
           *v = linear_record(g, &layer->value, x, ACTIVATION_NONE);
    tensor *mixed =
        op_attention(g, q, k, v, &(attention_options){.heads = m->config.heads, .mask = mask, .dropout = dropout});
    mixed = op_dropout(g, linear_record(g, &layer->output, mixed, ACTIVATION_NONE), dropout);
    x = normed(g, m, &layer->attention_norm, mixed, x);
    tensor *h = linear_record(g, &layer->expand, x, m->config.function);
    h = op_dropout(g, linear_record(g, &layer->contract, h, ACTIVATION_NONE), dropout);
    return normed(g, m, &layer->output_norm, h, x);
}

bert_outputs bert_record(graph *g, const bert *m, tensor *ids, tensor *mask) {
    bert_outputs out = {0};
    if (!ids || !mask) return out;
    tensor *x = embed(g, m, ids);
    for (int i = 0; i < m->config.layers; i++) x = layer_forward(g, m, &m->layers[i], x, mask);
    out.hidden = x;
    out.pooled = op_masked_mean(g, x, mask);
    if (m->config.feature_size == 0) return out;
    tensor *h = linear_record(g, &m->projector[0], out.pooled, ACTIVATION_RELU);
    out.projected = linear_record(g, &m->projector[1], h, ACTIVATION_NONE);
    return out;
}
