/* Attention of new tokens over all that their sequences have seen: op_attention's causal form for a decoder that runs
 * token by token. The rows of a run may belong to different sequences; op_cache_tokens stores every row's key and
 * value, then every row looks back over its own sequence alone.
 *
 * Rows that follow each other in one sequence go together, in blocks, with all heads of queries that share a head of
 * keys: so a key is read once for many queries (key_rows.h). What a row gets is the same bits as alone: a block looks
 * at all keys that any of its rows sees, and those that a row does not see have probability zero there. No gradient:
 * training runs whole sequences.
 *
 * With a cache in bf16 queries and probabilities are rounded to bf16, too, these before they are divided by their sum:
 * the mixture is divided by what the rounded ones add up to. Keys may go in pairs: those begin at even positions,
 * wherever a block does. */
#include <string.h>

#include "tensor/key_rows.h"
#include "tensor/ops.h"
#include "tensor/span.h"

enum { Q };    /* of op_cached_attention */
enum { K, V }; /* of op_cache_tokens */

/* ---- storing ---- */

typedef struct cache_state {
    const cached_row *rows;
    int layer;
    int64_t count, width; /* R, D' */
} cache_state;

static const void *row_at(const void *values, tensor_type type, int64_t offset) {
    return (const uint8_t *)values + (size_t)offset * type_bytes(type);
}

/* A token's row of all heads from x into the cache, whichever types they have. */
static void store(const kernels *k, const key_cache *c, void *to, int64_t slot, const tensor *x, int64_t row) {
    for (int64_t head = 0; head < c->heads; head++) {
        void *target = (uint8_t *)to + (size_t)((head * c->capacity + slot) * c->width) * type_bytes(c->type);
        const void *from = row_at(tensor_values(x), x->type, (row * c->heads + head) * c->width);
        if (x->type == c->type)
            memcpy(target, from, (size_t)c->width * type_bytes(c->type));
        else if (c->type == TENSOR_BF16)
            k->narrow_bf16(target, from, c->width);
        else
            k->widen_bf16(target, from, c->width);
    }
}

static void store_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const cache_state *s = o->state;
    range r = shard_range(s->count, shard_count_for(s->count, s->width), shard);
    for (int64_t i = r.begin; i < r.end; i++) {
        const cached_row *row = &s->rows[i];
        if (!row->layers) continue;
        const key_cache *c = &row->layers[s->layer];
        int64_t slot = row->position % c->capacity;
        store(o->owner->kernels, c, c->keys, slot, o->input[K], i);
        store(o->owner->kernels, c, c->values, slot, o->input[V], i);
    }
}

static carina_status check_runs_only(op *o, carina_error *error) {
    if (!o->backward_active) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "cached attention has no gradient; train on whole sequences");
}

static void cache_forward(op *o) {
    const cache_state *s = o->state;
    op_parallel(o, shard_count_for(s->count, s->width), store_shard, o);
}

static const op_type cache_type = {"cache of tokens", check_runs_only, cache_forward, NULL, NULL};

tensor *op_cache_tokens(graph *g, tensor *k, tensor *v, const cached_row *rows, int layer) {
    if (!k || !v) return NULL;
    int64_t width = k->size[k->rank - 1];
    if (v->type != k->type || v->count != k->count)
        return graph_fail(g, "cache of tokens: shapes or types of k and v do not fit");
    op *o = graph_record(g, &cache_type, 2, (tensor *[]){k, v}, TENSOR_F32, 1, (int64_t[]){1}, sizeof(cache_state));
    if (!o) return NULL;
    *(cache_state *)o->state = (cache_state){.rows = rows, .layer = layer, .count = k->count / width, .width = width};
    return o->output;
}

/* ---- looking back ---- */

#define CACHE_LINE 64
#define BLOCK_ROWS 8   /* tokens */
#define MOST_GROUP 256 /* heads of queries that share one of keys */
#define BLOCK_KEYS 32  /* looked at by all queries of a block before the next ones */

/* Few queries, as of a single token, wait for memory: keys are asked for some rows ahead, in small portions. */
#define FEW_VECTORS 4
#define FEW_KEYS    8 /* a portion, which is even */
#define KEYS_AHEAD  16

