/* Products with packed weight matrices and rows of packed tables (quantized.h): for running only, x and y in f32.
 * A row's result does not depend on the other rows, and work is cut by outputs, so neither batch nor threads matter. */
#include <assert.h>

#include "tensor/ops.h"
#include "tensor/quantized.h"
#include "tensor/span.h"
#include "tensor/weight_runs.h"

#define RUN_PAIRS 4 /* of blocks, of a run with many tokens */

enum { X, EARLIER }; /* EARLIER: outputs of the matrices before the last one */

typedef struct quantized_state {
    int count;
    quantized_linear_part parts[QUANTIZED_LINEARS_MOST];
    weight_runs runs; /* of pairs of blocks, those of all matrices behind each other */
    const quantized_kernels *kernels;
    int64_t rows, inputs;
} quantized_state;

/* Rows of the op that are there. */
static int64_t rows_there(const op *o, int64_t planned) {
    return o->owner->rows ? min_i64(o->owner->rows, planned) : planned;
}

/* ---- products ---- */

typedef struct rows_call {
    const quantized_kernels *kernels;
    const quantized_rows *rows;
    const float *x;
    int shards;
} rows_call;

static void rows_shard(void *context, int shard, int worker) {
    (void)worker;
    const rows_call *c = context;
    range r = shard_range(quantized_rows_panels(c->rows), c->shards, shard);
    quantized_rows_prepare(c->kernels, c->rows, c->x, c->rows->inputs, r.begin, r.end - r.begin);
}

static void quantize_rows(op *o, const quantized_kernels *k, const quantized_rows *rows) {
    rows_call c = {k, rows, tensor_f32(o->input[X]), (int)min_i64(quantized_rows_panels(rows), 16)};
    op_parallel(o, c.shards, rows_shard, &c);
}

typedef struct product_call {
    op *o;
    quantized_rows rows;
} product_call;

static int64_t pairs_of(const quantized_matrix *m) { return (m->blocks + 1) / 2; }

/* Pairs [r.begin, r.end) of one matrix's blocks. */
static void multiply_part(const product_call *c, int part, range r) {
    const quantized_state *s = c->o->state;
    const quantized_matrix *m = s->parts[part].matrix;
    activation_function function = (activation_function)s->parts[part].act;
    float *y = tensor_values(part + 1 < s->count ? c->o->input[EARLIER + part] : c->o->output);
    int64_t block = 2 * r.begin, end = min_i64(2 * r.end, m->blocks);
    quantized_product_run(s->kernels, m, &c->rows, block, end - block, y, m->outputs);
    if (function == FUNCTION_NONE) return;
    int64_t first = block * QUANTIZED_BLOCK, count = min_i64(end * QUANTIZED_BLOCK, m->outputs) - first;
    for (int64_t row = 0; row < c->rows.count; row++) {
        float *values = y + row * m->outputs + first;
        c->o->owner->kernels->activate(values, values, count, function);
    }
}

static void product_shard(void *context, int shard, int worker) {
    (void)worker;
    const product_call *c = context;
    const quantized_state *s = c->o->state;
    range all = weight_runs_range(&s->runs, shard);
    int64_t before = 0; /* pairs of the matrices before this one */
    for (int i = 0; i < s->count; i++) {
        int64_t pairs = pairs_of(s->parts[i].matrix);
        range r = {max_i64(all.begin - before, 0), min_i64(all.end - before, pairs)};
        if (r.begin < r.end) multiply_part(c, i, r);
        before += pairs;
    }
}

static weight_runs runs_of(const op *o, int64_t rows, int64_t pairs, uint64_t pair_bytes) {
    return (weight_runs){.units = pairs,
                         .unit_bytes = pair_bytes,
                         .threads = thread_pool_count(o->owner->options.pool),
                         .length = rows > QUANTIZED_PANEL ? RUN_PAIRS : 0};
}

static carina_status check_runs_only(op *o, carina_error *error) {
    if (!o->backward_active) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "packed weights have no gradient; train in f32");
}

static carina_status quantized_linears_prepare(op *o, carina_error *error) {
    quantized_state *s = o->state;
    TRY(check_runs_only(o, error));
    s->kernels = quantized_kernels_best();
    int64_t pairs = 0;
    uint64_t bytes = 0;
    for (int i = 0; i < s->count; i++) pairs += pairs_of(s->parts[i].matrix), bytes += s->parts[i].matrix->bytes;
    s->runs = runs_of(o, s->rows, pairs, bytes / (uint64_t)pairs);
    o->scratch_bytes = quantized_rows_bytes(s->parts[0].matrix->kind, s->rows, s->inputs);
    return CARINA_OK;
}

