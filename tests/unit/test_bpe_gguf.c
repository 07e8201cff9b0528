/* A GGUF file's own tokenizer: tokenizers turned into such metadata here give the ids that they give themselves, those
 * of Hugging Face's library included; and what metadata can have wrong. */
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
#include "base/random.h"
#include "format/gguf.h"
#include "format/json.h"
#include "text/bpe_gguf.h"
#include "text/bpe_internal.h"
#include "text/bpe_train.h"

static carina_error error;

/* ---- a GGUF file of metadata alone ---- */

typedef struct bytes {
    uint8_t *data;
    uint64_t size, room;
} bytes;

static void put(bytes *b, const void *data, uint64_t size) {
    assert_ok(bpe_grow(&b->data, &b->room, b->size + size, 1, &error));
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_u32(bytes *b, uint32_t value) { put(b, &value, sizeof value); }
static void put_u64(bytes *b, uint64_t value) { put(b, &value, sizeof value); }
static void put_text(bytes *b, const char *text, uint64_t size) {
    put_u64(b, size);
    put(b, text, size);
}
static void put_key(bytes *b, const char *key, gguf_kind kind) {
    put_text(b, key, strlen(key));
    put_u32(b, kind);
}
static void put_array(bytes *b, const char *key, gguf_kind kind, uint64_t count) {
    put_key(b, key, GGUF_KIND_ARRAY);
    put_u32(b, kind);
    put_u64(b, count);
}
static void put_flag(bytes *b, const char *key, bool value) {
    put_key(b, key, GGUF_KIND_BOOL);
    put(b, &(uint8_t){value}, 1);
}

static bytes start(uint64_t keys) {
    bytes b = {0};
    put(&b, "GGUF", 4);
    put_u32(&b, 3);
    put_u64(&b, 0);
    put_u64(&b, keys);
    return b;
}

/* llama.cpp's token types, from what a tokenizer.json says. */
static uint32_t type_of(const bpe *b, int32_t id) {
    unsigned flags = b->tokens[id].flags;
    unsigned byte;
    char text[8] = {0};
    if (id == b->unk) return 2;
    if (flags & BPE_SPECIAL) return 3;
    if (flags & BPE_ADDED) return 4;
    memcpy(text, bpe_text_of(b, id), b->tokens[id].size == 6 ? 6 : 0);
    return sscanf(text, "<0x%2X>", &byte) == 1 ? 6 : 1;
}

/* Characters score less than all that is made of them; a token scores by the first merge that makes it. */
static bytes gguf_of(const bpe *b, bool prefix, bool add_bos) {
    bytes out = start(8);
    float *scores = malloc(b->count * sizeof *scores);
    put_key(&out, "tokenizer.ggml.model", GGUF_KIND_TEXT);
    put_text(&out, "llama", 5);
    put_array(&out, "tokenizer.ggml.tokens", GGUF_KIND_TEXT, b->count);
    for (uint32_t i = 0; i < b->count; i++) put_text(&out, bpe_text_of(b, (int32_t)i), b->tokens[i].size);
    for (uint32_t i = 0; i < b->count; i++) scores[i] = -1e6f - (float)i;
    for (uint32_t i = b->merge_count; i-- > 0;) scores[b->merges[i].result] = -(float)i;
    put_array(&out, "tokenizer.ggml.scores", GGUF_KIND_F32, b->count);
    put(&out, scores, b->count * sizeof *scores);
    put_array(&out, "tokenizer.ggml.token_type", GGUF_KIND_I32, b->count);
    for (uint32_t i = 0; i < b->count; i++) put_u32(&out, type_of(b, (int32_t)i));
    put_flag(&out, "tokenizer.ggml.add_space_prefix", prefix);
    put_flag(&out, "tokenizer.ggml.add_bos_token", add_bos);
    put_key(&out, "tokenizer.ggml.bos_token_id", GGUF_KIND_U32);
    put_u32(&out, (uint32_t)bpe_find(b, prefix ? "<s>" : "<bos>", prefix ? 3 : 5));
    put_key(&out, "tokenizer.ggml.eos_token_id", GGUF_KIND_U32);
    put_u32(&out, (uint32_t)bpe_find(b, prefix ? "</s>" : "<eos>", prefix ? 4 : 5));
    free(scores);
    return out;
}

#define ROWS 7 /* that a model has beyond its tokens */

/* Keys as they are written for quantised models. */
static bpe *convert_by_keys(const bpe *b) {
    static const char path[] = TEST_TMP "/keys.gguf";
    gguf_keys keys;
    gguf_writer *w;
    bpe *out;
    assert_ok(bpe_gguf_keys(&keys, b, bpe_count(b) + ROWS, (const int[]){1, 2}, 2, &error));
    assert_ok(gguf_writer_open(&w, path, &error));
    gguf_writer_put_text(w, "general.architecture", "none");
    gguf_writer_put_keys(w, &keys);
    gguf_writer_put_u32(w, "after", 5);
    assert_ok(gguf_writer_commit(w, &error));
    gguf_keys_free(&keys);
    gguf_file file;
    uint32_t after, end;
    const gguf_value *tokens;
    assert_ok(gguf_read(&file, path, &error));
    assert_ok(gguf_get_u32(&after, &file.metadata, "after", &error));
    assert_ok(gguf_get_u32(&end, &file.metadata, "tokenizer.ggml.eot_token_id", &error));
    assert_ok(gguf_get_array(&tokens, &file.metadata, "tokenizer.ggml.tokens", GGUF_TEXT, &error));
    assert_true(after == 5 && end == 2 && tokens->count == (uint64_t)bpe_count(b) + ROWS);
    assert_ok(bpe_from_gguf(&out, &file.metadata, &error));
    gguf_free(&file);
    return out;
}

static bool by_keys;

static bpe *convert(const bpe *b, bool prefix) {
    if (by_keys) return convert_by_keys(b);
    static const char path[] = TEST_TMP "/tokenizer.gguf";
    bytes file = gguf_of(b, prefix, true);
    bpe *out;
    assert_ok(file_write(path, file.data, file.size, &error));
    assert_ok(bpe_read_gguf(&out, path, &error));
    free(file.data);
    return out;
}

/* ---- the same ids ---- */

static void same_ids(bpe_encoder *a, bpe_encoder *b, const char *text, uint64_t size, bool special) {
    const int32_t *ids, *others;
    uint64_t count, other_count;
    assert_ok(bpe_encode(a, text, size, special, &ids, &count, &error));
    assert_ok(bpe_encode(b, text, size, special, &others, &other_count, &error));
    if (count != other_count || (count && memcmp(ids, others, count * sizeof *ids) != 0))
        fail_msg("other ids of: %.*s", (int)size, text);
}

/* What Hugging Face's library gave for the tokenizer.json is what its GGUF form gives. */
static void ids_are_those_of_hugging_face(void **state) {
    (void)state;
    json_document *document;
    bpe *b, *converted;
    bpe_encoder *mine, *other;
    uint64_t checked = 0;
    assert_ok(bpe_read(&b, TEST_DATA "/tokenizer/gemma.json", NULL, &error));
    converted = convert(b, false);
    assert_int_equal(bpe_count(converted), bpe_count(b));
    assert_ok(bpe_encoder_create(&mine, b, &error));
    assert_ok(bpe_encoder_create(&other, converted, &error));
    assert_ok(json_read(&document, TEST_DATA "/tokenizer/gemma.cases.json", NULL, &error));
    const json_value *cases = json_root(document);
    for (uint64_t i = 0; i < json_count(cases); i++) {
        const char *digits = json_text(json_find(json_item(cases, i), "text"));
        uint64_t size = strlen(digits) / 2;
        char *text = malloc(size + 1);
        for (uint64_t k = 0; k < size; k++) {
            unsigned byte;
            assert_int_equal(sscanf(digits + 2 * k, "%2x", &byte), 1);
            text[k] = (char)byte;
        }
        same_ids(mine, other, text, size, i % 2);
        checked++;
        free(text);
    }
    assert_true(checked > 100);
    json_free(document);
    bpe_encoder_free(mine);
    bpe_encoder_free(other);
    bpe_free(b);
    bpe_free(converted);
}

static uint64_t random_text(random_state *random, char *out, uint64_t room) {
    static const char *const parts[] = {"a", "b",  "c", "d",  "ab", "bc",    "abc",
                                        " ", "  ", "é", "日", "\n", "<eos>", "dab"};
    uint64_t size = 0, wanted = random_below(random, room - 8);
    while (size < wanted) {
        const char *part = parts[random_below(random, sizeof parts / sizeof *parts)];
        memcpy(out + size, part, strlen(part));
        size += strlen(part);
    }
    return size;
}

static void ids_are_those_of_a_trained_tokenizer(void **state) {
    (void)state;
    bpe_train_options options = bpe_train_defaults();
    bpe_trainer *trainer;
    bpe *b, *converted;
    bpe_encoder *mine, *other;
    char text[200];
    random_state random = random_stream(5, 0);
    options.vocabulary_size = 420;
    assert_ok(bpe_trainer_create(&trainer, &options, &error));
    for (int i = 0; i < 300; i++) {
        uint64_t size = random_text(&random, text, sizeof text);
        assert_ok(bpe_trainer_add(trainer, text, size, &error));
    }
    assert_ok(bpe_trainer_finish(trainer, &b, &error));
    bpe_trainer_free(trainer);
    converted = convert(b, false);
    assert_true(converted->merge_count >= b->merge_count && b->merge_count > 100);
    assert_ok(bpe_encoder_create(&mine, b, &error));
    assert_ok(bpe_encoder_create(&other, converted, &error));
    for (int i = 0; i < 2000; i++) same_ids(mine, other, text, random_text(&random, text, sizeof text), i % 2);
    bpe_encoder_free(mine);
    bpe_encoder_free(other);
    bpe_free(b);
    bpe_free(converted);
}

/* ---- by hand ---- */

typedef struct made_token {
    const char *text;
    float score;
    uint32_t type;
} made_token;

static carina_status make(bpe **out, const made_token *tokens, uint64_t count, const char *model) {
    bytes b = start(5);
    gguf_file file;
    put_key(&b, "tokenizer.ggml.model", GGUF_KIND_TEXT);
    put_text(&b, model, strlen(model));
    put_array(&b, "tokenizer.ggml.tokens", GGUF_KIND_TEXT, count);
    for (uint64_t i = 0; i < count; i++) put_text(&b, tokens[i].text, strlen(tokens[i].text));
    put_array(&b, "tokenizer.ggml.scores", GGUF_KIND_F32, count);
    for (uint64_t i = 0; i < count; i++) put(&b, &tokens[i].score, 4);
    put_array(&b, "tokenizer.ggml.token_type", GGUF_KIND_U32, count);
    for (uint64_t i = 0; i < count; i++) put_u32(&b, tokens[i].type);
    put_key(&b, "tokenizer.ggml.eos_token_id", GGUF_KIND_U32);
    put_u32(&b, 1);
    assert_ok(gguf_parse(&file, "FILE", b.data, b.size, &error));
    carina_status status = bpe_from_gguf(out, &file.metadata, &error);
    gguf_free(&file);
    free(b.data);
    return status;
}

/* No flag is given: a blank in front. Scores decide; special tokens are no part of others; user defined ones are found
 * first; letters that are no token become bytes. */
static void a_case_by_hand(void **state) {
    (void)state;
    static const made_token tokens[] = {{"<unk>", 0, 2}, {"<s>", 0, 3},  {"<0xC3>", 0, 6},       {"<0xA9>", 0, 6},
                                        {"a", -9, 1},    {"b", -9, 1},   {"c", -9, 1},           {"ab", -3, 1},
                                        {"bc", -2, 1},   {"abc", -1, 1}, {"a<s>", -1, 1},        {"cab", 0, 4},
                                        {"d", -9, 5},    {"da", -1, 1},  {"\xe2\x96\x81", -9, 1}};
    static const struct {
        const char *text;
        int32_t ids[8];
        uint64_t count;
    } cases[] = {{"abc", {14, 9}, 2}, /* b c first, then a bc */
                 {"ab", {14, 7}, 2},         {"xabcab", {14, 0, 7, 11}, 4},
                 {"a<s>", {14, 4, 1}, 3},    {"da", {14, 12, 4}, 3}, /* unused tokens join nothing */
                 {"\xc3\xa9", {14, 2, 3}, 3}};
    bpe *b;
    bpe_encoder *e;
    assert_ok(make(&b, tokens, sizeof tokens / sizeof *tokens, "llama"));
    assert_ok(bpe_encoder_create(&e, b, &error));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int32_t *ids;
        uint64_t count;
        assert_ok(bpe_encode(e, cases[i].text, strlen(cases[i].text), true, &ids, &count, &error));
        if (count != cases[i].count || memcmp(ids, cases[i].ids, count * sizeof *ids) != 0)
            fail_msg("%s: %llu ids, %d %d %d %d %d", cases[i].text, (unsigned long long)count, ids[0], ids[1], ids[2],
                     ids[3], ids[4]);
    }
    bpe_encoder_free(e);
    char *text;
    uint64_t size;
    assert_ok(bpe_decode(b, (const int32_t[]){14, 9, 2, 3}, 4, true, &text, &size, &error));
    assert_string_equal(text, "abc\xc3\xa9");
    free(text);
    bpe_free(b);
}

