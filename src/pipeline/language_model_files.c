/* Tokenizers, end tokens and chat templates of models; see language_model_files.h. */
#include "pipeline/language_model_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/gguf.h"
#include "format/json.h"
#include "text/bpe_gguf.h"

bool language_model_is_gguf(const char *path) {
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".gguf") == 0;
}

/* ---- which tokens end an answer ---- */

void language_model_add_end(language_model_end_list *ends, int id) {
    for (int i = 0; i < ends->count; i++)
        if (ends->ids[i] == id) return;
    if (ends->count < LANGUAGE_MODEL_MAX_ENDS) ends->ids[ends->count++] = id;
}

/* eos_token_id of an object: nothing, a number, or a list of numbers. */
static carina_status take_ends(language_model_end_list *ends, const json_document *d, const json_value *object,
                               carina_error *error) {
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
        language_model_add_end(ends, (int)id);
    }
    return CARINA_OK;
}

static carina_status read_ends_of(language_model_end_list *ends, const char *path, carina_error *error) {
    const json_options limits = {.max_bytes = 1 << 20};
    json_document *d;
    TRY(json_read(&d, path, &limits, error));
    carina_status status = CARINA_OK;
    if (json_kind_of(json_root(d)) != JSON_KIND_OBJECT)
        status = json_fail(d, json_root(d), NULL, CARINA_ERROR_FORMAT, error, "an object is wanted");
    if (status == CARINA_OK) status = take_ends(ends, d, json_root(d), error);
    if (status == CARINA_OK && ends->count == 0)
        status = take_ends(ends, d, json_find(json_root(d), "text_config"), error);
    json_free(d);
    return status;
}

static carina_status read_folder_ends(language_model_end_list *ends, const char *folder, carina_error *error) {
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

static carina_status take_gguf_end(language_model_end_list *ends, const gguf_metadata *m, const char *key, int64_t id,
                                   carina_error *error) {
    if (id < 0 || id >= BPE_MAX_TOKENS)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %s: %lld is no token's id", m->name, key, (long long)id);
    language_model_add_end(ends, (int)id);
    return CARINA_OK;
}

static carina_status read_gguf_ends(language_model_end_list *ends, const gguf_metadata *m, carina_error *error) {
    const gguf_value *all;
    for (int i = 0; i < BPE_GGUF_END_KEYS; i++) {
        const char *key = bpe_gguf_end_keys[i];
        uint32_t id;
        if (!gguf_find(m, key)) continue;
        TRY(gguf_get_u32(&id, m, key, error));
        TRY(take_gguf_end(ends, m, key, id, error));
    }
    if (!gguf_find(m, BPE_GGUF_ALL_ENDS)) return CARINA_OK;
    TRY(gguf_get_array(&all, m, BPE_GGUF_ALL_ENDS, GGUF_WHOLE, error));
    if (all->count > LANGUAGE_MODEL_MAX_ENDS)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: %s: more than %d ids", m->name, BPE_GGUF_ALL_ENDS,
                         LANGUAGE_MODEL_MAX_ENDS);
    for (uint64_t i = 0; i < all->count; i++)
        TRY(take_gguf_end(ends, m, BPE_GGUF_ALL_ENDS, gguf_item_whole(all, i), error));
    return CARINA_OK;
}

void language_model_tokenizer_ends(language_model_end_list *ends, const bpe *tokenizer) {
    static const char *const names[] = {"<eos>", "<end_of_turn>"};
    for (int i = 0; i < 2; i++) {
        int id = bpe_find(tokenizer, names[i], strlen(names[i]));
        if (id >= 0) language_model_add_end(ends, id);
    }
}

carina_status language_model_find_ends(language_model_end_list *ends, const char *path, const bpe *tokenizer,
                                       carina_error *error) {
    gguf_file file;
    if (!language_model_is_gguf(path)) return language_model_read_ends(ends, path, NULL, tokenizer, error);
    TRY(gguf_read(&file, path, error));
    carina_status status = language_model_read_ends(ends, path, &file.metadata, tokenizer, error);
    gguf_free(&file);
    return status;
}

carina_status language_model_read_ends(language_model_end_list *ends, const char *path, const gguf_metadata *metadata,
                                       const bpe *tokenizer, carina_error *error) {
    *ends = (language_model_end_list){0};
    TRY(metadata ? read_gguf_ends(ends, metadata, error) : read_folder_ends(ends, path, error));
    if (ends->count == 0) language_model_tokenizer_ends(ends, tokenizer);
    return CARINA_OK;
}

/* ---- the tokenizer ---- */

/* "FOLDER/tokenizer.json" of the file's folder. */
static char *beside(const char *path, const char *name) {
    const char *own = path_name(path);
    char *folder = own == path ? strdup(".") : strndup(path, (size_t)(own - path));
    char *out = folder ? path_join(folder, name) : NULL;
    free(folder);
    return out;
}

static carina_status has_own_tokenizer(bool *out, const char *gguf, carina_error *error) {
    gguf_file file;
    TRY(gguf_read(&file, gguf, error));
    *out = gguf_find(&file.metadata, "tokenizer.ggml.model") != NULL;
    gguf_free(&file);
    return CARINA_OK;
}

carina_status language_model_find_tokenizer(char **out, const char *path, const char *named, carina_error *error) {
    bool gguf = language_model_is_gguf(path), own = false;
    *out = NULL;
    if (!named && gguf) TRY(has_own_tokenizer(&own, path, error));
    *out = named  ? strdup(named)
           : own  ? strdup(path)
           : gguf ? beside(path, "tokenizer.json")
                  : path_join(path, "tokenizer.json");
    if (!*out) return error_memory(error, path, 4096);
    if (named || own || file_exists(*out)) return CARINA_OK;
    free(*out);
    *out = NULL;
    return CARINA_OK;
}

carina_status language_model_read_tokenizer(bpe **out, const char *path, const char *named, const char *cache_folder,
                                            carina_error *error) {
    char *file;
    *out = NULL;
    TRY(language_model_find_tokenizer(&file, path, named, error));
    if (!file && language_model_is_gguf(path))
        return error_set(error, CARINA_ERROR_IO,
                         "%s: has no tokenizer (tokenizer.ggml.model), and no tokenizer.json lies beside it; name one "
                         "with --tokenizer",
                         path);
    if (!file)
        return error_set(error, CARINA_ERROR_IO, "%s: no tokenizer.json in this folder; name one with --tokenizer",
                         path);
    carina_status status =
        language_model_is_gguf(file) ? bpe_read_gguf(out, file, error) : bpe_read(out, file, cache_folder, error);
    free(file);
    return status;
}

/* ---- the chat template ---- */

static carina_status read_gguf_template(chat_template **out, const char *path, carina_error *error) {
    gguf_file file;
    TRY(gguf_read(&file, path, error));
    carina_status status = chat_template_from_gguf(out, &file.metadata, error);
    gguf_free(&file);
    return status;
}

carina_status language_model_read_template(chat_template **out, const char *path, const char *named,
                                           carina_error *error) {
    char *file;
    *out = NULL;
    if (!language_model_is_gguf(path)) return chat_template_read(out, path, error);
    TRY(read_gguf_template(out, path, error));
    if (*out) return CARINA_OK;
    TRY(language_model_find_tokenizer(&file, path, named, error));
    if (!file) return CARINA_OK;
    char *folder = beside(file, "");
    carina_status status = folder ? chat_template_read(out, folder, error) : error_memory(error, path, 4096);
    free(folder);
    free(file);
    return status;
}
