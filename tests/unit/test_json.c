/* format/json and json_writer: reading, errors with paths, limits; output that is always valid JSON. */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/number.h"
#include "base/utf8.h"
#include "format/json.h"
#include "format/json_writer.h"

static json_document *parse(const char *text) {
    json_document *document;
    carina_error error = {0};
    carina_status status = json_parse(&document, "x.json", text, strlen(text), NULL, &error);
    if (status != CARINA_OK) print_error("%s\n", error.message);
    assert_int_equal(status, CARINA_OK);
    return document;
}

static void refuse(const char *text, carina_status expected, const char *part) {
    json_document *document;
    carina_error error = {0};
    assert_int_equal(json_parse(&document, "x.json", text, strlen(text), NULL, &error), expected);
    assert_null(document);
    if (!strstr(error.message, part)) fail_msg("'%s' lacks '%s'", error.message, part);
}

static void values_are_read(void **state) {
    (void)state;
    json_document *d = parse(
        "\xef\xbb\xbf{\"id\": \"a\", \"w\": 395.0, \"n\": -7, \"x\": 1.5, \"t\": true, \"z\": null,"
        " \"box\": [1, 2, 3.5, 4], \"o\": {\"b\": 1, \"a\": 2}}");
    const json_value *root = json_root(d);
    carina_error error;
    const char *text;
    double number, box[4];
    int64_t whole;
    bool truth;
    assert_int_equal(json_get_text(d, root, "id", &text, &error), CARINA_OK);
    assert_string_equal(text, "a");
    assert_int_equal(json_get_whole(d, root, "w", 0, 1000, &whole, &error), CARINA_OK);
    assert_int_equal(whole, 395);
    assert_int_equal(json_get_number(d, root, "x", &number, &error), CARINA_OK);
    assert_true(number == 1.5);
    assert_int_equal(json_get_truth(d, root, "t", &truth, &error), CARINA_OK);
    assert_true(truth);
    assert_int_equal(json_get_numbers(d, root, "box", box, 4, &error), CARINA_OK);
    assert_true(box[2] == 3.5);
    assert_true(json_has(root, "n"));
    assert_false(json_has(root, "z"));
    assert_false(json_has(root, "absent"));
    assert_null(json_item(root, 0));
    assert_null(json_find(NULL, "a"));
    const char *key;
    const json_value *value, *object = json_find(root, "o");
    char order[3] = "";
    for (void *position = NULL; json_next(object, &position, &key, &value);) strcat(order, key);
    assert_string_equal(order, "ba");
    json_free(d);
}

