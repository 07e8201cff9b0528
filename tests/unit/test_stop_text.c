/* Stop strings over pieces of every size beside a search in the whole text, what is held back and when it comes, UTF-8
 * that is cut or wrong, and the receiver that wants no more. */
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
#include "base/utf8.h"
#include "text/stop_text.h"

static carina_error error;

typedef struct sink {
    char text[8192];
    uint64_t size;
    int calls, most; /* calls that are accepted; 0: all */
} sink;

static bool take(void *context, const char *text, uint64_t size) {
    sink *s = context;
    assert_true(size > 0 && s->size + size < sizeof s->text);
    assert_true(utf8_valid(text, size));
    memcpy(s->text + s->size, text, (size_t)size);
    s->size += size;
    s->text[s->size] = 0;
    return ++s->calls != s->most;
}

static stop_text *make(sink *to, const char *const *strings, int count) {
    stop_text *s;
    *to = (sink){0};
    assert_ok(stop_text_make(&s, strings, count, take, to, &error));
    return s;
}

static void push(stop_text *s, const char *text) { assert_ok(stop_text_push(s, text, strlen(text), &error)); }

static void only_what_could_begin_a_stop_is_held(void **state) {
    (void)state;
    sink to;
    const char *const strings[] = {"</box>", "abab!"};
    stop_text *s = make(&to, strings, 2);
    push(s, "x <");
    assert_string_equal(to.text, "x ");
    push(s, "b");
    assert_string_equal(to.text, "x <b");
    push(s, "</bo");
    assert_string_equal(to.text, "x <b");
    push(s, "d");
    assert_string_equal(to.text, "x <b</bod");
    push(s, "ababab"); /* the last four may still be the stop's first four */
    assert_string_equal(to.text, "x <b</bodab");
    assert_int_equal(stop_text_found(s), -1);
    push(s, "!tail");
    push(s, "more");
    assert_int_equal(stop_text_found(s), 1);
    assert_ok(stop_text_finish(s, &error));
    assert_string_equal(to.text, "x <b</bodab");
    stop_text_free(s);
}

static void the_first_complete_string_ends_the_text(void **state) {
    (void)state;
    sink to;
    const char *const strings[] = {"bc", "abcd", "xbc"};
    stop_text *s = make(&to, strings, 3);
    push(s, "1abcd");
    assert_int_equal(stop_text_found(s), 0);
    assert_string_equal(to.text, "1a");
    stop_text_free(s);
    s = make(&to, strings, 3);
    push(s, "1xbc"); /* two end here: the longest */
    assert_int_equal(stop_text_found(s), 2);
    assert_string_equal(to.text, "1");
    stop_text_free(s);
}

static void what_was_held_comes_at_the_end(void **state) {
    (void)state;
    sink to;
    const char *const strings[] = {"<end>"};
    stop_text *s = make(&to, strings, 1);
    push(s, "a<en\xe2\x82");
    assert_string_equal(to.text, "a<en");
    assert_ok(stop_text_finish(s, &error));
    assert_string_equal(to.text, "a<en\xef\xbf\xbd\xef\xbf\xbd");
    stop_text_free(s);
    s = make(&to, NULL, 0);
    assert_ok(stop_text_push(s, NULL, 0, &error));
    push(s, "free");
    assert_string_equal(to.text, "free");
    stop_text_free(s);
}

static void characters_come_whole(void **state) {
    (void)state;
    sink to;
    stop_text *s = make(&to, NULL, 0);
    push(s, "\xf0\x9f\xa9");
    assert_int_equal(to.size, 0);
    push(s, "\xbb");
    assert_string_equal(to.text, "\xf0\x9f\xa9\xbb");
    to.size = 0;
    push(s, "\xed\xa0"); /* no character goes on so: nothing to wait for */
    assert_string_equal(to.text, "\xef\xbf\xbd\xef\xbf\xbd");
    to.size = 0;
    push(s, "\xf4\x8f");
    push(s, "\xc3");
    assert_string_equal(to.text, "\xef\xbf\xbd\xef\xbf\xbd"); /* the third may still become a letter */
    push(s, "\xa9");
    assert_string_equal(to.text, "\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9");
    stop_text_free(s);
}

