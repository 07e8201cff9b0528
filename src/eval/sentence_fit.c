/* Temperature and prior exponent by Newton's method; see sentence_fit.h. */
#include "eval/sentence_fit.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/region_sentence.h"
#include "eval/figure.h"

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

/* ---- cases ---- */

static carina_status make_room(sentence_cases *c, carina_error *error) {
    if (c->count < c->room) return CARINA_OK;
    uint64_t room = c->room ? c->room * 2 : 1024;
    size_t bytes = (size_t)room * (size_t)sentence_index_width(c->index) * sizeof(float);
    sentence_case *items = realloc(c->items, (size_t)room * sizeof *items);
    if (items) c->items = items;
    float *features = items ? realloc(c->features, bytes) : NULL;
    if (!features) return error_memory(error, "regions", bytes);
    c->features = features;
    c->room = room;
    return CARINA_OK;
}

carina_status sentence_cases_add(sentence_cases *c, int region, const float *feature, const char *sentence,
                                 carina_error *error) {
    region_finding found[REGION_SENTENCE_FINDINGS];
    const char *display = c->regions->regions[region].display_name;
    size_t width = (size_t)sentence_index_width(c->index);
    int findings = region_sentence_parse(found, sentence, display, c->regions);
    if (findings < 0)
        return error_set(error, CARINA_ERROR_FORMAT, "\"%.120s\" is no sentence about %s", sentence, display);
    TRY(make_room(c, error));
    memcpy(c->features + c->count * width, feature, width * sizeof *feature);
    c->items[c->count++] =
        (sentence_case){region, sentence_index_find(c->index, region, sentence), .healthy = findings == 0};
    return CARINA_OK;
}

