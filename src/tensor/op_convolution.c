/* Convolution over channels-last pictures with its usual tail (folded norm, bias, residual, ReLU) in one pass.
 *
 * Forward, gradient by x and gradient by the weights each go one of several ways, chosen once by shape and type
 * (choose_ways); a way is a line of the tables near the end of this file.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/convolution_shards.h"
#include "tensor/linear_gradient.h"
#include "tensor/ops.h"
#include "tensor/panel_product.h"
#include "tensor/patch_gradient.h"
#include "tensor/span.h"
#include "tensor/tap_gradient.h"
#include "tensor/tile_convolution.h"
#include "tensor/winograd.h"

#define MANY_PIXELS 1024

enum { X, WEIGHT, BIAS, RESIDUAL };

typedef enum way {
    NOT_WANTED,
    BY_ONEDNN,
    BY_WINOGRAD, /* 3x3 in f32 */
    BY_TILES,    /* bf16, where the processor has tiles */
    BY_PANELS,   /* 1x1: a linear layer on pixels */
    BY_PRODUCT,  /* gradient by the weights of a 1x1 */
    BY_PATCHES,  /* gradient by the weights of a stem: few channels */
    BY_TAPS,     /* gradient by the weights with a stride, in f32 */
    WAY_COUNT
} way;

typedef struct convolution_state {
    bool relu;
    norm_parameters norm; /* copied from options.frozen_norm */
    bool folds_norm;
    convolution_geometry shape;
    way forward_way, data_way, weights_way;
    convolution_shards forward, data, weights; /* by oneDNN */
    winograd *minimal, *minimal_data;
    tile_convolution tiles;
    panel_product panels, data_panels;
    linear_gradient pointwise;
    patch_gradient stem;
    tap_gradient strided;
    uint64_t packed_bytes, data_packed_bytes; /* of the weights, as forward and the gradient by x want them */
    void *packed;                             /* kept, with the folded bias; NULL: made anew at every run, in scratch */
    float *bias;
    uint64_t packed_version;
    bool sign_saved;
} convolution_state;

static void convolution_state_free(void *state) {
    convolution_state *s = state;
    convolution_shards_free(&s->forward);
    convolution_shards_free(&s->data);
    convolution_shards_free(&s->weights);
    linear_gradient_free(&s->pointwise);
    patch_gradient_free(&s->stem);
    winograd_free(s->minimal);
    winograd_free(s->minimal_data);
    free(s->packed);
    free(s->bias);
}

static uint64_t plain_bytes(const op *o) { return ((uint64_t)o->input[WEIGHT]->count * sizeof(float) + 63) / 64 * 64; }

static void need(uint64_t *bytes, uint64_t wanted) {
    if (*bytes < wanted) *bytes = wanted;
}

/* ---- which way ---- */

static tile_shape shape_for_tiles(const convolution_state *s) {
    return (tile_shape){s->shape.batch,         s->shape.height,       s->shape.width,   s->shape.channels,
                        s->shape.output_height, s->shape.output_width, s->shape.outputs, s->shape.kernel_height,
                        s->shape.stride,        s->shape.padding};
}

static bool is_pointwise(const convolution_geometry *s) {
    return s->kernel_height == 1 && s->kernel_width == 1 && s->stride == 1 && s->padding == 0;
}

static int64_t pixel_count(const convolution_geometry *s) { return s->batch * s->output_height * s->output_width; }

static way choose_forward(const op *o) {
    const convolution_state *s = o->state;
    bool square = s->shape.kernel_height == s->shape.kernel_width;
    tile_shape tiles = shape_for_tiles(s);
    if (o->output->type == TENSOR_BF16 && square && tile_convolution_suits(&tiles)) return BY_TILES;
    if (o->output->type == TENSOR_F32 && square && s->shape.kernel_height == 3 && s->shape.stride == 1 &&
        s->shape.padding == 1 && winograd_suits(s->shape.height, s->shape.width, s->shape.channels, s->shape.outputs))
        return BY_WINOGRAD;
    if (is_pointwise(&s->shape) && panel_kernel_best(o->output->type)) return BY_PANELS;
    return BY_ONEDNN;
}

