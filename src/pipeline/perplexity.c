/* Perplexity and divergence; see perplexity.h. Sums are taken token by token in the text's order, so they do not depend
 * on threads. */
#include "pipeline/perplexity.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory_speed.h"
#include "model/gemma3_session.h"
#include "text/sampler.h"

/* Rows of a step, each with its logits: 512 bytes a word of the vocabulary. */
#define CHUNK 128
/* For their plans, and whatever else runs. */
#define MEMORY_SPARED (512ull << 20)

typedef struct score {
    double before, after; /* -log p of the token */
    double divergence;
    bool agreed;
} score;

/* One of the models. */
typedef struct reader {
    const gemma3 *model;
    gemma3_runner *runner;
    gemma3_session *session;
    const float *logits; /* of the last step */
} reader;

typedef struct reading {
    const perplexity_options *options;
    const int32_t *ids;
    int64_t count;
    reader readers[2];
    int reader_count;
    int32_t targets[CHUNK];
    score scores[CHUNK];
    perplexity_change *sums;
} reading;

/* ---- one token ---- */

static double log_sum(const float *x, int64_t n, int64_t *best) {
    double sum = 0;
    *best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[*best]) *best = i;
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - (double)x[*best]);
    return (double)x[*best] + log(sum);
}

static void score_shard(void *context, int shard, int worker) {
    reading *r = context;
    score *s = &r->scores[shard];
    int64_t n = r->readers[0].model->config.vocabulary, best, other;
    (void)worker;
    const float *x = r->readers[0].logits + shard * n, *y = r->readers[1].logits;
    double x_sum = log_sum(x, n, &best), kept = 0;
    *s = (score){.before = x_sum - (double)x[r->targets[shard]]};
    if (!y) return;
    y += shard * n;
    double y_sum = log_sum(y, n, &other);
    for (int64_t i = 0; i < n; i++) {
        double log_p = (double)x[i] - x_sum;
        kept += exp(log_p) * (log_p - ((double)y[i] - y_sum));
    }
    s->after = y_sum - (double)y[r->targets[shard]];
    s->divergence = kept;
    s->agreed = best == other;
}

/* Why a row has no score: each model's logits are looked through once more, which only a failed model costs. */
static carina_status explain(const reading *r, int row, carina_error *error) {
    int n = r->readers[0].model->config.vocabulary;
    float largest;
    for (int m = 0; m < r->reader_count; m++)
        TRY(sampler_check_logits(&largest, r->readers[m].logits + (int64_t)row * n, n, error));
    return error_set(error, CARINA_ERROR_ARGUMENT, "a logit is minus infinity: the model has failed");
}

static carina_status add_scores(reading *r, int count, carina_error *error) {
    thread_pool_run(r->options->pool, count, score_shard, r);
    for (int i = 0; i < count; i++) {
        const score *s = &r->scores[i];
        if (!isfinite(s->before) || !isfinite(s->after) || !isfinite(s->divergence)) return explain(r, i, error);
        r->sums->before.nats += s->before;
        r->sums->after.nats += s->after;
        r->sums->divergence += s->divergence;
        r->sums->agreed += s->agreed;
    }
    r->sums->before.tokens += count;
    r->sums->after.tokens += count;
    return CARINA_OK;
}

/* ---- one window ---- */

/* Rows from..from + count of the window that begins at token `begin`; targets from `scored` on count. Row 0 is
 * options->begin where there is one. */
static carina_status take_chunk(reading *r, int64_t begin, int64_t scored, int64_t from, int64_t count,
                                carina_error *error) {
    int shift = r->options->begin >= 0, wanted = 0;
    gemma3_row rows[CHUNK];
    for (int64_t i = 0; i < count; i++) {
        int64_t at = begin + from + i - shift; /* the row's token; the next one is what it foretells */
        rows[i] = (gemma3_row){.id = at < begin ? r->options->begin : r->ids[at], .wants_logits = at + 1 >= scored};
        if (rows[i].wants_logits) r->targets[wanted++] = r->ids[at + 1];
    }
    for (int m = 0; m < r->reader_count; m++) {
        for (int64_t i = 0; i < count; i++) rows[i].session = r->readers[m].session;
        TRY(gemma3_runner_step(r->readers[m].runner, rows, count, &r->readers[m].logits, error));
    }
    return wanted ? add_scores(r, wanted, error) : CARINA_OK;
}

static carina_status fresh_session(const reading *r, reader *one, carina_error *error) {
    gemma3_session_free(one->session);
    TRY(gemma3_session_create(&one->session, &one->model->config, TENSOR_F32, r->options->window, CHUNK, error));
    return gemma3_session_adapt(one->session, r->options->adapter, error);
}

/* Tokens begin .. end, of which those from `scored` on are foretold; the last one is no row. */
static carina_status take_window(reading *r, int64_t begin, int64_t scored, int64_t end, carina_error *error) {
    int64_t rows = end - begin - 1 + (r->options->begin >= 0);
    for (int m = 0; m < r->reader_count; m++) TRY(fresh_session(r, &r->readers[m], error));
    for (int64_t from = 0; from < rows; from += CHUNK) {
        int64_t count = rows - from < CHUNK ? rows - from : CHUNK;
        if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
        TRY(take_chunk(r, begin, scored, from, count, error));
        progress_update(r->options->shown, r->options->shown_before + (uint64_t)r->sums->before.tokens, NULL);
    }
    return CARINA_OK;
}