static void written_keys_give_the_same_ids(void **state) {
    by_keys = true;
    ids_are_those_of_hugging_face(state);
    ids_are_those_of_a_trained_tokenizer(state);
    by_keys = false;
}

/* Gemma's runs of blanks, tabs and line ends have one score: their merges go by length, from all of them in turn. */
static void runs_share_a_score(void **state) {
    (void)state;
    static const made_token tokens[] = {{"<unk>", 0, 2}, {"x", -9, 1},  {"y", -9, 1},
                                        {"xx", -1, 1},   {"yy", -1, 1}, {"xxx", -1, 1},
                                        {"yyy", -1, 1},  {"xy", -2, 1}, {"\xe2\x96\x81", -9, 1}};
    static const char order[][3][4] = {{"xx", "x"}, {"yy", "y"}, {"x", "xx"}, {"y", "yy"},
                                       {"x", "x"},  {"y", "y"},  {"x", "y"}};
    bpe *b;
    gguf_keys keys;
    assert_ok(make(&b, tokens, sizeof tokens / sizeof *tokens, "llama"));
    assert_int_equal(b->merge_count, 7);
    for (uint32_t i = 0; i < b->merge_count; i++) {
        assert_int_equal(b->merges[i].left, bpe_find(b, order[i][0], strlen(order[i][0])));
        assert_int_equal(b->merges[i].right, bpe_find(b, order[i][1], strlen(order[i][1])));
    }
    assert_ok(bpe_gguf_keys(&keys, b, 0, NULL, 0, &error));
    gguf_keys_free(&keys);
    bpe_free(b);
}

