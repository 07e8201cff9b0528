/* Conversations: what a turn reads, what stays of one that failed or was stopped, and what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/json.h"
#include "language_fixture.h"
#include "model/gemma3_session_file.h"
#include "pipeline/conversation_file.h"

static carina_error error;
#include "assert_ok.h"

static language_model *model;

static int set_up(void **state) {
    (void)state;
    bpe *tokenizer = language_fixture_tokenizer();
    static const int ends[] = {0};
    return language_model_make(&model, "tiny", language_fixture_model(tokenizer), tokenizer, ends, 1, &error) !=
           CARINA_OK;
}

static int tear_down(void **state) {
    (void)state;
    language_model_free(model);
    return 0;
}

typedef struct talk {
    chat_template *template_of;
    generator *generator;
    conversation *c;
} talk;

static talk start(int64_t context, const char *text) {
    talk t;
    generator_options o = generator_defaults();
    o.context = context;
    o.sequences = o.kept = 1;
    if (text)
        assert_ok(chat_template_parse(&t.template_of, "test", text, strlen(text), &error));
    else
        assert_ok(chat_template_gemma(&t.template_of, &error));
    assert_ok(generator_create(&t.generator, model, &o, &error));
    assert_ok(conversation_create(&t.c, model, t.generator, t.template_of, &error));
    return t;
}

static void finish(talk *t) {
    conversation_free(t->c);
    generator_free(t->generator);
    chat_template_free(t->template_of);
}

static bool stop_at_five(void *context, const sampler_draw *draw) {
    (void)draw;
    return ++*(int *)context < 5;
}

static generate_request ask(int64_t tokens) {
    generate_request r = generate_request_defaults();
    r.max_tokens = tokens;
    return r;
}

static void turns_read_what_is_new(void **state) {
    (void)state;
    talk t = start(400, NULL), fresh = start(400, NULL);
    generate_request how = ask(12);
    generate_result result, again;
    assert_ok(conversation_answer(t.c, "The heart is large.", &how, &result, &error));
    assert_int_equal(result.reused, 0);
    int64_t first = result.prompt_tokens;
    assert_ok(conversation_answer(t.c, "No pleural effusion?", &how, &result, &error));
    assert_true(result.reused >= first - 1);
    assert_true(result.prompt_tokens > first);
    assert_int_equal(conversation_count(t.c), 4);
    static const char *const roles[] = {"user", "assistant", "user", "assistant"};
    for (int i = 0; i < 4; i++) assert_string_equal(conversation_messages(t.c)[i].role, roles[i]);
    assert_string_equal(conversation_messages(t.c)[2].content, "No pleural effusion?");

    /* After a reset everything is as it was in the beginning. */
    char *wanted = strdup(conversation_messages(t.c)[1].content);
    assert_ok(conversation_reset(t.c, NULL, &error));
    assert_int_equal(conversation_count(t.c), 0);
    assert_ok(conversation_answer(t.c, "The heart is large.", &how, &again, &error));
    assert_string_equal(conversation_messages(t.c)[1].content, wanted);
    assert_int_equal(again.prompt_tokens, first);

    /* A system's words come first. */
    assert_ok(conversation_reset(fresh.c, "The lungs are clear.", &error));
    assert_ok(conversation_answer(fresh.c, "The heart is large.", &how, &result, &error));
    assert_int_equal(conversation_count(fresh.c), 3);
    assert_true(result.prompt_tokens > first);
    free(wanted);
    finish(&t);
    finish(&fresh);
}

static void turns_that_fail_have_not_been(void **state) {
    (void)state;
    talk t = start(60, NULL);
    generate_request how = ask(4);
    generate_result result;
    assert_ok(conversation_answer(t.c, "x", &how, &result, &error));
    char words[2000] = "";
    for (int i = 0; i < 90; i++) strcat(words, "The heart ");
    assert_ok(conversation_answer(t.c, words, &how, &result, &error));
    assert_int_equal(result.end, GENERATE_FAILED);
    assert_non_null(strstr(result.error.message, "the context has room for 60"));
    assert_int_equal(conversation_count(t.c), 2);
    assert_ok(conversation_answer(t.c, "y", &how, &result, &error));
    assert_int_equal(result.end, GENERATE_MAX_TOKENS);
    finish(&t);

    t = start(60,
              "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('not that') }}{% endif %}"
              "{{ m.content }}{% endfor %}");
    assert_int_equal(conversation_answer(t.c, "no", &how, &result, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "not that"));
    assert_int_equal(conversation_count(t.c), 0);
    assert_ok(conversation_answer(t.c, "yes", &how, &result, &error));
    finish(&t);
}

static void stopped_answers_stay(void **state) {
    (void)state;
    talk t = start(400, NULL);
    int heard = 0;
    generate_request how = ask(50);
    generate_result result;
    how.on_token = stop_at_five;
    how.context = &heard;
    assert_ok(conversation_answer(t.c, "x", &how, &result, &error));
    assert_int_equal(result.end, GENERATE_CANCELLED);
    assert_int_equal(result.tokens, 5);
    assert_int_equal(conversation_count(t.c), 2);
    finish(&t);
}

static void conversations_are_saved(void **state) {
    (void)state;
    char path[300];
    json_document *d;
    const json_value *messages;
    talk t = start(400, NULL);
    generate_request how = ask(5);
    generate_result result;
    assert_ok(conversation_answer(t.c, "\"x\"\n\xc2\xa3", &how, &result, &error));
    snprintf(path, sizeof path, "%s/conversation.json", TEST_TMP);
    assert_ok(conversation_save(t.c, path, &error));
    assert_ok(json_read(&d, path, NULL, &error));
    assert_ok(json_get_array(d, json_root(d), "messages", &messages, &error));
    assert_int_equal(json_count(messages), 2);
    for (uint64_t i = 0; i < 2; i++) {
        const chat_message *m = &conversation_messages(t.c)[i];
        assert_string_equal(json_text(json_find(json_item(messages, i), "role")), m->role);
        assert_string_equal(json_text(json_find(json_item(messages, i), "content")), m->content);
    }
    json_free(d);
    remove(path);
    finish(&t);
}

