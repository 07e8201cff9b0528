/* Attention of new tokens over all that their sequences have seen: op_attention's causal form for a decoder that runs
 * token by token. The rows of a run may belong to different sequences; first every row's key and value are stored, then
 * every row looks back over its own sequence alone. A row is computed by itself, in the order of positions, so its
 * result depends neither on the other rows nor on threads. No gradient: training runs whole sequences. */
#include <math.h>
#include <string.h>

#include "tensor/ops.h"
#include "tensor/span.h"

enum { Q, K, V };

typedef struct cached_state {
    const cached_row *rows;
    int layer;
    int64_t count, width, heads, head_width, group; /* R, D, H, d, H / key heads */
    int64_t window, most;                           /* keys that a row may see at most */
    float factor;
} cached_state;

static const void *row_at(const void *values, tensor_type type, int64_t offset) {
    return (const uint8_t *)values + (size_t)offset * type_bytes(type);
}

/* One row of `width` values from x into the cache, whichever types they have. */
static void store(const kernels *k, const key_cache *c, void *to, int64_t slot, const tensor *x, int64_t row) {
    void *target = (uint8_t *)to + (size_t)(slot * c->width) * type_bytes(c->type);
    const void *from = row_at(tensor_values(x), x->type, row * c->width);
    if (x->type == c->type)
        memcpy(target, from, (size_t)c->width * type_bytes(c->type));
    else if (c->type == TENSOR_BF16)
        k->narrow_bf16(target, from, c->width);
    else
        k->widen_bf16(target, from, c->width);
}

static void store_shard(void *context, int shard, int worker) {
    (void)worker;
    op *o = context;
    const cached_state *s = o->state;
    const cached_row *row = &s->rows[shard];
    if (!row->layers) return;
    const key_cache *c = &row->layers[s->layer];
    int64_t slot = row->position % c->capacity;
    store(o->owner->kernels, c, c->keys, slot, o->input[K], shard);
    store(o->owner->kernels, c, c->values, slot, o->input[V], shard);
}

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

/* One head of one row. scores: [most]. */
static void attend(const op *o, const key_cache *c, const float *q, int64_t head, int64_t position, float *scores,
                   float *y) {
    const cached_state *s = o->state;
    const kernels *k = o->owner->kernels;
    int64_t begin = s->window ? max_i64(0, position + 1 - s->window) : 0, count = position + 1 - begin, done = 0;
    int64_t column = head / s->group * s->head_width;
    piece pieces[2];
    int piece_count = pieces_of(pieces, c, begin, position + 1);
    for (int i = 0; i < piece_count; i++) {
        const void *keys = row_at(c->keys, c->type, pieces[i].slot * c->width + column);
        (c->type == TENSOR_F32 ? k->row_scores : k->row_scores_bf16)(scores + done, q, keys, c->width, pieces[i].count,
                                                                     s->head_width);
        done += pieces[i].count;
    }
    k->softmax(scores, count, s->factor);
    memset(y, 0, (size_t)s->head_width * sizeof *y);
    done = 0;
    for (int i = 0; i < piece_count; i++) {
        const void *values = row_at(c->values, c->type, pieces[i].slot * c->width + column);
        (c->type == TENSOR_F32 ? k->row_mix : k->row_mix_bf16)(y, scores + done, values, c->width, pieces[i].count,
                                                               s->head_width);
        done += pieces[i].count;
    }
}

static void attend_shard(void *context, int shard, int worker) {
    op *o = context;
    const cached_state *s = o->state;
    const kernels *k = o->owner->kernels;
    int64_t row = shard / s->heads, head = shard % s->heads, offset = row * s->width + head * s->head_width;
    tensor_type type = o->output->type;
    float *q_buffer = op_worker_scratch(o, worker), *y_buffer = q_buffer + s->head_width;
    float *scores = y_buffer + s->head_width;
    float *y = span_target(tensor_values(o->output), type, offset, y_buffer);
    const cached_row *r = &s->rows[row];
    if (r->layers)
        attend(o, &r->layers[s->layer], span_read(k, tensor_values(o->input[Q]), type, offset, s->head_width, q_buffer),
               head, r->position, scores, y);
    else
        memset(y, 0, (size_t)s->head_width * sizeof *y);
    span_flush(k, tensor_values(o->output), type, offset, s->head_width, y);
}

static carina_status cached_prepare(op *o, carina_error *error) {
    const cached_state *s = o->state;
    if (o->backward_active)
        return error_set(error, CARINA_ERROR_ARGUMENT, "cached attention has no gradient; train on whole sequences");
    o->worker_bytes = (uint64_t)(2 * s->head_width + s->most) * sizeof(float);
    return CARINA_OK;
}

static void cached_forward(op *o) {
    const cached_state *s = o->state;
    op_parallel(o, (int)s->count, store_shard, o);
    op_parallel(o, (int)(s->count * s->heads), attend_shard, o);
}

static const op_type cached_type = {"cached attention", cached_prepare, cached_forward, NULL, NULL};

tensor *op_cached_attention(graph *g, tensor *q, tensor *k, tensor *v, const cached_attention_options *options) {
    int heads = options->heads, key_heads = options->key_heads;
    if (!q || !k || !v) return NULL;
    int64_t width = q->size[q->rank - 1], rows = q->count / width;
    if (heads < 1 || key_heads < 1 || width % heads || heads % key_heads || k->type != q->type || v->type != q->type ||
        k->count != rows * (width / heads) * key_heads || v->count != k->count || options->most < 1)
        return graph_fail(g, "cached attention: shapes or types of q, k and v do not fit %d and %d heads", heads,
                          key_heads);
    op *o = graph_record(g, &cached_type, 3, (tensor *[]){q, k, v}, q->type, q->rank, q->size, sizeof(cached_state));
    if (!o) return NULL;
    *(cached_state *)o->state = (cached_state){.rows = options->rows,
                                               .layer = options->layer,
                                               .count = rows,
                                               .width = width,
                                               .heads = heads,
                                               .head_width = width / heads,
                                               .group = heads / key_heads,
                                               .window = options->window,
                                               .most = options->most,
                                               .factor = options->factor};
    return o->output;
}
