/* Pooling: the window maximum and plain subsampling of pictures, and the mean over tokens. */
#include <float.h>
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

typedef struct pool_state {
    int64_t batch, height, width, channels, output_height, output_width;
    int window, stride, padding;
} pool_state;

static int output_shards(const pool_state *s) {
    return shard_count_for(s->batch * s->output_height, s->output_width * s->channels);
}
static int input_shards(const pool_state *s) { return shard_count_for(s->batch * s->height, s->width * s->channels); }

static carina_status max_pool_prepare(op *o, carina_error *error) {
    (void)error;
    pool_state *s = o->state;
    if (o->backward_active) op_save(o, 0, (uint64_t)o->output->count); /* which tap won, one byte a value */
    /* forward: one row's maximum over the window's rows, the same by index, a row of x; backward: a row of dx, a pixel
     */
    o->worker_bytes = (uint64_t)(s->width + 2) * (uint64_t)s->channels * (2 * sizeof(float) + 1);
    return CARINA_OK;
}

/* The maximum down the window's rows, for a whole row of the picture: best and index [W, C]. */
static void pool_rows(op *o, int64_t picture, int64_t row, float *best, uint8_t *index, float *buffer) {
    pool_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const tensor *x = o->input[0];
    int64_t values = s->width * s->channels;
    for (int64_t i = 0; i < values; i++) best[i] = -FLT_MAX;
    memset(index, 0, (size_t)values);
    for (int i = 0; i < s->window; i++) {
        int64_t y = row * s->stride - s->padding + i;
        if (y < 0 || y >= s->height) continue;
        k->maximum(best, index,
                   span_read(k, tensor_values(x), x->type, (picture * s->height + y) * values, values, buffer),
                   (uint8_t)(i * s->window), values);
    }
}

/* Then across the window's columns, for one pixel of the output. */
static void pool_columns(op *o, int64_t out, int64_t column, const float *best, const uint8_t *index, float *pixel) {
    pool_state *s = o->state;
    const kernels *k = o->owner->kernels;
    uint8_t *taps = (uint8_t *)o->saved[0].data + out;
    float *y = span_target(tensor_values(o->output), o->output->type, out, pixel);
    for (int64_t c = 0; c < s->channels; c++) y[c] = -FLT_MAX;
    for (int j = 0; j < s->window; j++) {
        int64_t z = column * s->stride - s->padding + j;
        if (z < 0 || z >= s->width) continue;
        k->maximum_of_rows(y, taps, best + z * s->channels, index + z * s->channels, (uint8_t)j, s->channels);
    }
    span_flush(k, tensor_values(o->output), o->output->type, out, s->channels, y);
}

static void max_pool_shard(void *context, int shard, int worker) {
    op *o = context;
    pool_state *s = o->state;
    int64_t values = s->width * s->channels;
    float *best = op_worker_scratch(o, worker), *buffer = best + values;
    uint8_t *index = (uint8_t *)(buffer + values);
    range r = shard_range(s->batch * s->output_height, output_shards(s), shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        pool_rows(o, row / s->output_height, row % s->output_height, best, index, buffer);
        for (int64_t column = 0; column < s->output_width; column++)
            pool_columns(o, (row * s->output_width + column) * s->channels, column, best, index, buffer);
    }
}

/* No gradient wanted: maxima alone, in the picture's own type. First down the window's rows, then across. */
static void plain_max_pool_shard(void *context, int shard, int worker) {
    op *o = context;
    pool_state *s = o->state;
    const kernels *k = o->owner->kernels;
    bool narrow = o->output->type == TENSOR_BF16;
    size_t bytes = type_bytes(o->output->type), pixel = (size_t)s->channels * bytes,
           row_bytes = (size_t)s->width * pixel;
    uint8_t *best = op_worker_scratch(o, worker);
    range r = shard_range(s->batch * s->output_height, output_shards(s), shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        int64_t top = row % s->output_height * s->stride - s->padding;
        int64_t first = max_i64(top, 0), last = min_i64(top + s->window, s->height);
        const uint8_t *x =
            (const uint8_t *)tensor_values(o->input[0]) + (size_t)(row / s->output_height * s->height) * row_bytes;
        memcpy(best, x + (size_t)first * row_bytes, row_bytes);
        for (int64_t y = first + 1; y < last; y++) {
            const void *line = x + (size_t)y * row_bytes;
            if (narrow)
                k->larger_bf16((uint16_t *)(void *)best, line, s->width * s->channels);
            else
                k->larger((float *)(void *)best, line, s->width * s->channels);
        }
        for (int64_t column = 0; column < s->output_width; column++) {
            int64_t left = column * s->stride - s->padding, from = max_i64(left, 0);
            uint8_t *y = (uint8_t *)tensor_values(o->output) + (size_t)(row * s->output_width + column) * pixel;
            memcpy(y, best + (size_t)from * pixel, pixel);
            for (int64_t z = from + 1; z < min_i64(left + s->window, s->width); z++) {
                const void *other = best + (size_t)z * pixel;
                if (narrow)
                    k->larger_bf16((uint16_t *)(void *)y, other, s->channels);
                else
                    k->larger((float *)(void *)y, other, s->channels);
            }
        }
    }
}

