/* JSON in one pass: what it reads, what it refuses and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/json_scan.h"

static carina_error error;

#include "assert_ok.h"

static void walks_a_file(void **state) {
    (void)state;
    static const char text[] =
        "\xef\xbb\xbf {\"a\\u0062\" : [1, -20 ,{\"x\":null}], \"t\":\"\\u00e9\\ud83e\\udec1\\u0000/\\n\","
        "\"flag\": true, \"rest\": {\"n\": [1.5e-3, []]} } \n";
    json_scan s = json_scan_make("file", text, sizeof text - 1);
    bool more, flag;
    int64_t whole;
    const char *read;
    uint64_t size;
    assert_ok(json_scan_enter(&s, JSON_KIND_OBJECT, &error));
    assert_ok(json_scan_next(&s, &more, &error));
    assert_true(more && json_scan_key_is(&s, "ab"));
    assert_ok(json_scan_enter(&s, JSON_KIND_ARRAY, &error));
    for (int i = 0; i < 2; i++) {
        assert_ok(json_scan_next(&s, &more, &error));
        assert_int_equal(json_scan_kind(&s), JSON_KIND_NUMBER);
        assert_ok(json_scan_whole(&s, -20, 1, &whole, &error));
        assert_int_equal(whole, i ? -20 : 1);
    }
    assert_ok(json_scan_next(&s, &more, &error));
    assert_ok(json_scan_skip(&s, &read, &size, &error));
    assert_int_equal(size, 10);
    assert_memory_equal(read, "{\"x\":null}", 10);
    assert_ok(json_scan_next(&s, &more, &error));
    assert_false(more);
    assert_ok(json_scan_next(&s, &more, &error));
    assert_ok(json_scan_text(&s, &read, &size, &error));
    assert_int_equal(size, 9);
    assert_memory_equal(read, "\xc3\xa9\xf0\x9f\xab\x81\0/\n", 9);
    assert_ok(json_scan_next(&s, &more, &error));
    assert_ok(json_scan_truth(&s, &flag, &error));
    assert_true(flag && json_scan_key_is(&s, "flag"));
    assert_ok(json_scan_next(&s, &more, &error));
    assert_ok(json_scan_skip(&s, &read, &size, &error));
    assert_ok(json_scan_next(&s, &more, &error));
    assert_false(more);
    assert_ok(json_scan_end(&s, &error));
    json_scan_free(&s);
}

static void refuses_what_is_no_json(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "line 1: a value is expected, but the file ends"},
        {"nil", "a value is expected"},
        {"[1,]", "a value is expected"},
        {"[1 2]", "',' or ']' is expected"},
        {"[\n1", "line 2: ',' or ']' is expected, but the file ends"},
        {"{\"a\" 1}", "file: not valid JSON on line 1: ':' is expected"},
        {"{a:1}", "a key is expected"},
        {"{\"a\":1,}", "a key is expected"},
        {"[01]", "a number is malformed"},
        {"[-]", "a number is malformed"},
        {"[1.]", "a number is malformed"},
        {"[1e]", "a number is malformed"},
        {"[\"a", "a string is not closed"},
        {"[\"a\\\"", "a string is not closed"},
        {"[\"\\x\"]", "an escape"},
        {"[\"\\u12g4\"]", "an escape"},
        {"[\"\\ud800\"]", "an escape"},
        {"[\"\\udc00\"]", "an escape"},
        {"[\"\\ud800\\u0041\"]", "an escape"},
        {"[\"\x01\"]", "a control character"},
        {"[\"\xff\"]", "not UTF-8"},
        {"[tru]", "a value is expected"},
        {"[] 1", "nothing more is expected"},
        {"[0,{\"k\":[1,x]}]", "file: [1].k[1]: not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_scan s = json_scan_make("file", cases[i].text, strlen(cases[i].text));
        carina_status status = json_scan_skip(&s, NULL, NULL, &error);
        if (status == CARINA_OK) status = json_scan_end(&s, &error);
        if (status != CARINA_ERROR_FORMAT || !strstr(error.message, cases[i].words))
            fail_msg("%s: %s, not %s", cases[i].text, status ? error.message : "accepted", cases[i].words);
        json_scan_free(&s);
    }
    char deep[100];
    memset(deep, '[', sizeof deep);
    json_scan s = json_scan_make("file", deep, sizeof deep);
    assert_int_equal(json_scan_skip(&s, NULL, NULL, &error), CARINA_ERROR_LIMIT);
    json_scan_free(&s);
}

static void names_kinds_and_bounds(void **state) {
    (void)state;
    int64_t whole;
    bool more;
    const char *text = "[\"a\", 7, 1.0, 9223372036854775808]";
    json_scan s = json_scan_make("file", text, strlen(text));
    assert_int_equal(json_scan_enter(&s, JSON_KIND_OBJECT, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "file: an object is expected, not an array");
    assert_ok(json_scan_enter(&s, JSON_KIND_ARRAY, &error));
    static const char *const words[] = {"file: [0]: a number is expected, not text",
                                        "file: [1]: 7 is no whole number from 0 to 6",
                                        "file: [2]: 1.0 is no whole number from 0 to 6",
                                        "file: [3]: 9223372036854775808 is no whole number from 0 to 6"};
    for (int i = 0; i < 4; i++) {
        assert_ok(json_scan_next(&s, &more, &error));
        assert_int_equal(json_scan_whole(&s, 0, 6, &whole, &error), CARINA_ERROR_FORMAT);
        assert_string_equal(error.message, words[i]);
        if (i == 0) assert_ok(json_scan_skip(&s, NULL, NULL, &error));
    }
    json_scan_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_a_file),
        cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(names_kinds_and_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
