/* Sequences on one runner: places, sessions, steps; see generate.h. */
#include "pipeline/generate.h"

#include <stdlib.h>

#include "base/memory_speed.h"
#include "base/progress.h"
#include "pipeline/generate_sequence.h"
#include "pipeline/prefix_cache.h"

/* A beginning that is shared with a running sequence costs a copy of its session: fewer rows are not worth it. */
#define SHARE_LEAST 8
/* Rows up to here are computed at once, whatever they are filled up to. */
#define SMALL_STEP    16
#define MEMORY_SPARED (256ull << 20)

struct generator {
    language_model *model;
    generator_options options;
    gemma3_runner *runner;
    prefix_cache *cache;
    gemma3_row *rows; /* [chunk] of a step */
    int64_t order;
    generate_sequence sequences[GENERATE_MAX_SEQUENCES];
};

generator_options generator_defaults(void) {
    return (generator_options){.context = 4096, .chunk = 512, .sequences = 8, .kept = 4};
}

generate_request generate_request_defaults(void) {
    return (generate_request){.sampler = sampler_defaults(), .max_tokens = 256, .keep = -1};
}

const char *generate_end_name(generate_end end) {
    static const char *const names[] = {"running", "end", "stop", "max_tokens", "context", "cancelled", "failed"};
    return names[end];
}

carina_status generate_encode(bpe_encoder *encoder, const char *text, uint64_t size, bool special, generate_row **rows,
                              int64_t *count, carina_error *error) {
    const int32_t *ids;
    uint64_t id_count;
    *rows = NULL;
    *count = 0;
    TRY(bpe_encode(encoder, text, size, special, &ids, &id_count, error));
    generate_row *made = malloc((size_t)(id_count + 1) * sizeof *made);
    if (!made) return error_memory(error, "a prompt", id_count * sizeof *made);
    for (uint64_t i = 0; i < id_count; i++) made[i] = (generate_row){.id = ids[i]};
    *rows = made;
    *count = (int64_t)id_count;
    return CARINA_OK;
}

/* ---- making ---- */

static carina_status check(const generator_options *o, carina_error *error) {
    if (o->sequences < 1 || o->sequences > GENERATE_MAX_SEQUENCES)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%d sequences at once: 1 to %d are possible", o->sequences,
                         GENERATE_MAX_SEQUENCES);
    if (o->context < 2 || o->context > 1 << 24)
        return error_set(error, CARINA_ERROR_ARGUMENT, "a context of %lld tokens: 2 to %d are possible",
                         (long long)o->context, 1 << 24);
    if (o->chunk <= o->sequences || o->chunk > 4096)
        return error_set(error, CARINA_ERROR_ARGUMENT, "steps of %lld rows: %d to 4096 are possible",
                         (long long)o->chunk, o->sequences + 1);
    return CARINA_OK;
}

static tensor_type key_type(const generator *g) { return g->model->packed ? TENSOR_BF16 : TENSOR_F32; }

/* What one more session makes this program grow by until all contexts are full: its keys and values, those of the
 * sessions that run and are not filled yet, the texts, and what the runner takes for the longest. */
static uint64_t memory_wanted(const generator *g) {
    const generator_options *o = &g->options;
    uint64_t text = (uint64_t)o->context * (sizeof(generate_row) + sizeof(uint64_t)), running = 0;
    for (int i = 0; i < o->sequences; i++)
        if (g->sequences[i].session) running += gemma3_session_grows(g->sequences[i].session);
    return MEMORY_SPARED + gemma3_runner_grows(g->runner) + running + (uint64_t)o->sequences * text +
           gemma3_session_needs(&g->model->model->config, key_type(g), o->context, o->chunk);
}

static bool has_memory(const generator *g) {
    uint64_t available = memory_available();
    return !available || memory_wanted(g) <= available;
}

/* Kept sessions give way. */
static carina_status make_memory(generator *g, carina_error *error) {
    if (has_memory(g)) return CARINA_OK;
    prefix_cache_clear(g->cache);
    if (has_memory(g)) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MEMORY,
                     "a context of %lld tokens wants %.1f GB, %.1f GB are available; choose a smaller one",
                     (long long)g->options.context, 1e-9 * (double)memory_wanted(g), 1e-9 * (double)memory_available());
}

carina_status generator_create(generator **out, language_model *model, const generator_options *options,
                               carina_error *error) {
    const gemma3_runner_options running = {
        .pool = options->pool, .type = TENSOR_F32, .chunk = options->chunk, .tokens = options->context};
    *out = NULL;
    TRY(check(options, error));
    generator *g = calloc(1, sizeof *g);
    if (!g) return error_memory(error, "a generator", sizeof *g);
    g->model = model;
    g->options = *options;
    g->rows = calloc((size_t)options->chunk, sizeof *g->rows);
    carina_status status = g->rows ? prefix_cache_create(&g->cache, options->kept, error)
                                   : error_memory(error, "a generator", (uint64_t)options->chunk * sizeof *g->rows);
    if (status == CARINA_OK) status = gemma3_runner_create(&g->runner, model->model, &running, error);
    if (status == CARINA_OK) status = make_memory(g, error);
    if (status == CARINA_OK)
        *out = g;
    else
        generator_free(g);
    return status;
}

