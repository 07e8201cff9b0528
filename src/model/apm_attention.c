/* Attention probabilities of the feature extraction module; see apm_attention.h. */
#include "model/apm_attention.h"

#include <math.h>
#include <stdlib.h>

/* x [rows, D] by part 0 (queries) or 1 (keys) of the packed projection -> out [rows, D]. */
static void project(float *out, const attention_layer *layer, int part, const float *x, int64_t rows) {
    int64_t width = layer->width;
    const float *weight = layer->in_weight->value + part * width * width, *bias = layer->in_bias->value + part * width;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < width; o++) {
            float sum = bias[o];
            for (int64_t i = 0; i < width; i++) sum += weight[o * width + i] * x[row * width + i];
            out[row * width + o] = sum;
        }
}

/* Adds softmax(q k^T / sqrt(d)) / heads of one head and one query to out [keys]. */
static void add_head(float *out, float *scores, const float *query, const float *keys, int64_t count, int64_t width,
                     int64_t head_width, int heads) {
    float scale = 1.0f / sqrtf((float)head_width), most = -INFINITY;
    for (int64_t p = 0; p < count; p++) {
        float sum = 0;
        for (int64_t i = 0; i < head_width; i++) sum += query[i] * keys[p * width + i];
        scores[p] = sum * scale;
        most = fmaxf(most, scores[p]);
    }
    double total = 0;
    for (int64_t p = 0; p < count; p++) {
        scores[p] = expf(scores[p] - most);
        total += (double)scores[p];
    }
    for (int64_t p = 0; p < count; p++) out[p] += (float)((double)scores[p] / total / heads);
}

carina_status apm_attention(float *out, const apm *model, const float *decoded, const float *patch_features,
                            int64_t patches, carina_error *error) {
    const attention_layer *layer = &model->feature_attention;
    if (model->config.features != APM_MODULE_F)
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "attention: the model takes its region features from the decoder (features: decoder), it has "
                         "no feature extraction that could attend to anything");
    int64_t width = layer->width, regions = model->config.region_count, head_width = width / layer->heads;
    uint64_t floats = (uint64_t)(regions + patches) * (uint64_t)width + (uint64_t)patches;
    float *queries = malloc(floats * sizeof *queries);
    if (!queries) return error_memory(error, "attention", floats * sizeof *queries);
    float *keys = queries + regions * width, *scores = keys + patches * width;
    project(queries, layer, 0, decoded, regions);
    project(keys, layer, 1, patch_features, patches);
    for (int64_t n = 0; n < regions; n++) {
        for (int64_t p = 0; p < patches; p++) out[n * patches + p] = 0;
        for (int h = 0; h < layer->heads; h++)
            add_head(out + n * patches, scores, queries + n * width + h * head_width, keys + h * head_width, patches,
                     width, head_width, layer->heads);
    }
    free(queries);
    return CARINA_OK;
}
