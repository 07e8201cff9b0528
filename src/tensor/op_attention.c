/* Multi-head attention, softmax(q k^T / sqrt(d)) v, without an N x M matrix in memory (Dao et al. 2022): forward works
 * on blocks of queries and keeps only each row's log-sum-exp; backward makes each block of probabilities again.
 * d = D / heads; head h is columns [h d, (h + 1) d) of q, k, v and the output. Products are oneDNN's; bf16 goes by
 * tiles where there are any (tile_attention.h), and forward over few keys by the loops of panel_product.h and
 * key_rows.h, on scores that lie key by key: a softmax is then the same steps for many queries at once. */
#include <math.h>
#include <string.h>

#include "tensor/dnnl.h"
#include "tensor/key_rows.h"
#include "tensor/ops.h"
#include "tensor/panel_product.h"
#include "tensor/span.h"
#include "tensor/tile_attention.h"

enum { Q, K, V, MASK };
#define QUERY_BLOCK 128 /* a block's scores over 1,025 keys take 512 KiB: they stay in the L2 cache */
#define FEW_KEYS    64  /* of a sentence: calling oneDNN would take as long as its product */
#define MANY_BLOCKS 32  /* of few keys: enough shards for many cores */

/* The products of one block of `rows` queries. Six are needed; they are of three shapes. */
typedef struct block_products {
    product *across;   /* x y^T -> f32 [rows, M]: scores q k^T, and dp = dO v^T */
    product *weighted; /* p y -> [rows, d]: output p v, and dq = ds k */
    product *gathered; /* f32 [M, d] += p^T y: dv from dO, dk from q by ds */
} block_products;

typedef struct attention_state {
    int64_t batch, queries, keys, width, heads, head_width; /* B, N, M, D, H, d */
    int64_t key_heads, key_width, group;                    /* of k and v: D' = key_heads d; H / key_heads */
    int64_t block, block_count;
    bool causal, plain; /* plain: what tile_attention.h knows */
    int64_t window;
    float factor;
    float dropout;
    block_products full, tail;
    uint64_t product_scratch;
    bool on_tiles; /* bf16 where the processor has tiles: instead of all products above */
    tile_attention tiles;
    const panel_kernel *few_keys; /* forward over few keys, q k^T: instead of the products too; or NULL */
    const key_rows_kernel *mixes; /* and p v */
    int64_t head_runs;            /* that a block's heads are cut into, for few keys */
} attention_state;

static void products_free(block_products *b) {
    product_free(b->across);
    product_free(b->weighted);
    product_free(b->gathered);
}

static void attention_free(void *state) {
    attention_state *s = state;
    products_free(&s->full);
    products_free(&s->tail);
}

/* How an operand lies in memory: its type, and the elements between rows and between columns. */
typedef struct operand {
    tensor_type type;
    int64_t row, column;
} operand;

static carina_status create(product **out, attention_state *s, product_shape shape, operand a, operand b, operand c,
                            carina_error *error) {
    shape.a_type = a.type, shape.a_row = a.row, shape.a_column = a.column;
    shape.b_type = b.type, shape.b_row = b.row, shape.b_column = b.column;
    shape.c_type = c.type, shape.c_row = c.row;
    TRY(product_create(out, &shape, NULL, error));
    s->product_scratch = (uint64_t)max_i64((int64_t)s->product_scratch, (int64_t)product_scratch_bytes(*out));
    return CARINA_OK;
}

static carina_status create_products(block_products *b, op *o, int64_t rows, carina_error *error) {
    attention_state *s = o->state;
    tensor_type t = o->output->type;
    int64_t m = s->keys, d = s->head_width;
    /* q, k, v, outputs and their gradients hold all heads side by side: rows are D apart. */
    operand tokens = {t, s->width, 1}, keys = {t, s->key_width, 1}, keys_across = {t, 1, s->key_width};
    operand weights = {t, m, 1}, weights_across = {t, 1, m};
    operand scores = {TENSOR_F32, m, 1}, sums = {TENSOR_F32, d, 1};
    TRY(create(&b->across, s, (product_shape){.m = rows, .n = m, .k = d}, tokens, keys_across, scores, error));
    TRY(create(&b->weighted, s, (product_shape){.m = rows, .n = d, .k = m}, weights, keys, tokens, error));
    if (!o->backward_active) return CARINA_OK;
    return create(&b->gathered, s, (product_shape){.m = m, .n = d, .k = rows, .add = true}, weights_across, tokens,
                  sums, error);
}

