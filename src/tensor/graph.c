/* Recording values and ops, and running them in order; plan.c decides where they live. See graph.h. */
#include "tensor/graph.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/cursor.h"
#include "base/progress.h"
#include "tensor/graph_internal.h"

carina_status graph_create(graph **out, const graph_options *options, carina_error *error) {
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(error, "graph", sizeof **out);
    (*out)->options = *options;
    (*out)->scratch = options->scratch ? options->scratch : &(*out)->own_scratch;
    /* below AVX-512 oneDNN computes nothing in bf16, and it would save nothing */
    if (cpu_level_effective() < CPU_AVX512) (*out)->options.type = TENSOR_F32;
    (*out)->kernels = kernels_best();
    return CARINA_OK;
}

static void op_free(op *o) {
    if (o->state) {
        if (o->type->free_state) o->type->free_state(o->state);
        free(o->state);
    }
    free(o);
}

void graph_free(graph *g) {
    if (!g) return;
    for (int i = 0; i < g->op_count; i++) op_free(g->ops[i]);
    for (int i = 0; i < g->tensor_count; i++) {
        free(g->tensors[i]->constant);
        free(g->tensors[i]->input_name);
        free(g->tensors[i]);
    }
    free(g->ops);
    free(g->tensors);
    free(g->arena);
    graph_scratch_free(&g->own_scratch);
    free(g);
}

const graph_options *graph_options_of(const graph *g) { return &g->options; }

tensor *graph_fail(graph *g, const char *format, ...) {
    if (g->status != CARINA_OK) return NULL; /* the first error is the cause */
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    g->status = error_set(&g->error, CARINA_ERROR_MISMATCH, "graph: %s", text);
    return NULL;
}

static void *append(void *items, int count, size_t item_bytes) {
    if ((count & (count - 1)) != 0) return items; /* grows at powers of two */
    return realloc(items, item_bytes * (size_t)(count ? 2 * count : 1));
}

