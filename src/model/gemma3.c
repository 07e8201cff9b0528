/* Gemma 3's parameters and forward pass; see gemma3.h. */
#include "model/gemma3.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

gemma3_config gemma3_config_4b(void) {
    return (gemma3_config){.vocabulary = 262208,
                           .width = 2560,
                           .layers = 34,
                           .heads = 8,
                           .key_heads = 4,
                           .head_width = 256,
                           .ffn_width = 10240,
                           .window = 1024,
                           .global_every = 6,
                           .local_base = 1e4,
                           .global_base = 1e6,
                           .global_scale = 8,
                           .query_scalar = 256,
                           .epsilon = 1e-6f,
                           .tied = true,
                           .positions = 131072};
}

gemma3_config gemma3_config_1b(void) {
    gemma3_config c = gemma3_config_4b();
    c.vocabulary = 262144;
    c.width = 1152;
    c.layers = 26;
    c.heads = 4;
    c.key_heads = 1;
    c.ffn_width = 6912;
    c.window = 512;
    c.global_scale = 1;
    c.positions = 32768;
    return c;
}

static carina_status check_numbers(const gemma3_config *c, carina_error *error) {
    const struct {
        const char *name;
        double value, low, high;
    } ranges[] = {
        {"rope_local_base_freq", c->local_base, 1, 1e12}, {"rope_theta", c->global_base, 1, 1e12},
        {"rope_scaling.factor", c->global_scale, 1, 1e6}, {"query_pre_attn_scalar", c->query_scalar, 1e-3, 1e6},
        {"rms_norm_eps", (double)c->epsilon, 0, 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high))
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %g is not within %g to %g", ranges[i].name,
                             ranges[i].value, ranges[i].low, ranges[i].high);
    return CARINA_OK;
}

carina_status gemma3_config_check(const gemma3_config *c, carina_error *error) {
    const struct {
        const char *name;
        int value, low, high;
    } ranges[] = {
        {"vocab_size", c->vocabulary, 1, 1 << 20},
        {"hidden_size", c->width, 1, 16384},
        {"num_hidden_layers", c->layers, 1, GEMMA3_MAX_LAYERS},
        {"num_attention_heads", c->heads, 1, 256},
        {"num_key_value_heads", c->key_heads, 1, 256},
        {"head_dim", c->head_width, 2, 1024},
        {"intermediate_size", c->ffn_width, 1, 131072},
        {"sliding_window", c->window, 1, 1 << 20},
        {"sliding_window_pattern", c->global_every, 1, 1024},
        {"max_position_embeddings", c->positions, 1, 1 << 24},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return error_set(error, CARINA_ERROR_ARGUMENT, "%s: %d is not within %d to %d", ranges[i].name,
                             ranges[i].value, ranges[i].low, ranges[i].high);
    if (c->heads % c->key_heads)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "num_key_value_heads: %d does not divide num_attention_heads, %d", c->key_heads, c->heads);
    if (c->head_width % 2) return error_set(error, CARINA_ERROR_ARGUMENT, "head_dim: %d is odd", c->head_width);
    return check_numbers(c, error);
}

bool gemma3_is_global(const gemma3_config *config, int layer) { return (layer + 1) % config->global_every == 0; }

/* ---- parameters ---- */

static void add_slot(gemma3_slot *slot, const char *prefix, const char *name, int64_t outputs, int64_t inputs,
                     gemma3_matrix *matrix) {
    *slot = (gemma3_slot){.outputs = outputs, .inputs = inputs, .matrix = matrix};
    snprintf(slot->name, sizeof slot->name, "%s%s.weight", prefix, name);
}

int gemma3_slots(gemma3 *m, gemma3_slot out[GEMMA3_MAX_SLOTS]) {
    const gemma3_config *c = &m->config;
    int64_t width = c->width, queries = (int64_t)c->heads * c->head_width, keys = (int64_t)c->key_heads * c->head_width;
    int count = 0;
    add_slot(&out[count++], "model.", "embed_tokens", c->vocabulary, width, &m->table);
    for (int i = 0; i < c->layers; i++) {
        gemma3_layer *layer = &m->layers[i];
        char prefix[32];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", i);
        add_slot(&out[count++], prefix, "self_attn.q_proj", queries, width, &layer->query);
        add_slot(&out[count++], prefix, "self_attn.k_proj", keys, width, &layer->key);
        add_slot(&out[count++], prefix, "self_attn.v_proj", keys, width, &layer->value);
        add_slot(&out[count++], prefix, "self_attn.o_proj", width, queries, &layer->output);
        add_slot(&out[count++], prefix, "mlp.gate_proj", c->ffn_width, width, &layer->gate);
        add_slot(&out[count++], prefix, "mlp.up_proj", c->ffn_width, width, &layer->up);
        add_slot(&out[count++], prefix, "mlp.down_proj", width, c->ffn_width, &layer->down);
    }
    if (!c->tied) add_slot(&out[count++], "", "lm_head", c->vocabulary, width, &m->head);
    return count;
}

