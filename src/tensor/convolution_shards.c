/* Convolutions by oneDNN, cut into shards; see convolution_shards.h. */
#include "tensor/convolution_shards.h"

#include <string.h>

#include "tensor/span.h"

/* Rows of x that rows [y0, y1) of y look at, and the padding that stands for the rest. */
static void rows_for_output(const convolution_geometry *s, convolution_shard *shard, int64_t y0, int64_t y1) {
    int64_t first = y0 * s->stride - s->padding;
    int64_t last = (y1 - 1) * s->stride - s->padding + s->kernel_height; /* exclusive */
    shard->shape.pad_top = (int)max_i64(0, -first);
    shard->shape.pad_bottom = (int)max_i64(0, last - s->height);
    shard->x_row = max_i64(0, first);
    shard->y_row = y0;
    shard->shape.input_height = min_i64(last, s->height) - shard->x_row;
    shard->shape.output_height = y1 - y0;
    if (y0 == 0 && y1 == s->output_height)
        shard->shape.input_height = s->height; /* whole pictures: several may follow */
}

/* Rows of y that rows [x0, x1) of x contribute to. */
static void rows_for_input(const convolution_geometry *s, convolution_shard *shard, int64_t x0, int64_t x1) {
    int64_t stride = s->stride, pad = s->padding, k = s->kernel_height;
    int64_t low = x0 + pad - k + 1;
    int64_t y0 = low > 0 ? (low + stride - 1) / stride : 0;
    int64_t y1 = min_i64((x1 - 1 + pad) / stride + 1, s->output_height);
    shard->x_row = x0;
    shard->y_row = y0;
    shard->shape.input_height = x1 - x0;
    shard->shape.output_height = y1 - y0;
    shard->shape.pad_top = (int)(pad + x0 - y0 * stride);
    shard->shape.pad_bottom = (int)max_i64(0, (y1 - y0 - 1) * stride + k - (x1 - x0) - shard->shape.pad_top);
}

static int64_t weight_count(const convolution_geometry *s) {
    return s->outputs * s->channels * s->kernel_height * s->kernel_width;
}

/* Enough shards for many cores, but none below about 30 MFLOP or 8 rows; few where each has weights of its own. */
static void cut(convolution_shards *c, convolution_direction direction, convolution_tail tail) {
    const convolution_geometry *s = &c->shape;
    bool by_input = direction == CONVOLUTION_BACKWARD_DATA;
    int64_t limit = CONVOLUTION_MAX_SHARDS;
    if (direction == CONVOLUTION_BACKWARD_WEIGHTS) limit = weight_count(s) > 1 << 19 ? 4 : 8;
    int64_t rows = by_input ? s->height : s->output_height;
    int64_t work = s->batch * s->output_height * s->output_width * weight_count(s);
    int64_t wanted = max_i64(1, min_i64(work / (15 << 20), limit));
    int64_t pictures = min_i64(s->batch, wanted), splits = max_i64(1, min_i64(wanted / pictures, rows / 8));
    convolution_shape shape = {.direction = direction,
                               .type = s->type,
                               .input_channels = (int)s->channels,
                               .output_channels = (int)s->outputs,
                               .kernel_height = (int)s->kernel_height,
                               .kernel_width = (int)s->kernel_width,
                               .stride = (int)s->stride,
                               .input_width = s->width,
                               .output_width = s->output_width,
                               .pad_left = (int)s->padding,
                               .has_bias = tail.bias,
                               .relu = tail.relu,
                               .has_residual = tail.residual};
    shape.pad_right =
        (int)max_i64(0, (s->output_width - 1) * shape.stride + shape.kernel_width - s->width - shape.pad_left);
    for (int64_t p = 0; p < pictures; p++)
        for (int64_t r = 0; r < splits; r++) {
            convolution_shard *shard = &c->items[c->count++];
            range group = shard_range(s->batch, (int)pictures, (int)p), row = shard_range(rows, (int)splits, (int)r);
            if (by_input) { /* cut at multiples of the stride: every shard then has the same phase */
                row.begin -= row.begin % shape.stride;
                if (r + 1 < splits) row.end -= row.end % shape.stride;
            }
            shard->shape = shape;
            shard->shape.batch = group.end - group.begin;
            shard->picture = group.begin;
            if (by_input)
                rows_for_input(s, shard, row.begin, row.end);
            else
                rows_for_output(s, shard, row.begin, row.end);
        }
}

