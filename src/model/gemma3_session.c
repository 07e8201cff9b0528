/* Sessions and runners of Gemma 3; see gemma3_session.h. */
#include "model/gemma3_session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/large_memory.h"

#define MAX_CHUNK   4096
#define MAX_TOKENS  (1 << 24)
#define PLAN_COUNT  13   /* rows 1, 2, 4 .. 4096 */
#define ANGLE_BLOCK 1024 /* positions whose angles are computed at once: some milliseconds */

struct gemma3_session {
    gemma3_config config;
    tensor_type type;
    int64_t length, capacity, chunk;
    const low_rank_pair *adapter; /* [slots]; NULL: none */
    uint64_t adapter_fingerprint;
    void *memory; /* of all caches */
    uint64_t memory_bytes;
    bool settled; /* the system has given it */
    key_cache layers[GEMMA3_MAX_LAYERS];
    int64_t first_key[GEMMA3_MAX_LAYERS]; /* what lies before was left out, or overwritten by what is forgotten */
};

/* ---- sessions ---- */

/* Tokens that a layer keeps. A ring is even, as key_cache.h wants it. */
static int64_t kept_tokens(const gemma3_config *c, int layer, int64_t tokens, int64_t chunk) {
    int64_t ring = (c->window + chunk + 1) / 2 * 2;
    return gemma3_is_global(c, layer) || ring > tokens ? tokens : ring;
}

uint64_t gemma3_session_needs(const gemma3_config *config, tensor_type type, int64_t tokens, int64_t chunk) {
    uint64_t rows = 0, row = 2 * (uint64_t)config->key_heads * (uint64_t)config->head_width;
    for (int i = 0; i < config->layers; i++) rows += (uint64_t)kept_tokens(config, i, tokens, chunk);
    return rows * row * (type == TENSOR_BF16 ? 2 : 4);
}

/* A page is given when its first row is written. */
uint64_t gemma3_session_grows(const gemma3_session *s) {
    if (s->settled) return 0;
    uint64_t left = 0, page = large_memory_page(s->memory_bytes), heads = 2 * (uint64_t)s->config.key_heads;
    uint64_t row = (uint64_t)s->config.head_width * (s->type == TENSOR_BF16 ? 2 : 4);
    for (int i = 0; i < s->config.layers; i++) {
        int64_t kept = s->layers[i].capacity, filled = s->length < kept ? s->length : kept;
        uint64_t all = (uint64_t)kept * row, given = ((uint64_t)filled * row + page - 1) / page * page;
        if (given < all) left += heads * (all - given);
    }
    return left;
}

void gemma3_session_settle(gemma3_session *s) {
    large_memory_settle(s->memory, s->memory_bytes);
    s->settled = true;
}

/* One piece of memory for the caches of all layers. */
static carina_status make_caches(gemma3_session *s, carina_error *error) {
    const gemma3_config *c = &s->config;
    uint64_t begin[GEMMA3_MAX_LAYERS];
    for (int i = 0; i < c->layers; i++) {
        uint64_t bytes;
        TRY(key_cache_size(&bytes, s->type, kept_tokens(c, i, s->capacity, s->chunk), c->key_heads, c->head_width,
                           error));
        begin[i] = s->memory_bytes;
        s->memory_bytes += bytes;
    }
    s->memory = large_memory_take(s->memory_bytes);
    if (!s->memory) return error_memory(error, "keys and values", s->memory_bytes);
    for (int i = 0; i < c->layers; i++)
        s->layers[i] = key_cache_place(s->type, kept_tokens(c, i, s->capacity, s->chunk), c->key_heads, c->head_width,
                                       (uint8_t *)s->memory + begin[i]);
    return CARINA_OK;
}

carina_status gemma3_session_create(gemma3_session **out, const gemma3_config *config, tensor_type type, int64_t tokens,
                                    int64_t chunk, carina_error *error) {
    *out = NULL;
    if (tokens < 1 || tokens > MAX_TOKENS || chunk < 1 || chunk > MAX_CHUNK)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "a session of %lld tokens in chunks of %lld: 1 to %d and 1 to %d", (long long)tokens,
                         (long long)chunk, MAX_TOKENS, MAX_CHUNK);
    gemma3_session *s = calloc(1, sizeof *s);
    if (!s) return error_memory(error, "session", sizeof *s);
    *s = (gemma3_session){.config = *config, .type = type, .capacity = tokens, .chunk = chunk};
    carina_status status = make_caches(s, error);
    if (status == CARINA_OK)
        *out = s;
    else
        gemma3_session_free(s);
    return status;
}

