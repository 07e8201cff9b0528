/* Reading a Hugging Face Gemma 3 folder; see gemma3_file.h. */
#include "model/gemma3_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "format/safetensors_shards.h"
#include "model/gemma3_rows.h"

/* ---- config.json ---- */

typedef struct reader {
    const json_document *document;
    const json_value *object; /* the text part's */
    carina_error *error;
} reader;

/* Optional ones: *out keeps its value when there is none. */
static carina_status get_size(const reader *r, const char *key, int *out) {
    int64_t value;
    if (!json_has(r->object, key)) return CARINA_OK;
    TRY(json_get_whole(r->document, r->object, key, 1, 1 << 24, &value, r->error));
    *out = (int)value;
    return CARINA_OK;
}

static carina_status get_number(const reader *r, const json_value *object, const char *key, double *out) {
    if (!json_has(object, key)) return CARINA_OK;
    return json_get_number(r->document, object, key, out, r->error);
}

static carina_status refuse(const reader *r, const json_value *object, const char *key, const char *known) {
    const char *text = json_text(json_find(object, key));
    return json_fail(r->document, object, key, CARINA_ERROR_UNSUPPORTED, r->error, "\"%.60s\", known here is %s",
                     text ? text : "..", known);
}

/* Linear scaling of the global layers' positions, or none. */
static carina_status take_scaling(const reader *r, const json_value *scaling, double *factor) {
    static const char *const keys[] = {"rope_type", "type"};
    bool linear = false, named = false;
    for (int i = 0; i < 2; i++) {
        const char *type = NULL;
        if (json_has(scaling, keys[i])) TRY(json_get_text(r->document, scaling, keys[i], &type, r->error));
        if (type && strcmp(type, "linear") != 0 && strcmp(type, "default") != 0)
            return refuse(r, scaling, keys[i], "linear");
        linear |= type && strcmp(type, "linear") == 0;
        named |= type != NULL;
    }
    if (!named && json_has(scaling, "factor"))
        return json_fail(r->document, scaling, "rope_type", CARINA_ERROR_FORMAT, r->error,
                         "missing, although there is a factor");
    *factor = 1;
    return linear ? json_get_number(r->document, scaling, "factor", factor, r->error) : CARINA_OK;
}

static carina_status take_rotary(const reader *r, gemma3_config *c) {
    const json_value *both, *scaling;
    c->global_scale = 1;
    if (json_has(r->object, "rope_parameters")) { /* newer files: a section for each kind of layer */
        const json_value *global, *local;
        double local_scale;
        TRY(json_get_object(r->document, r->object, "rope_parameters", &both, r->error));
        TRY(json_get_object(r->document, both, "full_attention", &global, r->error));
        TRY(json_get_object(r->document, both, "sliding_attention", &local, r->error));
        TRY(get_number(r, global, "rope_theta", &c->global_base));
        TRY(get_number(r, local, "rope_theta", &c->local_base));
        TRY(take_scaling(r, local, &local_scale));
        if (local_scale != 1)
            return json_fail(r->document, local, "factor", CARINA_ERROR_UNSUPPORTED, r->error,
                             "%g: window layers are not scaled here", local_scale);
        return take_scaling(r, global, &c->global_scale);
    }
    TRY(get_number(r, r->object, "rope_theta", &c->global_base));
    TRY(get_number(r, r->object, "rope_local_base_freq", &c->local_base));
    if (!json_has(r->object, "rope_scaling")) return CARINA_OK;
    TRY(json_get_object(r->document, r->object, "rope_scaling", &scaling, r->error));
    return take_scaling(r, scaling, &c->global_scale);
}

/* Newer files list every layer's kind; it must be the order that one number says. */
static carina_status take_layer_types(const reader *r, gemma3_config *c) {
    static const char *const kinds[] = {"sliding_attention", "full_attention"};
    const json_value *types;
    TRY(get_size(r, "sliding_window_pattern", &c->global_every));
    if (!json_has(r->object, "layer_types")) return CARINA_OK;
    TRY(json_get_array(r->document, r->object, "layer_types", &types, r->error));
    bool fits = json_count(types) == (uint64_t)c->layers, first = true;
    for (int i = 0; fits && i < c->layers; i++) {
        const char *type = json_text(json_item(types, (uint64_t)i));
        bool global = type && strcmp(type, kinds[1]) == 0;
        if (first) c->global_every = global ? i + 1 : c->layers + 1; /* no global one so far */
        first &= !global;
        fits = type && strcmp(type, kinds[gemma3_is_global(c, i)]) == 0;
    }
    if (fits) return CARINA_OK;
    return json_fail(r->document, r->object, "layer_types", CARINA_ERROR_UNSUPPORTED, r->error,
                     "not one full_attention after every so many sliding_attention, for each of the %d layers",
                     c->layers);
}

