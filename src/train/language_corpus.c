/* Reading documents and encoding them; see language_corpus.h. */
#include "train/language_corpus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "data/chest_imagenome.h"
#include "data/film_report.h"
#include "data/string_index.h"
#include "train/text_set.h"

#define MAX_FILE (1ull << 30)

typedef struct reading {
    language_corpus *corpus;
    language_part *part;
    const train_config *config;
    bpe_encoder *encoder;
    string_index *known; /* texts of training, by fingerprint */
    int32_t end;
    bool validates; /* a data set is named for it */
    carina_error *error;
} reading;

/* ---- one document ---- */

/* Room for `wanted` items in *items; doubles. */
static carina_status grow(void *items, uint64_t *room, uint64_t wanted, size_t item_bytes, carina_error *error) {
    if (wanted <= *room) return CARINA_OK;
    uint64_t larger = wanted > 2 * *room ? wanted + 1024 : 2 * *room;
    void **at = items, *grown = larger < SIZE_MAX / item_bytes ? realloc(*at, (size_t)larger * item_bytes) : NULL;
    if (!grown) return error_memory(error, "documents", larger * item_bytes);
    *at = grown;
    *room = larger;
    return CARINA_OK;
}

carina_status language_corpus_add(language_corpus *c, language_part *part, const int32_t *ids, uint64_t count,
                                  uint32_t prompt, carina_error *error) {
    if (count > UINT32_MAX || part->count == UINT32_MAX)
        return error_set(error, CARINA_ERROR_ARGUMENT, "more documents, or a longer one, than there are numbers for");
    TRY(grow(&c->ids, &c->id_room, c->id_count + count, sizeof *c->ids, error));
    TRY(grow(&part->documents, &part->room, (uint64_t)part->count + 1, sizeof *part->documents, error));
    memcpy(c->ids + c->id_count, ids, (size_t)count * sizeof *ids);
    part->documents[part->count++] = (language_document){c->id_count, (uint32_t)count, prompt};
    part->tokens += count;
    c->id_count += count;
    return CARINA_OK;
}

static carina_status is_held_out(const reading *r, const char *text, uint64_t size, bool *out) {
    char key[64];
    uint32_t number;
    snprintf(key, sizeof key, "%016" PRIx64 " %" PRIu64, dataset_hash(DATASET_HASH_START, text, size), size);
    *out = true;
    if (r->part == &r->corpus->train) return string_index_add(r->known, key, 0, NULL, NULL, r->error);
    *out = !string_index_find(r->known, key, &number);
    r->corpus->repeated += !*out;
    return CARINA_OK;
}

static carina_status add_document(reading *r, const char *text, uint64_t size) {
    const int32_t *ids;
    uint64_t count;
    bool wanted;
    if (progress_interrupted())
        return error_set(r->error, CARINA_ERROR_CANCELLED, "interrupted while reading documents");
    TRY(is_held_out(r, text, size, &wanted));
    if (!wanted) return CARINA_OK;
    TRY(bpe_encode(r->encoder, text, size, true, &ids, &count, r->error));
    bool ended = count && ids[count - 1] == r->end; /* some tokenizers do it themselves */
    if (count < 1 + (uint64_t)ended) return CARINA_OK;
    TRY(language_corpus_add(r->corpus, r->part, ids, count, 1, r->error));
    r->part->bytes += size;
    if (ended) return CARINA_OK;
    language_corpus *c = r->corpus;
    TRY(grow(&c->ids, &c->id_room, c->id_count + 1, sizeof *c->ids, r->error));
    c->ids[c->id_count++] = r->end;
    r->part->documents[r->part->count - 1].count++;
    r->part->tokens++;
    return CARINA_OK;
}

/* ---- files ---- */

static bool is_blank(char c) { return (unsigned char)c <= ' '; }

/* Without the white space around it; what is empty then is no document. */
static carina_status add_trimmed(reading *r, const char *text, uint64_t size) {
    while (size && is_blank(*text)) text++, size--;
    while (size && is_blank(text[size - 1])) size--;
    return size ? add_document(r, text, size) : CARINA_OK;
}

static uint64_t line_end(const char *text, uint64_t size, uint64_t at) {
    const char *found = memchr(text + at, '\n', size - at);
    return found ? (uint64_t)(found - text) : size;
}

static bool line_is_blank(const char *text, uint64_t begin, uint64_t end) {
    while (begin < end && is_blank(text[begin])) begin++;
    return begin == end;
}

