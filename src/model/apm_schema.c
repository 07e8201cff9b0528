/* Keys of an apm_config; see apm_schema.h. region_count and label_count are not among a user's choices: they follow
 * from the region set and the label list. */
#include "model/apm_schema.h"

static const char *const norms[] = {"frozen", "batch", "group", NULL};
static const char *const encoders[] = {"resnet", "vit", NULL};
static const char *const features[] = {"module_f", "decoder", NULL};

#define FIELD(...) CONFIG_FIELD(apm_config, __VA_ARGS__)

/* The ranges are those that apm_create accepts: what can be built can be written and read again. */
static const config_field fields[] = {
    CONFIG_CHOICE_KEY(apm_config, encoder, "encoder", "resnet", encoders,
                      "image encoder: a ResNet, or a vision transformer with DINOv3's architecture", 0),
    CONFIG_KEY(apm_config, backbone.depth, "resnet_depth", "50", 18, 50, "ResNet-18, 34 or 50", 0),
    CONFIG_KEY(apm_config, backbone.width, "resnet_width", "1", 0.015625, 16, "its channels as a fraction of the usual",
               0),
    CONFIG_CHOICE_KEY(apm_config, backbone.norm, "resnet_norm", "frozen", norms, "its normalisation", 0),
    CONFIG_KEY(apm_config, backbone.fine, "resnet_fine", "false", CONFIG_ANY,
               "its last stage keeps the resolution: 16 pixels a token instead of 32", 0),
    CONFIG_KEY(apm_config, vit.patch, "vit_patch", "16", 8, 64, "the vision transformer's pixels a token", 0),
    CONFIG_KEY(apm_config, vit.width, "vit_width", "384", 4, 4096, "its width", 0),
    CONFIG_KEY(apm_config, vit.heads, "vit_heads", "6", 1, 64, "its attention heads", 0),
    CONFIG_KEY(apm_config, vit.layers, "vit_layers", "12", 1, VIT_MAX_LAYERS, "its layers", 0),
    CONFIG_KEY(apm_config, vit.ffn_width, "vit_ffn_width", "1536", 1, 65536, "width of its feed-forward layers", 0),
    CONFIG_KEY(apm_config, vit.registers, "vit_registers", "4", 0, 64, "its register tokens", 0),
    FIELD(model_width, "256", 4, 4096, "width D of the transformer"),
    FIELD(heads, "4", 1, 64, "attention heads"),
    FIELD(encoder_layers, "4", 1, DETR_MAX_LAYERS, "transformer encoder layers"),
    FIELD(decoder_layers, "4", 1, DETR_MAX_LAYERS, "transformer decoder layers"),
    CONFIG_KEY(apm_config, box_queries, "box_queries", "false", CONFIG_ANY,
               "decoder layers behind the first look from the box that the one before found", 0),
    CONFIG_KEY(apm_config, box_mean, "box_mean", "false", CONFIG_ANY,
               "in use, boxes are the mean of the last two decoder layers'", 0),
    FIELD(ffn_width, "1024", 1, 65536, "width of the feed-forward layers"),
    FIELD(feature_size, "16", 1, 4096, "numbers in a region feature"),
    CONFIG_CHOICE_KEY(apm_config, features, "features", "module_f", features,
                      "region features from the feature extraction, or without it from the decoder", 0),
    FIELD(feature_heads, "2", 1, 64, "attention heads of the feature extraction"),
    CONFIG_KEY(apm_config, image_height, "image_size", "1024", 32, 4096, "side of the square the network sees", 0),
    FIELD(dropout, "0.1", 0, 0.9, "in the transformer"),
};
const config_schema apm_schema = {fields, sizeof fields / sizeof *fields};

void apm_schema_finish(apm_config *config, int region_count, int label_count) {
    config->image_width = config->image_height;
    config->region_count = region_count;
    config->label_count = label_count;
}
