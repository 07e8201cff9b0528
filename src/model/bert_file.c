/* Reading and writing a Hugging Face BERT directory; see bert_file.h. */
#include "model/bert_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "format/json_writer.h"
#include "format/safetensors_shards.h"
#include "format/tensor_read.h"
#include "model/parameters_file.h"

/* ---- config.json ---- */

static const struct {
    const char *name;
    activation function;
} functions[] = {{"gelu", ACTIVATION_GELU}, {"gelu_new", ACTIVATION_GELU_TANH}, {"relu", ACTIVATION_RELU}};

static carina_status get_size(const json_document *d, const char *key, int *out, carina_error *error) {
    int64_t value;
    TRY(json_get_whole(d, json_root(d), key, 1, 1 << 24, &value, error));
    *out = (int)value;
    return CARINA_OK;
}

/* An optional number; *out keeps its value when there is none. */
static carina_status get_real(const json_document *d, const char *key, double low, double high, float *out,
                              carina_error *error) {
    if (!json_has(json_root(d), key)) return CARINA_OK;
    double value;
    TRY(json_get_number(d, json_root(d), key, &value, error));
    if (!(value >= low && value <= high))
        return json_fail(d, json_root(d), key, CARINA_ERROR_FORMAT, error, "%g is not within %g to %g", value, low,
                         high);
    *out = (float)value;
    return CARINA_OK;
}

/* A text that must be `wanted` when it is there. */
static carina_status expect_text(const json_document *d, const char *key, const char *wanted, carina_error *error) {
    if (!json_has(json_root(d), key)) return CARINA_OK;
    const char *text;
    TRY(json_get_text(d, json_root(d), key, &text, error));
    if (strcmp(text, wanted) == 0) return CARINA_OK;
    return json_fail(d, json_root(d), key, CARINA_ERROR_UNSUPPORTED, error, "\"%.60s\", only %s is known here", text,
                     wanted);
}

static carina_status get_function(const json_document *d, activation *out, carina_error *error) {
    const char *text = "gelu";
    if (json_has(json_root(d), "hidden_act")) TRY(json_get_text(d, json_root(d), "hidden_act", &text, error));
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        *out = functions[i].function;
        if (strcmp(functions[i].name, text) == 0) return CARINA_OK;
    }
    return json_fail(d, json_root(d), "hidden_act", CARINA_ERROR_UNSUPPORTED, error,
                     "\"%.60s\", known are gelu, gelu_new and relu", text);
}

static carina_status parse_config(bert_config *out, const json_document *d, carina_error *error) {
    if (json_kind_of(json_root(d)) != JSON_KIND_OBJECT)
        return json_fail(d, json_root(d), NULL, CARINA_ERROR_FORMAT, error, "an object is wanted");
    TRY(expect_text(d, "model_type", "bert", error));
    TRY(expect_text(d, "position_embedding_type", "absolute", error));
    TRY(get_size(d, "vocab_size", &out->vocabulary, error));
    TRY(get_size(d, "hidden_size", &out->width, error));
    TRY(get_size(d, "num_hidden_layers", &out->layers, error));
    TRY(get_size(d, "num_attention_heads", &out->heads, error));
    TRY(get_size(d, "intermediate_size", &out->ffn_width, error));
    TRY(get_size(d, "max_position_embeddings", &out->positions, error));
    TRY(get_size(d, "type_vocab_size", &out->types, error));
    TRY(get_real(d, "layer_norm_eps", 0, 1, &out->epsilon, error));
    TRY(get_real(d, "hidden_dropout_prob", 0, 0.99, &out->dropout, error));
    TRY(get_function(d, &out->function, error));
    carina_status status = bert_config_check(out, error);
    return status == CARINA_OK ? status : error_prefix(error, "%s", json_name(d));
}

carina_status bert_config_parse(bert_config *out, const char *name, const void *data, uint64_t size,
                                carina_error *error) {
    *out = (bert_config){.epsilon = 1e-12f, .dropout = 0.1f};
    json_document *d;
    TRY(json_parse(&d, name, data, size, NULL, error));
    carina_status status = parse_config(out, d, error);
    json_free(d);
    return status;
}

