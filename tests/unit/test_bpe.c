/* The language model's tokenizer: ids and texts as Hugging Face's library has them (tests/data/tokenizer, made by
 * tools/make_tokenizer_fixture.sh), merging beside its plain formulation, decoding piece by piece, tokens added. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/random.h"
#include "format/json.h"
#include "text/bpe_internal.h"

static carina_error error;

#include "assert_ok.h"

static bpe *load(const char *name) {
    char path[512];
    bpe *b;
    snprintf(path, sizeof path, TEST_DATA "/tokenizer/%s.json", name);
    assert_ok(bpe_read(&b, path, NULL, &error));
    return b;
}

/* ---- as the reference has it ---- */

static uint64_t from_hexadecimal(const char *digits, char **out) {
    uint64_t size = strlen(digits) / 2;
    *out = malloc((size_t)size + 1);
    assert_non_null(*out);
    for (uint64_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(digits + 2 * i, "%2x", &byte), 1);
        (*out)[i] = (char)byte;
    }
    (*out)[size] = 0;
    return size;
}

static void check_case(bpe_encoder *e, const bpe *b, const json_value *c, uint64_t number) {
    char *text, *wanted, *decoded;
    uint64_t size = from_hexadecimal(json_text(json_find(c, "text")), &text), wanted_size, decoded_size, count;
    const json_value *list = json_find(c, "ids");
    const int32_t *ids;
    assert_ok(bpe_encode(e, text, size, false, &ids, &count, &error));
    bool same = count == json_count(list);
    for (uint64_t i = 0; same && i < count; i++) {
        int64_t id;
        same = json_whole(json_item(list, i), &id) && id == ids[i];
    }
    if (!same) fail_msg("case %llu has other ids: %s", (unsigned long long)number, text);
    if (!json_has(c, "decoded")) { /* versions of the reference differ */
        free(text);
        return;
    }
    wanted_size = from_hexadecimal(json_text(json_find(c, "decoded")), &wanted);
    assert_ok(bpe_decode(b, ids, count, false, &decoded, &decoded_size, &error));
    if (decoded_size != wanted_size || memcmp(decoded, wanted, (size_t)wanted_size) != 0)
        fail_msg("case %llu is decoded as \"%s\", not \"%s\"", (unsigned long long)number, decoded, wanted);
    free(decoded);
    free(wanted);
    free(text);
}

static void ids_and_texts_are_the_reference_s(void **state) {
    (void)state;
    static const char *const names[] = {"gemma", "llama", "split", "lost"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        json_document *cases;
        bpe_encoder *e;
        bpe *b = load(names[i]);
        assert_ok(bpe_encoder_create(&e, b, &error));
        snprintf(path, sizeof path, TEST_DATA "/tokenizer/%s.cases.json", names[i]);
        assert_ok(json_read(&cases, path, NULL, &error));
        assert_true(json_count(json_root(cases)) > 150);
        for (uint64_t k = 0; k < json_count(json_root(cases)); k++) check_case(e, b, json_item(json_root(cases), k), k);
        json_free(cases);
        bpe_encoder_free(e);
        bpe_free(b);
    }
}

static void specials_are_put_in_front_when_asked_for(void **state) {
    (void)state;
    bpe *b = load("gemma");
    bpe_encoder *e;
    const int32_t *ids;
    uint64_t count, again;
    assert_ok(bpe_encoder_create(&e, b, &error));
    assert_ok(bpe_encode(e, "<bos>a", 6, false, &ids, &count, &error));
    assert_int_equal(ids[0], 2);
    assert_ok(bpe_encode(e, "<bos>a", 6, true, &ids, &again, &error));
    assert_int_equal(again, count + 1);
    assert_true(ids[0] == 2 && ids[1] == 2);
    assert_ok(bpe_encode(e, "", 0, false, &ids, &count, &error));
    assert_int_equal(count, 0);
    bpe_encoder_free(e);
    bpe_free(b);
}

/* ---- merging ---- */

/* Characters and bytes, then the best pair of the whole text again and again. */
static uint64_t merge_plainly(const bpe *b, const char *text, uint64_t size, int32_t *ids) {
    uint64_t count = 0;
    for (uint64_t at = 0; at < size;) {
        uint32_t code;
        int length = bpe_character(text + at, &code), id = bpe_find(b, text + at, (uint64_t)length);
        for (int i = 0; id < 0 && i < length; i++) ids[count++] = b->bytes[(uint8_t)text[at + (uint64_t)i]];
        if (id >= 0) ids[count++] = id;
        at += (uint64_t)length;
    }
    for (;;) {
        uint32_t best = BPE_NO_RANK;
        uint64_t place = 0;
        for (uint64_t i = 0; i + 1 < count; i++) {
            uint32_t rank = bpe_rank_of(b, ids[i], ids[i + 1]);
            if (rank < best) best = rank, place = i;
        }
        if (best == BPE_NO_RANK) return count;
        ids[place] = b->merges[best].result;
        memmove(ids + place + 1, ids + place + 2, (size_t)(count - place - 2) * sizeof *ids);
        count--;
    }
}

