/* Layer norm (Ba et al. 2016) over the last axis of x + residual, one row at a time. */
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

enum { X, RESIDUAL, WEIGHT, BIAS };

typedef struct layer_norm_state {
    int64_t rows, width;
    int shards;
    float epsilon;
} layer_norm_state;

static carina_status layer_norm_prepare(op *o, carina_error *error) {
    (void)error;
    layer_norm_state *s = o->state;
    s->shards = shard_count_for(s->rows, s->width);
    o->worker_bytes = 3 * (uint64_t)s->width * sizeof(float);
    if (o->backward_active) {
        op_save(o, 0, 2 * (uint64_t)s->rows * sizeof(float)); /* mean and 1/deviation of each row */
        o->scratch_bytes = 2 * (uint64_t)s->shards * (uint64_t)s->width * sizeof(float);
    }
    return CARINA_OK;
}

/* x + residual of one row, in `sum` [width] unless x alone can be used where it is. */
static const float *row_of(const op *o, int64_t row, float *sum, float *buffer) {
    const layer_norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const tensor *x = o->input[X], *residual = o->input[RESIDUAL];
    const float *values = span_read(k, tensor_values(x), x->type, row * s->width, s->width, sum);
    if (!residual) return values;
    if (values != sum) memcpy(sum, values, (size_t)s->width * sizeof *sum);
    k->add_into(sum, span_read(k, tensor_values(residual), residual->type, row * s->width, s->width, buffer), s->width);
    return sum;
}

static void forward_shard(void *context, int shard, int worker) {
    op *o = context;
    layer_norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    float *sum = op_worker_scratch(o, worker), *buffer = sum + s->width, *target = buffer + s->width;
    float *moments = o->saved[0].data;
    range r = shard_range(s->rows, s->shards, shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        float mean, rstd;
        const float *x = row_of(o, row, sum, buffer);
        float *y = span_target(tensor_values(o->output), o->output->type, row * s->width, target);
        k->layer_norm(y, x, tensor_f32(o->input[WEIGHT]), tensor_f32(o->input[BIAS]), s->width, s->epsilon, &mean,
                      &rstd);
        span_flush(k, tensor_values(o->output), o->output->type, row * s->width, s->width, y);
        if (moments) {
            moments[2 * row] = mean;
            moments[2 * row + 1] = rstd;
        }
    }
}

static void layer_norm_forward(op *o) { op_parallel(o, ((layer_norm_state *)o->state)->shards, forward_shard, o); }

static void write_gradient(const op *o, int input, int64_t row, const float *dx) {
    const layer_norm_state *s = o->state;
    void *gradient = op_input_gradient(o, input);
    if (!gradient) return;
    tensor_type type = o->input[input]->type;
    if (type == TENSOR_F32)
        memcpy((float *)gradient + row * s->width, dx, (size_t)s->width * sizeof *dx);
    else
        span_flush(o->owner->kernels, gradient, type, row * s->width, s->width, dx);
}

static void backward_shard(void *context, int shard, int worker) {
    op *o = context;
    layer_norm_state *s = o->state;
    const kernels *k = o->owner->kernels;
    float *sum = op_worker_scratch(o, worker), *buffer = sum + s->width, *dx = buffer + s->width;
    const float *moments = o->saved[0].data;
    float *dweight = (float *)op_scratch(o) + 2 * (int64_t)shard * s->width, *dbias = dweight + s->width;
    memset(dweight, 0, 2 * (size_t)s->width * sizeof *dweight);
    range r = shard_range(s->rows, s->shards, shard);
    for (int64_t row = r.begin; row < r.end; row++) {
        const float *x = row_of(o, row, sum, buffer);
        const float *dy = span_read(k, op_output_gradient(o), o->output->type, row * s->width, s->width, buffer);
        k->layer_norm_gradient(dx, dweight, dbias, dy, x, tensor_f32(o->input[WEIGHT]), s->width, moments[2 * row],
                               moments[2 * row + 1]);
        write_gradient(o, X, row, dx);
        write_gradient(o, RESIDUAL, row, dx);
    }
}

static void layer_norm_backward(op *o) {
    layer_norm_state *s = o->state;
    op_parallel(o, s->shards, backward_shard, o);
    float *dweight = op_parameter_gradient(o, WEIGHT), *dbias = op_parameter_gradient(o, BIAS);
    for (int i = 0; i < s->shards; i++) {
        const float *partial = (const float *)op_scratch(o) + 2 * (int64_t)i * s->width;
        if (dweight) o->owner->kernels->add_into(dweight, partial, s->width);
        if (dbias) o->owner->kernels->add_into(dbias, partial + s->width, s->width);
    }
}

static const op_type layer_norm_type = {"layer norm", layer_norm_prepare, layer_norm_forward, layer_norm_backward,
                                        NULL};

tensor *op_layer_norm(graph *g, tensor *x, tensor *residual, tensor *weight, tensor *bias, float epsilon) {
    if (!x || !weight || !bias) return NULL;
    int64_t width = x->size[x->rank - 1];
    if (weight->count != width || bias->count != width || (residual && residual->count != x->count))
        return graph_fail(g, "layer norm: width %lld, weight %lld, bias %lld", (long long)width,
                          (long long)weight->count, (long long)bias->count);
    op *o = graph_record(g, &layer_norm_type, 4, (tensor *[]){x, residual, weight, bias}, x->type, x->rank, x->size,
                         sizeof(layer_norm_state));
    if (!o) return NULL;
    layer_norm_state *s = o->state;
    *s = (layer_norm_state){.rows = x->count / width, .width = width, .epsilon = epsilon};
    o->backward_reads = READS_INPUT(X) | READS_INPUT(RESIDUAL);
    return o->output;
}
