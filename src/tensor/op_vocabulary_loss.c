/* Cross-entropy of the next token straight from the vectors in front of the vocabulary: logits = x W^T, and nothing of
 * them is kept. A vocabulary may have 262,144 words, so that the logits of one row of 2,048 tokens would take 2 GB, and
 * their gradient as much again.
 *
 * Rows go in chunks of a few blocks; only a chunk's logits exist, in scratch. Forward keeps each row's log-sum-exp and
 * loss. Backward makes the logits again (one product more than with all of them kept) and turns them in place into
 *     d L / d logits[i, v] = w_i (softmax(logits_i)[v] - [v is i's target])
 * from which dx is made block by block and dW by outer products of the chunk's rows. Chunks follow each other, so that
 * sums have one order for any number of threads.
 */
#include <math.h>
#include <string.h>

#include "tensor/linear_gradient.h"
#include "tensor/ops.h"

#define BLOCK_ROWS   64          /* of one product */
#define CHUNK_BLOCKS 16          /* at most; work for so many threads */
#define CHUNK_VALUES (1ll << 25) /* logits of a chunk, unless one block alone has more */

enum { X, WEIGHT, TARGET, SHARE };
enum { SAVED_LSE, SAVED_LOSS };

typedef struct vocabulary_loss_state {
    int64_t rows, width, words; /* N, D, V */
    int64_t chunk;              /* rows of one, a multiple of BLOCK_ROWS; the last may have fewer */
    product *logits[2], *dx[2]; /* of a whole block, and of the last one (NULL: it is whole too) */
    linear_gradient dw[2];      /* of a whole chunk, and of the last one */
} vocabulary_loss_state;

static void free_state(void *state) {
    vocabulary_loss_state *s = state;
    for (int i = 0; i < 2; i++) {
        product_free(s->logits[i]);
        product_free(s->dx[i]);
        linear_gradient_free(&s->dw[i]);
    }
}

/* -1 for a token that takes no part. */
static int64_t word_of(const op *o, int64_t row) {
    float id = tensor_f32(o->input[TARGET])[row], share = tensor_f32(o->input[SHARE])[row];
    bool counts = share > 0 && id >= 0 && id < (float)((vocabulary_loss_state *)o->state)->words; /* false for NaN */
    return counts ? (int64_t)id : -1;
}

/* ---- preparing ---- */

static void want_worker_bytes(op *o, uint64_t bytes) {
    if (o->worker_bytes < bytes) o->worker_bytes = bytes;
}

/* For whole blocks, and for the last one when it is shorter. */
static carina_status create_products(op *o, product *out[2], product_shape shape, carina_error *error) {
    const vocabulary_loss_state *s = o->state;
    const int64_t rows[2] = {min_i64(BLOCK_ROWS, s->rows), s->rows > BLOCK_ROWS ? s->rows % BLOCK_ROWS : 0};
    for (int i = 0; i < 2; i++) {
        if (rows[i] == 0) continue;
        shape.m = rows[i];
        TRY(product_create(&out[i], &shape, NULL, error));
        want_worker_bytes(o, product_scratch_bytes(out[i]));
    }
    return CARINA_OK;
}

static carina_status create_gradients(op *o, carina_error *error) {
    vocabulary_loss_state *s = o->state;
    const product_shape dx = {.n = s->width,
                              .k = s->words,
                              .a_row = s->words,
                              .a_column = 1,
                              .b_row = s->width,
                              .b_column = 1,
                              .c_row = s->width};
    if (op_wants_gradient(o, X)) TRY(create_products(o, s->dx, dx, error));
    if (!op_wants_gradient(o, WEIGHT)) return CARINA_OK;
    const int64_t rows[2] = {min_i64(s->chunk, s->rows), s->rows > s->chunk ? s->rows % s->chunk : 0};
    for (int i = 0; i < 2; i++) {
        if (rows[i] == 0) continue;
        TRY(linear_gradient_create(&s->dw[i], TENSOR_F32, rows[i], s->width, s->words, true, error));
        want_worker_bytes(o, linear_gradient_worker_bytes(&s->dw[i]));
    }
    return CARINA_OK;
}

static carina_status prepare(op *o, carina_error *error) {
    vocabulary_loss_state *s = o->state;
    int64_t blocks = max_i64(1, min_i64(CHUNK_BLOCKS, CHUNK_VALUES / (BLOCK_ROWS * s->words)));
    s->chunk = BLOCK_ROWS * blocks;
    op_save(o, SAVED_LSE, (uint64_t)s->rows * sizeof(float));
    op_save(o, SAVED_LOSS, (uint64_t)s->rows * sizeof(float));
    o->scratch_bytes = (uint64_t)min_i64(s->chunk, s->rows) * (uint64_t)s->words * sizeof(float);
    const product_shape logits = {.n = s->words,
                                  .k = s->width,
                                  .a_row = s->width,
                                  .a_column = 1,
                                  .b_row = 1,
                                  .b_column = s->width,
                                  .c_row = s->words};
    TRY(create_products(o, s->logits, logits, error));
    return o->backward_active ? create_gradients(o, error) : CARINA_OK;
}

/* ---- running ---- */

typedef struct chunk_call {
    op *o;
    int64_t begin, end; /* rows */
} chunk_call;

typedef struct block {
    int64_t begin, end;
    float *logits; /* [end - begin, V] in scratch */
    bool last;     /* shorter than the others */
    bool any;      /* a row of it takes part */
} block;

