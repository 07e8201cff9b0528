/* Items of retrieval from region features, a database and the true sentences; see retrieval.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"
#include "data/region_sentence.h"
#include "data/string_index.h"
#include "eval/retrieval.h"

struct retrieval_collector {
    const sentence_ranking *ranking; /* NULL: nothing is asked */
    const atlas *regions;
    retrieval_item *items;
    uint64_t count, room;
    string_index *patients, *sentences, *findings;
    const char *finding_names[RETRIEVAL_MAX_FINDINGS]; /* borrowed from the index of findings */
    sentence_order order;
    float *similarities, *probabilities, *scores; /* [rows of the region with the most] */
};

carina_status retrieval_collector_create(retrieval_collector **out, const sentence_ranking *ranking,
                                         sentence_order order, const atlas *regions, carina_error *error) {
    const sentence_index *index = ranking ? ranking->index : NULL;
    *out = NULL;
    uint64_t most = index ? sentence_index_most(index) : 1;
    retrieval_collector *c = calloc(1, sizeof *c);
    if (!c) return error_memory(error, "retrieval", sizeof *c);
    c->ranking = ranking;
    c->regions = regions;
    c->order = ranking ? ranking->order : order;
    c->similarities = malloc((size_t)most * sizeof *c->similarities);
    c->probabilities = malloc((size_t)most * sizeof *c->probabilities);
    c->scores = malloc((size_t)most * sizeof *c->scores);
    carina_status status = c->similarities && c->probabilities && c->scores
                               ? CARINA_OK
                               : error_memory(error, "retrieval", most * sizeof(float));
    if (status == CARINA_OK && index)
        status = sentence_index_check(index, "sentence database", &(sentence_index_use){.regions = regions}, error);
    if (status == CARINA_OK) status = string_index_create(&c->patients, error);
    if (status == CARINA_OK) status = string_index_create(&c->sentences, error);
    if (status == CARINA_OK) status = string_index_create(&c->findings, error);
    if (status != CARINA_OK) {
        retrieval_collector_free(c);
        return status;
    }
    *out = c;
    return CARINA_OK;
}

void retrieval_collector_free(retrieval_collector *c) {
    if (!c) return;
    string_index_free(c->patients);
    string_index_free(c->sentences);
    string_index_free(c->findings);
    free(c->similarities);
    free(c->probabilities);
    free(c->scores);
    free(c->items);
    free(c);
}

static carina_status add_finding(retrieval_collector *c, retrieval_findings *out, const sentence_finding *f,
                                 carina_error *error) {
    char name[REGION_SENTENCE_MAX + 1];
    uint32_t number;
    snprintf(name, sizeof name, "%.*s", (int)f->length, f->name);
    if (string_index_count(c->findings) == RETRIEVAL_MAX_FINDINGS && !string_index_find(c->findings, name, &number))
        return error_set(error, CARINA_ERROR_LIMIT, "sentences name more than %d findings", RETRIEVAL_MAX_FINDINGS);
    const char *stored = NULL;
    TRY(string_index_number(c->findings, name, &number, &stored, error));
    if (stored) c->finding_names[number] = stored;
    out->bits[number / 64] |= 1ull << (number % 64);
    return CARINA_OK;
}

/* *count: how many there are, -1 when the text is no sentence about the region. */
static carina_status findings_of(retrieval_collector *c, retrieval_findings *out, int *count, int region,
                                 const char *sentence, carina_error *error) {
    sentence_finding found[SENTENCE_FINDINGS];
    *count = sentence_findings_parse(found, sentence, c->regions->regions[region].display_name, c->regions);
    for (int i = 0; i < *count; i++) TRY(add_finding(c, out, &found[i], error));
    return CARINA_OK;
}

