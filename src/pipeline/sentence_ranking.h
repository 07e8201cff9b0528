/* How a region's sentences are ranked: by cosine, as AnatomiX does, or by a model's calibration.
 *
 * Cosines learned by the contrastive loss follow log p(sentence | region) - log p(sentence), pointwise mutual
 * information: rare sentences rank too high. The calibration (pipeline/calibration.h) puts the prior back:
 *
 *     p(sentence | region) = softmax over the region's sentences of (cosine / T + b log prior)
 *                          = softmax of score / T,   score = cosine + weight * log prior,   weight = T b
 *
 * prior: the share of the region's training films that say the sentence (sentence_region.log_priors). A calibration is
 * of one text encoder's cosines: with a database of another one it does not count.
 *
 * Most regions are healthy, so the likeliest sentence says so wherever a finding is likely but not likelier than
 * health. A calibration may ask for more: "is healthy" comes before another sentence only where it is likelier by so
 * many nats (healthy_discount). That moves places in the ranking, not probabilities.
 */
#ifndef PIPELINE_SENTENCE_RANKING_H
#define PIPELINE_SENTENCE_RANKING_H

#include "index/sentence_index.h"
#include "pipeline/calibration.h"

/* What decides the order, in few numbers: for tables and kept predictions. */
typedef struct sentence_order {
    float prior_weight;     /* of the log prior beside the cosine; 0: by cosine */
    float healthy_discount; /* nats; 0: none */
} sentence_order;

typedef struct sentence_ranking {
    bool calibrated;
    float temperature, prior_exponent, healthy_discount; /* when calibrated */
    float weight;                                        /* of the log prior in the score; 0: by cosine */
    const char *why_not; /* calibrated; "" when it is, and when ranking by cosine was asked for */
} sentence_ranking;

/* cosine: rank by cosine whatever the calibration. The index holds back "is healthy" as the ranking wants it. */
sentence_ranking sentence_ranking_choose(const sentence_calibration *c, sentence_index *index, bool cosine);

/* Does a sentence about `display` say that it is healthy? */
bool sentence_says_healthy(const char *sentence, const char *display);

sentence_order sentence_ranking_order(const sentence_ranking *ranking);
/* "cosine", or "cosine + 0.0104 log prior, "is healthy" 0.7 nats behind"; into text, which it returns. */
char *sentence_order_text(char *text, size_t size, sentence_order order);

/* p(sentence | region) of hits [count] that a search by this ranking's weight gave for query [width], into out [count];
 * NaN when not calibrated. */
carina_status sentence_ranking_probabilities(const sentence_ranking *ranking, const sentence_index *index, int region,
                                             const float *query, const similarity_hit *hits, int count, float *out,
                                             carina_error *error);

#endif
