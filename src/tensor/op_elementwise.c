/* Ops on one element at a time: add, multiply, scale, activations, dropout, cast. */
#include <string.h>

#include "base/random.h"
#include "tensor/ops.h"
#include "tensor/span.h"

enum { A, B };

typedef struct elementwise_state {
    bool multiplies; /* multiply; else add */
    float factor;    /* scale; dropout's keep scale */
    float rate;      /* dropout */
    activation_function function;
} elementwise_state;

static int shards_of(const op *o) { return shard_count_for(o->output->count, 1); }

/* ---- add and multiply, b repeated over leading axes ---- */

/* a and b at the same place of the output, at most SPAN_VALUES and not past the end of a repetition of b. */
static int64_t span_length(const op *o, int64_t i, int64_t end) {
    int64_t period = o->input[B]->count;
    return min_i64(min_i64(SPAN_VALUES, end - i), period - i % period);
}

static void combine_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    bool multiplies = ((elementwise_state *)o->state)->multiplies;
    const kernels *k = o->owner->kernels;
    const tensor *a = o->input[A], *b = o->input[B];
    range r = shard_range(o->output->count, shards_of(o), shard);
    float a_buffer[SPAN_VALUES], b_buffer[SPAN_VALUES];
    for (int64_t i = r.begin, n; i < r.end; i += n) {
        n = span_length(o, i, r.end);
        const float *left = span_read(k, tensor_values(a), a->type, i, n, a_buffer);
        const float *right = span_read(k, tensor_values(b), b->type, i % b->count, n, b_buffer);
        float *y = span_target(tensor_values(o->output), o->output->type, i, a_buffer);
        if (multiplies) {
            k->multiply(y, left, right, n);
        } else {
            if (y != left) memcpy(y, left, (size_t)n * sizeof *y);
            k->add_into(y, right, n);
        }
        span_flush(k, tensor_values(o->output), o->output->type, i, n, y);
    }
}

static void combine_forward(op *o) { op_parallel(o, shards_of(o), combine_shard, o); }

static carina_status combine_prepare(op *o, carina_error *error) {
    (void)error;
    if (o->backward_active && op_wants_gradient(o, B)) o->scratch_bytes = (uint64_t)o->input[B]->count * sizeof(float);
    return CARINA_OK;
}

/* da = dy (or dy b) */
static void combine_a_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    bool multiplies = ((elementwise_state *)o->state)->multiplies;
    const kernels *k = o->owner->kernels;
    const tensor *a = o->input[A], *b = o->input[B];
    range r = shard_range(o->output->count, shards_of(o), shard);
    float g_buffer[SPAN_VALUES], b_buffer[SPAN_VALUES];
    for (int64_t i = r.begin, n; i < r.end; i += n) {
        n = span_length(o, i, r.end);
        const float *dy = span_read(k, op_output_gradient(o), o->output->type, i, n, g_buffer);
        float *da = span_target(op_input_gradient(o, A), a->type, i, g_buffer);
        if (multiplies)
            k->multiply(da, dy, span_read(k, tensor_values(b), b->type, i % b->count, n, b_buffer), n);
        else if (da != dy)
            memcpy(da, dy, (size_t)n * sizeof *da);
        span_flush(k, op_input_gradient(o, A), a->type, i, n, da);
    }
}

/* db = sum over the repetitions of dy (or dy a), in order; cut along b so that shards do not meet. */
static void combine_b_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    bool multiplies = ((elementwise_state *)o->state)->multiplies;
    const kernels *k = o->owner->kernels;
    const tensor *a = o->input[A], *b = o->input[B];
    float *sum = op_scratch(o);
    range r = shard_range(b->count, shard_count_for(b->count, o->output->count / b->count), shard);
    float g_buffer[SPAN_VALUES], a_buffer[SPAN_VALUES];
    for (int64_t i = r.begin, n; i < r.end; i += n) {
        n = min_i64(SPAN_VALUES, r.end - i);
        memset(sum + i, 0, (size_t)n * sizeof *sum);
        for (int64_t j = i; j < o->output->count; j += b->count) {
            const float *dy = span_read(k, op_output_gradient(o), o->output->type, j, n, g_buffer);
            if (multiplies)
                k->multiply_add(sum + i, dy, span_read(k, tensor_values(a), a->type, j, n, a_buffer), n);
            else
                k->add_into(sum + i, dy, n);
        }
        float *db = op_input_gradient(o, B), *parameter_gradient = op_parameter_gradient(o, B);
        if (parameter_gradient)
            k->add_into(parameter_gradient + i, sum + i, n);
        else if (b->type == TENSOR_F32)
            memcpy(db + i, sum + i, (size_t)n * sizeof *sum);
        else
            span_flush(k, db, b->type, i, n, sum + i);
    }
}