static void quantized_linears_forward(op *o) {
    const quantized_state *s = o->state;
    product_call c = {.o = o};
    quantized_rows_place(&c.rows, op_scratch(o), s->parts[0].matrix->kind, rows_there(o, s->rows), s->inputs);
    quantize_rows(o, s->kernels, &c.rows);
    op_parallel(o, weight_runs_count(&s->runs), product_shard, &c);
}

/* The last matrix's op fills the outputs of the others, which have their place in memory from their own op on. */
static void filled_by_a_later_op(op *o) { (void)o; }

static const op_type quantized_linears_type = {"quantized linear", quantized_linears_prepare, quantized_linears_forward,
                                               NULL, NULL};
static const op_type quantized_place_type = {"quantized linear, place", check_runs_only, filled_by_a_later_op, NULL,
                                             NULL};

static bool share_rows(const quantized_matrix *a, const quantized_matrix *b) {
    return (a->kind == QUANTIZED_BF16) == (b->kind == QUANTIZED_BF16);
}

static bool takes_rows(graph *g, const op_type *type, const tensor *x, const quantized_matrix *m) {
    if (x->type == TENSOR_F32 && x->rank >= 1 && x->size[x->rank - 1] == m->inputs) return true;
    graph_fail(g, "%s: f32 rows of %lld are wanted", type->name, (long long)m->inputs);
    return false;
}

/* An op that gives a row of `outputs` for every row of its first input. */
static op *record_rows(graph *g, const op_type *type, int64_t outputs, int input_count, tensor *const *inputs,
                       size_t state_bytes) {
    const tensor *x = inputs[X];
    int64_t size[TENSOR_MAX_RANK];
    for (int axis = 0; axis < x->rank; axis++) size[axis] = x->size[axis];
    size[x->rank - 1] = outputs;
    return graph_record(g, type, input_count, inputs, TENSOR_F32, x->rank, size, state_bytes);
}

void op_quantized_linears(graph *g, tensor *x, int count, const quantized_linear_part *parts, tensor **out) {
    tensor *inputs[QUANTIZED_LINEARS_MOST] = {x};
    assert(count >= 1 && count <= QUANTIZED_LINEARS_MOST);
    for (int i = 0; i < count; i++) out[i] = NULL;
    if (!x) return;
    for (int i = 1; i < count; i++)
        if (!share_rows(parts[0].matrix, parts[i].matrix)) {
            op_quantized_linears(g, x, i, parts, out);
            op_quantized_linears(g, x, count - i, parts + i, out + i);
            return;
        }
    for (int i = 0; i < count; i++) {
        const quantized_matrix *m = parts[i].matrix;
        bool last = i + 1 == count;
        const op_type *type = last ? &quantized_linears_type : &quantized_place_type;
        if (!takes_rows(g, type, x, m)) return;
        op *o = record_rows(g, type, m->outputs, last ? count : 1, inputs, last ? sizeof(quantized_state) : 0);
        if (!o) return;
        out[i] = o->output;
        if (!last) {
            inputs[EARLIER + i] = o->output;
            continue;
        }
        quantized_state *s = o->state;
        *s = (quantized_state){.count = count, .rows = x->count / m->inputs, .inputs = m->inputs};
        for (int j = 0; j < count; j++) s->parts[j] = parts[j];
    }
}

tensor *op_quantized_linear(graph *g, tensor *x, const quantized_matrix *matrix, activation act) {
    tensor *y;
    op_quantized_linears(g, x, 1, &(quantized_linear_part){matrix, act}, &y);
    return y;
}

/* ---- a gated feed-forward ---- */

typedef struct feed_forward_state {
    const quantized_matrix *gate, *up, *down;
    activation_function function;
    const quantized_kernels *kernels;
    int64_t rows;
} feed_forward_state;

typedef struct feed_forward_call {
    op *o;
    quantized_rows x, hidden;
    weight_runs runs; /* of pairs of blocks */
} feed_forward_call;

static void gate_up(void *context, float *gate, const float *up, int64_t count) {
    const op *o = context;
    const feed_forward_state *s = o->state;
    const kernels *k = o->owner->kernels;
    if (s->function != FUNCTION_NONE) k->activate(gate, gate, count, s->function);
    k->multiply(gate, gate, up, count);
}

static void hidden_shard(void *context, int shard, int worker) {
    (void)worker;
    const feed_forward_call *c = context;
    const feed_forward_state *s = c->o->state;
    range r = weight_runs_range(&c->runs, shard);
    quantized_products_combined_run(s->kernels, s->gate, s->up, &c->x, r.begin, r.end - r.begin, gate_up, c->o,
                                    &c->hidden);
}

