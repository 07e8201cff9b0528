/* Temperature and prior exponent by Newton's method; see sentence_fit.h. */
#include "eval/sentence_fit.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/figure.h"
#include "eval/worth_fit.h"

#define STEPS     100   /* of Newton's method; it takes about ten */
#define HALVINGS  50    /* of one step */
#define SUFFICES  1e-4  /* of the decrease that the gradient promises (Armijo) */
#define DECREMENT 1e-10 /* nats of all regions together that a further step could still gain */

const char *sentence_fit_reason(sentence_fit_outcome outcome) {
    static const char *const reasons[SENTENCE_FIT_OUTCOMES] = {
        "", "too few regions with a finding have their sentence in the database",
        "the cosines do not tell the true sentences", "the true sentences are always the nearest",
        "the true sentences are always the usual ones"};
    return reasons[outcome];
}

/* ---- the likelihood ---- */

enum { A, B }; /* the parameters: 1 / T and b */

/* Negative log-likelihood with its derivatives in (a, b). */
typedef struct moments {
    double value, gradient[2], curvature[3]; /* aa, ab, bb */
} moments;

typedef struct fit_work {
    const sentence_cases *cases;
    thread_pool *pool;
    double at[2];
    uint64_t most_rows;
    float *similarities; /* [threads, most_rows] */
    moments *shards;
    carina_status *statuses; /* [shards] */
    carina_error *errors;
    int shard_count;
} fit_work;

static void add_case(moments *m, const double at[2], const float *similarities, const float *log_priors, uint64_t rows,
                     int64_t truth) {
    double most = 0, sum = 0, first[2] = {0}, second[3] = {0}, c = (double)similarities[truth],
           l = (double)log_priors[truth];
    for (uint64_t j = 0; j < rows; j++)
        most = fmax(most, at[A] * ((double)similarities[j] - c) + at[B] * ((double)log_priors[j] - l));
    for (uint64_t j = 0; j < rows; j++) {
        double x = (double)similarities[j] - c, y = (double)log_priors[j] - l;
        double p = exp(at[A] * x + at[B] * y - most);
        sum += p;
        first[A] += p * x;
        first[B] += p * y;
        second[0] += p * x * x;
        second[1] += p * x * y;
        second[2] += p * y * y;
    }
    for (int i = 0; i < 2; i++) first[i] /= sum;
    m->value += most + log(sum);
    for (int i = 0; i < 2; i++) m->gradient[i] += first[i];
    m->curvature[0] += second[0] / sum - first[A] * first[A];
    m->curvature[1] += second[1] / sum - first[A] * first[B];
    m->curvature[2] += second[2] / sum - first[B] * first[B];
}

static void run_shard(void *context, int shard, int worker) {
    fit_work *w = context;
    const sentence_cases *c = w->cases;
    float *similarities = w->similarities + (uint64_t)worker * w->most_rows;
    uint64_t first = (uint64_t)shard * SENTENCE_CASES_SHARD, width = (uint64_t)sentence_index_width(c->index);
    moments sum = {0};
    w->statuses[shard] = CARINA_OK;
    for (uint64_t i = first; i < c->count && i < first + SENTENCE_CASES_SHARD; i++) {
        const sentence_case *item = &c->items[i];
        if (item->row < 0) continue;
        const sentence_region *region = sentence_index_region(c->index, item->region);
        w->statuses[shard] = sentence_index_similarities(c->index, item->region, c->features + i * width, similarities,
                                                         &w->errors[shard]);
        if (w->statuses[shard] != CARINA_OK) return;
        add_case(&sum, w->at, similarities, region->log_priors, region->count, item->row);
    }
    w->shards[shard] = sum;
}

static carina_status measure(moments *out, fit_work *w, double a, double b, carina_error *error) {
    *out = (moments){0};
    w->at[A] = a;
    w->at[B] = b;
    thread_pool_run(w->pool, w->shard_count, run_shard, w);
    for (int s = 0; s < w->shard_count; s++) {
        const moments *m = &w->shards[s];
        if (w->statuses[s] != CARINA_OK) {
            if (error) *error = w->errors[s];
            return w->statuses[s];
        }
        out->value += m->value;
        for (int i = 0; i < 2; i++) out->gradient[i] += m->gradient[i];
        for (int i = 0; i < 3; i++) out->curvature[i] += m->curvature[i];
    }
    return CARINA_OK;
}

/* ---- its minimum ---- */

static const double low[2] = {1 / CALIBRATION_MOST_SENTENCE_TEMPERATURE, 0};
static const double high[2] = {1 / CALIBRATION_LEAST_SENTENCE_TEMPERATURE, CALIBRATION_MOST_PRIOR_EXPONENT};

static bool outwards(const double at[2], int i, double direction) {
    return (at[i] <= low[i] && direction < 0) || (at[i] >= high[i] && direction > 0);
}

static double along(const moments *m, int i) {
    double curvature = m->curvature[i == A ? 0 : 2];
    return curvature > 0 ? -m->gradient[i] / curvature : -m->gradient[i];
}

