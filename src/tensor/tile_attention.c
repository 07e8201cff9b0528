/* Attention on AMX tiles; see tile_attention.h. */
#include "tensor/tile_attention.h"

#include <math.h>
#include <string.h>

#include "tensor/span.h"

#define QUERY_BLOCK 128 /* scores over 1,025 keys: half a megabyte */

static int64_t round_up(int64_t value) { return (value + TILE_BLOCK - 1) / TILE_BLOCK * TILE_BLOCK; }

bool tile_attention_suits(int64_t head_width) { return tiles_available() && head_width % TILE_BLOCK == 0; }

tile_attention tile_attention_make(int64_t batch, int64_t queries, int64_t keys, int64_t width, int heads) {
    tile_attention a = {.batch = batch, .queries = queries, .keys = keys, .width = width, .heads = heads};
    a.head_width = width / heads;
    a.factor = 1.0f / sqrtf((float)a.head_width);
    a.padded_keys = round_up(keys);
    a.block = min_i64(QUERY_BLOCK, round_up(queries));
    a.blocks = (queries + a.block - 1) / a.block;
    return a;
}

static int64_t head_values(const tile_attention *a) { return a->padded_keys * a->head_width; }

uint64_t tile_attention_shared_bytes(const tile_attention *a) {
    return (uint64_t)(a->batch * a->heads * 2 * head_values(a)) * sizeof(uint16_t);
}

/* One worker's memory; the second half is for backward only. */
typedef struct attention_memory {
    float *scores, *out;
    uint16_t *q, *p;
    float *dp, *dk, *dv;
    uint16_t *dy, *ds, *turned, *pairs, *k_across, *k_rows, *v_across;
} attention_memory;

static uint64_t memory_layout(const tile_attention *a, bool backward, uint8_t *base, attention_memory *m) {
    uint64_t offset = 0, block = (uint64_t)a->block, keys = (uint64_t)a->padded_keys, d = (uint64_t)a->head_width;
#define TAKE(field, count)                                     \
    do {                                                       \
        if (base) m->field = (void *)(base + offset);          \
        offset += ((count) * sizeof *m->field + 63) / 64 * 64; \
    } while (0)
    TAKE(scores, block * keys);
    TAKE(out, block * d);
    TAKE(q, block * d);
    TAKE(p, block * keys);
    if (!backward) return offset;
    TAKE(dp, block * keys);
    TAKE(dk, keys * d);
    TAKE(dv, keys * d);
    TAKE(dy, block * d);
    TAKE(ds, block * keys);
    TAKE(turned, keys * (block + 32)); /* rows a power of two apart would share cache sets */
    TAKE(pairs, block * d);
    TAKE(k_across, keys * d);
    TAKE(k_rows, keys * d);
    TAKE(v_across, keys * d);
#undef TAKE
    return offset;
}

uint64_t tile_attention_worker_bytes(const tile_attention *a, bool backward) {
    attention_memory none = {0};
    return memory_layout(a, backward, NULL, &none);
}

/* [M, d] of one head as weights: the scores' (d inputs, M outputs), or the values' (M inputs, d outputs). */
static void pack_across(const tile_attention *a, uint16_t *packed, const uint16_t *x) {
    for (int64_t n = 0; n < a->padded_keys; n += TILE_BLOCK)
        tile_pack_across(packed + n * a->head_width, x + n * a->width, a->width, a->head_width,
                         min_i64(TILE_BLOCK, a->keys - n));
}
static void pack_rows(const tile_attention *a, uint16_t *packed, const uint16_t *x) {
    for (int64_t n = 0; n < a->head_width; n += TILE_BLOCK)
        tile_pack_rows(packed + n * a->padded_keys, x + n, a->width, a->keys, TILE_BLOCK);
}

/* `rows` rows of one head, followed by zeros up to a multiple of 32. */
static void copy_rows(const tile_attention *a, uint16_t *out, const uint16_t *x, int64_t rows) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(out + i * a->head_width, x + i * a->width, (size_t)a->head_width * sizeof *out);
    memset(out + rows * a->head_width, 0, (size_t)((round_up(rows) - rows) * a->head_width) * sizeof *out);
}

