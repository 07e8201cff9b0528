/* Gemma 3 from a GGUF file; see gemma3_packed.h and gemma3_gguf.h. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/gemma3_gguf.h"
#include "model/gemma3_packed.h"
#include "model/gemma3_rows.h"

/* ---- the configuration ---- */

#define CONTEXT_LENGTH "gemma3.context_length"

static carina_status get_size(const gguf_metadata *m, const char *key, int *out, carina_error *error) {
    uint32_t value;
    TRY(gguf_get_u32(&value, m, key, error));
    if (value < 1 || value > 1u << 24)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %s: %" PRIu32 " is no size", m->name, key, value);
    *out = (int)value;
    return CARINA_OK;
}

/* Optional; *out keeps its value. */
static carina_status get_real(const gguf_metadata *m, const char *key, double *out, carina_error *error) {
    float value;
    if (!gguf_find(m, key)) return CARINA_OK;
    TRY(gguf_get_f32(&value, m, key, error));
    *out = (double)value;
    return CARINA_OK;
}

static carina_status check_architecture(const gguf_metadata *m, carina_error *error) {
    gguf_text text;
    TRY(gguf_get_text(&text, m, "general.architecture", error));
    if (gguf_text_is(text, "gemma3")) return CARINA_OK;
    return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: general.architecture: \"%.*s\", known here is gemma3",
                     m->name, (int)(text.size < 60 ? text.size : 60), text.data);
}

static carina_status take_rotary(gemma3_config *c, const gguf_metadata *m, carina_error *error) {
    gguf_text type;
    TRY(get_real(m, "gemma3.rope.freq_base", &c->global_base, error));
    TRY(get_real(m, "gemma3.rope.freq_base_swa", &c->local_base, error));
    c->global_scale = 1;
    if (gguf_find(m, "gemma3.rope.scaling.type")) { /* a factor alone is linear */
        TRY(gguf_get_text(&type, m, "gemma3.rope.scaling.type", error));
        if (gguf_text_is(type, "none")) return CARINA_OK;
        if (!gguf_text_is(type, "linear"))
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: gemma3.rope.scaling.type: known here is linear",
                             m->name);
    }
    return get_real(m, "gemma3.rope.scaling.factor", &c->global_scale, error);
}

double gemma3_gguf_query_scalar(const gemma3_config *c) {
    return c->layers == 62 ? (double)c->width / c->heads : c->head_width;
}

/* The order of layers as a list: true where a layer has a window. It must be the order that one number says. */
static carina_status take_layer_list(gemma3_config *c, const gguf_metadata *m, carina_error *error) {
    const gguf_value *windows;
    uint64_t first = 0;
    TRY(gguf_get_array(&windows, m, GEMMA3_GGUF_GLOBAL_EVERY, GGUF_BOOL, error));
    while (first < windows->count && gguf_item_whole(windows, first)) first++;
    c->global_every = (int)(first < (uint64_t)c->layers ? first + 1 : (uint64_t)c->layers + 1);
    bool fits = windows->count == (uint64_t)c->layers;
    for (int i = 0; fits && i < c->layers; i++)
        fits = (gguf_item_whole(windows, (uint64_t)i) == 0) == gemma3_is_global(c, i);
    if (fits) return CARINA_OK;
    return error_set(error, CARINA_ERROR_UNSUPPORTED,
                     "%s: " GEMMA3_GGUF_GLOBAL_EVERY
                     ": not one global layer after every so many with a window, for each of the %d layers",
                     m->name, c->layers);
}

/* What published models have alike: the order of layers, and what queries are divided by. */
static carina_status take_own_keys(gemma3_config *c, const gguf_metadata *m, carina_error *error) {
    const gguf_value *every = gguf_find(m, GEMMA3_GGUF_GLOBAL_EVERY);
    if (every && every->is_array) TRY(take_layer_list(c, m, error));
    if (every && !every->is_array) TRY(get_size(m, GEMMA3_GGUF_GLOBAL_EVERY, &c->global_every, error));
    c->query_scalar = gemma3_gguf_query_scalar(c);
    return get_real(m, GEMMA3_GGUF_QUERY_SCALAR, &c->query_scalar, error);
}