/* The end of the text by a search of every place for every string; size when there is none. */
static uint64_t end_of(const char *text, uint64_t size, const char *const *strings, int count) {
    for (uint64_t end = 1; end <= size; end++) {
        uint64_t longest = 0;
        for (int i = 0; i < count; i++) {
            uint64_t length = strlen(strings[i]);
            if (length <= end && length > longest && memcmp(text + end - length, strings[i], length) == 0)
                longest = length;
        }
        if (longest) return end - longest;
    }
    return size;
}

static void pieces_of_any_size_give_the_same_text(void **state) {
    (void)state;
    random_state random = random_seed(2);
    const char *const letters[5] = {"a", "b", "\xc3\xa9", "\xe2\x82\xac", "\xff"};
    for (int run = 0; run < 3000; run++) {
        char strings_text[3][32] = {"", "", ""}, text[256] = "";
        const char *strings[3];
        for (int i = 0; i < 3; i++) {
            for (uint64_t j = 1 + random_below(&random, 6); j > 0; j--)
                strcat(strings_text[i], letters[random_below(&random, 4)]);
            strings[i] = strings_text[i];
        }
        for (uint64_t j = random_below(&random, 60); j > 0; j--) strcat(text, letters[random_below(&random, 5)]);
        sink to;
        int count = (int)random_below(&random, 4);
        stop_text *s = make(&to, strings, count);
        uint64_t size = strlen(text);
        for (uint64_t at = 0, piece; at < size; at += piece) {
            piece = 1 + random_below(&random, size - at < 7 ? size - at : 7);
            assert_ok(stop_text_push(s, text + at, piece, &error));
        }
        assert_ok(stop_text_finish(s, &error));
        uint64_t expected_size;
        char *expected = utf8_repair(text, end_of(text, size, strings, count), &expected_size);
        assert_int_equal(to.size, expected_size);
        assert_memory_equal(to.text, expected, expected_size);
        free(expected);
        stop_text_free(s);
    }
}

static void long_pieces_pass_through(void **state) {
    (void)state;
    sink to;
    char text[5000], stop[STOP_TEXT_MAX_STRING + 1];
    memset(text, 'a', sizeof text);
    memset(stop, 'a', sizeof stop - 2);
    stop[sizeof stop - 2] = 'b';
    stop[sizeof stop - 1] = 0;
    const char *const strings[] = {stop};
    stop_text *s = make(&to, strings, 1);
    assert_ok(stop_text_push(s, text, sizeof text, &error));
    assert_int_equal(to.size, sizeof text - (STOP_TEXT_MAX_STRING - 1));
    push(s, "b");
    assert_int_equal(stop_text_found(s), 0);
    assert_int_equal(to.size, sizeof text - (STOP_TEXT_MAX_STRING - 1));
    stop_text_free(s);
}

static void the_receiver_may_cancel(void **state) {
    (void)state;
    sink to;
    stop_text *s = make(&to, NULL, 0);
    to.most = 2;
    push(s, "one ");
    assert_int_equal(stop_text_push(s, "two", 3, &error), CARINA_ERROR_CANCELLED);
    assert_int_equal(stop_text_push(s, "three", 5, &error), CARINA_ERROR_CANCELLED);
    assert_int_equal(stop_text_finish(s, &error), CARINA_ERROR_CANCELLED);
    assert_string_equal(to.text, "one two");
    stop_text_free(s);
}

static void bad_strings_are_errors(void **state) {
    (void)state;
    stop_text *s;
    char big[STOP_TEXT_MAX_STRING + 2];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    const struct {
        const char *string, *words;
    } cases[] = {{"", "stop string 2 is empty"}, {"\xff", "stop string 2 is not UTF-8"}, {big, "1025 bytes, at most"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const strings[] = {"fine", cases[i].string};
        assert_int_not_equal(stop_text_make(&s, strings, 2, take, NULL, &error), CARINA_OK);
        assert_null(s);
        assert_non_null(strstr(error.message, cases[i].words));
    }
    assert_int_equal(stop_text_make(&s, NULL, STOP_TEXT_MAX_STRINGS + 1, take, NULL, &error), CARINA_ERROR_ARGUMENT);
    stop_text_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_could_begin_a_stop_is_held),
        cmocka_unit_test(the_first_complete_string_ends_the_text),
        cmocka_unit_test(what_was_held_comes_at_the_end),
        cmocka_unit_test(characters_come_whole),
        cmocka_unit_test(pieces_of_any_size_give_the_same_text),
        cmocka_unit_test(long_pieces_pass_through),
        cmocka_unit_test(the_receiver_may_cancel),
        cmocka_unit_test(bad_strings_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