static way choose_weights(const op *o) {
    const convolution_state *s = o->state;
    bool has_bias = o->input[BIAS] != NULL;
    if (s->forward_way == BY_TILES && !s->tiles.stem) return BY_TILES; /* a stem's has a pass of its own */
    if (s->forward_way == BY_WINOGRAD && !has_bias) return BY_WINOGRAD;
    if (is_pointwise(&s->shape)) return BY_PRODUCT;
    if (!has_bias && patch_gradient_suits(s->shape.channels, s->shape.outputs)) return BY_PATCHES;
    if (!has_bias && tap_gradient_suits(&s->shape)) return BY_TAPS;
    return BY_ONEDNN;
}

/* The one place where it is decided. */
static void choose_ways(op *o) {
    convolution_state *s = o->state;
    s->forward_way = choose_forward(o);
    if (s->forward_way == BY_TILES) {
        tile_shape tiles = shape_for_tiles(s);
        s->tiles = tile_convolution_make(&tiles);
    }
    if (!o->backward_active) return;
    bool tiles_cannot = s->forward_way == BY_TILES && !tile_convolution_has_data(&s->tiles);
    if (op_wants_gradient(o, X)) s->data_way = tiles_cannot ? BY_ONEDNN : s->forward_way;
    if (op_wants_gradient(o, WEIGHT)) s->weights_way = choose_weights(o);
}

/* ---- preparing each way: what it is made of, and how much room it wants ---- */

static carina_status prepare_forward_onednn(op *o, carina_error *error) {
    convolution_state *s = o->state;
    convolution_tail tail = {s->bias != NULL, s->relu, o->input[RESIDUAL] != NULL};
    TRY(convolution_shards_create(&s->forward, &s->shape, CONVOLUTION_FORWARD, tail, error));
    s->packed_bytes = s->forward.packed_bytes;
    need(&o->worker_bytes, s->forward.worker_bytes);
    return CARINA_OK;
}

static carina_status prepare_forward_winograd(op *o, carina_error *error) {
    convolution_state *s = o->state;
    winograd_shape shape = {s->shape.batch,   s->shape.height, s->shape.width, s->shape.channels,
                            s->shape.outputs, false,           s->relu,        !o->owner->options.training};
    TRY(winograd_create(&s->minimal, &shape, error));
    s->packed_bytes = winograd_packed_bytes(s->minimal);
    need(&o->worker_bytes, winograd_worker_bytes(s->minimal));
    return CARINA_OK;
}

static carina_status prepare_forward_tiles(op *o, carina_error *error) {
    convolution_state *s = o->state;
    (void)error;
    s->packed_bytes = (tile_convolution_packed_bytes(&s->tiles) + 63) / 64 * 64;
    need(&o->worker_bytes, tile_convolution_worker_bytes(&s->tiles));
    return CARINA_OK;
}

static carina_status prepare_forward_panels(op *o, carina_error *error) {
    convolution_state *s = o->state;
    (void)error;
    s->panels = panel_product_make(panel_kernel_best(o->output->type), s->shape.outputs, s->shape.channels,
                                   s->relu ? FUNCTION_RELU : FUNCTION_NONE);
    s->packed_bytes = panel_product_packed_bytes(&s->panels);
    need(&o->worker_bytes, panel_product_scratch_bytes(&s->panels));
    return CARINA_OK;
}

static carina_status prepare_data_onednn(op *o, carina_error *error) {
    convolution_state *s = o->state;
    convolution_tail none = {0};
    TRY(convolution_shards_create(&s->data, &s->shape, CONVOLUTION_BACKWARD_DATA, none, error));
    s->data_packed_bytes = s->data.packed_bytes;
    need(&o->worker_bytes, s->data.worker_bytes);
    return CARINA_OK;
}

static carina_status prepare_data_winograd(op *o, carina_error *error) {
    convolution_state *s = o->state;
    winograd_shape shape = {s->shape.batch, s->shape.height, s->shape.width, s->shape.outputs, s->shape.channels,
                            true,           false,           false};
    TRY(winograd_create(&s->minimal_data, &shape, error));
    s->data_packed_bytes = winograd_packed_bytes(s->minimal_data);
    need(&o->worker_bytes, winograd_worker_bytes(s->minimal_data));
    return CARINA_OK;
}

static carina_status prepare_data_tiles(op *o, carina_error *error) {
    convolution_state *s = o->state;
    (void)error;
    s->data_packed_bytes = s->packed_bytes;
    return CARINA_OK;
}

