/* What ops and the planner share; nothing above src/tensor includes this.
 *
 * An op type brings `prepare` (called once by graph_plan: primitives, saved buffers, scratch), `forward` and
 * `backward`. Rules for backward:
 *   - it overwrites the gradients of its inputs (op_input_gradient; NULL: not wanted); where several consumers
 *     contribute to one value, the executor hands out a temporary and adds it;
 *   - it adds to parameter gradients (op_parameter_gradient; NULL: not wanted);
 *   - it may destroy the gradient of its output, which no one reads afterwards;
 *   - it reads only the values named in op->backward_reads, and what `saved` buffers hold.
 */
#ifndef TENSOR_GRAPH_INTERNAL_H
#define TENSOR_GRAPH_INTERNAL_H

#include <stddef.h>

#include "tensor/graph.h"
#include "tensor/kernels.h"

#define OP_MAX_INPUTS 16
#define OP_MAX_SAVED  3

/* Something the planner places in the arena: alive from step `first` to step `last`. Forward of op i is step i,
 * backward of op i is step 2n - 1 - i. */
typedef struct placement {
    uint64_t bytes;
    int first, last;
    uint64_t offset;
    void *data;
    struct placement *root; /* lies where this one lies, and lives on in it; NULL: on its own */
} placement;

typedef struct op op;

struct tensor {
    graph *owner;
    tensor_type type;
    int rank;
    int64_t size[TENSOR_MAX_RANK];
    int64_t count;
    tensor *base;     /* whose storage this is: itself, or the value it reshapes */
    parameter *param; /* for parameters: values and gradient live there */
    int64_t param_offset;
    float *constant;  /* owned copy, for constants */
    op *producer;     /* NULL for inputs, constants and parameters */
    char *input_name; /* for inputs */
    bool is_output, needs_gradient, gradient_required;
    bool read_in_backward;     /* by some op other than for the sign of a ReLU */
    placement value, gradient; /* of a base that is not a parameter */
    bool gradient_written;     /* while planning: somebody contributes to it */
};

typedef struct op_type {
    const char *name;
    carina_status (*prepare)(op *o, carina_error *error); /* may be NULL */
    void (*forward)(op *o);
    void (*backward)(op *o);
    void (*free_state)(void *state); /* may be NULL: plain free() */
} op_type;

#define READS_INPUT(i) (1u << (i))
#define READS_OUTPUT   (1u << 30)

struct op {
    const op_type *type;
    graph *owner;
    int index;
    tensor *input[OP_MAX_INPUTS]; /* optional ones may be NULL */
    int input_count;
    tensor *output;
    int takes_over;          /* the input in whose place the output may be written if nobody reads it later; -1: none */
    unsigned backward_reads; /* READS_... */
    bool backward_active;    /* the loss depends on the output and something below wants a gradient */
    placement saved[OP_MAX_SAVED];      /* written by forward, read by backward: op_save in prepare */
    placement temporary[OP_MAX_INPUTS]; /* gradients to be added by the executor */
    bool accumulate[OP_MAX_INPUTS];
    uint64_t scratch_bytes; /* shared scratch, valid during one forward or backward */
    uint64_t worker_bytes;  /* per worker */
    void *state;            /* the op's own, freed with the graph */
    double seconds[2];      /* profile: forward, backward */
};

struct graph {
    graph_options options;
    const kernels *kernels;
    carina_status status; /* first error while recording */
    carina_error error;
    tensor **tensors;
    int tensor_count;
    op **ops;
    int op_count;
    tensor *loss;
    uint8_t *arena;
    uint64_t arena_bytes;
    graph_scratch own_scratch, *scratch; /* the latter: own or the options' */
    uint64_t scratch_shared_bytes, scratch_worker_bytes;
    uint64_t step;
    int64_t rows; /* that are there; 0: all */
    int end;      /* ops that a forward pass runs; 0: all */
    bool profiling;
};

/* Recording. Inputs may be NULL where the op allows it. state_bytes > 0 allocates zeroed op->state. Returns NULL (and
 * marks the graph) on failure. */
op *graph_record(graph *g, const op_type *type, int input_count, tensor *const *inputs, tensor_type output_type,
                 int output_rank, const int64_t *output_size, size_t state_bytes);
tensor *graph_fail(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3))); /* returns NULL */
tensor *graph_alias(graph *g, tensor *x, int rank, const int64_t *size); /* same storage, other shape */

/* For prepare. */
void op_save(op *o, int slot, uint64_t bytes);
bool op_wants_gradient(const op *o, int input); /* backward must produce it (values and parameters) */

/* For forward and backward. */
void *tensor_values(const tensor *t);     /* typed by t->type */
const float *tensor_f32(const tensor *t); /* asserts f32 */
void *op_output_gradient(const op *o);
void *op_input_gradient(const op *o, int input);      /* NULL when not wanted or a parameter */
float *op_parameter_gradient(const op *o, int input); /* NULL when not wanted or not a parameter */
void *op_scratch(const op *o);
void *op_worker_scratch(const op *o, int worker);
void op_parallel(const op *o, int shard_count, thread_work *work, void *context);

static inline size_t type_bytes(tensor_type type) { return type == TENSOR_BF16 ? 2 : 4; }
static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* [0, count) cut into `shards` nearly equal ranges. */
typedef struct range {
    int64_t begin, end;
} range;
static inline range shard_range(int64_t count, int shards, int shard) {
    return (range){count * shard / shards, count * (shard + 1) / shards};
}
/* How many shards for `rows` rows of `row_cost` values: by shape alone, never by thread count. */
int shard_count_for(int64_t rows, int64_t row_cost);

#endif
