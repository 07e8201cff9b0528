/* Tensors and the recorded graph.
 *
 * A model's forward pass is written once, as a function that records ops (ops.h) on a graph. The graph is then planned
 * (which values live when, so that buffers are shared) and run many times without allocation. Its gradient is the same
 * list of ops walked backwards: every op brings its own backward. A graph is made for one model and one input shape.
 *
 *     graph_create -> graph_input, graph_parameter, op_... -> graph_output / graph_loss -> graph_plan
 *     then, as often as wanted: fill inputs -> graph_forward [-> graph_backward -> optimizer]
 *
 * Values are dense and row-major: tokens [B, N, D]; pictures channels last [B, H, W, C].
 * A recording function that fails (shapes that do not fit, no memory) returns NULL and the graph remembers the first
 * error; recording functions accept NULL tensors and pass the failure on, so only graph_plan's status needs a check.
 */
#ifndef TENSOR_GRAPH_H
#define TENSOR_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/threads.h"
#include "tensor/parameters.h"

typedef enum tensor_type {
    TENSOR_F32,
    TENSOR_BF16, /* the upper half of an f32; sums are made in f32 */
} tensor_type;

typedef struct tensor tensor; /* a value of a graph; owned by the graph */
typedef struct graph graph;

/* Memory for what ops need while they run, for several graphs that never run at once: as much as the largest of them
 * wants. Begins as zeros; must outlive the graphs. */
typedef struct graph_scratch {
    uint8_t *memory; /* owned */
    uint64_t bytes;
} graph_scratch;
void graph_scratch_free(graph_scratch *scratch); /* what it holds */

typedef struct graph_options {
    thread_pool *pool;      /* borrowed; NULL: the calling thread only */
    bool training;          /* records what backward needs; batch norm uses batch statistics; dropout is active */
    tensor_type type;       /* of the activations between inputs and heads: what "--dtype" chooses. f32 below AVX-512 */
    uint64_t seed;          /* of dropout */
    graph_scratch *scratch; /* borrowed; NULL: one of its own */
} graph_options;

carina_status graph_create(graph **out, const graph_options *options, carina_error *error);
void graph_free(graph *g); /* accepts NULL */
const graph_options *graph_options_of(const graph *g);

/* A value that the caller fills before every graph_forward (its memory may be reused within a run). f32. */
tensor *graph_input(graph *g, const char *name, int rank, const int64_t *size);
/* A value fixed for the life of the graph; `values` is copied. f32. */
tensor *graph_constant(graph *g, int rank, const int64_t *size, const float *values);
/* Wants the gradient of an input (tests, saliency). Call right after graph_input. */
void graph_require_gradient(graph *g, tensor *input);
/* A weight as a value; recording the same parameter twice gives the same tensor. p must outlive the graph. */
tensor *graph_parameter(graph *g, parameter *p);
/* Rows [begin, begin + count) of a parameter's first axis: PyTorch's in_proj_weight holds q, k and v. */
tensor *graph_parameter_rows(graph *g, parameter *p, int64_t begin, int64_t count);

/* Keeps a value readable after graph_forward. */
void graph_output(graph *g, tensor *value);
/* The scalar that backward starts from. */
void graph_loss(graph *g, tensor *scalar);

carina_status graph_plan(graph *g, carina_error *error);
uint64_t graph_planned_bytes(
    const graph *g); /* arena and scratch (a shared one too), without parameters and packed weights */

void graph_forward(graph *g);
/* Adds d loss / d parameter into parameter->gradient of every trainable parameter. After graph_forward. */
void graph_backward(graph *g);
/* Seeds dropout for the next forward: a step's noise depends on (seed, step) only. */
void graph_set_step(graph *g, uint64_t step);

/* Of a graph that was planned for more rows, how many the next runs have; 0: all. Products with packed weights, which
 * take rows one by one, pass over the others, whose values are then unspecified. */
void graph_set_rows(graph *g, int64_t rows);

/* Ops are run in the order of their recording. graph_mark: behind those that are recorded by now; a graph_forward after
 * graph_set_end(g, mark) runs no others, and what those would give is unspecified. 0: all. */
int graph_mark(const graph *g);
void graph_set_end(graph *g, int mark);

/* Time per op, forward and backward: collected while on; printed as a table, most expensive first. */
void graph_profile(graph *g, bool on);
void graph_profile_print(const graph *g, FILE *out); /* nothing when profiling was never on */

/* What a value is. `data` of inputs, outputs and the loss is readable and f32 for inputs and loss. */
float *tensor_data(tensor *t);     /* f32 values; NULL for a bf16 tensor */
float *tensor_gradient(tensor *t); /* of a required input, after graph_backward */
tensor_type tensor_type_of(const tensor *t);
int tensor_rank(const tensor *t);
int64_t tensor_size(const tensor *t, int axis); /* negative axes count from the end */
int64_t tensor_count(const tensor *t);

#endif
