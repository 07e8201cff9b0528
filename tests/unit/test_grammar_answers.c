/* Ready grammars: boxes, yes or no, labels, numbers in a range, and JSON schemas, whose random answers are read by the
 * JSON reader and held against the schema by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/random.h"
#include "format/json.h"
#include "text/grammar.h"
#include "text/grammar_answers.h"
#include "text/grammar_matcher.h"
#include "text/grammar_schema.h"

static carina_error error;

/* Every byte is a token; 256 ends the answer. */
static uint8_t bytes[256];
static token_text texts[257];
static const int end = 256;
static const token_table table = {texts, 257, &end, 1};
static token_trie trie;

static int make_vocabulary(void **state) {
    (void)state;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        texts[i] = (token_text){&bytes[i], 1};
    }
    assert_ok(token_trie_make(&trie, &table, &error));
    return 0;
}

static int free_vocabulary(void **state) {
    (void)state;
    token_trie_free(&trie);
    return 0;
}

typedef struct answer {
    grammar *g;
    grammar_matcher *m;
} answer;

/* Takes the text. */
static answer make(char *text) {
    answer a;
    assert_ok(grammar_parse(&a.g, "answers", text, strlen(text), &error));
    assert_ok(grammar_matcher_make(&a.m, a.g, &trie, &error));
    free(text);
    return a;
}

static void release(answer *a) {
    grammar_matcher_free(a->m);
    grammar_free(a->g);
}

static bool accepts(answer *a, const char *text) {
    assert_ok(grammar_matcher_reset(a->m, &error));
    return grammar_matcher_accept_text(a->m, text, strlen(text), &error) == CARINA_OK && grammar_matcher_can_end(a->m);
}