void gemma3_session_free(gemma3_session *session) {
    if (!session) return;
    large_memory_give_back(session->memory, session->memory_bytes);
    free(session);
}

int64_t gemma3_session_length(const gemma3_session *session) { return session->length; }
int64_t gemma3_session_capacity(const gemma3_session *session) { return session->capacity; }

uint64_t gemma3_session_bytes(const gemma3_session *session) {
    uint64_t bytes = 0;
    for (int i = 0; i < session->config.layers; i++) bytes += key_cache_bytes(&session->layers[i]);
    return bytes;
}

gemma3_session_parts gemma3_session_open(gemma3_session *s) {
    return (gemma3_session_parts){&s->config, s->type, s->capacity, s->chunk, s->layers};
}

void gemma3_session_resume(gemma3_session *session, int64_t length, int64_t first_key) {
    assert(length >= 0 && length <= session->capacity);
    session->length = length;
    for (int i = 0; i < session->config.layers; i++)
        session->first_key[i] = gemma3_is_global(&session->config, i) ? 0 : first_key;
}

carina_status gemma3_session_copy(gemma3_session **out, const gemma3_session *session, carina_error *error) {
    TRY(gemma3_session_create(out, &session->config, session->type, session->capacity, session->chunk, error));
    for (int i = 0; i < session->config.layers; i++) key_cache_copy(&(*out)->layers[i], &session->layers[i]);
    (*out)->length = session->length;
    memcpy((*out)->first_key, session->first_key, sizeof session->first_key);
    (*out)->adapter = session->adapter;
    (*out)->adapter_fingerprint = session->adapter_fingerprint;
    return CARINA_OK;
}

carina_status gemma3_session_adapt(gemma3_session *session, const lora *adapter, carina_error *error) {
    if (adapter) TRY(lora_check(adapter, &session->config, error));
    session->adapter = adapter ? adapter->pairs : NULL;
    session->adapter_fingerprint = lora_fingerprint(adapter);
    return CARINA_OK;
}

uint64_t gemma3_session_adapter(const gemma3_session *session) { return session->adapter_fingerprint; }

/* The first position that the token at `position` looks at in a layer. */
static int64_t first_seen(const gemma3_config *c, int layer, int64_t position) {
    return gemma3_is_global(c, layer) || position < c->window ? 0 : position + 1 - c->window;
}

/* The first position of which a layer has keys: what lies a ring's length behind the end is gone. */
static int64_t first_kept(const gemma3_session *s, int layer) {
    int64_t in_ring = s->length - s->layers[layer].capacity;
    return in_ring > s->first_key[layer] ? in_ring : s->first_key[layer];
}

int64_t gemma3_session_first_key(const gemma3_session *session) {
    int64_t first = 0;
    for (int i = 0; i < session->config.layers; i++) {
        bool in_ring = session->first_key[i] > session->length - session->layers[i].capacity;
        if (in_ring && session->first_key[i] > first) first = session->first_key[i];
    }
    return first;
}

bool gemma3_session_can_rewind(const gemma3_session *session, int64_t length) {
    if (length < 0 || length > session->length) return false;
    for (int i = 0; length > 0 && i < session->config.layers; i++)
        if (first_kept(session, i) > first_seen(&session->config, i, length)) return false;
    return true;
}

bool gemma3_session_is_whole(const gemma3_session *session) {
    return gemma3_session_can_rewind(session, session->length);
}

bool gemma3_session_rewind(gemma3_session *session, int64_t length) {
    if (!gemma3_session_can_rewind(session, length)) return false;
    for (int i = 0; i < session->config.layers; i++) session->first_key[i] = length ? first_kept(session, i) : 0;
    session->length = length;
    return true;
}

/* ---- plans ---- */

/* The body for a number of rows. */
typedef struct body_plan {
    graph *g;
    tensor *ids, *vectors, *local, *global, *out;
    int stored[GEMMA3_MAX_LAYERS]; /* the graph up to where each layer's keys are stored */
} body_plan;

/* The last layer and the head, for a number of rows whose logits are wanted. */
typedef struct head_plan {
    graph *g;
    tensor *x, *positions, *logits;
} head_plan;

