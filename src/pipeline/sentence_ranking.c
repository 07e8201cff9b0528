/* Choosing a ranking, and probabilities by it; see sentence_ranking.h. */
#include "pipeline/sentence_ranking.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEALTHY " is healthy."

bool sentence_says_healthy(const char *sentence, const char *display) {
    size_t length = strlen(display);
    return strncmp(sentence, display, length) == 0 && strcmp(sentence + length, HEALTHY) == 0;
}

static sentence_ranking choose(const sentence_calibration *c, const sentence_index *index, bool cosine) {
    const char *encoder = sentence_index_origin(index)->encoder_fingerprint;
    if (cosine) return (sentence_ranking){.why_not = ""};
    if (!c->fitted) return (sentence_ranking){.why_not = "the model's sentences are not calibrated"};
    if (strncmp(c->encoder, encoder, sizeof c->encoder - 1) != 0)
        return (sentence_ranking){.why_not = "the model's sentences are calibrated for another text encoder"};
    return (sentence_ranking){.calibrated = true,
                              .temperature = c->temperature,
                              .prior_exponent = c->prior_exponent,
                              .healthy_discount = c->healthy_discount,
                              .weight = c->temperature * c->prior_exponent,
                              .why_not = ""};
}

sentence_ranking sentence_ranking_choose(const sentence_calibration *c, sentence_index *index, bool cosine) {
    const sentence_ranking r = choose(c, index, cosine);
    sentence_index_hold_back(index, HEALTHY, r.weight > 0 ? r.healthy_discount / r.prior_exponent : 0);
    return r;
}

sentence_order sentence_ranking_order(const sentence_ranking *r) {
    return (sentence_order){r->weight, r->healthy_discount};
}

char *sentence_order_text(char *text, size_t size, sentence_order order) {
    char behind[64] = "";
    if (order.healthy_discount > 0)
        snprintf(behind, sizeof behind, ", \"is healthy\" %.3g nats behind", (double)order.healthy_discount);
    if (order.prior_weight > 0)
        snprintf(text, size, "cosine + %.3g log prior%s", (double)order.prior_weight, behind);
    else
        snprintf(text, size, "cosine");
    return text;
}

/* Whatever is held back. */
static double true_score(const sentence_ranking *ranking, float cosine, float log_prior) {
    return (double)cosine + (double)ranking->weight * (double)log_prior;
}

carina_status sentence_ranking_probabilities(const sentence_ranking *ranking, const sentence_index *index, int region,
                                             const float *query, const similarity_hit *hits, int count, float *out,
                                             carina_error *error) {
    uint64_t rows = sentence_index_region(index, region)->count;
    double temperature = (double)ranking->temperature, sum = 0;
    for (int h = 0; h < count; h++) out[h] = NAN;
    if (!ranking->calibrated || count == 0) return CARINA_OK;
    float *cosines = malloc((size_t)rows * sizeof *cosines);
    if (!cosines) return error_memory(error, "probabilities", rows * sizeof *cosines);
    const float *log_priors = sentence_index_region(index, region)->log_priors;
    carina_status status = sentence_index_similarities(index, region, query, cosines, error);
    if (status == CARINA_OK) {
        double best = -INFINITY;
        for (uint64_t i = 0; i < rows; i++) best = fmax(best, true_score(ranking, cosines[i], log_priors[i]));
        for (uint64_t i = 0; i < rows; i++)
            sum += exp((true_score(ranking, cosines[i], log_priors[i]) - best) / temperature);
        for (int h = 0; h < count; h++) {
            uint64_t row = hits[h].row;
            out[h] = (float)(exp((true_score(ranking, cosines[row], log_priors[row]) - best) / temperature) / sum);
        }
    }
    free(cosines);
    return status;
}
