/* Numbering sentences and embedding each once; see sentence_vectors.h. */
#include "train/sentence_vectors.h"

#include <stdlib.h>
#include <string.h>

#include "atlas/sentence_findings.h"
#include "base/cursor.h"
#include "data/film_scan.h"
#include "data/string_index.h"

typedef struct reading {
    sentence_vectors *out;
    const atlas *regions;
    string_index *numbers;
    uint64_t first, room; /* of the set's films; for texts */
} reading;

const uint32_t *sentence_vectors_of(const sentence_vectors *v, uint64_t film) {
    return v->number + film * (uint64_t)v->regions;
}

static carina_status grow(reading *r, carina_error *error) {
    sentence_vectors *v = r->out;
    if (v->count < r->room) return CARINA_OK;
    uint64_t room = r->room ? 2 * r->room : 256;
    char **texts = realloc(v->texts, (size_t)room * sizeof *texts);
    if (texts) v->texts = texts;
    bool *healthy = realloc(v->healthy, (size_t)room * sizeof *healthy);
    if (healthy) v->healthy = healthy;
    uint16_t *region = realloc(v->region, (size_t)room * sizeof *region);
    if (region) v->region = region;
    if (!texts || !healthy || !region) return error_memory(error, "sentences", room * sizeof *texts);
    r->room = room;
    return CARINA_OK;
}

static carina_status add_sentence(reading *r, int region, const char *text, uint32_t *number, carina_error *error) {
    sentence_vectors *v = r->out;
    sentence_finding findings[SENTENCE_FINDINGS];
    if (string_index_find(r->numbers, text, number)) return CARINA_OK;
    if (v->count == SENTENCE_VECTORS_NONE)
        return error_set(error, CARINA_ERROR_LIMIT, "more than %u different sentences", SENTENCE_VECTORS_NONE - 1);
    TRY(grow(r, error));
    *number = (uint32_t)v->count;
    TRY(string_index_add(r->numbers, text, *number, NULL, NULL, error));
    v->texts[v->count] = strdup(text);
    if (!v->texts[v->count]) return error_memory(error, "sentences", strlen(text));
    const char *object = r->regions->regions[region].display_name;
    v->region[v->count] = (uint16_t)region;
    v->healthy[v->count++] = sentence_findings_parse(findings, text, object, r->regions) == 0;
    return CARINA_OK;
}

static carina_status number_film(void *context, uint64_t index, const sample *s, carina_error *error) {
    reading *r = context;
    uint32_t *number = r->out->number + (r->first + index) * (uint64_t)r->out->regions;
    for (int i = 0; i < r->out->regions; i++) {
        number[i] = SENTENCE_VECTORS_NONE;
        if (s->present[i] && s->sentences[i]) TRY(add_sentence(r, i, s->sentences[i], &number[i], error));
    }
    return CARINA_OK;
}

carina_status sentence_vectors_read(sentence_vectors *out, dataset *const *sets, int set_count, const atlas *regions,
                                    thread_pool *pool, bool show, carina_error *error) {
    reading r = {.out = out, .regions = regions};
    uint64_t bytes;
    *out = (sentence_vectors){.regions = regions->region_count};
    for (int i = 0; i < set_count; i++) out->films += dataset_count(sets[i]);
    if (!size_multiply(out->films + 1, (uint64_t)out->regions * sizeof *out->number, &bytes) ||
        !(out->number = malloc((size_t)bytes)))
        return error_memory(error, "sentences", out->films);
    carina_status status = string_index_create(&r.numbers, error);
    for (int i = 0; i < set_count && status == CARINA_OK; i++) {
        status = film_scan(sets[i], pool, show ? "reading sentences" : NULL, number_film, &r, error);
        r.first += dataset_count(sets[i]);
    }
    string_index_free(r.numbers);
    if (status != CARINA_OK) sentence_vectors_free(out);
    return status;
}

static void free_texts(sentence_vectors *v) {
    for (uint64_t i = 0; v->texts && i < v->count; i++) free(v->texts[i]);
    free(v->texts);
    v->texts = NULL;
}

carina_status sentence_vectors_embed(sentence_vectors *v, text_encoder *encoder, bool show, carina_error *error) {
    uint64_t bytes;
    v->width = encoder->model->config.width;
    text_span *spans = malloc((size_t)(v->count + 1) * sizeof *spans);
    if (size_multiply(v->count + 1, (uint64_t)v->width * sizeof *v->vectors, &bytes))
        v->vectors = malloc((size_t)bytes);
    carina_status status = spans && v->vectors ? CARINA_OK : error_memory(error, "sentences", v->count);
    if (status == CARINA_OK) {
        for (uint64_t i = 0; i < v->count; i++) spans[i] = (text_span){v->texts[i], strlen(v->texts[i])};
        progress *line = show ? progress_start("embedding sentences", "sentences", 0, v->count) : NULL;
        status = text_encoder_encode(encoder, spans, v->count, v->vectors, NULL, NULL, line, error);
        progress_finish(line);
    }
    free(spans);
    free_texts(v);
    return status;
}

void sentence_vectors_free(sentence_vectors *v) {
    if (!v) return;
    free_texts(v);
    free(v->healthy);
    free(v->region);
    free(v->number);
    free(v->vectors);
    *v = (sentence_vectors){0};
}
