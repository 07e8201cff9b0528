/* Reading Hugging Face's DINOv3; see vit_file.h. Facts: transformers' configuration and model of "dinov3_vit". */
#include "model/vit_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "format/tensor_read.h"

#define CONFIG_BYTES (1 << 20)

/* ---- config.json ---- */

/* A number that must be this one when it is there. */
static carina_status expect_number(const json_document *d, const char *key, double wanted, const char *why,
                                   carina_error *error) {
    double value;
    if (!json_has(json_root(d), key)) return CARINA_OK;
    TRY(json_get_number(d, json_root(d), key, &value, error));
    if (fabs(value - wanted) <= 1e-9 * fabs(wanted)) return CARINA_OK;
    return json_fail(d, json_root(d), key, CARINA_ERROR_MISMATCH, error, "%g, %s %g", value, why, wanted);
}

static carina_status expect_text(const json_document *d, const char *key, const char *wanted, carina_error *error) {
    const char *text;
    if (!json_has(json_root(d), key)) return CARINA_OK;
    TRY(json_get_text(d, json_root(d), key, &text, error));
    if (strcmp(text, wanted) == 0) return CARINA_OK;
    return json_fail(d, json_root(d), key, CARINA_ERROR_UNSUPPORTED, error, "\"%.60s\", only \"%s\" is known here",
                     text, wanted);
}

static carina_status expect_truth(const json_document *d, const char *key, bool wanted, const char *why,
                                  carina_error *error) {
    bool value;
    if (!json_has(json_root(d), key)) return CARINA_OK;
    TRY(json_get_truth(d, json_root(d), key, &value, error));
    if (value == wanted) return CARINA_OK;
    return json_fail(d, json_root(d), key, CARINA_ERROR_UNSUPPORTED, error, "%s: %s", value ? "true" : "false", why);
}

static carina_status check_config(const vit_config *c, const json_document *d, carina_error *error) {
    const char *known = "only this value is known here:";
    if (json_kind_of(json_root(d)) != JSON_KIND_OBJECT)
        return json_fail(d, json_root(d), NULL, CARINA_ERROR_FORMAT, error, "an object is wanted");
    TRY(expect_text(d, "model_type", "dinov3_vit", error));
    TRY(expect_truth(d, "use_gated_mlp", false, "gated feed-forward layers are not supported", error));
    TRY(expect_text(d, "hidden_act", "gelu", error));
    static const char *const biased[] = {"query_bias", "value_bias", "proj_bias", "mlp_bias"};
    for (size_t i = 0; i < sizeof biased / sizeof *biased; i++)
        TRY(expect_truth(d, biased[i], true, "only encoders with this bias are known here", error));
    TRY(expect_truth(d, "key_bias", false, "only encoders without this bias are known here", error));
    TRY(expect_number(d, "layer_norm_eps", 1e-5, known, error));
    TRY(expect_number(d, "rope_theta", 100, known, error));
    TRY(expect_number(d, "num_channels", 3, known, error));
    TRY(expect_number(d, "patch_size", c->patch, "model.vit_patch is", error));
    TRY(expect_number(d, "hidden_size", c->width, "model.vit_width is", error));
    TRY(expect_number(d, "num_attention_heads", c->heads, "model.vit_heads is", error));
    TRY(expect_number(d, "num_hidden_layers", c->layers, "model.vit_layers is", error));
    TRY(expect_number(d, "intermediate_size", c->ffn_width, "model.vit_ffn_width is", error));
    return expect_number(d, "num_register_tokens", c->registers, "model.vit_registers is", error);
}

carina_status vit_file_check_config(const vit_config *config, const char *name, const void *data, uint64_t size,
                                    carina_error *error) {
    json_document *d;
    TRY(json_parse(&d, name, data, size, NULL, error));
    carina_status status = check_config(config, d, error);
    json_free(d);
    return status;
}

static carina_status check_config_of(const vit_config *c, const char *folder, carina_error *error) {
    char *path = path_join(folder, "config.json");
    if (!path) return error_memory(error, folder, 64);
    uint8_t *data = NULL;
    uint64_t size;
    carina_status status = CARINA_OK;
    if (file_exists(path)) {
        status = file_read(path, CONFIG_BYTES, &data, &size, error);
        if (status == CARINA_OK) status = vit_file_check_config(c, path, data, size, error);
        free(data);
    }
    free(path);
    return status;
}

/* ---- tensors by name ---- */

static const char *stripped(const char *name) {
    static const char *const prefixes[] = {"dinov3_vit.", "model."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t length = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], length) == 0) return stripped(name + length);
    }
    return name;
}

static parameter *encoder_parameter(const vit *net, int i) { return net->set->items[net->first + i]; }
static const char *plain_name(const vit *net, const parameter *p) { return p->name + net->prefix_length; }

static const named_tensor *find(const vit *net, const tensor_file *file, const parameter *p) {
    for (uint64_t i = 0; i < file->count; i++)
        if (strcmp(stripped(file->tensors[i].name), plain_name(net, p)) == 0) return &file->tensors[i];
    return NULL;
}