carina_status convolution_shards_create(convolution_shards *c, const convolution_geometry *shape,
                                        convolution_direction direction, convolution_tail tail, carina_error *error) {
    *c = (convolution_shards){.shape = *shape};
    cut(c, direction, tail);
    for (int i = 0; i < c->count; i++) {
        convolution_shard *shard = &c->items[i];
        for (int j = 0; j < i && !shard->primitive; j++)
            if (memcmp(&c->items[j].shape, &shard->shape, sizeof shard->shape) == 0)
                shard->primitive = c->items[j].primitive;
        if (shard->primitive) continue;
        convolution **created = &c->owned[c->owned_count];
        TRY(convolution_create(created, &shard->shape, c->owned_count ? c->owned[0] : NULL, error));
        c->owned_count++;
        shard->primitive = *created;
        uint64_t scratch = convolution_scratch_bytes(*created);
        if (c->worker_bytes < scratch) c->worker_bytes = scratch;
    }
    c->packed_bytes = (convolution_packed_bytes(c->owned[0]) + 63) / 64 * 64;
    return CARINA_OK;
}

void convolution_shards_free(convolution_shards *c) {
    for (int i = 0; i < c->owned_count; i++) convolution_free(c->owned[i]);
}

void convolution_shards_pack(const convolution_shards *c, const float *plain, void *packed) {
    convolution_pack(c->owned[0], plain, packed);
}

/* ---- running them ---- */

typedef struct shards_call {
    const convolution_shards *c;
    op *o;
    uint8_t *x, *y; /* or their gradients */
    uint8_t *weights;
    uint64_t weights_step; /* from shard to shard: 0, all use the same */
    float *bias;
    int64_t bias_step;
    const uint8_t *residual;
} shards_call;

static size_t x_offset(const convolution_geometry *s, const convolution_shard *shard) {
    return (size_t)((shard->picture * s->height + shard->x_row) * s->width * s->channels) * type_bytes(s->type);
}
static size_t y_offset(const convolution_geometry *s, const convolution_shard *shard) {
    return (size_t)((shard->picture * s->output_height + shard->y_row) * s->output_width * s->outputs) *
           type_bytes(s->type);
}

static void run_shard(void *context, int index, int worker) {
    const shards_call *call = context;
    const convolution_geometry *s = &call->c->shape;
    const convolution_shard *shard = &call->c->items[index];
    size_t y = y_offset(s, shard);
    convolution_run(shard->primitive, call->x + x_offset(s, shard),
                    call->weights + (uint64_t)index * call->weights_step,
                    call->bias ? call->bias + index * call->bias_step : NULL,
                    call->residual ? call->residual + y : NULL, call->y + y, op_worker_scratch(call->o, worker));
}

/* convolution_run takes x, weights, bias and y of every direction; which of them it writes follows from that. */
static void *unread(const void *values) { return (void *)(uintptr_t)values; }

void convolution_shards_forward(const convolution_shards *c, op *o, const void *x, const void *packed,
                                const float *bias, const void *residual, void *y) {
    shards_call call = {.c = c, .o = o, .x = unread(x), .y = y, .weights = unread(packed), .bias = unread(bias)};
    call.residual = residual;
    op_parallel(o, c->count, run_shard, &call);
}

void convolution_shards_data(const convolution_shards *c, op *o, const void *dy, const void *packed, void *dx) {
    shards_call call = {.c = c, .o = o, .x = dx, .y = unread(dy), .weights = unread(packed)};
    op_parallel(o, c->count, run_shard, &call);
}

/* sums: per shard its packed gradient, then per shard that of the bias, then one plain copy. */
uint64_t convolution_shards_sum_bytes(const convolution_shards *c) {
    uint64_t partial = c->packed_bytes + (uint64_t)c->shape.outputs * sizeof(float);
    return (uint64_t)c->count * partial + (uint64_t)weight_count(&c->shape) * sizeof(float);
}

#define SUM_SHARDS 16
static void sum_shard(void *context, int index, int worker) {
    (void)worker;
    const shards_call *call = context;
    uint64_t values = call->weights_step / sizeof(float);
    range r = shard_range((int64_t)values, SUM_SHARDS, index);
    float *partial = (float *)(void *)call->weights;
    for (int i = 1; i < call->c->count; i++)
        call->o->owner->kernels->add_into(partial + r.begin, partial + (uint64_t)i * values + r.begin, r.end - r.begin);
}

float *convolution_shards_weights(const convolution_shards *c, op *o, const void *x, const void *dy, void *sums,
                                  float *dbias) {
    float *bias = (float *)(void *)((uint8_t *)sums + (uint64_t)c->count * c->packed_bytes);
    float *plain = bias + (int64_t)c->count * c->shape.outputs;
    shards_call call = {.c = c,
                        .o = o,
                        .x = unread(x),
                        .y = unread(dy),
                        .weights = sums,
                        .weights_step = c->packed_bytes,
                        .bias = bias,
                        .bias_step = c->shape.outputs};
    op_parallel(o, c->count, run_shard, &call);
    if (c->count > 1) op_parallel(o, SUM_SHARDS, sum_shard, &call);
    convolution_unpack(c->owned[0], sums, plain);
    for (int i = 0; dbias && i < c->count; i++)
        for (int64_t k = 0; k < c->shape.outputs; k++) dbias[k] += bias[i * c->shape.outputs + k];
    return plain;
}