/* Newton's step from a point; a parameter at a bound that it would leave stays there. */
static void choose_step(double step[2], const moments *m, const double at[2]) {
    double aa = m->curvature[0], ab = m->curvature[1], bb = m->curvature[2], determinant = aa * bb - ab * ab;
    bool held[2] = {outwards(at, A, -m->gradient[A]), outwards(at, B, -m->gradient[B])};
    step[A] = along(m, A);
    step[B] = along(m, B);
    if (!held[A] && !held[B] && determinant > 1e-12 * aa * bb) {
        double a = (ab * m->gradient[B] - bb * m->gradient[A]) / determinant;
        double b = (ab * m->gradient[A] - aa * m->gradient[B]) / determinant;
        held[A] = outwards(at, A, a);
        held[B] = outwards(at, B, b);
        if (!held[A] && !held[B]) {
            step[A] = a;
            step[B] = b;
        }
    }
    for (int i = 0; i < 2; i++)
        if (held[i]) step[i] = 0;
}

/* How much of the step stays within the bounds, 1 at most. */
static double longest(const double at[2], const double step[2]) {
    double length = 1;
    for (int i = 0; i < 2; i++) {
        if (at[i] + step[i] < low[i]) length = fmin(length, (low[i] - at[i]) / step[i]);
        if (at[i] + step[i] > high[i]) length = fmin(length, (high[i] - at[i]) / step[i]);
    }
    return length;
}

static void move(double out[2], const double at[2], const double step[2], double length) {
    for (int i = 0; i < 2; i++) {
        out[i] = at[i] + length * step[i];
        /* a bound that is reached is reached exactly */
        if (out[i] - low[i] < 1e-12 * high[i] && step[i] < 0) out[i] = low[i];
        if (high[i] - out[i] < 1e-12 * high[i] && step[i] > 0) out[i] = high[i];
    }
}

static carina_status minimise(double at[2], moments *best, fit_work *w, carina_error *error) {
    TRY(measure(best, w, at[A], at[B], error));
    for (int n = 0; n < STEPS; n++) {
        double step[2], next[2];
        moments there = {0};
        bool better = false;
        choose_step(step, best, at);
        double promised = -(best->gradient[A] * step[A] + best->gradient[B] * step[B]);
        if (!(promised > DECREMENT)) break;
        double length = longest(at, step);
        for (int k = 0; k < HALVINGS && !better; k++, length /= 2) {
            move(next, at, step, length);
            TRY(measure(&there, w, next[A], next[B], error));
            better = there.value <= best->value - SUFFICES * length * promised;
        }
        if (!better) break; /* the last bit is reached */
        memcpy(at, next, sizeof next);
        *best = there;
    }
    return CARINA_OK;
}

static sentence_fit_outcome outcome_of(const double at[2]) {
    if (at[A] <= low[A]) return SENTENCE_FIT_UNTOLD;
    if (at[A] >= high[A]) return SENTENCE_FIT_SEPARATED;
    return at[B] >= high[B] ? SENTENCE_FIT_USUAL : SENTENCE_FIT_FITTED;
}

/* ---- all of it ---- */

/* The scores of a calibration as it is. */
static carina_status score(sentence_scores *out, const fit_work *w, const sentence_calibration *c, bool cosine,
                           carina_error *error) {
    sentence_ranking ranking;
    TRY(sentence_ranking_open(&ranking, c, w->cases->index, w->cases->regions, cosine, error));
    carina_status status = sentence_cases_score(out, NULL, w->cases, &ranking, w->pool, error);
    sentence_ranking_close(&ranking);
    return status;
}

static carina_status fit(sentence_fit *out, fit_work *w, carina_error *error) {
    double at[2] = {1, 1};
    moments m;
    sentence_calibration *f = &out->fitted;
    TRY(score(&out->cosine, w, f, true, error));
    TRY(measure(&m, w, 0, 1, error));
    out->nll_prior = out->known ? m.value / (double)out->known : NAN;
    if (out->outcome == SENTENCE_FIT_FEW) return CARINA_OK;
    TRY(minimise(at, &m, w, error));
    out->outcome = outcome_of(at);
    if (out->outcome != SENTENCE_FIT_FITTED) return CARINA_OK;
    *f = (sentence_calibration){.fitted = true, .temperature = (float)(1 / at[A]), .prior_exponent = (float)at[B]};
    snprintf(f->encoder, sizeof f->encoder, "%s", sentence_index_origin(w->cases->index)->encoder_fingerprint);
    out->nll = m.value / (double)out->known;
    TRY(score(&out->likeliest, w, f, false, error));
    return worth_fit_make(f, &out->calibrated, w->cases, &out->likeliest, out->healthy.all, w->pool, error);
}