static void number_slots(gemma3 *m) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(m, slots);
    for (int i = 0; i < count; i++) slots[i].matrix->slot = i;
}

/* Stored as what is added to 1, so zero is where a norm begins. */
static parameter *norm(model_builder *b, const char *prefix, const char *name, int64_t width) {
    return layer_parameter(b, PARAMETER_WEIGHT, 1, &width, "%s%s.weight", prefix, name);
}

static void create_norms(gemma3 *m, model_builder *b) {
    const gemma3_config *c = &m->config;
    for (int i = 0; i < c->layers; i++) {
        gemma3_layer *layer = &m->layers[i];
        char prefix[32];
        snprintf(prefix, sizeof prefix, "model.layers.%d.", i);
        layer->query_norm = norm(b, prefix, "self_attn.q_norm", c->head_width);
        layer->key_norm = norm(b, prefix, "self_attn.k_norm", c->head_width);
        layer->before_attention = norm(b, prefix, "input_layernorm", c->width);
        layer->after_attention = norm(b, prefix, "post_attention_layernorm", c->width);
        layer->before_ffn = norm(b, prefix, "pre_feedforward_layernorm", c->width);
        layer->after_ffn = norm(b, prefix, "post_feedforward_layernorm", c->width);
    }
    m->norm = norm(b, "model.", "norm", c->width);
}

static void create_matrices(gemma3 *m, model_builder *b) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(m, slots);
    for (int i = 0; i < count; i++) {
        int64_t size[2] = {slots[i].outputs, slots[i].inputs};
        parameter *p = slots[i].matrix->weight = layer_parameter(b, PARAMETER_WEIGHT, 2, size, "%s", slots[i].name);
        if (!p) return;
        parameter_fill_normal(p, b->random, 0.02);
        p->matrices = slots[i].matrix != &m->table && slots[i].matrix != &m->head; /* those are tables of words */
    }
}

static carina_status create(gemma3 **out, const gemma3_config *config, random_state *random, bool packed,
                            carina_error *error) {
    *out = NULL;
    TRY(gemma3_config_check(config, error));
    gemma3 *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, "Gemma 3", sizeof *m);
    m->config = *config;
    number_slots(m);
    model_builder b = {.random = random};
    carina_status status = parameters_create(&m->parameters, error);
    b.set = m->parameters;
    if (status == CARINA_OK) create_norms(m, &b);
    if (status == CARINA_OK && !packed) create_matrices(m, &b);
    if (b.failed) status = error_set(error, CARINA_ERROR_MEMORY, "out of memory for the language model's parameters");
    if (status != CARINA_OK) {
        gemma3_free(m);
        return status;
    }
    *out = m;
    return CARINA_OK;
}

carina_status gemma3_create(gemma3 **out, const gemma3_config *config, uint64_t seed, carina_error *error) {
    random_state random = random_seed(seed);
    return create(out, config, &random, false, error);
}

carina_status gemma3_create_empty(gemma3 **out, const gemma3_config *config, carina_error *error) {
    return create(out, config, NULL, false, error);
}

carina_status gemma3_create_packed(gemma3 **out, const gemma3_config *config, carina_error *error) {
    return create(out, config, NULL, true, error);
}

void gemma3_free(gemma3 *model) {
    if (!model) return;
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(model, slots);
    for (int i = 0; i < count; i++) quantized_matrix_free(slots[i].matrix->packed);
    parameters_free(model->parameters);
    free(model);
}

/* ---- forward pass ---- */

void gemma3_rotary_table(float *out, const gemma3_config *config, bool global, int64_t first, int64_t count) {
    int64_t half = config->head_width / 2;
    double base = global ? config->global_base : config->local_base;
    for (int64_t n = 0; n < count; n++) {
        double position = (double)(first + n) / (global ? config->global_scale : 1);
        float *row = out + 2 * n * half;
        for (int64_t i = 0; i < half; i++) {
            double angle = position * pow(base, -(double)i / (double)half);
            row[i] = (float)cos(angle);
            row[half + i] = (float)sin(angle);
        }
    }
}

static tensor *rotary_constant(graph *g, const gemma3 *m, bool global, int64_t tokens) {
    int64_t size[2] = {tokens, m->config.head_width};
    float *values = malloc((size_t)(size[0] * size[1]) * sizeof *values);
    if (!values) return NULL;
    gemma3_rotary_table(values, &m->config, global, 0, tokens);
    tensor *table = graph_constant(g, 2, size, values);
    free(values);
    return table;
}