static void check(answer *a, const char *const *yes, const char *const *no) {
    for (; *yes; yes++)
        if (!accepts(a, *yes)) fail_msg("\"%s\" is refused", *yes);
    for (; *no; no++)
        if (accepts(a, *no)) fail_msg("\"%s\" is accepted", *no);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define BOX       "<box>(0,10),(999,1023)</box>"
#define PHRASE    "<ref>left lung, é</ref>"

static void expect_error(carina_status status, carina_status expected, const char *words) {
    if (status != expected || !strstr(error.message, words))
        fail_msg("status %d, \"%s\"; expected %d, \"%s\"", (int)status, error.message, (int)expected, words);
}

static answer boxes(grammar_reference reference, int most, bool in_text) {
    char *text;
    const grammar_answers_box_options o = {reference, most, in_text};
    assert_ok(grammar_answers_boxes(&text, &o, &error));
    return make(text);
}

static void boxes_are_written_as_the_model_learned(void **state) {
    (void)state;
    answer a = boxes(GRAMMAR_REFERENCE_NONE, 1, false);
    check(&a, LIST(BOX, "<box>(1,2),(3,4)</box>"),
          LIST("", PHRASE BOX, BOX BOX, "<box>(1,2),(3,1024)</box>", "<box>(01,2),(3,4)</box>",
               "<box>(1, 2),(3,4)</box>", "<box>(1,2),(3,4)</box> ", "<box>(-1,2),(3,4)</box>", "<box>(1,2)</box>"));
    release(&a);
    a = boxes(GRAMMAR_REFERENCE_ALLOWED, 3, false);
    check(&a, LIST(BOX, PHRASE BOX, PHRASE BOX BOX " " PHRASE BOX, BOX "\n" BOX),
          LIST(PHRASE, "<ref></ref>" BOX, "<ref>a\nb</ref>" BOX, PHRASE " " BOX, BOX BOX BOX BOX));
    release(&a);
    a = boxes(GRAMMAR_REFERENCE_REQUIRED, 2, false);
    check(&a, LIST(PHRASE BOX, PHRASE BOX PHRASE BOX), LIST(BOX, PHRASE BOX BOX));
    release(&a);
    a = boxes(GRAMMAR_REFERENCE_ALLOWED, 0, true);
    check(&a, LIST("The heart.", "The " PHRASE BOX " and" BOX ".\n", BOX), LIST("", "a < b", "<ref>x</ref>.", "<box>"));
    release(&a);
    char *text;
    grammar_answers_box_options bad = {GRAMMAR_REFERENCE_NONE, 0, false};
    expect_error(grammar_answers_boxes(&text, &bad, &error), CARINA_ERROR_ARGUMENT, "at most 0 boxes: not 1 .. 64");
    bad = (grammar_answers_box_options){GRAMMAR_REFERENCE_NONE, 2, true};
    expect_error(grammar_answers_boxes(&text, &bad, &error), CARINA_ERROR_ARGUMENT, "most must be 0, it is 2");
}

static void yes_and_no(void **state) {
    (void)state;
    char *text;
    assert_ok(grammar_answers_yes_no(&text, &error));
    answer a = make(text);
    check(&a, LIST("yes", "Yes", "No.", "no"), LIST("", "YES", "yesno", "y", "no .", "maybe"));
    release(&a);
}

static void labels(void **state) {
    (void)state;
    char *text;
    const char *const names[] = {"edema", "edema \"mild\"", "back\\slash\n", "é"};
    assert_ok(grammar_answers_label(&text, names, 4, &error));
    answer a = make(text);
    check(&a, LIST(names[0], names[1], names[2], names[3]), LIST("", "edem", "edema, é", "back\\slash"));
    release(&a);
    assert_ok(grammar_answers_labels(&text, names, 4, "no finding", &error));
    a = make(text);
    check(&a, LIST("é", "edema, é", "é, é, é, edema \"mild\"", "no finding"),
          LIST("", "edema,é", "edema, ", "é, é, é, é, é", "no finding, é", "é, no finding"));
    release(&a);
    const char *const twice[] = {"a", "b", "a"}, *const empty[] = {"a", ""}, *const comma[] = {"a,b"},
                      *const bytes_only[] = {"\xff"};
    expect_error(grammar_answers_label(&text, twice, 3, &error), CARINA_ERROR_ARGUMENT, "\"a\" is there twice");
    expect_error(grammar_answers_label(&text, empty, 2, &error), CARINA_ERROR_ARGUMENT, "a label is empty");
    expect_error(grammar_answers_label(&text, empty, 0, &error), CARINA_ERROR_ARGUMENT, "0 labels");
    expect_error(grammar_answers_label(&text, bytes_only, 1, &error), CARINA_ERROR_ARGUMENT, "is not UTF-8");
    expect_error(grammar_answers_labels(&text, comma, 1, NULL, &error), CARINA_ERROR_ARGUMENT, "has a comma");
    expect_error(grammar_answers_labels(&text, names, 4, "", &error), CARINA_ERROR_ARGUMENT, "a label is empty");
}

/* ---- numbers ---- */

static answer whole(int64_t low, int64_t high) {
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    fputs("root ::= ", stream);
    grammar_answers_whole(stream, low, high);
    assert_int_equal(fclose(stream), 0);
    return make(text);
}

static void check_range(int64_t low, int64_t high) {
    answer a = whole(low, high);
    char text[32];
    const int64_t near[] = {0, low, high, 10, 100, 1000, -10, -100};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        for (int64_t d = -12; d <= 12; d++) {
            int64_t value;
            if (__builtin_add_overflow(near[i], d, &value)) continue;
            snprintf(text, sizeof text, "%lld", (long long)value);
            if (accepts(&a, text) != (value >= low && value <= high))
                fail_msg("%s in %lld .. %lld", text, (long long)low, (long long)high);
        }
    check(&a, LIST(NULL), LIST("", "-", "-0", "00", "01", "+1", "1 "));
    release(&a);
}

static void whole_numbers_of_a_range(void **state) {
    (void)state;
    check_range(0, 1023);
    check_range(0, 0);
    check_range(-5, -5);
    check_range(INT64_MIN, INT64_MAX);
    check_range(INT64_MAX, INT64_MAX);
    check_range(INT64_MIN, INT64_MIN + 1);
    check_range(99, 1000);
    random_state random = random_seed(6);
    for (int i = 0; i < 60; i++) {
        int64_t a = (int64_t)random_below(&random, 4000) - 2000, b = a + (int64_t)random_below(&random, 3000);
        check_range(a, b);
    }
}

/* ---- schemas ---- */

static answer schema(const char *json) {
    char *text;
    assert_ok(grammar_schema_text(&text, "schema.json", json, strlen(json), &error));
    return make(text);
}

static void schemas(void **state) {
    (void)state;
    answer a = schema(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"},"
        "\"c\":{\"type\":\"null\"}},\"required\":[\"b\"],\"additionalProperties\":false,\"title\":\"t\"}");
    check(&a,
          LIST("{\"b\":true}", "{\"a\": -12, \"b\": false}", "{\"a\":0,\"b\":true,\"c\":null}",
               "{\"b\":true, \"c\": null}"),
          LIST("{}", "{\"a\":1}", "{\"b\":true,}", "{\"b\":true,\"a\":1}", "{,\"b\":true}", "{\"b\":true \"c\":null}",
               "{\"b\":1}", "{\"b\":true,\"c\":null,\"d\":1}", "{\"a\":01,\"b\":true}"));
    release(&a);
    a = schema(
        "{\"type\":\"object\",\"properties\":{\"k\\\"\\n\":{\"const\":1.5},\"z\":{\"enum\":[\"x\\\"\",2,null,true]}}}");
    check(&a,
          LIST("{}", "{\"k\\\"\\n\":1.5}", "{\"z\":\"x\\\"\"}", "{\"k\\\"\\n\":1.5,\"z\":null}", "{\"z\":2}",
               "{\"z\":true}"),
          LIST("{\"z\":false}", "{\"z\":\"x\"}", "{\"k\":1.5}"));
    release(&a);
    a = schema(
        "{\"type\":\"array\",\"minItems\":2,\"maxItems\":3,\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":"
        "1023}}");
    check(&a, LIST("[0,1]", "[1023, 7,9]"), LIST("[]", "[1]", "[1,2,3,4]", "[1,1024]", "[-1,1]"));
    release(&a);
    a = schema("{\"type\":\"array\",\"items\":{\"type\":\"array\",\"maxItems\":0,\"items\":{\"type\":\"null\"}}}");
    check(&a, LIST("[]", "[[]]", "[[], [],[]]"), LIST("[[null]]", "[[],]"));
    release(&a);
    a = schema("{\"type\":\"string\",\"minLength\":1,\"maxLength\":3}");
    check(&a, LIST("\"a\"", "\"é日\\n\"", "\"\\\"\\\\/\""),
          LIST("\"\"", "\"abcd\"", "\"\\u0041\"", "\"\n\"", "\"a", "\"\\x\""));
    release(&a);
    a = schema("{\"type\":\"number\"}");
    check(&a, LIST("0", "-1.5", "12e-3", "0.5E+10"), LIST("", ".5", "1.", "01", "1e", "--1", "NaN"));
    release(&a);
    a = schema("{\"type\":\"object\"}");
    check(&a, LIST("{}"), LIST("{ }", "[]"));
    release(&a);
    a = schema("{\"type\":\"string\",\"enum\":[\"mild\",\"severe\"]}");
    check(&a, LIST("\"mild\"", "\"severe\""), LIST("mild", "\"\""));
    release(&a);
}

static void bad_schemas_are_errors(void **state) {
    (void)state;
    const struct {
        const char *json, *words;
        carina_status status;
    } cases[] = {
        {"{", "s:1: not valid JSON", CARINA_ERROR_FORMAT},
        {"true", "s: a schema is an object, this is true or false", CARINA_ERROR_FORMAT},
        {"{}", "s: type: missing", CARINA_ERROR_FORMAT},
        {"{\"type\":[\"string\",\"null\"]}", "s: type: text is expected", CARINA_ERROR_FORMAT},
        {"{\"type\":\"date\"}", "s: type: the type \"date\" is not supported", CARINA_ERROR_UNSUPPORTED},
        {"{\"type\":\"string\",\"pattern\":\"a\"}", "s: pattern: this keyword is not supported",
         CARINA_ERROR_UNSUPPORTED},
        {"{\"type\":\"string\",\"minItems\":1}", "s: minItems: this keyword is not supported here",
         CARINA_ERROR_UNSUPPORTED},
        {"{\"enum\":[1],\"minimum\":1}", "s: minimum: this keyword is not supported here", CARINA_ERROR_UNSUPPORTED},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"anyOf\":[]}}}}",
         "s: properties.a.items.type: missing", CARINA_ERROR_FORMAT},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\",\"anyOf\":[]}}}",
         "s: properties.a.anyOf: this keyword is not supported", CARINA_ERROR_UNSUPPORTED},
        {"{\"type\":\"object\",\"additionalProperties\":{}}", "additionalProperties: only true and false",
         CARINA_ERROR_UNSUPPORTED},
        {"{\"type\":\"object\",\"required\":[\"a\"]}", "required: \"a\" is not among the properties",
         CARINA_ERROR_FORMAT},
        {"{\"type\":\"object\",\"required\":[1]}", "required: a name is expected", CARINA_ERROR_FORMAT},
        {"{\"type\":\"array\"}", "s: items: missing", CARINA_ERROR_FORMAT},
        {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":3,\"maxItems\":2}",
         "s: maxItems: 2 is below minItems, 3", CARINA_ERROR_FORMAT},
        {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":-1}", "s: minItems: -1 is outside",
         CARINA_ERROR_FORMAT},
        {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "s: maximum: 2 is below minimum, 3",
         CARINA_ERROR_FORMAT},
        {"{\"type\":\"integer\",\"minimum\":0.5}", "s: minimum: a whole number is expected", CARINA_ERROR_FORMAT},
        {"{\"type\":\"number\",\"minimum\":1}", "s: minimum: this keyword is not supported here",
         CARINA_ERROR_UNSUPPORTED},
        {"{\"enum\":[]}", "s: enum: no value", CARINA_ERROR_FORMAT},
        {"{\"enum\":[[1]]}", "s: enum: an array as a value is not supported", CARINA_ERROR_UNSUPPORTED},
        {"{\"enum\":[1],\"const\":1}", "s: const: enum beside const", CARINA_ERROR_UNSUPPORTED},
        {"{\"type\":\"integer\",\"const\":1.5}", "s: const: a number is not of the type beside it",
         CARINA_ERROR_FORMAT},
        {"{\"type\":\"boolean\",\"enum\":[true,\"a\"]}", "s: enum: text is not of the type", CARINA_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text;
        expect_error(grammar_schema_text(&text, "s", cases[i].json, strlen(cases[i].json), &error), cases[i].status,
                     cases[i].words);
        assert_null(text);
    }
}