void generator_free(generator *g) {
    if (!g) return;
    for (int i = 0; i < g->options.sequences; i++) generate_sequence_free(&g->sequences[i]);
    prefix_cache_free(g->cache);
    gemma3_runner_free(g->runner);
    free(g->rows);
    free(g);
}

/* ---- sequences come and go ---- */

carina_status generator_start(generator *g, const generate_request *request, int *sequence, carina_error *error) {
    int place = 0;
    *sequence = -1;
    while (place < g->options.sequences && g->sequences[place].used) place++;
    if (place == g->options.sequences) return error_set(error, CARINA_ERROR_LIMIT, "%d sequences run already", place);
    TRY(generate_sequence_make(&g->sequences[place], g->model, request, g->options.context, error));
    g->sequences[place].order = g->order++;
    *sequence = place;
    return CARINA_OK;
}

/* What an ended sequence has seen is kept; a model that failed has nothing worth it, nor has a long prompt that was
 * cancelled before its end. */
static void keep(generator *g, generate_sequence *s) {
    if (!s->session || generate_sequence_runs(s)) return;
    if (s->result.end == GENERATE_FAILED || !gemma3_session_is_whole(s->session))
        gemma3_session_free(s->session);
    else
        prefix_cache_put(g->cache, s->session, s->keys);
    s->session = NULL;
}

void generator_cancel(generator *g, int sequence) {
    generate_sequence_end(&g->sequences[sequence], GENERATE_CANCELLED);
    keep(g, &g->sequences[sequence]);
}

const generate_result *generator_result(const generator *g, int sequence) { return &g->sequences[sequence].result; }

void generator_release(generator *g, int sequence) {
    generator_cancel(g, sequence);
    generate_sequence_free(&g->sequences[sequence]);
}

/* ---- sessions ---- */

static carina_status new_session(generator *g, gemma3_session **out, carina_error *error) {
    TRY(make_memory(g, error));
    return gemma3_session_create(out, &g->model->model->config, key_type(g), g->options.context, g->options.chunk,
                                 error);
}

/* Its rows are promised to each other (gemma3_row.more): until all are there, the session can't be copied. */
static bool is_reading_whole(const generate_sequence *s) { return s->reads_whole && s->fed + 1 < s->count; }

/* The sequence before this one that has, or will have, the longest beginning in common with it, if that is worth more
 * than *best rows. One that only comes to it is not further than a chunk behind it when it is there, so that it can be
 * gone back to; one that reads as a whole has to be read to its end first. */
static const generate_sequence *find_sharer(const generator *g, const generate_sequence *s, int64_t *best) {
    const generate_sequence *found = NULL;
    for (int i = 0; i < g->options.sequences; i++) {
        const generate_sequence *o = &g->sequences[i];
        if (!generate_sequence_runs(o) || o->order >= s->order) continue;
        if (lora_fingerprint(o->adapter) != lora_fingerprint(s->adapter)) continue;
        int64_t common = prefix_common(o->keys, o->count, s->keys, s->count, s->count - 1);
        if (common < *best + SHARE_LEAST) continue;
        if (is_reading_whole(o) ? common + g->options.chunk < o->count
                                : o->fed >= common && !gemma3_session_can_rewind(o->session, common))
            continue;
        *best = common;
        found = o;
    }
    return found;
}

/* Whether a prompt that nobody waits for is so long that the last layers' oldest keys are for nobody (gemma3_row.more).
 * Not behind a beginning that is known: cancelled before its end, it would be lost with the rest. */
static bool may_read_whole(const generator *g, const generate_sequence *s) {
    int running = 0;
    for (int i = 0; i < g->options.sequences; i++) running += generate_sequence_runs(&g->sequences[i]);
    return running == 1 && s->fed == 0 && s->count > g->model->model->config.window + g->options.chunk;
}

/* A session for a sequence that has none, with as much of its beginning as is known. It stays without one while another
 * sequence reads what it begins with. Where there is no memory for a copy, what it begins with is read again. */