static block block_of(const chunk_call *call, int shard) {
    const vocabulary_loss_state *s = call->o->state;
    block b = {.begin = call->begin + shard * BLOCK_ROWS};
    b.end = min_i64(b.begin + BLOCK_ROWS, call->end);
    b.last = s->rows > BLOCK_ROWS && b.end - b.begin < BLOCK_ROWS;
    b.logits = (float *)op_scratch(call->o) + (b.begin - call->begin) * s->words;
    for (int64_t row = b.begin; row < b.end && !b.any; row++) b.any = word_of(call->o, row) >= 0;
    return b;
}

static void make_logits(const op *o, const block *b, int worker) {
    const vocabulary_loss_state *s = o->state;
    product_run(s->logits[b->last], tensor_f32(o->input[X]) + b->begin * s->width, tensor_f32(o->input[WEIGHT]), NULL,
                b->logits, op_worker_scratch(o, worker));
}

static void forward_block(void *context, int shard, int worker) {
    const chunk_call *call = context;
    op *o = call->o;
    const vocabulary_loss_state *s = o->state;
    float *lse = o->saved[SAVED_LSE].data, *loss = o->saved[SAVED_LOSS].data;
    const block b = block_of(call, shard);
    if (b.any) make_logits(o, &b, worker);
    for (int64_t row = b.begin; row < b.end; row++) {
        int64_t word = word_of(o, row);
        lse[row] = loss[row] = 0;
        if (word < 0) continue;
        float *logits = b.logits + (row - b.begin) * s->words, wanted = logits[word];
        lse[row] = o->owner->kernels->softmax(logits, s->words, 1);
        loss[row] = lse[row] - wanted;
    }
}

static void run_chunks(op *o, thread_work *work, bool backward) {
    const vocabulary_loss_state *s = o->state;
    float *dw = backward ? op_parameter_gradient(o, WEIGHT) : NULL;
    for (int64_t begin = 0; begin < s->rows; begin += s->chunk) {
        chunk_call call = {o, begin, min_i64(begin + s->chunk, s->rows)};
        op_parallel(o, (int)((call.end - begin + BLOCK_ROWS - 1) / BLOCK_ROWS), work, &call);
        bool last = s->rows > s->chunk && call.end - begin < s->chunk;
        if (dw) linear_gradient_weights(&s->dw[last], o, op_scratch(o), tensor_f32(o->input[X]) + begin * s->width, dw);
    }
}

static void forward(op *o) {
    const vocabulary_loss_state *s = o->state;
    const float *share = tensor_f32(o->input[SHARE]), *loss = o->saved[SAVED_LOSS].data;
    double sum = 0;
    run_chunks(o, forward_block, false);
    for (int64_t row = 0; row < s->rows; row++)
        if (word_of(o, row) >= 0) sum += (double)share[row] * (double)loss[row];
    *(float *)tensor_values(o->output) = (float)sum;
}

static void backward_block(void *context, int shard, int worker) {
    const chunk_call *call = context;
    op *o = call->o;
    const vocabulary_loss_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const float *lse = o->saved[SAVED_LSE].data, *share = tensor_f32(o->input[SHARE]);
    float *dx = op_input_gradient(o, X), scale = *(const float *)op_output_gradient(o);
    const block b = block_of(call, shard);
    if (b.any) make_logits(o, &b, worker);
    for (int64_t row = b.begin; row < b.end; row++) {
        float *d = b.logits + (row - b.begin) * s->words;
        int64_t word = word_of(o, row);
        if (word < 0) {
            memset(d, 0, (size_t)s->words * sizeof *d);
            continue;
        }
        k->softmax_again(d, s->words, 1, lse[row]);
        d[word] -= 1;
        k->scale(d, d, scale * share[row], s->words);
    }
    if (!dx) return;
    if (b.any)
        product_run(s->dx[b.last], b.logits, tensor_f32(o->input[WEIGHT]), NULL, dx + b.begin * s->width,
                    op_worker_scratch(o, worker));
    else
        memset(dx + b.begin * s->width, 0, (size_t)((b.end - b.begin) * s->width) * sizeof *dx);
}

static void backward(op *o) { run_chunks(o, backward_block, true); }

static const op_type vocabulary_loss_type = {"vocabulary cross-entropy", prepare, forward, backward, free_state};

tensor *op_vocabulary_cross_entropy(graph *g, tensor *x, tensor *weight, tensor *target, tensor *share) {
    if (!x || !weight || !target || !share) return NULL;
    int64_t width = x->size[x->rank - 1];
    if (x->type != TENSOR_F32 || target->type != TENSOR_F32 || share->type != TENSOR_F32 || !weight->base->param ||
        weight->rank != 2 || weight->size[1] != width || weight->size[0] > 1 << 24 || /* exact in f32 up to there */
        target->count * width != x->count || share->count != target->count)
        return graph_fail(
            g, "vocabulary cross-entropy: f32 x [.., D], a parameter [V, D], targets and shares [..] are wanted");
    op *o = graph_record(g, &vocabulary_loss_type, 4, (tensor *[]){x, weight, target, share}, TENSOR_F32, 1,
                         (int64_t[]){1}, sizeof(vocabulary_loss_state));
    if (!o) return NULL;
    vocabulary_loss_state *s = o->state;
    s->rows = target->count;
    s->width = width;
    s->words = weight->size[0];
    o->backward_reads = READS_INPUT(X) | READS_INPUT(TARGET) | READS_INPUT(SHARE);
    return o->output;
}
