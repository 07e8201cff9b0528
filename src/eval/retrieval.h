/* How well retrieved sentences meet the true ones: ranks, exact matches, findings; with patient bootstrap intervals.
 *
 * An item is one region of one film whose annotation has a box, and so a true sentence. Its rank is the place of the
 * true sentence among the region's sentences in the database, best first as they are ranked
 * (pipeline/sentence_ranking.h); a true sentence that the database lacks has
 * no rank: it is a miss everywhere, never left out. Three ways of averaging, of each Recall@k, Precision@k and MRR:
 *   overall   every item counts the same
 *   by region within each region, then over the regions
 *   by group  within each distinct true sentence (of a region), then over the sentences: the reference's
 *             "group-normalised" figures, in which "is healthy" weighs no more than a rare sentence. An item counts
 *             1 / (items of the set with its sentence), in resamples too: were it 1 / (those drawn), sentences said
 *             once would leave every third resample, and intervals would lie beside their figure
 * With one true sentence an item, Recall@k is 1 when rank <= k, Precision@k is Recall@k / k, MRR's term is 1 / rank.
 * Findings are read back from sentences (atlas/sentence_findings.h). Per finding, an item is a hit when both sentences
 * name it; F1 = 2 hits / (true + retrieved); the macro F1 is over the findings that a true or a retrieved sentence
 * names.
 */
#ifndef EVAL_RETRIEVAL_H
#define EVAL_RETRIEVAL_H

#include <stddef.h>

#include "eval/bootstrap.h"
#include "index/sentence_index.h"
#include "pipeline/sentence_ranking.h"

#define RETRIEVAL_CUTS 3 /* k = 1, 5, 10 */
extern const int retrieval_cuts[RETRIEVAL_CUTS];
#define RETRIEVAL_MAX_FINDINGS 256

typedef struct retrieval_findings {
    uint64_t bits[RETRIEVAL_MAX_FINDINGS / 64]; /* of finding numbers */
} retrieval_findings;

typedef struct retrieval_item {
    uint32_t patient;  /* from 0 */
    uint32_t region;   /* 0 .. region_count - 1 */
    uint32_t sentence; /* number of the distinct true sentence (and region) */
    uint32_t rank;     /* from 1; 0: the database lacks the true sentence */
    bool healthy;      /* the true sentence names no finding */
    retrieval_findings truth, retrieved;
} retrieval_item;

typedef struct retrieval_set {
    const retrieval_item *items;
    uint64_t count;
    int region_count;
    uint32_t sentence_count; /* true sentences */
    int finding_count;
} retrieval_set;

typedef enum retrieval_metric {
    RETRIEVAL_RECALL,                                               /* + cut: Recall@1, @5, @10 */
    RETRIEVAL_PRECISION = RETRIEVAL_RECALL + RETRIEVAL_CUTS,        /* + cut */
    RETRIEVAL_MRR = RETRIEVAL_PRECISION + RETRIEVAL_CUTS,           /* overall */
    RETRIEVAL_BY_REGION = RETRIEVAL_MRR + 1,                        /* + any of the above: by region */
    RETRIEVAL_BY_GROUP = RETRIEVAL_BY_REGION + RETRIEVAL_BY_REGION, /* + any of the above: by true sentence */
    RETRIEVAL_KNOWN = RETRIEVAL_BY_GROUP + RETRIEVAL_BY_REGION,     /* share of true sentences in the database */
    RETRIEVAL_EXACT_HEALTHY,  /* exactly right (rank 1) among items that are healthy */
    RETRIEVAL_EXACT_FINDING,  /* among items that are not */
    RETRIEVAL_ALWAYS_HEALTHY, /* what always saying "healthy" would get right, of all items */
    RETRIEVAL_MARGIN,         /* Recall@1 - ALWAYS_HEALTHY, of the same resample: outside 0 when its interval is */
    RETRIEVAL_FINDING_F1,     /* macro F1 of findings */
    RETRIEVAL_METRIC_COUNT
} retrieval_metric;

/* "Recall@5", "MRR by region", "finding macro F1"; into text, which it returns. */
char *retrieval_metric_name(char *text, size_t size, int metric);

typedef struct retrieval_scores {
    uint64_t items;                       /* that count */
    double value[RETRIEVAL_METRIC_COUNT]; /* NaN where there is nothing to average */
} retrieval_scores;

/* Of the items of `region` (-1: all), each counted weights [count] times (NULL: once). */
carina_status retrieval_score(retrieval_scores *out, const retrieval_set *set, const double *weights, int region,
                              carina_error *error);

/* An interval for each metric. */
carina_status retrieval_bootstrap(metrics_interval out[RETRIEVAL_METRIC_COUNT], const retrieval_set *set, int region,
                                  int resamples, uint64_t seed, carina_error *error);

typedef struct retrieval_finding_score {
    uint64_t truths, retrieved, hits;
    double f1; /* NaN when neither names it */
} retrieval_finding_score;

/* out [finding_count], over all items. */
void retrieval_score_findings(retrieval_finding_score *out, const retrieval_set *set);

/* ---- making items ---- */

/* Gathers items against one database; ids of patients and sentences are numbered as they come. */
typedef struct retrieval_collector retrieval_collector;

/* ranking and regions (whose findings resolve names with " and ") are borrowed. ranking NULL: only add_ranked is
 * called, of what was ranked by `order`, which otherwise counts for nothing. */
carina_status retrieval_collector_create(retrieval_collector **out, const sentence_ranking *ranking,
                                         sentence_order order, const atlas *regions, carina_error *error);
void retrieval_collector_free(retrieval_collector *c); /* accepts NULL */

/* One region of one film: feature [width] is what the model gives, sentence what the annotation says. patient: an id;
 * of a film whose patient is not known, the film's own id. A region without sentences in the database retrieves
 * nothing. */
carina_status retrieval_collector_add(retrieval_collector *c, const char *patient, int region, const float *feature,
                                      const char *sentence, carina_error *error);

/* What retrieving gave for an item: kept beside the figures, so that others can be made of it later. */
typedef struct retrieval_answer {
    uint32_t rank;         /* of the true sentence; 0: not in the database */
    const char *retrieved; /* the sentence that came first, NULL: none */
    float similarity;      /* of that one: its cosine, whatever it was ranked by */
} retrieval_answer;

/* The same as add, split in two: what is retrieved, and counting it. Texts of the answer are the index's. */
carina_status retrieval_collector_ask(retrieval_collector *c, int region, const float *feature, const char *sentence,
                                      retrieval_answer *out, carina_error *error);
carina_status retrieval_collector_add_ranked(retrieval_collector *c, const char *patient, int region,
                                             const char *sentence, const retrieval_answer *answer, carina_error *error);

sentence_order retrieval_collector_order(const retrieval_collector *c);

/* Valid until the next add. */
retrieval_set retrieval_collector_set(const retrieval_collector *c);
const char *retrieval_collector_finding(const retrieval_collector *c, int number); /* its name */
uint64_t retrieval_collector_patients(const retrieval_collector *c);

#endif