/* Each of these changes ids, or texts, for some input. */
static void what_keys_cannot_say_is_refused(void **state) {
    (void)state;
    static const char form[] =
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true%s}],\"normalizer\":%s,\"pre_tokenizer\":%"
        "s,"
        "\"post_processor\":null,\"decoder\":%s,\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\","
        "\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":%s,\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"c\":3,"
        "\"ab\":4,\"bc\":5,\"abc\":6},\"merges\":[%s]}}";
    static const char replace[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}",
                      cut[] = "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Isolated\"}",
                      blank[] =
                          "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"MergedWithPrevious\"}",
                      decoder[] =
                          "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
                          "\"\u2581\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}",
                      bare[] = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}";
    static const char all[] = "[\"a\",\"b\"],[\"b\",\"c\"],[\"ab\",\"c\"]",
                      late[] = "[\"b\",\"c\"],[\"a\",\"b\"],[\"ab\",\"c\"]";
    static const struct {
        const char *flags, *normalizer, *cut, *decoder, *ignore, *merges, *message;
    } cases[] = {
        {"", replace, blank, decoder, "false", all, NULL},
        {"", replace, "null", decoder, "false", "[\"a\",\"b\"],[\"b\",\"c\"],[\"a\",\"bc\"]",
         "its merges"},                                              /* abc stays ab c */
        {"", replace, "null", decoder, "false", late, "its merges"}, /* abc would be a bc, which joins to nothing */
        {"", replace, "null", decoder, "false", "[\"a\",\"b\"],[\"b\",\"c\"]", "its merges"},
        {"", replace, "null", decoder, "true", all, "its model's settings"},
        {"", "null", "null", decoder, "false", all, "its normalizer"},
        {"", replace, cut, decoder, "false", all, "its pre_tokenizer"},
        {"", replace, "null", bare, "false", all, "its decoder"},
        {",\"lstrip\":true", replace, "null", decoder, "false", all, "its tokens"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2000];
        gguf_keys keys;
        bpe *b;
        int size = snprintf(text, sizeof text, form, cases[i].flags, cases[i].normalizer, cases[i].cut,
                            cases[i].decoder, cases[i].ignore, cases[i].merges);
        assert_ok(bpe_parse(&b, "FILE", text, (uint64_t)size, &error));
        carina_status status = bpe_gguf_keys(&keys, b, 0, NULL, 0, &error);
        if (!cases[i].message) assert_ok(status);
        if (cases[i].message) assert_int_equal(status, CARINA_ERROR_UNSUPPORTED);
        if (cases[i].message && !strstr(error.message, cases[i].message)) fail_msg("%d: %s", (int)i, error.message);
        gguf_keys_free(&keys);
        bpe_free(b);
    }
}