static void merging_is_that_of_the_whole_text(void **state) {
    (void)state;
    bpe *b = load("gemma");
    bpe_merger *m;
    bpe_ids out = {0};
    random_state r = random_stream(7, 0);
    static char text[40000];
    static int32_t plain[40000];
    assert_ok(bpe_merger_create(&m, b, &error));
    for (int i = 0; i < 400; i++) {
        uint64_t size = 0, pieces = 1 + random_below(&r, 60);
        for (uint64_t k = 0; k < pieces; k++) { /* tokens, so that merges happen, and now and then another character */
            uint64_t length;
            const char *token = bpe_token(b, 263 + (int)random_below(&r, 637), &length);
            if (random_below(&r, 20) == 0) token = "\xf0\x9f\xab\x81", length = 4;
            memcpy(text + size, token, (size_t)length);
            size += length;
        }
        out.count = 0;
        assert_ok(bpe_merge_piece(m, text, size, &out, &error));
        uint64_t count = merge_plainly(b, text, size, plain);
        assert_int_equal(count, out.count);
        assert_memory_equal(plain, out.items, (size_t)count * sizeof *plain);
    }
    free(out.items);
    bpe_merger_free(m);
    bpe_free(b);
}

/* 4 MB without a place to cut: quadratic merging would take hours. */
static void long_texts_take_no_quadratic_time(void **state) {
    (void)state;
    enum { SIZE = 1 << 22 };
    bpe *b;
    bpe_encoder *e;
    const int32_t *ids;
    uint64_t count;
    char *text = malloc(SIZE);
    static const char json[] =
        "{\"decoder\":{\"type\":\"Fuse\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"aa\":2,\"aaaa\":3,"
        "\"ab\":4,\"ba\":5},\"merges\":[[\"a\",\"a\"],[\"aa\",\"aa\"],[\"a\",\"b\"],[\"b\",\"a\"]]}}";
    assert_non_null(text);
    assert_ok(bpe_parse(&b, "small", json, sizeof json - 1, &error));
    assert_ok(bpe_encoder_create(&e, b, &error));
    memset(text, 'a', SIZE);
    clock_t begin = clock();
    assert_ok(bpe_encode(e, text, SIZE, false, &ids, &count, &error));
    assert_int_equal(count, SIZE / 4);
    for (int i = 0; i < SIZE; i += 2) text[i] = 'b';
    assert_ok(bpe_encode(e, text, SIZE, false, &ids, &count, &error));
    assert_int_equal(count, SIZE / 2 + 1); /* b ab ab ... a b is joined before b a */
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 60);
    bpe_encoder_free(e);
    bpe_free(b);
    free(text);
}

/* ---- decoding ---- */

static int byte_id(const bpe *b, int byte) { return b->bytes[byte]; }

