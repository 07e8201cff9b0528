/* The mean of a sample's tokens, each with its weight from a mask: how a sentence becomes one vector. */
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

enum { X, MASK };

typedef struct masked_mean_state {
    int64_t batch, tokens, width; /* B, N, D */
} masked_mean_state;

static double total_of(const float *mask, int64_t tokens) {
    double sum = 0;
    for (int64_t i = 0; i < tokens; i++) sum += (double)mask[i];
    return sum;
}
static float share(float weight, double total) { return total > 0 ? (float)((double)weight / total) : 0.0f; }

static void forward_shard(void *context, int b, int worker) {
    (void)worker;
    op *o = context;
    const masked_mean_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const tensor *x = o->input[X];
    const float *mask = tensor_f32(o->input[MASK]) + b * s->tokens;
    float *y = (float *)tensor_values(o->output) + b * s->width, buffer[SPAN_VALUES];
    double total = total_of(mask, s->tokens);
    memset(y, 0, (size_t)s->width * sizeof *y);
    for (int64_t n = 0; n < s->tokens; n++) {
        float weight = share(mask[n], total);
        if (weight == 0) continue;
        for (int64_t c = 0; c < s->width; c += SPAN_VALUES) {
            int64_t count = min_i64(SPAN_VALUES, s->width - c);
            const float *row =
                span_read(k, tensor_values(x), x->type, (b * s->tokens + n) * s->width + c, count, buffer);
            k->scale(buffer, row, weight, count);
            k->add_into(y + c, buffer, count);
        }
    }
}

static void masked_mean_forward(op *o) {
    op_parallel(o, (int)((masked_mean_state *)o->state)->batch, forward_shard, o);
}

static void backward_shard(void *context, int b, int worker) {
    (void)worker;
    op *o = context;
    const masked_mean_state *s = o->state;
    const kernels *k = o->owner->kernels;
    tensor_type type = o->input[X]->type;
    const float *mask = tensor_f32(o->input[MASK]) + b * s->tokens;
    const float *dy = (const float *)op_output_gradient(o) + b * s->width;
    void *dx = op_input_gradient(o, X);
    float buffer[SPAN_VALUES];
    double total = total_of(mask, s->tokens);
    for (int64_t n = 0; n < s->tokens; n++) {
        float weight = share(mask[n], total);
        for (int64_t c = 0; c < s->width; c += SPAN_VALUES) {
            int64_t count = min_i64(SPAN_VALUES, s->width - c), offset = (b * s->tokens + n) * s->width + c;
            float *target = span_target(dx, type, offset, buffer);
            k->scale(target, dy + c, weight, count);
            span_flush(k, dx, type, offset, count, target);
        }
    }
}

static void masked_mean_backward(op *o) {
    if (op_input_gradient(o, X)) op_parallel(o, (int)((masked_mean_state *)o->state)->batch, backward_shard, o);
}

static const op_type masked_mean_type = {"masked mean", NULL, masked_mean_forward, masked_mean_backward, NULL};

tensor *op_masked_mean(graph *g, tensor *x, tensor *mask) {
    if (!x || !mask) return NULL;
    if (x->rank != 3 || x->base->param || mask->type != TENSOR_F32 || mask->count != x->size[0] * x->size[1])
        return graph_fail(g, "masked mean: tokens [B, N, D] and an f32 mask [B, N] are wanted");
    op *o = graph_record(g, &masked_mean_type, 2, (tensor *[]){x, mask}, TENSOR_F32, 2,
                         (int64_t[]){x->size[0], x->size[2]}, sizeof(masked_mean_state));
    if (!o) return NULL;
    *(masked_mean_state *)o->state =
        (masked_mean_state){.batch = x->size[0], .tokens = x->size[1], .width = x->size[2]};
    o->backward_reads = READS_INPUT(MASK);
    return o->output;
}
