/* AnatomiX's Anatomy Perception Module: a film in, one box and one region feature per anatomical object out.
 * arXiv 2601.03191; shapes B films, N regions, P patches (H/32 x W/32, or /16), D model width, R region feature size.
 *
 *     film [B, H, W, 1] -> ResNet (or ViT) -> 1x1 projection -> [CLS] + P tokens with sine positions -> DETR encoder
 *       [CLS] -> Linear -> image logits [B, 14]
 *       N learned queries -> DETR decoder over the P encoded patches -> MLP, sigmoid -> boxes [B, N, 4]
 *       last decoder output -> attention over the patches (module F) -> Linear -> region features [B, N, R]
 *       (without F, the paper's ablation: last decoder output -> Linear)
 *
 * With box_queries, which the paper does not have, decoder layers behind the first add to their queries a linear map of
 * the sine positions of the box's two corners that the layer before found (as DAB-DETR, arXiv 2201.12329, with corners
 * instead of centre and size). Those boxes are constants to the gradient.
 *
 * With box_mean, which the paper does not have either, boxes are in use, not in training, the mean of the last two
 * decoder layers': each was trained to be right (auxiliary loss), and they err apart.
 *
 * Query i is always region i of the region set: no matching. Parameter names are those of an AnatomiX checkpoint
 * without its prefix "vis_model.".
 */
#ifndef MODEL_APM_H
#define MODEL_APM_H

#include "model/detr.h"
#include "model/resnet.h"
#include "model/vit.h"

/* Where region features come from: module F, or the decoder's output itself (the ablation without F). */
typedef enum apm_features { APM_MODULE_F, APM_DECODER } apm_features;

/* The image encoder: the ResNet of `backbone`, or the vision transformer of `vit` (the ablation with DINOv3's). */
typedef enum apm_encoder { APM_RESNET, APM_VIT } apm_encoder;

typedef struct apm_config {
    resnet_config backbone;
    int model_width; /* D, divisible by 4 and by heads */
    int heads;
    int encoder_layers, decoder_layers;
    int ffn_width;
    int region_count;              /* N */
    int feature_size;              /* R */
    int features;                  /* apm_features */
    int feature_heads;             /* of module F */
    int label_count;               /* 14 */
    int image_height, image_width; /* pixels of the letterboxed film; each divisible by 32 or rounded up by the strides;
                                      with a ViT divisible by its patch */
    float dropout; /* of sublayers' outputs, inside the FFN and of attention probabilities, as PyTorch's DETR */
    int encoder;   /* apm_encoder: which of backbone and vit is built */
    vit_config vit;
    bool box_queries; /* decoder layers behind the first look from the box that the one before found */
    bool box_mean;    /* in use, boxes are the mean of the last two decoder layers' */
} apm_config;

/* The published shape: ResNet-50, D 256, 4 + 4 layers, FFN 1024, 36 regions, 1024 x 1024. */
apm_config apm_config_published(void);

typedef struct apm {
    apm_config config;
    parameters *parameters;
    resnet backbone;                                /* empty with a ViT */
    vit transformer;                                /* empty with a ResNet */
    parameter *projection_weight, *projection_bias; /* [D, C, 1, 1] */
    parameter *cls_token, *cls_position;            /* [1, 1, D] */
    detr_stack encoder, decoder;
    layer_norm_layer decoder_norm;
    parameter *queries;     /* [N, D] */
    linear_layer box_query; /* empty without box_queries */
    linear_layer box_layers[3];
    linear_layer image_head;
    attention_layer feature_attention; /* empty without module F */
    linear_layer feature_linear;
} apm;

/* Random weights from `seed`. Errors name the configuration value that makes no model. */
carina_status apm_create(apm **out, const apm_config *config, uint64_t seed, carina_error *error);
/* The same with weights of zero, for weights that are loaded next: drawing them takes longer than loading them. */
carina_status apm_create_empty(apm **out, const apm_config *config, carina_error *error);
void apm_free(apm *model); /* accepts NULL */

typedef struct apm_outputs {
    tensor *boxes; /* [B, N, 4] (cx, cy, w, h) in [0, 1], f32: the last layer's, or with box_mean in inference the
                    mean of the last two layers' */
    tensor *layer_boxes[DETR_MAX_LAYERS]; /* each decoder layer's. Those that nothing looks at are NULL in inference */
    tensor *region_features;              /* [B, N, R], f32 */
    tensor *image_logits;                 /* [B, 14], f32 */
    tensor *cls;                          /* [B, D], f32 */
    tensor *patch_features;               /* [B, P, D], f32; row after row */
    int64_t patch_rows, patch_columns;    /* P = rows x columns */
    tensor *decoded;                      /* [B, N, D], f32: the last decoder layer's output */
    tensor *gathered; /* [B, N, D], f32: what region_features are a linear map of: module F's output, or decoded */
} apm_outputs;

/* films: [B, H, W, 1] f32 in [0, 1], of the configuration's size. */
apm_outputs apm_record(graph *g, const apm *model, tensor *films);

typedef struct apm_targets {
    tensor *boxes;   /* [B, N, 4] */
    tensor *present; /* [B, N] 1 or 0 */
    tensor *labels;  /* [B, 14]; values outside [0, 1] and NaN are masked */
} apm_targets;

typedef struct apm_loss_options {
    box_loss_options box;
    float label_weight;
    bool auxiliary; /* box loss on every decoder layer, summed */
    /* [1], NULL: 1. This batch's part of the boxes and of the labels of all batches that make one step: losses are
     * means, and so their weighted sum is the mean over the whole step. */
    tensor *box_share, *label_share;
} apm_loss_options;

typedef struct apm_losses {
    tensor *total;        /* with the shares */
    tensor *box, *labels; /* without; box: the last decoder layer's, weighted L1 + GIoU */
} apm_losses;

apm_losses apm_record_loss(graph *g, const apm_outputs *outputs, const apm_targets *targets,
                           const apm_loss_options *options);

#endif
