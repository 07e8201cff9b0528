/* ResNet (He et al. 2016) in torchvision's form, without the classifier: [B, H, W, 1] -> [B, H/32, W/32, C], or
 * H/16 when the last stage keeps the resolution (DETR calls its like DC5: finer tokens, a few times the work there).
 *
 * resnet18 and 34 use basic blocks (two 3x3), resnet50 bottlenecks (1x1, 3x3, 1x1 to four times the planes, stride on
 * the 3x3). `width` scales every channel count. Parameter names: PREFIXconv1.weight, PREFIXbn1.weight,
 * PREFIXlayer{1..4}.{i}.conv{1,2,3}.weight, ....bn{1,2,3}..., ....downsample.{0,1}....
 */
#ifndef MODEL_RESNET_H
#define MODEL_RESNET_H

#include "model/layers.h"

typedef enum resnet_norm {
    RESNET_FROZEN, /* affine and statistics are constants, stage 1 is not trained: for imported checkpoints */
    RESNET_BATCH,
    RESNET_GROUP, /* gcd(32, C) groups */
} resnet_norm;

typedef struct resnet_config {
    int depth; /* 18, 34 or 50 */
    double width;
    resnet_norm norm;
    bool fine; /* stage 4 keeps stage 3's resolution: pixels of H/16 instead of H/32 */
} resnet_config;

typedef struct resnet_convolution {
    parameter *weight;
    norm_parameters norm;
    int stride, padding;
} resnet_convolution;

typedef struct resnet_block {
    resnet_convolution convolutions[3];
    int count; /* 2 or 3 */
    resnet_convolution shortcut;
    bool has_shortcut;
} resnet_block;

typedef struct resnet {
    resnet_config config;
    resnet_convolution stem;
    resnet_block blocks[16];
    int block_count;
    int stage_end[4];
    int64_t outputs; /* channels of the last stage */
} resnet;

/* CARINA_ERROR_ARGUMENT when depth or width make no network. */
carina_status resnet_create(resnet *out, model_builder *b, const char *prefix, const resnet_config *config,
                            carina_error *error);
tensor *resnet_record(graph *g, const resnet *net, tensor *x);

#endif