/* f32 sums [rows, M or d] = x [rows, inputs] times packed weights. */
static void multiply(const uint16_t *x, int64_t rows, int64_t inputs, const uint16_t *packed, int64_t outputs,
                     float *sums) {
    tile_product p = {.a = x,
                      .a_step = inputs,
                      .taps = 1,
                      .inputs = inputs,
                      .rows = round_up(rows),
                      .outputs = outputs,
                      .packed = packed,
                      .sums = sums,
                      .sum_step = outputs};
    tile_product_run(&p);
}

/* Scores of keys that are masked out become so low that their probability is none. */
static void mask_scores(const tile_attention *a, const float *mask, int64_t sample, float *scores, int64_t rows) {
    if (!mask) return;
    mask += sample * a->keys;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < a->keys; j++)
            if (!(mask[j] > 0)) scores[i * a->padded_keys + j] = -1e30f;
}

/* ---- forward ---- */

typedef struct forward_call {
    const tile_attention *a;
    op *o;
    const uint16_t *q, *k, *v;
    const float *mask;
    uint16_t *y;
    float *lse;
} forward_call;

static uint16_t *packed_head(const forward_call *call, int64_t head) {
    return (uint16_t *)op_scratch(call->o) + head * 2 * head_values(call->a);
}

static void pack_shard(void *context, int head, int worker) {
    (void)worker;
    const forward_call *call = context;
    const tile_attention *a = call->a;
    int64_t at = head / a->heads * a->keys * a->width + head % a->heads * a->head_width;
    pack_across(a, packed_head(call, head), call->k + at);
    pack_rows(a, packed_head(call, head) + head_values(a), call->v + at);
}

static void forward_shard(void *context, int shard, int worker) {
    const forward_call *call = context;
    const tile_attention *a = call->a;
    const kernels *k = call->o->owner->kernels;
    attention_memory m = {0};
    memory_layout(a, false, op_worker_scratch(call->o, worker), &m);
    int64_t head = shard / a->blocks, first = shard % a->blocks * a->block,
            rows = min_i64(a->block, a->queries - first);
    int64_t at = (head / a->heads * a->queries + first) * a->width + head % a->heads * a->head_width;
    const uint16_t *packed = packed_head(call, head);
    copy_rows(a, m.q, call->q + at, rows);
    multiply(m.q, rows, a->head_width, packed, a->padded_keys, m.scores);
    mask_scores(a, call->mask, head / a->heads, m.scores, rows);
    float inverse[QUERY_BLOCK];
    for (int64_t i = 0; i < rows; i++) {
        float sum;
        uint16_t *p = m.p + i * a->padded_keys;
        float maximum = k->exponentials_bf16(p, &sum, m.scores + i * a->padded_keys, a->keys, a->factor);
        memset(p + a->keys, 0, (size_t)(a->padded_keys - a->keys) * sizeof *p);
        inverse[i] = 1.0f / sum;
        if (call->lse) call->lse[head * a->queries + first + i] = maximum + logf(sum);
    }
    multiply(m.p, rows, a->padded_keys, packed + head_values(a), a->head_width, m.out);
    for (int64_t i = 0; i < rows; i++) {
        float *row = m.out + i * a->head_width;
        k->scale(row, row, inverse[i], a->head_width);
        k->narrow_bf16(call->y + at + i * a->width, row, a->head_width);
    }
}

void tile_attention_forward(const tile_attention *a, op *o, const uint16_t *q, const uint16_t *k, const uint16_t *v,
                            const float *mask, uint16_t *y, float *lse) {
    forward_call call = {a, o, q, k, v, mask, y, lse};
    op_parallel(o, (int)(a->batch * a->heads), pack_shard, &call);
    op_parallel(o, (int)(a->batch * a->heads * a->blocks), forward_shard, &call);
}

/* ---- backward ---- */

typedef struct backward_call {
    const tile_attention *a;
    op *o;
    const tile_attention_gradients *g;
} backward_call;

/* sum [M, d] += weights^T x over a block: weights [rows, M], x [rows, d], rows a multiple of 32. */
static void gather(const tile_attention *a, const attention_memory *m, const uint16_t *weights, const uint16_t *x,
                   int64_t rows, float *sum) {
    tile_transpose(m->turned, a->block + 32, weights, a->padded_keys, rows, a->padded_keys);
    tile_pair(m->pairs, x, a->head_width, rows, a->head_width);
    tile_gradient g = {.xt = m->turned,
                       .xt_step = a->block + 32,
                       .taps = 1,
                       .pairs = m->pairs,
                       .pixels = rows,
                       .channels = a->padded_keys,
                       .outputs = a->head_width,
                       .sum = sum};
    tile_gradient_run(&g);
}

