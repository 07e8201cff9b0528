/* Cuts and weights of findings, discount and worth; see worth_fit.h. */
#include "eval/worth_fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- how probable each finding is, in each region ---- */

typedef struct finding_work {
    const sentence_cases *cases;
    const sentence_ranking *ranking;
    uint64_t most_rows;
    float *scratch;  /* [threads, 2, most_rows] */
    float *findings; /* [cases, names] */
    carina_status *statuses;
    carina_error *errors; /* [threads] */
} finding_work;

static void find_shard(void *context, int shard, int worker) {
    const finding_work *w = context;
    const sentence_cases *c = w->cases;
    float *similarities = w->scratch + 2 * (uint64_t)worker * w->most_rows, *chances = similarities + w->most_rows;
    uint64_t first = (uint64_t)shard * SENTENCE_CASES_SHARD, width = (uint64_t)sentence_index_width(c->index);
    for (uint64_t i = first; i < c->count && i < first + SENTENCE_CASES_SHARD; i++) {
        if (w->statuses[worker] != CARINA_OK) return;
        int region = c->items[i].region;
        w->statuses[worker] = sentence_ranking_rate(w->ranking, region, c->features + i * width, similarities, chances,
                                                    NULL, &w->errors[worker]);
        sentence_ranking_findings(w->ranking, region, chances, w->findings + i * (uint64_t)c->name_count);
    }
}

static carina_status find_all(float *findings, const sentence_cases *c, const sentence_ranking *ranking,
                              thread_pool *pool, carina_error *error) {
    finding_work w = {.cases = c, .ranking = ranking, .most_rows = sentence_index_most(c->index), .findings = findings};
    int threads = thread_pool_count(pool);
    w.scratch = malloc((size_t)threads * 2 * (size_t)w.most_rows * sizeof *w.scratch);
    w.statuses = calloc((size_t)threads, sizeof *w.statuses);
    w.errors = calloc((size_t)threads, sizeof *w.errors);
    carina_status status =
        w.scratch && w.statuses && w.errors ? CARINA_OK : error_memory(error, "a calibration", 8 * w.most_rows);
    if (status == CARINA_OK)
        thread_pool_run(pool, (int)((c->count + SENTENCE_CASES_SHARD - 1) / SENTENCE_CASES_SHARD), find_shard, &w);
    for (int k = 0; k < threads && status == CARINA_OK; k++)
        if ((status = w.statuses[k]) != CARINA_OK && error) *error = w.errors[k];
    free(w.scratch);
    free(w.statuses);
    free(w.errors);
    return status;
}

/* ---- cuts and weights ---- */

typedef struct scored {
    float probability;
    bool truth;
} scored;

static int falling(const void *left, const void *right) {
    float a = ((const scored *)left)->probability, b = ((const scored *)right)->probability;
    return (a < b) - (a > b);
}

/* The best F1 of saying a finding from some probability on. */
static double best_f1(scored *items, uint64_t count, uint64_t truths) {
    double best = 0;
    uint64_t hits = 0;
    qsort(items, count, sizeof *items, falling);
    for (uint64_t i = 0; i < count; i++) {
        hits += items[i].truth;
        if (i + 1 < count && items[i + 1].probability == items[i].probability)
            continue; /* said together or not at all */
        best = fmax(best, 2 * (double)hits / (double)(i + 1 + truths));
    }
    return best;
}

static carina_status fit_findings(sentence_calibration *fitted, const sentence_cases *c, const float *findings,
                                  carina_error *error) {
    scored *items = malloc((size_t)(c->count + 1) * sizeof *items);
    if (!items) return error_memory(error, "a calibration", c->count * sizeof *items);
    uint64_t truths[SENTENCE_FINDING_NAMES] = {0}, total = 0;
    int occurring = 0;
    for (int f = 0; f < c->name_count; f++) {
        for (uint64_t i = 0; i < c->count; i++) {
            items[i] =
                (scored){findings[i * (uint64_t)c->name_count + (uint64_t)f], sentence_case_names(&c->items[i], f)};
            truths[f] += items[i].truth;
        }
        total += truths[f];
        occurring += truths[f] > 0;
        fitted->findings[f].cut = truths[f] ? (float)(best_f1(items, c->count, truths[f]) / 2) : 0.5f;
    }
    for (int f = 0; f < c->name_count; f++) {
        double among = (double)(truths[f] > WORTH_FIT_LEAST ? truths[f] : WORTH_FIT_LEAST);
        fitted->findings[f].weight = truths[f] ? (float)((double)total / (occurring * among)) : 0;
    }
    free(items);
    return CARINA_OK;
}

/* ---- discount and worth ---- */

/* Where no finding of the region set occurs there is no F1. */
double worth_fit_gain(const sentence_scores *s) { return s->finding + WORTH_FIT_F1 * (isnan(s->f1) ? 0 : s->f1); }

#define STEP 0.35f /* towards what was reached: with whole steps cuts swing to and fro */