/* What a plan's rows are: every graph of its kind reads it. */
typedef struct plan_rows {
    cached_row *rows;               /* [rows of the largest plan] */
    const low_rank_pair **adapters; /* likewise, read by the graphs with adapters */
} plan_rows;

struct gemma3_runner {
    const gemma3 *model;
    gemma3_runner_options options;
    uint64_t layer_rows;   /* gemma3_runner_layer_rows */
    graph_scratch scratch; /* of all plans: one runs at a time */
    plan_rows body_rows, head_rows;
    /* Rotary tables by blocks of positions, each [2, positions of the block, d], local and global; NULL: no row has
     * come so far. A large context costs what is used of it. */
    float **angles;
    int64_t angle_blocks;
    body_plan bodies[2][PLAN_COUNT]; /* without and with adapters */
    head_plan heads[2][PLAN_COUNT];
};

static bool create_rows(plan_rows *out, int64_t count) {
    out->rows = calloc((size_t)count, sizeof *out->rows);
    out->adapters = calloc((size_t)count, sizeof *out->adapters);
    return out->rows && out->adapters;
}

static void free_rows(plan_rows *rows) {
    free(rows->rows);
    free(rows->adapters);
}

/* Rows from `count` on only fill a plan. */
static void end_rows(plan_rows *rows, int64_t count, int64_t planned) {
    for (int64_t i = count; i < planned; i++) {
        rows->rows[i] = (cached_row){0};
        rows->adapters[i] = NULL;
    }
}

static int plan_for(int64_t rows) {
    int plan = 0;
    while ((int64_t)1 << plan < rows) plan++;
    return plan;
}

/* ---- angles ---- */

/* Positions in a block: the last one is cut short. */
static int64_t block_positions(const gemma3_runner *r, int64_t block) {
    int64_t left = r->options.tokens - block * ANGLE_BLOCK;
    return left < ANGLE_BLOCK ? left : ANGLE_BLOCK;
}

static uint64_t block_bytes(const gemma3_runner *r, int64_t block) {
    return 2 * (uint64_t)block_positions(r, block) * (uint64_t)r->model->config.head_width * sizeof(float);
}

static carina_status need_angles(gemma3_runner *r, int64_t position, carina_error *error) {
    const gemma3_config *c = &r->model->config;
    int64_t block = position / ANGLE_BLOCK, count = block_positions(r, block);
    if (r->angles[block]) return CARINA_OK;
    float *made = malloc((size_t)block_bytes(r, block));
    if (!made) return error_memory(error, "runner", block_bytes(r, block));
    for (int i = 0; i < 2; i++)
        gemma3_rotary_table(made + i * count * c->head_width, c, i == 1, block * ANGLE_BLOCK, count);
    r->angles[block] = made;
    return CARINA_OK;
}

/* [d] of a position whose block is there. */
static const float *angles_of(const gemma3_runner *r, bool global, int64_t position) {
    int64_t block = position / ANGLE_BLOCK;
    int64_t row = position % ANGLE_BLOCK + (global ? block_positions(r, block) : 0);
    return r->angles[block] + row * r->model->config.head_width;
}

uint64_t gemma3_runner_needs(const gemma3_config *c, const gemma3_runner_options *options) {
    uint64_t angles = 2 * (uint64_t)options->tokens * (uint64_t)c->head_width * sizeof(float);
    return angles + (uint64_t)thread_pool_count(options->pool) *
                        op_cached_attention_scratch(c->heads / c->key_heads, c->head_width, options->tokens);
}

uint64_t gemma3_runner_layer_rows(const gemma3_runner *r) { return r->layer_rows; }

uint64_t gemma3_runner_grows(const gemma3_runner *r) {
    uint64_t bytes = gemma3_runner_needs(&r->model->config, &r->options);
    for (int64_t i = 0; i < r->angle_blocks; i++) bytes -= r->angles[i] ? block_bytes(r, i) : 0;
    return bytes;
}

/* ---- making ---- */

