/* Chat templates: against jinja2 (tools/make_chat_template_fixture.py), the words and places of errors, limits, and
 * where a model's folder has its template. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/file.h"
#include "format/gguf_write.h"
#include "format/json.h"
#include "text/chat_template.h"
#include "text/jinja.h"

static carina_error error;

/* ---- against jinja2 ---- */

#define FIXTURE     TEST_DATA "/chat_template"
#define MOST        16
#define UNSUPPORTED 150 /* cases that jinja2 has a text for and Carina refuses: most print a list */

typedef struct conversation {
    chat_message messages[MOST];
    chat_part parts[MOST][MOST];
    int count;
} conversation;

static void read_conversation(conversation *c, const json_value *list) {
    memset(c, 0, sizeof *c);
    c->count = (int)json_count(list);
    assert_true(c->count <= MOST);
    for (int i = 0; i < c->count; i++) {
        const json_value *item = json_item(list, (uint64_t)i), *content = json_find(item, "content");
        chat_message *m = &c->messages[i];
        m->role = json_text(json_find(item, "role"));
        m->content = json_text(content);
        m->parts = c->parts[i];
        m->part_count = (int)json_count(content);
        assert_true(m->part_count <= MOST);
        for (int j = 0; j < m->part_count; j++) {
            const char *text = json_text(json_find(json_item(content, (uint64_t)j), "text"));
            c->parts[i][j] = text ? (chat_part){CHAT_TEXT, text} : (chat_part){CHAT_IMAGE, NULL};
        }
    }
}

static carina_status open_template(chat_template **out, const json_value *item) {
    const char *file = json_text(json_find(item, "file")), *source = json_text(json_find(item, "template"));
    if (!file) return chat_template_parse(out, "small", source, strlen(source), &error);
    if (strcmp(file, "builtin.jinja") == 0) return chat_template_gemma(out, &error);
    char path[256];
    uint8_t *data;
    uint64_t size;
    snprintf(path, sizeof path, FIXTURE "/%s", file);
    assert_ok(file_read(path, 1 << 20, &data, &size, &error));
    carina_status status = chat_template_parse(out, file, data, size, &error);
    free(data);
    return status;
}

static carina_status render(const json_value *item, const conversation *c, char **text) {
    bool prompt = false, tokens = false;
    chat_template *t;
    uint64_t size;
    json_truth(json_find(item, "prompt"), &prompt);
    json_truth(json_find(item, "tokens"), &tokens);
    const chat_options options = {tokens ? "<bos>" : NULL, tokens ? "<eos>" : NULL, prompt};
    carina_status status = open_template(&t, item);
    if (status != CARINA_OK) return status;
    status = chat_template_render(t, c->messages, c->count, &options, text, &size, &error);
    chat_template_free(t);
    if (status == CARINA_OK) assert_int_equal(size, strlen(*text));
    return status;
}

static void is_what_jinja2_says(void **state) {
    (void)state;
    json_document *document;
    int unsupported = 0, wrong = 0;
    assert_ok(json_read(&document, FIXTURE "/cases.json", NULL, &error));
    const json_value *cases = json_find(json_root(document), "cases"), *chats = json_find(json_root(document), "chats");
    assert_true(json_count(cases) > 1000);
    for (uint64_t i = 0; i < json_count(cases); i++) {
        const json_value *item = json_item(cases, i);
        const char *wanted = json_text(json_find(item, "text")), *raised = json_text(json_find(item, "raised"));
        const char *name = json_text(json_find(item, json_has(item, "file") ? "file" : "template"));
        char *text = NULL;
        conversation c;
        read_conversation(&c, json_find(chats, json_text(json_find(item, "chat"))));
        carina_status status = render(item, &c, &text);
        bool right = wanted   ? status == CARINA_OK && strcmp(text, wanted) == 0
                     : raised ? status == CARINA_ERROR_ARGUMENT && strstr(error.message, raised)
                              : status != CARINA_OK;
        bool printed_list = status != CARINA_OK && strstr(error.message, "a list as a text is not supported");
        bool refused = status == CARINA_ERROR_UNSUPPORTED || status == CARINA_ERROR_LIMIT;
        if (wanted && refused && (printed_list || !json_has(item, "file"))) {
            unsupported++;
            right = true;
        }
        if (!right) {
            wrong++;
            print_error("%s (%s): wanted %s%s, is %s\n", name, json_text(json_find(item, "chat")),
                        wanted ? wanted : "an error ", raised ? raised : "", text ? text : error.message);
        }
        free(text);
    }
    json_free(document);
    assert_int_equal(wrong, 0);
    print_message("%d unsupported\n", unsupported);
    assert_true(unsupported <= UNSUPPORTED);
}