static void bytes_become_characters_as_they_come(void **state) {
    (void)state;
    bpe *b = load("gemma");
    static const struct {
        int bytes[8];
        const char *text;
    } cases[] = {
        {{0xf0, 0x9f, 0xab, 0x81, -1}, "\xf0\x9f\xab\x81"},
        {{0xe2, 0x82, -1}, "\xef\xbf\xbd\xef\xbf\xbd"}, /* the end comes too early */
        {{0xe2, 0x82, 'a', -1},
         "\xef\xbf\xbd\xef\xbf\xbd"
         "a"}, /* another character does */
        {{0xff, 0xc3, 0xa9, 0x80, -1}, "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd"},
        {{0xed, 0xa0, 0x80, -1}, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {{'a', -1}, "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bpe_decoder d = bpe_decoder_make(b, false);
        for (const int *byte = cases[i].bytes; *byte >= 0; byte++)
            assert_ok(bpe_decoder_push(&d, byte_id(b, *byte), &error));
        assert_ok(bpe_decoder_finish(&d, &error));
        assert_string_equal(d.text, cases[i].text);
        bpe_decoder_free(&d);
    }
    bpe_decoder d = bpe_decoder_make(b, true);
    static const int half[] = {0xc3, 0xa9};
    assert_ok(bpe_decoder_push(&d, byte_id(b, half[0]), &error));
    assert_int_equal(d.size, 0);                /* waits */
    assert_ok(bpe_decoder_push(&d, 2, &error)); /* <bos>, left out */
    assert_ok(bpe_decoder_push(&d, byte_id(b, half[1]), &error));
    assert_string_equal(d.text, "\xc3\xa9");
    assert_int_equal(bpe_decoder_push(&d, 900, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "gemma.json: no token has id 900 (there are 0 to 899)"));
    assert_int_equal(bpe_decoder_push(&d, -1, &error), CARINA_ERROR_ARGUMENT);
    bpe_decoder_free(&d);
    bpe_free(b);
}

/* ---- added tokens ---- */

/* AnatomiX's 45, of which one is in the vocabulary already. */
static void tokens_are_added_at_the_end(void **state) {
    (void)state;
    bpe *b = load("gemma");
    static const char *const names[] = {"<image>", "<image_start>", "<image_end>", "<box>", "</box>",
                                        "<emb>",   "</emb>",        "<ref>",       "</ref>"};
    char text[64];
    int next = bpe_count(b);
    int32_t ids_added[9], id;
    assert_ok(bpe_add(b, names, 9, false, ids_added, &error));
    for (int i = 0; i < 9; i++) assert_int_equal(ids_added[i], next++);
    const char *one = text;
    for (int i = 0; i < 36; i++) {
        snprintf(text, sizeof text, "<obj_%d>", i);
        assert_ok(bpe_add(b, &one, 1, false, &id, &error));
        assert_int_equal(id, next++);
    }
    assert_int_equal(bpe_count(b), 945);
    one = "<box>";
    assert_ok(bpe_add(b, &one, 1, false, &id, &error)); /* once more */
    assert_int_equal(id, 903);
    int known = bpe_find(b, "\xe2\x96\x81normal", 9);
    one = "\xe2\x96\x81normal";
    assert_ok(bpe_add(b, &one, 1, true, &id, &error)); /* of the vocabulary */
    assert_int_equal(id, known);
    assert_int_equal(bpe_count(b), 945);
    one = "";
    assert_int_equal(bpe_add(b, &one, 1, false, &id, &error), CARINA_ERROR_ARGUMENT);

    bpe_encoder *e;
    const int32_t *ids;
    uint64_t count, size;
    char *decoded;
    static const char prompt[] = "emb:<emb><obj_3></emb><obj_35><obj_3";
    assert_ok(bpe_encoder_create(&e, b, &error));
    assert_ok(bpe_encode(e, prompt, sizeof prompt - 1, false, &ids, &count, &error));
    uint64_t at = 0;
    while (at < count && ids[at] != 905) at++;
    assert_true(at + 4 < count);
    assert_int_equal(ids[at + 1], bpe_find(b, "<obj_3>", 7));
    assert_int_equal(ids[at + 2], 906);
    assert_int_equal(ids[at + 3], bpe_find(b, "<obj_35>", 8));
    assert_true(ids[at + 4] < 900);
    assert_ok(bpe_decode(b, ids, count, false, &decoded, &size, &error));
    assert_string_equal(decoded, prompt);
    free(decoded);
    bpe_encoder_free(e);
    bpe_free(b);
}

/* Writing and reading again changes nothing. */
static void what_is_written_reads_back(void **state) {
    (void)state;
    bpe *b = load("llama"), *again;
    const char *box = "<box>";
    assert_ok(bpe_add(b, &box, 1, true, NULL, &error));
    assert_ok(bpe_write(b, "written.json", &error));
    assert_ok(bpe_read(&again, "written.json", NULL, &error));
    assert_int_equal(bpe_count(again), bpe_count(b));
    for (int i = 0; i < bpe_count(b); i++) {
        uint64_t sizes[2] = {0, 0};
        const char *texts[2] = {bpe_token(b, i, &sizes[0]), bpe_token(again, i, &sizes[1])};
        assert_int_equal(sizes[0], sizes[1]);
        if (texts[0]) assert_memory_equal(texts[0], texts[1], (size_t)sizes[0]);
        assert_int_equal(b->tokens[i].flags, again->tokens[i].flags);
    }
    assert_int_equal(again->merge_count, b->merge_count);
    assert_memory_equal(again->merges, b->merges, b->merge_count * sizeof *b->merges);
    assert_int_equal(again->settings.rule_count, 2);
    assert_int_equal(again->settings.strip_count, 1);
    bpe_free(again);
    bpe_free(b);
    remove("written.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_texts_are_the_reference_s),
        cmocka_unit_test(specials_are_put_in_front_when_asked_for),
        cmocka_unit_test(merging_is_that_of_the_whole_text),
        cmocka_unit_test(long_texts_take_no_quadratic_time),
        cmocka_unit_test(bytes_become_characters_as_they_come),
        cmocka_unit_test(tokens_are_added_at_the_end),
        cmocka_unit_test(what_is_written_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