static void errors_name_file_and_path(void **state) {
    (void)state;
    json_document *d = parse("{\"objects\": [{}, {\"x1\": \"a\", \"w\": 1.5, \"box\": [1, 2]}], \"n\": null}");
    const json_value *second = json_item(json_find(json_root(d), "objects"), 1);
    carina_error error;
    const char *text;
    double box[4];
    int64_t whole;
    assert_int_equal(json_get_number(d, second, "x1", box, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "x.json: objects[1].x1: a number is expected, not text");
    json_get_whole(d, second, "w", 0, 9, &whole, &error);
    assert_string_equal(error.message, "x.json: objects[1].w: a whole number is expected");
    json_get_numbers(d, second, "box", box, 4, &error);
    assert_string_equal(error.message, "x.json: objects[1].box: 4 numbers are expected");
    json_get_text(d, json_root(d), "id", &text, &error);
    assert_string_equal(error.message, "x.json: id: missing (text is expected)");
    json_get_text(d, json_root(d), "n", &text, &error);
    assert_string_equal(error.message, "x.json: n: text is expected, not null");
    json_get_text(d, json_find(json_root(d), "objects"), "id", &text, &error);
    assert_string_equal(error.message, "x.json: objects: an object is expected, not an array");
    json_free(d);
}

static void bad_documents_are_refused(void **state) {
    (void)state;
    refuse("{\"a\": 1,\n\"a\": 2}", CARINA_ERROR_FORMAT, "x.json:2: not valid JSON: duplicate");
    refuse("{\"a\": 1,\n oops}", CARINA_ERROR_FORMAT, "x.json:2:");
    refuse("", CARINA_ERROR_FORMAT, "not valid JSON");
    refuse("[1e999]", CARINA_ERROR_FORMAT, "not valid JSON");
    refuse("[99999999999999999999]", CARINA_ERROR_FORMAT, "not valid JSON");
    refuse("[NaN]", CARINA_ERROR_FORMAT, "not valid JSON");
    refuse("[\"\xff\"]", CARINA_ERROR_FORMAT, "not valid JSON");
    refuse("{} {}", CARINA_ERROR_FORMAT, "not valid JSON");
    refuse("\"unfinished \\", CARINA_ERROR_FORMAT, "not valid JSON");
    char deep[80];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = 0;
    refuse(deep, CARINA_ERROR_LIMIT, "nested deeper than 64");
    json_document *d;
    carina_error error;
    json_options few = {.max_values = 3};
    assert_int_equal(json_parse(&d, "x", "[1,2,3,4]", 9, &few, &error), CARINA_ERROR_LIMIT);
    few = (json_options){.max_bytes = 8};
    assert_int_equal(json_parse(&d, "x", "[1,2,3,4]", 9, &few, &error), CARINA_ERROR_LIMIT);
    few = (json_options){.repair_utf8 = true};
    assert_int_equal(json_parse(&d, "x", "[\"a\xff\"]", 6, &few, &error), CARINA_OK);
    assert_string_equal(json_text(json_item(json_root(d), 0)), "a\xef\xbf\xbd");
    json_free(d);
    assert_int_equal(json_read(&d, TEST_TMP "/absent.json", NULL, &error), CARINA_ERROR_IO);
}

static void write_sample(json_writer *w) {
    const float box[4] = {1.04f, -0.01f, 300, 2.5f};
    json_begin_object(w);
    json_field_text(w, "file", "a\"b\\\n\x01\xff\xc3\xa9");
    json_field_number(w, "nan", NAN);
    json_field_number(w, "third", 0.1);
    json_field_whole(w, "whole", INT64_MIN);
    json_field_truth(w, "yes", true);
    json_field_text(w, "none", NULL);
    json_field_numbers(w, "box", box, 4, 1);
    json_key(w, "empty");
    json_begin_array(w);
    json_end(w);
    json_key(w, "list");
    json_begin_array(w);
    json_put_f32(w, 0.1f);
    json_begin_inline(w, true);
    json_field_whole(w, "a", 1);
    json_field_whole(w, "b", 2);
    json_end(w);
    json_end(w);
    json_end(w);
}

static void writer_output_is_valid(void **state) {
    (void)state;
    static const char pretty[] =
        "{\n  \"file\": \"a\\\"b\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\n  \"nan\": null,\n  \"third\": 0.1,\n"
        "  \"whole\": -9223372036854775808,\n  \"yes\": true,\n  \"none\": null,\n  \"box\": [1, 0, 300, 2.5],\n"
        "  \"empty\": [],\n  \"list\": [\n    0.1,\n    {\"a\": 1, \"b\": 2}\n  ]\n}\n";
    for (json_style style = JSON_COMPACT; style <= JSON_PRETTY; style++) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        json_writer w = json_writer_make(stream, style);
        write_sample(&w);
        fclose(stream);
        if (style == JSON_PRETTY) assert_string_equal(text, pretty);
        if (style == JSON_COMPACT) assert_null(strchr(text, ' '));
        if (style != JSON_PRETTY) assert_ptr_equal(strchr(text, '\n'), text + size - 1);
        json_free(parse(text));
        free(text);
    }
}

static void numbers_read_back(void **state) {
    (void)state;
    const double values[] = {0, -0.0, 0.1, 1.0 / 3, 1e300, DBL_MAX, DBL_MIN, 5e-324, 1.2345678901234568e17, -1.5};
    char text[NUMBER_TEXT];
    double back;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_true(number_format(text, values[i]) < NUMBER_TEXT);
        assert_true(number_parse(text, &back) && back == values[i]);
    }
    number_format_f32(text, 0.1f);
    assert_string_equal(text, "0.1");
    const char *const bad[] = {"", " 1", "1 ", "nan", "inf", "0x10", "1e999", "1,5", "--1", "e", "."};
    int64_t whole;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(number_parse(bad[i], &back));
        assert_false(number_parse_integer(bad[i], &whole));
    }
    assert_false(number_parse_integer("9223372036854775808", &whole));
    assert_true(number_parse_integer("-12", &whole) && whole == -12);
}

static void utf8_is_judged(void **state) {
    (void)state;
    const char *const good[] = {
        "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xab\x81", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
    const char *const bad[] = {"\x80",         "\xc0\x80",         "\xc3",    "\xe0\x80\x80",
                               "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(utf8_valid(bad[i], strlen(bad[i])));
        assert_false(utf8_is_line(bad[i]));
    }
    static const char *const controls[] = {"a\n", "\x1b[31m", "a\x7f", "\xc2\x9b", "\t"};
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) assert_false(utf8_is_line(controls[i]));
    assert_true(utf8_is_line("") && utf8_is_line("a \xc2\xa0 \xe2\x82\xac"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),           cmocka_unit_test(errors_name_file_and_path),
        cmocka_unit_test(bad_documents_are_refused), cmocka_unit_test(writer_output_is_valid),
        cmocka_unit_test(numbers_read_back),         cmocka_unit_test(utf8_is_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