#define FILE_PATH TEST_TMP "/conversation.session"

/* Read by another generator it goes on as where it was written, with what was read. */
static void files_go_on(void **state) {
    (void)state;
    talk one = start(400, NULL), two = start(400, NULL), wider = start(401, NULL);
    uint64_t fingerprint = gemma3_fingerprint(model->model);
    generate_request how = ask(8);
    generate_result wanted, found;
    int64_t read;
    assert_ok(conversation_reset(one.c, "The lungs are clear.", &error));
    assert_ok(conversation_answer(one.c, "\"x\"\n\xc2\xa3", &how, &wanted, &error));
    assert_ok(conversation_file_write(one.c, FILE_PATH, fingerprint, &error));
    assert_ok(conversation_answer(two.c, "something else", &how, &found, &error));
    assert_ok(conversation_file_read(two.c, FILE_PATH, fingerprint, NULL, &read, &error));
    assert_int_equal(conversation_count(two.c), 3);
    assert_int_equal(read, wanted.prompt_tokens + wanted.tokens - 1);
    assert_ok(conversation_answer(one.c, "No pleural effusion?", &how, &wanted, &error));
    assert_ok(conversation_answer(two.c, "No pleural effusion?", &how, &found, &error));
    assert_true(found.reused > 10);
    assert_int_equal(found.reused, wanted.reused);
    assert_int_equal(found.prompt_tokens, wanted.prompt_tokens);
    for (int i = 0; i < 5; i++)
        assert_string_equal(conversation_messages(two.c)[i].content, conversation_messages(one.c)[i].content);

    /* For another context the words alone are taken. */
    assert_ok(conversation_file_read(wider.c, FILE_PATH, fingerprint, NULL, &read, &error));
    assert_int_equal(read, 0);
    assert_ok(conversation_answer(wider.c, "No pleural effusion?", &how, &found, &error));
    assert_int_equal(found.reused, 0);
    assert_string_equal(conversation_messages(wider.c)[4].content, conversation_messages(one.c)[4].content);

    /* Another model's: nothing changes. */
    assert_int_equal(conversation_file_read(two.c, FILE_PATH, fingerprint + 1, NULL, &read, &error),
                     CARINA_ERROR_MISMATCH);
    assert_int_equal(conversation_count(two.c), 5);

    /* Without turns there is nothing of the session. */
    assert_ok(conversation_reset(one.c, NULL, &error));
    assert_ok(conversation_file_write(one.c, FILE_PATH, fingerprint, &error));
    assert_ok(conversation_file_read(two.c, FILE_PATH, fingerprint, NULL, &read, &error));
    assert_int_equal(conversation_count(two.c), 0);
    assert_int_equal(read, 0);
    remove(FILE_PATH);
    finish(&one);
    finish(&two);
    finish(&wider);
}

/* A session that no conversation is beside, as gemma3_session_write makes them. */
static void bare_sessions_are_refused(void **state) {
    (void)state;
    talk t = start(60, NULL);
    gemma3_session *s;
    int64_t read;
    assert_ok(gemma3_session_create(&s, &model->model->config, TENSOR_F32, 60, 512, &error));
    assert_ok(gemma3_session_write(FILE_PATH, s, 1, NULL, &error));
    assert_int_equal(conversation_file_read(t.c, FILE_PATH, 1, NULL, &read, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "a session without a conversation"));
    gemma3_session_free(s);
    remove(FILE_PATH);
    finish(&t);
}

static void texts_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "FILE: an object is expected"},
        {"{\"format\": \"carina-conversation-2\", \"messages\": []}", "FILE: format: expected"},
        {"{\"format\": \"carina-conversation-1\"}", "messages"},
        {"{\"format\": \"carina-conversation-1\", \"messages\": [1]}", "FILE: messages[0]"},
        {"{\"format\": \"carina-conversation-1\", \"messages\": [{\"role\": \"user\"}]}", "content"},
        {"{\"format\": \"carina-conversation-1\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
         "FILE: messages: the last one, of the user, has no answer"},
        {"{\"format\": \"carina-conversation-1\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}, "
         "{\"role\": \"system\", \"content\": \"x\"}]}",
         "FILE: messages[1].role: expected \"assistant\", found \"system\""},
    };
    talk t = start(60, NULL);
    assert_ok(conversation_reset(t.c, "stays", &error));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(conversation_text_parse(t.c, "FILE", cases[i].text, strlen(cases[i].text), &error) != CARINA_OK);
        if (!strstr(error.message, cases[i].message)) fail_msg("%s", error.message);
        assert_int_equal(conversation_count(t.c), 1);
    }
    static const char good[] =
        "{\"format\": \"carina-conversation-1\", \"messages\": [{\"role\": \"system\", \"content\": \"\"}, "
        "{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": \"y\"}]}";
    assert_ok(conversation_text_parse(t.c, "FILE", good, sizeof good - 1, &error));
    assert_int_equal(conversation_count(t.c), 3);
    assert_string_equal(conversation_messages(t.c)[2].content, "y");
    finish(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_read_what_is_new),
        cmocka_unit_test(turns_that_fail_have_not_been),
        cmocka_unit_test(stopped_answers_stay),
        cmocka_unit_test(conversations_are_saved),
        cmocka_unit_test(files_go_on),
        cmocka_unit_test(bare_sessions_are_refused),
        cmocka_unit_test(texts_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