static void combine_backward(op *o) {
    if (op_wants_gradient(o, B))
        op_parallel(o, shard_count_for(o->input[B]->count, o->output->count / o->input[B]->count), combine_b_shard, o);
    if (op_wants_gradient(o, A)) op_parallel(o, shards_of(o), combine_a_shard, o);
}

static const op_type add_type = {"add", combine_prepare, combine_forward, combine_backward, NULL};
static const op_type multiply_type = {"multiply", combine_prepare, combine_forward, combine_backward, NULL};

static tensor *combine(graph *g, const op_type *type, tensor *a, tensor *b, bool multiplies) {
    if (!a || !b) return NULL;
    bool tail = b->rank <= a->rank;
    for (int i = 0; tail && i < b->rank; i++) tail = b->size[b->rank - 1 - i] == a->size[a->rank - 1 - i];
    if (!tail || a->param) return graph_fail(g, "%s: the second shape is not a tail of the first", type->name);
    op *o = graph_record(g, type, 2, (tensor *[]){a, b}, a->type, a->rank, a->size, sizeof(elementwise_state));
    if (!o) return NULL;
    ((elementwise_state *)o->state)->multiplies = multiplies;
    if (multiplies)
        o->backward_reads = (a->needs_gradient ? READS_INPUT(B) : 0) | (b->needs_gradient ? READS_INPUT(A) : 0);
    return o->output;
}

tensor *op_add(graph *g, tensor *a, tensor *b) { return combine(g, &add_type, a, b, false); }
tensor *op_multiply(graph *g, tensor *a, tensor *b) { return combine(g, &multiply_type, a, b, true); }

/* ---- one input: scale, activation, dropout, cast ---- */

typedef void map_function(const op *o, float *y, const float *x, int64_t offset, int64_t n);

typedef struct map_context {
    op *o;
    map_function *apply;
    bool backward;
} map_context;

static void map_shard(void *context, int shard, int worker) {
    (void)worker;
    map_context *m = context;
    op *o = m->o;
    const kernels *k = o->owner->kernels;
    const void *from = m->backward ? op_output_gradient(o) : tensor_values(o->input[A]);
    void *to = m->backward ? op_input_gradient(o, A) : tensor_values(o->output);
    tensor_type from_type = m->backward ? o->output->type : o->input[A]->type;
    tensor_type to_type = m->backward ? o->input[A]->type : o->output->type;
    range r = shard_range(o->output->count, shards_of(o), shard);
    float in_buffer[SPAN_VALUES], out_buffer[SPAN_VALUES];
    for (int64_t i = r.begin; i < r.end; i += SPAN_VALUES) {
        int64_t n = min_i64(SPAN_VALUES, r.end - i);
        const float *x = span_read(k, from, from_type, i, n, in_buffer);
        float *y = span_target(to, to_type, i, out_buffer);
        m->apply(o, y, x, i, n);
        span_flush(k, to, to_type, i, n, y);
    }
}

static void map(op *o, map_function *apply, bool backward) {
    map_context context = {o, apply, backward};
    op_parallel(o, shards_of(o), map_shard, &context);
}

static tensor *record_map(graph *g, const op_type *type, tensor *x, tensor_type output_type, elementwise_state state) {
    if (!x || x->param) return NULL;
    op *o = graph_record(g, type, 1, &x, output_type, x->rank, x->size, sizeof state);
    if (!o) return NULL;
    *(elementwise_state *)o->state = state;
    return o->output;
}

