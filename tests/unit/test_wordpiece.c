/* The tokenizer against tests/data/text/wordpiece.json (an independent implementation's ids, tools/
 * make_wordpiece_fixture.py), every character of Unicode by checksum, and what is said of bad vocabularies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/json.h"
#include "text/unicode.h"
#include "text/wordpiece.h"

static void load(wordpiece *w) {
    carina_error error;
    if (wordpiece_load(w, TEST_DATA "/text", &error) != CARINA_OK) fail_msg("%s", error.message);
}

static wordpiece_options options_of(const json_value *object) {
    wordpiece_options o = wordpiece_defaults();
    json_truth(json_find(object, "do_lower_case"), &o.lower_case);
    o.strip_accents = o.lower_case;
    json_truth(json_find(object, "strip_accents"), &o.strip_accents);
    json_truth(json_find(object, "tokenize_chinese_chars"), &o.split_cjk);
    return o;
}

static void check_ids(const wordpiece *w, const char *text, const json_value *expected, const char *where) {
    int ids[64];
    int count = wordpiece_encode(w, text, strlen(text), ids, 64, NULL);
    if (count != (int)json_count(expected))
        fail_msg("%s: %d ids, %d expected, of \"%s\"", where, count, (int)json_count(expected), text);
    for (int i = 0; i < count; i++) {
        int64_t id;
        assert_true(json_whole(json_item(expected, (uint64_t)i), &id));
        if (ids[i] != id) fail_msg("%s: id %d is %d, not %d, of \"%s\"", where, i, ids[i], (int)id, text);
    }
}

typedef struct joined {
    char *text;
    size_t size, room;
    char separator;
} joined;

static bool join(void *context, const char *word, int size) {
    joined *j = context;
    if (j->size + (size_t)size + 2 > j->room) {
        j->room = 2 * (j->room + (size_t)size + 2);
        j->text = realloc(j->text, j->room);
        assert_non_null(j->text);
    }
    if (j->size) j->text[j->size++] = j->separator;
    memcpy(j->text + j->size, word, (size_t)size);
    j->size += (size_t)size;
    j->text[j->size] = 0;
    return true;
}

static void check_words(const wordpiece_options *options, const char *text, const char *expected) {
    joined j = {.separator = ' '};
    assert_true(wordpiece_split(options, text, strlen(text), join, &j));
    assert_string_equal(j.text ? j.text : "", expected);
    free(j.text);
}

static uint32_t crc_add(uint32_t crc, const char *text, size_t size) {
    static uint32_t table[256];
    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
        table[i] = c;
    }
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ (uint8_t)text[i]) & 0xff];
    return crc;
}

/* The words of "x<character>y" and a zero byte, for every character. */
static uint32_t checksum(const wordpiece_options *options) {
    uint32_t crc = 0xffffffffu;
    joined j = {.separator = '\n'};
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xd800 && code <= 0xdfff) continue;
        char text[6] = "x";
        int size = 1 + unicode_encode(code, text + 1);
        text[size++] = 'y';
        j.size = 0;
        wordpiece_split(options, text, (uint64_t)size, join, &j);
        crc = crc_add(crc, j.text, j.size + 1);
    }
    free(j.text);
    return ~crc;
}