static carina_status expect_absent(const reader *r, const char *key) {
    if (!json_has(r->object, key)) return CARINA_OK;
    return json_fail(r->document, r->object, key, CARINA_ERROR_UNSUPPORTED, r->error, "is Gemma 2's, not supported");
}

/* Gemma 3's function under its own name, and under the one that other models' files have. */
static carina_status check_activation(const reader *r) {
    static const char *const keys[] = {"hidden_activation", "hidden_act"};
    for (int i = 0; i < 2; i++) {
        const char *function;
        if (!json_has(r->object, keys[i])) continue;
        TRY(json_get_text(r->document, r->object, keys[i], &function, r->error));
        if (strcmp(function, "gelu_pytorch_tanh") != 0) return refuse(r, r->object, keys[i], "gelu_pytorch_tanh");
    }
    return CARINA_OK;
}

static carina_status expect_off(const reader *r, const char *key) {
    bool on = false;
    if (json_has(r->object, key)) TRY(json_get_truth(r->document, r->object, key, &on, r->error));
    if (!on) return CARINA_OK;
    return json_fail(r->document, r->object, key, CARINA_ERROR_UNSUPPORTED, r->error, "true is not supported here");
}

/* Weights that some library has packed in its own way: their tensors are not what their names say. */
static carina_status refuse_quantisation(const reader *r, const json_value *object) {
    const json_value *settings;
    if (!json_has(object, "quantization_config")) return CARINA_OK;
    TRY(json_get_object(r->document, object, "quantization_config", &settings, r->error));
    const char *method = json_text(json_find(settings, "quant_method"));
    return json_fail(r->document, object, "quantization_config", CARINA_ERROR_UNSUPPORTED, r->error,
                     "weights quantised by \"%.60s\" are not read; take the model's plain weights, or a GGUF file",
                     method ? method : "..");
}

static carina_status take_text_part(const reader *r, gemma3_config *c) {
    double epsilon = (double)c->epsilon;
    TRY(refuse_quantisation(r, r->object));
    TRY(expect_absent(r, "attn_logit_softcapping"));
    TRY(expect_absent(r, "final_logit_softcapping"));
    TRY(expect_off(r, "attention_bias"));
    TRY(expect_off(r, "use_bidirectional_attention"));
    TRY(check_activation(r));
    const struct {
        const char *key;
        int *value;
    } sizes[] = {{"vocab_size", &c->vocabulary},
                 {"hidden_size", &c->width},
                 {"num_hidden_layers", &c->layers},
                 {"num_attention_heads", &c->heads},
                 {"num_key_value_heads", &c->key_heads},
                 {"head_dim", &c->head_width},
                 {"intermediate_size", &c->ffn_width},
                 {"sliding_window", &c->window},
                 {"max_position_embeddings", &c->positions}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) TRY(get_size(r, sizes[i].key, sizes[i].value));
    TRY(get_number(r, r->object, "query_pre_attn_scalar", &c->query_scalar));
    TRY(get_number(r, r->object, "rms_norm_eps", &epsilon));
    c->epsilon = (float)epsilon;
    if (json_has(r->object, "tie_word_embeddings"))
        TRY(json_get_truth(r->document, r->object, "tie_word_embeddings", &c->tied, r->error));
    TRY(take_rotary(r, c));
    TRY(take_layer_types(r, c));
    carina_status status = gemma3_config_check(c, r->error);
    return status == CARINA_OK ? status : error_prefix(r->error, "%s", json_name(r->document));
}