typedef struct order_fit {
    sentence_calibration *fitted;
    sentence_scores *out;
    const sentence_cases *cases;
    sentence_ranking *ranking; /* its cuts and weights move */
    double least, most;        /* share right that is kept; the best gain so far */
    thread_pool *pool;
    carina_error *error;
} order_fit;

static carina_status try_order(order_fit *o, sentence_counts *counts) {
    sentence_scores s;
    TRY(sentence_cases_score(&s, counts, o->cases, o->ranking, o->pool, o->error));
    if (!(s.all >= o->least && worth_fit_gain(&s) > o->most)) return CARINA_OK;
    o->most = worth_fit_gain(&s);
    *o->out = s;
    o->fitted->healthy_discount = o->ranking->order.healthy_discount;
    o->fitted->finding_worth = o->ranking->order.finding_worth;
    for (int f = 0; f < o->cases->name_count; f++) {
        o->fitted->findings[f].cut = o->ranking->cuts[f];
        o->fitted->findings[f].weight = o->ranking->weights[f];
    }
    return CARINA_OK;
}

static void move_slopes(sentence_ranking *ranking, const sentence_counts *counts, int names) {
    double total = 0;
    int occurring = 0;
    for (int f = 0; f < names; f++) total += (double)counts->truths[f], occurring += counts->truths[f] > 0;
    for (int f = 0; f < names; f++) {
        if (counts->truths[f] == 0) continue;
        double named = (double)(counts->truths[f] + counts->said[f]);
        float reached = (float)((double)counts->hits[f] / named);
        float weight = (float)(2 * total / (occurring * fmax(named, 2 * WORTH_FIT_LEAST)));
        ranking->cuts[f] += STEP * (reached - ranking->cuts[f]);
        ranking->weights[f] *= powf(weight / ranking->weights[f], STEP);
    }
}

/* begun: cuts and weights to begin with. */
static carina_status fit_order(order_fit *o, const finding_calibration *begun) {
    static const float discounts[] = {0, 0.4f, 0.8f, 1.2f, 1.6f, 2, 2.4f};
    static const float worths[] = {0, 0.5f, 1, 2, 4, 8};
    for (size_t d = 0; d < sizeof discounts / sizeof *discounts; d++)
        for (size_t v = 0; v < sizeof worths / sizeof *worths; v++) {
            o->ranking->order.healthy_discount = discounts[d];
            o->ranking->order.finding_worth = worths[v];
            for (int f = 0; f < o->cases->name_count; f++) {
                o->ranking->cuts[f] = begun[f].cut;
                o->ranking->weights[f] = begun[f].weight;
            }
            for (int round = 0; round < (v ? WORTH_FIT_ROUNDS : 1); round++) {
                sentence_counts counts;
                TRY(try_order(o, &counts));
                move_slopes(o->ranking, &counts, o->cases->name_count);
            }
        }
    return CARINA_OK;
}

static carina_status fit_all(sentence_calibration *fitted, sentence_scores *out, const sentence_cases *c,
                             sentence_ranking *ranking, float *findings, const sentence_scores *likeliest,
                             double healthy, thread_pool *pool, carina_error *error) {
    TRY(find_all(findings, c, ranking, pool, error));
    TRY(fit_findings(fitted, c, findings, error));
    *out = *likeliest;
    if (!(likeliest->all > healthy)) return CARINA_OK;
    finding_calibration *begun = malloc((size_t)(c->name_count + 1) * sizeof *begun);
    if (!begun) return error_memory(error, "a calibration", (uint64_t)c->name_count * sizeof *begun);
    memcpy(begun, fitted->findings, (size_t)c->name_count * sizeof *begun);
    order_fit o = {.fitted = fitted,
                   .out = out,
                   .cases = c,
                   .ranking = ranking,
                   .least = healthy + WORTH_FIT_KEPT * (likeliest->all - healthy),
                   .most = worth_fit_gain(likeliest),
                   .pool = pool,
                   .error = error};
    carina_status status = fit_order(&o, begun);
    free(begun);
    return status;
}

carina_status worth_fit_make(sentence_calibration *fitted, sentence_scores *out, const sentence_cases *c,
                             const sentence_scores *likeliest, double healthy, thread_pool *pool, carina_error *error) {
    sentence_ranking ranking;
    fitted->healthy_discount = 0;
    fitted->finding_worth = 1; /* so that the ranking knows what sentences name */
    fitted->finding_count = c->name_count;
    for (int f = 0; f < c->name_count; f++)
        snprintf(fitted->findings[f].name, sizeof fitted->findings[f].name, "%s", c->names[f]);
    uint64_t bytes = (c->count + 1) * (uint64_t)(c->name_count + 1) * sizeof(float);
    float *findings = malloc((size_t)bytes);
    if (!findings) return error_memory(error, "a calibration", bytes);
    carina_status status = sentence_ranking_open(&ranking, fitted, c->index, c->regions, false, error);
    fitted->finding_worth = 0;
    if (status == CARINA_OK) status = fit_all(fitted, out, c, &ranking, findings, likeliest, healthy, pool, error);
    if (!(fitted->finding_worth > 0)) fitted->finding_count = 0;
    sentence_ranking_close(&ranking);
    free(findings);
    return status;
}