static carina_status prepare_data_panels(op *o, carina_error *error) {
    convolution_state *s = o->state;
    (void)error;
    s->data_panels =
        panel_product_make(panel_kernel_best(o->output->type), s->shape.channels, s->shape.outputs, FUNCTION_NONE);
    s->data_packed_bytes = panel_product_packed_bytes(&s->data_panels);
    need(&o->worker_bytes, panel_product_scratch_bytes(&s->data_panels));
    return CARINA_OK;
}

static carina_status prepare_weights_onednn(op *o, carina_error *error) {
    convolution_state *s = o->state;
    convolution_tail tail = {.bias = o->input[BIAS] != NULL};
    TRY(convolution_shards_create(&s->weights, &s->shape, CONVOLUTION_BACKWARD_WEIGHTS, tail, error));
    need(&o->scratch_bytes, convolution_shards_sum_bytes(&s->weights));
    need(&o->worker_bytes, s->weights.worker_bytes);
    return CARINA_OK;
}

static carina_status prepare_weights_winograd(op *o, carina_error *error) {
    convolution_state *s = o->state;
    (void)error;
    need(&o->scratch_bytes, winograd_sum_bytes(s->minimal) + (uint64_t)s->shape.outputs * sizeof(float));
    need(&o->worker_bytes, winograd_gradient_worker_bytes(s->minimal));
    return CARINA_OK;
}

static carina_status prepare_weights_tiles(op *o, carina_error *error) {
    convolution_state *s = o->state;
    (void)error;
    linear_gradient_bias_only(&s->pointwise, o->output->type, pixel_count(&s->shape), s->shape.outputs);
    if (o->input[BIAS]) need(&o->scratch_bytes, linear_gradient_bias_bytes(&s->pointwise));
    need(&o->scratch_bytes, tile_convolution_sum_bytes(&s->tiles) + (uint64_t)s->shape.outputs * sizeof(float));
    need(&o->worker_bytes, tile_convolution_gradient_worker_bytes(&s->tiles));
    return CARINA_OK;
}

static carina_status prepare_weights_product(op *o, carina_error *error) {
    convolution_state *s = o->state;
    TRY(linear_gradient_create(&s->pointwise, o->output->type, pixel_count(&s->shape), s->shape.channels,
                               s->shape.outputs, !s->folds_norm, error));
    need(&o->scratch_bytes, plain_bytes(o) + linear_gradient_bias_bytes(&s->pointwise));
    need(&o->worker_bytes, linear_gradient_worker_bytes(&s->pointwise));
    return CARINA_OK;
}

static carina_status prepare_weights_patches(op *o, carina_error *error) {
    convolution_state *s = o->state;
    TRY(patch_gradient_create(&s->stem, &s->shape, error));
    need(&o->scratch_bytes, patch_gradient_shared_bytes(&s->stem));
    need(&o->worker_bytes, patch_gradient_worker_bytes(&s->stem));
    return CARINA_OK;
}

static carina_status prepare_weights_taps(op *o, carina_error *error) {
    convolution_state *s = o->state;
    (void)error;
    s->strided = tap_gradient_make(&s->shape);
    need(&o->scratch_bytes, tap_gradient_shared_bytes(&s->strided));
    need(&o->worker_bytes, tap_gradient_worker_bytes(&s->strided));
    return CARINA_OK;
}

/* ---- what is in front of and behind every way ---- */

static float norm_scale(const norm_parameters *n, int64_t c) {
    return n->weight->value[c] / sqrtf(n->running_var->value[c] + n->epsilon);
}

/* W' = s W; the plain weights themselves when there is no norm to fold. */
static const float *folded_weights(op *o, float *buffer) {
    convolution_state *s = o->state;
    const float *weights = tensor_f32(o->input[WEIGHT]);
    if (!s->folds_norm) return weights;
    int64_t row = o->input[WEIGHT]->count / s->shape.outputs;
    for (int64_t c = 0; c < s->shape.outputs; c++)
        o->owner->kernels->scale(buffer + c * row, weights + c * row, norm_scale(&s->norm, c), row);
    return buffer;
}

static void fold_bias(op *o) {
    convolution_state *s = o->state;
    if (!s->bias) return;
    if (o->input[BIAS]) {
        memcpy(s->bias, tensor_f32(o->input[BIAS]), (size_t)s->shape.outputs * sizeof *s->bias);
        return;
    }
    for (int64_t c = 0; c < s->shape.outputs; c++) {
        s->bias[c] = s->norm.bias->value[c] - s->norm.running_mean->value[c] * norm_scale(&s->norm, c);
    }
}