carina_status gemma3_runner_create(gemma3_runner **out, const gemma3 *model, const gemma3_runner_options *options,
                                   carina_error *error) {
    *out = NULL;
    if (options->chunk < 1 || options->chunk > MAX_CHUNK)
        return error_set(error, CARINA_ERROR_ARGUMENT, "chunks of %lld tokens: 1 to %d are possible",
                         (long long)options->chunk, MAX_CHUNK);
    if (options->tokens < 1 || options->tokens > MAX_TOKENS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "sessions of %lld tokens: 1 to %d are possible",
                         (long long)options->tokens, MAX_TOKENS);
    gemma3_runner *r = calloc(1, sizeof *r);
    if (!r) return error_memory(error, "runner", sizeof *r);
    r->model = model;
    r->options = *options;
    bool made = create_rows(&r->body_rows, (int64_t)1 << plan_for(options->chunk)) &&
                create_rows(&r->head_rows, (int64_t)1 << plan_for(options->chunk));
    r->angle_blocks = (options->tokens + ANGLE_BLOCK - 1) / ANGLE_BLOCK;
    r->angles = calloc((size_t)r->angle_blocks, sizeof *r->angles);
    if (!made || !r->angles) {
        gemma3_runner_free(r);
        return error_memory(error, "runner", (uint64_t)options->chunk * sizeof *r->body_rows.rows);
    }
    *out = r;
    return CARINA_OK;
}

void gemma3_runner_free(gemma3_runner *r) {
    if (!r) return;
    for (int i = 0; i < PLAN_COUNT; i++) {
        for (int adapted = 0; adapted < 2; adapted++) {
            graph_free(r->bodies[adapted][i].g);
            graph_free(r->heads[adapted][i].g);
        }
    }
    graph_scratch_free(&r->scratch);
    free_rows(&r->body_rows);
    free_rows(&r->head_rows);
    for (int64_t i = 0; r->angles && i < r->angle_blocks; i++) free(r->angles[i]);
    free(r->angles);
    free(r);
}

static gemma3_past past_of(const gemma3_runner *r, const plan_rows *rows, tensor *local, tensor *global, bool adapted) {
    return (gemma3_past){local, global, rows->rows, r->options.tokens, adapted ? rows->adapters : NULL, NULL};
}

static carina_status make_body(gemma3_runner *r, bool adapted, int plan, carina_error *error) {
    body_plan *b = &r->bodies[adapted][plan];
    const gemma3_config *c = &r->model->config;
    const graph_options options = {.pool = r->options.pool, .type = r->options.type, .scratch = &r->scratch};
    int64_t size[3] = {1, (int64_t)1 << plan, c->width}, table[2] = {size[1], c->head_width};
    if (b->g) return CARINA_OK;
    TRY(graph_create(&b->g, &options, error));
    b->ids = graph_input(b->g, "ids", 2, size);
    b->vectors = graph_input(b->g, "vectors", 3, size);
    b->local = graph_input(b->g, "local positions", 2, table);
    b->global = graph_input(b->g, "global positions", 2, table);
    gemma3_past past = past_of(r, &r->body_rows, b->local, b->global, adapted);
    past.stored = b->stored;
    b->out = op_cast(b->g, gemma3_record_body(b->g, r->model, b->ids, b->vectors, &past), TENSOR_F32);
    if (b->out) graph_output(b->g, b->out);
    return graph_plan(b->g, error);
}

static carina_status make_head(gemma3_runner *r, bool adapted, int plan, carina_error *error) {
    head_plan *h = &r->heads[adapted][plan];
    const gemma3_config *c = &r->model->config;
    const graph_options options = {.pool = r->options.pool, .type = r->options.type, .scratch = &r->scratch};
    int64_t size[3] = {1, (int64_t)1 << plan, c->width}, table[2] = {size[1], c->head_width};
    if (h->g) return CARINA_OK;
    TRY(graph_create(&h->g, &options, error));
    h->x = graph_input(h->g, "x", 3, size);
    h->positions = graph_input(h->g, "positions", 2, table);
    const gemma3_past past = past_of(r, &r->head_rows, h->positions, h->positions, adapted);
    h->logits = gemma3_record_logits(h->g, r->model, gemma3_record_last_layer(h->g, r->model, h->x, &past));
    if (h->logits) graph_output(h->g, h->logits);
    return graph_plan(h->g, error);
}

/* A plan that could not be made is no plan. */
static carina_status ready(gemma3_runner *r, bool adapted, int body, int head, carina_error *error) {
    carina_status status = make_body(r, adapted, body, error);
    if (status != CARINA_OK) {
        graph_free(r->bodies[adapted][body].g);
        r->bodies[adapted][body] = (body_plan){0};
        return status;
    }
    status = make_head(r, adapted, head, error);
    if (status == CARINA_OK) return CARINA_OK;
    graph_free(r->heads[adapted][head].g);
    r->heads[adapted][head] = (head_plan){0};
    return status;
}

