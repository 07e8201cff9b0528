/* Low-rank changes of a linear layer, another one for each row (LoRA: Hu et al. 2021, eq. 3): y + B A x, or y alone.
 * First A x of every row that has a pair, then its combination of the rows of B^T, cut by outputs; neighbouring rows
 * with one pair go together. These are the products that attention makes with its keys and values, so its kernels do
 * them (key_rows.h): a row gets the same bits in any company. For running only; in training the same is two linear
 * layers. */
#include <string.h>

#include "tensor/key_rows.h"
#include "tensor/ops.h"
#include "tensor/span.h"

enum { X, Y };

typedef struct low_rank_state {
    const low_rank_pair *const *rows;
    int slot;
    int64_t count, inputs, outputs;
    int row_shards, output_shards;
    const key_rows_kernel *kernel;
} low_rank_state;

static const low_rank_pair *pair_of(const low_rank_state *s, int64_t row) {
    const low_rank_pair *p = s->rows[row] ? &s->rows[row][s->slot] : NULL;
    return p && p->rank ? p : NULL;
}

/* Rows from `row` on, below `end`, that have its pair and go together: where rows are narrow each by itself. */
static int64_t together(const op *o, int64_t row, int64_t end) {
    const low_rank_state *s = o->state;
    int64_t next = row + 1;
    while (o->output->type == TENSOR_F32 && next < end && pair_of(s, next) == pair_of(s, row)) next++;
    return next - row;
}

/* A x: the scratch memory is [rows, LOW_RANK_MOST]. */
static void inner_shard(void *context, int shard, int worker) {
    op *o = context;
    const low_rank_state *s = o->state;
    range r = shard_range(s->count, s->row_shards, shard);
    for (int64_t row = r.begin, count; row < r.end; row += count) {
        const low_rank_pair *p = pair_of(s, row);
        count = together(o, row, r.end);
        if (!p) continue;
        const float *x = span_read(o->owner->kernels, tensor_values(o->input[X]), o->input[X]->type, row * s->inputs,
                                   s->inputs, op_worker_scratch(o, worker));
        s->kernel->scores((float *)op_scratch(o) + row * LOW_RANK_MOST, LOW_RANK_MOST, x, s->inputs, count, p->down,
                          s->inputs, p->rank, s->inputs);
    }
}

static void outer_shard(void *context, int shard, int worker) {
    op *o = context;
    const low_rank_state *s = o->state;
    const kernels *k = o->owner->kernels;
    tensor_type type = o->output->type;
    range r = shard_range(s->outputs, s->output_shards, shard);
    int64_t n = r.end - r.begin;
    for (int64_t row = 0, count; row < s->count; row += count) {
        const low_rank_pair *p = pair_of(s, row);
        count = together(o, row, s->count);
        if (!p) continue;
        int64_t at = row * s->outputs + r.begin;
        void *values = tensor_values(o->output);
        float *buffer = op_worker_scratch(o, worker), *y = span_target(values, type, at, buffer);
        if (type == TENSOR_BF16) k->widen_bf16(buffer, (const uint16_t *)values + at, n);
        mixture m = {(const float *)op_scratch(o) + row * LOW_RANK_MOST, LOW_RANK_MOST, 1};
        s->kernel->mix(y, s->outputs, &m, count, p->up + r.begin, s->outputs, p->rank, n);
        span_flush(k, values, type, at, n, y);
    }
}

static carina_status low_rank_prepare(op *o, carina_error *error) {
    low_rank_state *s = o->state;
    if (o->backward_active)
        return error_set(error, CARINA_ERROR_ARGUMENT, "adapters that change by row have no gradient; attach one");
    s->kernel = key_rows_best();
    s->row_shards = (int)min_i64(s->count, 16);
    s->output_shards = (int)max_i64(1, min_i64(s->outputs / 256, 16));
    o->scratch_bytes = (uint64_t)s->count * LOW_RANK_MOST * sizeof(float);
    if (o->output->type == TENSOR_BF16) o->worker_bytes = (uint64_t)max_i64(s->inputs, s->outputs) * sizeof(float);
    return CARINA_OK;
}

static void low_rank_forward(op *o) {
    const low_rank_state *s = o->state;
    const void *y = tensor_values(o->input[Y]);
    if (y != tensor_values(o->output))
        memcpy(tensor_values(o->output), y, (size_t)o->output->count * type_bytes(o->output->type));
    op_parallel(o, s->row_shards, inner_shard, o);
    op_parallel(o, s->output_shards, outer_shard, o);
}

static const op_type low_rank_type = {"low rank", low_rank_prepare, low_rank_forward, NULL, NULL};

tensor *op_low_rank(graph *g, tensor *y, tensor *x, const low_rank_pair *const *rows, int slot) {
    if (!y || !x) return NULL;
    int64_t inputs = x->size[x->rank - 1], outputs = y->size[y->rank - 1];
    if (x->type != y->type || x->count / inputs != y->count / outputs)
        return graph_fail(g, "low rank: %lld rows beside %lld", (long long)(x->count / inputs),
                          (long long)(y->count / outputs));
    op *o = graph_record(g, &low_rank_type, 2, (tensor *[]){x, y}, y->type, y->rank, y->size, sizeof(low_rank_state));
    if (!o) return NULL;
    o->takes_over = Y;
    *(low_rank_state *)o->state =
        (low_rank_state){.rows = rows, .slot = slot, .count = x->count / inputs, .inputs = inputs, .outputs = outputs};
    return o->output;
}