static void save_signs(const op *o, int64_t begin, int64_t count) {
    const kernels *k = o->owner->kernels;
    uint8_t *bits = (uint8_t *)o->saved[0].data + begin / 8;
    const void *y = tensor_values(o->output);
    if (o->output->type == TENSOR_F32)
        k->sign_pack(bits, (const float *)y + begin, count);
    else
        k->sign_pack_bf16(bits, (const uint16_t *)y + begin, count);
}

#define SIGN_SHARDS 16
/* Ranges for the ReLU passes begin at multiples of 8 values, so that shards never share a byte of signs. */
static range sign_range(const op *o, int shard) {
    range r = shard_range((o->output->count + 7) / 8, SIGN_SHARDS, shard);
    return (range){r.begin * 8, min_i64(r.end * 8, o->output->count)};
}

static void sign_shard(void *context, int shard, int worker) {
    (void)worker;
    range r = sign_range(context, shard);
    if (r.end > r.begin) save_signs(context, r.begin, r.end - r.begin);
}

/* dy becomes the gradient before ReLU, in place; the residual's gradient is a copy of it. */
static void gate_shard(void *context, int index, int worker) {
    (void)worker;
    op *o = context;
    convolution_state *s = o->state;
    const kernels *k = o->owner->kernels;
    range r = sign_range(o, index);
    int64_t n = r.end - r.begin;
    if (n <= 0) return;
    size_t bytes = type_bytes(o->output->type);
    uint8_t *g = (uint8_t *)op_output_gradient(o) + (size_t)r.begin * bytes;
    if (s->relu) {
        const uint8_t *bits = s->sign_saved ? (uint8_t *)o->saved[0].data + r.begin / 8 : NULL;
        const uint8_t *y = (const uint8_t *)tensor_values(o->output) + (size_t)r.begin * bytes;
        bool f32 = o->output->type == TENSOR_F32;
        if (bits && f32)
            k->sign_gate((float *)(void *)g, bits, n);
        else if (bits)
            k->sign_gate_bf16((uint16_t *)(void *)g, bits, n);
        else if (f32)
            k->relu_gate((float *)(void *)g, (const float *)(const void *)y, n);
        else
            k->relu_gate_bf16((uint16_t *)(void *)g, (const uint16_t *)(const void *)y, n);
    }
    uint8_t *residual = o->input[RESIDUAL] ? op_input_gradient(o, RESIDUAL) : NULL;
    if (residual) memcpy(residual + (size_t)r.begin * bytes, g, (size_t)n * bytes);
}

/* ---- forward: weights [O, C, kh, kw] to where the kernel wants them, then the pass ---- */

static void *packed_weights(const op *o) {
    const convolution_state *s = o->state;
    return s->packed ? s->packed : op_scratch(o);
}
static const void *residual_values(const op *o) {
    return o->input[RESIDUAL] ? tensor_values(o->input[RESIDUAL]) : NULL;
}

static void pack_onednn(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    convolution_shards_pack(&s->forward, plain, packed);
}

static void forward_onednn(op *o) {
    const convolution_state *s = o->state;
    convolution_shards_forward(&s->forward, o, tensor_values(o->input[X]), packed_weights(o), s->bias,
                               residual_values(o), tensor_values(o->output));
}

static void pack_winograd(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    winograd_pack(s->minimal, o, plain, packed);
}

static void forward_winograd(op *o) {
    const convolution_state *s = o->state;
    winograd_run(s->minimal, o, tensor_f32(o->input[X]), packed_weights(o), s->bias, residual_values(o),
                 tensor_values(o->output));
}

static void pack_tiles(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    tile_convolution_pack(&s->tiles, o, plain, packed);
}

static void forward_tiles(op *o) {
    const convolution_state *s = o->state;
    tile_convolution_forward(&s->tiles, o, tensor_values(o->input[X]), packed_weights(o), s->bias, residual_values(o),
                             s->relu, tensor_values(o->output));
}

static void pack_panels(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    panel_product_pack_parallel(&s->panels, o, plain, 1, s->shape.channels, packed);
}

static void forward_panels(op *o) {
    const convolution_state *s = o->state;
    panel_call call = {tensor_values(o->input[X]), packed_weights(o),        s->bias,
                       residual_values(o),         tensor_values(o->output), pixel_count(&s->shape)};
    panel_product_run_parallel(&s->panels, o, &call);
}