static void max_pool_forward(op *o) {
    op_parallel(o, output_shards(o->state), o->backward_active ? max_pool_shard : plain_max_pool_shard, o);
}

/* One row of dx at a time gathers from the windows that contain it, so that shards never write the same row. */
static void gather_row(op *o, int64_t picture, int64_t y, float *row, float *pixel) {
    pool_state *s = o->state;
    const kernels *k = o->owner->kernels;
    memset(row, 0, (size_t)(s->width * s->channels) * sizeof *row);
    for (int i = 0; i < s->window; i++) {
        int64_t offset = y + s->padding - i;
        if (offset < 0 || offset % s->stride || offset / s->stride >= s->output_height) continue;
        int64_t out_row = (picture * s->output_height + offset / s->stride) * s->output_width;
        for (int64_t column = 0; column < s->output_width; column++) {
            int64_t out = (out_row + column) * s->channels;
            const float *g = span_read(k, op_output_gradient(o), o->output->type, out, s->channels, pixel);
            for (int j = 0; j < s->window; j++) {
                int64_t z = column * s->stride - s->padding + j;
                if (z < 0 || z >= s->width) continue;
                k->scatter_maximum(row + z * s->channels, (const uint8_t *)o->saved[0].data + out, g,
                                   (uint8_t)(i * s->window + j), s->channels);
            }
        }
    }
}

static void max_pool_gradient_shard(void *context, int shard, int worker) {
    op *o = context;
    pool_state *s = o->state;
    float *row = op_worker_scratch(o, worker), *pixel = row + s->width * s->channels;
    void *dx = op_input_gradient(o, 0);
    int64_t values = s->width * s->channels;
    range r = shard_range(s->batch * s->height, input_shards(s), shard);
    for (int64_t y = r.begin; y < r.end; y++) {
        gather_row(o, y / s->height, y % s->height, row, pixel);
        if (o->output->type == TENSOR_F32)
            memcpy((float *)dx + y * values, row, (size_t)values * sizeof *row);
        else
            span_flush(o->owner->kernels, dx, TENSOR_BF16, y * values, values, row);
    }
}

static void max_pool_backward(op *o) { op_parallel(o, input_shards(o->state), max_pool_gradient_shard, o); }

static const op_type max_pool_type = {"max pool", max_pool_prepare, max_pool_forward, max_pool_backward, NULL};

tensor *op_max_pool(graph *g, tensor *x, int window, int stride, int padding) {
    if (!x) return NULL;
    if (x->rank != 4 || window < 1 || window > 15 || stride < 1 || padding < 0 || padding >= window)
        return graph_fail(g, "max pool: window %d, stride %d, padding %d", window, stride, padding);
    int64_t height = (x->size[1] + 2 * padding - window) / stride + 1,
            width = (x->size[2] + 2 * padding - window) / stride + 1;
    op *o = graph_record(g, &max_pool_type, 1, &x, x->type, 4, (int64_t[]){x->size[0], height, width, x->size[3]},
                         sizeof(pool_state));
    if (!o) return NULL;
    *(pool_state *)o->state =
        (pool_state){x->size[0], x->size[1], x->size[2], x->size[3], height, width, window, stride, padding};
    return o->output;
}

/* ---- subsample ---- */

/* Copies the kept pixels of one output row: forward from x to y, backward from dy into a zeroed pair of rows of dx. */
static void subsample_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const pool_state *s = o->state;
    size_t pixel = (size_t)s->channels * type_bytes(o->output->type);
    range r = shard_range(s->batch * s->output_height, output_shards(s), shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        int64_t picture = row / s->output_height, y = row % s->output_height;
        const uint8_t *from = (const uint8_t *)tensor_values(o->input[0]) +
                              (size_t)((picture * s->height + y * s->stride) * s->width) * pixel;
        uint8_t *to = (uint8_t *)tensor_values(o->output) + (size_t)(row * s->output_width) * pixel;
        for (int64_t x = 0; x < s->output_width; x++)
            memcpy(to + (size_t)x * pixel, from + (size_t)(x * s->stride) * pixel, pixel);
    }
}

