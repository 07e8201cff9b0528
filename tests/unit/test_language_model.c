/* Models and tokenizers as users name them: what is read from a folder, what tokens add to a text, where answers end,
 * and pairs that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "language_fixture.h"
#include "pipeline/language_model_files.h"
#include "text/bpe_gguf.h"

static carina_error error;
#include "assert_ok.h"

static char folder[300];
static bpe *tokenizer;
static gemma3 *model;

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/language-XXXXXX", TEST_TMP);
    tokenizer = language_fixture_tokenizer();
    model = language_fixture_model(tokenizer);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[400];
    gemma3_free(model);
    bpe_free(tokenizer);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

static const language_model_options plain;

static void refuse(const char *path, const language_model_options *options, const char *message) {
    language_model *m;
    assert_true(language_model_load(&m, path, options, &error) != CARINA_OK);
    assert_null(m);
    if (!strstr(error.message, message)) fail_msg("\"%s\" is not in: %s", message, error.message);
}

static void a_folder_in_f32_and_packed(void **state) {
    (void)state;
    language_fixture_write(folder, tokenizer, model);
    for (int weights = LANGUAGE_MODEL_AS_STORED; weights <= LANGUAGE_MODEL_BF16; weights++) {
        language_model *m;
        const language_model_options options = {.weights = (language_model_weights)weights};
        assert_ok(language_model_load(&m, folder, &options, &error));
        assert_int_equal(m->packed, weights != LANGUAGE_MODEL_AS_STORED);
        assert_int_equal(m->table.count, bpe_count(tokenizer) + LANGUAGE_FIXTURE_PADDING);
        assert_int_equal(m->table.end_count, 2);
        assert_int_equal(m->ends[0], 1);
        assert_int_equal(m->ends[1], 6);
        language_model_free(m);
    }
}

static void expect_bytes(const language_model *m, const char *token, const char *bytes) {
    int id = bpe_find(m->tokenizer, token, strlen(token));
    if (id < 0) fail_msg("no token %s", token);
    const token_text *t = &m->table.texts[id];
    if (t->size != strlen(bytes) || memcmp(t->bytes, bytes, t->size) != 0)
        fail_msg("%s is \"%.*s\"", token, (int)t->size, (const char *)t->bytes);
}

static void what_tokens_add(void **state) {
    (void)state;
    language_model *m;
    const token_trie *trie, *again;
    language_fixture_write(folder, tokenizer, model);
    assert_ok(language_model_load(&m, folder, &plain, &error));
    expect_bytes(m, "\xe2\x96\x81lungs", " lungs");
    expect_bytes(m, "<0xE2>", "\xe2");
    expect_bytes(m, "<eos>", "");
    expect_bytes(m, "<start_of_turn>", "");
    assert_true(language_model_knows(m, bpe_count(tokenizer) - 1));
    assert_false(language_model_knows(m, bpe_count(tokenizer)));
    assert_false(language_model_knows(m, -1));
    assert_int_equal(m->table.texts[m->table.count - 1].size, 0);
    int last = bpe_count(tokenizer) - 1;
    assert_non_null(m->known);
    assert_true(m->known[last / 64] >> last % 64 & 1);
    assert_false(m->known[(last + 1) / 64] >> (last + 1) % 64 & 1);
    assert_ok(language_model_trie(m, &trie, &error));
    assert_ok(language_model_trie(m, &again, &error));
    assert_ptr_equal(trie, again);
    language_model_free(m);
}

/* generation_config.json comes first, then config.json and its text part, then the tokenizer's names. */
static void where_answers_end(void **state) {
    (void)state;
    static const struct {
        const char *generation;
        int count, first;
    } cases[] = {{"{\"eos_token_id\": 6}", 1, 6}, {"{\"eos_token_id\": [6, 1, 6]}", 2, 6}, {"{}", 1, 1}};
    language_model *m;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        language_fixture_write(folder, tokenizer, model);
        language_fixture_put(folder, "generation_config.json", cases[i].generation);
        assert_ok(language_model_load(&m, folder, &plain, &error));
        assert_int_equal(m->table.end_count, cases[i].count);
        assert_int_equal(m->ends[0], cases[i].first);
        language_model_free(m);
    }
    language_fixture_put(folder, "generation_config.json", "{\"eos_token_id\": \"<eos>\"}");
    refuse(folder, &plain, "generation_config.json: eos_token_id: a token's id");
    language_fixture_put(folder, "generation_config.json", "[6]");
    refuse(folder, &plain, "generation_config.json: an object is wanted");
    language_fixture_put(folder, "generation_config.json", "{\"eos_token_id\": 999}");
    refuse(folder, &plain, "eos_token_id: 999 is outside the model's vocabulary");
    assert_ok(language_model_make(&m, "made", language_fixture_model(tokenizer), language_fixture_tokenizer(), NULL, 0,
                                  &error));
    assert_int_equal(m->table.end_count, 2);
    assert_int_equal(m->ends[1], bpe_find(tokenizer, "<end_of_turn>", 13));
    language_model_free(m);
}

