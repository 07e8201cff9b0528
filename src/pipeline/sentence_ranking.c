/* Choosing a ranking, and rating sentences by it; see sentence_ranking.h. */
#include "pipeline/sentence_ranking.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sentence_naming {
    bool *healthy;   /* [rows] names no finding */
    uint32_t *begin; /* [rows + 1] into names */
    uint16_t *names; /* numbers of findings that the calibration knows */
};

/* ---- what sentences name ---- */

static carina_status read_names(sentence_naming *out, const sentence_region *r, const sentence_calibration *c,
                                const atlas *regions, carina_error *error) {
    const char *known[CALIBRATION_MAX_FINDINGS];
    size_t rows = (size_t)r->count, room = 4 * rows + SENTENCE_FINDINGS;
    for (int f = 0; f < c->finding_count; f++) known[f] = c->findings[f].name;
    out->healthy = calloc(rows + 1, sizeof *out->healthy);
    out->begin = calloc(rows + 1, sizeof *out->begin);
    out->names = malloc(room * sizeof *out->names);
    if (!out->healthy || !out->begin || !out->names) return error_memory(error, r->name, room);
    uint32_t used = 0;
    for (size_t i = 0; i < rows; i++) {
        sentence_finding found[SENTENCE_FINDINGS];
        int count = sentence_findings_parse(found, r->entries[i].text, r->display, regions);
        out->healthy[i] = count == 0;
        if (used + SENTENCE_FINDINGS > room) {
            uint16_t *names = realloc(out->names, (room *= 2) * sizeof *names);
            if (!names) return error_memory(error, r->name, room * sizeof *names);
            out->names = names;
        }
        for (int k = 0; k < count; k++) {
            int name = sentence_finding_find(known, c->finding_count, found[k].name, found[k].length);
            if (name >= 0) out->names[used++] = (uint16_t)name;
        }
        out->begin[i + 1] = used;
    }
    return CARINA_OK;
}

static carina_status read_all_names(sentence_ranking *r, const sentence_calibration *c, const atlas *regions,
                                    carina_error *error) {
    int count = sentence_index_regions(r->index);
    if (count != regions->region_count)
        return error_set(error, CARINA_ERROR_MISMATCH, "a database of %d regions for a region set of %d", count,
                         regions->region_count);
    r->namings = calloc((size_t)count, sizeof *r->namings);
    if (!r->namings) return error_memory(error, "what sentences name", (uint64_t)count * sizeof *r->namings);
    for (int i = 0; i < count; i++)
        TRY(read_names(&r->namings[i], sentence_index_region(r->index, i), c, regions, error));
    return CARINA_OK;
}

/* ---- choosing ---- */

static sentence_ranking choose(const sentence_calibration *c, const sentence_index *index, bool cosine) {
    const char *encoder = sentence_index_origin(index)->encoder_fingerprint;
    sentence_ranking r = {.index = index, .why_not = ""};
    if (cosine) return r;
    if (!c->fitted)
        r.why_not = "the model's sentences are not calibrated";
    else if (!*c->encoder)
        r.why_not = "the model does not say for which text encoder its sentences are calibrated";
    else if (strncmp(c->encoder, encoder, sizeof c->encoder - 1) != 0)
        r.why_not = "the model's sentences are calibrated for another text encoder";
    if (*r.why_not) return r;
    r.calibrated = true;
    r.temperature = c->temperature;
    r.prior_exponent = c->prior_exponent;
    r.order = (sentence_order){c->temperature * c->prior_exponent, c->healthy_discount, c->finding_worth};
    r.finding_count = c->finding_count;
    for (int f = 0; f < c->finding_count; f++) {
        r.cuts[f] = c->findings[f].cut;
        r.weights[f] = c->findings[f].weight;
    }
    return r;
}

carina_status sentence_ranking_open(sentence_ranking *out, const sentence_calibration *c, const sentence_index *index,
                                    const atlas *regions, bool cosine, carina_error *error) {
    *out = choose(c, index, cosine);
    if (!(out->order.healthy_discount > 0 || out->order.finding_worth > 0)) return CARINA_OK;
    carina_status status = read_all_names(out, c, regions, error);
    if (status != CARINA_OK) sentence_ranking_close(out);
    return status;
}

void sentence_ranking_close(sentence_ranking *r) {
    for (int i = 0; r->namings && i < sentence_index_regions(r->index); i++) {
        free(r->namings[i].healthy);
        free(r->namings[i].begin);
        free(r->namings[i].names);
    }
    free(r->namings);
    *r = (sentence_ranking){0};
}

/* ---- rating ---- */