static carina_status take_text(reading *r, carina_error *error) {
    int64_t room = r->options->window - (r->options->begin >= 0);
    int64_t scored = r->options->begin >= 0 ? 0 : 1, end = r->count < room ? r->count : room;
    for (;;) {
        int64_t begin = end < room ? 0 : end - room;
        TRY(take_window(r, begin, scored, end, error));
        if (end == r->count) return CARINA_OK;
        scored = end;
        end = r->count - end < r->options->stride ? r->count : end + r->options->stride;
    }
}

/* ---- the whole ---- */

static carina_status check(const reading *r, carina_error *error) {
    const perplexity_options *o = r->options;
    int vocabulary = r->readers[0].model->config.vocabulary;
    if (o->window < 2 || o->window > PERPLEXITY_MAX_WINDOW || o->stride < 1 || o->stride >= o->window)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "a window of %lld tokens with a stride of %lld: 2 to %d, and less than the window",
                         (long long)o->window, (long long)o->stride, PERPLEXITY_MAX_WINDOW);
    if (r->count < (o->begin >= 0 ? 1 : 2))
        return error_set(error, CARINA_ERROR_ARGUMENT, "the text has no token that could be scored");
    if (o->begin >= vocabulary)
        return error_set(error, CARINA_ERROR_ARGUMENT, "token %d is not within 0 to %d", o->begin, vocabulary - 1);
    for (int64_t i = 0; i < r->count; i++)
        if (r->ids[i] < 0 || r->ids[i] >= vocabulary)
            return error_set(error, CARINA_ERROR_ARGUMENT, "token %d is not within 0 to %d", (int)r->ids[i],
                             vocabulary - 1);
    return CARINA_OK;
}

/* A session of the whole window, and what its runner takes beside it, of each model. */
static carina_status check_memory(const reading *r, const gemma3_runner_options *running, carina_error *error) {
    gemma3_runner_options filled = *running, *options = &filled;
    if (r->count < filled.tokens) filled.tokens = r->count + 1; /* a short text fills no more */
    uint64_t available = memory_available(), wanted = MEMORY_SPARED;
    for (int m = 0; m < r->reader_count; m++) {
        const gemma3_config *c = &r->readers[m].model->config;
        wanted += gemma3_session_needs(c, TENSOR_F32, options->tokens, CHUNK) + gemma3_runner_needs(c, options);
    }
    if (!available || wanted <= available) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MEMORY,
                     "a window of %lld tokens wants %.1f GB, %.1f GB are available; choose a smaller one",
                     (long long)running->tokens, 1e-9 * (double)wanted, 1e-9 * (double)available);
}

static carina_status take_all(reading *r, carina_error *error) {
    const gemma3_runner_options options = {
        .pool = r->options->pool, .type = TENSOR_F32, .chunk = CHUNK, .tokens = r->options->window};
    TRY(check(r, error));
    TRY(check_memory(r, &options, error));
    for (int m = 0; m < r->reader_count; m++)
        TRY(gemma3_runner_create(&r->readers[m].runner, r->readers[m].model, &options, error));
    return take_text(r, error);
}

static carina_status measure(perplexity_change *change, const gemma3 *const models[2], const int32_t *ids,
                             uint64_t count, const perplexity_options *options, carina_error *error) {
    perplexity_change sums = {0};
    if (count > INT64_MAX / 2) return error_set(error, CARINA_ERROR_LIMIT, "the text is too long");
    reading *r = calloc(1, sizeof *r);
    if (!r) return error_memory(error, "a reading", sizeof *r);
    *r = (reading){.options = options, .ids = ids, .count = (int64_t)count, .sums = &sums};
    for (; r->reader_count < 2 && models[r->reader_count]; r->reader_count++)
        r->readers[r->reader_count].model = models[r->reader_count];
    carina_status status = take_all(r, error);
    for (int m = 0; m < r->reader_count; m++) {
        gemma3_session_free(r->readers[m].session);
        gemma3_runner_free(r->readers[m].runner);
    }
    free(r);
    if (status != CARINA_OK) return status;
    change->before.tokens += sums.before.tokens;
    change->before.nats += sums.before.nats;
    change->after.tokens += sums.after.tokens;
    change->after.nats += sums.after.nats;
    change->divergence += sums.divergence;
    change->agreed += sums.agreed;
    return CARINA_OK;
}

carina_status perplexity_measure(perplexity_sums *sums, const gemma3 *model, const int32_t *ids, uint64_t count,
                                 const perplexity_options *options, carina_error *error) {
    perplexity_change change = {.before = *sums};
    TRY(measure(&change, (const gemma3 *const[2]){model, NULL}, ids, count, options, error));
    *sums = change.before;
    return CARINA_OK;
}

carina_status perplexity_compare(perplexity_change *change, const gemma3 *before, const gemma3 *after,
                                 const int32_t *ids, uint64_t count, const perplexity_options *options,
                                 carina_error *error) {
    if (before->config.vocabulary != after->config.vocabulary)
        return error_set(error, CARINA_ERROR_MISMATCH, "a vocabulary of %d beside one of %d", before->config.vocabulary,
                         after->config.vocabulary);
    return measure(change, (const gemma3 *const[2]){before, after}, ids, count, options, error);
}

double perplexity_mean(const perplexity_sums *sums) { return sums->tokens ? sums->nats / (double)sums->tokens : 0; }
double perplexity_value(const perplexity_sums *sums) { return exp(perplexity_mean(sums)); }
double perplexity_bits_per_byte(const perplexity_sums *sums, uint64_t bytes) {
    return bytes ? sums->nats / log(2) / (double)bytes : 0;
}