static void down_shard(void *context, int shard, int worker) {
    (void)worker;
    const feed_forward_call *c = context;
    const feed_forward_state *s = c->o->state;
    range r = weight_runs_range(&c->runs, shard);
    int64_t first = 2 * r.begin, end = min_i64(2 * r.end, s->down->blocks);
    quantized_product_run(s->kernels, s->down, &c->hidden, first, end - first, tensor_values(c->o->output),
                          s->down->outputs);
}

/* Rows of x, then of what is hidden. */
static uint64_t x_bytes(const feed_forward_state *s) {
    return quantized_rows_bytes(s->gate->kind, s->rows, s->gate->inputs);
}

static carina_status feed_forward_prepare(op *o, carina_error *error) {
    feed_forward_state *s = o->state;
    TRY(check_runs_only(o, error));
    s->kernels = quantized_kernels_best();
    o->scratch_bytes = x_bytes(s) + quantized_rows_bytes(s->down->kind, s->rows, s->down->inputs);
    return CARINA_OK;
}

static void feed_forward_forward(op *o) {
    const feed_forward_state *s = o->state;
    feed_forward_call c = {.o = o};
    int64_t rows = rows_there(o, s->rows);
    quantized_rows_place(&c.x, op_scratch(o), s->gate->kind, rows, s->gate->inputs);
    quantized_rows_place(&c.hidden, (uint8_t *)op_scratch(o) + x_bytes(s), s->down->kind, rows, s->down->inputs);
    quantize_rows(o, s->kernels, &c.x);
    c.runs = runs_of(o, s->rows, pairs_of(s->gate), 2 * (s->gate->block_bytes + s->up->block_bytes));
    op_parallel(o, weight_runs_count(&c.runs), hidden_shard, &c);
    c.runs = runs_of(o, s->rows, pairs_of(s->down), 2 * s->down->block_bytes);
    op_parallel(o, weight_runs_count(&c.runs), down_shard, &c);
}

static const op_type feed_forward_type = {"quantized feed-forward", feed_forward_prepare, feed_forward_forward, NULL,
                                          NULL};

tensor *op_quantized_feed_forward(graph *g, tensor *x, const quantized_matrix *gate, const quantized_matrix *up,
                                  const quantized_matrix *down, activation act) {
    if (!x) return NULL;
    if (!share_rows(gate, up)) {
        tensor *y[2];
        op_quantized_linears(g, x, 2, (quantized_linear_part[]){{gate, act}, {up, ACTIVATION_NONE}}, y);
        return op_quantized_linear(g, op_multiply(g, y[0], y[1]), down, ACTIVATION_NONE);
    }
    if (up->inputs != gate->inputs || up->outputs != gate->outputs || down->inputs != gate->outputs)
        return graph_fail(g, "quantized feed-forward: shapes of gate, up and down do not fit");
    if (!takes_rows(g, &feed_forward_type, x, gate)) return NULL;
    op *o = record_rows(g, &feed_forward_type, down->outputs, 1, &x, sizeof(feed_forward_state));
    if (!o) return NULL;
    *(feed_forward_state *)o->state = (feed_forward_state){
        .gate = gate, .up = up, .down = down, .function = (activation_function)act, .rows = x->count / gate->inputs};
    return o->output;
}

/* ---- rows of a table ---- */

typedef struct embedding_state {
    const quantized_matrix *table;
    int64_t rows;
} embedding_state;

static void embedding_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const quantized_matrix *m = ((const embedding_state *)o->state)->table;
    float id = tensor_f32(o->input[X])[shard], *y = (float *)tensor_values(o->output) + shard * m->inputs;
    if (id >= 0 && id < (float)m->outputs)
        quantized_get_row(m, (int64_t)id, y);
    else
        for (int64_t i = 0; i < m->inputs; i++) y[i] = 0;
}

static void quantized_embedding_forward(op *o) {
    op_parallel(o, (int)((const embedding_state *)o->state)->rows, embedding_shard, o);
}
static const op_type quantized_embedding_type = {"quantized embedding", check_runs_only, quantized_embedding_forward,
                                                 NULL, NULL};

tensor *op_quantized_embedding(graph *g, tensor *ids, const quantized_matrix *table) {
    if (!ids) return NULL;
    if (ids->type != TENSOR_F32 || ids->rank >= TENSOR_MAX_RANK)
        return graph_fail(g, "quantized embedding: f32 ids are wanted");
    int64_t size[TENSOR_MAX_RANK];
    for (int i = 0; i < ids->rank; i++) size[i] = ids->size[i];
    size[ids->rank] = table->inputs;
    op *o =
        graph_record(g, &quantized_embedding_type, 1, &ids, TENSOR_F32, ids->rank + 1, size, sizeof(embedding_state));
    if (!o) return NULL;
    *(embedding_state *)o->state = (embedding_state){.table = table, .rows = ids->count};
    return o->output;
}
