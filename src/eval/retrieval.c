/* Figures of retrieval; see retrieval.h. */
#include "eval/retrieval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const int retrieval_cuts[RETRIEVAL_CUTS] = {1, 5, 10};
#define RANKED (RETRIEVAL_MRR + 1) /* metrics that follow from a rank */

char *retrieval_metric_name(char *text, size_t size, int metric) {
    static const char *const others[] = {
        "known sentences",       "exact, healthy regions",     "exact, regions with findings",
        "always healthy: exact", "exact above always healthy", "finding macro F1"};
    static const char *const ways[] = {"", " by region", " by sentence"};
    if (metric >= RETRIEVAL_KNOWN) {
        snprintf(text, size, "%s", others[metric - RETRIEVAL_KNOWN]);
        return text;
    }
    int kind = metric % RANKED;
    const char *way = ways[metric / RANKED];
    if (kind < RETRIEVAL_PRECISION)
        snprintf(text, size, "Recall@%d%s", retrieval_cuts[kind], way);
    else if (kind < RETRIEVAL_MRR)
        snprintf(text, size, "Precision@%d%s", retrieval_cuts[kind - RETRIEVAL_PRECISION], way);
    else
        snprintf(text, size, "MRR%s", way);
    return text;
}

/* ---- scoring ---- */

/* Weighted sums of some items. */
typedef struct rank_sums {
    double weight, within[RETRIEVAL_CUTS], reciprocal;
} rank_sums;

static void add_rank(rank_sums *s, uint32_t rank, double weight) {
    s->weight += weight;
    if (rank == 0) return;
    s->reciprocal += weight / rank;
    for (int c = 0; c < RETRIEVAL_CUTS; c++)
        if (rank <= (uint32_t)retrieval_cuts[c]) s->within[c] += weight;
}

static void rank_values(const rank_sums *s, double out[RANKED]) {
    for (int c = 0; c < RETRIEVAL_CUTS; c++) {
        out[RETRIEVAL_RECALL + c] = s->within[c] / s->weight;
        out[RETRIEVAL_PRECISION + c] = s->within[c] / s->weight / retrieval_cuts[c];
    }
    out[RETRIEVAL_MRR] = s->reciprocal / s->weight;
}

/* The mean of the regions that have any weight. */
static void mean_of_regions(const rank_sums *regions, uint64_t count, double out[RANKED]) {
    double used = 0, sums[RANKED] = {0}, values[RANKED];
    for (uint64_t r = 0; r < count; r++) {
        if (regions[r].weight <= 0) continue;
        rank_values(&regions[r], values);
        used++;
        for (int i = 0; i < RANKED; i++) sums[i] += values[i];
    }
    for (int i = 0; i < RANKED; i++) out[i] = used > 0 ? sums[i] / used : NAN;
}

static bool has_finding(const retrieval_findings *f, int number) { return f->bits[number / 64] >> (number % 64) & 1; }

typedef struct finding_sums {
    double truths, retrieved, hits;
} finding_sums;

static double macro_f1(const finding_sums *sums, int count) {
    double sum = 0, used = 0;
    for (int f = 0; f < count; f++) {
        if (sums[f].truths + sums[f].retrieved <= 0) continue;
        used++;
        sum += 2 * sums[f].hits / (sums[f].truths + sums[f].retrieved);
    }
    return used > 0 ? sum / used : NAN;
}

static void add_findings(finding_sums *sums, const retrieval_item *item, double weight) {
    for (int word = 0; word < RETRIEVAL_MAX_FINDINGS / 64; word++) {
        for (uint64_t left = item->truth.bits[word] | item->retrieved.bits[word]; left; left &= left - 1) {
            int f = word * 64 + __builtin_ctzll(left);
            bool truth = has_finding(&item->truth, f), retrieved = has_finding(&item->retrieved, f);
            if (truth) sums[f].truths += weight;
            if (retrieved) sums[f].retrieved += weight;
            if (truth && retrieved) sums[f].hits += weight;
        }
    }
}

typedef struct item_sums {
    rank_sums all, known, healthy, finding;
    finding_sums findings[RETRIEVAL_MAX_FINDINGS];
} item_sums;

static void fill_values(double *value, const item_sums *s, int finding_count) {
    double total = s->all.weight;
    rank_values(&s->all, value);
    value[RETRIEVAL_KNOWN] = s->known.weight / total;
    value[RETRIEVAL_EXACT_HEALTHY] = s->healthy.within[0] / s->healthy.weight;
    value[RETRIEVAL_EXACT_FINDING] = s->finding.within[0] / s->finding.weight;
    value[RETRIEVAL_ALWAYS_HEALTHY] = s->healthy.weight / total;
    value[RETRIEVAL_MARGIN] = value[RETRIEVAL_RECALL] - value[RETRIEVAL_ALWAYS_HEALTHY];
    value[RETRIEVAL_FINDING_F1] = macro_f1(s->findings, finding_count);
}