static void write_rows(const tile_attention *a, const kernels *k, uint16_t *out, const float *sums, int64_t rows) {
    for (int64_t i = 0; i < rows; i++) k->narrow_bf16(out + i * a->width, sums + i * a->head_width, a->head_width);
}

/* p and ds of one block of queries, from the scores and dp = dy v^T; delta_i = dy_i . y_i (Dao et al. 2022). */
static void score_gradients(const backward_call *call, const attention_memory *m, int64_t head, int64_t first,
                            int64_t at, int64_t rows) {
    const tile_attention *a = call->a;
    const kernels *k = call->o->owner->kernels;
    float y_buffer[SPAN_VALUES], dy_buffer[SPAN_VALUES];
    for (int64_t i = 0; i < rows; i++) {
        float delta = 0;
        for (int64_t c = 0; c < a->head_width; c += SPAN_VALUES) {
            int64_t n = min_i64(SPAN_VALUES, a->head_width - c);
            k->widen_bf16(y_buffer, call->g->y + at + i * a->width + c, n);
            k->widen_bf16(dy_buffer, call->g->dy + at + i * a->width + c, n);
            delta += k->dot(y_buffer, dy_buffer, n);
        }
        int64_t row = i * a->padded_keys;
        size_t behind = (size_t)(a->padded_keys - a->keys) * sizeof(uint16_t);
        k->softmax_gradient_bf16(m->p + row, m->ds + row, m->scores + row, m->dp + row, a->keys, a->factor,
                                 call->g->lse[head * a->queries + first + i], delta);
        memset(m->p + row + a->keys, 0, behind);
        memset(m->ds + row + a->keys, 0, behind);
    }
    size_t behind = (size_t)((round_up(rows) - rows) * a->padded_keys) * sizeof(uint16_t);
    memset(m->p + rows * a->padded_keys, 0, behind);
    memset(m->ds + rows * a->padded_keys, 0, behind);
}

/* One head of one sample: its blocks in order, so that the sums over queries have a fixed order. */
static void backward_shard(void *context, int head, int worker) {
    const backward_call *call = context;
    const tile_attention *a = call->a;
    const tile_attention_gradients *g = call->g;
    const kernels *k = call->o->owner->kernels;
    attention_memory m = {0};
    memory_layout(a, true, op_worker_scratch(call->o, worker), &m);
    int64_t sample = head / a->heads, column = head % a->heads * a->head_width, d = a->head_width;
    int64_t key_at = sample * a->keys * a->width + column;
    pack_across(a, m.k_across, g->k + key_at);
    pack_across(a, m.v_across, g->v + key_at);
    if (g->dq) pack_rows(a, m.k_rows, g->k + key_at);
    memset(m.dk, 0, (size_t)(a->padded_keys * d) * sizeof *m.dk);
    memset(m.dv, 0, (size_t)(a->padded_keys * d) * sizeof *m.dv);
    for (int64_t first = 0; first < a->queries; first += a->block) {
        int64_t rows = min_i64(a->block, a->queries - first), at = (sample * a->queries + first) * a->width + column;
        copy_rows(a, m.q, g->q + at, rows);
        copy_rows(a, m.dy, g->dy + at, rows);
        multiply(m.q, rows, d, m.k_across, a->padded_keys, m.scores);
        multiply(m.dy, rows, d, m.v_across, a->padded_keys, m.dp);
        mask_scores(a, g->mask, sample, m.scores, rows);
        score_gradients(call, &m, head, first, at, rows);
        if (g->dv) gather(a, &m, m.p, m.dy, round_up(rows), m.dv);
        if (g->dk) gather(a, &m, m.ds, m.q, round_up(rows), m.dk);
        if (!g->dq) continue;
        multiply(m.ds, rows, a->padded_keys, m.k_rows, d, m.out);
        write_rows(a, k, g->dq + at, m.out, rows);
    }
    if (g->dk) write_rows(a, k, g->dk + key_at, m.dk, a->keys);
    if (g->dv) write_rows(a, k, g->dv + key_at, m.dv, a->keys);
}

void tile_attention_backward(const tile_attention *a, op *o, const tile_attention_gradients *g) {
    backward_call call = {a, o, g};
    op_parallel(o, (int)(a->batch * a->heads), backward_shard, &call);
}