/* Keys of other models' passes: with another value than Gemma 3's this would be another model. */
static carina_status refuse_features(const gemma3_config *c, const gguf_metadata *m, carina_error *error) {
    static const char *const caps[] = {"gemma3.attn_logit_softcapping", "gemma3.final_logit_softcapping"};
    static const char causal_key[] = "gemma3.attention.causal", turned_key[] = "gemma3.rope.dimension_count";
    for (int i = 0; i < 2; i++) {
        double cap = 0;
        TRY(get_real(m, caps[i], &cap, error));
        if (cap != 0)
            return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: %s: is Gemma 2's, not supported", m->name, caps[i]);
    }
    bool causal = true;
    if (gguf_find(m, causal_key)) TRY(gguf_get_bool(&causal, m, causal_key, error));
    if (!causal)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: %s: false is not supported here", m->name, causal_key);
    int turned = c->head_width;
    if (gguf_find(m, turned_key)) TRY(get_size(m, turned_key, &turned, error));
    if (turned == c->head_width) return CARINA_OK;
    return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: %s: %d of a head's %d values: not supported here", m->name,
                     turned_key, turned, c->head_width);
}

/* ---- names ---- */

static const char *const layer_parts[][2] = {
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "post_attention_norm"},
    {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"},
};
enum { LAYER_PARTS = sizeof layer_parts / sizeof *layer_parts };

/* Of the language model, as this file names it; or of the vision part, which is passed over. */
static bool is_known(const char *name) {
    static const char *const whole[] = {"token_embd.weight", "output_norm.weight", "output.weight"};
    static const char *const passed[] = {"v.", "mm."};
    char wanted[GGUF_MAX_NAME + 1];
    for (int i = 0; i < 3; i++)
        if (strcmp(name, whole[i]) == 0) return true;
    for (int i = 0; i < 2; i++)
        if (strncmp(name, passed[i], strlen(passed[i])) == 0) return true;
    unsigned long layer = strncmp(name, "blk.", 4) == 0 ? strtoul(name + 4, NULL, 10) : 0;
    for (int i = 0; i < LAYER_PARTS; i++) {
        snprintf(wanted, sizeof wanted, "blk.%lu.%s.weight", layer, layer_parts[i][1]);
        if (strcmp(name, wanted) == 0) return true;
    }
    return false;
}

/* What the metadata says must be what is there: a smaller number of layers would be another model, silently, and so
 * would tensors that nobody asks for. */
static carina_status check_extent(const gemma3_config *c, const gguf_file *file, carina_error *error) {
    const gguf_metadata *m = &file->metadata;
    int vocabulary = c->vocabulary;
    if (gguf_find(m, "gemma3.vocab_size")) TRY(get_size(m, "gemma3.vocab_size", &vocabulary, error));
    if (vocabulary != c->vocabulary)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: gemma3.vocab_size: %d, but token_embd.weight has %d rows",
                         file->name, vocabulary, c->vocabulary);
    for (uint64_t i = 0; i < file->tensor_count; i++) {
        const char *name = file->tensors[i].name;
        if (!is_known(name))
            return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s is none of Gemma 3's", file->name, name);
        if (strncmp(name, "blk.", 4) != 0 || strtoul(name + 4, NULL, 10) < (unsigned long)c->layers) continue;
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: tensor %s is of none of the %d layers of gemma3.block_count", file->name, name,
                         c->layers);
    }
    return CARINA_OK;
}

