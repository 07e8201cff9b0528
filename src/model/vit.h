/* DINOv3's vision transformer (Simeoni et al. 2025, arXiv 2508.10104): a film in, one vector per patch out. Shapes: B
 * films, P patches (H/p x W/p), R registers, N = 1 + R + P tokens, D width, d = D / heads.
 *
 *     film [B, H, W, 1] -> p x p convolution, stride p -> [CLS] + R registers + P patches
 *       -> L layers, pre-norm: x = x + s1 attention(LN(x)); x = x + s2 W2 gelu(W1 LN(x)), s1 and s2 [D] layer scale
 *          attention: queries and values have a bias, keys none; queries and keys of patches are turned by their place
 *       -> LayerNorm -> the patches alone, [B, H/p, W/p, D]
 *
 * A patch's place is its centre (y, x), each in [-1, 1] over the film; frequency j < d/4 turns by 2 pi place /
 * 100^(4j/d), angles of y first, then of x; value i of a head goes with value i + d/2 (tensor/ops.h: op_rotary).
 *
 * Parameter names are Hugging Face's behind a prefix. The published patch kernels look at three channels, normalised as
 * ImageNet's: a film repeated to three channels, normalised and convolved is a convolution of the film itself, with
 * vit_fold_kernel's kernel. That is exact, because patches meet no padding, and costs a third; so the model keeps one
 * channel.
 */
#ifndef MODEL_VIT_H
#define MODEL_VIT_H

#include "model/layers.h"

#define VIT_MAX_LAYERS 48

typedef struct vit_config {
    int patch; /* p, pixels */
    int width; /* D, divisible by 4 heads */
    int heads, layers, ffn_width;
    int registers; /* R */
} vit_config;

/* ViT-S/16: D 384, 12 layers of 6 heads, FFN 1,536, 4 registers. */
vit_config vit_config_small(void);
/* CARINA_ERROR_ARGUMENT names the value that makes no model, as vit_... */
carina_status vit_config_check(const vit_config *config, carina_error *error);

typedef struct vit_layer {
    layer_norm_layer norm1, norm2;
    linear_layer query, key, value, output; /* key.bias is NULL */
    parameter *scale1, *scale2;             /* [D] */
    linear_layer up, down;
} vit_layer;

typedef struct vit {
    vit_config config;
    parameter *patch_weight, *patch_bias; /* [D, 1, p, p], [D] */
    parameter *cls_token, *registers;     /* [1, 1, D], [1, R, D]; registers NULL when there are none */
    vit_layer layers[VIT_MAX_LAYERS];
    layer_norm_layer norm;
    parameters *set; /* borrowed: the model's; this encoder's are items [first, first + count) */
    int first, count;
    int prefix_length; /* of their names */
} vit;

/* Begins as the published model's training in Hugging Face's form does: kernels, matrices and tokens normal with
 * deviation 0.02 (the patch kernel for three channels, then folded), biases zero, norms and layer scales one. */
carina_status vit_create(vit *out, model_builder *b, const char *prefix, const vit_config *config, carina_error *error);
/* film: [B, H, W, 1] in [0, 1] of the graph's type, H and W multiples of p. */
tensor *vit_record(graph *g, const vit *net, tensor *film);

/* weight [D, 3, p, p] and bias [D] for ImageNet's three normalised channels -> folded [D, 1, p, p] and folded_bias [D]
 * for one channel in [0, 1] that stands for all three; `area` is p p. */
void vit_fold_kernel(float *folded, float *folded_bias, const float *weight, const float *bias, int64_t width,
                     int64_t area);

#endif
