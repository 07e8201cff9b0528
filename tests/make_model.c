/* Writes a tiny model with random weights, for tests of everything round the network: make_model OUT.safetensors [flat]
 * flat: with queries that are all zero, which is no model. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "model/model_file.h"

int main(int argc, char **argv) {
    carina_error error = {0};
    apm *model = NULL;
    const atlas *regions = atlas_anatomix36();
    apm_config config = {
        .backbone = {.depth = 18, .width = 0.0625, .norm = RESNET_GROUP},
        .model_width = 16,
        .heads = 2,
        .encoder_layers = 1,
        .decoder_layers = 1,
        .ffn_width = 32,
        .region_count = regions->region_count,
        .feature_size = 16,
        .feature_heads = 2,
        .label_count = ATLAS_LABEL_COUNT,
        .image_height = 96,
        .image_width = 96,
    };
    bool flat = argc == 3 && strcmp(argv[2], "flat") == 0;
    if (argc != 2 && !flat) {
        fputs("usage: make_model OUT.safetensors [flat]\n", stderr);
        return 2;
    }
    carina_status status = apm_create(&model, &config, 36, &error);
    if (status == CARINA_OK && flat) parameter_fill(model->queries, 0);
    if (status == CARINA_OK) status = model_file_save(argv[1], model, NULL, regions, MODEL_FILE_F32, NULL, 0, &error);
    apm_free(model);
    if (status != CARINA_OK) fprintf(stderr, "make_model: %s\n", error.message);
    return status == CARINA_OK ? 0 : 1;
}
