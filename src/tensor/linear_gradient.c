/* dW and db of y = x W^T + b; see linear_gradient.h. */
#include "tensor/linear_gradient.h"

#include <string.h>

#include "tensor/span.h"

#define LEAST_SIDE 64 /* of a shard of dW: below, copying the panels costs too much */

carina_status linear_gradient_create(linear_gradient *out, tensor_type type, int64_t rows, int64_t inputs,
                                     int64_t outputs, bool add, carina_error *error) {
    *out = (linear_gradient){.type = type, .rows = rows, .inputs = inputs, .outputs = outputs, .add = add};
    int64_t by_work = rows * inputs * outputs / (1 << 20);
    out->bias_shards = shard_count_for(rows, outputs);
    if (type == TENSOR_F32) {
        int64_t along = 1, across = 1;
        while (along * across < min_i64(by_work, 16) && max_i64(outputs / along, inputs / across) >= 2 * LEAST_SIDE)
            if (outputs / along > inputs / across)
                along *= 2;
            else
                across *= 2;
        out->kernel = outer_kernel_best();
        out->across = (int)across;
        out->shards = (int)(along * across);
        return CARINA_OK;
    }
    int64_t shards = max_i64(1, min_i64(min_i64(by_work, outputs / 16), 16));
    out->block = (outputs + shards - 1) / shards;
    out->shards = (int)((outputs + out->block - 1) / out->block);
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

void linear_gradient_bias_only(linear_gradient *out, tensor_type type, int64_t rows, int64_t outputs) {
    *out = (linear_gradient){.type = type, .rows = rows, .outputs = outputs};
    out->bias_shards = shard_count_for(rows, outputs);
}

void linear_gradient_free(linear_gradient *g) {
    product_free(g->full);
    product_free(g->tail);
}

uint64_t linear_gradient_worker_bytes(const linear_gradient *g) {
    if (g->type == TENSOR_F32) return outer_product_scratch_bytes();
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

static void outer_shard(void *context, int shard, int worker) {
    const gradient_call *call = context;
    const linear_gradient *g = call->g;
    range row = shard_range(g->outputs, g->shards / g->across, shard / g->across);
    range column = shard_range(g->inputs, g->across, shard % g->across);
    outer_product p = {.kernel = g->kernel,
                       .a = (const float *)call->dy + row.begin,
                       .b = (const float *)call->x + column.begin,
                       .a_step = g->outputs,
                       .b_step = g->inputs,
                       .count = g->rows,
                       .m = row.end - row.begin,
                       .n = column.end - column.begin,
                       .sum = call->dw + row.begin * g->inputs + column.begin,
                       .sum_step = g->inputs};
    for (int64_t i = 0; !g->add && i < p.m; i++) memset(p.sum + i * p.sum_step, 0, (size_t)p.n * sizeof *p.sum);
    outer_product_add(&p, op_worker_scratch(call->o, worker));
}

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
    op_parallel(o, g->shards, g->type == TENSOR_F32 ? outer_shard : weights_shard, &call);
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
