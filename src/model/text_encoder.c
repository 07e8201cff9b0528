/* Batches of sentences through BERT; see text_encoder.h. */
#include "model/text_encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "model/bert_file.h"

#define MOST_TOKENS     4096
#define MOST_SPARE_ROWS 127 /* some tables are filled up to a multiple of 128 rows */

/* Classes get wider as sentences get longer: few graphs to plan, little padding to compute. All are even, so that two
 * rows that are multiplied as a pair (tensor/strassen.h) are of one sentence. */
static int class_of_length(int tokens) {
    int step = tokens <= 64 ? 16 : tokens <= 128 ? 32 : 64;
    return (tokens + step - 1) / step * step;
}

static carina_status load(text_encoder *e, const char *folder, carina_error *error) {
    text_encoder_options *o = &e->options;
    TRY(wordpiece_load(&e->tokens, folder, error));
    TRY(bert_load(&e->model, folder, error));
    if (o->projector) TRY(bert_load_projector(&e->model, o->projector, error));
    const bert_config *c = &e->model->config;
    if (e->tokens.words.count > c->vocabulary || e->tokens.words.count + MOST_SPARE_ROWS < c->vocabulary)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: vocab.txt has %d tokens, the weights have rows for %d; it is cut short, or another "
                         "model's",
                         folder, e->tokens.words.count, c->vocabulary);
    if (o->batch <= 0) o->batch = 32;
    if (o->max_tokens <= 0) o->max_tokens = 512;
    if (o->max_tokens > c->positions) o->max_tokens = c->positions;
    if (o->max_tokens > MOST_TOKENS) o->max_tokens = MOST_TOKENS;
    return CARINA_OK;
}

carina_status text_encoder_load(text_encoder *out, const char *folder, const text_encoder_options *options,
                                carina_error *error) {
    *out = (text_encoder){.options = *options};
    carina_status status = load(out, folder, error);
    if (status != CARINA_OK) text_encoder_free(out);
    return status;
}

void text_encoder_free(text_encoder *e) {
    if (!e) return;
    graph_free(e->g);
    bert_free(e->model);
    wordpiece_free(&e->tokens);
    *e = (text_encoder){0};
}

/* ---- one batch ---- */

static carina_status prepare(text_encoder *e, int64_t rows, int64_t tokens, carina_error *error) {
    if (e->g && tensor_size(e->ids, 0) == rows && tensor_size(e->ids, 1) == tokens) return CARINA_OK;
    graph_free(e->g);
    e->g = NULL;
    graph_options options = {.pool = e->options.pool, .type = e->options.type};
    TRY(graph_create(&e->g, &options, error));
    e->ids = graph_input(e->g, "ids", 2, (int64_t[]){rows, tokens});
    e->mask = graph_input(e->g, "mask", 2, (int64_t[]){rows, tokens});
    e->outputs = bert_record(e->g, e->model, e->ids, e->mask);
    graph_output(e->g, e->outputs.pooled);
    graph_output(e->g, e->outputs.projected);
    carina_status status = graph_plan(e->g, error);
    if (status != CARINA_OK) {
        graph_free(e->g);
        e->g = NULL;
    }
    return status;
}

/* NULL: a row that only fills the batch. */
static void fill_row(text_encoder *e, int64_t row, const text_span *sentence) {
    int ids[MOST_TOKENS];
    int64_t tokens = tensor_size(e->ids, 1);
    int limit = e->options.max_tokens < tokens ? e->options.max_tokens : (int)tokens;
    text_span empty = {"", 0};
    if (!sentence) sentence = &empty;
    int count = wordpiece_encode(&e->tokens, sentence->text, sentence->size, ids, limit, NULL);
    float *id = tensor_data(e->ids) + row * tokens, *mask = tensor_data(e->mask) + row * tokens;
    for (int64_t i = 0; i < tokens; i++) {
        id[i] = (float)(i < count ? ids[i] : e->tokens.words.special[VOCABULARY_PAD]);
        mask[i] = i < count ? 1.0f : 0.0f;
    }
}