/* ---- random answers, read back ---- */

static size_t write_random(answer *a, random_state *random, char *text, size_t room) {
    size_t size = 0;
    assert_ok(grammar_matcher_reset(a->m, &error));
    while (size < room) {
        const uint64_t *mask;
        assert_ok(grammar_matcher_mask(a->m, &mask, &error));
        int token = end;
        if (!(mask[end / 64] & 1) || !random_chance(random, 0.5)) do {
                /* quotation marks and brackets often, so that strings and lists end */
                static const char closing[] = "\"]},";
                token = random_chance(random, 0.4) ? closing[random_below(random, 4)] : (int)random_below(random, 257);
            } while (!(mask[token / 64] >> token % 64 & 1));
        assert_ok(grammar_matcher_accept(a->m, token, &error));
        if (token == end) return size;
        text[size++] = (char)token;
    }
    return 0; /* too long */
}

static void check_report(const json_value *root) {
    int64_t number;
    bool truth;
    assert_int_equal(json_kind_of(root), JSON_KIND_OBJECT);
    const json_value *list = json_find(root, "findings");
    assert_in_range(json_count(list), 1, 3);
    for (uint64_t i = 0; i < json_count(list); i++) {
        const json_value *item = json_item(list, i), *box = json_find(item, "box");
        assert_non_null(json_text(json_find(item, "name")));
        assert_int_equal(json_count(box), 4);
        for (uint64_t j = 0; j < 4; j++) {
            assert_true(json_whole(json_item(box, j), &number));
            assert_in_range(number, 0, 1023);
        }
        const char *grade = json_text(json_find(item, "grade"));
        if (grade) assert_true(strcmp(grade, "mild") == 0 || strcmp(grade, "severe") == 0);
    }
    if (json_find(root, "sure")) assert_true(json_truth(json_find(root, "sure"), &truth));
    if (json_find(root, "score")) assert_int_equal(json_kind_of(json_find(root, "score")), JSON_KIND_NUMBER);
}

