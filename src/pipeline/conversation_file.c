/* Conversations in files; see conversation_file.h. */
#include "pipeline/conversation_file.h"

#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/safetensors.h"
#include "model/gemma3_session_file.h"

#define FORMAT_NAME "carina-conversation-1"

/* ---- writing ---- */

static carina_status make_text(const conversation *c, char **text, size_t *size, carina_error *error) {
    FILE *stream = open_memstream(text, size);
    if (!stream) return error_memory(error, "a conversation", 4096);
    json_writer w = json_writer_make(stream, JSON_COMPACT);
    json_begin_object(&w);
    json_field_text(&w, "format", FORMAT_NAME);
    json_key(&w, "messages");
    conversation_put_messages(&w, c);
    json_end(&w);
    bool whole = !ferror(stream);
    if (fclose(stream) != 0 || !whole) return error_memory(error, "a conversation", *size);
    if (*size <= CONVERSATION_MAX_TEXT) return CARINA_OK;
    return error_set(error, CARINA_ERROR_LIMIT, "a conversation of %zu bytes: at most %u are kept", *size,
                     CONVERSATION_MAX_TEXT);
}

static bool has_turns(const conversation *c) {
    int count = conversation_count(c);
    return count && strcmp(conversation_messages(c)[count - 1].role, "assistant") == 0;
}

/* A session that has seen nothing stands for none. */
static carina_status write_session(const conversation *c, const char *path, uint64_t fingerprint,
                                   gemma3_session_notes *notes, carina_error *error) {
    const generator_session_kind kind = generator_sessions(conversation_generator(c));
    gemma3_session *session = NULL, *empty = NULL;
    int32_t *tokens = NULL;
    if (has_turns(c)) TRY(generator_kept(conversation_generator(c), &session, &tokens, error));
    carina_status status = CARINA_OK;
    if (!session) status = gemma3_session_create(&empty, kind.config, kind.type, 1, 1, error);
    notes->tokens = tokens;
    if (status == CARINA_OK) status = gemma3_session_write(path, empty ? empty : session, fingerprint, notes, error);
    gemma3_session_free(empty);
    free(tokens);
    return status;
}

carina_status conversation_file_write(const conversation *c, const char *path, uint64_t fingerprint,
                                      carina_error *error) {
    char *text = NULL;
    size_t size = 0;
    carina_status status = make_text(c, &text, &size, error);
    gemma3_session_notes notes = {.text = text, .text_size = size};
    if (status == CARINA_OK) status = write_session(c, path, fingerprint, &notes, error);
    free(text);
    return status;
}

/* ---- reading ---- */

static carina_status read_messages(conversation *c, const json_document *d, carina_error *error) {
    const json_value *root = json_root(d), *list;
    const char *format;
    if (json_kind_of(root) != JSON_KIND_OBJECT)
        return json_fail(d, root, NULL, CARINA_ERROR_FORMAT, error, "an object is expected");
    TRY(json_get_text(d, root, "format", &format, error));
    if (strcmp(format, FORMAT_NAME) != 0)
        return json_fail(d, root, "format", CARINA_ERROR_UNSUPPORTED, error, "expected \"%s\", found \"%.40s\"",
                         FORMAT_NAME, format);
    TRY(json_get_array(d, root, "messages", &list, error));
    uint64_t count = json_count(list);
    if (count > CHAT_MAX_MESSAGES)
        return json_fail(d, root, "messages", CARINA_ERROR_LIMIT, error, "more than %d", CHAT_MAX_MESSAGES);
    chat_message *messages = calloc((size_t)count + 1, sizeof *messages);
    if (!messages) return error_memory(error, json_name(d), count * sizeof *messages);
    carina_status status = CARINA_OK;
    for (uint64_t i = 0; i < count && status == CARINA_OK; i++) {
        status = json_get_text(d, json_item(list, i), "role", &messages[i].role, error);
        if (status == CARINA_OK) status = json_get_text(d, json_item(list, i), "content", &messages[i].content, error);
    }
    if (status == CARINA_OK && conversation_resume(c, messages, (int)count, error) != CARINA_OK)
        status = error_prefix(error, "%s", json_name(d));
    free(messages);
    return status;
}

carina_status conversation_text_parse(conversation *c, const char *name, const void *text, uint64_t size,
                                      carina_error *error) {
    const json_options limits = {.max_bytes = CONVERSATION_MAX_TEXT, .max_depth = 4};
    json_document *d;
    TRY(json_parse(&d, name, text, size, &limits, error));
    carina_status status = read_messages(c, d, error);
    json_free(d);
    return status;
}

/* The session first: it is the larger part, and what may not fit. */
static carina_status read_parts(conversation *c, const gemma3_session_head *head, const tensor_file *file,
                                const char *path, const lora *adapter, int64_t *read, carina_error *error) {
    generator *g = conversation_generator(c);
    const generator_session_kind kind = generator_sessions(g);
    gemma3_session *session = NULL;
    bool usable = head->length && head->type == kind.type && head->capacity == kind.tokens && head->chunk == kind.chunk;
    if (!head->has_notes) return error_set(error, CARINA_ERROR_FORMAT, "%s: a session without a conversation", path);
    if (usable) TRY(gemma3_session_restore(&session, head, file, path, kind.config, adapter, error));
    carina_status status = conversation_text_parse(c, path, head->text, head->text_size, error);
    if (status != CARINA_OK || !session) {
        gemma3_session_free(session);
        return status;
    }
    *read = head->length;
    return generator_keep(g, session, head->tokens, error);
}

carina_status conversation_file_read(conversation *c, const char *path, uint64_t fingerprint, const lora *adapter,
                                     int64_t *read, carina_error *error) {
    const generator_session_kind kind = generator_sessions(conversation_generator(c));
    gemma3_session_head head;
    tensor_file file;
    *read = 0;
    TRY(safetensors_read(&file, path, error));
    carina_status status = gemma3_session_head_read(&head, &file, path, kind.config, fingerprint, adapter, error);
    if (status == CARINA_OK) status = read_parts(c, &head, &file, path, adapter, read, error);
    gemma3_session_head_free(&head); /* on failure it is empty */
    tensor_file_free(&file);
    return status;
}