/* by_row: rows are of sequences that do not belong together, and none may notice the others. */
static tensor *linear(graph *g, parameter *weight, tensor *x, activation act, bool by_row) {
    by_row = by_row && x && tensor_type_of(x) == TENSOR_F32;
    return by_row ? op_row_linear(g, x, graph_parameter(g, weight), act)
                  : op_linear(g, x, graph_parameter(g, weight), NULL, act);
}

static tensor *plain_product(graph *g, const gemma3_matrix *m, tensor *x, activation act, bool by_row) {
    if (m->packed) return op_quantized_linear(g, x, m->packed, act);
    return linear(g, m->weight, x, act, by_row);
}

static bool is_adapted(const gemma3_matrix *m, const gemma3_past *past) { return m->down || (past && past->adapters); }

/* y of the plain matrix, with what an attached adapter and the rows' own ones add. */
static tensor *adapt(graph *g, const gemma3_matrix *m, tensor *x, tensor *y, const gemma3_past *past) {
    if (m->down) {
        tensor *inner = linear(g, m->down, x, ACTIVATION_NONE, past != NULL);
        tensor *outer = linear(g, m->up, inner, ACTIVATION_NONE, past != NULL);
        y = op_add(g, y, op_scale(g, outer, m->scale));
    }
    return past && past->adapters ? op_low_rank(g, y, x, past->adapters, m->slot) : y;
}

/* Products of the same rows; acts: of each, or NULL. */
static void products(graph *g, int count, const gemma3_matrix *const *matrices, const activation *acts, tensor *x,
                     const gemma3_past *past, tensor **y) {
    quantized_linear_part parts[QUANTIZED_LINEARS_MOST] = {0};
    bool all_packed = true;
    for (int i = 0; i < count; i++) {
        activation act = acts && !is_adapted(matrices[i], past) ? acts[i] : ACTIVATION_NONE;
        parts[i] = (quantized_linear_part){matrices[i]->packed, act};
        all_packed = all_packed && matrices[i]->packed;
    }
    for (int i = 0; i < count && !all_packed; i++) y[i] = plain_product(g, matrices[i], x, parts[i].act, past != NULL);
    if (all_packed) op_quantized_linears(g, x, count, parts, y);
    for (int i = 0; i < count; i++) {
        if (!is_adapted(matrices[i], past)) continue;
        y[i] = adapt(g, matrices[i], x, y[i], past);
        if (acts && acts[i] != ACTIVATION_NONE) y[i] = op_activation(g, y[i], acts[i]);
    }
}
static tensor *multiply(graph *g, const gemma3_matrix *m, tensor *x, const gemma3_past *past) {
    tensor *y;
    products(g, 1, &m, NULL, x, past, &y);
    return y;
}
static tensor *embed(graph *g, const gemma3_matrix *table, tensor *ids) {
    if (table->packed) return op_quantized_embedding(g, ids, table->packed);
    return op_embedding(g, ids, graph_parameter(g, table->weight));
}
static tensor *normed(graph *g, const gemma3 *m, parameter *weight, tensor *x) {
    return op_rms_norm(g, x, graph_parameter(g, weight), NULL, m->config.epsilon);
}
static tensor *add_normed(graph *g, const gemma3 *m, tensor *x, parameter *weight, tensor *y) {
    return op_rms_norm(g, y, graph_parameter(g, weight), x, m->config.epsilon);
}

/* One for both kinds of layers; `everywhere`: the global ones. */
static tensor *rotary_table(graph *g, const gemma3 *m, const gemma3_past *past, bool everywhere, int64_t tokens) {
    if (past) return everywhere ? past->global : past->local;
    return rotary_constant(g, m, everywhere, tokens);
}

/* What a layer does with its tokens. Those that nobody asks for need no more of the last layer than their keys. */
typedef enum layer_part {
    LAYER_STORES = 1, /* keys and values for later tokens */
    LAYER_ASKS = 2,   /* what earlier ones stored */
    LAYER_WHOLE = 3,
} layer_part;

static tensor *look_back(graph *g, const gemma3 *m, int index, tensor *q, const gemma3_past *past) {
    const gemma3_config *c = &m->config;
    int64_t window = gemma3_is_global(c, index) ? 0 : c->window;
    const cached_attention_options options = {.heads = c->heads,
                                              .key_heads = c->key_heads,
                                              .window = window,
                                              .most = window && window < past->most ? window : past->most,
                                              .factor = (float)(1 / sqrt(c->query_scalar)),
                                              .rows = past->rows,
                                              .layer = index};
    return op_cached_attention(g, q, &options);
}

static tensor *look_around(graph *g, const gemma3 *m, int index, tensor *q, tensor *k, tensor *v) {
    const gemma3_config *c = &m->config;
    const attention_options options = {.heads = c->heads,
                                       .key_heads = c->key_heads,
                                       .causal = true,
                                       .window = gemma3_is_global(c, index) ? 0 : c->window,
                                       .factor = (float)(1 / sqrt(c->query_scalar))};
    return op_attention(g, q, k, v, &options);
}

