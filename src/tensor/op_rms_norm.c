/* Root-mean-square norm (Zhang and Sennrich 2019) with Gemma's weights, which are stored as what is added to one:
 * y = x / sqrt(mean(x^2) + epsilon) (1 + w) (+ residual). A row is as wide as the weight: a token, or one head of it.
 */
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

enum { X, WEIGHT, RESIDUAL };

typedef struct rms_norm_state {
    int64_t rows, width;
    int shards;
    float epsilon;
} rms_norm_state;

static carina_status rms_norm_prepare(op *o, carina_error *error) {
    (void)error;
    rms_norm_state *s = o->state;
    s->shards = shard_count_for(s->rows, s->width);
    o->worker_bytes = 3 * (uint64_t)s->width * sizeof(float);
    if (o->backward_active) {
        op_save(o, 0, (uint64_t)s->rows * sizeof(float)); /* 1 / root of each row */
        o->scratch_bytes = (uint64_t)s->shards * (uint64_t)s->width * sizeof(float);
    }
    return CARINA_OK;
}

static void forward_shard(void *context, int shard, int worker) {
    op *o = context;
    const rms_norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    float *buffer = op_worker_scratch(o, worker), *target = buffer + s->width, *saved = o->saved[0].data;
    const tensor *residual = o->input[RESIDUAL];
    range r = shard_range(s->rows, s->shards, shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        const float *x = span_read(k, tensor_values(o->input[X]), o->input[X]->type, row * s->width, s->width, buffer);
        float *y = span_target(tensor_values(o->output), o->output->type, row * s->width, target);
        float rstd = k->rms_norm(y, x, tensor_f32(o->input[WEIGHT]), s->width, s->epsilon);
        if (residual)
            k->add_into(y, span_read(k, tensor_values(residual), residual->type, row * s->width, s->width, buffer),
                        s->width);
        span_flush(k, tensor_values(o->output), o->output->type, row * s->width, s->width, y);
        if (saved) saved[row] = rstd;
    }
}

static void rms_norm_forward(op *o) { op_parallel(o, ((rms_norm_state *)o->state)->shards, forward_shard, o); }

static void backward_shard(void *context, int shard, int worker) {
    op *o = context;
    const rms_norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    float *x_buffer = op_worker_scratch(o, worker), *dy_buffer = x_buffer + s->width, *target = dy_buffer + s->width;
    float *dweight = (float *)op_scratch(o) + (int64_t)shard * s->width;
    const float *saved = o->saved[0].data;
    void *gradient = op_input_gradient(o, X), *residual_gradient = op_input_gradient(o, RESIDUAL);
    tensor_type type = o->input[X]->type;
    memset(dweight, 0, (size_t)s->width * sizeof *dweight);
    range r = shard_range(s->rows, s->shards, shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        int64_t offset = row * s->width;
        const float *x = span_read(k, tensor_values(o->input[X]), type, offset, s->width, x_buffer);
        const float *dy = span_read(k, op_output_gradient(o), o->output->type, offset, s->width, dy_buffer);
        float *dx = gradient ? span_target(gradient, type, offset, target) : target;
        k->rms_norm_gradient(dx, dweight, dy, x, tensor_f32(o->input[WEIGHT]), s->width, saved[row]);
        if (gradient) span_flush(k, gradient, type, offset, s->width, dx);
        if (!residual_gradient) continue;
        float *passed = span_target(residual_gradient, type, offset, target);
        memcpy(passed, dy, (size_t)s->width * sizeof *passed);
        span_flush(k, residual_gradient, type, offset, s->width, passed);
    }
}

static void rms_norm_backward(op *o) {
    const rms_norm_state *s = o->state;
    op_parallel(o, s->shards, backward_shard, o);
    float *dweight = op_parameter_gradient(o, WEIGHT);
    for (int i = 0; dweight && i < s->shards; i++)
        o->owner->kernels->add_into(dweight, (const float *)op_scratch(o) + (int64_t)i * s->width, s->width);
}

static const op_type rms_norm_type = {"rms norm", rms_norm_prepare, rms_norm_forward, rms_norm_backward, NULL};

tensor *op_rms_norm(graph *g, tensor *x, tensor *weight, tensor *residual, float epsilon) {
    if (!x || !weight) return NULL;
    if (x->size[x->rank - 1] % weight->count)
        return graph_fail(g, "rms norm: rows of %lld are not divided by a weight of %lld",
                          (long long)x->size[x->rank - 1], (long long)weight->count);
    if (residual && (residual->count != x->count || residual->type != x->type))
        return graph_fail(g, "rms norm: the residual is not of x's shape and type");
    op *o = graph_record(g, &rms_norm_type, residual ? 3 : 2, (tensor *[]){x, weight, residual}, x->type, x->rank,
                         x->size, sizeof(rms_norm_state));
    if (!o) return NULL;
    *(rms_norm_state *)o->state =
        (rms_norm_state){.rows = x->count / weight->count, .width = weight->count, .epsilon = epsilon};
    o->backward_reads = READS_INPUT(X);
    o->takes_over = X;
    return o->output;
}