static carina_status parse_config(gemma3_config *out, const json_document *d, carina_error *error) {
    reader r = {d, json_root(d), error};
    const char *type;
    if (json_kind_of(r.object) != JSON_KIND_OBJECT)
        return json_fail(d, r.object, NULL, CARINA_ERROR_FORMAT, error, "an object is wanted");
    TRY(json_get_text(d, r.object, "model_type", &type, error));
    bool nested = strcmp(type, "gemma3") == 0;
    if (!nested && strcmp(type, "gemma3_text") != 0) return refuse(&r, r.object, "model_type", "gemma3 or gemma3_text");
    const json_value *root = r.object;
    if (nested) {
        TRY(refuse_quantisation(&r, root));
        TRY(json_get_object(d, root, "text_config", &r.object, error));
        if (json_has(r.object, "model_type")) TRY(json_get_text(d, r.object, "model_type", &type, error));
        if (strncmp(type, "gemma3", 6) != 0) return refuse(&r, r.object, "model_type", "gemma3_text");
    }
    TRY(take_text_part(&r, out));
    if (nested && json_has(root, "tie_word_embeddings"))
        TRY(json_get_truth(d, root, "tie_word_embeddings", &out->tied, error));
    return CARINA_OK;
}

carina_status gemma3_config_parse(gemma3_config *out, const char *name, const void *data, uint64_t size,
                                  carina_error *error) {
    json_document *d;
    *out = gemma3_config_4b(); /* with the defaults of the published configuration where 4B has another value */
    out->width = 2304;
    out->layers = 26;
    out->ffn_width = 9216;
    out->window = 4096;
    TRY(json_parse(&d, name, data, size, NULL, error));
    carina_status status = parse_config(out, d, error);
    json_free(d);
    return status;
}

/* ---- weights ---- */

const char *gemma3_plain_name(const char *name, char buffer[160]) {
    static const char *const passed[] = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                                         "model.multi_modal_projector."};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (strncmp(name, passed[i], strlen(passed[i])) == 0) return NULL;
    if (strncmp(name, "language_model.", 15) == 0) return name + 15;
    if (strncmp(name, "model.language_model.", 21) != 0) return name;
    snprintf(buffer, 160, "model.%s", name + 21);
    return buffer;
}

static carina_status find(const named_tensor **out, const tensor_file *file, const char *path, const char *name,
                          carina_error *error) {
    char buffer[160];
    *out = NULL;
    for (uint64_t i = 0; i < file->count; i++) {
        const char *plain = gemma3_plain_name(file->tensors[i].name, buffer);
        if (!plain || strcmp(plain, name) != 0) continue;
        if (*out)
            return error_set(error, CARINA_ERROR_MISMATCH, "%s: %s and %s are both %s", path, (*out)->name,
                             file->tensors[i].name, name);
        *out = &file->tensors[i];
    }
    if (*out) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor %s", path, name);
}

carina_status gemma3_find_tensor(const named_tensor **out, const tensor_file *file, const char *path, const char *name,
                                 int rank, const uint64_t *shape, carina_error *error) {
    TRY(find(out, file, path, name, error));
    return named_tensor_check_shape(*out, path, rank, shape, "the configuration", error);
}

static carina_status check_matrix(const tensor_file *file, const char *path, const char *name, int64_t rows,
                                  int64_t columns, carina_error *error) {
    const named_tensor *t;
    return gemma3_find_tensor(&t, file, path, name, 2, (uint64_t[]){(uint64_t)rows, (uint64_t)columns}, error);
}

/* The matrices that set every size: once they are there, the parameters take no more memory than the file does. */
static carina_status check_sizes(const gemma3_config *c, const tensor_file *file, const char *path,
                                 carina_error *error) {
    TRY(check_matrix(file, path, "model.embed_tokens.weight", c->vocabulary, c->width, error));
    for (int i = 0; i < c->layers; i++) {
        char name[96];
        snprintf(name, sizeof name, "model.layers.%d.self_attn.q_proj.weight", i);
        TRY(check_matrix(file, path, name, (int64_t)c->heads * c->head_width, c->width, error));
        snprintf(name, sizeof name, "model.layers.%d.mlp.down_proj.weight", i);
        TRY(check_matrix(file, path, name, c->width, c->ffn_width, error));
    }
    return CARINA_OK;
}

/* What all matrices take in f32. */
static carina_status check_memory(const gemma3_config *c, const char *path, carina_error *error) {
    gemma3 shape = {.config = *c};
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(&shape, slots);
    uint64_t values = 0;
    for (int i = 0; i < count; i++) values += (uint64_t)slots[i].outputs * (uint64_t)slots[i].inputs;
    return gemma3_check_memory(path, values * sizeof(float), error);
}