static void copy_row(float *to, uint64_t index, tensor *from, int64_t row) {
    if (!to) return; /* not asked for, and an encoder without a projector has no such tensor */
    int64_t width = tensor_size(from, 1);
    memcpy(to + index * (uint64_t)width, tensor_data(from) + row * width, (size_t)width * sizeof *to);
}

/* ---- all of them ---- */

typedef struct place {
    uint64_t index;
    int length; /* its class: tokens of its batch */
} place;

static int shorter_first(const void *left, const void *right) {
    const place *a = left, *b = right;
    if (a->length != b->length) return a->length - b->length;
    return (a->index > b->index) - (a->index < b->index);
}

typedef struct job {
    text_encoder *encoder;
    const text_span *sentences;
    place *places;
    float *pooled, *projected;
    uint64_t done;
    progress *shown;
} job;

/* places [begin, end): one length class, in as few batches as may be, all of one size. */
static carina_status encode_class(job *j, uint64_t begin, uint64_t end, carina_error *error) {
    text_encoder *e = j->encoder;
    uint64_t most = (uint64_t)e->options.batch, batches = (end - begin + most - 1) / most;
    uint64_t rows = (end - begin + batches - 1) / batches;
    int64_t tokens =
        j->places[begin].length < e->model->config.positions ? j->places[begin].length : e->model->config.positions;
    TRY(prepare(e, (int64_t)rows, tokens, error));
    for (uint64_t first = begin; first < end; first += rows) {
        if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
        for (uint64_t i = 0; i < rows; i++)
            fill_row(e, (int64_t)i, first + i < end ? &j->sentences[j->places[first + i].index] : NULL);
        graph_forward(e->g);
        for (uint64_t i = 0; i < rows && first + i < end; i++, j->done++) {
            copy_row(j->pooled, j->places[first + i].index, e->outputs.pooled, (int64_t)i);
            copy_row(j->projected, j->places[first + i].index, e->outputs.projected, (int64_t)i);
        }
        progress_update(j->shown, j->done, NULL);
    }
    return CARINA_OK;
}

/* Weights that are finite themselves can still overflow. */
static carina_status check_finite(const float *vectors, uint64_t count, int64_t width, carina_error *error) {
    for (uint64_t i = 0; vectors && i < count * (uint64_t)width; i++)
        if (!isfinite(vectors[i]))
            return error_set(error, CARINA_ERROR_MISMATCH,
                             "text encoder: what it makes of sentence %llu is not finite: its weights make no sense",
                             (unsigned long long)(i / (uint64_t)width + 1));
    return CARINA_OK;
}

carina_status text_encoder_encode(text_encoder *e, const text_span *sentences, uint64_t count, float *pooled,
                                  float *projected, uint64_t *cut, progress *shown, carina_error *error) {
    if (projected && e->model->config.feature_size == 0)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "the text encoder has no projector (project_head.proj.0.weight in its weights)");
    uint64_t bytes, cut_count = 0;
    place *places = size_multiply(count + 1, sizeof *places, &bytes) ? malloc((size_t)bytes) : NULL;
    if (!places) return error_memory(error, "sentences", count);
    for (uint64_t i = 0; i < count; i++) {
        int ids[MOST_TOKENS];
        bool too_long;
        int length =
            wordpiece_encode(&e->tokens, sentences[i].text, sentences[i].size, ids, e->options.max_tokens, &too_long);
        places[i] = (place){i, class_of_length(length)};
        cut_count += too_long;
    }
    if (cut) *cut = cut_count;
    qsort(places, (size_t)count, sizeof *places, shorter_first);
    job j = {.encoder = e,
             .sentences = sentences,
             .places = places,
             .pooled = pooled,
             .projected = projected,
             .shown = shown};
    carina_status status = CARINA_OK;
    for (uint64_t begin = 0, end; begin < count && status == CARINA_OK; begin = end) {
        for (end = begin; end < count && places[end].length == places[begin].length; end++) continue;
        status = encode_class(&j, begin, end, error);
    }
    free(places);
    const bert_config *c = &e->model->config;
    if (status == CARINA_OK) status = check_finite(pooled, count, c->width, error);
    if (status == CARINA_OK) status = check_finite(projected, count, c->feature_size, error);
    return status;
}