/* ---- tensors by name ---- */

static const char *stripped(const char *name) {
    static const char *const prefixes[] = {"text_model.", "model.", "bert."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], length) == 0) return stripped(name + length);
    }
    return name;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Whether a tensor's name means this parameter; older files call LayerNorm's weight and bias gamma and beta. */
static bool means(const char *tensor_name, const char *parameter_name) {
    const char *name = stripped(tensor_name);
    if (strcmp(name, parameter_name) == 0) return true;
    static const char *const old[][2] = {{"LayerNorm.gamma", "LayerNorm.weight"}, {"LayerNorm.beta", "LayerNorm.bias"}};
    for (int i = 0; i < 2; i++) {
        if (!ends_with(name, old[i][0]) || !ends_with(parameter_name, old[i][1])) continue;
        size_t length = strlen(name) - strlen(old[i][0]);
        if (length == strlen(parameter_name) - strlen(old[i][1]) && memcmp(name, parameter_name, length) == 0)
            return true;
    }
    return false;
}

/* Parts of other models' heads, which a sentence encoder has no use for. */
static bool is_passed_over(const char *tensor_name) {
    static const char *const beginnings[] = {
        "cls.", "pooler.", "classifier.", "qa_outputs.", "vis_model.", "logit_scale", "embeddings.position_ids"};
    const char *name = stripped(tensor_name);
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0) return true;
    return false;
}

static carina_status find(const named_tensor **out, const tensor_file *file, const char *path, const char *name,
                          carina_error *error) {
    *out = NULL;
    for (uint64_t i = 0; i < file->count; i++) {
        if (!means(file->tensors[i].name, name)) continue;
        if (*out)
            return error_set(error, CARINA_ERROR_MISMATCH, "%s: %s and %s are both %s", path, (*out)->name,
                             file->tensors[i].name, name);
        *out = &file->tensors[i];
    }
    if (*out) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor %s", path, name);
}

static carina_status check_shape(const named_tensor *t, const char *path, int rank, const uint64_t *shape,
                                 carina_error *error) {
    return named_tensor_check_shape(t, path, rank, shape, "the configuration", error);
}

static carina_status check_matrix(const tensor_file *file, const char *path, const char *name, int rows, int columns,
                                  carina_error *error) {
    const named_tensor *t;
    TRY(find(&t, file, path, name, error));
    return check_shape(t, path, 2, (uint64_t[]){(uint64_t)rows, (uint64_t)columns}, error);
}

/* The matrices that set every size: once they are there, the parameters take no more memory than the file does. */
static carina_status check_sizes(const bert_config *c, const tensor_file *file, const char *path, carina_error *error) {
    TRY(check_matrix(file, path, "embeddings.word_embeddings.weight", c->vocabulary, c->width, error));
    TRY(check_matrix(file, path, "embeddings.position_embeddings.weight", c->positions, c->width, error));
    TRY(check_matrix(file, path, "embeddings.token_type_embeddings.weight", c->types, c->width, error));
    for (int i = 0; i < c->layers; i++) {
        char name[96];
        snprintf(name, sizeof name, "encoder.layer.%d.attention.self.query.weight", i);
        TRY(check_matrix(file, path, name, c->width, c->width, error));
        snprintf(name, sizeof name, "encoder.layer.%d.intermediate.dense.weight", i);
        TRY(check_matrix(file, path, name, c->ffn_width, c->width, error));
    }
    return CARINA_OK;
}