static carina_status add_text(reading *r, const char *text, uint64_t size) {
    int kind = r->config->language.document;
    if (kind == LANGUAGE_DOCUMENT_FILE) return add_trimmed(r, text, size);
    uint64_t begin = 0;
    for (uint64_t at = 0, end; at < size; at = end + 1) {
        end = line_end(text, size, at);
        if (kind != LANGUAGE_DOCUMENT_LINE && !line_is_blank(text, at, end)) continue;
        TRY(add_trimmed(r, text + begin, end - begin));
        begin = end + 1;
    }
    return begin < size ? add_trimmed(r, text + begin, size - begin) : CARINA_OK;
}

static carina_status add_files(reading *r, const config_texts *files, const char *key) {
    for (uint32_t i = 0; i < files->count; i++) {
        uint8_t *data;
        uint64_t size;
        carina_status status = file_read(files->items[i], MAX_FILE, &data, &size, r->error);
        if (status == CARINA_OK) {
            status = add_text(r, (const char *)data, size);
            if (status != CARINA_OK) error_prefix(r->error, "%s", files->items[i]);
            free(data);
        }
        if (status != CARINA_OK) return error_prefix(r->error, "%s: %s", r->config->path, key);
    }
    return CARINA_OK;
}

/* ---- data sets ---- */

static carina_status add_reports(reading *r, const dataset *set, const char *folder) {
    for (uint64_t film = 0; film < dataset_count(set); film++) {
        scene_graph scene;
        char *text;
        uint64_t size;
        TRY(chest_imagenome_graph(set, film, &scene, r->error));
        carina_status status = film_report_read(&text, &size, folder, &scene, r->error);
        scene_graph_free(&scene);
        TRY(status);
        if (!text) continue;
        status = add_trimmed(r, text, film_report_tidy(text, size));
        free(text);
        TRY(status);
    }
    return CARINA_OK;
}

static carina_status add_set(reading *r, const train_config_set *keys, const char *key) {
    dataset *set;
    const char *folder;
    TRY(text_set_open(&set, &folder, r->config, keys, key, r->error));
    if (!set) return CARINA_OK;
    r->validates |= r->part == &r->corpus->validation;
    carina_status status = add_reports(r, set, folder);
    dataset_free(set);
    return status == CARINA_OK ? CARINA_OK : error_prefix(r->error, "%s: %s", r->config->path, key);
}

/* ---- all ---- */

/* Validation that was asked for does not vanish: the best model would be chosen by nothing. */
static carina_status check_held_out(const reading *r) {
    const train_config *config = r->config;
    const language_corpus *c = r->corpus;
    bool texts = config->language.validation_texts.count > 0;
    const char *key = texts ? "data.validation_texts" : "data.validation";
    if (c->validation.count || (!texts && !r->validates)) return CARINA_OK;
    if (c->repeated)
        return error_set(r->error, CARINA_ERROR_ARGUMENT,
                         "%s: %s: no document is held out, training has all %" PRIu64 " of them as well", config->path,
                         key, c->repeated);
    return error_set(r->error, CARINA_ERROR_ARGUMENT, "%s: %s: there is no document in it", config->path, key);
}

static carina_status read_all(reading *r) {
    const train_config *config = r->config;
    language_corpus *c = r->corpus;
    r->part = &c->train;
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++)
        TRY(add_set(r, &config->train_sets[i], train_config_train_keys[i]));
    TRY(add_files(r, &config->language.texts, "data.texts"));
    if (c->train.count == 0)
        return config->language.texts.count
                   ? error_set(r->error, CARINA_ERROR_ARGUMENT,
                               "%s: data.texts: no document to train on, only white space", config->path)
                   : error_set(r->error, CARINA_ERROR_ARGUMENT,
                               "%s: data.train: no document to train on: no film has a report", config->path);
    /* Validation data may change between sessions, as with films. */
    c->fingerprint = dataset_hash(DATASET_HASH_START, c->ids, c->id_count * sizeof *c->ids);
    c->fingerprint = dataset_hash(c->fingerprint, c->train.documents, c->train.count * sizeof *c->train.documents);
    r->part = &c->validation;
    TRY(add_set(r, &config->validation_set, "data.validation"));
    TRY(add_files(r, &config->language.validation_texts, "data.validation_texts"));
    return check_held_out(r);
}

carina_status language_corpus_read(language_corpus *out, const train_config *config, const bpe *tokenizer, int end,
                                   carina_error *error) {
    *out = (language_corpus){0};
    reading r = {.corpus = out, .config = config, .end = end, .error = error};
    carina_status status = bpe_encoder_create(&r.encoder, tokenizer, error);
    if (status == CARINA_OK) status = string_index_create(&r.known, error);
    if (status == CARINA_OK) status = read_all(&r);
    bpe_encoder_free(r.encoder);
    string_index_free(r.known);
    if (status != CARINA_OK) language_corpus_free(out);
    return status;
}

void language_corpus_free(language_corpus *c) {
    free(c->ids);
    free(c->train.documents);
    free(c->validation.documents);
    *c = (language_corpus){0};
}