void sentence_cases_free(sentence_cases *c) {
    free(c->items);
    free(c->features);
    *c = (sentence_cases){0};
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
    uint64_t first = (uint64_t)shard * SENTENCE_FIT_SHARD, width = (uint64_t)sentence_index_width(c->index);
    moments sum = {0};
    w->statuses[shard] = CARINA_OK;
    for (uint64_t i = first; i < c->count && i < first + SENTENCE_FIT_SHARD; i++) {
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

/* ---- figures ---- */

static double share(uint64_t part, uint64_t all) { return all ? (double)part / (double)all : NAN; }

/* How a region's sentences stand by score = cosine + weight log prior. */
typedef struct standing {
    int64_t first, other; /* the best row, and the best that names a finding; -1: none */
    bool healthy;         /* the first names no finding */
    double lead;          /* of the first before the other, in scores */
} standing;

static carina_status stand(standing *out, const sentence_cases *c, uint64_t i, float weight, float *similarities,
                           carina_error *error) {
    const sentence_case *item = &c->items[i];
    const sentence_region *region = sentence_index_region(c->index, item->region);
    uint64_t width = (uint64_t)sentence_index_width(c->index);
    double best = -INFINITY, best_other = -INFINITY;
    *out = (standing){.first = -1, .other = -1};
    TRY(sentence_index_similarities(c->index, item->region, c->features + i * width, similarities, error));
    for (uint64_t j = 0; j < region->count; j++) {
        double score = (double)similarities[j] + (double)weight * (double)region->log_priors[j];
        bool healthy = sentence_says_healthy(region->entries[j].text, region->display);
        if (score > best) best = score, out->first = (int64_t)j, out->healthy = healthy;
        if (!healthy && score > best_other) best_other = score, out->other = (int64_t)j;
    }
    out->lead = best - best_other;
    return CARINA_OK;
}

/* What is right when the other comes first wherever "is healthy" leads by less than `discount` (in scores). */
static carina_status score(sentence_fit_scores *out, const fit_work *w, float weight, double discount,
                           carina_error *error) {
    const sentence_cases *c = w->cases;
    uint64_t right[2] = {0}, all[2] = {0};
    for (uint64_t i = 0; i < c->count; i++) {
        const sentence_case *item = &c->items[i];
        standing s;
        TRY(stand(&s, c, i, weight, w->similarities, error));
        int64_t said = s.healthy && s.lead < discount ? s.other : s.first;
        all[!item->healthy]++;
        right[!item->healthy] += said >= 0 && said == item->row;
    }
    *out = (sentence_fit_scores){share(right[0] + right[1], all[0] + all[1]), share(right[1], all[1])};
    return CARINA_OK;
}

/* ---- the discount ---- */

/* A region of which "is healthy" is said, until the discount is larger than its lead. */
typedef struct turn {
    double lead;
    int gain; /* regions that are right then and were not before: -1, 0, 1 */
} turn;

static int by_lead(const void *left, const void *right) {
    double a = ((const turn *)left)->lead, b = ((const turn *)right)->lead;
    return (a > b) - (a < b);
}

/* The largest discount that leaves SENTENCE_FIT_KEPT of what the likeliest sentences win over always saying "healthy".
 */
static carina_status fit_discount(sentence_fit *out, const fit_work *w, carina_error *error) {
    const sentence_cases *c = w->cases;
    double temperature = (double)out->fitted.temperature;
    float weight = out->fitted.temperature * out->fitted.prior_exponent;
    turn *turns = malloc((size_t)(c->count + 1) * sizeof *turns);
    uint64_t count = 0;
    carina_status status = turns ? CARINA_OK : error_memory(error, "a calibration", c->count * sizeof *turns);
    for (uint64_t i = 0; i < c->count && status == CARINA_OK; i++) {
        standing s;
        int64_t truth = c->items[i].row;
        status = stand(&s, c, i, weight, w->similarities, error);
        if (status == CARINA_OK && s.healthy && s.other >= 0)
            turns[count++] = (turn){s.lead, (truth >= 0 && s.other == truth) - (truth >= 0 && s.first == truth)};
    }
    double won = (out->likeliest.all - out->healthy.all) * (double)c->count, spent = 0, discount = 0;
    if (status == CARINA_OK && won > 0 && weight > 0) {
        qsort(turns, count, sizeof *turns, by_lead);
        for (uint64_t i = 0; i < count; i++) {
            spent -= turns[i].gain;
            if (i + 1 < count && turns[i + 1].lead == turns[i].lead) continue;
            double next = i + 1 < count ? turns[i + 1].lead : turns[i].lead * 2;
            if (spent <= (1 - SENTENCE_FIT_KEPT) * won) discount = (turns[i].lead + next) / 2;
        }
    }
    free(turns);
    out->fitted.healthy_discount = (float)fmin(discount / temperature, CALIBRATION_MOST_HEALTHY_DISCOUNT);
    return status;
}

/* ---- all of it ---- */

static carina_status fit(sentence_fit *out, fit_work *w, carina_error *error) {
    double at[2] = {1, 1};
    moments m;
    TRY(score(&out->cosine, w, 0, 0, error));
    TRY(measure(&m, w, 0, 1, error));
    out->nll_prior = out->known ? m.value / (double)out->known : NAN;
    if (out->outcome == SENTENCE_FIT_FEW) return CARINA_OK;
    TRY(minimise(at, &m, w, error));
    out->outcome = outcome_of(at);
    if (out->outcome != SENTENCE_FIT_FITTED) return CARINA_OK;
    out->fitted =
        (sentence_calibration){.fitted = true, .temperature = (float)(1 / at[A]), .prior_exponent = (float)at[B]};
    snprintf(out->fitted.encoder, sizeof out->fitted.encoder, "%s",
             sentence_index_origin(w->cases->index)->encoder_fingerprint);
    out->nll = m.value / (double)out->known;
    const sentence_calibration *f = &out->fitted;
    TRY(score(&out->likeliest, w, f->temperature * f->prior_exponent, 0, error));
    TRY(fit_discount(out, w, error));
    return score(&out->calibrated, w, f->temperature * f->prior_exponent,
                 (double)f->healthy_discount * (double)f->temperature, error);
}

static void count(sentence_fit *out, const sentence_cases *c, uint64_t least) {
    uint64_t usable = 0;
    *out = (sentence_fit){.regions = c->count, .nll = NAN, .calibrated = {NAN, NAN}, .likeliest = {NAN, NAN}};
    for (uint64_t i = 0; i < c->count; i++) {
        out->with_finding += !c->items[i].healthy;
        out->known += c->items[i].row >= 0;
        usable += c->items[i].row >= 0 && !c->items[i].healthy;
    }
    if (usable < least) out->outcome = SENTENCE_FIT_FEW;
    out->healthy = (sentence_fit_scores){share(c->count - out->with_finding, c->count), out->with_finding ? 0 : NAN};
}

carina_status sentence_fit_make(sentence_fit *out, const sentence_cases *cases, thread_pool *pool, uint64_t least,
                                carina_error *error) {
    fit_work w = {.cases = cases, .pool = pool, .most_rows = 1};
    count(out, cases, least);
    for (int r = 0; r < sentence_index_regions(cases->index); r++) {
        uint64_t rows = sentence_index_region(cases->index, r)->count;
        if (rows > w.most_rows) w.most_rows = rows;
    }
    w.shard_count = (int)((cases->count + SENTENCE_FIT_SHARD - 1) / SENTENCE_FIT_SHARD);
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

static void print_scores(FILE *out, const char *name, const sentence_fit_scores *s) {
    fprintf(out, "%-32s", name);
    figure_print(out, s->all);
    figure_print(out, s->finding);
    fputc('\n', out);
}

void sentence_fit_print(const sentence_fit *f, FILE *out) {
    fprintf(out,
            "sentences: %" PRIu64 " regions, %" PRIu64 " with findings; of %" PRIu64
            " the database has the true sentence\n\n%-32s  %5s  %s\n",
            f->regions, f->with_finding, f->known, "exactly right", "all", "with findings");
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
            "\"is healthy\" comes first where it is likelier than the next by %.3f nats\n"
            "mean -log p(true sentence) %.4f, by the prior alone %.4f\n",
            (double)f->fitted.temperature, (double)f->fitted.prior_exponent,
            (double)(f->fitted.temperature * f->fitted.prior_exponent), (double)f->fitted.healthy_discount, f->nll,
            f->nll_prior);
}

static void put_scores(json_writer *w, const char *key, const sentence_fit_scores *s) {
    json_key(w, key);
    json_begin_inline(w, true);
    figure_put(w, "all", s->all);
    figure_put(w, "with_finding", s->finding);
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
    figure_put(w, "nll", f->nll);
    figure_put(w, "nll_prior", f->nll_prior);
    put_scores(w, "cosine_exact", &f->cosine);
    put_scores(w, "likeliest_exact", &f->likeliest);
    put_scores(w, "calibrated_exact", &f->calibrated);
    put_scores(w, "always_healthy_exact", &f->healthy);
    json_end(w);
}
