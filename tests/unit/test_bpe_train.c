/* Making tokenizers: a small case worked out by hand, independence of order, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "text/bpe_internal.h"
#include "text/bpe_train.h"

static carina_error error;

#include "assert_ok.h"

static carina_status train(bpe **out, const bpe_train_options *options, const char *const *lines, const uint32_t *order,
                           uint32_t count) {
    bpe_trainer *t;
    TRY(bpe_trainer_create(&t, options, &error));
    for (uint32_t i = 0; i < count; i++) {
        const char *line = lines[order ? order[i] : i];
        assert_ok(bpe_trainer_add(t, line, strlen(line), &error));
    }
    carina_status status = bpe_trainer_finish(t, out, &error);
    bpe_trainer_free(t);
    return status;
}

/* Tokens behind the bytes. */
static void tokens_text(const bpe *b, char *out, size_t size) {
    out[0] = 0;
    for (int id = 263; id < bpe_count(b); id++) {
        uint64_t length;
        const char *text = bpe_token(b, id, &length);
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%.*s", id > 263 ? " " : "", (int)length, text);
    }
}

/* Words: hug 10, pug 5, pun 12, bun 4, hugs 5. u g stands 20 times, then u n 16, h ug 15, p un 12; p ug and hug s 5
 * times, hug s being of the younger token; b un 4. */
static void a_case_by_hand(void **state) {
    (void)state;
    static const char *const lines[] = {"hug\thug\thug\thug\thug\thug\thug\thug\thug\thug", "pug\tpug\tpug\tpug\tpug",
                                        "pun\tpun\tpun\tpun\tpun\tpun\tpun\tpun\tpun\tpun\tpun\tpun",
                                        "bun\tbun\tbun\tbun", "hugs\thugs\thugs\thugs\thugs"};
    bpe_train_options options = bpe_train_defaults();
    static const char alphabet[] = "\t \n b g h n p s u \xe2\x96\x81";
    static const struct {
        int size;
        const char *tokens;
    } cases[] = {{273, ""}, {276, " ug un hug"}, {1000, " ug un hug pun pug hugs bun"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bpe *b;
        char text[512], wanted[512];
        options.vocabulary_size = cases[i].size;
        assert_ok(train(&b, &options, lines, NULL, 5));
        tokens_text(b, text, sizeof text);
        snprintf(wanted, sizeof wanted, "%s%s", alphabet, cases[i].tokens);
        assert_string_equal(text, wanted);
        bpe_free(b);
    }
    bpe *b;
    options.vocabulary_size = 272;
    assert_int_equal(train(&b, &options, lines, NULL, 5), CARINA_ERROR_ARGUMENT);
    assert_string_equal(error.message,
                        "vocabulary size: 272 tokens are fewer than bytes and characters alone, which are 273");
    options.vocabulary_size = 1000;
    options.min_frequency = 6;
    assert_ok(train(&b, &options, lines, NULL, 5));
    assert_int_equal(bpe_count(b), 277);
    bpe_free(b);
    options.vocabulary_size = 262;
    assert_int_equal(train(&b, &options, lines, NULL, 5), CARINA_ERROR_ARGUMENT);
}

/* a b stands 7 times, b c 9 times; once b c is joined, a b is left 3 times, which is still enough later. */
static void counts_sink(void **state) {
    (void)state;
    static const char *const lines[] = {"ab\tab\tab", "abc\tabc\tabc\tabc", "bc\tbc\tbc\tbc\tbc"};
    bpe_train_options options = bpe_train_defaults();
    bpe *b;
    char text[256];
    assert_ok(train(&b, &options, lines, NULL, 3));
    tokens_text(b, text, sizeof text);
    assert_string_equal(text, "\t \n a b c \xe2\x96\x81 bc abc ab");
    bpe_free(b);
}

/* Letters, digits and punctuation stay apart; of several blanks the last belongs to the word. */
static void words_are_cut(void **state) {
    (void)state;
    static const char *const lines[] = {
        "aa  bb, cc12 dd(ee) \xff"
        "ff   ",
        "aa  bb, cc12 dd(ee) \xff"
        "ff   "};
    bpe_train_options options = bpe_train_defaults();
    bpe *b;
    assert_ok(train(&b, &options, lines, NULL, 2));
    static const char *const made[] = {"aa",
                                       "\xe2\x96\x81"
                                       "bb",
                                       "\xe2\x96\x81"
                                       "cc",
                                       "\xe2\x96\x81"
                                       "dd",
                                       "ee",
                                       "ff",
                                       "\xe2\x96\x81\xe2\x96\x81"};
    static const char *const never[] = {"bb,",
                                        ",\xe2\x96\x81",
                                        "12",
                                        "c1",
                                        "(ee",
                                        "\xe2\x96\x81"
                                        "ff",
                                        "\xe2\x96\x81\xe2\x96\x81"
                                        "bb",
                                        "2\xe2\x96\x81"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) assert_true(bpe_find(b, made[i], strlen(made[i])) >= 0);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        assert_int_equal(bpe_find(b, never[i], strlen(never[i])), -1);
    assert_int_equal(bpe_find(b, "<bos>", 5), 2);
    assert_int_equal(bpe_find(b, "<0x00>", 6), 7);
    bpe_free(b);
}

/* Rare characters are spelled as bytes, and the text comes back. */
static void an_alphabet_that_is_too_small(void **state) {
    (void)state;
    static const char *const lines[] = {"the lung, the l\xc3\xbcng", "the \xe8\x82\xba"};
    bpe_train_options options = bpe_train_defaults();
    options.alphabet_limit = 8;
    bpe *b;
    bpe_encoder *e;
    const int32_t *ids;
    uint64_t count, size;
    char *text;
    assert_ok(train(&b, &options, lines, NULL, 2));
    assert_ok(bpe_encoder_create(&e, b, &error));
    assert_ok(bpe_encode(e, lines[1], strlen(lines[1]), true, &ids, &count, &error));
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[count - 1], 7 + 0xba);
    assert_ok(bpe_decode(b, ids, count, true, &text, &size, &error));
    assert_string_equal(text, lines[1]);
    free(text);
    bpe_encoder_free(e);
    bpe_free(b);
}

static void order_of_lines_does_not_matter(void **state) {
    (void)state;
    enum { LINES = 300 };
    static char texts[LINES][64];
    const char *lines[LINES];
    uint32_t order[LINES];
    random_state r = random_seed(3);
    for (uint32_t i = 0; i < LINES; i++) {
        for (int k = 0; k < 60; k++) texts[i][k] = "abcde fg"[random_below(&r, 8)];
        lines[i] = texts[i];
        order[i] = i;
    }
    bpe_train_options options = bpe_train_defaults();
    options.vocabulary_size = 600;
    bpe *one, *other;
    assert_ok(train(&one, &options, lines, NULL, LINES));
    random_shuffle(&r, order, LINES);
    assert_ok(train(&other, &options, lines, order, LINES));
    assert_int_equal(one->count, 600);
    assert_int_equal(other->merge_count, one->merge_count);
    assert_memory_equal(one->merges, other->merges, one->merge_count * sizeof *one->merges);
    bpe_free(one);
    bpe_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_case_by_hand),
        cmocka_unit_test(counts_sink),
        cmocka_unit_test(words_are_cut),
        cmocka_unit_test(an_alphabet_that_is_too_small),
        cmocka_unit_test(order_of_lines_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