typedef struct cached_state {
    const cached_row *rows;
    int layer;
    int64_t count, width, heads, head_width, group; /* R, D, H, d, H / key heads */
    int64_t window, most;                           /* keys that a row may see at most */
    float factor;
    const key_rows_kernel *kernel;
} cached_state;

/* Rows that follow each other in one sequence. */
typedef struct block {
    int64_t row, count;
} block;

/* The keys of positions [begin, end) lie in at most two pieces of the ring. */
typedef struct piece {
    int64_t slot, count;
} piece;

static int pieces_of(piece out[2], const key_cache *c, int64_t begin, int64_t end) {
    int64_t slot = begin % c->capacity, count = end - begin, first = min_i64(count, c->capacity - slot);
    out[0] = (piece){slot, first};
    out[1] = (piece){0, count - first};
    return count > first ? 2 : 1;
}

/* What one shard has at hand: `heads` query heads of a block's rows, one vector after the other. */
typedef struct block_view {
    const key_cache *cache;
    int64_t begin, end;            /* positions that any row sees */
    int64_t head;                  /* of keys */
    int64_t vectors;               /* rows x heads: of one row its heads, then of the next */
    float *q, *y;                  /* [vectors, d] */
    float *scores;                 /* [vectors, score_step]; then, of f32 caches, probabilities */
    int64_t score_step;            /* even */
    uint16_t *narrow_q, *narrow_p; /* bf16 caches: queries, and probabilities not yet divided by their sum */
} block_view;

typedef void visit(const cached_state *s, const block_view *b, int64_t done, const void *rows, int64_t count);

static void score(const cached_state *s, const block_view *b, int64_t done, const void *keys, int64_t count) {
    const key_rows_kernel *k = s->kernel;
    float *to = b->scores + done;
    int64_t d = s->head_width, width = b->cache->width;
    if (b->cache->type == TENSOR_F32)
        k->scores(to, b->score_step, b->q, d, b->vectors, keys, width, count, d);
    else
        k->scores_bf16(to, b->score_step, b->narrow_q, d, b->vectors, keys, width, count, d);
}
static void mix(const cached_state *s, const block_view *b, int64_t done, const void *values, int64_t count) {
    const key_rows_kernel *k = s->kernel;
    mixture m = {b->scores + done, b->score_step, 1};
    int64_t d = s->head_width, width = b->cache->width;
    if (b->cache->type == TENSOR_F32)
        k->mix(b->y, d, &m, b->vectors, values, width, count, d);
    else
        k->mix_pairs_bf16(b->y, d, b->narrow_p + done, b->score_step, b->vectors, values, width, count, d);
}

static bool waits_for_memory(const block_view *b) { return b->vectors <= FEW_VECTORS; }

/* GCC takes a function that only asks for memory for one that does nothing, and leaves out its calls. */
#define INLINE static inline __attribute__((always_inline))

/* Rows [first, end) of a head's keys or values, which are wanted soon. */
INLINE void fetch(const block_view *b, const uint8_t *rows, int64_t first, int64_t end) {
    int64_t row_bytes = b->cache->width * (int64_t)type_bytes(b->cache->type);
    for (int64_t at = first * row_bytes; at < end * row_bytes; at += CACHE_LINE) __builtin_prefetch(rows + at);
}

static const uint8_t *rows_of(const block_view *b, const void *ring, const piece *p) {
    return row_at(ring, b->cache->type, (b->head * b->cache->capacity + p->slot) * b->cache->width);
}

/* All rows of keys or values that the block sees, a few at a time: those stay in the first cache over all vectors. */
static void walk(const cached_state *s, const block_view *b, const void *ring, visit *do_rows) {
    piece pieces[2];
    int piece_count = pieces_of(pieces, b->cache, b->begin, b->end);
    int64_t done = 0, together = waits_for_memory(b) ? FEW_KEYS : BLOCK_KEYS;
    for (int i = 0; i < piece_count; i++) {
        const uint8_t *rows = rows_of(b, ring, &pieces[i]);
        for (int64_t at = 0, fetched = 0, n; at < pieces[i].count; at += n, done += n) {
            n = min_i64(together, pieces[i].count - at);
            if (waits_for_memory(b)) {
                int64_t ahead = min_i64(at + n + KEYS_AHEAD, pieces[i].count);
                fetch(b, rows, fetched, ahead);
                fetched = ahead;
            }
            do_rows(s, b, done, row_at(rows, b->cache->type, at * b->cache->width), n);
        }
    }
}

