/* The chat template of a model's folder, and the texts of its first and last token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "text/chat_template_internal.h"
#include "text/jinja.h"

#define MAX_CONFIGURATION (16u << 20) /* bytes of tokenizer_config.json, whose added tokens may be many */

/* A special token: a text, or an object with one as its "content". null and others that are no token: none. */
static carina_status read_token(const json_document *document, const char *key, char **out, carina_error *error) {
    const json_value *value = json_find(json_root(document), key);
    const char *text = json_text(value);
    if (!json_has(json_root(document), key)) return CARINA_OK;
    if (!text && json_kind_of(value) == JSON_KIND_OBJECT) text = json_text(json_find(value, "content"));
    if (!text) return json_fail(document, json_root(document), key, CARINA_ERROR_FORMAT, error, "a token is expected");
    *out = strdup(text);
    return *out ? CARINA_OK : error_memory(error, key, strlen(text));
}

/* Borrowed; NULL: there is none. */
static carina_status find_template(const json_document *document, const char **out, carina_error *error) {
    const json_value *root = json_root(document), *value = json_find(root, "chat_template");
    *out = json_text(value);
    if (*out || !json_has(root, "chat_template")) return CARINA_OK;
    if (json_kind_of(value) != JSON_KIND_ARRAY)
        return json_fail(document, root, "chat_template", CARINA_ERROR_FORMAT, error,
                         "a text, or a list of named templates is expected");
    for (uint64_t i = 0; i < json_count(value); i++) {
        const json_value *item = json_item(value, i);
        const char *name, *text;
        TRY(json_get_text(document, item, "name", &name, error));
        TRY(json_get_text(document, item, "template", &text, error));
        if (strcmp(name, "default") == 0) *out = text;
    }
    if (*out) return CARINA_OK;
    return json_fail(document, root, "chat_template", CARINA_ERROR_FORMAT, error, "no template is named \"default\"");
}

/* tokenizer_config.json: its template into *t when there is one and *t is NULL, and its tokens. */
static carina_status read_configuration(chat_template **t, const char *path, carina_error *error) {
    const json_options limits = {.max_bytes = MAX_CONFIGURATION};
    json_document *document;
    const char *text = NULL;
    char *name = NULL;
    TRY(json_read(&document, path, &limits, error));
    carina_status status = *t ? CARINA_OK : find_template(document, &text, error);
    if (status == CARINA_OK && text) {
        size_t size = strlen(path) + sizeof ": chat_template";
        name = malloc(size);
        if (name) strcat(strcpy(name, path), ": chat_template");
        status = name ? chat_template_parse(t, name, text, strlen(text), error) : error_memory(error, path, size);
    }
    if (status == CARINA_OK && *t) status = read_token(document, "bos_token", &(*t)->bos, error);
    if (status == CARINA_OK && *t) status = read_token(document, "eos_token", &(*t)->eos, error);
    free(name);
    json_free(document);
    return status;
}

static carina_status read_jinja(chat_template **t, const char *path, carina_error *error) {
    uint8_t *data;
    uint64_t size;
    TRY(file_read(path, JINJA_MAX_BYTES, &data, &size, error));
    carina_status status = chat_template_parse(t, path, data, size, error);
    free(data);
    return status;
}

carina_status chat_template_read(chat_template **out, const char *folder, carina_error *error) {
    char *jinja_path = path_join(folder, "chat_template.jinja");
    char *configuration_path = path_join(folder, "tokenizer_config.json");
    chat_template *t = NULL;
    carina_status status = CARINA_OK;
    if (!jinja_path || !configuration_path) status = error_memory(error, folder, strlen(folder));
    if (status == CARINA_OK && file_exists(jinja_path)) status = read_jinja(&t, jinja_path, error);
    if (status == CARINA_OK && file_exists(configuration_path))
        status = read_configuration(&t, configuration_path, error);
    free(jinja_path);
    free(configuration_path);
    if (status == CARINA_OK)
        *out = t;
    else
        chat_template_free(t);
    return status;
}

/* ---- GGUF ---- */

/* *out stays NULL when the key, or the token, is missing. */
static carina_status read_gguf_token(char **out, const gguf_metadata *m, const char *key, carina_error *error) {
    const gguf_value *tokens;
    uint32_t id;
    if (!gguf_find(m, key) || !gguf_find(m, "tokenizer.ggml.tokens")) return CARINA_OK;
    TRY(gguf_get_u32(&id, m, key, error));
    TRY(gguf_get_array(&tokens, m, "tokenizer.ggml.tokens", GGUF_TEXT, error));
    if (id >= tokens->count)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: %s: no token has the id %u", m->name, key, id);
    gguf_text text = gguf_item_text(tokens, id);
    *out = strndup(text.data, (size_t)text.size);
    return *out ? CARINA_OK : error_memory(error, key, text.size);
}

carina_status chat_template_from_gguf(chat_template **out, const gguf_metadata *m, carina_error *error) {
    static const char key[] = "tokenizer.chat_template";
    gguf_text text;
    char *name;
    *out = NULL;
    if (!gguf_find(m, key)) return CARINA_OK;
    TRY(gguf_get_text(&text, m, key, error));
    if (asprintf(&name, "%s: %s", m->name, key) < 0) return error_memory(error, m->name, sizeof key);
    chat_template *t = NULL;
    carina_status status = chat_template_parse(&t, name, text.data, text.size, error);
    if (status == CARINA_OK) status = read_gguf_token(&t->bos, m, "tokenizer.ggml.bos_token_id", error);
    if (status == CARINA_OK) status = read_gguf_token(&t->eos, m, "tokenizer.ggml.eos_token_id", error);
    free(name);
    if (status == CARINA_OK)
        *out = t;
    else
        chat_template_free(t);
    return status;
}
