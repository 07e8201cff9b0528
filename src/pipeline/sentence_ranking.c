/* Choosing a ranking, and probabilities by it; see sentence_ranking.h. */
#include "pipeline/sentence_ranking.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sentence_ranking sentence_ranking_choose(const sentence_calibration *c, const sentence_index *index, bool cosine) {
    const char *encoder = sentence_index_origin(index)->encoder_fingerprint;
    if (cosine) return (sentence_ranking){.why_not = ""};
    if (!c->fitted) return (sentence_ranking){.why_not = "the model's sentences are not calibrated"};
    if (strncmp(c->encoder, encoder, sizeof c->encoder - 1) != 0)
        return (sentence_ranking){.why_not = "the model's sentences are calibrated for another text encoder"};
    return (sentence_ranking){true, c->temperature, c->prior_exponent, c->temperature * c->prior_exponent, ""};
}

char *sentence_ranking_text(char *text, size_t size, float weight) {
    if (weight > 0)
        snprintf(text, size, "cosine + %.3g log prior", (double)weight);
    else
        snprintf(text, size, "cosine");
    return text;
}

carina_status sentence_ranking_probabilities(const sentence_ranking *ranking, const sentence_index *index, int region,
                                             const float *query, const similarity_hit *hits, int count, float *out,
                                             carina_error *error) {
    uint64_t rows = sentence_index_region(index, region)->count;
    double temperature = (double)ranking->temperature, sum = 0;
    for (int h = 0; h < count; h++) out[h] = NAN;
    if (!ranking->calibrated || count == 0) return CARINA_OK;
    float *scores = malloc((size_t)rows * sizeof *scores);
    if (!scores) return error_memory(error, "probabilities", rows * sizeof *scores);
    carina_status status = sentence_index_similarities(index, region, query, scores, error);
    if (status == CARINA_OK) {
        double best = (double)hits[0].score;
        sentence_index_scores(index, region, scores, ranking->weight, scores);
        for (uint64_t i = 0; i < rows; i++) sum += exp(((double)scores[i] - best) / temperature);
        for (int h = 0; h < count; h++) out[h] = (float)(exp(((double)hits[h].score - best) / temperature) / sum);
    }
    free(scores);
    return status;
}
