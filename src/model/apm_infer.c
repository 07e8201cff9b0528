/* Depth, widths and layer counts read off an APM's tensors; see apm_infer.h. */
#include "model/apm_infer.h"

#include <stdio.h>

#include "model/model_file.h"

typedef struct inference {
    const tensor_file *weights;
    const char *path;
    carina_error *error;
} inference;

static carina_status axis_size(const inference *in, const char *name, int rank, int axis, int *out) {
    const named_tensor *t = model_file_find_weight(in->weights, name);
    if (!t)
        return error_set(in->error, CARINA_ERROR_MISMATCH, "%s: no tensor %s: these are not the weights of an APM",
                         in->path, name);
    if (t->rank != rank || t->shape[axis] < 1 || t->shape[axis] > 1 << 20)
        return error_set(in->error, CARINA_ERROR_MISMATCH, "%s: tensor %s has rank %d instead of %d, or an absurd size",
                         in->path, name, t->rank, rank);
    *out = (int)t->shape[axis];
    return CARINA_OK;
}

static bool has(const inference *in, const char *name) { return model_file_find_weight(in->weights, name) != NULL; }

/* How many "PREFIX{i}SUFFIX" there are from i = 0 on. */
static int count_of(const inference *in, const char *prefix, const char *suffix, int limit) {
    char name[128];
    int count = 0;
    for (; count <= limit; count++) {
        snprintf(name, sizeof name, "%s%d%s", prefix, count, suffix);
        if (!has(in, name)) break;
    }
    return count;
}

carina_status apm_infer_config(apm_config *out, const tensor_file *weights, const char *path,
                               const apm_infer_options *options, carina_error *error) {
    inference in = {weights, path, error};
    int stem = 0;
    *out = (apm_config){.heads = options->heads,
                        .feature_heads = options->feature_heads,
                        .image_height = options->image_height,
                        .image_width = options->image_width};
    TRY(axis_size(&in, "backbone.0.body.conv1.weight", 4, 0, &stem));
    out->backbone.width = stem / 64.0;
    bool bottleneck = has(&in, "backbone.0.body.layer1.0.conv3.weight");
    out->backbone.depth = bottleneck ? 50 : has(&in, "backbone.0.body.layer1.2.conv1.weight") ? 34 : 18;
    out->backbone.norm = has(&in, "backbone.0.body.bn1.running_mean") ? options->norm : RESNET_GROUP;
    TRY(axis_size(&in, "query_embed.weight", 2, 0, &out->region_count));
    TRY(axis_size(&in, "query_embed.weight", 2, 1, &out->model_width));
    TRY(axis_size(&in, "transformer.encoder.layers.0.linear1.weight", 2, 0, &out->ffn_width));
    TRY(axis_size(&in, "image_class_embed.weight", 2, 0, &out->label_count));
    out->features = has(&in, "anat_obj_embs.mha.in_proj_weight") ? APM_MODULE_F : APM_DECODER;
    TRY(axis_size(&in, "anat_obj_embs.linear.weight", 2, 0, &out->feature_size));
    out->encoder_layers = count_of(&in, "transformer.encoder.layers.", ".linear1.weight", DETR_MAX_LAYERS);
    out->decoder_layers = count_of(&in, "transformer.decoder.layers.", ".linear1.weight", DETR_MAX_LAYERS);
    return CARINA_OK;
}