/* What the next walk begins with. */
INLINE void fetch_beginning(const block_view *b, const void *ring) {
    piece pieces[2];
    pieces_of(pieces, b->cache, b->begin, b->end);
    fetch(b, rows_of(b, ring, &pieces[0]), 0, min_i64(FEW_KEYS + KEYS_AHEAD, pieces[0].count));
}

/* The keys that the row at `position` sees, counted from the block's first one. */
static range seen_by(const cached_state *s, const block_view *b, int64_t position) {
    int64_t first = s->window ? max_i64(b->begin, position + 1 - s->window) : b->begin;
    return (range){first - b->begin, position + 1 - b->begin};
}

/* Scores to probabilities, over the keys that the vector's row sees; zero for the others. */
static void soften(const op *o, const block_view *b, int64_t vector, range seen) {
    const cached_state *s = o->state;
    float *scores = b->scores + vector * b->score_step;
    memset(scores, 0, (size_t)seen.begin * sizeof *scores);
    o->owner->kernels->softmax(scores + seen.begin, seen.end - seen.begin, s->factor);
    memset(scores + seen.end, 0, (size_t)(b->score_step - seen.end) * sizeof *scores);
}

/* The same to bf16, not yet divided by their sum, which is returned: the mixture is to be. */
static float soften_bf16(const op *o, const block_view *b, int64_t vector, range seen) {
    const cached_state *s = o->state;
    uint16_t *p = b->narrow_p + vector * b->score_step;
    memset(p, 0, (size_t)seen.begin * sizeof *p);
    memset(p + seen.end, 0, (size_t)(b->score_step - seen.end) * sizeof *p);
    return s->kernel->soften_bf16(p + seen.begin, b->scores + vector * b->score_step + seen.begin,
                                  seen.end - seen.begin, s->factor);
}

static void attend(const op *o, const block_view *b, int64_t position, int64_t heads) {
    const cached_state *s = o->state;
    const kernels *k = o->owner->kernels;
    bool narrow = b->cache->type == TENSOR_BF16;
    int64_t d = s->head_width;
    float sums[BLOCK_ROWS * MOST_GROUP];
    if (narrow) k->narrow_bf16(b->narrow_q, b->q, b->vectors * d);
    walk(s, b, b->cache->keys, score);
    if (waits_for_memory(b)) fetch_beginning(b, b->cache->values);
    for (int64_t v = 0; v < b->vectors; v++) {
        range seen = seen_by(s, b, position + v / heads);
        if (narrow)
            sums[v] = soften_bf16(o, b, v, seen);
        else
            soften(o, b, v, seen);
    }
    walk(s, b, b->cache->values, mix);
    for (int64_t v = 0; narrow && v < b->vectors; v++) k->scale(b->y + v * d, b->y + v * d, 1 / sums[v], d);
}

/* Keys that a block sees at most, one more for pairs, and even: each of its rows sees one later than the row before. */
static int64_t score_step_for(int64_t most) { return (most + BLOCK_ROWS + 2) / 2 * 2; }

/* Queries, results and scores of a block's vectors, and the first and last in bf16. */
uint64_t op_cached_attention_scratch(int64_t group, int64_t head_width, int64_t most) {
    uint64_t scores = (uint64_t)score_step_for(most), values = (uint64_t)head_width;
    return (uint64_t)(BLOCK_ROWS * group) *
           ((2 * values + scores) * sizeof(float) + (values + scores) * sizeof(uint16_t));
}

typedef struct attend_call {
    op *o;
    const block *blocks;
    int64_t heads; /* of queries in a shard */
} attend_call;