/* ---- errors and limits ---- */

static const chat_message question[] = {{"user", "Why?", NULL, 0}};
static const chat_options plain = {"<bos>", NULL, true};

static carina_status run_source(const char *source, char **text) {
    chat_template *t;
    uint64_t size;
    *text = NULL;
    carina_status status = chat_template_parse(&t, "t", source, strlen(source), &error);
    if (status != CARINA_OK) return status;
    status = chat_template_render(t, question, 1, &plain, text, &size, &error);
    chat_template_free(t);
    return status;
}

static void errors_say_where_and_what(void **state) {
    (void)state;
    static const struct {
        const char *source;
        carina_status status;
        const char *message;
    } cases[] = {
        {"a\né {{ b c }}", CARINA_ERROR_FORMAT, "t:2:8: expected '}}', found c"},
        {"{% if x %}", CARINA_ERROR_FORMAT, "t:1:4: this if has no endif"},
        {"\n{% for x in y %}{% endif %}", CARINA_ERROR_FORMAT, "t:2:20: expected else or endfor, found endif"},
        {"{% endfor %}", CARINA_ERROR_FORMAT, "t:1:4: expected a statement, found endfor"},
        {"{{ 'a", CARINA_ERROR_FORMAT, "t:1:4: this text has no end"},
        {"{{ (a] }}", CARINA_ERROR_FORMAT, "t:1:6: expected ')', found ']'"},
        {"{{ a", CARINA_ERROR_FORMAT, "t:1:1: this tag has no end"},
        {"{# a", CARINA_ERROR_FORMAT, "t:1:1: this comment has no end"},
        {"{{ \x01 }}", CARINA_ERROR_FORMAT, "t:1:4: U+0001 has no meaning here"},
        {"{{ a == }}", CARINA_ERROR_FORMAT, "t:1:9: expected an expression, found '}}'"},
        {"{{ a | truncate(3) }}", CARINA_ERROR_UNSUPPORTED, "t:1:8: the filter truncate is not supported"},
        {"{{ a is callable }}", CARINA_ERROR_UNSUPPORTED, "t:1:9: the test callable is not supported"},
        {"{{ a.format(1) }}", CARINA_ERROR_UNSUPPORTED, "t:1:6: the method format is not supported"},
        {"{% include 'x' %}", CARINA_ERROR_UNSUPPORTED, "t:1:4: the statement include is not supported"},
        {"{{ a | join(x='b') }}", CARINA_ERROR_UNSUPPORTED, "t:1:13: the argument x of join is not supported"},
        {"{{ a | replace('b') }}", CARINA_ERROR_FORMAT, "t:1:8: replace: an argument is missing"},
        {"{% set loop = 1 %}", CARINA_ERROR_FORMAT, "t:1:8: expected a name that may be set, found loop"},
        {"{% set a = 1 %}{% set a.b = 1 %}", CARINA_ERROR_FORMAT,
         "t:1:19: only a namespace's attributes can be set; 'a' is a number"},
        {"{{ messages[0].content + 1 }}", CARINA_ERROR_FORMAT, "t:1:24: '+' does not go between a text and a number"},
        {"{{ 'a' + nobody }}", CARINA_ERROR_FORMAT, "t:1:8: 'nobody' is undefined"},
        {"{{ a.b.c }}", CARINA_ERROR_FORMAT, "t:1:6: 'a' is undefined, and is asked for an item"},
        {"{{ strftime_now('%Y') }}", CARINA_ERROR_UNSUPPORTED, "t:1:4: the function strftime_now is not supported"},
        {"{% if eos_token is defined %}x{% endif %}\n {{ raise_exception('no ' ~ messages[0].role) }}",
         CARINA_ERROR_ARGUMENT, "t:2:5: no user"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text;
        assert_int_equal(run_source(cases[i].source, &text), cases[i].status);
        assert_string_equal(error.message, cases[i].message);
    }
}

static char *repeated(const char *before, const char *part, int count, const char *after) {
    size_t size = strlen(part);
    char *text = malloc(strlen(before) + size * (size_t)count + strlen(after) + 1), *end = stpcpy(text, before);
    for (int i = 0; i < count; i++) end = stpcpy(end, part);
    strcpy(end, after);
    return text;
}

static void is_limited(char *source, const char *message) {
    char *text;
    assert_int_equal(run_source(source, &text), CARINA_ERROR_LIMIT);
    if (!strstr(error.message, message)) fail_msg("%s", error.message);
    free(source);
}

/* None of these may take all memory, all stack or more than a moment. */
static void hostile_templates_are_stopped(void **state) {
    (void)state;
    is_limited(repeated("", " ", (int)JINJA_MAX_BYTES + 1, ""), "bytes, at most");
    is_limited(repeated("{{ ", "(", 500, ""), "brackets within each other");
    is_limited(repeated("", "{% if 1 %}", 5000, ""), "levels of blocks and expressions");
    is_limited(repeated("{{ ", "not ", 5000, "1 }}"), "levels of blocks and expressions");
    is_limited(repeated("{{ ", "- ", 5000, "1 }}"), "levels of blocks and expressions");
    is_limited(repeated("{{ 1", "+ 1", 5000, " }}"), "levels deep");
    is_limited(repeated("{{ 1", "|string", 5000, " }}"), "levels deep");
    is_limited(repeated("{{ ", "1 if 0 else ", 5000, "1 }}"), "levels of blocks and expressions");
    is_limited(repeated("{% set n = namespace(a='aaaaaaaaaaaaaaaa') %}", "{% set n.a = n.a + n.a %}", 40, ""), "MiB");
    is_limited(repeated("{% set n = namespace(a=[1]) %}", "{% set n.a = n.a + n.a %}", 40, ""), "MiB");
    char *ends = repeated("x", "{% endfor %}", 8, "");
    is_limited(repeated("{% set a = 'aaaaaaaaaaaaaaaa'|list %}", "{% for x in a %}", 8, ends), "steps");
    free(ends);
    is_limited(repeated("{% set a = 'aaaaaaaaaaaaaaaa' %}", "{% set a = a + a %}", 17,
                        "{{ a }}{{ a }}{{ a }}{{ a }}{{ a }}"
                        "{{ a }}{{ a }}{{ a }}{{ a }}"),
               "longer than 16 MiB");
    is_limited(repeated("{% set n = namespace(a=[]) %}", "{% set n.a = [n.a] %}", 1000, "{{ n.a | tojson }}"), "deep");
    is_limited(repeated("{% set n = namespace(a=[]) %}", "{% set n.a = [n.a] %}", 1000,
                        "{% set m = namespace(a=[]) %}{{ n.a == [n.a] }}{{ n.a == n.a }}"),
               "deep");
    is_limited(repeated("{% set n = namespace(a=[1]) %}", "{% set n.a = [n.a, n.a] %}", 60, "{{ n.a == n.a }}"),
               "steps");
    is_limited(repeated("{% set n = namespace(a=['a']) %}", "{% set n.a = [n.a, n.a] %}", 60, "{{ n.a | tojson }}"),
               "");
    is_limited(repeated("{% set a = 'aaaaaaaaaaaaaaaa' %}", "{% set a = a + a %}", 16, "{{ a | replace('a', a) }}"),
               "too large");
    is_limited(repeated("{% set a = 'aaaaaaaaaaaaaaaa' %}", "{% set a = a + a %}", 18, "{{ (a | list) | join(a) }}"),
               "");
}

static void bad_bytes_are_mended_or_refused(void **state) {
    (void)state;
    chat_template *t;
    char *text;
    uint64_t size;
    const chat_message broken[] = {{"user", "a\xff\xe2\x82z", NULL, 0}};
    assert_int_equal(chat_template_parse(&t, "t", "\xff", 1, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "t: not UTF-8");
    assert_ok(chat_template_parse(&t, "t", "{{ messages[0].content }}", 25, &error));
    assert_ok(chat_template_render(t, broken, 1, &plain, &text, &size, &error));
    assert_string_equal(text, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
    free(text);
    assert_int_equal(chat_template_render(t, broken, CHAT_MAX_MESSAGES + 1, &plain, &text, &size, &error),
                     CARINA_ERROR_LIMIT);
    chat_template_free(t);
}

/* ---- a model's folder ---- */

static void put(const char *folder, const char *name, const char *content) {
    char *path = path_join(folder, name);
    if (content)
        assert_ok(file_write(path, content, strlen(content), &error));
    else
        remove(path);
    free(path);
}

#define FOLDER TEST_TMP "/chat_template"

/* Both files (NULL: not there) and what `question` becomes; NULL: there is no template. */
static void folder_gives(const char *template, const char *configuration, const char *wanted) {
    chat_template *t;
    char *text;
    uint64_t size;
    const chat_options options = {NULL, NULL, false};
    put(FOLDER, "chat_template.jinja", template);
    put(FOLDER, "tokenizer_config.json", configuration);
    assert_ok(chat_template_read(&t, FOLDER, &error));
    if (!wanted) {
        assert_null(t);
        return;
    }
    assert_ok(chat_template_render(t, question, 1, &options, &text, &size, &error));
    assert_string_equal(text, wanted);
    free(text);
    chat_template_free(t);
}

static void folder_fails(const char *template, const char *configuration, const char *message) {
    chat_template *t;
    put(FOLDER, "chat_template.jinja", template);
    put(FOLDER, "tokenizer_config.json", configuration);
    assert_int_not_equal(chat_template_read(&t, FOLDER, &error), CARINA_OK);
    if (!strstr(error.message, message)) fail_msg("%s", error.message);
}

static void reads_a_models_folder(void **state) {
    (void)state;
    assert_ok(file_make_folders(FOLDER, &error));
    folder_gives(NULL, NULL, NULL);
    folder_gives(NULL, "{\"bos_token\": \"<s>\", \"chat_template\": null}", NULL);
    folder_gives("A{{ bos_token }}\n", NULL, "A");
    folder_gives("A{{ bos_token }}", "{\"bos_token\": \"<s>\", \"chat_template\": \"B\"}", "A<s>");
    folder_gives(NULL,
                 "{\"bos_token\": {\"content\": \"<s>\"}, \"eos_token\": null, \"chat_template\": "
                 "\"B{{ bos_token }}{{ eos_token }}{{ messages[0].content }}\"}",
                 "B<s>Why?");
    folder_gives(NULL,
                 "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"{% x %}\"}, "
                 "{\"name\": \"default\", \"template\": \"C\"}]}",
                 "C");
    folder_fails(NULL, "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"C\"}]}",
                 "tokenizer_config.json: chat_template: no template is named \"default\"");
    folder_fails(NULL, "{\"chat_template\": [{\"name\": \"tool_use\"}]}", "template");
    folder_fails(NULL, "{\"chat_template\": 3}", "tokenizer_config.json: chat_template: a text, or a list");
    folder_fails(NULL, "{\"chat_template\": \"{{ 'a\"}",
                 "tokenizer_config.json: chat_template:1:4: this text has no end");
    folder_fails("{{ 'a", NULL, "chat_template.jinja:1:4: this text has no end");
    folder_fails("A", "{\"bos_token\": 3}", "bos_token: a token is expected");
    folder_fails("A", "{", "tokenizer_config.json");
}

/* A GGUF file's own template, with the tokens that it names; a file without one has none. */
static void reads_a_gguf_file(void **state) {
    (void)state;
    static const char path[] = TEST_TMP "/chat_template.gguf";
    static const char *const sources[] = {NULL, "{{ bos_token }}[{{ messages[0].content }}]", "{% nonsense %}"};
    for (int i = 0; i < 3; i++) {
        gguf_writer *w;
        gguf_file file;
        chat_template *t;
        assert_ok(gguf_writer_open(&w, path, &error));
        gguf_writer_put_u32(w, "tokenizer.ggml.bos_token_id", 0);
        if (sources[i]) gguf_writer_put_text(w, "tokenizer.chat_template", sources[i]);
        assert_ok(gguf_writer_commit(w, &error));
        assert_ok(gguf_read(&file, path, &error));
        carina_status status = chat_template_from_gguf(&t, &file.metadata, &error);
        gguf_free(&file);
        assert_int_equal(status, i == 2 ? CARINA_ERROR_UNSUPPORTED : CARINA_OK);
        if (i == 2) assert_non_null(strstr(error.message, "chat_template.gguf: tokenizer.chat_template:1:"));
        assert_true((t != NULL) == (i == 1));
        if (i != 1) continue;
        const chat_message message = {.role = "user", .content = "x"};
        const chat_options options = {.bos = "<s>"};
        char *text;
        uint64_t size;
        assert_null(chat_template_bos(t)); /* an id without tokens */
        assert_string_equal(chat_template_source(t), sources[i]);
        assert_ok(chat_template_render(t, &message, 1, &options, &text, &size, &error));
        assert_string_equal(text, "<s>[x]");
        free(text);
        chat_template_free(t);
    }
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_what_jinja2_says),           cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(hostile_templates_are_stopped), cmocka_unit_test(bad_bytes_are_mended_or_refused),
        cmocka_unit_test(reads_a_models_folder),         cmocka_unit_test(reads_a_gguf_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