/* Any number of ends through the keys of a GGUF file and back, in their order; the first three under the names that
 * other programs know. */
static void gguf_keeps_all_ends(void **state) {
    (void)state;
    int ends[LANGUAGE_MODEL_MAX_ENDS];
    for (int i = 0; i < LANGUAGE_MODEL_MAX_ENDS; i++) ends[i] = (i * 7 + 5) % 67;
    for (int count = 1; count <= LANGUAGE_MODEL_MAX_ENDS; count += count < 6 ? 1 : 29) {
        gguf_keys keys;
        gguf_metadata m;
        language_model_end_list found;
        uint32_t third;
        assert_ok(bpe_gguf_keys(&keys, tokenizer, bpe_count(tokenizer), ends, count, &error));
        cursor c = cursor_make(keys.bytes, keys.byte_count);
        assert_ok(gguf_metadata_parse(&m, "KEYS", &c, keys.count, &error));
        assert_ok(language_model_read_ends(&found, "KEYS", &m, tokenizer, &error));
        assert_int_equal(found.count, count);
        assert_memory_equal(found.ids, ends, (size_t)count * sizeof *ends);
        if (count > 2) assert_ok(gguf_get_u32(&third, &m, "tokenizer.ggml.eom_token_id", &error));
        if (count > 2) assert_int_equal(third, ends[2]);
        assert_int_equal(gguf_find(&m, "carina.end_token_ids") != NULL, count > 3);
        gguf_metadata_free(&m);
        gguf_keys_free(&keys);
    }
}

/* A list that no file of ours has. */
static void refuse_ends(gguf_kind kind, uint32_t value, uint64_t count, const char *message) {
    gguf_keys keys = {0};
    gguf_metadata m;
    language_model_end_list found;
    gguf_keys_array(&keys, "carina.end_token_ids", kind, count);
    for (uint64_t i = 0; i < count; i++) gguf_keys_u32_item(&keys, value);
    assert_ok(gguf_keys_finish(&keys, &error));
    cursor c = cursor_make(keys.bytes, keys.byte_count);
    assert_ok(gguf_metadata_parse(&m, "KEYS", &c, keys.count, &error));
    assert_true(language_model_read_ends(&found, "KEYS", &m, tokenizer, &error) != CARINA_OK);
    if (!strstr(error.message, message)) fail_msg("%s", error.message);
    gguf_metadata_free(&m);
    gguf_keys_free(&keys);
}

static void wrong_ends_are_refused(void **state) {
    (void)state;
    refuse_ends(GGUF_KIND_I32, (uint32_t)-1, 1, "KEYS: carina.end_token_ids: -1 is no token's id");
    refuse_ends(GGUF_KIND_U32, BPE_MAX_TOKENS, 2, "is no token's id");
    refuse_ends(GGUF_KIND_I32, 1, LANGUAGE_MODEL_MAX_ENDS + 1, "KEYS: carina.end_token_ids: more than 64 ids");
    refuse_ends(GGUF_KIND_F32, 0, 1, "carina.end_token_ids");
}

