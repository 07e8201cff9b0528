/* Ops that move values without computing: reshape, concatenate, slice, repeat; and softmax rows as a value. */
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

tensor *op_reshape(graph *g, tensor *x, int rank, const int64_t *size) { return graph_alias(g, x, rank, size); }

/* Copies `count` values between storages of one type. */
static void copy_values(void *to, int64_t to_offset, const void *from, int64_t from_offset, int64_t count,
                        tensor_type type) {
    size_t bytes = type_bytes(type);
    memcpy((uint8_t *)to + (size_t)to_offset * bytes, (const uint8_t *)from + (size_t)from_offset * bytes,
           (size_t)count * bytes);
}

/* ---- concatenate tokens ---- */

static void concatenate_forward(op *o) {
    const tensor *a = o->input[0], *b = o->input[1];
    int64_t left = a->size[1] * a->size[2], right = b->size[1] * b->size[2];
    for (int64_t i = 0; i < a->size[0]; i++) {
        copy_values(tensor_values(o->output), i * (left + right), tensor_values(a), i * left, left, a->type);
        copy_values(tensor_values(o->output), i * (left + right) + left, tensor_values(b), i * right, right, a->type);
    }
}
static void concatenate_backward(op *o) {
    const tensor *a = o->input[0], *b = o->input[1];
    int64_t left = a->size[1] * a->size[2], right = b->size[1] * b->size[2];
    void *da = op_input_gradient(o, 0), *db = op_input_gradient(o, 1);
    for (int64_t i = 0; i < a->size[0]; i++) {
        if (da) copy_values(da, i * left, op_output_gradient(o), i * (left + right), left, a->type);
        if (db) copy_values(db, i * right, op_output_gradient(o), i * (left + right) + left, right, a->type);
    }
}
static const op_type concatenate_type = {"concatenate", NULL, concatenate_forward, concatenate_backward, NULL};

tensor *op_concatenate(graph *g, tensor *a, tensor *b) {
    if (!a || !b) return NULL;
    if (a->rank != 3 || b->rank != 3 || a->size[0] != b->size[0] || a->size[2] != b->size[2] || a->type != b->type ||
        a->param || b->param)
        return graph_fail(g, "concatenate: [B, N, D] and [B, M, D] of one type are wanted");
    op *o = graph_record(g, &concatenate_type, 2, (tensor *[]){a, b}, a->type, 3,
                         (int64_t[]){a->size[0], a->size[1] + b->size[1], a->size[2]}, 0);
    return o ? o->output : NULL;
}

/* ---- slice of tokens ---- */

typedef struct slice_state {
    int64_t begin;
} slice_state;

static void slice_forward(op *o) {
    const tensor *x = o->input[0];
    int64_t width = x->size[2], count = o->output->size[1] * width, begin = ((slice_state *)o->state)->begin * width;
    for (int64_t i = 0; i < x->size[0]; i++)
        copy_values(tensor_values(o->output), i * count, tensor_values(x), i * x->size[1] * width + begin, count,
                    x->type);
}
static void slice_backward(op *o) {
    const tensor *x = o->input[0];
    int64_t width = x->size[2], count = o->output->size[1] * width, begin = ((slice_state *)o->state)->begin * width;
    void *dx = op_input_gradient(o, 0);
    memset(dx, 0, (size_t)x->count * type_bytes(x->type));
    for (int64_t i = 0; i < x->size[0]; i++)
        copy_values(dx, i * x->size[1] * width + begin, op_output_gradient(o), i * count, count, x->type);
}
static const op_type slice_type = {"slice", NULL, slice_forward, slice_backward, NULL};

tensor *op_slice(graph *g, tensor *x, int64_t begin, int64_t count) {
    if (!x) return NULL;
    if (x->rank != 3 || begin < 0 || count < 1 || begin + count > x->size[1] || x->param)
        return graph_fail(g, "slice: tokens %lld..%lld of %lld", (long long)begin, (long long)(begin + count),
                          (long long)x->size[1]);
    op *o = graph_record(g, &slice_type, 1, &x, x->type, 3, (int64_t[]){x->size[0], count, x->size[2]},
                         sizeof(slice_state));
    if (!o) return NULL;
    ((slice_state *)o->state)->begin = begin;
    return o->output;
}

/* ---- repeat over the batch: f32 parameters and constants become activations of the graph's type ---- */

static void repeat_forward(op *o) {
    const tensor *x = o->input[0];
    const kernels *k = o->owner->kernels;
    for (int64_t i = 0; i < o->output->size[0]; i++) {
        if (o->output->type == x->type)
            copy_values(tensor_values(o->output), i * x->count, tensor_values(x), 0, x->count, x->type);
        else
            k->narrow_bf16((uint16_t *)tensor_values(o->output) + i * x->count, tensor_f32(x), x->count);
    }
}
static void repeat_backward(op *o) {
    const tensor *x = o->input[0];
    const kernels *k = o->owner->kernels;
    float *sum = op_parameter_gradient(o, 0), *dx = op_input_gradient(o, 0);
    if (dx) memset(dx, 0, (size_t)x->count * sizeof *dx);
    if (!sum) sum = dx;
    float buffer[SPAN_VALUES];
    for (int64_t i = 0; i < o->output->size[0]; i++)
        for (int64_t c = 0; c < x->count; c += SPAN_VALUES) {
            int64_t n = min_i64(SPAN_VALUES, x->count - c);
            k->add_into(sum + c, span_read(k, op_output_gradient(o), o->output->type, i * x->count + c, n, buffer), n);
        }
}
static const op_type repeat_type = {"repeat", NULL, repeat_forward, repeat_backward, NULL};

tensor *op_repeat(graph *g, tensor *x, int64_t batch) {
    if (!x) return NULL;
    if (x->rank != 2 || x->type != TENSOR_F32) return graph_fail(g, "repeat: an f32 [N, D] is wanted");
    op *o = graph_record(g, &repeat_type, 1, &x, g->options.type, 3, (int64_t[]){batch, x->size[0], x->size[1]}, 0);
    return o ? o->output : NULL;
}

/* ---- softmax over the last axis ---- */

static void softmax_forward(op *o) {
    const tensor *x = o->input[0];
    int64_t width = x->size[x->rank - 1];
    memcpy(tensor_values(o->output), tensor_values(x), (size_t)x->count * sizeof(float));
    for (int64_t i = 0; i < x->count; i += width)
        o->owner->kernels->softmax((float *)tensor_values(o->output) + i, width, 1.0f);
}
static void softmax_backward(op *o) {
    const tensor *x = o->input[0];
    const kernels *k = o->owner->kernels;
    int64_t width = x->size[x->rank - 1];
    const float *p = tensor_values(o->output);
    float *dx = op_input_gradient(o, 0);
    memcpy(dx, op_output_gradient(o), (size_t)x->count * sizeof(float));
    for (int64_t i = 0; i < x->count; i += width)
        k->softmax_gradient(dx + i, p + i, width, k->dot(dx + i, p + i, width), 1.0f);
}
static const op_type softmax_type = {"softmax", NULL, softmax_forward, softmax_backward, NULL};

tensor *op_softmax(graph *g, tensor *x) {
    if (!x) return NULL;
    if (x->type != TENSOR_F32) return graph_fail(g, "softmax: f32 is wanted (op_cast)");
    op *o = graph_record(g, &softmax_type, 1, &x, TENSOR_F32, x->rank, x->size, 0);
    if (!o) return NULL;
    o->backward_reads = READS_OUTPUT;
    return o->output;
}
