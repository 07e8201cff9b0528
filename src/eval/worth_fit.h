/* Fitting what sentences are worth (pipeline/sentence_ranking.h) on regions with their true sentences, once their
 * probabilities are fitted: healthy_discount d and finding_worth v, and with them the findings' cuts and weights.
 *
 * Naming f gains from half of its F1 on, and the more the fewer regions name it or are of it: c_f and w_f are begun
 * with the best F1 that saying f from some probability p_f on reaches, and with w_f = N / (K T_f), of T_f regions of
 * which f is true (at least WORTH_FIT_LEAST), N over all K findings that occur. But sentences say several findings at
 * once, so what is reached is less. So the ranking is tried, and c_f and w_f are moved towards half of the F1 reached
 * and 2 N / (K (T_f + R_f)), R_f regions that say f; WORTH_FIT_ROUNDS times: each is the slope of macro F1 where the
 * round before arrived. A finding that never occurs has weight 0.
 *
 * d and v are of a small grid. The likeliest sentence of each region is right most often, but seldom where there is a
 * finding. So they may spend two thirds of what it wins over always saying "is healthy"; of those rounds that leave a
 * third, the one with the largest sum of regions with findings exactly right and of the findings' macro F1, which
 * counts WORTH_FIT_F1 times. Where nothing is won both are 0.
 */
#ifndef EVAL_WORTH_FIT_H
#define EVAL_WORTH_FIT_H

#include "eval/sentence_cases.h"

#define WORTH_FIT_KEPT   (1.0 / 3) /* of what is won */
#define WORTH_FIT_F1     2
#define WORTH_FIT_LEAST  5
#define WORTH_FIT_ROUNDS 7

/* What is made the most of. */
double worth_fit_gain(const sentence_scores *scores);

/* fitted: temperature, prior exponent and encoder are; the rest is filled in. likeliest: the scores with d and v 0;
 * healthy: the share of regions that always saying so gets right. out: the scores with what was fitted. */
carina_status worth_fit_make(sentence_calibration *fitted, sentence_scores *out, const sentence_cases *cases,
                             const sentence_scores *likeliest, double healthy, thread_pool *pool, carina_error *error);

#endif
