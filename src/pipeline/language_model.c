/* Weights and tokenizer as one; see language_model.h. */
#include "pipeline/language_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/gguf.h"
#include "model/gemma3_file.h"
#include "model/gemma3_packed.h"
#include "pipeline/language_model_files.h"

/* ---- the vocabulary ---- */

static carina_status check_fit(const char *name, const gemma3_config *config, const bpe *tokenizer,
                               const language_model_end_list *ends, carina_error *error) {
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

static carina_status make_table(language_model *m, const language_model_end_list *ends, carina_error *error) {
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
                                  const language_model_end_list *ends, carina_error *error) {
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
    language_model_end_list list = {0};
    for (int i = 0; ends && i < end_count; i++) language_model_add_end(&list, ends[i]);
    if (!ends) language_model_tokenizer_ends(&list, tokenizer);
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

static carina_status load_weights(gemma3 **out, const char *path, const language_model_options *o,
                                  carina_error *error) {
    static const quantized_kind kinds[] = {QUANTIZED_BF16, QUANTIZED_Q4, QUANTIZED_Q8, QUANTIZED_BF16};
    const gemma3_pack_options packing = {.kind = kinds[o->weights], .pool = o->pool};
    return o->weights == LANGUAGE_MODEL_AS_STORED ? gemma3_load(out, path, error)
                                                  : gemma3_load_packed(out, path, &packing, error);
}

/* The tokenizer is held against config.json before the weights are looked at. */
static carina_status load_folder(gemma3 **out, language_model_end_list *ends, const char *path, const bpe *tokenizer,
                                 const language_model_options *o, carina_error *error) {
    gemma3_config config;
    TRY(gemma3_config_read(&config, path, error));
    TRY(language_model_read_ends(ends, path, NULL, tokenizer, error));
    TRY(check_fit(path, &config, tokenizer, ends, error));
    return load_weights(out, path, o, error);
}

static carina_status load_gguf(gemma3 **out, language_model_end_list *ends, const char *path, const bpe *tokenizer,
                               const language_model_options *o, carina_error *error) {
    gguf_file file;
    if (o->weights != LANGUAGE_MODEL_AS_STORED)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: a GGUF file's weights stay as it has them", path);
    TRY(gguf_read(&file, path, error));
    carina_status status = language_model_read_ends(ends, path, &file.metadata, tokenizer, error);
    if (status == CARINA_OK) status = gemma3_from_gguf(out, &file, o->pool, error);
    gguf_free(&file);
    return status;
}

carina_status language_model_load(language_model **out, const char *path, const language_model_options *options,
                                  carina_error *error) {
    language_model_end_list ends = {0};
    gemma3 *model = NULL;
    bpe *tokenizer = NULL;
    *out = NULL;
    if (!file_exists(path)) return error_set(error, CARINA_ERROR_IO, "%s: there is no such model", path);
    if (!language_model_is_gguf(path) && !file_is_folder(path))
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: neither a folder with a config.json nor a .gguf file",
                         path);
    TRY(language_model_read_tokenizer(&tokenizer, path, options->tokenizer, options->cache_folder, error));
    carina_status status = language_model_is_gguf(path) ? load_gguf(&model, &ends, path, tokenizer, options, error)
                                                        : load_folder(&model, &ends, path, tokenizer, options, error);
    if (status == CARINA_OK) return put_together(out, path, model, tokenizer, &ends, error);
    bpe_free(tokenizer);
    return status;
}