static void attend_shard(void *context, int shard, int worker) {
    const attend_call *call = context;
    op *o = call->o;
    const cached_state *s = o->state;
    const kernels *k = o->owner->kernels;
    int64_t parts = s->heads / call->heads, head = shard % parts * call->heads, d = s->head_width;
    const block *bl = &call->blocks[shard / parts];
    const cached_row *rows = &s->rows[bl->row];
    tensor_type type = o->output->type;
    void *out = tensor_values(o->output);
    int64_t most = BLOCK_ROWS * s->group; /* vectors */
    float *q = op_worker_scratch(o, worker), *y = q + most * d, *scores = y + most * d;
    uint16_t *narrow_q = (uint16_t *)(scores + most * score_step_for(s->most)), *narrow_p = narrow_q + most * d;
    memset(y, 0, (size_t)(bl->count * call->heads * d) * sizeof *y);
    if (rows->layers) {
        block_view b = {.cache = &rows->layers[s->layer],
                        .begin = s->window ? max_i64(0, rows->position + 1 - s->window) / 2 * 2 : 0,
                        .end = rows->position + bl->count,
                        .head = head / s->group,
                        .vectors = bl->count * call->heads,
                        .q = q,
                        .y = y,
                        .scores = scores,
                        .narrow_q = narrow_q,
                        .narrow_p = narrow_p};
        b.score_step = (b.end - b.begin + 1) / 2 * 2;
        for (int64_t i = 0; i < bl->count; i++) {
            float *to = q + i * call->heads * d;
            int64_t offset = (bl->row + i) * s->width + head * d;
            const float *from = span_read(k, tensor_values(o->input[Q]), type, offset, call->heads * d, to);
            if (from != to) memcpy(to, from, (size_t)(call->heads * d) * sizeof *to);
        }
        attend(o, &b, rows->position, call->heads);
    }
    for (int64_t i = 0; i < bl->count; i++) {
        int64_t offset = (bl->row + i) * s->width + head * d, count = call->heads * d;
        const float *from = y + i * count;
        if (type == TENSOR_F32)
            memcpy((float *)out + offset, from, (size_t)count * sizeof *from);
        else
            k->narrow_bf16((uint16_t *)out + offset, from, count);
    }
}

static carina_status cached_prepare(op *o, carina_error *error) {
    cached_state *s = o->state;
    TRY(check_runs_only(o, error));
    s->kernel = key_rows_best();
    o->worker_bytes = op_cached_attention_scratch(s->group, s->head_width, s->most);
    o->scratch_bytes = (uint64_t)s->count * sizeof(block);
    return CARINA_OK;
}

static int64_t cut_into_blocks(block *blocks, const cached_state *s) {
    int64_t count = 0;
    for (int64_t row = 0; row < s->count; row++) {
        block *last = count ? &blocks[count - 1] : NULL;
        if (last && last->count < BLOCK_ROWS && s->rows[row].layers == s->rows[last->row].layers &&
            (!s->rows[row].layers || s->rows[row].position == s->rows[last->row].position + last->count))
            last->count++;
        else
            blocks[count++] = (block){row, 1};
    }
    return count;
}

static void cached_forward(op *o) {
    const cached_state *s = o->state;
    attend_call call = {o, op_scratch(o), s->group};
    int64_t count = cut_into_blocks(op_scratch(o), s);
    if (count * s->heads / s->group < thread_pool_count(o->owner->options.pool))
        call.heads = 1; /* too few to share out: keys are read once for each head */
    op_parallel(o, (int)(count * s->heads / call.heads), attend_shard, &call);
}

static const op_type cached_type = {"cached attention", cached_prepare, cached_forward, NULL, NULL};

tensor *op_cached_attention(graph *g, tensor *q, const cached_attention_options *options) {
    int heads = options->heads, key_heads = options->key_heads;
    if (!q) return NULL;
    int64_t width = q->size[q->rank - 1];
    if (heads < 1 || key_heads < 1 || width % heads || heads % key_heads || heads / key_heads > MOST_GROUP ||
        options->most < 1)
        return graph_fail(g, "cached attention: a width of %lld does not fit %d and %d heads", (long long)width, heads,
                          key_heads);
    op *o = graph_record(g, &cached_type, 1, &q, q->type, q->rank, q->size, sizeof(cached_state));
    if (!o) return NULL;
    *(cached_state *)o->state = (cached_state){.rows = options->rows,
                                               .layer = options->layer,
                                               .count = q->count / width,
                                               .width = width,
                                               .heads = heads,
                                               .head_width = width / heads,
                                               .group = heads / key_heads,
                                               .window = options->window,
                                               .most = options->most,
                                               .factor = options->factor};
    return o->output;
}