static void count(sentence_fit *out, const sentence_cases *c, uint64_t least) {
    uint64_t usable = 0;
    *out = (sentence_fit){.regions = c->count, .nll = NAN, .calibrated = {NAN, NAN, NAN}, .likeliest = {NAN, NAN, NAN}};
    for (uint64_t i = 0; i < c->count; i++) {
        out->with_finding += !c->items[i].healthy;
        out->known += c->items[i].row >= 0;
        usable += c->items[i].row >= 0 && !c->items[i].healthy;
    }
    if (usable < least) out->outcome = SENTENCE_FIT_FEW;
    double all = c->count ? (double)(c->count - out->with_finding) / (double)c->count : NAN,
           none = out->with_finding ? 0 : NAN;
    out->healthy = (sentence_scores){all, none, none};
}

carina_status sentence_fit_make(sentence_fit *out, const sentence_cases *cases, thread_pool *pool, uint64_t least,
                                carina_error *error) {
    fit_work w = {.cases = cases, .pool = pool, .most_rows = sentence_index_most(cases->index)};
    count(out, cases, least);
    w.shard_count = (int)((cases->count + SENTENCE_CASES_SHARD - 1) / SENTENCE_CASES_SHARD);
    size_t shards = (size_t)w.shard_count + 1, scratch = (size_t)thread_pool_count(pool) * (size_t)w.most_rows;
    w.similarities = malloc(scratch * sizeof *w.similarities);
    w.shards = calloc(shards, sizeof *w.shards);
    w.statuses = calloc(shards, sizeof *w.statuses);
    w.errors = calloc(shards, sizeof *w.errors);
    carina_status status = w.similarities && w.shards && w.statuses && w.errors
                               ? fit(out, &w, error)
                               : error_memory(error, "a calibration", scratch * sizeof *w.similarities);
    free(w.similarities);
    free(w.shards);
    free(w.statuses);
    free(w.errors);
    return status;
}

/* ---- printing ---- */

static void print_scores(FILE *out, const char *name, const sentence_scores *s) {
    fprintf(out, "%-32s", name);
    figure_print(out, s->all);
    figure_print(out, s->finding);
    fputs("         ", out);
    figure_print(out, s->f1);
    fputc('\n', out);
}

void sentence_fit_print(const sentence_fit *f, FILE *out) {
    fprintf(out,
            "sentences: %" PRIu64 " regions, %" PRIu64 " with findings; of %" PRIu64
            " the database has the true sentence\n\n%-32s  %5s  %s  %s\n",
            f->regions, f->with_finding, f->known, "exactly right", "all", "with findings", "macro F1 of findings");
    print_scores(out, "by cosine", &f->cosine);
    print_scores(out, "likeliest", &f->likeliest);
    print_scores(out, "calibrated", &f->calibrated);
    print_scores(out, "always healthy", &f->healthy);
    if (f->outcome != SENTENCE_FIT_FITTED) {
        fprintf(out, "\nSentences are not calibrated: %s.\n", sentence_fit_reason(f->outcome));
        return;
    }
    fprintf(out,
            "\ntemperature %.5f, prior exponent %.3f: ranked by cosine + %.5f log prior\n"
            "being right about a finding counts %.3g times as much (%.2g nats), naming findings %.3g times\n"
            "mean -log p(true sentence) %.4f, by the prior alone %.4f\n",
            (double)f->fitted.temperature, (double)f->fitted.prior_exponent,
            (double)(f->fitted.temperature * f->fitted.prior_exponent), exp((double)f->fitted.healthy_discount),
            (double)f->fitted.healthy_discount, (double)f->fitted.finding_worth, f->nll, f->nll_prior);
}

static void put_scores(json_writer *w, const char *key, const sentence_scores *s) {
    json_key(w, key);
    json_begin_inline(w, true);
    figure_put(w, "all", s->all);
    figure_put(w, "with_finding", s->finding);
    figure_put(w, "finding_f1", s->f1);
    json_end(w);
}

void sentence_fit_json(const sentence_fit *f, json_writer *w) {
    bool fitted = f->outcome == SENTENCE_FIT_FITTED;
    json_begin_object(w);
    json_field_whole(w, "regions", (int64_t)f->regions);
    json_field_whole(w, "with_finding", (int64_t)f->with_finding);
    json_field_whole(w, "known", (int64_t)f->known);
    json_field_truth(w, "calibrated", fitted);
    if (!fitted) json_field_text(w, "reason", sentence_fit_reason(f->outcome));
    json_key(w, "temperature");
    json_put_f32(w, fitted ? f->fitted.temperature : NAN);
    json_key(w, "prior_exponent");
    json_put_f32(w, fitted ? f->fitted.prior_exponent : NAN);
    json_key(w, "healthy_discount");
    json_put_f32(w, fitted ? f->fitted.healthy_discount : NAN);
    json_key(w, "finding_worth");
    json_put_f32(w, fitted ? f->fitted.finding_worth : NAN);
    figure_put(w, "nll", f->nll);
    figure_put(w, "nll_prior", f->nll_prior);
    put_scores(w, "cosine_exact", &f->cosine);
    put_scores(w, "likeliest_exact", &f->likeliest);
    put_scores(w, "calibrated_exact", &f->calibrated);
    put_scores(w, "always_healthy_exact", &f->healthy);
    json_end(w);
}