/* Ranks the region's sentences by the feature: the true one's rank, and the row that comes first. */
static carina_status rank_sentences(retrieval_collector *c, int region, const float *feature, const char *truth,
                                    uint32_t *rank, int64_t *best, carina_error *error) {
    uint64_t rows = sentence_index_region(c->ranking->index, region)->count;
    int64_t row = sentence_index_find(c->ranking->index, region, truth);
    const float *s = c->scores;
    *rank = 0;
    *best = -1;
    if (rows == 0) return CARINA_OK;
    TRY(sentence_ranking_rate(c->ranking, region, feature, c->similarities, c->probabilities, c->scores, error));
    *best = 0;
    for (uint64_t i = 1; i < rows; i++)
        if (s[i] > s[*best]) *best = (int64_t)i;
    if (row < 0) return CARINA_OK;
    *rank = 1;
    for (uint64_t i = 0; i < rows; i++) *rank += s[i] > s[row] || (s[i] == s[row] && (int64_t)i < row);
    return CARINA_OK;
}

carina_status retrieval_collector_ask(retrieval_collector *c, int region, const float *feature, const char *sentence,
                                      retrieval_answer *out, carina_error *error) {
    int64_t best;
    *out = (retrieval_answer){0};
    if (region < 0 || region >= c->regions->region_count)
        return error_set(error, CARINA_ERROR_ARGUMENT, "region %d of %d", region, c->regions->region_count);
    TRY(rank_sentences(c, region, feature, sentence, &out->rank, &best, error));
    if (best < 0) return CARINA_OK;
    out->retrieved = sentence_index_region(c->ranking->index, region)->entries[best].text;
    out->similarity = c->similarities[best];
    return CARINA_OK;
}

static carina_status fill_item(retrieval_collector *c, retrieval_item *item, int region, const char *sentence,
                               const retrieval_answer *answer, carina_error *error) {
    int count;
    *item = (retrieval_item){.region = (uint32_t)region, .rank = answer->rank};
    TRY(findings_of(c, &item->truth, &count, region, sentence, error));
    if (count < 0)
        return error_set(error, CARINA_ERROR_FORMAT, "\"%.120s\" is no sentence about %s", sentence,
                         c->regions->regions[region].display_name);
    item->healthy = count == 0;
    return answer->retrieved ? findings_of(c, &item->retrieved, &count, region, answer->retrieved, error) : CARINA_OK;
}

static carina_status make_room(retrieval_collector *c, carina_error *error) {
    if (c->count < c->room) return CARINA_OK;
    uint64_t room = c->room ? c->room * 2 : 256;
    retrieval_item *items = realloc(c->items, (size_t)room * sizeof *items);
    if (!items) return error_memory(error, "retrieval", room * sizeof *items);
    c->items = items;
    c->room = room;
    return CARINA_OK;
}

carina_status retrieval_collector_add_ranked(retrieval_collector *c, const char *patient, int region,
                                             const char *sentence, const retrieval_answer *answer,
                                             carina_error *error) {
    if (region < 0 || region >= c->regions->region_count)
        return error_set(error, CARINA_ERROR_ARGUMENT, "region %d of %d", region, c->regions->region_count);
    retrieval_item item;
    TRY(make_room(c, error));
    TRY(fill_item(c, &item, region, sentence, answer, error));
    TRY(string_index_number(c->patients, patient, &item.patient, NULL, error));
    size_t size = strlen(sentence) + 16;
    char *key = malloc(size); /* the same words about another region are another sentence */
    if (!key) return error_memory(error, "retrieval", size);
    snprintf(key, size, "%d %s", region, sentence);
    carina_status status = string_index_number(c->sentences, key, &item.sentence, NULL, error);
    free(key);
    if (status == CARINA_OK) c->items[c->count++] = item;
    return status;
}

carina_status retrieval_collector_add(retrieval_collector *c, const char *patient, int region, const float *feature,
                                      const char *sentence, carina_error *error) {
    retrieval_answer answer;
    TRY(retrieval_collector_ask(c, region, feature, sentence, &answer, error));
    return retrieval_collector_add_ranked(c, patient, region, sentence, &answer, error);
}

retrieval_set retrieval_collector_set(const retrieval_collector *c) {
    return (retrieval_set){c->items, c->count, c->regions->region_count, (uint32_t)string_index_count(c->sentences),
                           (int)string_index_count(c->findings)};
}

const char *retrieval_collector_finding(const retrieval_collector *c, int number) { return c->finding_names[number]; }

uint64_t retrieval_collector_patients(const retrieval_collector *c) { return string_index_count(c->patients); }

sentence_order retrieval_collector_order(const retrieval_collector *c) { return c->order; }