/* ---- a step ---- */

static bool same_shape(const gemma3_config *a, const gemma3_config *b) {
    return a->layers == b->layers && a->key_heads == b->key_heads && a->head_width == b->head_width &&
           a->window == b->window && a->global_every == b->global_every;
}

/* The last layer that has to store a row's keys: what somebody asks for is in the ring when all that follows has come,
 * or in the window of a token that stores keys in the layer above. */
static int depth_of(const gemma3_row *row, int64_t position) {
    const gemma3_session *s = row->session;
    int layer = s->config.layers - 1;
    int64_t oldest = position + 1 + row->more - s->layers[layer].capacity;
    if (row->wants_logits) return layer;
    for (; position < oldest && !gemma3_is_global(&s->config, layer) && layer > 0; layer--)
        oldest -= s->config.window - 1;
    return layer;
}

/* Whether the layers that it goes through have what it asks for. */
static bool has_keys(const gemma3_row *row, int64_t position, const int64_t *first_key) {
    const gemma3_config *c = &row->session->config;
    int asked = depth_of(row, position) + row->wants_logits;
    for (int i = 0; i < asked; i++)
        if (first_key[i] > first_seen(c, i, position)) return false;
    return true;
}

static void leave_out(int64_t *first_key, const gemma3_row *row, int64_t position) {
    for (int i = depth_of(row, position) + 1; i < row->session->config.layers; i++) first_key[i] = position + 1;
}

/* first_key: the session's, and what earlier rows of the step leave out. */
static carina_status check_row(const gemma3_runner *r, const gemma3_row *row, int64_t position, int64_t in_run,
                               const int64_t *first_key, carina_error *error) {
    const gemma3_session *s = row->session;
    if (!same_shape(&s->config, &r->model->config))
        return error_set(error, CARINA_ERROR_MISMATCH, "the session was made for another model");
    if (!row->vector && (row->id < 0 || row->id >= r->model->config.vocabulary))
        return error_set(error, CARINA_ERROR_ARGUMENT, "token %lld is not within 0 to %d", (long long)row->id,
                         r->model->config.vocabulary - 1);
    if (position >= s->capacity || position >= r->options.tokens)
        return error_set(
            error, CARINA_ERROR_ARGUMENT,
            "the context is full: %lld tokens are all it has room for; make it larger or shorten the prompt",
            (long long)(s->capacity < r->options.tokens ? s->capacity : r->options.tokens));
    if (row->more < 0 || row->more >= s->capacity - position)
        return error_set(error, CARINA_ERROR_ARGUMENT, "row %lld: %lld more rows than it are not within 0 to %lld",
                         (long long)position, (long long)row->more, (long long)(s->capacity - position - 1));
    if (!has_keys(row, position, first_key))
        return error_set(error, CARINA_ERROR_ARGUMENT, "row %lld: what was to follow on earlier rows is not what comes",
                         (long long)position);
    if (in_run > s->chunk)
        return error_set(error, CARINA_ERROR_ARGUMENT, "more than %lld tokens of one session at once",
                         (long long)s->chunk);
    return CARINA_OK;
}

/* Where each row belongs: its session's next places, in order. */
static carina_status place_rows(gemma3_runner *r, const gemma3_row *rows, int64_t count, carina_error *error) {
    int64_t in_run = 0, first_key[GEMMA3_MAX_LAYERS];
    for (int64_t i = 0; i < count; i++) {
        in_run = i && rows[i].session == rows[i - 1].session ? in_run + 1 : 1;
        for (int64_t k = 0; in_run == 1 && k < i; k++)
            if (rows[k].session == rows[i].session)
                return error_set(error, CARINA_ERROR_ARGUMENT, "rows of one session do not stand together");
        int64_t position = rows[i].session->length + in_run - 1;
        if (in_run == 1) memcpy(first_key, rows[i].session->first_key, sizeof first_key);
        TRY(check_row(r, &rows[i], position, in_run, first_key, error));
        leave_out(first_key, &rows[i], position);
        TRY(need_angles(r, position, error));
        r->body_rows.rows[i] = (cached_row){rows[i].session->layers, position};
        r->body_rows.adapters[i] = rows[i].session->adapter;
    }
    return CARINA_OK;
}