/* One worker's scratch: two f32 blocks of scores, their bf16 twins, dK and dV sums, oneDNN's own; for few keys a panel
 * of a head's queries, their scores and outputs. */
typedef struct attention_scratch {
    float *scores, *dp;
    uint16_t *narrow_p, *narrow_ds;
    float *dk, *dv;
    void *panel;
    float *y;
    void *product;
} attention_scratch;

static uint64_t aligned(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

static uint64_t scratch_layout(const attention_state *s, uint8_t *base, attention_scratch *out) {
    bool few = s->few_keys != NULL;
    uint64_t block = aligned((uint64_t)(s->block * s->keys) * sizeof(float)), twin = few ? 0 : block;
    uint64_t narrow = few ? 0 : aligned((uint64_t)(s->block * s->keys) * sizeof(uint16_t));
    uint64_t sums = few ? 0 : aligned((uint64_t)(s->keys * s->head_width) * sizeof(float));
    uint64_t rows = few ? aligned((uint64_t)(s->block * s->head_width) * sizeof(float)) : 0;
    uint64_t offset = 0;
#define TAKE(field, bytes)                          \
    if (base) out->field = (void *)(base + offset); \
    offset += (bytes)
    TAKE(scores, block);
    TAKE(dp, twin);
    TAKE(narrow_p, narrow);
    TAKE(narrow_ds, narrow);
    TAKE(dk, sums);
    TAKE(dv, sums);
    TAKE(panel, rows);
    TAKE(y, rows);
    TAKE(product, s->product_scratch);
#undef TAKE
    return offset;
}

static carina_status attention_prepare(op *o, carina_error *error) {
    attention_state *s = o->state;
    if (o->backward_active) op_save(o, 0, (uint64_t)(s->batch * s->heads * s->queries) * sizeof(float));
    s->on_tiles = o->output->type == TENSOR_BF16 && s->dropout <= 0 && s->plain && tile_attention_suits(s->head_width);
    if (s->on_tiles) {
        s->tiles = tile_attention_make(s->batch, s->queries, s->keys, s->width, (int)s->heads);
        o->scratch_bytes = tile_attention_shared_bytes(&s->tiles);
        o->worker_bytes = tile_attention_worker_bytes(&s->tiles, o->backward_active);
        return CARINA_OK;
    }
    s->block = min_i64(QUERY_BLOCK, s->queries);
    s->block_count = (s->queries + s->block - 1) / s->block;
    const panel_kernel *kernel = panel_kernel_best(o->output->type);
    if (!o->backward_active && s->dropout <= 0 && s->keys <= FEW_KEYS && kernel && s->head_width % kernel->group == 0) {
        s->few_keys = kernel;
        s->mixes = key_rows_best();
        s->block = kernel->columns;
        s->block_count = (s->queries + s->block - 1) / s->block;
        s->head_runs = s->batch * s->block_count >= MANY_BLOCKS ? 1 : s->heads;
        o->worker_bytes = scratch_layout(s, NULL, NULL);
        return CARINA_OK;
    }
    TRY(create_products(&s->full, o, s->block, error));
    if (s->queries % s->block) TRY(create_products(&s->tail, o, s->queries % s->block, error));
    o->worker_bytes = scratch_layout(s, NULL, NULL);
    return CARINA_OK;
}

static int64_t block_rows(const attention_state *s, int64_t block) {
    return min_i64(s->block, s->queries - block * s->block);
}
static const block_products *block_of(const attention_state *s, int64_t block) {
    return block_rows(s, block) == s->block ? &s->full : &s->tail;
}
/* Byte offset of (batch b, query n, head h). */
static size_t query_at(const attention_state *s, tensor_type type, int64_t b, int64_t n, int64_t h) {
    return (size_t)((b * s->queries + n) * s->width + h * s->head_width) * type_bytes(type);
}
/* Of the first key of (batch b, head h of the keys). */
static size_t key_at(const attention_state *s, tensor_type type, int64_t b, int64_t h) {
    return (size_t)(b * s->keys * s->key_width + h * s->head_width) * type_bytes(type);
}
/* Probabilities as the product wants them: the f32 block itself, or its bf16 copy. */
static const void *narrowed(const op *o, const float *values, uint16_t *buffer, int64_t n) {
    if (o->output->type == TENSOR_F32) return values;
    o->owner->kernels->narrow_bf16(buffer, values, n);
    return buffer;
}

/* A block's scores, and how far apart those of two queries, and of two keys, are. */
typedef struct score_block {
    float *scores;
    int64_t query_step, key_step;
} score_block;

static void hide(const score_block *block, int64_t query, int64_t key) {
    block->scores[query * block->query_step + key * block->key_step] = -1e30f;
}

/* Keys that are not to be seen get a score whose exponential vanishes beside any other; finite, so that no NaN can
 * come. `first` is the block's first query. */
static void mask_scores(const op *o, int64_t b, int64_t first, int64_t rows, score_block block) {
    const attention_state *s = o->state;
    int64_t keys = s->keys;
    const float *mask = o->input[MASK] ? tensor_f32(o->input[MASK]) + b * keys : NULL;
    int64_t seen = 0;
    while (mask && seen < keys && mask[seen] > 0) seen++;
    for (int64_t i = 0; mask && seen < keys && i < rows; i++)
        for (int64_t j = seen; j < keys; j++)
            if (!(mask[j] > 0)) hide(&block, i, j);
    for (int64_t i = 0; s->causal && i < rows; i++) {
        int64_t last = first + i + keys - s->queries, begin = s->window ? max_i64(0, last + 1 - s->window) : 0;
        for (int64_t j = 0; j < begin; j++) hide(&block, i, j);
        for (int64_t j = last + 1; j < keys; j++) hide(&block, i, j);
    }
}

/* Drops probabilities (or their gradients) of one query: zero at the rate, else scaled up. The same at every call in a
 * step, from (seed, step, op, row). */
static void drop_row(const op *o, int64_t row, float *p) {
    const attention_state *s = o->state;
    uint64_t seed = o->owner->options.seed ^ (o->owner->step * 0x9e3779b97f4a7c15u) ^ ((uint64_t)o->index << 48);
    random_state random = random_stream(seed, (uint64_t)row);
    uint64_t limit = (uint64_t)(s->dropout * 65536), bits = 0; /* 16 bits a number decide */
    float scale = 1.0f / (1.0f - s->dropout);
    for (int64_t j = 0; j < s->keys; j++, bits >>= 16) {
        if (j % 4 == 0) bits = random_u64(&random);
        p[j] = (bits & 0xffff) < limit ? 0.0f : p[j] * scale;
    }
}

static void drop_rows(const op *o, int64_t row, int64_t rows, float *p) {
    const attention_state *s = o->state;
    for (int64_t i = 0; s->dropout > 0 && i < rows; i++) drop_row(o, row + i, p + i * s->keys);
}

static void softmax_rows(const op *o, int64_t b, int64_t h, int64_t first, float *scores, int64_t rows) {
    const attention_state *s = o->state;
    float *lse = o->saved[0].data;
    int64_t row = (b * s->heads + h) * s->queries + first;
    mask_scores(o, b, first, rows, (score_block){scores, s->keys, 1});
    for (int64_t i = 0; i < rows; i++) {
        float row_lse = o->owner->kernels->softmax(scores + i * s->keys, s->keys, s->factor);
        if (lse) lse[row + i] = row_lse;
    }
    drop_rows(o, row, rows, scores);
}

/* Asks for `rows` of one head, which lie far apart, before they are wanted. */
static void fetch_head(const uint8_t *values, size_t step, int64_t rows, size_t bytes) {
    for (int64_t i = 0; i < rows; i++)
        for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(values + (size_t)i * step + at, 0, 2);
}

/* k q^T of one head: [keys][queries of a panel]. */
static void few_keys_scores(const attention_state *s, const attention_scratch *scratch, const uint8_t *q,
                            const uint8_t *keys, int64_t rows) {
    const panel_kernel *kernel = s->few_keys;
    int tiles = (int)((s->keys + kernel->rows - 1) / kernel->rows);
    kernel->panel_of_rows(scratch->panel, q, s->width, rows, s->head_width);
    panel_tile tile = {
        .x_step = s->key_width, .panel = scratch->panel, .depth = s->head_width, .wide = true, .y_step = s->block};
    for (int i = 0; i < tiles; i++) {
        range r = shard_range(s->keys, tiles, i);
        tile.x = keys + (size_t)(r.begin * s->key_width) * type_bytes(kernel->type);
        tile.y = scratch->scores + r.begin * s->block;
        kernel->run(&tile, (int)(r.end - r.begin));
    }
}

/* One head of a block, over few keys. Probabilities and sums stay f32 in bf16 too. */
static void few_keys_head(const op *o, const attention_scratch *scratch, int64_t b, int64_t h, int64_t first,
                          int64_t rows) {
    const attention_state *s = o->state;
    const kernels *k = o->owner->kernels;
    tensor_type t = o->output->type;
    bool is_wide = t == TENSOR_F32;
    const uint8_t *q = (const uint8_t *)tensor_values(o->input[Q]) + query_at(s, t, b, first, h);
    const uint8_t *keys = (const uint8_t *)tensor_values(o->input[K]) + key_at(s, t, b, h / s->group);
    const uint8_t *values = (const uint8_t *)tensor_values(o->input[V]) + key_at(s, t, b, h / s->group);
    uint8_t *y = (uint8_t *)tensor_values(o->output) + query_at(s, t, b, first, h);
    int64_t d = s->head_width, step = is_wide ? s->width : d; /* from one row of f32 to the next */
    if (h + 1 < s->heads && s->group == 1) {
        size_t bytes = (size_t)d * type_bytes(t), q_step = (size_t)s->width * type_bytes(t);
        fetch_head(q + bytes, q_step, rows, bytes);
        fetch_head(keys + bytes, (size_t)s->key_width * type_bytes(t), s->keys, bytes);
        fetch_head(values + bytes, (size_t)s->key_width * type_bytes(t), s->keys, bytes);
    }
    few_keys_scores(s, scratch, q, keys, rows);
    mask_scores(o, b, first, rows, (score_block){scratch->scores, 1, s->block});
    k->softmax_columns(scratch->scores, s->keys, s->block, s->factor);
    float *y_rows = is_wide ? (void *)y : scratch->y;
    for (int64_t i = 0; i < rows; i++) memset(y_rows + i * step, 0, (size_t)d * sizeof *y_rows);
    mixture m = {scratch->scores, 1, s->block};
    (is_wide ? s->mixes->mix : s->mixes->mix_bf16)(y_rows, step, &m, rows, values, s->key_width, s->keys, d);
    for (int64_t i = 0; i < rows && !is_wide; i++)
        k->narrow_bf16((uint16_t *)(void *)y + i * s->width, y_rows + i * d, d);
}

/* A run of a block's heads in turn, so that the next one's rows can be asked for. */
static void few_keys_shard(void *context, int shard, int worker) {
    op *o = context;
    const attention_state *s = o->state;
    attention_scratch scratch;
    scratch_layout(s, op_worker_scratch(o, worker), &scratch);
    int64_t run_heads = s->heads / s->head_runs, first_head = shard % s->head_runs * run_heads,
            block = shard / s->head_runs;
    int64_t b = block / s->block_count, first = block % s->block_count * s->block;
    for (int64_t h = first_head; h < first_head + run_heads; h++)
        few_keys_head(o, &scratch, b, h, first, block_rows(s, block % s->block_count));
}

static void forward_shard(void *context, int shard, int worker) {
    op *o = context;
    attention_state *s = o->state;
    tensor_type t = o->output->type;
    attention_scratch scratch;
    scratch_layout(s, op_worker_scratch(o, worker), &scratch);
    int64_t block = shard % s->block_count, bh = shard / s->block_count, b = bh / s->heads, h = bh % s->heads;
    int64_t first = block * s->block, rows = block_rows(s, block);
    const block_products *p = block_of(s, block);
    const uint8_t *q = tensor_values(o->input[Q]), *k = tensor_values(o->input[K]), *v = tensor_values(o->input[V]);
    product_run(p->across, q + query_at(s, t, b, first, h), k + key_at(s, t, b, h / s->group), NULL, scratch.scores,
                scratch.product);
    softmax_rows(o, b, h, first, scratch.scores, rows);
    product_run(p->weighted, narrowed(o, scratch.scores, scratch.narrow_p, rows * s->keys),
                v + key_at(s, t, b, h / s->group), NULL,
                (uint8_t *)tensor_values(o->output) + query_at(s, t, b, first, h), scratch.product);
}

static void attention_forward(op *o) {
    attention_state *s = o->state;
    if (s->on_tiles)
        tile_attention_forward(&s->tiles, o, tensor_values(o->input[Q]), tensor_values(o->input[K]),
                               tensor_values(o->input[V]), o->input[MASK] ? tensor_f32(o->input[MASK]) : NULL,
                               tensor_values(o->output), o->saved[0].data);
    else if (s->few_keys)
        op_parallel(o, (int)(s->batch * s->block_count * s->head_runs), few_keys_shard, o);
    else
        op_parallel(o, (int)(s->batch * s->heads * s->block_count), forward_shard, o);
}

/* d softmax: ds = p (dp - delta) / sqrt(d) with delta_i = dO_i . O_i, row by row, into scratch->dp. */
static void score_gradients(op *o, const attention_scratch *scratch, int64_t b, int64_t h, int64_t first,
                            int64_t rows) {
    attention_state *s = o->state;
    const kernels *k = o->owner->kernels;
    const float *lse = (const float *)o->saved[0].data + (b * s->heads + h) * s->queries + first;
    float y_buffer[SPAN_VALUES], g_buffer[SPAN_VALUES];
    for (int64_t i = 0; i < rows; i++) {
        int64_t offset = (b * s->queries + first + i) * s->width + h * s->head_width;
        float delta = 0;
        for (int64_t c = 0; c < s->head_width; c += SPAN_VALUES) {
            int64_t n = min_i64(SPAN_VALUES, s->head_width - c);
            delta += k->dot(span_read(k, tensor_values(o->output), o->output->type, offset + c, n, y_buffer),
                            span_read(k, op_output_gradient(o), o->output->type, offset + c, n, g_buffer), n);
        }
        float *p = scratch->scores + i * s->keys;
        k->softmax_again(p, s->keys, s->factor, lse[i]);
        k->softmax_gradient(scratch->dp + i * s->keys, p, s->keys, delta, s->factor);
    }
}

/* [M, d] f32 sums to the columns of head h of the keys. */
static void write_sums(op *o, int input, int64_t b, int64_t h, const float *sums) {
    attention_state *s = o->state;
    void *gradient = op_input_gradient(o, input);
    for (int64_t i = 0; gradient && i < s->keys; i++) {
        const float *row = sums + i * s->head_width;
        int64_t offset = (b * s->keys + i) * s->key_width + h * s->head_width;
        if (o->output->type == TENSOR_F32)
            memcpy((float *)gradient + offset, row, (size_t)s->head_width * sizeof *row);
        else
            span_flush(o->owner->kernels, gradient, TENSOR_BF16, offset, s->head_width, row);
    }
}

/* Adds one head of queries to the sums of its keys' head; its blocks in order, so that sums have a fixed order. */
static void backward_head(op *o, const attention_scratch *scratch, int64_t b, int64_t h) {
    attention_state *s = o->state;
    tensor_type t = o->output->type;
    const uint8_t *q = (const uint8_t *)tensor_values(o->input[Q]), *dy = op_output_gradient(o);
    const uint8_t *k = (const uint8_t *)tensor_values(o->input[K]) + key_at(s, t, b, h / s->group);
    const uint8_t *v = (const uint8_t *)tensor_values(o->input[V]) + key_at(s, t, b, h / s->group);
    uint8_t *dq = op_input_gradient(o, Q);
    for (int64_t block = 0; block < s->block_count; block++) {
        int64_t first = block * s->block, rows = block_rows(s, block);
        size_t offset = query_at(s, t, b, first, h);
        const block_products *p = block_of(s, block);
        product_run(p->across, q + offset, k, NULL, scratch->scores, scratch->product);
        mask_scores(o, b, first, rows, (score_block){scratch->scores, s->keys, 1});
        product_run(p->across, dy + offset, v, NULL, scratch->dp, scratch->product);
        int64_t row = (b * s->heads + h) * s->queries + first;
        drop_rows(o, row, rows, scratch->dp);
        score_gradients(o, scratch, b, h, first, rows);
        drop_rows(o, row, rows, scratch->scores);
        const void *probabilities = narrowed(o, scratch->scores, scratch->narrow_p, rows * s->keys);
        const void *ds = narrowed(o, scratch->dp, scratch->narrow_ds, rows * s->keys);
        product_run(p->gathered, probabilities, dy + offset, NULL, scratch->dv, scratch->product);
        if (dq) product_run(p->weighted, ds, k, NULL, dq + offset, scratch->product);
        product_run(p->gathered, ds, q + offset, NULL, scratch->dk, scratch->product);
    }
}

/* One head of keys of one sample, with all heads of queries that it serves. */
static void backward_shard(void *context, int shard, int worker) {
    op *o = context;
    attention_state *s = o->state;
    attention_scratch scratch;
    scratch_layout(s, op_worker_scratch(o, worker), &scratch);
    int64_t b = shard / s->key_heads, h = shard % s->key_heads;
    memset(scratch.dk, 0, (size_t)(s->keys * s->head_width) * sizeof(float));
    memset(scratch.dv, 0, (size_t)(s->keys * s->head_width) * sizeof(float));
    for (int64_t i = 0; i < s->group; i++) backward_head(o, &scratch, b, h * s->group + i);
    write_sums(o, K, b, h, scratch.dk);
    write_sums(o, V, b, h, scratch.dv);
}

static void attention_backward(op *o) {
    attention_state *s = o->state;
    if (s->on_tiles) {
        tile_attention_gradients g = {.q = tensor_values(o->input[Q]),
                                      .k = tensor_values(o->input[K]),
                                      .v = tensor_values(o->input[V]),
                                      .y = tensor_values(o->output),
                                      .dy = op_output_gradient(o),
                                      .lse = o->saved[0].data,
                                      .mask = o->input[MASK] ? tensor_f32(o->input[MASK]) : NULL,
                                      .dq = op_input_gradient(o, Q),
                                      .dk = op_input_gradient(o, K),
                                      .dv = op_input_gradient(o, V)};
        tile_attention_backward(&s->tiles, o, &g);
    } else {
        op_parallel(o, (int)(s->batch * s->key_heads), backward_shard, o);
    }
}

static const op_type attention_type = {"attention", attention_prepare, attention_forward, attention_backward,
                                       attention_free};

static bool fits(const tensor *q, const tensor *k, const tensor *v, int heads, int key_heads) {
    if (q->rank != 3 || k->rank != 3 || v->rank != 3 || heads < 1 || key_heads < 1) return false;
    return q->size[2] % heads == 0 && heads % key_heads == 0 && k->size[2] == q->size[2] / heads * key_heads &&
           k->count == v->count && k->size[0] == q->size[0] && k->size[1] == v->size[1] && k->type == q->type &&
           v->type == q->type;
}

tensor *op_attention(graph *g, tensor *q, tensor *k, tensor *v, const attention_options *options) {
    int heads = options->heads, key_heads = options->key_heads ? options->key_heads : heads;
    tensor *mask = options->mask;
    if (!q || !k || !v) return NULL;
    if (!fits(q, k, v, heads, key_heads))
        return graph_fail(g, "attention: shapes or types of q, k and v do not fit %d and %d heads", heads, key_heads);
    if (mask && (mask->type != TENSOR_F32 || mask->count != k->size[0] * k->size[1]))
        return graph_fail(g, "attention: the mask is not f32 [%lld, %lld]", (long long)k->size[0],
                          (long long)k->size[1]);
    if (options->causal && (mask || k->size[1] < q->size[1]))
        return graph_fail(g, "attention: causal takes no mask, and at least as many keys as queries");
    op *o =
        graph_record(g, &attention_type, 4, (tensor *[]){q, k, v, mask}, q->type, 3, q->size, sizeof(attention_state));
    if (!o) return NULL;
    attention_state *s = o->state;
    *s = (attention_state){.batch = q->size[0],
                           .queries = q->size[1],
                           .keys = k->size[1],
                           .width = q->size[2],
                           .heads = heads,
                           .head_width = q->size[2] / heads,
                           .key_heads = key_heads,
                           .key_width = k->size[2],
                           .group = heads / key_heads,
                           .causal = options->causal,
                           .window = options->window};
    s->factor = options->factor > 0 ? options->factor : 1.0f / sqrtf((float)s->head_width);
    s->plain = !s->causal && s->group == 1 && options->factor <= 0;
    s->dropout = g->options.training ? options->dropout : 0;
    o->backward_reads = READS_INPUT(Q) | READS_INPUT(K) | READS_INPUT(V) | READS_INPUT(MASK) | READS_OUTPUT;
    return o->output;
}