static carina_status begin(generator *g, generate_sequence *s, carina_error *error) {
    int entry;
    int64_t known = prefix_cache_find(g->cache, lora_fingerprint(s->adapter), s->keys, s->count, s->count - 1, &entry);
    const generate_sequence *sharer = find_sharer(g, s, &known);
    if (sharer && (sharer->fed < known || is_reading_whole(sharer))) return CARINA_OK;
    bool copies = sharer || (known > 0 && prefix_cache_copies(g->cache, entry, known));
    if (copies && !has_memory(g)) {
        sharer = NULL;
        known = 0;
    }
    if (sharer) {
        TRY(gemma3_session_copy(&s->session, sharer->session, error));
        gemma3_session_rewind(s->session, known);
    } else if (known > 0) {
        TRY(prefix_cache_take(g->cache, entry, known, &s->session, error));
    } else {
        TRY(new_session(g, &s->session, error));
    }
    TRY(gemma3_session_adapt(s->session, s->adapter, error));
    s->fed = known;
    s->reads_whole = may_read_whole(g, s);
    if (s->result.tokens == 0) s->result.reused = known;
    return CARINA_OK;
}

/* ---- a step ---- */

/* Which sequences go on, and by how many rows. */
typedef struct step_plan {
    generate_sequence *sequences[GENERATE_MAX_SEQUENCES];
    int64_t rows[GENERATE_MAX_SEQUENCES];
    int count;
    int64_t total;
} step_plan;

static void add(step_plan *p, generate_sequence *s, int64_t rows) {
    if (rows < 1) return;
    p->sequences[p->count] = s;
    p->rows[p->count++] = rows;
    p->total += rows;
}

static bool any_session(const generator *g) {
    for (int i = 0; i < g->options.sequences; i++)
        if (generate_sequence_runs(&g->sequences[i]) && g->sequences[i].session) return true;
    return false;
}

/* Those that run, in the order of their joining; those that can begin have begun. For memory one waits until those that
 * have a session have ended. */
static int line_up(generator *g, generate_sequence *out[GENERATE_MAX_SEQUENCES]) {
    int count = 0;
    for (int i = 0; i < g->options.sequences; i++) {
        generate_sequence *s = &g->sequences[i];
        if (!generate_sequence_runs(s)) continue;
        int at = count++;
        for (; at > 0 && out[at - 1]->order > s->order; at--) out[at] = out[at - 1];
        out[at] = s;
    }
    for (int i = 0; i < count; i++) {
        carina_error error = {0};
        carina_status status = out[i]->session ? CARINA_OK : begin(g, out[i], &error);
        if (status == CARINA_OK || (status == CARINA_ERROR_MEMORY && any_session(g))) continue;
        generate_sequence_fail(out[i], &error);
    }
    return count;
}

/* The runner fills a step up to a power of two. Where that would be more than a third on top, prompts are cut to the
 * power below: the rest goes with the next step. */
static void trim(step_plan *p, int writing) {
    int64_t plan = 1;
    while (plan < p->total) plan *= 2;
    if (p->total <= SMALL_STEP || 4 * p->total > 3 * plan || plan / 2 <= writing) return;
    while (p->total > plan / 2) {
        int64_t more = p->total - plan / 2, last = p->rows[p->count - 1], cut = more < last ? more : last;
        p->rows[p->count - 1] -= cut;
        p->total -= cut;
        if (cut == last) p->count--;
    }
}

static void plan_step(generator *g, step_plan *p) {
    generate_sequence *line[GENERATE_MAX_SEQUENCES];
    int count = line_up(g, line);
    *p = (step_plan){0};
    for (int i = 0; i < count; i++)
        if (line[i]->session && line[i]->count - line[i]->fed == 1) add(p, line[i], 1);
    int writing = p->count;
    for (int i = 0; i < count; i++) {
        int64_t left = g->options.chunk - p->total, rows = line[i]->count - line[i]->fed;
        if (line[i]->session && rows > 1) add(p, line[i], rows < left ? rows : left);
    }
    trim(p, writing);
}

static void fill_rows(generator *g, const step_plan *p) {
    gemma3_row *row = g->rows;
    for (int i = 0; i < p->count; i++) {
        const generate_sequence *s = p->sequences[i];
        for (int64_t k = s->fed; k < s->fed + p->rows[i]; k++)
            *row++ = (gemma3_row){s->session, s->rows[k].id, s->rows[k].vector, k == s->count - 1,
                                  s->reads_whole ? s->count - 1 - k : 0};
    }
}

carina_status generator_step(generator *g, int *running, carina_error *error) {
    step_plan p;
    const float *logits;
    plan_step(g, &p);
    if (p.count) {
        fill_rows(g, &p);
        TRY(gemma3_runner_step(g->runner, g->rows, p.total, &logits, error));
    }
    for (int i = 0; i < p.count; i++) {
        generate_sequence *s = p.sequences[i];
        s->fed += p.rows[i];
        if (s->fed < s->count) continue;
        generate_sequence_draw(s, logits);
        logits += g->model->model->config.vocabulary;
    }
    *running = 0;
    for (int i = 0; i < g->options.sequences; i++) {
        keep(g, &g->sequences[i]);
        *running += generate_sequence_runs(&g->sequences[i]);
    }
    return CARINA_OK;
}