/* ---- gradient by x: the packed weights lie in the op's scratch ---- */

static void pack_data_onednn(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    convolution_shards_pack(&s->data, plain, packed);
}

static void data_onednn(op *o) {
    const convolution_state *s = o->state;
    convolution_shards_data(&s->data, o, op_output_gradient(o), op_scratch(o), op_input_gradient(o, X));
}

static void pack_data_panels(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    panel_product_pack_parallel(&s->data_panels, o, plain, s->shape.channels, 1, packed);
}

static void data_panels(op *o) {
    const convolution_state *s = o->state;
    panel_call call = {op_output_gradient(o),   op_scratch(o),         NULL, NULL,
                       op_input_gradient(o, X), pixel_count(&s->shape)};
    panel_product_run_parallel(&s->data_panels, o, &call);
}

static void pack_data_winograd(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    winograd_pack(s->minimal_data, o, plain, packed);
}

static void data_winograd(op *o) {
    const convolution_state *s = o->state;
    winograd_run(s->minimal_data, o, op_output_gradient(o), op_scratch(o), NULL, NULL, op_input_gradient(o, X));
}

static void pack_data_tiles(op *o, const float *plain, void *packed) {
    const convolution_state *s = o->state;
    tile_convolution_pack_data(&s->tiles, o, plain, packed);
}

static void data_tiles(op *o) {
    const convolution_state *s = o->state;
    tile_convolution_data(&s->tiles, o, op_output_gradient(o), op_scratch(o), op_input_gradient(o, X));
}

/* ---- gradient by the weights ---- */

/* dW += plain, times a folded norm's scale, which stands in front of dW as it does in front of W: y = s (w * x). */
static void add_weight_gradient(op *o, float *plain) {
    convolution_state *s = o->state;
    const kernels *k = o->owner->kernels;
    float *dw = op_parameter_gradient(o, WEIGHT);
    int64_t row = o->input[WEIGHT]->count / s->shape.outputs;
    for (int64_t c = 0; c < s->shape.outputs; c++) {
        if (s->folds_norm) k->scale(plain + c * row, plain + c * row, norm_scale(&s->norm, c), row);
        k->add_into(dw + c * row, plain + c * row, row);
    }
}

/* A folded norm's scales, which stand in front of dW, behind `bytes` of sums; NULL when there is none. */
static float *norm_scales(op *o, uint64_t bytes) {
    convolution_state *s = o->state;
    if (!s->folds_norm) return NULL;
    float *scale = (float *)op_scratch(o) + bytes / sizeof *scale;
    for (int64_t c = 0; c < s->shape.outputs; c++) scale[c] = norm_scale(&s->norm, c);
    return scale;
}

static void weights_onednn(op *o) {
    convolution_state *s = o->state;
    float *dbias = o->input[BIAS] ? op_parameter_gradient(o, BIAS) : NULL;
    add_weight_gradient(o, convolution_shards_weights(&s->weights, o, tensor_values(o->input[X]), op_output_gradient(o),
                                                      op_scratch(o), dbias));
}

/* A 1x1 convolution is a linear layer on pixels. */
static void weights_product(op *o) {
    convolution_state *s = o->state;
    float *dw = op_parameter_gradient(o, WEIGHT), *dbias = o->input[BIAS] ? op_parameter_gradient(o, BIAS) : NULL;
    float *plain = (float *)(void *)((uint8_t *)op_scratch(o) + linear_gradient_bias_bytes(&s->pointwise));
    linear_gradient_weights(&s->pointwise, o, op_output_gradient(o), tensor_values(o->input[X]),
                            s->folds_norm ? plain : dw);
    if (s->folds_norm) add_weight_gradient(o, plain);
    if (dbias) linear_gradient_bias(&s->pointwise, o, op_output_gradient(o), dbias);
}

static void weights_winograd(op *o) {
    convolution_state *s = o->state;
    winograd_weights(s->minimal, o, tensor_f32(o->input[X]), op_output_gradient(o),
                     norm_scales(o, winograd_sum_bytes(s->minimal)), op_scratch(o), op_parameter_gradient(o, WEIGHT));
}

