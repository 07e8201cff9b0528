/* dW and db of y = x W^T + b; see linear_gradient.h. */
#include "tensor/linear_gradient.h"

#include <string.h>

#include "tensor/span.h"

carina_status linear_gradient_create(linear_gradient *out, tensor_type type, int64_t rows, int64_t inputs,
                                     int64_t outputs, bool add, carina_error *error) {
    *out = (linear_gradient){.type = type, .rows = rows, .inputs = inputs, .outputs = outputs};
    int64_t by_work = rows * inputs * outputs / (1 << 20);
    int64_t shards = max_i64(1, min_i64(min_i64(by_work, outputs / 16), 16));
    out->block = (outputs + shards - 1) / shards;
    out->shards = (int)((outputs + out->block - 1) / out->block);
    out->bias_shards = shard_count_for(rows, outputs);
    product_shape shape = {.m = out->block,
                           .n = inputs,
                           .k = rows,
                           .a_type = type,
                           .b_type = type,
                           .c_type = TENSOR_F32,
                           .a_row = 1,
                           .a_column = outputs,
                           .b_row = inputs,
                           .b_column = 1,
                           .c_row = inputs,
                           .add = add};
    TRY(product_create(&out->full, &shape, NULL, error));
    if (outputs % out->block == 0) return CARINA_OK;
    shape.m = outputs % out->block;
    return product_create(&out->tail, &shape, NULL, error);
}

void linear_gradient_free(linear_gradient *g) {
    product_free(g->full);
    product_free(g->tail);
}

uint64_t linear_gradient_worker_bytes(const linear_gradient *g) {
    uint64_t full = product_scratch_bytes(g->full), tail = g->tail ? product_scratch_bytes(g->tail) : 0;
    return full > tail ? full : tail;
}

uint64_t linear_gradient_bias_bytes(const linear_gradient *g) {
    return (uint64_t)g->bias_shards * (uint64_t)g->outputs * sizeof(float);
}

typedef struct gradient_call {
    const linear_gradient *g;
    op *o;
    const void *dy, *x;
    float *dw;
} gradient_call;

static void weights_shard(void *context, int shard, int worker) {
    const gradient_call *call = context;
    const linear_gradient *g = call->g;
    int64_t begin = shard * g->block;
    const product *p = begin + g->block > g->outputs ? g->tail : g->full;
    product_run(p, (const uint8_t *)call->dy + (size_t)begin * type_bytes(g->type), call->x, NULL,
                call->dw + begin * g->inputs, op_worker_scratch(call->o, worker));
}

void linear_gradient_weights(const linear_gradient *g, op *o, const void *dy, const void *x, float *dw) {
    gradient_call call = {g, o, dy, x, dw};
    op_parallel(o, g->shards, weights_shard, &call);
}

static void bias_shard(void *context, int shard, int worker) {
    (void)worker;
    const gradient_call *call = context;
    const linear_gradient *g = call->g;
    const kernels *k = call->o->owner->kernels;
    float *partial = (float *)op_scratch(call->o) + (int64_t)shard * g->outputs;
    memset(partial, 0, (size_t)g->outputs * sizeof *partial);
    range r = shard_range(g->rows, g->bias_shards, shard);
    float values[SPAN_VALUES];
    for (int64_t row = r.begin; row < r.end; row++)
        for (int64_t c = 0; c < g->outputs; c += SPAN_VALUES) {
            int64_t n = min_i64(SPAN_VALUES, g->outputs - c);
            k->add_into(partial + c, span_read(k, call->dy, g->type, row * g->outputs + c, n, values), n);
        }
}

void linear_gradient_bias(const linear_gradient *g, op *o, const void *dy, float *dbias) {
    gradient_call call = {g, o, dy, NULL, NULL};
    op_parallel(o, g->bias_shards, bias_shard, &call);
    for (int i = 0; i < g->bias_shards; i++)
        o->owner->kernels->add_into(dbias, (float *)op_scratch(o) + (int64_t)i * g->outputs, g->outputs);
}