carina_status gemma3_gguf_config(gemma3_config *c, const gguf_file *file, carina_error *error) {
    const gguf_metadata *m = &file->metadata;
    const gguf_tensor *table = gguf_find_tensor(file, "token_embd.weight");
    double epsilon = 1e-6;
    int value_width;
    *c = gemma3_config_4b();
    TRY(check_architecture(m, error));
    const struct {
        const char *key;
        int *value;
    } sizes[] = {{"gemma3.embedding_length", &c->width},
                 {"gemma3.block_count", &c->layers},
                 {"gemma3.feed_forward_length", &c->ffn_width},
                 {"gemma3.attention.head_count", &c->heads},
                 {"gemma3.attention.head_count_kv", &c->key_heads},
                 {"gemma3.attention.key_length", &c->head_width},
                 {"gemma3.attention.value_length", &value_width},
                 {"gemma3.attention.sliding_window", &c->window}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) TRY(get_size(m, sizes[i].key, sizes[i].value, error));
    if (value_width != c->head_width)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "%s: values of %d beside keys of %d", m->name, value_width,
                         c->head_width);
    TRY(get_real(m, "gemma3.attention.layer_norm_rms_epsilon", &epsilon, error));
    TRY(take_rotary(c, m, error));
    /* Published models with scaled positions are made for 128 k tokens, the one without for 32 k. */
    c->positions = c->global_scale > 1 ? gemma3_config_4b().positions : gemma3_config_1b().positions;
    if (gguf_find(m, CONTEXT_LENGTH)) TRY(get_size(m, CONTEXT_LENGTH, &c->positions, error));
    if (!table || table->rank != 2 || table->shape[0] < 1 || table->shape[0] > 1u << 20)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: no table token_embd.weight [vocabulary,width]", m->name);
    c->vocabulary = (int)table->shape[0];
    c->epsilon = (float)epsilon;
    TRY(take_own_keys(c, m, error));
    c->tied = !gguf_find_tensor(file, "output.weight");
    if (gemma3_config_check(c, error) != CARINA_OK) return error_prefix(error, "%s", m->name);
    TRY(refuse_features(c, m, error));
    return check_extent(c, file, error);
}

void gemma3_gguf_name(char out[GGUF_MAX_NAME + 1], const char *name) {
    int layer, length = 0;
    const char *whole = strcmp(name, "model.embed_tokens.weight") == 0 ? "token_embd.weight"
                        : strcmp(name, "model.norm.weight") == 0       ? "output_norm.weight"
                                                                       : "output.weight";
    if (sscanf(name, "model.layers.%d.%n", &layer, &length) == 1 && length)
        for (int i = 0; i < LAYER_PARTS; i++)
            if (strncmp(name + length, layer_parts[i][0], strlen(layer_parts[i][0])) == 0 &&
                strcmp(name + length + strlen(layer_parts[i][0]), ".weight") == 0) {
                snprintf(out, GGUF_MAX_NAME + 1, "blk.%d.%s.weight", layer, layer_parts[i][1]);
                return;
            }
    snprintf(out, GGUF_MAX_NAME + 1, "%s", whole);
}

carina_status gemma3_gguf_find(const gguf_tensor **out, const gguf_file *file, const char *name, int rank,
                               const uint64_t *shape, carina_error *error) {
    char own[GGUF_MAX_NAME + 1];
    gemma3_gguf_name(own, name);
    const gguf_tensor *t = *out = gguf_find_tensor(file, own);
    if (!t) return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor %s", file->name, own);
    bool same = t->rank == rank;
    for (int i = 0; same && i < rank; i++) same = t->shape[i] == shape[i];
    if (!same)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s has another shape than the metadata wants",
                         file->name, own);
    if (gguf_type_is_decoded(t->type)) return CARINA_OK;
    return error_set(error, CARINA_ERROR_UNSUPPORTED,
                     "%s: tensor %s is %s; F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K can be read", file->name, own,
                     gguf_type_name(t->type));
}

/* ---- matrices ---- */

static quantized_kind kind_of(uint32_t type) {
    switch (type) {
        case GGUF_Q8_0:
        case GGUF_Q6_K: return QUANTIZED_Q8;
        case GGUF_Q4_0: return QUANTIZED_Q4;
        case GGUF_Q4_K: return QUANTIZED_Q4M;
        default: return QUANTIZED_BF16;
    }
}

typedef struct gguf_rows {
    const gguf_file *file;
    const gguf_tensor *tensor;
} gguf_rows;

/* scratch holds `inputs` floats: room for the quants (a byte each) and for scales and factors behind them (at most 6
 * bytes a group of 32). */
