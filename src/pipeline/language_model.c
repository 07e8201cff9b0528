/* Weights and tokenizer as one; see language_model.h. */
#include "pipeline/language_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/gguf.h"
#include "format/json.h"
#include "model/gemma3_file.h"
#include "model/gemma3_packed.h"
#include "text/bpe_gguf.h"

/* ---- which tokens end an answer ---- */

typedef struct end_list {
    int ids[LANGUAGE_MODEL_MAX_ENDS];
    int count;
} end_list;

static void add_end(end_list *ends, int id) {
    for (int i = 0; i < ends->count; i++)
        if (ends->ids[i] == id) return;
    if (ends->count < LANGUAGE_MODEL_MAX_ENDS) ends->ids[ends->count++] = id;
}

/* eos_token_id of an object: nothing, a number, or a list of numbers. */
static carina_status take_ends(end_list *ends, const json_document *d, const json_value *object, carina_error *error) {
    static const char key[] = "eos_token_id";
    if (!json_has(object, key)) return CARINA_OK;
    const json_value *value = json_find(object, key);
    bool list = json_kind_of(value) == JSON_KIND_ARRAY;
    uint64_t count = list ? json_count(value) : 1;
    if (count > LANGUAGE_MODEL_MAX_ENDS)
        return json_fail(d, object, key, CARINA_ERROR_LIMIT, error, "more than %d ids", LANGUAGE_MODEL_MAX_ENDS);
    for (uint64_t i = 0; i < count; i++) {
        int64_t id;
        if (!json_whole(list ? json_item(value, i) : value, &id) || id < 0 || id >= BPE_MAX_TOKENS)
            return json_fail(d, object, key, CARINA_ERROR_FORMAT, error, "a token's id or a list of ids is wanted");
        add_end(ends, (int)id);
    }
    return CARINA_OK;
}

static carina_status read_ends_of(end_list *ends, const char *path, carina_error *error) {
    const json_options limits = {.max_bytes = 1 << 20};
    json_document *d;
    TRY(json_read(&d, path, &limits, error));
    carina_status status = take_ends(ends, d, json_root(d), error);
    if (status == CARINA_OK && ends->count == 0)
        status = take_ends(ends, d, json_find(json_root(d), "text_config"), error);
    json_free(d);
    return status;
}

static carina_status read_folder_ends(end_list *ends, const char *folder, carina_error *error) {
    static const char *const names[] = {"generation_config.json", "config.json"};
    for (int i = 0; i < 2 && ends->count == 0; i++) {
        char *path = path_join(folder, names[i]);
        if (!path) return error_memory(error, folder, 4096);
        carina_status status = file_exists(path) ? read_ends_of(ends, path, error) : CARINA_OK;
        free(path);
        TRY(status);
    }
    return CARINA_OK;
}

static carina_status read_gguf_ends(end_list *ends, const gguf_metadata *m, carina_error *error) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"};
    for (int i = 0; i < 2; i++) {
        uint32_t id;
        if (!gguf_find(m, keys[i])) continue;
        TRY(gguf_get_u32(&id, m, keys[i], error));
        if (id >= BPE_MAX_TOKENS)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: %s: %u is no token's id", m->name, keys[i], id);
        add_end(ends, (int)id);
    }
    return CARINA_OK;
}

static void take_tokenizer_ends(end_list *ends, const bpe *tokenizer) {
    static const char *const names[] = {"<eos>", "<end_of_turn>"};
    for (int i = 0; i < 2; i++) {
        int id = bpe_find(tokenizer, names[i], strlen(names[i]));
        if (id >= 0) add_end(ends, id);
    }
}

/* ---- the vocabulary ---- */

static carina_status check_fit(const char *name, const gemma3_config *config, const bpe *tokenizer,
                               const end_list *ends, carina_error *error) {
    for (int id = config->vocabulary; id < bpe_count(tokenizer); id++) {
        uint64_t size;
        const char *text = bpe_token(tokenizer, id, &size);
        if (!text || bpe_is_special(tokenizer, id)) continue;
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: the tokenizer is of another model: its token \"%.*s\" has id %d, and the model's "
                         "vocabulary is %d",
                         name, (int)(size < 40 ? size : 40), text, id, config->vocabulary);
    }
    for (int i = 0; i < ends->count; i++)
        if (ends->ids[i] >= config->vocabulary)
            return error_set(error, CARINA_ERROR_MISMATCH,
                             "%s: eos_token_id: %d is outside the model's vocabulary of %d", name, ends->ids[i],
                             config->vocabulary);
    return CARINA_OK;
}

/* The bytes of all tokens one behind the other; the texts are set when they have come to rest. */
static carina_status make_texts(language_model *m, token_text *texts, carina_error *error) {
    uint64_t room = 0, at = 0;
    for (int id = 0; id < m->table.count; id++) {
        uint64_t begin = at;
        TRY(bpe_token_bytes(m->tokenizer, id, &m->bytes, &room, &at, error));
        texts[id].size = (uint32_t)(at - begin);
    }
    at = 0;
    for (int id = 0; id < m->table.count; id++) {
        texts[id].bytes = m->bytes ? (const uint8_t *)m->bytes + at : NULL;
        at += texts[id].size;
    }
    return CARINA_OK;
}

