/* Fitting the sentences' part of a calibration (pipeline/sentence_ranking.h): temperature T, prior exponent b and the
 * discount of "is healthy", on films that no weight was trained on.
 *
 * Those that make the true sentences of the films' regions most likely. A region whose true sentence the database lacks
 * takes no part, but counts in the figures, as never right. With a = 1/T the negative log-likelihood
 *
 *     sum over regions of log sum_j exp(a (c_j - c) + b (l_j - l)),   c, l: cosine and log prior of the true sentence
 *
 * is convex in (a, b), being a log-linear model's: damped Newton from (1, 1) within the bounds of calibration.h ends at
 * its minimum. Sums are over shards of SENTENCE_FIT_SHARD regions, added in their order: the same for any number of
 * threads. Nothing is fitted, with a reason, when fewer than `least` regions with a finding have their sentence in the
 * database, or when the minimum lies at a bound of T, or at the upper one of b.
 *
 * The likeliest sentence of each region is right most often, but seldom where there is a finding. So the discount takes
 * two thirds of what it wins over always saying "is healthy" and spends it on findings: it is the largest with which at
 * least a third of it is left; 0 when nothing is won.
 */
#ifndef EVAL_SENTENCE_FIT_H
#define EVAL_SENTENCE_FIT_H

#include <stdio.h>

#include "format/json_writer.h"
#include "pipeline/sentence_ranking.h"

#define SENTENCE_FIT_SHARD 64
#define SENTENCE_FIT_KEPT  (1.0 / 3) /* of what is won */

/* ---- regions with their true sentences ---- */

typedef struct sentence_case {
    int region;
    int64_t row;  /* of the true sentence in its region; -1: the database lacks it */
    bool healthy; /* it names no finding */
} sentence_case;

typedef struct sentence_cases {
    const sentence_index *index; /* borrowed */
    const atlas *regions;        /* borrowed */
    uint64_t count, room;
    sentence_case *items; /* [count] */
    float *features;      /* [count, width] */
} sentence_cases;

/* feature [width] of one region of one film; sentence: what its annotation says. A zeroed struct with index and regions
 * is an empty one. */
carina_status sentence_cases_add(sentence_cases *cases, int region, const float *feature, const char *sentence,
                                 carina_error *error);
void sentence_cases_free(sentence_cases *cases); /* accepts an empty one */

/* ---- fitting ---- */

typedef enum sentence_fit_outcome {
    SENTENCE_FIT_FITTED,
    SENTENCE_FIT_FEW,
    SENTENCE_FIT_UNTOLD,
    SENTENCE_FIT_SEPARATED,
    SENTENCE_FIT_USUAL,
    SENTENCE_FIT_OUTCOMES
} sentence_fit_outcome;

const char *sentence_fit_reason(sentence_fit_outcome outcome); /* of FITTED: "" */

/* What a way of choosing gets exactly right. */
typedef struct sentence_fit_scores {
    double all, finding; /* share of all regions, of those with a finding; NaN without any */
} sentence_fit_scores;

typedef struct sentence_fit {
    sentence_fit_outcome outcome;
    sentence_calibration fitted;               /* .fitted false unless FITTED; fitted_on is the caller's */
    uint64_t regions, with_finding, known;     /* known: the true sentence is in the database */
    sentence_fit_scores cosine, healthy;       /* healthy: always saying so */
    sentence_fit_scores likeliest, calibrated; /* without and with the discount; NaN unless FITTED */
    double nll_prior, nll; /* mean -log p(true sentence) of the known: by the prior alone; calibrated, else NaN */
} sentence_fit;

carina_status sentence_fit_make(sentence_fit *out, const sentence_cases *cases, thread_pool *pool, uint64_t least,
                                carina_error *error);

void sentence_fit_print(const sentence_fit *fit, FILE *out);
void sentence_fit_json(const sentence_fit *fit, json_writer *out); /* one object */

#endif
