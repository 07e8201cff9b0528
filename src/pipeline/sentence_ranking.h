/* How a region's sentences are ranked: by cosine, as AnatomiX does, or by a model's calibration.
 *
 * Cosines learned by the contrastive loss follow log p(sentence | region) - log p(sentence), pointwise mutual
 * information: rare sentences rank too high. The calibration (pipeline/calibration.h) puts the prior back:
 *
 *     p(s) = p(sentence s | region) = softmax over the region's sentences of (cosine / T + b log prior)
 *
 * prior: the share of the region's training films that say the sentence (sentence_region.log_priors). A calibration is
 * of one text encoder's cosines: with a database of another one it does not count.
 *
 * The likeliest sentence is right most often, but most regions are healthy: it says so wherever a finding is likely but
 * not likelier than health, and the chance of a finding is spread over all the sentences that name it. So a
 * calibration may rank by what a sentence is worth,
 *
 *     worth(s) = p(s) (s names a finding ? e^d : 1) + v * sum over the findings f that s names of w_f (p_f - c_f)
 *     p_f = sum of p over the region's sentences that name f
 *
 * the expected gain of saying s: being exactly right, where right about a finding counts e^d times as much
 * (healthy_discount d, in nats), and v times (finding_worth) what naming f adds to its F1. That is gained from a
 * probability c_f on, half of the F1 that is reached (Lipton, Elkan and Naryanaswamy 2014, arXiv 1402.1892), and
 * weighs the more, w_f, the rarer f is and the more seldom it is said. With d and v 0 the order is that of probability.
 * Only places move: probabilities stay what they are.
 */
#ifndef PIPELINE_SENTENCE_RANKING_H
#define PIPELINE_SENTENCE_RANKING_H

#include "atlas/sentence_findings.h"
#include "index/sentence_index.h"
#include "pipeline/calibration.h"

/* What decides the order, in few numbers: for tables and kept predictions. */
typedef struct sentence_order {
    float prior_weight;     /* T b, of the log prior beside the cosine; 0: by cosine */
    float healthy_discount; /* d */
    float finding_worth;    /* v */
} sentence_order;

/* What the sentences of one region name. */
typedef struct sentence_naming sentence_naming;

typedef struct sentence_ranking {
    bool calibrated;
    sentence_order order;
    float temperature, prior_exponent; /* when calibrated */
    const char *why_not;               /* calibrated; "" when it is, and when ranking by cosine was asked for */
    const sentence_index *index;       /* borrowed */
    sentence_naming *namings;          /* [regions of the index]; NULL: ranked by likelihood or cosine */
    int finding_count;
    float cuts[CALIBRATION_MAX_FINDINGS], weights[CALIBRATION_MAX_FINDINGS]; /* c_f, w_f */
} sentence_ranking;

/* cosine: rank by cosine whatever the calibration. regions: of the index. */
carina_status sentence_ranking_open(sentence_ranking *out, const sentence_calibration *c, const sentence_index *index,
                                    const atlas *regions, bool cosine, carina_error *error);
void sentence_ranking_close(sentence_ranking *ranking); /* accepts a zeroed one */

/* All rows of a region for query [width]: their cosines, p(sentence | region), which is NaN when not calibrated, and
 * what they are ranked by, each [count of rows]; NULL: not wanted, but scores need both. */
carina_status sentence_ranking_rate(const sentence_ranking *ranking, int region, const float *query,
                                    float *similarities, float *probabilities, float *scores, carina_error *error);

/* p_f of every finding that the calibration knows, of a region's probabilities [rows]; into out [finding_count]. Of a
 * ranking by worth. */
void sentence_ranking_findings(const sentence_ranking *ranking, int region, const float *probabilities, float *out);

/* The k rows with the highest score into hits [k] and their probabilities [k], *count of them; equal ones by row. */
carina_status sentence_ranking_search(const sentence_ranking *ranking, int region, const float *query, int k,
                                      similarity_hit *hits, float *probabilities, int *count, carina_error *error);

/* "cosine", or "cosine + 0.0104 log prior", or what it is worth; into text, which it returns. */
char *sentence_order_text(char *text, size_t size, sentence_order order);

#endif