static carina_status make_table(language_model *m, const end_list *ends, carina_error *error) {
    size_t count = (size_t)m->model->config.vocabulary, words = (count + 63) / 64;
    token_text *texts = calloc(count, sizeof *texts);
    memcpy(m->ends, ends->ids, sizeof m->ends);
    m->table = (token_table){texts, (int)count, m->ends, ends->count};
    m->known = calloc(words, sizeof *m->known);
    if (!texts || !m->known) return error_memory(error, "a vocabulary", count * sizeof *texts);
    bool all = true;
    for (int id = 0; id < m->table.count; id++) {
        if (language_model_knows(m, id))
            m->known[id / 64] |= UINT64_C(1) << id % 64;
        else
            all = false;
    }
    if (all) {
        free(m->known);
        m->known = NULL;
    }
    return make_texts(m, texts, error);
}

bool language_model_knows(const language_model *m, int64_t id) {
    uint64_t size;
    return id >= 0 && id < m->model->config.vocabulary && id < bpe_count(m->tokenizer) &&
           bpe_token(m->tokenizer, (int)id, &size);
}

carina_status language_model_trie(language_model *m, const token_trie **out, carina_error *error) {
    *out = &m->trie;
    return m->trie.labels ? CARINA_OK : token_trie_make(&m->trie, &m->table, error);
}

/* ---- putting together ---- */

/* Takes over both, also when it fails. */
static carina_status put_together(language_model **out, const char *name, gemma3 *model, bpe *tokenizer,
                                  const end_list *ends, carina_error *error) {
    language_model *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) {
        gemma3_free(model);
        bpe_free(tokenizer);
        return error_memory(error, "a language model", sizeof *m);
    }
    m->model = model;
    m->tokenizer = tokenizer;
    m->packed = model->table.packed != NULL;
    carina_status status = check_fit(name, &model->config, tokenizer, ends, error);
    if (status == CARINA_OK) status = make_table(m, ends, error);
    if (status == CARINA_OK)
        *out = m;
    else
        language_model_free(m);
    return status;
}

carina_status language_model_make(language_model **out, const char *name, gemma3 *model, bpe *tokenizer,
                                  const int *ends, int end_count, carina_error *error) {
    end_list list = {0};
    for (int i = 0; ends && i < end_count; i++) add_end(&list, ends[i]);
    if (!ends) take_tokenizer_ends(&list, tokenizer);
    return put_together(out, name, model, tokenizer, &list, error);
}

void language_model_free(language_model *m) {
    if (!m) return;
    token_trie_free(&m->trie);
    free((void *)m->table.texts);
    free(m->known);
    free(m->bytes);
    bpe_free(m->tokenizer);
    gemma3_free(m->model);
    free(m);
}

/* ---- loading ---- */

static bool is_gguf(const char *path) {
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".gguf") == 0;
}

static carina_status read_tokenizer(bpe **out, const char *path, const language_model_options *o, carina_error *error) {
    if (o->tokenizer) return bpe_read(out, o->tokenizer, o->cache_folder, error);
    if (is_gguf(path)) return bpe_read_gguf(out, path, error);
    char *own = path_join(path, "tokenizer.json");
    if (!own) return error_memory(error, path, 4096);
    carina_status status = file_exists(own)
                               ? bpe_read(out, own, o->cache_folder, error)
                               : error_set(error, CARINA_ERROR_IO,
                                           "%s: no tokenizer.json in this folder; name one with --tokenizer", path);
    free(own);
    return status;
}

static carina_status load_weights(gemma3 **out, const char *path, const language_model_options *o,
                                  carina_error *error) {
    static const quantized_kind kinds[] = {QUANTIZED_BF16, QUANTIZED_Q4, QUANTIZED_Q8, QUANTIZED_BF16};
    const gemma3_pack_options packing = {.kind = kinds[o->weights], .pool = o->pool};
    return o->weights == LANGUAGE_MODEL_AS_STORED ? gemma3_load(out, path, error)
                                                  : gemma3_load_packed(out, path, &packing, error);
}

/* The tokenizer is held against config.json before the weights are looked at. */
static carina_status load_folder(gemma3 **out, end_list *ends, const char *path, const bpe *tokenizer,
                                 const language_model_options *o, carina_error *error) {
    gemma3_config config;
    TRY(gemma3_config_read(&config, path, error));
    TRY(read_folder_ends(ends, path, error));
    if (ends->count == 0) take_tokenizer_ends(ends, tokenizer);
    TRY(check_fit(path, &config, tokenizer, ends, error));
    return load_weights(out, path, o, error);
}

static carina_status load_gguf(gemma3 **out, end_list *ends, const char *path, const bpe *tokenizer,
                               const language_model_options *o, carina_error *error) {
    gguf_file file;
    if (o->weights != LANGUAGE_MODEL_AS_STORED)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: a GGUF file's weights stay as it has them", path);
    TRY(gguf_read(&file, path, error));
    carina_status status = read_gguf_ends(ends, &file.metadata, error);
    if (ends->count == 0) take_tokenizer_ends(ends, tokenizer);
    if (status == CARINA_OK) status = gemma3_from_gguf(out, &file, o->pool, error);
    gguf_free(&file);
    return status;
}

carina_status language_model_load(language_model **out, const char *path, const language_model_options *options,
                                  carina_error *error) {
    end_list ends = {0};
    gemma3 *model = NULL;
    bpe *tokenizer = NULL;
    *out = NULL;
    if (!file_exists(path)) return error_set(error, CARINA_ERROR_IO, "%s: there is no such model", path);
    if (!is_gguf(path) && !file_is_folder(path))
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: neither a folder with a config.json nor a .gguf file",
                         path);
    TRY(read_tokenizer(&tokenizer, path, options, error));
    carina_status status = is_gguf(path) ? load_gguf(&model, &ends, path, tokenizer, options, error)
                                         : load_folder(&model, &ends, path, tokenizer, options, error);
    if (status == CARINA_OK) return put_together(out, path, model, tokenizer, &ends, error);
    bpe_free(tokenizer);
    return status;
}