static tensor *attend(graph *g, const gemma3 *m, int index, tensor *x, tensor *table, const gemma3_past *past,
                      layer_part part) {
    const gemma3_layer *layer = &m->layers[index];
    const gemma3_matrix *all[3] = {&layer->query, &layer->key, &layer->value};
    tensor *y[3] = {0}, *k = NULL;
    int first = part & LAYER_ASKS ? 0 : 1, end = part & LAYER_STORES ? 3 : 1;
    products(g, end - first, all + first, NULL, x, past, y + first);
    if (part & LAYER_STORES) k = op_rotary(g, normed(g, m, layer->key_norm, y[1]), table, m->config.key_heads);
    if (part & LAYER_STORES && past) {
        op_cache_tokens(g, k, y[2], past->rows, index);
        if (past->stored) past->stored[index] = graph_mark(g);
    }
    if (part == LAYER_STORES) return NULL;
    tensor *q = op_rotary(g, normed(g, m, layer->query_norm, y[0]), table, m->config.heads);
    tensor *seen = past ? look_back(g, m, index, q, past) : look_around(g, m, index, q, k, y[2]);
    return multiply(g, &layer->output, seen, past);
}

static tensor *feed_forward(graph *g, const gemma3_layer *layer, tensor *x, const gemma3_past *past) {
    static const activation acts[] = {ACTIVATION_GELU_TANH, ACTIVATION_NONE};
    const gemma3_matrix *parts[] = {&layer->gate, &layer->up, &layer->down};
    bool plain_packed = true;
    for (int i = 0; i < 3; i++) plain_packed = plain_packed && parts[i]->packed && !is_adapted(parts[i], past);
    if (plain_packed)
        return op_quantized_feed_forward(g, x, layer->gate.packed, layer->up.packed, layer->down.packed, acts[0]);
    tensor *y[2];
    products(g, 2, parts, acts, x, past, y);
    return multiply(g, &layer->down, op_multiply(g, y[0], y[1]), past);
}

static tensor *layer_of(graph *g, const gemma3 *m, int index, tensor *x, tensor *table, const gemma3_past *past,
                        layer_part part) {
    const gemma3_layer *layer = &m->layers[index];
    tensor *seen = attend(g, m, index, normed(g, m, layer->before_attention, x), table, past, part);
    if (part == LAYER_STORES) return x;
    x = add_normed(g, m, x, layer->after_attention, seen);
    tensor *thought = feed_forward(g, layer, normed(g, m, layer->before_ffn, x), past);
    return add_normed(g, m, x, layer->after_ffn, thought);
}

tensor *gemma3_record_body(graph *g, const gemma3 *m, tensor *ids, tensor *vectors, const gemma3_past *past) {
    const gemma3_config *c = &m->config;
    if (!ids) return NULL;
    int64_t tokens = tensor_size(ids, 1);
    tensor *tables[2] = {rotary_table(g, m, past, false, tokens), rotary_table(g, m, past, true, tokens)};
    tensor *x = op_scale(g, embed(g, &m->table, ids), sqrtf((float)c->width));
    if (vectors) x = op_add(g, x, vectors);
    x = op_cast(g, x, graph_options_of(g)->type);
    for (int i = 0; i < c->layers; i++) {
        layer_part part = past && i + 1 == c->layers ? LAYER_STORES : LAYER_WHOLE;
        x = layer_of(g, m, i, x, tables[gemma3_is_global(c, i)], past, part);
    }
    return x;
}

tensor *gemma3_record_last_layer(graph *g, const gemma3 *m, tensor *x, const gemma3_past *past) {
    int last = m->config.layers - 1;
    tensor *table = gemma3_is_global(&m->config, last) ? past->global : past->local;
    return layer_of(g, m, last, op_cast(g, x, graph_options_of(g)->type), table, past, LAYER_ASKS);
}

tensor *gemma3_record_logits(graph *g, const gemma3 *m, tensor *x) {
    bool by_row = !graph_options_of(g)->training;
    tensor *logits =
        plain_product(g, m->config.tied ? &m->table : &m->head, normed(g, m, m->norm, x), ACTIVATION_NONE, by_row);
    return op_cast(g, logits, TENSOR_F32);
}

tensor *gemma3_record_loss(graph *g, const gemma3 *m, tensor *x, tensor *targets, tensor *shares) {
    const gemma3_matrix *words = m->config.tied ? &m->table : &m->head;
    assert(words->weight);
    x = op_cast(g, normed(g, m, m->norm, x), TENSOR_F32);
    return op_vocabulary_cross_entropy(g, x, graph_parameter(g, words->weight), targets, shares);
}