/* What only masked pre-training reads, constants that follow from the architecture, and an empty set of registers. */
static bool is_of_no_use(const vit *net, const char *name) {
    return strcmp(name, "embeddings.mask_token") == 0 || strncmp(name, "rope_embeddings.", 16) == 0 ||
           (!net->registers && strcmp(name, "embeddings.register_tokens") == 0);
}

static carina_status check_name(const vit *net, const tensor_file *file, const named_tensor *t, const char *path,
                                carina_error *error) {
    const char *name = stripped(t->name);
    if (is_of_no_use(net, name)) return CARINA_OK;
    if (strstr(name, ".mlp.gate_proj."))
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "%s: tensor %s: gated feed-forward layers are not supported; DINOv3's S, B and L have none",
                         path, t->name);
    for (int i = 0; i < net->count; i++) {
        const parameter *p = encoder_parameter(net, i);
        if (strcmp(plain_name(net, p), name) != 0) continue;
        if (find(net, file, p) == t) return CARINA_OK;
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: more than one tensor %s", path, name);
    }
    return error_set(error, CARINA_ERROR_MISMATCH,
                     "%s: tensor %s is none of a DINOv3 encoder of %d layers with %d registers", path, t->name,
                     net->config.layers, net->config.registers);
}

/* channels: of the patch kernel in the file; parameters have one. */
static carina_status check_tensor(const vit *net, const tensor_file *file, const parameter *p, int64_t channels,
                                  const char *path, carina_error *error) {
    const named_tensor *t = find(net, file, p);
    if (!t) return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor %s", path, plain_name(net, p));
    uint64_t shape[TENSOR_MAX_RANK];
    for (int i = 0; i < p->rank; i++) shape[i] = (uint64_t)p->size[i];
    if (p == net->patch_weight) shape[1] = (uint64_t)channels;
    TRY(named_tensor_check_shape(t, path, p->rank, shape, "the encoder", error));
    carina_status status = named_tensor_check_finite(t, error);
    return status == CARINA_OK ? status : error_prefix(error, "%s", path);
}

static carina_status copy_folded(vit *net, const named_tensor *weight, const named_tensor *bias, carina_error *error) {
    uint64_t count = named_tensor_elements(weight), width = (uint64_t)net->patch_bias->count;
    float *values = malloc((size_t)(count + width) * sizeof *values);
    if (!values) return error_memory(error, weight->name, count * sizeof *values);
    carina_status status = named_tensor_to_f32(weight, values, count, error);
    if (status == CARINA_OK) status = named_tensor_to_f32(bias, values + count, width, error);
    if (status == CARINA_OK)
        vit_fold_kernel(net->patch_weight->value, net->patch_bias->value, values, values + count, (int64_t)width,
                        net->patch_weight->count / (int64_t)width);
    free(values);
    return status;
}

carina_status vit_file_copy_tensors(vit *net, const tensor_file *file, const char *path, carina_error *error) {
    const named_tensor *kernel = find(net, file, net->patch_weight);
    bool folds = !(kernel && kernel->rank == 4 && kernel->shape[1] == 1);
    for (uint64_t i = 0; i < file->count; i++) TRY(check_name(net, file, &file->tensors[i], path, error));
    for (int i = 0; i < net->count; i++)
        TRY(check_tensor(net, file, encoder_parameter(net, i), folds ? 3 : 1, path, error));
    if (folds) TRY(copy_folded(net, kernel, find(net, file, net->patch_bias), error));
    for (int i = 0; i < net->count; i++) {
        parameter *p = encoder_parameter(net, i);
        if (folds && (p == net->patch_weight || p == net->patch_bias)) continue;
        TRY(named_tensor_to_f32(find(net, file, p), p->value, (uint64_t)p->count, error));
    }
    parameters_changed(net->set);
    return CARINA_OK;
}

/* path's folder and file, both malloc'ed. */
static carina_status find_files(char **folder, char **weights, const char *path, carina_error *error) {
    bool is_folder = file_is_folder(path);
    size_t length = is_folder ? strlen(path) : (size_t)(path_name(path) - path);
    *folder = length ? strndup(path, length) : strdup(".");
    *weights = is_folder ? path_join(path, "model.safetensors") : strdup(path);
    return *folder && *weights ? CARINA_OK : error_memory(error, path, strlen(path));
}

carina_status vit_file_load(vit *net, const char *path, carina_error *error) {
    char *folder = NULL, *weights = NULL;
    tensor_file file = {0};
    carina_status status = find_files(&folder, &weights, path, error);
    if (status == CARINA_OK) status = check_config_of(&net->config, folder, error);
    if (status == CARINA_OK) status = tensor_read(&file, weights, error);
    if (status == CARINA_OK) status = vit_file_copy_tensors(net, &file, weights, error);
    tensor_file_free(&file);
    free(folder);
    free(weights);
    return status;
}
