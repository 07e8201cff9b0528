/* The memory plan: which value lives from which step to which, and where. Values whose lives do not overlap share
 * memory, so the peak is that of the busiest step, not the sum of all. Called once, by graph_plan; see graph.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "tensor/graph_internal.h"

#define ALIGNMENT 4096u /* pages: keeps false sharing out, and every buffer SIMD-aligned */

static int forward_step(const op *o) { return o->index; }
static int backward_step(const op *o) { return 2 * o->owner->op_count - 1 - o->index; }

/* A value that occupies the arena: not a parameter, not a constant, not another value's reshape. */
static bool is_placed(const tensor *t) { return t->base == t && !t->param && !t->constant; }

/* Backward runs for ops between the loss and something that wants a gradient. In reverse order: an op is active when
 * its output's gradient is contributed to; its inputs that need one are then contributed to. */
static void mark_backward(graph *g) {
    if (!g->loss || !g->options.training || !g->loss->needs_gradient) return;
    g->loss->base->gradient_written = true;
    for (int i = g->op_count - 1; i >= 0; i--) {
        op *o = g->ops[i];
        if (!o->output->base->gradient_written) continue;
        o->backward_active = true;
        for (int j = 0; j < o->input_count; j++)
            if (o->input[j] && o->input[j]->needs_gradient) o->input[j]->base->gradient_written = true;
    }
    for (int i = 0; i < g->op_count; i++) {
        const op *o = g->ops[i];
        if (!o->backward_active) continue;
        for (int j = 0; j < o->input_count; j++)
            if (o->input[j] && (o->backward_reads & READS_INPUT(j))) o->input[j]->base->read_in_backward = true;
    }
}

static void extend(placement *b, int step) {
    if (step < b->first) b->first = step;
    if (step > b->last) b->last = step;
}

static void plan_value_lives(graph *g) {
    int end = 2 * g->op_count;
    for (int i = 0; i < g->tensor_count; i++) {
        tensor *t = g->tensors[i];
        if (!is_placed(t)) continue;
        t->value.bytes = (uint64_t)t->count * type_bytes(t->type);
        t->value.first = t->producer ? forward_step(t->producer) : 0;
        t->value.last = t->is_output ? end : t->value.first;
    }
    for (int i = 0; i < g->op_count; i++) {
        op *o = g->ops[i];
        for (int j = 0; j < o->input_count; j++) {
            if (!o->input[j] || !is_placed(o->input[j]->base)) continue;
            extend(&o->input[j]->base->value, forward_step(o));
            if (o->backward_active && (o->backward_reads & READS_INPUT(j)))
                extend(&o->input[j]->base->value, backward_step(o));
        }
        if (o->backward_active && (o->backward_reads & READS_OUTPUT)) extend(&o->output->base->value, backward_step(o));
        for (int j = 0; j < OP_MAX_SAVED; j++) {
            o->saved[j].first = forward_step(o);
            o->saved[j].last = o->backward_active ? backward_step(o) : forward_step(o);
        }
    }
}

/* May the output of o be written over input j? The op reads what it needs of that input before it writes there; nobody
 * else may read it, now or later. */
static bool can_take_over(const op *o, int j) {
    const tensor *in = o->input[j] ? o->input[j]->base : NULL, *out = o->output;
    if (!in || !is_placed(in) || !is_placed(out) || !in->producer || in->is_output) return false;
    if (in->value.last != forward_step(o) || in->value.bytes != out->value.bytes) return false;
    for (int i = 0; i < o->input_count; i++)
        if (i != j && o->input[i] && o->input[i]->base == in) return false;
    return true;
}

static void share_places(graph *g) {
    for (int i = 0; i < g->op_count; i++) {
        op *o = g->ops[i];
        if (o->takes_over < 0 || !can_take_over(o, o->takes_over)) continue;
        placement *in = &o->input[o->takes_over]->base->value, *root = in->root ? in->root : in;
        o->output->value.root = root;
        extend(root, o->output->value.last);
    }
}

static void plan_gradient_lives(graph *g) {
    int end = 2 * g->op_count;
    for (int i = 0; i < g->tensor_count; i++) g->tensors[i]->gradient_written = false;
    if (g->loss && g->loss->needs_gradient) {
        tensor *loss = g->loss->base;
        loss->gradient = (placement){.bytes = sizeof(float), .first = g->op_count, .last = end};
        loss->gradient_written = true;
    }
    for (int i = g->op_count - 1; i >= 0; i--) {
        op *o = g->ops[i];
        if (!o->backward_active) continue;
        int step = backward_step(o);
        for (int j = 0; j < o->input_count; j++) {
            if (!o->input[j] || !o->input[j]->needs_gradient || o->input[j]->base->param) continue;
            tensor *base = o->input[j]->base;
            uint64_t bytes = (uint64_t)base->count * type_bytes(base->type);
            if (base->gradient_written) {
                o->accumulate[j] = true;
                o->temporary[j] = (placement){.bytes = bytes, .first = step, .last = step};
            } else {
                base->gradient_written = true;
                base->gradient = (placement){.bytes = bytes, .first = step, .last = step};
                if (base->producer) extend(&base->gradient, backward_step(base->producer));
                if (base->gradient_required) extend(&base->gradient, end);
            }
        }
    }
}

