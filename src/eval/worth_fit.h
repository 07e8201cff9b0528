/* Fitting what sentences are worth (pipeline/sentence_ranking.h) on regions with their true sentences, once their
 * probabilities are fitted: the findings' cuts and weights, then healthy_discount d and finding_worth v.
 *
 * c_f is half of the best F1 that saying f from some probability p_f on reaches; w_f = N / (K T_f), with T_f regions of
 * which f is true (at least WORTH_FIT_LEAST), N of them over all K findings that occur: the mean weight of a true
 * finding is 1. A finding that never occurs has weight 0.
 *
 * d and v are of a small grid. The likeliest sentence of each region is right most often, but seldom where there is a
 * finding. So they may spend two thirds of what it wins over always saying "is healthy"; of those that leave a third,
 * the ones with the largest sum of regions with findings exactly right and of the findings' macro F1. Where nothing is
 * won both are 0.
 */
#ifndef EVAL_WORTH_FIT_H
#define EVAL_WORTH_FIT_H

#include "eval/sentence_cases.h"

#define WORTH_FIT_KEPT  (1.0 / 3) /* of what is won */
#define WORTH_FIT_LEAST 5

/* fitted: temperature, prior exponent and encoder are; the rest is filled in. likeliest: the scores with d and v 0;
 * healthy: the share of regions that always saying so gets right. out: the scores with what was fitted. */
carina_status worth_fit_make(sentence_calibration *fitted, sentence_scores *out, const sentence_cases *cases,
                             const sentence_scores *likeliest, double healthy, thread_pool *pool, carina_error *error);

#endif