static void weights_tiles(op *o) {
    convolution_state *s = o->state;
    float *sums = op_scratch(o), *scale = norm_scales(o, tile_convolution_sum_bytes(&s->tiles));
    tile_convolution_weights(&s->tiles, o, tensor_values(o->input[X]), op_output_gradient(o), scale, sums,
                             op_parameter_gradient(o, WEIGHT));
    float *dbias = o->input[BIAS] ? op_parameter_gradient(o, BIAS) : NULL;
    if (dbias) linear_gradient_bias(&s->pointwise, o, op_output_gradient(o), dbias);
}

static void weights_patches(op *o) {
    const convolution_state *s = o->state;
    add_weight_gradient(o, patch_gradient_run(&s->stem, o, tensor_values(o->input[X]), op_output_gradient(o)));
}

static void weights_taps(op *o) {
    convolution_state *s = o->state;
    add_weight_gradient(o, tap_gradient_run(&s->strided, o, tensor_values(o->input[X]), op_output_gradient(o)));
}

/* ---- the tables ---- */

typedef struct convolution_way {
    carina_status (*prepare)(op *o, carina_error *error);
    void (*pack)(op *o, const float *plain, void *packed); /* of the gradient by the weights: none */
    void (*run)(op *o);
} convolution_way;

static const convolution_way forward_ways[WAY_COUNT] = {
    [BY_ONEDNN] = {prepare_forward_onednn, pack_onednn, forward_onednn},
    [BY_WINOGRAD] = {prepare_forward_winograd, pack_winograd, forward_winograd},
    [BY_TILES] = {prepare_forward_tiles, pack_tiles, forward_tiles},
    [BY_PANELS] = {prepare_forward_panels, pack_panels, forward_panels},
};
static const convolution_way data_ways[WAY_COUNT] = {
    [BY_ONEDNN] = {prepare_data_onednn, pack_data_onednn, data_onednn},
    [BY_WINOGRAD] = {prepare_data_winograd, pack_data_winograd, data_winograd},
    [BY_TILES] = {prepare_data_tiles, pack_data_tiles, data_tiles},
    [BY_PANELS] = {prepare_data_panels, pack_data_panels, data_panels},
};
static const convolution_way weights_ways[WAY_COUNT] = {
    [BY_ONEDNN] = {prepare_weights_onednn, NULL, weights_onednn},
    [BY_WINOGRAD] = {prepare_weights_winograd, NULL, weights_winograd},
    [BY_TILES] = {prepare_weights_tiles, NULL, weights_tiles},
    [BY_PRODUCT] = {prepare_weights_product, NULL, weights_product},
    [BY_PATCHES] = {prepare_weights_patches, NULL, weights_patches},
    [BY_TAPS] = {prepare_weights_taps, NULL, weights_taps},
};

/* ---- the op ---- */

static carina_status prepare_bias(op *o, carina_error *error) {
    convolution_state *s = o->state;
    if (!o->input[BIAS] && !s->folds_norm) return CARINA_OK;
    s->bias = calloc((size_t)s->shape.outputs, sizeof *s->bias);
    return s->bias ? CARINA_OK
                   : error_memory(error, "folded bias", (unsigned long long)s->shape.outputs * sizeof *s->bias);
}

/* The sign of y is needed. If y is kept anyway, it serves; else one bit a value is kept instead. */
static void prepare_signs(op *o) {
    convolution_state *s = o->state;
    s->sign_saved = !o->output->base->read_in_backward;
    if (s->sign_saved)
        op_save(o, 0, (uint64_t)(o->output->count + 7) / 8);
    else
        o->backward_reads |= READS_OUTPUT;
}

/* Training changes weights with every step. Else a copy is kept, but for f32 products with so many pixels that packing
 * the weights costs little beside them: a model would lie in memory twice. */
static bool keeps_packed(const op *o) {
    const convolution_state *s = o->state;
    bool packs_quickly = s->forward_way == BY_PANELS && o->output->type == TENSOR_F32;
    return !o->owner->options.training && !(packs_quickly && pixel_count(&s->shape) >= MANY_PIXELS);
}

static carina_status convolution_prepare(op *o, carina_error *error) {
    convolution_state *s = o->state;
    choose_ways(o);
    TRY(prepare_bias(o, error));
    TRY(forward_ways[s->forward_way].prepare(o, error));
    o->scratch_bytes = plain_bytes(o);
    if (!keeps_packed(o)) {
        o->scratch_bytes += s->packed_bytes;
    } else {
        s->packed = aligned_alloc(64, s->packed_bytes);
        if (!s->packed) return error_memory(error, "packed weights", s->packed_bytes);
    }
    if (s->data_way) {
        TRY(data_ways[s->data_way].prepare(o, error));
        need(&o->scratch_bytes, s->data_packed_bytes + plain_bytes(o));
    }
    if (s->weights_way) TRY(weights_ways[s->weights_way].prepare(o, error));
    if (o->backward_active && s->relu) prepare_signs(o);
    return CARINA_OK;
}

