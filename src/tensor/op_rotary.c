/* Rotary positions (Su et al. 2021, arXiv 2104.09864): values i and i + d/2 of every head are a point that is turned by
 * the i-th angle of its token's row. Turning is linear and keeps lengths, so backward turns the other way and reads
 * nothing but the gradient. */
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

enum { X, TABLE };

typedef struct rotary_state {
    int64_t rows, tokens, turned, width, heads, half; /* B N, N, P, D, H, d / 2 */
} rotary_state;

typedef struct rotary_pass {
    op *o;
    const void *from;
    void *to;
    float direction; /* 1 forward, -1 backward */
} rotary_pass;

static void rotary_shard(void *context, int shard, int worker) {
    const rotary_pass *pass = context;
    op *o = pass->o;
    const rotary_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const float *table = tensor_f32(o->input[TABLE]);
    tensor_type type = o->output->type;
    size_t row_bytes = (size_t)s->width * type_bytes(type);
    float *buffers = op_worker_scratch(o, worker);
    range r = shard_range(s->rows, shard_count_for(s->rows, s->width), shard);
    for (int64_t i = r.begin; i < r.end; i++) {
        int64_t patch = i % s->tokens - (s->tokens - s->turned), offset = i * s->width;
        if (patch < 0) {
            memmove((uint8_t *)pass->to + (size_t)i * row_bytes, (const uint8_t *)pass->from + (size_t)i * row_bytes,
                    row_bytes);
            continue;
        }
        const float *x = span_read(k, pass->from, type, offset, s->width, buffers);
        float *y = span_target(pass->to, type, offset, buffers + s->width);
        for (int64_t h = 0; h < s->heads; h++)
            k->rotate(y + 2 * h * s->half, x + 2 * h * s->half, table + patch * 2 * s->half, s->half, pass->direction);
        span_flush(k, pass->to, type, offset, s->width, y);
    }
}

static void run(op *o, const void *from, void *to, float direction) {
    const rotary_state *s = o->state;
    rotary_pass pass = {o, from, to, direction};
    op_parallel(o, shard_count_for(s->rows, s->width), rotary_shard, &pass);
}

static carina_status rotary_prepare(op *o, carina_error *error) {
    (void)error;
    o->worker_bytes = 2 * (uint64_t)((rotary_state *)o->state)->width * sizeof(float);
    return CARINA_OK;
}
static void rotary_forward(op *o) { run(o, tensor_values(o->input[X]), tensor_values(o->output), 1); }
static void rotary_backward(op *o) { run(o, op_output_gradient(o), op_input_gradient(o, X), -1); }
static const op_type rotary_type = {"rotary", rotary_prepare, rotary_forward, rotary_backward, NULL};

tensor *op_rotary(graph *g, tensor *x, tensor *table, int heads) {
    if (!x || !table) return NULL;
    if (x->rank != 3 || x->param || table->rank != 2 || table->type != TENSOR_F32 || table->needs_gradient ||
        heads < 1 || table->size[1] % 2 || table->size[1] * heads != x->size[2] || table->size[0] > x->size[1])
        return graph_fail(g, "rotary: [B, N, D] and an f32 table [P, D / heads] with P <= N are wanted");
    op *o = graph_record(g, &rotary_type, 2, (tensor *[]){x, table}, x->type, 3, x->size, sizeof(rotary_state));
    if (!o) return NULL;
    *(rotary_state *)o->state = (rotary_state){
        .rows = x->size[0] * x->size[1],
        .tokens = x->size[1],
        .turned = table->size[0],
        .width = x->size[2],
        .heads = heads,
        .half = table->size[1] / 2,
    };
    o->backward_reads = READS_INPUT(TABLE);
    o->takes_over = X;
    return o->output;
}