static carina_status set_row(void *context, quantized_matrix *m, int64_t row, float *scratch, carina_error *error) {
    const gguf_rows *rows = context;
    const gguf_tensor *t = rows->tensor;
    if (!gguf_type_has_quants(t->type)) {
        TRY(gguf_decode_rows(scratch, rows->file, t, (uint64_t)row, 1, error));
        return quantized_set_row(m, row, scratch, error);
    }
    uint64_t groups = t->row_length / 32;
    uint16_t *scales = (uint16_t *)scratch, *minima = scales + groups;
    uint8_t *factors = (uint8_t *)(minima + groups);
    const gguf_quants quants = {scales, minima, factors, factors + groups, (int8_t *)(factors + 2 * groups)};
    TRY(gguf_unpack_row(&quants, t->type, t->data + (uint64_t)row * t->row_bytes, t->row_length, error));
    const quantized_row taken = {quants.scales, quants.minima, quants.scale_factors, quants.minimum_factors,
                                 quants.quants};
    return quantized_set_quants(m, row, &taken, error);
}

/* *wide: all matrices are f32, and stay so; the memory is that of the file. */
static carina_status check_slots(gemma3 *m, const gguf_file *file, bool *wide, carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(m, slots);
    uint64_t total = 0, wide_total = 0;
    *wide = true;
    for (int i = 0; i < count; i++) {
        const gguf_tensor *t;
        uint64_t bytes, shape[2] = {(uint64_t)slots[i].outputs, (uint64_t)slots[i].inputs};
        TRY(gemma3_gguf_find(&t, file, slots[i].name, 2, shape, error));
        *wide &= t->type == GGUF_F32;
        wide_total += t->byte_count;
        if (quantized_bytes(&bytes, kind_of(t->type), slots[i].outputs, slots[i].inputs, error) != CARINA_OK)
            return error_prefix(error, "%s: %s", file->name, t->name);
        total += bytes;
    }
    return gemma3_check_memory(file->name, *wide ? wide_total : total, error);
}

static carina_status fill_slots(gemma3 *m, const gguf_file *file, thread_pool *pool, carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(m, slots);
    for (int i = 0; i < count; i++) {
        gguf_rows rows = {.file = file};
        uint64_t shape[2] = {(uint64_t)slots[i].outputs, (uint64_t)slots[i].inputs};
        TRY(gemma3_gguf_find(&rows.tensor, file, slots[i].name, 2, shape, error));
        if (gemma3_fill_slot(&slots[i], kind_of(rows.tensor->type), set_row, &rows, pool, error) != CARINA_OK)
            return error_prefix(error, "%s", file->name);
        file_map_forget(rows.tensor->data, rows.tensor->byte_count);
    }
    return CARINA_OK;
}

/* A norm, or a matrix that stays f32. */
static carina_status copy_parameter(parameter *p, const gguf_file *file, carina_error *error) {
    const gguf_tensor *t;
    uint64_t shape[2] = {(uint64_t)p->size[0], p->rank == 2 ? (uint64_t)p->size[1] : 0};
    TRY(gemma3_gguf_find(&t, file, p->name, p->rank, shape, error));
    TRY(gguf_decode_rows(p->value, file, t, 0, t->row_count, error));
    for (int64_t i = 0; i < p->count; i++) {
        if (!isfinite(p->value[i]))
            return error_set(error, CARINA_ERROR_FORMAT, "%s: tensor %s: value %" PRId64 " is not a finite number",
                             file->name, t->name, i);
        if (p->rank == 1) p->value[i] -= 1; /* the file has what is multiplied with */
    }
    return CARINA_OK;
}

carina_status gemma3_from_gguf(gemma3 **out, const gguf_file *file, thread_pool *pool, carina_error *error) {
    gemma3_config config;
    *out = NULL;
    TRY(gemma3_gguf_config(&config, file, error));
    gemma3 shape = {.config = config};
    bool wide;
    TRY(check_slots(&shape, file, &wide, error));
    TRY(wide ? gemma3_create_empty(out, &config, error) : gemma3_create_packed(out, &config, error));
    carina_status status = wide ? CARINA_OK : fill_slots(*out, file, pool, error);
    for (int i = 0; i < (*out)->parameters->count && status == CARINA_OK; i++)
        status = copy_parameter((*out)->parameters->items[i], file, error);
    if (status == CARINA_OK) {
        parameters_changed((*out)->parameters);
        return CARINA_OK;
    }
    gemma3_free(*out);
    *out = NULL;
    return status;
}