/* ---- all at once ---- */

/* Which request runs in which place. */
typedef struct batch {
    const generate_request *requests;
    generate_result *results;
    int count, begun;
    int request[GENERATE_MAX_SEQUENCES]; /* -1: another's place, or none's */
} batch;

static void refuse(batch *b, int request, generate_end end, const carina_error *error) {
    const generate_request *r = &b->requests[request];
    generate_result *result = &b->results[request];
    *result = (generate_result){.end = end, .prompt_tokens = r->prompt_count, .stop = -1, .started = clock_seconds()};
    result->ended = result->started;
    if (error) result->error = *error;
    if (r->on_end) r->on_end(r->context, result);
}

static void start_more(generator *g, batch *b) {
    int place;
    for (int free_place = 0; b->begun < b->count && free_place < g->options.sequences;) {
        if (g->sequences[free_place].used) {
            free_place++;
            continue;
        }
        carina_error error = {0};
        int request = b->begun++;
        if (generator_start(g, &b->requests[request], &place, &error) == CARINA_OK)
            b->request[place] = request;
        else
            refuse(b, request, GENERATE_FAILED, &error);
    }
}

static bool goes_on(const generator *g) {
    return !progress_interrupted() && (!g->options.goes_on || g->options.goes_on(g->options.context_of_goes_on));
}

/* Takes what has ended, or all; returns how many of the batch still run. */
static int collect(generator *g, batch *b, bool all) {
    int running = 0;
    for (int i = 0; i < g->options.sequences; i++) {
        if (b->request[i] < 0) continue;
        if (all) generator_cancel(g, i);
        if (generate_sequence_runs(&g->sequences[i])) {
            running++;
            continue;
        }
        b->results[b->request[i]] = *generator_result(g, i);
        generator_release(g, i);
        b->request[i] = -1;
    }
    return running;
}

carina_status generator_run(generator *g, const generate_request *requests, int count, generate_result *results,
                            carina_error *error) {
    batch b = {.requests = requests, .results = results, .count = count};
    carina_status status = CARINA_OK;
    for (int i = 0; i < GENERATE_MAX_SEQUENCES; i++) b.request[i] = -1;
    for (int own = 1, running; status == CARINA_OK && (own || b.begun < count) && goes_on(g);) {
        start_more(g, &b);
        status = generator_step(g, &running, error);
        own = collect(g, &b, false);
    }
    collect(g, &b, true);
    for (; b.begun < count; b.begun++) refuse(&b, b.begun, GENERATE_CANCELLED, NULL);
    return status;
}

/* ---- sessions that outlive the generator ---- */

generator_session_kind generator_sessions(const generator *g) {
    return (generator_session_kind){&g->model->model->config, key_type(g), g->options.context, g->options.chunk};
}

carina_status generator_kept(const generator *g, gemma3_session **session, int32_t **tokens, carina_error *error) {
    const uint64_t *keys;
    gemma3_session *latest = prefix_cache_latest(g->cache, &keys);
    *session = NULL;
    *tokens = NULL;
    int64_t length = latest ? gemma3_session_length(latest) : 0;
    for (int64_t i = 0; i < length; i++)
        if (keys[i] > INT32_MAX) return CARINA_OK; /* a vector's */
    if (!latest) return CARINA_OK;
    *tokens = malloc((size_t)(length + 1) * sizeof **tokens);
    if (!*tokens) return error_memory(error, "a session's tokens", (uint64_t)length * sizeof **tokens);
    for (int64_t i = 0; i < length; i++) (*tokens)[i] = (int32_t)keys[i];
    *session = latest;
    return CARINA_OK;
}

carina_status generator_keep(generator *g, gemma3_session *session, const int32_t *tokens, carina_error *error) {
    gemma3_session_parts parts = gemma3_session_open(session);
    int64_t length = gemma3_session_length(session);
    carina_status status = CARINA_OK;
    uint64_t *keys = malloc((size_t)(length + 1) * sizeof *keys);
    if (!keys) status = error_memory(error, "a session's tokens", (uint64_t)length * sizeof *keys);
    if (keys && (parts.type != key_type(g) || parts.capacity != g->options.context || parts.chunk != g->options.chunk))
        status = error_set(error, CARINA_ERROR_MISMATCH,
                           "a session for %lld tokens in chunks of %lld is not made as those here",
                           (long long)parts.capacity, (long long)parts.chunk);
    if (status == CARINA_OK) {
        for (int64_t i = 0; i < length; i++) keys[i] = prefix_key_of_id(tokens[i]);
        prefix_cache_put(g->cache, session, keys);
    } else {
        gemma3_session_free(session);
    }
    free(keys);
    return status;
}