typedef struct placement_list {
    placement **items;
    int count;
} placement_list;

static int larger_first(const void *left, const void *right) {
    const placement *a = *(placement *const *)left, *b = *(placement *const *)right;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    return (a->first > b->first) - (a->first < b->first);
}

/* Greedy by size: each buffer takes the lowest gap that no buffer alive at the same time occupies. */
static uint64_t place(placement_list *list) {
    qsort(list->items, (size_t)list->count, sizeof *list->items, larger_first);
    uint64_t peak = 0;
    for (int i = 0; i < list->count; i++) {
        placement *b = list->items[i];
        b->offset = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int j = 0; j < i; j++) {
                const placement *other = list->items[j];
                bool together = b->first <= other->last && other->first <= b->last;
                if (together && b->offset < other->offset + other->bytes && other->offset < b->offset + b->bytes) {
                    b->offset = (other->offset + other->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
                    moved = true;
                }
            }
        }
        if (b->offset + b->bytes > peak) peak = b->offset + b->bytes;
    }
    return peak;
}

static void collect(placement_list *list, placement *b) {
    if (b->bytes && !b->root) list->items[list->count++] = b;
}

static carina_status place_all(graph *g, carina_error *error) {
    size_t most = 2 * (size_t)g->tensor_count + (size_t)g->op_count * (OP_MAX_INPUTS + OP_MAX_SAVED);
    placement_list list = {.items = calloc(most + 1, sizeof *list.items)};
    if (!list.items) return error_memory(error, "graph plan", most * sizeof *list.items);
    for (int i = 0; i < g->tensor_count; i++) {
        if (!is_placed(g->tensors[i])) continue;
        collect(&list, &g->tensors[i]->value);
        collect(&list, &g->tensors[i]->gradient);
    }
    for (int i = 0; i < g->op_count; i++) {
        for (int j = 0; j < OP_MAX_SAVED; j++) collect(&list, &g->ops[i]->saved[j]);
        for (int j = 0; j < OP_MAX_INPUTS; j++) collect(&list, &g->ops[i]->temporary[j]);
    }
    g->arena_bytes = (place(&list) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    g->arena = aligned_alloc(ALIGNMENT, g->arena_bytes ? g->arena_bytes : ALIGNMENT);
    if (g->arena)
        for (int i = 0; i < list.count; i++) list.items[i]->data = g->arena + list.items[i]->offset;
    for (int i = 0; i < g->tensor_count; i++) {
        placement *value = &g->tensors[i]->value;
        if (value->root) value->data = value->root->data;
    }
    free(list.items);
    return g->arena ? CARINA_OK : error_memory(error, "the graph's values", g->arena_bytes);
}

void graph_scratch_free(graph_scratch *scratch) {
    free(scratch->memory);
    *scratch = (graph_scratch){0};
}

/* What was in it is of no use: it is of one run. */
static carina_status grow_scratch(graph_scratch *scratch, uint64_t bytes, carina_error *error) {
    if (scratch->memory && bytes <= scratch->bytes) return CARINA_OK;
    uint8_t *memory = aligned_alloc(ALIGNMENT, bytes ? bytes : ALIGNMENT);
    if (!memory) return error_memory(error, "the graph's scratch", bytes);
    graph_scratch_free(scratch);
    *scratch = (graph_scratch){memory, bytes};
    return CARINA_OK;
}

static carina_status allocate_scratch(graph *g, carina_error *error) {
    for (int i = 0; i < g->op_count; i++) {
        const op *o = g->ops[i];
        if (o->scratch_bytes > g->scratch_shared_bytes) g->scratch_shared_bytes = o->scratch_bytes;
        if (o->worker_bytes > g->scratch_worker_bytes) g->scratch_worker_bytes = o->worker_bytes;
    }
    g->scratch_shared_bytes = (g->scratch_shared_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    g->scratch_worker_bytes = (g->scratch_worker_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    uint64_t workers = (uint64_t)thread_pool_count(g->options.pool);
    return grow_scratch(g->scratch, g->scratch_shared_bytes + workers * g->scratch_worker_bytes, error);
}

carina_status graph_plan(graph *g, carina_error *error) {
    if (g->status != CARINA_OK) {
        if (error) *error = g->error;
        return g->status;
    }
    mark_backward(g);
    for (int i = 0; i < g->op_count; i++)
        if (g->ops[i]->type->prepare) {
            carina_status status = g->ops[i]->type->prepare(g->ops[i], error);
            if (status != CARINA_OK) {
                error_prefix(error, "%s", g->ops[i]->type->name);
                return status;
            }
        }
    plan_value_lives(g);
    share_places(g);
    plan_gradient_lives(g);
    TRY(place_all(g, error));
    return allocate_scratch(g, error);
}

uint64_t graph_planned_bytes(const graph *g) {
    uint64_t workers = (uint64_t)thread_pool_count(g->options.pool);
    return g->arena_bytes + g->scratch_shared_bytes + workers * g->scratch_worker_bytes;
}
