/* Embedding: rows of a table by number. Forward copies rows; backward adds each token's gradient to its row. */
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

enum { IDS, WEIGHT };

typedef struct embedding_state {
    int64_t tokens, rows, width; /* .., V, D */
} embedding_state;

/* -1 for anything that is no row's number. */
static int64_t row_of(const embedding_state *s, float id) { return id >= 0 && id < (float)s->rows ? (int64_t)id : -1; }

static void forward_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const embedding_state *s = o->state;
    const float *ids = tensor_f32(o->input[IDS]), *weight = tensor_f32(o->input[WEIGHT]);
    float *y = tensor_values(o->output);
    range r = shard_range(s->tokens, shard_count_for(s->tokens, s->width), shard);
    for (int64_t i = r.begin; i < r.end; i++) {
        int64_t row = row_of(s, ids[i]);
        if (row >= 0)
            memcpy(y + i * s->width, weight + row * s->width, (size_t)s->width * sizeof *y);
        else
            memset(y + i * s->width, 0, (size_t)s->width * sizeof *y);
    }
}

static void embedding_forward(op *o) {
    const embedding_state *s = o->state;
    op_parallel(o, shard_count_for(s->tokens, s->width), forward_shard, o);
}

/* Cut along the table's columns: a token that comes twice meets itself only within a shard, and always in order. */
static void backward_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const embedding_state *s = o->state;
    const float *ids = tensor_f32(o->input[IDS]), *dy = op_output_gradient(o);
    float *dweight = op_parameter_gradient(o, WEIGHT);
    range r = shard_range(s->width, shard_count_for(s->width, s->tokens), shard);
    for (int64_t i = 0; i < s->tokens; i++) {
        int64_t row = row_of(s, ids[i]);
        if (row < 0) continue;
        o->owner->kernels->add_into(dweight + row * s->width + r.begin, dy + i * s->width + r.begin, r.end - r.begin);
    }
}

static void embedding_backward(op *o) {
    const embedding_state *s = o->state;
    if (op_parameter_gradient(o, WEIGHT)) op_parallel(o, shard_count_for(s->width, s->tokens), backward_shard, o);
}

static const op_type embedding_type = {"embedding", NULL, embedding_forward, embedding_backward, NULL};

tensor *op_embedding(graph *g, tensor *ids, tensor *weight) {
    if (!ids || !weight) return NULL;
    if (ids->type != TENSOR_F32 || ids->rank >= TENSOR_MAX_RANK || weight->rank != 2 || !weight->base->param ||
        weight->size[0] > 1 << 24) /* whole numbers up to there are exact in f32 */
        return graph_fail(g, "embedding: f32 ids and a parameter [V, D] are wanted");
    int64_t size[TENSOR_MAX_RANK];
    memcpy(size, ids->size, sizeof size);
    size[ids->rank] = weight->size[1];
    op *o = graph_record(g, &embedding_type, 2, (tensor *[]){ids, weight}, TENSOR_F32, ids->rank + 1, size,
                         sizeof(embedding_state));
    if (!o) return NULL;
    *(embedding_state *)o->state =
        (embedding_state){.tokens = ids->count, .rows = weight->size[0], .width = weight->size[1]};
    o->backward_reads = READS_INPUT(IDS);
    return o->output;
}