static void random_answers_are_valid(void **state) {
    (void)state;
    answer a = schema(
        "{\"type\":\"object\",\"required\":[\"findings\"],\"properties\":{\"sure\":{\"type\":\"boolean\"},"
        "\"findings\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":3,\"items\":{\"type\":\"object\",\"required\":["
        "\"name\",\"box\"],"
        "\"properties\":{\"name\":{\"type\":\"string\"},\"grade\":{\"enum\":[\"mild\",\"severe\"]},\"box\":{\"type\":"
        "\"array\","
        "\"minItems\":4,\"maxItems\":4,\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":1023}}}}},"
        "\"score\":{\"type\":\"number\"}}}");
    random_state random = random_seed(9);
    int read = 0;
    for (int i = 0; i < 300; i++) {
        char text[2000];
        size_t size = write_random(&a, &random, text, sizeof text);
        json_document *document;
        if (size == 0) continue;
        if (json_parse(&document, "answer", text, size, NULL, &error) != CARINA_OK)
            fail_msg("%s: %.*s", error.message, (int)size, text);
        check_report(json_root(document));
        json_free(document);
        read++;
    }
    assert_true(read > 250);
    release(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_are_written_as_the_model_learned),
        cmocka_unit_test(yes_and_no),
        cmocka_unit_test(labels),
        cmocka_unit_test(whole_numbers_of_a_range),
        cmocka_unit_test(schemas),
        cmocka_unit_test(bad_schemas_are_errors),
        cmocka_unit_test(random_answers_are_valid),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, free_vocabulary);
}