/* The ends of a GGUF file, or of the tokenizer beside it. */
static void gguf_with_a_tokenizer(void **state) {
    (void)state;
    char path[400], own[400], other[400];
    language_model *m;
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    snprintf(other, sizeof other, "%s/other.json", folder);
    snprintf(own, sizeof own, "%s/tokenizer.json", folder);
    assert_ok(bpe_write(tokenizer, own, &error));
    const language_model_options options = {.tokenizer = own};
    language_fixture_write_gguf(path, model, 5);
    assert_ok(language_model_load(&m, path, &plain, &error)); /* it lies beside the file */
    language_model_free(m);
    assert_int_equal(rename(own, other), 0);
    refuse(path, &plain, "has no tokenizer (tokenizer.ggml.model), and no tokenizer.json lies beside it");
    assert_int_equal(rename(other, own), 0);
    for (int end = -1; end < 6; end += 6) {
        language_fixture_write_gguf(path, model, end);
        assert_ok(language_model_load(&m, path, &options, &error));
        assert_true(!m->packed);
        assert_int_equal(m->table.end_count, end < 0 ? 2 : 1);
        assert_int_equal(m->ends[0], end < 0 ? 1 : 5);
        expect_bytes(m, "\xe2\x96\x81lungs", " lungs");
        language_model_free(m);
    }
    language_fixture_write_gguf(path, model, 999);
    refuse(path, &options, "eos_token_id: 999 is outside the model's vocabulary");
    language_fixture_write_gguf(path, model, BPE_MAX_TOKENS);
    refuse(path, &options, "tokenizer.ggml.eos_token_id: 2097152 is no token's id");
}

/* Ids beyond the model's rows: words are refused, special tokens are only unknown. */
static void pairs_that_do_not_fit(void **state) {
    (void)state;
    const char *const added[LANGUAGE_FIXTURE_PADDING + 1] = {"<a>", "<b>", "<c>", "<d>", "<e>", "<f>",
                                                             "<g>", "<h>", "<i>", "<j>", "<k>"};
    language_model *m;
    for (int special = 0; special < 2; special++) {
        bpe *large = language_fixture_tokenizer();
        assert_ok(bpe_add(large, added, LANGUAGE_FIXTURE_PADDING + 1, special == 1, NULL, &error));
        language_fixture_write(folder, large, model);
        if (special) {
            assert_ok(language_model_load(&m, folder, &plain, &error));
            assert_false(language_model_knows(m, m->model->config.vocabulary));
            assert_null(m->known);
            language_model_free(m);
        } else {
            refuse(folder, &plain, "the tokenizer is of another model: its token \"<k>\"");
        }
        bpe_free(large);
    }
}

static void what_is_no_model(void **state) {
    (void)state;
    char path[400];
    language_fixture_write(folder, tokenizer, model);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    refuse(path, &plain, "neither a folder");
    remove(path);
    refuse(folder, &plain, "no tokenizer.json in this folder; name one with --tokenizer");
    snprintf(path, sizeof path, "%s/none", folder);
    refuse(path, &plain, "there is no such model");
    language_fixture_put(folder, "model.gguf", "GGUF");
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    refuse(path, &plain, "model.gguf");
    char own[400];
    snprintf(own, sizeof own, "%s/tokenizer.json", folder);
    assert_ok(bpe_write(tokenizer, own, &error));
    const language_model_options named = {.tokenizer = own}, packed = {.tokenizer = own, .weights = LANGUAGE_MODEL_Q4};
    refuse(path, &packed, "weights stay as it has them");
    refuse(path, &named, "model.gguf");
    snprintf(path, sizeof path, "%s/config.json", folder);
    remove(path);
    refuse(folder, &plain, "config.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gguf_keeps_all_ends, set_up, tear_down),
        cmocka_unit_test(wrong_ends_are_refused),
        cmocka_unit_test_setup_teardown(a_folder_in_f32_and_packed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_tokens_add, set_up, tear_down),
        cmocka_unit_test_setup_teardown(where_answers_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(gguf_with_a_tokenizer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pairs_that_do_not_fit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_model, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