/* Its sizes are its shapes; width 0 when the file has none. */
static carina_status find_projector(bert_config *c, const tensor_file *file, const char *path, carina_error *error) {
    const named_tensor *first, *second;
    c->projector_width = c->feature_size = 0;
    bool any = false;
    for (uint64_t i = 0; i < file->count; i++)
        any |= strncmp(stripped(file->tensors[i].name), "project_head.", 13) == 0;
    if (!any) return CARINA_OK;
    TRY(find(&first, file, path, "project_head.proj.0.weight", error));
    TRY(find(&second, file, path, "project_head.proj.2.weight", error));
    if (first->rank == 2 && second->rank == 2 && first->shape[0] && first->shape[0] <= 65536 && second->shape[0] &&
        second->shape[0] <= 4096) {
        c->projector_width = (int)first->shape[0];
        c->feature_size = (int)second->shape[0];
    } else {
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: project_head.proj.0 and .2 are no projector's matrices",
                         path);
    }
    uint64_t width = (uint64_t)c->projector_width;
    TRY(check_shape(first, path, 2, (uint64_t[]){width, (uint64_t)c->width}, error));
    return check_shape(second, path, 2, (uint64_t[]){(uint64_t)c->feature_size, width}, error);
}

static carina_status copy_parameter(parameter *p, const tensor_file *file, const char *path, carina_error *error) {
    const named_tensor *t;
    uint64_t shape[TENSOR_MAX_RANK];
    for (int i = 0; i < p->rank; i++) shape[i] = (uint64_t)p->size[i];
    TRY(find(&t, file, path, p->name, error));
    TRY(check_shape(t, path, p->rank, shape, error));
    carina_status status = named_tensor_check_finite(t, error);
    if (status == CARINA_OK) status = named_tensor_to_f32(t, p->value, (uint64_t)p->count, error);
    return status == CARINA_OK ? status : error_prefix(error, "%s", path);
}

static carina_status refuse_strangers(const bert *m, const tensor_file *file, const char *path, carina_error *error) {
    for (uint64_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        bool known = is_passed_over(name);
        for (int j = 0; !known && j < m->parameters->count; j++) known = means(name, m->parameters->items[j]->name);
        if (!known)
            return error_set(error, CARINA_ERROR_MISMATCH,
                             "%s: tensor %s is not of the model that the configuration describes (%d layers)", path,
                             name, m->config.layers);
    }
    return CARINA_OK;
}

static carina_status copy_all(bert *m, const tensor_file *file, const char *path, carina_error *error) {
    TRY(refuse_strangers(m, file, path, error));
    for (int i = 0; i < m->parameters->count; i++) TRY(copy_parameter(m->parameters->items[i], file, path, error));
    parameters_changed(m->parameters);
    return CARINA_OK;
}

carina_status bert_from_tensors(bert **out, const bert_config *config, const tensor_file *weights, const char *path,
                                carina_error *error) {
    *out = NULL;
    bert_config c = *config;
    TRY(check_sizes(&c, weights, path, error));
    TRY(find_projector(&c, weights, path, error));
    TRY(bert_create_empty(out, &c, error));
    carina_status status = copy_all(*out, weights, path, error);
    if (status == CARINA_OK) return status;
    bert_free(*out);
    *out = NULL;
    return status;
}

/* ---- directories ---- */

static carina_status read_config(bert_config *out, const char *folder, carina_error *error) {
    char *path = path_join(folder, "config.json");
    if (!path) return error_memory(error, folder, 4096);
    uint8_t *data;
    uint64_t size;
    carina_status status = file_read(path, 1 << 20, &data, &size, error);
    if (status == CARINA_OK) {
        status = bert_config_parse(out, path, data, size, error);
        free(data);
    }
    free(path);
    return status;
}

#define SHARDS "model.safetensors.index.json"

/* The first of the usual names that is there; malloc'ed. */
static carina_status weights_path(char **out, const char *folder, carina_error *error) {
    static const char *const names[] = {"model.safetensors",         SHARDS,
                                        "pytorch_model.safetensors", "pytorch_model.bin",
                                        "pytorch_model.pth",         "model.pth"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *out = path_join(folder, names[i]);
        if (!*out) return error_memory(error, folder, 4096);
        if (file_exists(*out)) return CARINA_OK;
        free(*out);
    }
    *out = NULL;
    return error_set(error, CARINA_ERROR_IO, "%s: no weights: model.safetensors, pytorch_model.bin or .pth", folder);
}

