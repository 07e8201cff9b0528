/* y = f(x W^T) where a row must not notice the others: a decoder's steps, whose rows belong to sequences that come and
 * go. op_linear's products choose their order of sums by the whole shape. Here each output is one sum over 16 lanes,
 * whatever is computed beside it: the kernel that attention scores its keys with (key_rows.h) takes rows of W for keys.
 * Work is cut by outputs, and W is read in blocks that stay in the cache for all rows of x. f32, for running only. */
#include "tensor/key_rows.h"
#include "tensor/ops.h"
#include "tensor/span.h"

enum { X, WEIGHT };
enum { BLOCK_BYTES = 1 << 18 }; /* of W */

typedef struct row_linear_state {
    int64_t rows, inputs, outputs;
    int shards; /* of the outputs */
    activation_function function;
    const key_rows_kernel *kernel;
} row_linear_state;

static void forward_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const row_linear_state *s = o->state;
    const float *x = tensor_f32(o->input[X]), *weight = tensor_f32(o->input[WEIGHT]);
    float *y = tensor_values(o->output);
    range r = shard_range(s->outputs, s->shards, shard);
    int64_t block = max_i64(8, BLOCK_BYTES / (s->inputs * (int64_t)sizeof(float)));
    for (int64_t at = r.begin, count; at < r.end; at += count) {
        count = min_i64(block, r.end - at);
        s->kernel->scores(y + at, s->outputs, x, s->inputs, s->rows, weight + at * s->inputs, s->inputs, count,
                          s->inputs);
    }
    if (s->function == FUNCTION_NONE) return;
    for (int64_t row = 0; row < s->rows; row++) {
        float *values = y + row * s->outputs + r.begin;
        o->owner->kernels->activate(values, values, r.end - r.begin, s->function);
    }
}

static carina_status row_linear_prepare(op *o, carina_error *error) {
    row_linear_state *s = o->state;
    if (o->backward_active)
        return error_set(error, CARINA_ERROR_ARGUMENT, "products by row have no gradient; op_linear has");
    s->kernel = key_rows_best();
    s->shards = (int)max_i64(1, min_i64(s->outputs / 16, 64));
    return CARINA_OK;
}

static void row_linear_forward(op *o) {
    op_parallel(o, ((const row_linear_state *)o->state)->shards, forward_shard, o);
}

static const op_type row_linear_type = {"row linear", row_linear_prepare, row_linear_forward, NULL, NULL};

tensor *op_row_linear(graph *g, tensor *x, tensor *weight, activation act) {
    if (!x || !weight) return NULL;
    int64_t inputs = x->size[x->rank - 1], size[TENSOR_MAX_RANK];
    if (x->type != TENSOR_F32 || weight->type != TENSOR_F32 || weight->rank != 2 || weight->size[1] != inputs)
        return graph_fail(g, "row linear: f32 rows of %lld are wanted", (long long)weight->size[weight->rank - 1]);
    for (int i = 0; i < x->rank; i++) size[i] = x->size[i];
    size[x->rank - 1] = weight->size[0];
    op *o = graph_record(g, &row_linear_type, 2, (tensor *[]){x, weight}, TENSOR_F32, x->rank, size,
                         sizeof(row_linear_state));
    if (!o) return NULL;
    *(row_linear_state *)o->state = (row_linear_state){
        .rows = x->count / inputs, .inputs = inputs, .outputs = weight->size[0], .function = (activation_function)act};
    return o->output;
}
