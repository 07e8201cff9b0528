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
static double sum_of(const sentence_scores *s) { return s->finding + (isnan(s->f1) ? 0 : s->f1); }

static carina_status fit_order(sentence_calibration *fitted, sentence_scores *out, const sentence_cases *c,
                               sentence_ranking *ranking, const sentence_scores *likeliest, double healthy,
                               thread_pool *pool, carina_error *error) {
    static const float discounts[] = {0, 0.4f, 0.8f, 1.2f, 1.6f, 2, 2.4f};
    static const float worths[] = {0, 0.25f, 0.5f, 1, 2, 4};
    double least = healthy + WORTH_FIT_KEPT * (likeliest->all - healthy), most = sum_of(likeliest);
    *out = *likeliest;
    if (!(likeliest->all > healthy)) return CARINA_OK;
    for (size_t d = 0; d < sizeof discounts / sizeof *discounts; d++)
        for (size_t v = 0; v < sizeof worths / sizeof *worths; v++) {
            sentence_scores s;
            ranking->order.healthy_discount = discounts[d];
            ranking->order.finding_worth = worths[v];
            TRY(sentence_cases_score(&s, c, ranking, pool, error));
            if (!(s.all >= least && sum_of(&s) > most)) continue;
            most = sum_of(&s);
            *out = s;
            fitted->healthy_discount = discounts[d];
            fitted->finding_worth = worths[v];
        }
    return CARINA_OK;
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
    if (status == CARINA_OK) status = find_all(findings, c, &ranking, pool, error);
    if (status == CARINA_OK) status = fit_findings(fitted, c, findings, error);
    for (int f = 0; status == CARINA_OK && f < c->name_count; f++) {
        ranking.cuts[f] = fitted->findings[f].cut;
        ranking.weights[f] = fitted->findings[f].weight;
    }
    fitted->finding_worth = 0;
    if (status == CARINA_OK) status = fit_order(fitted, out, c, &ranking, likeliest, healthy, pool, error);
    if (!(fitted->finding_worth > 0)) fitted->finding_count = 0;
    sentence_ranking_close(&ranking);
    free(findings);
    return status;
}
