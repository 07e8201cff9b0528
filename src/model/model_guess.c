/* The configuration of a foreign checkpoint, read off its tensors' names and shapes; see model_file.h. */
#include <stdio.h>
#include <string.h>

#include "model/model_file.h"

/* The tensor whose name ends in `name` behind a prefix that ends in '.', or that is called so. */
static const named_tensor *find(const tensor_file *file, const char *name) {
    size_t length = strlen(name);
    for (uint64_t i = 0; i < file->count; i++) {
        const char *full = file->tensors[i].name;
        size_t size = strlen(full);
        if (size < length || strcmp(full + size - length, name) != 0) continue;
        if (size == length || full[size - length - 1] == '.') return &file->tensors[i];
    }
    return NULL;
}

static carina_status find_size(const tensor_file *file, const char *path, const char *name, int *out,
                               carina_error *error) {
    const named_tensor *t = find(file, name);
    if (!t || t->rank < 1)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: no tensor %s: not a checkpoint of AnatomiX's APM", path,
                         name);
    if (t->shape[0] < 1 || t->shape[0] > 65536)
        return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s has %llu rows", path, name,
                         (unsigned long long)t->shape[0]);
    *out = (int)t->shape[0];
    return CARINA_OK;
}

/* How many of format with 0, 1, ... are there. */
static int count_layers(const tensor_file *file, const char *before, const char *after) {
    char name[128];
    int count = 0;
    for (;; count++) {
        snprintf(name, sizeof name, "%s%d%s", before, count, after);
        if (count >= 1000 || !find(file, name)) return count;
    }
}

static carina_status guess(apm_config *out, const tensor_file *file, const char *path, carina_error *error) {
    int stem;
    TRY(find_size(file, path, "backbone.0.body.conv1.weight", &stem, error));
    TRY(find_size(file, path, "input_proj.weight", &out->model_width, error));
    TRY(find_size(file, path, "transformer.encoder.layers.0.linear1.weight", &out->ffn_width, error));
    TRY(find_size(file, path, "query_embed.weight", &out->region_count, error));
    TRY(find_size(file, path, "anat_obj_embs.linear.weight", &out->feature_size, error));
    TRY(find_size(file, path, "image_class_embed.weight", &out->label_count, error));
    out->encoder_layers = count_layers(file, "transformer.encoder.layers.", ".linear1.weight");
    out->decoder_layers = count_layers(file, "transformer.decoder.layers.", ".linear1.weight");
    out->backbone.width = (double)stem / 64;
    out->backbone.norm = RESNET_FROZEN;
    out->backbone.depth = 18;
    if (find(file, "backbone.0.body.layer1.0.conv3.weight"))
        out->backbone.depth = 50;
    else if (count_layers(file, "backbone.0.body.layer3.", ".conv1.weight") == 6)
        out->backbone.depth = 34;
    return CARINA_OK;
}

carina_status model_file_guess_config(apm_config *out, const char *path, carina_error *error) {
    tensor_file file = {0};
    TRY(model_file_read_tensors(&file, path, error));
    carina_status status = guess(out, &file, path, error);
    tensor_file_free(&file);
    return status;
}