static void bad_metadata_is_refused(void **state) {
    (void)state;
    static const struct {
        made_token tokens[2];
        const char *model, *message;
    } cases[] = {
        {{{"a", 0, 1}, {"b", 0, 1}}, "gpt2", "FILE: tokenizer.ggml.model: tokenizers of the kind \"gpt2\""},
        {{{"a", 0, 1}, {"a", 0, 1}}, "llama", "FILE: tokenizer.ggml.tokens: \"a\" has two ids, 0 and 1"},
        {{{"a", 0, 1}, {"", 0, 1}}, "llama", "FILE: tokenizer.ggml.tokens[1] is empty"},
        {{{"a", 0, 0}, {"b", 0, 1}}, "llama", "FILE: tokenizer.ggml.token_type[0]: 0 is no type"},
        {{{"a", 0, 1}, {"b", 0, 7}}, "llama", "FILE: tokenizer.ggml.token_type[1]: 7 is no type"},
        {{{"a", 0.0f / 0.0f, 1}, {"b", 0, 1}}, "llama", "FILE: tokenizer.ggml.scores[0] is not finite"},
    };
    bpe *b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(make(&b, cases[i].tokens, 2, cases[i].model) != CARINA_OK);
        assert_null(b);
        if (!strstr(error.message, cases[i].message)) fail_msg("%s", error.message);
    }
    assert_true(make(&b, cases[0].tokens, 1, "llama") != CARINA_OK);
    assert_string_equal(error.message, "FILE: tokenizer.ggml.eos_token_id: no token has the id 1");
    bytes empty = start(0);
    assert_ok(file_write(TEST_TMP "/empty.gguf", empty.data, empty.size, &error));
    assert_true(bpe_read_gguf(&b, TEST_TMP "/empty.gguf", &error) != CARINA_OK);
    assert_non_null(strstr(error.message, "tokenizer.ggml.model"));
    free(empty.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_hugging_face),
        cmocka_unit_test(ids_are_those_of_a_trained_tokenizer),
        cmocka_unit_test(written_keys_give_the_same_ids),
        cmocka_unit_test(what_keys_cannot_say_is_refused),
        cmocka_unit_test(a_case_by_hand),
        cmocka_unit_test(runs_share_a_score),
        cmocka_unit_test(bad_metadata_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
