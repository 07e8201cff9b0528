/* Fitting the sentences' part of a calibration (pipeline/sentence_ranking.h): temperature T and prior exponent b, on
 * films that no weight was trained on.
 *
 * Those that make the true sentences of the films' regions most likely. A region whose true sentence the database lacks
 * takes no part, but counts in the figures, as never right. With a = 1/T the negative log-likelihood
 *
 *     sum over regions of log sum_j exp(a (c_j - c) + b (l_j - l)),   c, l: cosine and log prior of the true sentence
 *
 * is convex in (a, b), being a log-linear model's: damped Newton from (1, 1) within the bounds of calibration.h ends at
 * its minimum. Sums are over shards of SENTENCE_CASES_SHARD regions, added in their order: the same for any number of
 * threads. Nothing is fitted, with a reason, when fewer than `least` regions with a finding have their sentence in the
 * database, or when the minimum lies at a bound of T, or at the upper one of b.
 *
 * What sentences are worth is fitted then: eval/worth_fit.h.
 */
#ifndef EVAL_SENTENCE_FIT_H
#define EVAL_SENTENCE_FIT_H

#include <stdio.h>

#include "eval/sentence_cases.h"
#include "format/json_writer.h"

typedef enum sentence_fit_outcome {
    SENTENCE_FIT_FITTED,
    SENTENCE_FIT_FEW,
    SENTENCE_FIT_UNTOLD,
    SENTENCE_FIT_SEPARATED,
    SENTENCE_FIT_USUAL,
    SENTENCE_FIT_OUTCOMES
} sentence_fit_outcome;

const char *sentence_fit_reason(sentence_fit_outcome outcome); /* of FITTED: "" */

typedef struct sentence_fit {
    sentence_fit_outcome outcome;
    sentence_calibration fitted;           /* .fitted false unless FITTED; fitted_on is the caller's */
    uint64_t regions, with_finding, known; /* known: the true sentence is in the database */
    sentence_scores cosine, healthy;       /* healthy: always saying so */
    sentence_scores likeliest, calibrated; /* by probability, and by worth; NaN unless FITTED */
    double nll_prior, nll; /* mean -log p(true sentence) of the known: by the prior alone; calibrated, else NaN */
} sentence_fit;

carina_status sentence_fit_make(sentence_fit *out, const sentence_cases *cases, thread_pool *pool, uint64_t least,
                                carina_error *error);

void sentence_fit_print(const sentence_fit *fit, FILE *out);
void sentence_fit_json(const sentence_fit *fit, json_writer *out); /* one object */

#endif