static void fill_body(const gemma3_runner *r, const body_plan *b, const gemma3_row *rows, int64_t count) {
    const gemma3_config *c = &r->model->config;
    int64_t planned = tensor_size(b->ids, 1);
    size_t angle_bytes = (size_t)c->head_width * sizeof(float), vector_bytes = (size_t)c->width * sizeof(float);
    for (int64_t i = 0; i < planned; i++) {
        bool used = i < count;
        int64_t position = r->body_rows.rows[used ? i : 0].position; /* of nobody's rows any will do */
        float *vector = tensor_data(b->vectors) + i * c->width;
        tensor_data(b->ids)[i] = used && !rows[i].vector ? (float)rows[i].id : -1;
        memcpy(tensor_data(b->local) + i * c->head_width, angles_of(r, false, position), angle_bytes);
        memcpy(tensor_data(b->global) + i * c->head_width, angles_of(r, true, position), angle_bytes);
        if (used && rows[i].vector)
            memcpy(vector, rows[i].vector, vector_bytes);
        else
            memset(vector, 0, vector_bytes);
    }
}

static bool any_adapter(const gemma3_row *rows, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (rows[i].session->adapter) return true;
    return false;
}

static int64_t wanted_count(const gemma3_row *rows, int64_t count) {
    int64_t wanted = 0;
    for (int64_t i = 0; i < count; i++) wanted += rows[i].wants_logits;
    return wanted;
}

static const float *run_head(gemma3_runner *r, const body_plan *b, const head_plan *h, const gemma3_row *rows,
                             int64_t count) {
    const gemma3_config *c = &r->model->config;
    int64_t next = 0, planned = tensor_size(h->x, 1);
    size_t angle_bytes = (size_t)c->head_width * sizeof(float), row_bytes = (size_t)c->width * sizeof(float);
    bool global = gemma3_is_global(c, c->layers - 1);
    for (int64_t i = 0; i < count; i++) {
        if (!rows[i].wants_logits) continue;
        r->head_rows.rows[next] = r->body_rows.rows[i];
        r->head_rows.adapters[next] = r->body_rows.adapters[i];
        memcpy(tensor_data(h->x) + next * c->width, tensor_data(b->out) + i * c->width, row_bytes);
        memcpy(tensor_data(h->positions) + next * c->head_width, angles_of(r, global, r->body_rows.rows[i].position),
               angle_bytes);
        next++;
    }
    end_rows(&r->head_rows, next, planned);
    memset(tensor_data(h->x) + next * c->width, 0, (size_t)(planned - next) * row_bytes);
    memset(tensor_data(h->positions) + next * c->head_width, 0, (size_t)(planned - next) * angle_bytes);
    graph_set_rows(h->g, next);
    graph_forward(h->g);
    return tensor_data(h->logits);
}

/* Up to where the body has to go for these rows, which have their places. */
static int depth_of_all(const gemma3_runner *r, const gemma3_row *rows, int64_t count) {
    int deepest = 0;
    for (int64_t i = 0; i < count; i++) {
        int depth = depth_of(&rows[i], r->body_rows.rows[i].position);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

static void grow(const gemma3_row *row) {
    gemma3_session *s = row->session;
    leave_out(s->first_key, row, s->length++);
}

carina_status gemma3_runner_step(gemma3_runner *r, const gemma3_row *rows, int64_t count, const float **logits,
                                 carina_error *error) {
    int64_t wanted = wanted_count(rows, count);
    int body = plan_for(count), head = plan_for(wanted);
    *logits = NULL;
    if (count < 1 || count > r->options.chunk)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%lld rows in a step: 1 to %lld are possible", (long long)count,
                         (long long)r->options.chunk);
    TRY(place_rows(r, rows, count, error));
    bool adapted = any_adapter(rows, count);
    TRY(ready(r, adapted, body, head, error));
    const body_plan *b = &r->bodies[adapted][body];
    end_rows(&r->body_rows, count, (int64_t)1 << body);
    fill_body(r, b, rows, count);
    int depth = depth_of_all(r, rows, count);
    graph_set_rows(b->g, count);
    graph_set_end(b->g, wanted ? 0 : b->stored[depth]);
    graph_forward(b->g);
    r->layer_rows += (uint64_t)count * (uint64_t)depth;
    for (int64_t i = 0; i < count; i++) grow(&rows[i]);
    if (wanted) *logits = run_head(r, b, &r->heads[adapted][head], rows, count);
    return CARINA_OK;
}