static bool is_slot(gemma3 *m, const char *name) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(m, slots);
    for (int i = 0; i < count; i++)
        if (strcmp(slots[i].name, name) == 0) return true;
    /* A tied model may be saved with its table twice. */
    return m->config.tied && strcmp(name, "lm_head.weight") == 0;
}

/* A tied model's own output head must be its table: another one would be left out without a word. */
static carina_status check_tied_head(const gemma3 *m, const tensor_file *file, const char *path, const named_tensor *t,
                                     carina_error *error) {
    const named_tensor *table;
    uint64_t shape[2] = {(uint64_t)m->config.vocabulary, (uint64_t)m->config.width};
    TRY(gemma3_find_tensor(&table, file, path, "model.embed_tokens.weight", 2, shape, error));
    TRY(named_tensor_check_shape(t, path, 2, shape, "the configuration", error));
    if (t->dtype == table->dtype && memcmp(t->data, table->data, (size_t)t->byte_count) == 0) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH,
                     "%s: tensor %s is not the table %s, although the configuration ties them; set "
                     "tie_word_embeddings to false in config.json, or remove the tensor",
                     path, t->name, table->name);
}

carina_status gemma3_refuse_strangers(gemma3 *m, const tensor_file *file, const char *path, carina_error *error) {
    char buffer[160];
    for (uint64_t i = 0; i < file->count; i++) {
        const char *name = gemma3_plain_name(file->tensors[i].name, buffer);
        if (name && m->config.tied && strcmp(name, "lm_head.weight") == 0)
            TRY(check_tied_head(m, file, path, &file->tensors[i], error));
        if (!name || parameters_find(m->parameters, name) || is_slot(m, name)) continue;
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: tensor %s is not of the model that the configuration describes (%d layers)", path,
                         file->tensors[i].name, m->config.layers);
    }
    return CARINA_OK;
}

carina_status gemma3_copy_parameter(parameter *p, const tensor_file *file, const char *path, carina_error *error) {
    const named_tensor *t;
    uint64_t shape[TENSOR_MAX_RANK];
    for (int i = 0; i < p->rank; i++) shape[i] = (uint64_t)p->size[i];
    TRY(gemma3_find_tensor(&t, file, path, p->name, p->rank, shape, error));
    carina_status status = named_tensor_check_finite(t, error);
    if (status == CARINA_OK) status = named_tensor_to_f32(t, p->value, (uint64_t)p->count, error);
    return status == CARINA_OK ? status : error_prefix(error, "%s", path);
}

carina_status gemma3_from_tensors(gemma3 **out, const gemma3_config *config, const tensor_file *weights,
                                  const char *path, carina_error *error) {
    *out = NULL;
    TRY(check_sizes(config, weights, path, error));
    TRY(check_memory(config, path, error));
    TRY(gemma3_create_empty(out, config, error));
    carina_status status = gemma3_refuse_strangers(*out, weights, path, error);
    for (int i = 0; i < (*out)->parameters->count && status == CARINA_OK; i++)
        status = gemma3_copy_parameter((*out)->parameters->items[i], weights, path, error);
    if (status == CARINA_OK) {
        parameters_changed((*out)->parameters);
        return CARINA_OK;
    }
    gemma3_free(*out);
    *out = NULL;
    return status;
}

carina_status gemma3_config_read(gemma3_config *out, const char *folder, carina_error *error) {
    uint8_t *data;
    uint64_t size;
    char *path = path_join(folder, "config.json");
    if (!path) return error_memory(error, folder, 4096);
    carina_status status = file_read(path, 1 << 20, &data, &size, error);
    if (status == CARINA_OK) {
        status = gemma3_config_parse(out, path, data, size, error);
        free(data);
    }
    free(path);
    return status;
}

carina_status gemma3_load(gemma3 **out, const char *folder, carina_error *error) {
    gemma3_config config;
    tensor_file weights;
    *out = NULL;
    TRY(gemma3_config_read(&config, folder, error));
    TRY(safetensors_folder_read(&weights, folder, error));
    carina_status status = gemma3_from_tensors(out, &config, &weights, folder, error);
    tensor_file_free(&weights);
    return status;
}