/* Weights to where the kernel wants them: anew where they are not kept, else when they have changed. */
static void pack(op *o) {
    convolution_state *s = o->state;
    const parameter *p = o->input[WEIGHT]->param;
    float *plain = op_scratch(o);
    if (!s->packed)
        plain += s->packed_bytes / sizeof *plain;
    else if (p && s->packed_version == p->version)
        return;
    forward_ways[s->forward_way].pack(o, folded_weights(o, plain), packed_weights(o));
    s->packed_version = p ? p->version : 0;
    fold_bias(o);
}

static void convolution_forward(op *o) {
    const convolution_state *s = o->state;
    pack(o);
    forward_ways[s->forward_way].run(o);
    if (s->sign_saved) op_parallel(o, SIGN_SHARDS, sign_shard, o);
}

static void convolution_backward(op *o) {
    const convolution_state *s = o->state;
    op_parallel(o, SIGN_SHARDS, gate_shard, o);
    if (s->weights_way) weights_ways[s->weights_way].run(o);
    if (s->data_way) {
        float *plain = (float *)op_scratch(o) + s->data_packed_bytes / sizeof *plain;
        data_ways[s->data_way].pack(o, folded_weights(o, plain), op_scratch(o));
        data_ways[s->data_way].run(o);
    }
}

static const op_type convolution_type = {"convolution", convolution_prepare, convolution_forward, convolution_backward,
                                         convolution_state_free};

tensor *op_convolution(graph *g, tensor *x, tensor *weight, tensor *bias, tensor *residual,
                       const convolution_options *options) {
    if (!x || !weight) return NULL;
    if (weight->rank == 4 && weight->size[2] == 1 && weight->size[3] == 1 && options->stride > 1 &&
        options->padding == 0) {
        /* the pixels it looks at, then densely: oneDNN's backward passes are slow with gaps */
        convolution_options dense = *options;
        dense.stride = 1;
        return op_convolution(g, op_subsample(g, x, options->stride), weight, bias, residual, &dense);
    }
    if (x->rank != 4 || weight->rank != 4 || weight->size[1] != x->size[3] ||
        (bias && bias->count != weight->size[0]) || (weight->needs_gradient && !weight->param) ||
        (bias && options->frozen_norm) || options->stride < 1 || options->padding < 0)
        return graph_fail(g, "convolution: a weight of %lld channels on a picture of %lld",
                          (long long)(weight->rank > 1 ? weight->size[1] : 0), (long long)x->size[x->rank - 1]);
    int64_t height = (x->size[1] + 2 * options->padding - weight->size[2]) / options->stride + 1;
    int64_t width = (x->size[2] + 2 * options->padding - weight->size[3]) / options->stride + 1;
    int64_t size[4] = {x->size[0], height, width, weight->size[0]};
    if (residual && (residual->count != size[0] * height * width * size[3] || residual->type != x->type))
        return graph_fail(g, "convolution: the residual's shape or type differs from the output's");
    op *o = graph_record(g, &convolution_type, 4, (tensor *[]){x, weight, bias, residual}, x->type, 4, size,
                         sizeof(convolution_state));
    if (!o) return NULL;
    o->takes_over = RESIDUAL;
    convolution_state *s = o->state;
    s->relu = options->relu;
    s->folds_norm = options->frozen_norm != NULL;
    if (s->folds_norm) s->norm = *options->frozen_norm;
    s->shape = (convolution_geometry){.type = x->type,
                                      .batch = x->size[0],
                                      .height = x->size[1],
                                      .width = x->size[2],
                                      .channels = x->size[3],
                                      .output_height = height,
                                      .output_width = width,
                                      .outputs = weight->size[0],
                                      .kernel_height = weight->size[2],
                                      .kernel_width = weight->size[3],
                                      .stride = options->stride,
                                      .padding = options->padding};
    o->backward_reads = weight->needs_gradient ? READS_INPUT(X) : 0;
    return o->output;
}