static void apply_scale(const op *o, float *y, const float *x, int64_t offset, int64_t n) {
    (void)offset;
    o->owner->kernels->scale(y, x, ((const elementwise_state *)o->state)->factor, n);
}
static void scale_forward(op *o) { map(o, apply_scale, false); }
static void scale_backward(op *o) { map(o, apply_scale, true); }
static const op_type scale_type = {"scale", NULL, scale_forward, scale_backward, NULL};

tensor *op_scale(graph *g, tensor *x, float factor) {
    return record_map(g, &scale_type, x, x ? x->type : TENSOR_F32, (elementwise_state){.factor = factor});
}

static void apply_copy(const op *o, float *y, const float *x, int64_t offset, int64_t n) {
    (void)o;
    (void)offset;
    if (y != x) memcpy(y, x, (size_t)n * sizeof *y);
}
static void cast_forward(op *o) { map(o, apply_copy, false); }
static void cast_backward(op *o) { map(o, apply_copy, true); }
static const op_type cast_type = {"cast", NULL, cast_forward, cast_backward, NULL};

tensor *op_cast(graph *g, tensor *x, tensor_type type) {
    if (!x || x->type == type) return x;
    return record_map(g, &cast_type, x, type, (elementwise_state){0});
}

static void apply_activation(const op *o, float *y, const float *x, int64_t offset, int64_t n) {
    (void)offset;
    o->owner->kernels->activate(y, x, n, ((const elementwise_state *)o->state)->function);
}
/* ReLU and sigmoid know their slope from the output, GELU from the input. */
static bool slope_from_output(activation_function f) { return f == FUNCTION_RELU || f == FUNCTION_SIGMOID; }

static void apply_activation_gradient(const op *o, float *dx, const float *dy, int64_t offset, int64_t n) {
    activation_function f = ((const elementwise_state *)o->state)->function;
    const tensor *t = slope_from_output(f) ? o->output : o->input[A];
    float buffer[SPAN_VALUES];
    const float *at = span_read(o->owner->kernels, tensor_values(t), t->type, offset, n, buffer);
    o->owner->kernels->activate_gradient(dx, at, dy, n, f);
}
static void activation_forward(op *o) { map(o, apply_activation, false); }
static void activation_backward(op *o) { map(o, apply_activation_gradient, true); }
static const op_type activation_type = {"activation", NULL, activation_forward, activation_backward, NULL};

tensor *op_activation(graph *g, tensor *x, activation act) {
    elementwise_state state = {.function = (activation_function)act};
    tensor *y = record_map(g, &activation_type, x, x ? x->type : TENSOR_F32, state);
    if (y) y->producer->backward_reads = slope_from_output(state.function) ? READS_OUTPUT : READS_INPUT(A);
    return y;
}

/* The mask comes from (seed, step, op, block of values), so it is the same in forward and backward and for any cut. */
static void apply_dropout(const op *o, float *y, const float *x, int64_t offset, int64_t n) {
    const elementwise_state *s = o->state;
    uint64_t seed = o->owner->options.seed ^ (o->owner->step * 0x9e3779b97f4a7c15u) ^ ((uint64_t)o->index << 48);
    random_state random = random_stream(seed, (uint64_t)offset);
    for (int64_t i = 0; i < n; i++) y[i] = random_uniform(&random) < (double)s->rate ? 0.0f : x[i] * s->factor;
}
static void dropout_forward(op *o) { map(o, apply_dropout, false); }
static void dropout_backward(op *o) { map(o, apply_dropout, true); }
static const op_type dropout_type = {"dropout", NULL, dropout_forward, dropout_backward, NULL};

tensor *op_dropout(graph *g, tensor *x, float rate) {
    if (!x || !g->options.training || rate <= 0) return x;
    return record_map(g, &dropout_type, x, x->type, (elementwise_state){.rate = rate, .factor = 1.0f / (1.0f - rate)});
}
