/* Products with packed weight matrices and rows of packed tables (quantized.h): for running only, activations in f32.
 * A row's result does not depend on the other rows, and work is cut by outputs, so neither batch nor threads matter. */
#include "tensor/ops.h"
#include "tensor/quantized.h"
#include "tensor/span.h"

#define MOST_SHARDS 64
#define LEAST_RUN   (128 << 10) /* bytes of weights that a shard reads at least */

enum { X };

typedef struct quantized_state {
    const quantized_matrix *matrix;
    const quantized_kernels *kernels;
    int64_t rows;
    activation_function function;
    int shards; /* of the outputs' blocks */
} quantized_state;

/* ---- products ---- */

typedef struct product_call {
    op *o;
    quantized_rows rows;
    int panel_shards;
} product_call;

static void prepare_shard(void *context, int shard, int worker) {
    (void)worker;
    const product_call *c = context;
    const quantized_state *s = c->o->state;
    range r = shard_range(quantized_rows_panels(&c->rows), c->panel_shards, shard);
    quantized_rows_prepare(s->kernels, &c->rows, tensor_f32(c->o->input[X]), s->matrix->inputs, r.begin,
                           r.end - r.begin);
}

static void product_shard(void *context, int shard, int worker) {
    (void)worker;
    const product_call *c = context;
    const quantized_state *s = c->o->state;
    const quantized_matrix *m = s->matrix;
    float *y = tensor_values(c->o->output);
    range r = shard_range(m->blocks, s->shards, shard);
    quantized_product_run(s->kernels, m, &c->rows, r.begin, r.end - r.begin, y, m->outputs);
    if (s->function == FUNCTION_NONE) return;
    int64_t first = r.begin * QUANTIZED_BLOCK, count = min_i64(r.end * QUANTIZED_BLOCK, m->outputs) - first;
    for (int64_t row = 0; row < s->rows; row++) {
        float *values = y + row * m->outputs + first;
        c->o->owner->kernels->activate(values, values, count, s->function);
    }
}

/* With few tokens a shard is one run through memory, which takes its time to begin. */
static int shard_count_of(const quantized_state *s) {
    int64_t blocks = s->matrix->blocks, together = LEAST_RUN / (int64_t)s->matrix->block_bytes;
    if (s->rows <= QUANTIZED_PANEL && together > 1) blocks = (blocks + together - 1) / together;
    return (int)min_i64(blocks, MOST_SHARDS);
}

static carina_status quantized_linear_prepare(op *o, carina_error *error) {
    quantized_state *s = o->state;
    if (o->backward_active)
        return error_set(error, CARINA_ERROR_ARGUMENT, "packed weights have no gradient; train in f32");
    s->kernels = quantized_kernels_best();
    s->shards = shard_count_of(s);
    o->scratch_bytes = quantized_rows_bytes(s->matrix->kind, s->rows, s->matrix->inputs);
    return CARINA_OK;
}

static void quantized_linear_forward(op *o) {
    const quantized_state *s = o->state;
    product_call c = {.o = o};
    quantized_rows_place(&c.rows, op_scratch(o), s->matrix->kind, s->rows, s->matrix->inputs);
    c.panel_shards = (int)min_i64(quantized_rows_panels(&c.rows), 16);
    op_parallel(o, c.panel_shards, prepare_shard, &c);
    op_parallel(o, s->shards, product_shard, &c);
}

static const op_type quantized_linear_type = {"quantized linear", quantized_linear_prepare, quantized_linear_forward,
                                              NULL, NULL};

tensor *op_quantized_linear(graph *g, tensor *x, const quantized_matrix *matrix, activation act) {
    if (!x) return NULL;
    if (x->type != TENSOR_F32 || x->rank < 1 || x->size[x->rank - 1] != matrix->inputs)
        return graph_fail(g, "quantized linear: f32 rows of %lld are wanted", (long long)matrix->inputs);
    int64_t size[TENSOR_MAX_RANK];
    for (int i = 0; i < x->rank; i++) size[i] = x->size[i];
    size[x->rank - 1] = matrix->outputs;
    op *o = graph_record(g, &quantized_linear_type, 1, &x, TENSOR_F32, x->rank, size, sizeof(quantized_state));
    if (!o) return NULL;
    *(quantized_state *)o->state =
        (quantized_state){.matrix = matrix, .rows = x->count / matrix->inputs, .function = (activation_function)act};
    return o->output;
}

/* ---- rows of a table ---- */

static void embedding_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const quantized_matrix *m = ((const quantized_state *)o->state)->matrix;
    float id = tensor_f32(o->input[X])[shard], *y = (float *)tensor_values(o->output) + shard * m->inputs;
    if (id >= 0 && id < (float)m->outputs)
        quantized_get_row(m, (int64_t)id, y);
    else
        for (int64_t i = 0; i < m->inputs; i++) y[i] = 0;
}

static carina_status quantized_embedding_prepare(op *o, carina_error *error) {
    if (!o->backward_active) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "packed weights have no gradient; train in f32");
}
static void quantized_embedding_forward(op *o) {
    op_parallel(o, (int)((const quantized_state *)o->state)->rows, embedding_shard, o);
}
static const op_type quantized_embedding_type = {"quantized embedding", quantized_embedding_prepare,
                                                 quantized_embedding_forward, NULL, NULL};

tensor *op_quantized_embedding(graph *g, tensor *ids, const quantized_matrix *table) {
    if (!ids) return NULL;
    if (ids->type != TENSOR_F32 || ids->rank >= TENSOR_MAX_RANK)
        return graph_fail(g, "quantized embedding: f32 ids are wanted");
    int64_t size[TENSOR_MAX_RANK];
    for (int i = 0; i < ids->rank; i++) size[i] = ids->size[i];
    size[ids->rank] = table->inputs;
    op *o =
        graph_record(g, &quantized_embedding_type, 1, &ids, TENSOR_F32, ids->rank + 1, size, sizeof(quantized_state));
    if (!o) return NULL;
    *(quantized_state *)o->state = (quantized_state){.matrix = table, .rows = ids->count};
    return o->output;
}
