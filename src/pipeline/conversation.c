/* Turns; see conversation.h. */
#include "pipeline/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct conversation {
    language_model *model;
    generator *generator;
    const chat_template *template_of;
    bpe_encoder *encoder;
    const char *bos;
    chat_message *messages; /* contents are owned */
    int count, room;
};

carina_status conversation_create(conversation **out, language_model *model, generator *g, const chat_template *t,
                                  carina_error *error) {
    *out = NULL;
    conversation *c = calloc(1, sizeof *c);
    if (!c) return error_memory(error, "a conversation", sizeof *c);
    *c = (conversation){.model = model, .generator = g, .template_of = t};
    /* A model without a tokenizer_config.json has Gemma's. */
    if (!chat_template_bos(t) && bpe_find(model->tokenizer, "<bos>", 5) >= 0) c->bos = "<bos>";
    carina_status status = bpe_encoder_create(&c->encoder, model->tokenizer, error);
    if (status == CARINA_OK)
        *out = c;
    else
        conversation_free(c);
    return status;
}

static void drop(conversation *c, int count) {
    while (c->count > count) free((char *)c->messages[--c->count].content);
}

void conversation_free(conversation *c) {
    if (!c) return;
    drop(c, 0);
    free(c->messages);
    bpe_encoder_free(c->encoder);
    free(c);
}

static carina_status add(conversation *c, const char *role, const char *text, carina_error *error) {
    if (c->count == CHAT_MAX_MESSAGES)
        return error_set(error, CARINA_ERROR_LIMIT, "a conversation of more than %d messages", CHAT_MAX_MESSAGES);
    if (c->count == c->room) {
        int room = c->room ? 2 * c->room : 16;
        chat_message *grown = realloc(c->messages, (size_t)room * sizeof *grown);
        if (!grown) return error_memory(error, "a conversation", (uint64_t)room * sizeof *grown);
        c->messages = grown;
        c->room = room;
    }
    char *copy = strdup(text);
    if (!copy) return error_memory(error, "a message", strlen(text));
    c->messages[c->count++] = (chat_message){.role = role, .content = copy};
    return CARINA_OK;
}

carina_status conversation_reset(conversation *c, const char *system, carina_error *error) {
    drop(c, 0);
    return system ? add(c, "system", system, error) : CARINA_OK;
}

int conversation_count(const conversation *c) { return c->count; }
const chat_message *conversation_messages(const conversation *c) { return c->messages; }
generator *conversation_generator(const conversation *c) { return c->generator; }

/* The role that the message `index` has when the first one is, or is not, the system's. */
static const char *role_at(int index, bool system) {
    if (system && index == 0) return "system";
    return (index - system) % 2 == 0 ? "user" : "assistant";
}

static carina_status check_turns(const chat_message *messages, int count, carina_error *error) {
    bool system = count && strcmp(messages[0].role, "system") == 0;
    for (int i = 0; i < count; i++)
        if (strcmp(messages[i].role, role_at(i, system)) != 0)
            return error_set(error, CARINA_ERROR_FORMAT, "messages[%d].role: expected \"%s\", found \"%.40s\"", i,
                             role_at(i, system), messages[i].role);
    if ((count - system) % 2 != 0)
        return error_set(error, CARINA_ERROR_FORMAT, "messages: the last one, of the user, has no answer");
    return CARINA_OK;
}

carina_status conversation_resume(conversation *c, const chat_message *messages, int count, carina_error *error) {
    conversation other = {0};
    TRY(check_turns(messages, count, error));
    bool system = count && strcmp(messages[0].role, "system") == 0;
    carina_status status = CARINA_OK;
    for (int i = 0; i < count && status == CARINA_OK; i++)
        status = add(&other, role_at(i, system), messages[i].content, error);
    if (status == CARINA_OK) {
        drop(c, 0);
        free(c->messages);
        c->messages = other.messages;
        c->count = other.count;
        c->room = other.room;
    } else {
        drop(&other, 0);
        free(other.messages);
    }
    return status;
}

/* ---- a turn ---- */

/* The answer as it comes: kept, and handed on. */
typedef struct answer {
    const generate_request *how;
    FILE *stream; /* of text */
    char *text;
    size_t size;
} answer;

static bool take_text(void *context, const char *text, uint64_t size) {
    const answer *a = context;
    fwrite(text, 1, (size_t)size, a->stream);
    return !a->how->on_text || a->how->on_text(a->how->context, text, size);
}

static bool take_token(void *context, const sampler_draw *draw) {
    const answer *a = context;
    return !a->how->on_token || a->how->on_token(a->how->context, draw);
}

static void take_end(void *context, const generate_result *result) {
    const answer *a = context;
    if (a->how->on_end) a->how->on_end(a->how->context, result);
}

static carina_status make_prompt(conversation *c, generate_row **rows, int64_t *count, carina_error *error) {
    const chat_options options = {.bos = c->bos, .add_generation_prompt = true};
    char *text;
    uint64_t size;
    TRY(chat_template_render(c->template_of, c->messages, c->count, &options, &text, &size, error));
    carina_status status = generate_encode(c->encoder, text, size, false, rows, count, error);
    free(text);
    return status;
}

static carina_status generate(conversation *c, const generate_request *how, answer *a, generate_result *result,
                              carina_error *error) {
    generate_request request = *how;
    generate_row *rows;
    TRY(make_prompt(c, &rows, &request.prompt_count, error));
    request.prompt = rows;
    request.on_text = take_text;
    request.on_token = take_token;
    request.on_end = take_end;
    request.context = a;
    carina_status status = generator_run(c->generator, &request, 1, result, error);
    free(rows);
    return status;
}

carina_status conversation_answer(conversation *c, const char *text, const generate_request *how,
                                  generate_result *result, carina_error *error) {
    int before = c->count;
    answer a = {.how = how};
    *result = (generate_result){.end = GENERATE_FAILED, .stop = -1};
    TRY(add(c, "user", text, error));
    a.stream = open_memstream(&a.text, &a.size);
    carina_status status = a.stream ? generate(c, how, &a, result, error) : error_memory(error, "an answer", 4096);
    bool whole = a.stream && !ferror(a.stream);
    if (a.stream && fclose(a.stream) != 0) whole = false;
    if (status == CARINA_OK && !whole) status = error_memory(error, "an answer", a.size);
    if (status == CARINA_OK && result->end != GENERATE_FAILED) status = add(c, "assistant", a.text, error);
    if (status != CARINA_OK || result->end == GENERATE_FAILED) drop(c, before);
    free(a.text);
    return status;
}

/* ---- keeping it ---- */

void conversation_put_messages(json_writer *w, const conversation *c) {
    json_begin_array(w);
    for (int i = 0; i < c->count; i++) {
        json_begin_object(w);
        json_field_text(w, "role", c->messages[i].role);
        json_field_text(w, "content", c->messages[i].content);
        json_end(w);
    }
    json_end(w);
}

carina_status conversation_save(const conversation *c, const char *path, carina_error *error) {
    file_writer *file;
    TRY(file_writer_open(&file, path, error));
    json_writer w = json_writer_make(file_writer_stream(file), JSON_PRETTY);
    json_begin_object(&w);
    json_key(&w, "messages");
    conversation_put_messages(&w, c);
    json_end(&w);
    return file_writer_commit(file, error);
}