static void texts_give_the_reference_ids(void **state) {
    (void)state;
    wordpiece w;
    load(&w);
    json_document *d;
    carina_error error;
    if (json_read(&d, TEST_DATA "/text/wordpiece.json", NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
    for (uint64_t i = 0; i < json_count(json_root(d)); i++) {
        const json_value *c = json_item(json_root(d), i), *texts = json_find(c, "texts");
        char where[32];
        snprintf(where, sizeof where, "options %d", (int)i);
        w.options = options_of(json_find(c, "options"));
        assert_true(json_count(texts) >= 70);
        for (uint64_t k = 0; k < json_count(texts); k++) {
            const char *text = json_text(json_item(texts, k));
            check_ids(&w, text, json_item(json_find(c, "ids"), k), where);
            check_words(&w.options, text, json_text(json_item(json_find(c, "words"), k)));
        }
    }
    json_free(d);
    wordpiece_free(&w);
}

static void every_character_is_treated_alike(void **state) {
    (void)state;
    json_document *d;
    assert_int_equal(json_read(&d, TEST_DATA "/text/wordpiece.json", NULL, NULL), CARINA_OK);
    for (uint64_t i = 0; i < json_count(json_root(d)); i++) {
        const json_value *c = json_item(json_root(d), i);
        wordpiece_options options = options_of(json_find(c, "options"));
        int64_t expected;
        assert_true(json_whole(json_find(c, "checksum"), &expected));
        if (checksum(&options) != (uint32_t)expected) fail_msg("options %d: some character is cut otherwise", (int)i);
    }
    json_free(d);
}

static void malformed_bytes_and_nul_are_dropped(void **state) {
    (void)state;
    wordpiece w;
    load(&w);
    int ids[16], plain[16];
    bool cut;
    int count = wordpiece_encode(&w, "lung right", 10, plain, 16, &cut);
    assert_int_equal(count, 4);
    assert_false(cut);
    static const char bad[] = "\x80lu\xc0\xafng\xed\xa0\x80 \xffri\0g\xf5ht\xe2\x82";
    assert_int_equal(wordpiece_encode(&w, bad, sizeof bad - 1, ids, 16, &cut), 4);
    assert_memory_equal(ids, plain, 4 * sizeof *ids);
    wordpiece_free(&w);
}

static void huge_text_is_cut_and_says_so(void **state) {
    (void)state;
    wordpiece w;
    load(&w);
    size_t size = 8 << 20;
    char *text = malloc(size);
    memset(text, 'x', size); /* one word */
    int ids[16];
    bool cut;
    assert_int_equal(wordpiece_encode(&w, text, size, ids, 16, &cut), 3);
    assert_int_equal(ids[1], w.words.special[VOCABULARY_UNK]);
    assert_false(cut);
    for (size_t i = 0; i < size; i++) text[i] = i % 2 ? ' ' : 'x';
    assert_int_equal(wordpiece_encode(&w, text, size, ids, 16, &cut), 16);
    assert_int_equal(ids[15], w.words.special[VOCABULARY_SEP]);
    assert_true(cut);
    assert_int_equal(wordpiece_encode(&w, text, size, ids, 2, &cut), 2);
    assert_int_equal(wordpiece_encode(&w, "", 0, ids, 2, &cut), 2);
    assert_false(cut);
    free(text);
    wordpiece_free(&w);
}

static void complains(const char *expected, const char *data, size_t size) {
    vocabulary v;
    carina_error error = {0};
    assert_int_not_equal(vocabulary_parse(&v, "v.txt", data, size, &error), CARINA_OK);
    if (!strstr(error.message, expected)) fail_msg("\"%s\" in \"%s\"", expected, error.message);
    assert_null(v.text);
}
#define COMPLAINS(expected, text) complains(expected, text, sizeof(text) - 1)
#define SPECIALS                  "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"

static void bad_vocabularies_are_named(void **state) {
    (void)state;
    COMPLAINS("no token [PAD]", "");
    COMPLAINS("no token [UNK]", "[PAD]\n[CLS]\n[SEP]\n");
    COMPLAINS("no token [SEP]", "[PAD]\n[UNK]\n[CLS]\n");
    COMPLAINS("v.txt:6: \"lung\" stands on line 5 already", SPECIALS "lung\nlung\n");
    COMPLAINS("v.txt:5: not UTF-8", SPECIALS "\xff\n");
    COMPLAINS("v.txt:5: not UTF-8", SPECIALS "a\0b\n");
    char *large = malloc(2 << 20);
    memset(large, 'a', 2 << 20);
    complains("a token of 2097152 bytes", large, 2 << 20);
    memset(large, '\n', 2 << 20);
    complains("at most 1048576 tokens", large, 2 << 20);
    free(large);
}

static void vocabularies_read_as_they_stand(void **state) {
    (void)state;
    static const char text[] = SPECIALS "lung\r\n\n##s"; /* CRLF, a blank line, no line break at the end, no [MASK] */
    vocabulary v;
    assert_int_equal(vocabulary_parse(&v, "v", text, sizeof text - 1, NULL), CARINA_OK);
    assert_int_equal(v.count, 7);
    assert_int_equal(vocabulary_find(&v, "lung", 4), 4);
    assert_int_equal(vocabulary_find(&v, "##s", 3), 6);
    assert_int_equal(vocabulary_find(&v, "lun", 3), -1);
    assert_int_equal(vocabulary_find(&v, "lungs", 5), -1);
    assert_int_equal(vocabulary_find(&v, "", 0), -1);
    assert_int_equal(v.special[VOCABULARY_MASK], -1);
    assert_string_equal(vocabulary_token(&v, 6), "##s");
    assert_null(vocabulary_token(&v, 7));
    assert_null(vocabulary_token(&v, -1));
    assert_int_equal(vocabulary_write(&v, TEST_TMP "/vocab_again.txt", NULL), CARINA_OK);
    vocabulary again;
    assert_int_equal(vocabulary_read(&again, TEST_TMP "/vocab_again.txt", NULL), CARINA_OK);
    assert_int_equal(again.count, 7);
    assert_string_equal(vocabulary_token(&again, 4), "lung");
    vocabulary_free(&again);
    wordpiece w = {v, wordpiece_defaults()};
    int ids[8];
    assert_int_equal(wordpiece_encode(&w, "LUNGS [MASK]", 12, ids, 8, NULL), 5);
    assert_int_equal(ids[1], 4);
    assert_int_equal(ids[2], 6);
    assert_int_equal(ids[3], 1); /* no [MASK] to be had */
    wordpiece_free(&w);
}

static void options_follow_the_file(void **state) {
    (void)state;
    static const struct {
        const char *text, *error;
        wordpiece_options options;
    } cases[] = {
        {"{}", NULL, {true, true, true}},
        {"{\"do_lower_case\": false}", NULL, {false, false, true}},
        {"{\"do_lower_case\": false, \"strip_accents\": true}", NULL, {false, true, true}},
        {"{\"strip_accents\": null, \"tokenize_chinese_chars\": false, \"model_max_length\": 1e30}",
         NULL,
         {true, true, false}},
        {"{\"unk_token\": {\"content\": \"[UNK]\"}, \"tokenizer_class\": \"BertTokenizerFast\"}",
         NULL,
         {true, true, true}},
        {"{\"unk_token\": \"<unk>\"}", "unk_token", {0}},
        {"{\"tokenizer_class\": \"RobertaTokenizer\"}", "RobertaTokenizer", {0}},
        {"{\"do_lower_case\": 1}", "do_lower_case", {0}},
        {"{\"do_basic_tokenize\": false}", "do_basic_tokenize", {0}},
        {"[]", "object", {0}},
        {"{", "t.json", {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wordpiece_options o;
        carina_error error = {0};
        carina_status status = wordpiece_options_parse(&o, "t.json", cases[i].text, strlen(cases[i].text), &error);
        if (cases[i].error) {
            assert_int_not_equal(status, CARINA_OK);
            if (!strstr(error.message, cases[i].error)) fail_msg("%s: %s", cases[i].text, error.message);
            continue;
        }
        assert_int_equal(status, CARINA_OK);
        assert_memory_equal(&o, &cases[i].options, sizeof o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_give_the_reference_ids),
        cmocka_unit_test(every_character_is_treated_alike),
        cmocka_unit_test(malformed_bytes_and_nul_are_dropped),
        cmocka_unit_test(huge_text_is_cut_and_says_so),
        cmocka_unit_test(bad_vocabularies_are_named),
        cmocka_unit_test(vocabularies_read_as_they_stand),
        cmocka_unit_test(options_follow_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