static carina_status read_weights(tensor_file *out, const char *folder, const char *path, carina_error *error) {
    bool in_shards = strcmp(path_name(path), SHARDS) == 0;
    return in_shards ? safetensors_folder_read(out, folder, error) : tensor_read(out, path, error);
}

carina_status bert_load(bert **out, const char *folder, carina_error *error) {
    *out = NULL;
    bert_config config;
    char *path = NULL;
    tensor_file weights = {0};
    TRY(read_config(&config, folder, error));
    TRY(weights_path(&path, folder, error));
    carina_status status = read_weights(&weights, folder, path, error);
    if (status == CARINA_OK) status = bert_from_tensors(out, &config, &weights, path, error);
    tensor_file_free(&weights);
    free(path);
    return status;
}

static carina_status with_projector(bert **out, const bert *model, const tensor_file *file, const char *path,
                                    carina_error *error) {
    bert_config c = model->config;
    TRY(find_projector(&c, file, path, error));
    if (c.feature_size == 0)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor project_head.proj.0.weight: no projector", path);
    TRY(bert_create_empty(out, &c, error));
    for (int i = 0; i < (*out)->parameters->count; i++) {
        parameter *p = (*out)->parameters->items[i], *old = parameters_find(model->parameters, p->name);
        if (strncmp(p->name, "project_head.", 13) == 0)
            TRY(copy_parameter(p, file, path, error));
        else
            memcpy(p->value, old->value, (size_t)p->count * sizeof *p->value);
    }
    return CARINA_OK;
}

carina_status bert_load_projector(bert **model, const char *path, carina_error *error) {
    tensor_file file = {0};
    bert *replaced = NULL;
    TRY(tensor_read(&file, path, error));
    carina_status status = with_projector(&replaced, *model, &file, path, error);
    tensor_file_free(&file);
    if (status != CARINA_OK) {
        bert_free(replaced);
        return status;
    }
    bert_free(*model);
    *model = replaced;
    return CARINA_OK;
}

/* ---- writing ---- */

static carina_status write_config(const bert_config *c, const char *path, carina_error *error) {
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    json_begin_object(&w);
    json_key(&w, "architectures");
    json_begin_inline(&w, false);
    json_put_text(&w, "BertModel");
    json_end(&w);
    json_field_text(&w, "model_type", "bert");
    json_field_whole(&w, "vocab_size", c->vocabulary);
    json_field_whole(&w, "hidden_size", c->width);
    json_field_whole(&w, "num_hidden_layers", c->layers);
    json_field_whole(&w, "num_attention_heads", c->heads);
    json_field_whole(&w, "intermediate_size", c->ffn_width);
    json_field_whole(&w, "max_position_embeddings", c->positions);
    json_field_whole(&w, "type_vocab_size", c->types);
    json_field_text(&w, "position_embedding_type", "absolute");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (functions[i].function == c->function) json_field_text(&w, "hidden_act", functions[i].name);
    json_key(&w, "layer_norm_eps");
    json_put_f32(&w, c->epsilon);
    json_key(&w, "hidden_dropout_prob");
    json_put_f32(&w, c->dropout);
    json_end(&w);
    return file_writer_commit(writer, error);
}

carina_status bert_save_as(const bert *model, const char *folder, const bert_save_options *options,
                           carina_error *error) {
    TRY(file_make_folders(folder, error));
    char *config = path_join(folder, "config.json"), *weights = path_join(folder, "model.safetensors");
    carina_status status = config && weights ? CARINA_OK : error_memory(error, folder, 4096);
    if (status == CARINA_OK) status = write_config(&model->config, config, error);
    if (status == CARINA_OK)
        status = parameters_write(model->parameters, weights, options->type, options->metadata, options->metadata_count,
                                  error);
    free(config);
    free(weights);
    return status;
}

carina_status bert_save(const bert *model, const char *folder, carina_error *error) {
    return bert_save_as(model, folder, &(bert_save_options){.type = DTYPE_F32}, error);
}