static tensor *new_tensor(graph *g, tensor_type type, int rank, const int64_t *size) {
    if (g->status != CARINA_OK) return NULL;
    uint64_t count = 1;
    if (rank < 1 || rank > TENSOR_MAX_RANK)
        return graph_fail(g, "rank %d is not within 1 to %d", rank, TENSOR_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (size[i] < 1 || !size_multiply(count, (uint64_t)size[i], &count) || count > (uint64_t)1 << 40)
            return graph_fail(g, "axis %d has size %lld", i, (long long)size[i]);
    tensor **tensors = append(g->tensors, g->tensor_count, sizeof *tensors);
    tensor *t = calloc(1, sizeof *t);
    if (tensors) g->tensors = tensors;
    if (!tensors || !t) {
        free(t);
        return graph_fail(g, "out of memory");
    }
    *t = (tensor){.owner = g, .type = type, .rank = rank, .count = (int64_t)count};
    memcpy(t->size, size, (size_t)rank * sizeof *size);
    t->base = t;
    g->tensors[g->tensor_count++] = t;
    return t;
}

tensor *graph_input(graph *g, const char *name, int rank, const int64_t *size) {
    tensor *t = new_tensor(g, TENSOR_F32, rank, size);
    if (!t) return NULL;
    t->input_name = strdup(name);
    return t->input_name ? t : graph_fail(g, "out of memory");
}

tensor *graph_constant(graph *g, int rank, const int64_t *size, const float *values) {
    tensor *t = new_tensor(g, TENSOR_F32, rank, size);
    if (!t) return NULL;
    t->constant = aligned_alloc(64, ((size_t)t->count * sizeof(float) + 63) / 64 * 64);
    if (!t->constant) return graph_fail(g, "out of memory");
    memcpy(t->constant, values, (size_t)t->count * sizeof(float));
    return t;
}

void graph_require_gradient(graph *g, tensor *input) {
    (void)g;
    if (input) input->needs_gradient = input->gradient_required = true;
}

tensor *graph_parameter(graph *g, parameter *p) { return graph_parameter_rows(g, p, 0, p->size[0]); }

tensor *graph_parameter_rows(graph *g, parameter *p, int64_t begin, int64_t count) {
    int64_t size[TENSOR_MAX_RANK];
    memcpy(size, p->size, sizeof size);
    int64_t row = p->count / p->size[0];
    if (begin < 0 || count < 1 || begin + count > p->size[0])
        return graph_fail(g, "%s: rows %lld..%lld of %lld", p->name, (long long)begin, (long long)(begin + count),
                          (long long)p->size[0]);
    size[0] = count;
    for (int i = 0; i < g->tensor_count; i++) {
        tensor *t = g->tensors[i];
        if (t->param == p && t->param_offset == begin * row && t->size[0] == count) return t;
    }
    tensor *t = new_tensor(g, TENSOR_F32, p->rank, size);
    if (!t) return NULL;
    t->param = p;
    t->param_offset = begin * row;
    t->needs_gradient = g->options.training && p->trainable && p->gradient;
    return t;
}

tensor *graph_alias(graph *g, tensor *x, int rank, const int64_t *size) {
    if (!x) return NULL;
    tensor *t = new_tensor(g, x->type, rank, size);
    if (!t) return NULL;
    if (t->count != x->count)
        return graph_fail(g, "reshape of %lld values to %lld", (long long)x->count, (long long)t->count);
    t->base = x->base;
    t->needs_gradient = x->needs_gradient;
    return t;
}

op *graph_record(graph *g, const op_type *type, int input_count, tensor *const *inputs, tensor_type output_type,
                 int output_rank, const int64_t *output_size, size_t state_bytes) {
    if (g->status != CARINA_OK) return NULL;
    assert(input_count <= OP_MAX_INPUTS);
    tensor *output = new_tensor(g, output_type, output_rank, output_size);
    if (!output) {
        if (g->status == CARINA_OK) graph_fail(g, "out of memory");
        error_prefix(&g->error, "%s", type->name);
        return NULL;
    }
    op **ops = append(g->ops, g->op_count, sizeof *ops);
    if (ops) g->ops = ops;
    op *o = calloc(1, sizeof *o);
    void *state = state_bytes ? calloc(1, state_bytes) : NULL;
    if (!ops || !o || (state_bytes && !state)) {
        free(o);
        free(state);
        graph_fail(g, "out of memory");
        return NULL;
    }
    *o = (op){.type = type,
              .owner = g,
              .index = g->op_count,
              .input_count = input_count,
              .output = output,
              .state = state,
              .takes_over = -1};
    for (int i = 0; i < input_count; i++) {
        o->input[i] = inputs[i];
        if (inputs[i] && inputs[i]->needs_gradient) output->needs_gradient = true;
    }
    output->producer = o;
    g->ops[g->op_count++] = o;
    return o;
}

void graph_output(graph *g, tensor *value) {
    (void)g;
    if (value) value->base->is_output = true;
}

void graph_loss(graph *g, tensor *scalar) {
    if (!scalar) return;
    if (scalar->count != 1 || scalar->type != TENSOR_F32) {
        graph_fail(g, "the loss is not one f32 value");
        return;
    }
    g->loss = scalar;
    graph_output(g, scalar);
}

void graph_set_step(graph *g, uint64_t step) { g->step = step; }

void graph_set_rows(graph *g, int64_t rows) { g->rows = rows; }

int graph_mark(const graph *g) { return g->op_count; }
void graph_set_end(graph *g, int mark) { g->end = mark; }

static void forward_op(op *o) {
    double start = o->owner->profiling ? clock_seconds() : 0;
    o->type->forward(o);
    if (o->owner->profiling) o->seconds[0] += clock_seconds() - start;
}

void graph_forward(graph *g) {
    unsigned denormals = cpu_flush_denormals();
    int end = g->end ? g->end : g->op_count;
    for (int i = 0; i < end; i++) forward_op(g->ops[i]);
    cpu_restore_denormals(denormals);
}

static void add_shard(void *context, int shard, int worker) {
    (void)worker;
    struct {
        const op *o;
        int input;
        int shards;
    } *add = context;
    tensor *base = add->o->input[add->input]->base;
    range r = shard_range(base->count, add->shards, shard);
    const kernels *k = add->o->owner->kernels;
    size_t skip = (size_t)r.begin * type_bytes(base->type);
    void *sum = (uint8_t *)base->gradient.data + skip;
    const void *term = (const uint8_t *)add->o->temporary[add->input].data + skip;
    if (base->type == TENSOR_F32)
        k->add_into(sum, term, r.end - r.begin);
    else
        k->add_into_bf16(sum, term, r.end - r.begin);
}

static void backward_op(op *o) {
    double start = o->owner->profiling ? clock_seconds() : 0;
    o->type->backward(o);
    for (int i = 0; i < o->input_count; i++) {
        if (!o->accumulate[i]) continue;
        struct {
            const op *o;
            int input;
            int shards;
        } add = {o, i, shard_count_for(o->input[i]->base->count, 1)};
        op_parallel(o, add.shards, add_shard, &add);
    }
    if (o->owner->profiling) o->seconds[1] += clock_seconds() - start;
}

void graph_backward(graph *g) {
    assert(g->loss && g->options.training);
    unsigned denormals = cpu_flush_denormals();
    *(float *)g->loss->base->gradient.data = 1.0f;
    for (int i = g->op_count - 1; i >= 0; i--)
        if (g->ops[i]->backward_active) backward_op(g->ops[i]);
    cpu_restore_denormals(denormals);
}

/* ---- profile ---- */

void graph_profile(graph *g, bool on) { g->profiling = on; }

static int slower_first(const void *left, const void *right) {
    const op *a = *(op *const *)left, *b = *(op *const *)right;
    double x = a->seconds[0] + a->seconds[1], y = b->seconds[0] + b->seconds[1];
    return (x < y) - (x > y);
}

static void shape_text(char *text, size_t size, const tensor *t) {
    int length = 0;
    for (int i = 0; i < t->rank && length < (int)size - 24; i++)
        length += snprintf(text + length, size - (size_t)length, i ? "x%lld" : "%lld", (long long)t->size[i]);
}

void graph_profile_print(const graph *g, FILE *out) {
    if (!g->profiling) return;
    op **sorted = malloc((size_t)g->op_count * sizeof *sorted);
    if (!sorted) return;
    memcpy(sorted, g->ops, (size_t)g->op_count * sizeof *sorted);
    qsort(sorted, (size_t)g->op_count, sizeof *sorted, slower_first);
    fprintf(out, "%-22s %-24s %-24s %12s %12s\n", "op", "input", "output", "forward ms", "backward ms");
    for (int i = 0; i < g->op_count; i++) {
        const op *o = sorted[i];
        char in[64] = "", output[64];
        if (o->input[0]) shape_text(in, sizeof in, o->input[0]);
        shape_text(output, sizeof output, o->output);
        fprintf(out, "%-22s %-24s %-24s %12.3f %12.3f\n", o->type->name, in, output, 1e3 * o->seconds[0],
                1e3 * o->seconds[1]);
    }
    free(sorted);
}

/* ---- what ops see ---- */

void op_save(op *o, int slot, uint64_t bytes) { o->saved[slot].bytes = bytes; }

bool op_wants_gradient(const op *o, int input) {
    return o->backward_active && o->input[input] && o->input[input]->needs_gradient;
}

void *tensor_values(const tensor *t) {
    if (t->param) return t->param->value + t->param_offset;
    if (t->base->param) return t->base->param->value + t->base->param_offset;
    if (t->base->constant) return t->base->constant;
    return t->base->value.data;
}

const float *tensor_f32(const tensor *t) {
    assert(t->type == TENSOR_F32);
    return tensor_values(t);
}

void *op_output_gradient(const op *o) { return o->output->base->gradient.data; }

void *op_input_gradient(const op *o, int input) {
    const tensor *t = o->input[input];
    if (!t || !t->needs_gradient || t->base->param) return NULL;
    return o->accumulate[input] ? o->temporary[input].data : t->base->gradient.data;
}

float *op_parameter_gradient(const op *o, int input) {
    const tensor *t = o->input[input];
    if (!t || !t->needs_gradient || !t->base->param) return NULL;
    return t->base->param->gradient + t->base->param_offset;
}

void *op_scratch(const op *o) { return o->owner->scratch->memory; }

void *op_worker_scratch(const op *o, int worker) {
    const graph *g = o->owner;
    return g->scratch->memory + g->scratch_shared_bytes + (uint64_t)worker * g->scratch_worker_bytes;
}

void op_parallel(const op *o, int shard_count, thread_work *work, void *context) {
    thread_pool_run(o->owner->options.pool, shard_count, work, context);
}

int shard_count_for(int64_t rows, int64_t row_cost) {
    /* About 16 k values a shard keep the hand-over (a few microseconds) small beside the work; 16 shards keep 16
     * cores busy and the partial sums of reductions few. */
    int64_t shards = rows * max_i64(row_cost, 1) / 16384;
    return (int)max_i64(1, min_i64(min_i64(shards, rows), 16));
}

/* ---- what callers see ---- */

float *tensor_data(tensor *t) { return t->type == TENSOR_F32 ? tensor_values(t) : NULL; }
float *tensor_gradient(tensor *t) { return t->type == TENSOR_F32 ? t->base->gradient.data : NULL; }
tensor_type tensor_type_of(const tensor *t) { return t->type; }
int tensor_rank(const tensor *t) { return t->rank; }
int64_t tensor_size(const tensor *t, int axis) { return t->size[axis < 0 ? axis + t->rank : axis]; }
int64_t tensor_count(const tensor *t) { return t->count; }
