/* Verifying models; see model_verify.h. */
#include "pipeline/model_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "format/json.h"
#include "model/gemma3_source.h"
#include "model/model_file.h"
#include "model/model_fingerprint.h"
#include "model/text_encoder.h"

const char *model_kind_name(model_kind kind) {
    static const char *const names[] = {"anatomy perception module", "Gemma 3 language model", "BERT text encoder"};
    return names[kind];
}

/* ---- which kind ---- */

bool model_is_path(const char *text) {
    char *config = gemma3_is_gguf(text) ? NULL : path_join(text, "config.json");
    bool is = gemma3_is_gguf(text) || (config && file_exists(config));
    free(config);
    return is;
}

static carina_status kind_of_type(model_kind *out, const json_document *d, carina_error *error) {
    static const struct {
        const char *type;
        model_kind kind;
    } known[] = {
        {"gemma3", MODEL_KIND_LANGUAGE}, {"gemma3_text", MODEL_KIND_LANGUAGE}, {"bert", MODEL_KIND_TEXT_ENCODER}};
    const char *type;
    TRY(json_get_text(d, json_root(d), "model_type", &type, error));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i].type) == 0) {
            *out = known[i].kind;
            return CARINA_OK;
        }
    return json_fail(d, json_root(d), "model_type", CARINA_ERROR_UNSUPPORTED, error,
                     "\"%.60s\", known here are gemma3, gemma3_text and bert", type);
}

carina_status model_kind_find(model_kind *out, const char *path, carina_error *error) {
    json_document *d;
    *out = gemma3_is_gguf(path) ? MODEL_KIND_LANGUAGE : MODEL_KIND_APM;
    if (!file_exists(path)) return error_set(error, CARINA_ERROR_IO, "%s: there is no such model", path);
    if (!file_is_folder(path)) return CARINA_OK;
    char *config = path_join(path, "config.json");
    if (!config) return error_memory(error, path, 4096);
    carina_status status = file_exists(config)
                               ? json_read(&d, config, NULL, error)
                               : error_set(error, CARINA_ERROR_IO, "%s: no config.json in this folder", path);
    free(config);
    TRY(status);
    status = kind_of_type(out, d, error);
    json_free(d);
    return status;
}

/* ---- language models ---- */

static void count_type(model_report *r, const char *type, int64_t weights) {
    int i = 0;
    while (i < r->type_count && strcmp(r->types[i].name, type) != 0) i++;
    if (i == MODEL_REPORT_TYPES) i--; /* there are fewer types than that */
    if (i == r->type_count) {
        snprintf(r->types[i].name, sizeof r->types[i].name, "%s", type);
        r->type_count++;
    }
    r->types[i].tensors++;
    r->types[i].weights += weights;
}

static void describe(model_report *r, const gemma3_source *s) {
    *r = (model_report){.kind = MODEL_KIND_LANGUAGE,
                        .is_gguf = s->is_gguf,
                        .tensors = s->count,
                        .others = gemma3_source_others(s),
                        .config = s->config};
    for (int i = 0; i < s->count; i++) {
        const gemma3_source_tensor *t = &s->tensors[i];
        r->weights += t->rows * t->columns;
        r->bytes += gemma3_source_bytes(t);
        count_type(r, gemma3_source_type(t), t->rows * t->columns);
    }
}

carina_status model_look(model_report *out, const char *path, carina_error *error) {
    gemma3_source source;
    TRY(gemma3_source_open(&source, path, error));
    describe(out, &source);
    gemma3_source_close(&source);
    return CARINA_OK;
}

#define CHUNK_ROWS 64 /* a multiple of 8, so that their bytes are one of 32: what fingerprint_add_blocks wants */

typedef struct chunk {
    const gemma3_source *source;
    const gemma3_source_tensor *t;
    int64_t first;
    float *values; /* [CHUNK_ROWS, columns] */
    carina_status status[CHUNK_ROWS];
    carina_error errors[CHUNK_ROWS];
} chunk;

static void read_row(void *context, int shard, int worker) {
    chunk *c = context;
    (void)worker;
    c->status[shard] =
        gemma3_source_row(c->source, c->t, c->first + shard, c->values + shard * c->t->columns, &c->errors[shard]);
}