static void rate_probabilities(const sentence_ranking *r, int region, const float *similarities, float *out) {
    const sentence_region *s = sentence_index_region(r->index, region);
    double temperature = (double)r->temperature, weight = (double)r->order.prior_weight, best = -INFINITY, sum = 0;
    for (uint64_t i = 0; i < s->count; i++)
        best = fmax(best, (double)similarities[i] + weight * (double)s->log_priors[i]);
    for (uint64_t i = 0; i < s->count; i++) {
        double p = exp(((double)similarities[i] + weight * (double)s->log_priors[i] - best) / temperature);
        out[i] = (float)p;
        sum += p;
    }
    for (uint64_t i = 0; i < s->count; i++) out[i] = (float)((double)out[i] / sum);
}

void sentence_ranking_findings(const sentence_ranking *r, int region, const float *probabilities, float *out) {
    const sentence_naming *names = &r->namings[region];
    uint64_t rows = sentence_index_region(r->index, region)->count;
    memset(out, 0, (size_t)r->finding_count * sizeof *out);
    for (uint64_t i = 0; i < rows; i++)
        for (uint32_t k = names->begin[i]; k < names->begin[i + 1]; k++) out[names->names[k]] += probabilities[i];
}

static void rate_worth(const sentence_ranking *r, int region, const float *probabilities, float *out) {
    const sentence_naming *names = &r->namings[region];
    uint64_t rows = sentence_index_region(r->index, region)->count;
    float gain[CALIBRATION_MAX_FINDINGS], found = expf(r->order.healthy_discount);
    sentence_ranking_findings(r, region, probabilities, gain);
    for (int f = 0; f < r->finding_count; f++)
        gain[f] = r->order.finding_worth * r->weights[f] * (gain[f] - r->cuts[f]);
    for (uint64_t i = 0; i < rows; i++) {
        out[i] = probabilities[i] * (names->healthy[i] ? 1 : found);
        for (uint32_t k = names->begin[i]; k < names->begin[i + 1]; k++) out[i] += gain[names->names[k]];
    }
}

carina_status sentence_ranking_rate(const sentence_ranking *r, int region, const float *query, float *similarities,
                                    float *probabilities, float *scores, carina_error *error) {
    uint64_t rows = sentence_index_region(r->index, region)->count;
    TRY(sentence_index_similarities(r->index, region, query, similarities, error));
    if (!probabilities) return CARINA_OK;
    if (r->calibrated)
        rate_probabilities(r, region, similarities, probabilities);
    else
        for (uint64_t i = 0; i < rows; i++) probabilities[i] = NAN;
    if (!scores) return CARINA_OK;
    if (r->namings)
        rate_worth(r, region, probabilities, scores);
    else
        sentence_index_scores(r->index, region, similarities, r->order.prior_weight, scores);
    return CARINA_OK;
}

carina_status sentence_ranking_search(const sentence_ranking *r, int region, const float *query, int k,
                                      similarity_hit *hits, float *probabilities, int *count, carina_error *error) {
    TRY(sentence_index_search(r->index, NULL, region, query, r->order.prior_weight, k, hits, count, error));
    for (int h = 0; h < *count; h++) probabilities[h] = NAN;
    if (!r->calibrated || *count == 0) return CARINA_OK;
    uint64_t rows = sentence_index_region(r->index, region)->count;
    float *rated = malloc(3 * (size_t)rows * sizeof *rated);
    if (!rated) return error_memory(error, "search", 3 * rows * sizeof *rated);
    float *chances = rated + rows, *scores = chances + rows;
    carina_status status = sentence_ranking_rate(r, region, query, rated, chances, scores, error);
    if (status == CARINA_OK && r->namings) { /* the likeliest were found; the worthiest are asked for */
        similarity_top top = {.wanted = k, .hits = hits};
        for (uint64_t i = 0; i < rows; i++) similarity_offer(&top, (similarity_hit){(uint32_t)i, rated[i], scores[i]});
    }
    for (int h = 0; status == CARINA_OK && h < *count; h++) probabilities[h] = chances[hits[h].row];
    free(rated);
    return status;
}

/* ---- words ---- */

char *sentence_order_text(char *text, size_t size, sentence_order order) {
    char more[100] = "";
    if (order.finding_worth > 0)
        snprintf(more, sizeof more, ", by what they are worth (findings %.3g, \"is healthy\" %.3g nats behind)",
                 (double)order.finding_worth, (double)order.healthy_discount);
    else if (order.healthy_discount > 0)
        snprintf(more, sizeof more, ", \"is healthy\" %.3g nats behind", (double)order.healthy_discount);
    if (order.prior_weight > 0)
        snprintf(text, size, "cosine + %.3g log prior%s", (double)order.prior_weight, more);
    else
        snprintf(text, size, "cosine");
    return text;
}