/* How many items of the set, whatever their weights, have each true sentence. Malloc'ed, NULL when out of memory. */
static double *count_groups(const retrieval_set *set) {
    double *sizes = calloc((size_t)set->sentence_count + 1, sizeof *sizes);
    for (uint64_t i = 0; sizes && i < set->count; i++) sizes[set->items[i].sentence]++;
    return sizes;
}

carina_status retrieval_score(retrieval_scores *out, const retrieval_set *set, const double *weights, int region,
                              carina_error *error) {
    uint64_t region_count = (uint64_t)set->region_count;
    double *sizes = count_groups(set);
    rank_sums *regions = calloc((size_t)region_count + 1, sizeof *regions), groups = {0};
    item_sums *sums = calloc(1, sizeof *sums);
    *out = (retrieval_scores){0};
    if (!sizes || !regions || !sums) {
        free(sizes);
        free(regions);
        free(sums);
        return error_memory(error, "retrieval scores", (set->sentence_count + region_count) * sizeof *regions);
    }
    for (uint64_t i = 0; i < set->count; i++) {
        const retrieval_item *item = &set->items[i];
        double weight = weights ? weights[i] : 1;
        if (weight <= 0 || (region >= 0 && item->region != (uint32_t)region)) continue;
        out->items++;
        add_rank(&sums->all, item->rank, weight);
        add_rank(&groups, item->rank, weight / sizes[item->sentence]);
        add_rank(&regions[item->region], item->rank, weight);
        add_rank(item->healthy ? &sums->healthy : &sums->finding, item->rank, weight);
        if (item->rank) add_rank(&sums->known, item->rank, weight);
        add_findings(sums->findings, item, weight);
    }
    if (out->items) {
        fill_values(out->value, sums, set->finding_count);
    } else {
        for (int v = 0; v < RETRIEVAL_METRIC_COUNT; v++) out->value[v] = NAN;
    }
    mean_of_regions(regions, region_count, out->value + RETRIEVAL_BY_REGION);
    rank_values(&groups, out->value + RETRIEVAL_BY_GROUP);
    free(sizes);
    free(regions);
    free(sums);
    return CARINA_OK;
}

void retrieval_score_findings(retrieval_finding_score *out, const retrieval_set *set) {
    finding_sums sums[RETRIEVAL_MAX_FINDINGS] = {0};
    for (uint64_t i = 0; i < set->count; i++) add_findings(sums, &set->items[i], 1);
    for (int f = 0; f < set->finding_count; f++) {
        double named = sums[f].truths + sums[f].retrieved;
        out[f] = (retrieval_finding_score){(uint64_t)sums[f].truths, (uint64_t)sums[f].retrieved,
                                           (uint64_t)sums[f].hits, named > 0 ? 2 * sums[f].hits / named : NAN};
    }
}

/* ---- bootstrap ---- */

static carina_status score_resample(void *context, const double *weights, double *values, carina_error *error) {
    retrieval_scores scores;
    TRY(retrieval_score(&scores, context, weights, -1, error));
    memcpy(values, scores.value, sizeof scores.value);
    return CARINA_OK;
}

carina_status retrieval_bootstrap(metrics_interval out[RETRIEVAL_METRIC_COUNT], const retrieval_set *set, int region,
                                  int resamples, uint64_t seed, carina_error *error) {
    uint32_t *patients = malloc((size_t)(set->count + 1) * sizeof *patients);
    retrieval_item *items = malloc((size_t)(set->count + 1) * sizeof *items); /* those asked for */
    retrieval_set kept = *set;
    carina_status status = CARINA_OK;
    kept.items = items;
    kept.count = 0;
    if (!patients || !items) status = error_memory(error, "bootstrap", set->count * sizeof *items);
    for (uint64_t i = 0; i < set->count && status == CARINA_OK; i++) {
        if (region >= 0 && set->items[i].region != (uint32_t)region) continue;
        patients[kept.count] = set->items[i].patient;
        items[kept.count++] = set->items[i];
    }
    if (status == CARINA_OK)
        status = bootstrap_patients(out, RETRIEVAL_METRIC_COUNT, patients, NULL, kept.count, score_resample, &kept,
                                    resamples, seed, error);
    free(patients);
    free(items);
    return status;
}