static carina_status read_chunk(chunk *c, int rows, thread_pool *pool, carina_error *error) {
    thread_pool_run(pool, rows, read_row, c);
    for (int i = 0; i < rows; i++)
        if (c->status[i] != CARINA_OK) {
            if (error) *error = c->errors[i];
            return c->status[i];
        }
    return progress_interrupted() ? error_set(error, CARINA_ERROR_CANCELLED, "interrupted") : CARINA_OK;
}

static carina_status read_tensor(chunk *c, model_fingerprint_sum *sum, thread_pool *pool, carina_error *error) {
    const gemma3_source_tensor *t = c->t;
    fingerprint f = model_fingerprint_begin(t->name, t->rank, t->size);
    uint64_t row_bytes = (uint64_t)t->columns * sizeof(float), rest = 0;
    c->values = malloc(CHUNK_ROWS * row_bytes);
    carina_status status = c->values ? CARINA_OK : error_memory(error, t->name, CHUNK_ROWS * row_bytes);
    for (c->first = 0; c->first < t->rows && status == CARINA_OK; c->first += CHUNK_ROWS) {
        int rows = t->rows - c->first < CHUNK_ROWS ? (int)(t->rows - c->first) : CHUNK_ROWS;
        status = read_chunk(c, rows, pool, error);
        if (rows == CHUNK_ROWS)
            fingerprint_add_blocks(&f, c->values, CHUNK_ROWS * row_bytes);
        else
            rest = (uint64_t)rows * row_bytes;
    }
    if (status == CARINA_OK) {
        fingerprint_add_rest(&f, c->values, rest, (uint64_t)t->rows * row_bytes);
        model_fingerprint_add(sum, &f);
    }
    free(c->values);
    return status;
}

static carina_status read_source(model_report *r, const gemma3_source *s, thread_pool *pool, bool shown,
                                 carina_error *error) {
    model_fingerprint_sum sum = {0};
    chunk *c = malloc(sizeof *c);
    if (!c) return error_memory(error, s->path, sizeof *c);
    progress *line = shown ? progress_start("verifying", "tensors", 0, (uint64_t)s->count) : NULL;
    carina_status status = CARINA_OK;
    for (int i = 0; i < s->count && status == CARINA_OK; i++) {
        c->source = s;
        c->t = &s->tensors[i];
        status = read_tensor(c, &sum, pool, error);
        progress_update(line, (uint64_t)i + 1, NULL);
    }
    progress_finish(line);
    free(c);
    if (status == CARINA_OK) status = gemma3_source_check_others(s, error);
    r->fingerprint = model_fingerprint_value(&sum);
    return status;
}

static carina_status verify_language(model_report *out, const char *path, thread_pool *pool, bool shown,
                                     carina_error *error) {
    gemma3_source source;
    TRY(gemma3_source_open(&source, path, error));
    describe(out, &source);
    carina_status status = read_source(out, &source, pool, shown, error);
    gemma3_source_close(&source);
    return status;
}

/* ---- what is small enough to be loaded: their loaders check everything ---- */

static void describe_set(model_report *out, model_kind kind, const parameters *set) {
    *out = (model_report){
        .kind = kind, .weights = parameters_total(set), .tensors = set->count, .fingerprint = model_fingerprint(set)};
}

static carina_status verify_apm(model_report *out, const char *path, carina_error *error) {
    model_file m;
    TRY(model_file_load(&m, path, error));
    describe_set(out, MODEL_KIND_APM, m.model->parameters);
    model_file_free(&m);
    return CARINA_OK;
}

static carina_status verify_encoder(model_report *out, const char *path, carina_error *error) {
    text_encoder e;
    const text_encoder_options options = {0};
    TRY(text_encoder_load(&e, path, &options, error));
    describe_set(out, MODEL_KIND_TEXT_ENCODER, e.model->parameters);
    text_encoder_free(&e);
    return CARINA_OK;
}

carina_status model_verify(model_report *out, const char *path, thread_pool *pool, bool shown, carina_error *error) {
    model_kind kind;
    *out = (model_report){0};
    TRY(model_kind_find(&kind, path, error));
    switch (kind) {
        case MODEL_KIND_LANGUAGE: TRY(verify_language(out, path, pool, shown, error)); break;
        case MODEL_KIND_TEXT_ENCODER: TRY(verify_encoder(out, path, error)); break;
        case MODEL_KIND_APM: TRY(verify_apm(out, path, error)); break;
    }
    out->verified = true;
    return CARINA_OK;
}