static void subsample_forward(op *o) { op_parallel(o, output_shards(o->state), subsample_shard, o); }

static void subsample_gradient_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const pool_state *s = o->state;
    size_t pixel = (size_t)s->channels * type_bytes(o->output->type), row_bytes = (size_t)s->width * pixel;
    range r = shard_range(s->batch * s->height, input_shards(s), shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        int64_t picture = row / s->height, y = row % s->height;
        uint8_t *to = (uint8_t *)op_input_gradient(o, 0) + (size_t)row * row_bytes;
        memset(to, 0, row_bytes);
        if (y % s->stride) continue;
        const uint8_t *from = (const uint8_t *)op_output_gradient(o) +
                              (size_t)((picture * s->output_height + y / s->stride) * s->output_width) * pixel;
        for (int64_t x = 0; x < s->output_width; x++)
            memcpy(to + (size_t)(x * s->stride) * pixel, from + (size_t)x * pixel, pixel);
    }
}

static void subsample_backward(op *o) { op_parallel(o, input_shards(o->state), subsample_gradient_shard, o); }

static const op_type subsample_type = {"subsample", NULL, subsample_forward, subsample_backward, NULL};

tensor *op_subsample(graph *g, tensor *x, int stride) {
    if (!x) return NULL;
    if (x->rank != 4 || stride < 1) return graph_fail(g, "subsample: stride %d of a rank %d tensor", stride, x->rank);
    int64_t height = (x->size[1] + stride - 1) / stride, width = (x->size[2] + stride - 1) / stride;
    op *o = graph_record(g, &subsample_type, 1, &x, x->type, 4, (int64_t[]){x->size[0], height, width, x->size[3]},
                         sizeof(pool_state));
    if (!o) return NULL;
    *(pool_state *)o->state = (pool_state){.batch = x->size[0],
                                           .height = x->size[1],
                                           .width = x->size[2],
                                           .channels = x->size[3],
                                           .output_height = height,
                                           .output_width = width,
                                           .stride = stride};
    return o->output;
}

/* ---- mean over tokens: [B, N, D] -> [B, D] ---- */

static carina_status mean_prepare(op *o, carina_error *error) {
    (void)error;
    o->worker_bytes = 2 * (uint64_t)o->input[0]->size[2] * sizeof(float);
    return CARINA_OK;
}

static void mean_shard(void *context, int b, int worker) {
    op *o = context;
    const kernels *k = o->owner->kernels;
    const tensor *x = o->input[0];
    int64_t tokens = x->size[1], width = x->size[2];
    float *sum = op_worker_scratch(o, worker), *buffer = sum + width;
    memset(sum, 0, (size_t)width * sizeof *sum);
    for (int64_t n = 0; n < tokens; n++)
        k->add_into(sum, span_read(k, tensor_values(x), x->type, (b * tokens + n) * width, width, buffer), width);
    float *y = span_target(tensor_values(o->output), x->type, b * width, buffer);
    k->scale(y, sum, 1.0f / (float)tokens, width);
    span_flush(k, tensor_values(o->output), x->type, b * width, width, y);
}
static void mean_forward(op *o) { op_parallel(o, (int)o->input[0]->size[0], mean_shard, o); }

static void mean_gradient_shard(void *context, int b, int worker) {
    op *o = context;
    const kernels *k = o->owner->kernels;
    const tensor *x = o->input[0];
    int64_t tokens = x->size[1], width = x->size[2];
    float *g = op_worker_scratch(o, worker), *buffer = g + width;
    k->scale(g, span_read(k, op_output_gradient(o), x->type, b * width, width, buffer), 1.0f / (float)tokens, width);
    for (int64_t n = 0; n < tokens; n++) {
        int64_t offset = (b * tokens + n) * width;
        void *dx = op_input_gradient(o, 0);
        if (x->type == TENSOR_F32)
            memcpy((float *)dx + offset, g, (size_t)width * sizeof *g);
        else
            span_flush(k, dx, x->type, offset, width, g);
    }
}
static void mean_backward(op *o) { op_parallel(o, (int)o->input[0]->size[0], mean_gradient_shard, o); }

static const op_type mean_type = {"mean", mean_prepare, mean_forward, mean_backward, NULL};

tensor *op_mean_tokens(graph *g, tensor *x) {
    if (!x) return NULL;
    if (x->rank != 3) return graph_fail(g, "mean: rank %d instead of [B, N, D]", x->rank);
    op *o = graph_record(g, &mean_type, 1, &x, x->type, 2, (int64_t[]){x->size[0], x->size[2]}, 0);
    return o ? o->output : NULL;
}
