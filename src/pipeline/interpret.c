/* Retrieval, findings and the film check over a locator; see interpret.h. */
#include "pipeline/interpret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "index/index_file.h"
#include "model/model_fingerprint.h"

#define MODEL_ENDING    ".safetensors"
#define DATABASE_ENDING ".sentences.sqlite"

struct interpreter {
    locator *locator;
    char *path; /* of the database; NULL: none */
    sentence_index *index;
    int top;
    calibration calibration;
    sentence_ranking ranking; /* with an index */
    char print[FINGERPRINT_TEXT];
};

const char *interpreter_database_path(const interpreter *i) { return i->path; }
const sentence_index *interpreter_database(const interpreter *i) { return i->index; }
const char *interpreter_fingerprint(const interpreter *i) { return i->print; }
const calibration *interpreter_calibration(const interpreter *i) { return &i->calibration; }
const sentence_ranking *interpreter_ranking(const interpreter *i) { return i->index ? &i->ranking : NULL; }

/* *out NULL: there is no file beside the model. */
static carina_status find_database(char **out, const char *model, carina_error *error) {
    size_t length = strlen(model), ending = strlen(MODEL_ENDING);
    if (length > ending && strcmp(model + length - ending, MODEL_ENDING) == 0) length -= ending;
    if (asprintf(out, "%.*s" DATABASE_ENDING, (int)length, model) < 0) {
        *out = NULL;
        return error_memory(error, "the path of a database", length);
    }
    if (file_exists(*out)) return CARINA_OK;
    free(*out);
    *out = NULL;
    return CARINA_OK;
}

static carina_status open_database(interpreter *i, const char *path, carina_error *error) {
    const model_file *model = locator_model(i->locator);
    if (path) {
        i->path = strdup(path);
        if (!i->path) return error_memory(error, path, strlen(path));
    } else {
        TRY(find_database(&i->path, locator_path(i->locator), error));
    }
    if (!i->path) return CARINA_OK;
    const sentence_index_use use = {
        .regions = model->regions, .model_fingerprint = i->print, .width = model->model->config.feature_size};
    return index_file_read(&i->index, i->path, &use, error);
}

carina_status interpreter_open(interpreter **out, locator *l, const interpreter_options *options, carina_error *error) {
    if (options->top < 1 || options->top > SENTENCE_INDEX_MAX_K)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%d sentences a region: between 1 and %d are given",
                         options->top, SENTENCE_INDEX_MAX_K);
    interpreter *i = calloc(1, sizeof *i);
    if (!i) return error_memory(error, "an interpreter", sizeof *i);
    i->locator = l;
    i->top = options->top;
    fingerprint_text(i->print, model_fingerprint(locator_model(l)->model->parameters));
    carina_status status = calibration_read(&i->calibration, locator_model(l), locator_path(l), error);
    if (status == CARINA_OK) status = open_database(i, options->database, error);
    if (status == CARINA_OK && i->index)
        status = sentence_ranking_open(&i->ranking, &i->calibration.sentences, i->index, locator_regions(l),
                                       options->cosine, error);
    if (status == CARINA_OK)
        *out = i;
    else
        interpreter_close(i);
    return status;
}

void interpreter_close(interpreter *i) {
    if (!i) return;
    sentence_ranking_close(&i->ranking);
    sentence_index_free(i->index);
    free(i->path);
    free(i);
}

void interpretation_free(interpretation *made) {
    carina_location_free(&made->location);
    locator_reading_free(&made->reading);
    free(made->regions);
    free(made->findings);
    free(made->hits);
    *made = (interpretation){0};
}

/* What is found for a region, as the interpretation has it; found and probabilities [top] are scratch. */
static carina_status fill_region(const interpreter *i, interpretation *out, int region, similarity_hit *found,
                                 float *probabilities, carina_error *error) {
    const sentence_region *of = sentence_index_region(i->index, region);
    const float *feature = out->reading.features + (int64_t)region * sentence_index_width(i->index);
    region_sentence_hit *hits = out->hits + (size_t)region * (size_t)i->top;
    int count;
    TRY(sentence_ranking_search(&i->ranking, region, feature, i->top, found, probabilities, &count, error));
    for (int k = 0; k < count; k++) {
        const sentence_entry *e = &of->entries[found[k].row];
        hits[k] = (region_sentence_hit){e->text, e->seen, found[k].similarity, probabilities[k]};
    }
    out->regions[region] = (interpreted_region){.count = count, .sentences = hits};
    out->regions[region].healthy = count > 0 && sentence_says_healthy(hits[0].text, of->display);
    return CARINA_OK;
}

/* The sentences of every region. */
static carina_status retrieve(const interpreter *i, interpretation *out, carina_error *error) {
    int regions = locator_regions(i->locator)->region_count;
    size_t top = (size_t)i->top;
    similarity_hit *found = calloc(top, sizeof *found);
    float *probabilities = calloc(top, sizeof *probabilities);
    out->hits = calloc((size_t)regions * top, sizeof *out->hits);
    carina_status status = found && probabilities && out->hits
                               ? CARINA_OK
                               : error_memory(error, "sentences", (uint64_t)regions * top * sizeof *out->hits);
    for (int r = 0; status == CARINA_OK && r < regions; r++)
        status = fill_region(i, out, r, found, probabilities, error);
    free(found);
    free(probabilities);
    return status;
}

/* The location and the reading are there; the rest of one film. */
static carina_status complete(const interpreter *i, interpretation *out, const study *film_study, carina_error *error) {
    const calibration *c = &i->calibration;
    box boxes[ATLAS_MAX_REGIONS];
    for (int r = 0; r < out->location.region_count; r++) {
        const carina_region *at = &out->location.regions[r];
        boxes[r] = (box){at->x1, at->y1, at->x2, at->y2};
    }
    out->regions = calloc((size_t)out->location.region_count, sizeof *out->regions);
    out->findings = calloc((size_t)c->label_count, sizeof *out->findings);
    if (!out->regions || !out->findings) return error_memory(error, "an interpretation", 0);
    out->finding_count = c->label_count;
    for (int k = 0; k < c->label_count; k++) {
        float probability = calibration_probability(c, k, out->reading.image_logits[k]);
        out->findings[k] = (interpreted_finding){calibration_label(c, k), probability, c->threshold[k],
                                                 probability >= c->threshold[k], c->label_fitted[k]};
    }
    if (i->index) TRY(retrieve(i, out, error));
    return film_check_run(&out->check, &film_study->film, locator_regions(i->locator), boxes, error);
}

carina_status interpreter_run(interpreter *i, const study *const *films, int count, interpretation *out,
                              carina_error *error) {
    carina_location *found = calloc((size_t)count, sizeof *found);
    locator_reading *readings = calloc((size_t)count, sizeof *readings);
    carina_status status =
        found && readings ? CARINA_OK : error_memory(error, "films", (size_t)count * sizeof *readings);
    if (status == CARINA_OK) status = locator_read(i->locator, films, count, found, readings, error);
    if (status == CARINA_OK) {
        for (int k = 0; k < count; k++) out[k] = (interpretation){.location = found[k], .reading = readings[k]};
        for (int k = 0; status == CARINA_OK && k < count; k++) status = complete(i, &out[k], films[k], error);
        for (int k = 0; status != CARINA_OK && k < count; k++) interpretation_free(&out[k]);
    }
    free(found);
    free(readings);
    return status;
}
