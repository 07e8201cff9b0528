/* tokenizer.json: what is accepted in which forms, what is refused in which words, and the cache beside it. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/fingerprint.h"
#include "text/bpe_cache.h"
#include "text/bpe_internal.h"

static carina_error error;

#include "assert_ok.h"

/* A small tokenizer, parts of which a test replaces. */
typedef struct parts {
    const char *added, *normalizer, *pre_tokenizer, *post_processor, *decoder, *model, *vocab, *merges, *end;
} parts;

static const parts good = {
    .added =
        "[{\"id\":0,\"content\":\"<s>\",\"special\":true,\"lstrip\":false,\"rstrip\":false,"
        "\"single_word\":false,\"normalized\":false}]",
    .normalizer = "null",
    .pre_tokenizer = "null",
    .post_processor = "null",
    .decoder = "{\"type\":\"Fuse\"}",
    .model = "\"type\":\"BPE\",\"unk_token\":null",
    .vocab = "{\"<s>\":0,\"a\":1,\"b\":2,\"ab\":3,\"abb\":4}",
    .merges = "[[\"a\",\"b\"],[\"ab\",\"b\"]]",
    .end = "}",
};

static carina_status parse(bpe **out, const parts *p) {
    char *text;
    assert_true(asprintf(&text,
                         "{\"version\":\"1.0\",\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,"
                         "\"post_processor\":%s,\"decoder\":%s,\"model\":{%s,\"vocab\":%s,\"merges\":%s}%s",
                         p->added, p->normalizer, p->pre_tokenizer, p->post_processor, p->decoder, p->model, p->vocab,
                         p->merges, p->end) > 0);
    carina_status status = bpe_parse(out, "t.json", text, strlen(text), &error);
    free(text);
    return status;
}

static void expect_ids(const bpe *b, const char *text, const char *wanted) {
    bpe_encoder *e;
    const int32_t *ids;
    uint64_t count;
    char found[256] = "";
    assert_ok(bpe_encoder_create(&e, b, &error));
    assert_ok(bpe_encode(e, text, strlen(text), true, &ids, &count, &error));
    for (uint64_t i = 0; i < count; i++) {
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, i ? " %d" : "%d", ids[i]);
    }
    bpe_encoder_free(e);
    assert_string_equal(found, wanted);
}

static void forms_of_merges(void **state) {
    (void)state;
    parts p = good;
    bpe *b;
    assert_ok(parse(&b, &p));
    expect_ids(b, "abbab<s>aa?", "4 3 0 1 1"); /* what is no token, and has no bytes, is left out */
    bpe_free(b);
    static const int32_t unsound[][3] = {{1, 1, 3}, {2, 2, 3}, {1, 2, 4}, {1, 9, 3}, {-1, 2, 3}, {1, 2, 99}};
    assert_ok(parse(&b, &p));
    assert_ok(bpe_put_merge(b, 1, 2, 3, &error));
    for (size_t i = 0; i < sizeof unsound / sizeof *unsound; i++)
        assert_int_equal(bpe_put_merge(b, unsound[i][0], unsound[i][1], unsound[i][2], &error), CARINA_ERROR_FORMAT);
    bpe_free(b);
    p.merges = "[\"a b\",\"ab b\"]";
    assert_ok(parse(&b, &p));
    expect_ids(b, "abb", "4");
    bpe_free(b);
    p.merges = "[\"ab b\",\"a b\",\"ab b\"]"; /* twice: the last counts */
    assert_ok(parse(&b, &p));
    expect_ids(b, "abb", "4");
    bpe_free(b);
    static const char other_order[] =
        "{\"model\":{\"merges\":[\"a b\"],\"vocab\":{\"a\":5,\"b\":7,\"ab\":6}},\"added_tokens\":"
        "[{\"id\":9,\"content\":\"x\\u0000\"}],\"decoder\":{\"type\":\"Fuse\"},\"unknown\":[{}]}";
    assert_ok(bpe_parse(&b, "t.json", other_order, sizeof other_order - 1, &error));
    expect_ids(b, "abba", "6 7 5");
    assert_int_equal(bpe_count(b), 10);
    uint64_t size;
    assert_null(bpe_token(b, 8, &size));
    assert_memory_equal(bpe_token(b, 9, &size), "x\0", 2);
    assert_int_equal(size, 2);
    bpe_free(b);
}

#define SPLIT(behavior)                                                           \
    "{\"type\":\"Split\",\"pattern\":{\"String\":\"b\"},\"behavior\":\"" behavior \
    "\","                                                                         \
    "\"invert\":false}"

static void settings_change_ids(void **state) {
    (void)state;
    bpe *b;
    static const struct {
        const char *pre_tokenizer, *ids;
    } splits[] = {{SPLIT("MergedWithPrevious"), "3 2 1"}, /* ab b a */
                  {SPLIT("MergedWithNext"), "1 2 2 1"},   /* a b ba */
                  {SPLIT("Isolated"), "1 2 2 1"},
                  {SPLIT("Removed"), "1 1"}};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        parts p = good;
        p.pre_tokenizer = splits[i].pre_tokenizer;
        assert_ok(parse(&b, &p));
        expect_ids(b, "abba", splits[i].ids);
        bpe_free(b);
    }
    parts p = good;
    p.post_processor =
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}}],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[0],\"tokens\":[\"<s>\"]}}}";
    p.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"aa\"},\"content\":\"b\"}";
    assert_ok(parse(&b, &p));
    expect_ids(b, "aaa", "0 2 1 0");
    bpe_free(b);
    p = good;
    p.model = "\"unk_token\":\"b\",\"fuse_unk\":true";
    p.merges = "[[\"a\",\"b\"]]"; /* the unknown token joins like any other */
    assert_ok(parse(&b, &p));
    expect_ids(b, "a\xc3\xa9?a?", "3 3");
    bpe_free(b);
    p.model = "\"unk_token\":\"b\",\"fuse_unk\":false";
    p.merges = "[]";
    assert_ok(parse(&b, &p));
    expect_ids(b, "a\xc3\xa9?a?", "1 2 2 1 2");
    bpe_free(b);
    for (int ignore = 0; ignore < 2; ignore++) { /* a whole piece that no merge makes */
        p = good;
        p.vocab = "{\"<s>\":0,\"a\":1,\"b\":2,\"ab\":3,\"abb\":4,\"aba\":5}";
        p.model = ignore ? "\"ignore_merges\":true" : "\"ignore_merges\":false";
        assert_ok(parse(&b, &p));
        expect_ids(b, "aba<s>abaa", ignore ? "5 0 3 1 1" : "3 1 0 3 1 1");
        bpe_free(b);
    }
}

/* ---- errors ---- */

static void says_what_is_wrong(void **state) {
    (void)state;
#define CASE(part, text, words) \
    { offsetof(parts, part), text, words }
    static const struct {
        size_t part;
        const char *text, *words;
    } cases[] = {
        CASE(end, "", "t.json: model: not valid JSON on line 1: ',' or '}' is expected, but the file ends"),
        CASE(end, "}x", "nothing more is expected"),
        CASE(end, ",\"model\":{}}", "t.json: model: stands there twice"),
        CASE(end, ",\"decoder\":null}", "t.json: decoder: stands there twice"),
        CASE(model, "\"type\":\"WordPiece\"", "t.json: model.type: \"WordPiece\" is not known here (BPE is)"),
        CASE(model, "\"dropout\":0.1", "t.json: model.dropout: only null is known here"),
        CASE(model, "\"end_of_word_suffix\":\"</w>\"", "t.json: model.end_of_word_suffix: \"</w>\": only null"),
        CASE(model, "\"unk_token\":\"<unk>\"", "t.json: model.unk_token: \"<unk>\" is not in model.vocab"),
        CASE(model, "\"unk_token\":3", "t.json: model.unk_token: text is expected, not a number"),
        CASE(model, "\"fuse_unk\":1", "t.json: model.fuse_unk: true or false is expected, not a number"),
        CASE(vocab, "[]", "t.json: model.vocab: an object is expected, not an array"),
        CASE(vocab, "{\"a\":\"1\"}", "t.json: model.vocab.a: a number is expected, not text"),
        CASE(vocab, "{\"a\":-1}", "t.json: model.vocab.a: -1 is no whole number from 0 to 2097151"),
        CASE(vocab, "{\"a\":99999999}", "t.json: model.vocab.a: 99999999 is no whole number"),
        CASE(vocab, "{\"a\":1,\"b\":1}", "t.json: model.vocab.b: \"b\" has id 1, as \"a\" has"),
        CASE(vocab, "{\"a\":1,\"a\":2}", "t.json: model.vocab.a: \"a\" has two ids, 1 and 2"),
        CASE(merges, "{}", "t.json: model.merges: an array is expected, not an object"),
        CASE(merges, "[[\"a\",\"b\"],[\"a\",\"c\"]]", "t.json: model.merges[1]: \"c\" is not in model.vocab"),
        CASE(merges, "[[\"b\",\"b\"]]", "t.json: model.merges[0]: \"bb\" is not in model.vocab"),
        CASE(merges, "[\"a b b\"]", "t.json: model.merges[0]: two tokens with one blank between them"),
        CASE(merges, "[\"ab\"]", "t.json: model.merges[0]: two tokens with one blank between them"),
        CASE(merges, "[[\"a\"]]", "t.json: model.merges[0]: two tokens are expected"),
        CASE(merges, "[[\"a\",\"b\",\"b\"]]", "t.json: model.merges[0][2]: two tokens are expected"),
        CASE(merges, "[[\"a\",1]]", "t.json: model.merges[0][1]: text is expected, not a number"),
        CASE(merges, "[[\"\",\"a\"]]", "t.json: model.merges[0]: \"\" is not in model.vocab"),
        CASE(merges, "[[\"a\",\"b\"]", "',' or ']' is expected"),
        CASE(added, "{}", "t.json: added_tokens: an array is expected, not an object"),
        CASE(added, "[{\"content\":\"x\"}]", "t.json: added_tokens[0]: id: missing"),
        CASE(added, "[{\"id\":7}]", "t.json: added_tokens[0]: content: missing"),
        CASE(added, "[{\"id\":7,\"content\":\"\"}]", "t.json: added_tokens[0]: content: empty"),
        CASE(added, "[{\"id\":7,\"content\":\"a\"}]", "t.json: added_tokens[0]: id: 7, but \"a\" has id 1 already"),
        CASE(added, "[{\"id\":1,\"content\":\"x\"}]", "t.json: added_tokens[0]: \"x\" has id 1, as \"a\" has"),
        CASE(added, "[{\"id\":7,\"content\":\"x\"},{\"id\":7,\"content\":\"x\"}]",
             "t.json: added_tokens[1]: \"x\" stands there twice"),
        CASE(added, "[{\"id\":7,\"content\":\"x\",\"special\":1}]",
             "t.json: added_tokens[0].special: true or false is expected"),
        CASE(normalizer, "{\"type\":\"NFKC\"}", "t.json: normalizer: type: \"NFKC\" is not known here"),
        CASE(normalizer, "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}",
             "t.json: normalizer: normalizers[0].type: \"Lowercase\" is not known here"),
        CASE(normalizer, "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" +\"},\"content\":\"x\"}",
             "t.json: normalizer: pattern: \"Regex\" is not known here"),
        CASE(normalizer, "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"x\"}",
             "t.json: normalizer: pattern.String: 0 bytes"),
        CASE(normalizer, "{\"type\":\"Replace\"}", "t.json: normalizer: pattern: missing"),
        CASE(pre_tokenizer, "{\"type\":\"ByteLevel\"}", "t.json: pre_tokenizer: type: \"ByteLevel\" is not known here"),
        CASE(pre_tokenizer, SPLIT("Contiguous"), "t.json: pre_tokenizer: behavior: \"Contiguous\" is not known here"),
        CASE(post_processor, "{\"type\":\"RobertaProcessing\"}", "t.json: post_processor: type: \"RobertaProcessing\""),
        CASE(post_processor, "{\"type\":\"TemplateProcessing\",\"single\":[]}",
             "t.json: post_processor: single: there is"),
        CASE(post_processor,
             "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},{\"Sequence\":{}}],"
             "\"special_tokens\":{\"x\":{\"ids\":[77]}}}",
             "t.json: post_processor.special_tokens: no token has id 77"),
        CASE(post_processor,
             "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],\"special_tokens\":{}}",
             "t.json: post_processor: special_tokens.x: missing"),
        CASE(decoder, "null", "t.json: decoder: there is none"),
        CASE(decoder, "{\"type\":\"WordPiece\"}", "t.json: decoder: type: \"WordPiece\" is not known here"),
        CASE(decoder, "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}]}",
             "t.json: decoder: decoders[1].type: \"ByteFallback\" is known only in the order"),
        CASE(decoder, "[]", "t.json: decoder: an object is expected, not an array"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parts p = good;
        bpe *b;
        *(const char **)(void *)((char *)&p + cases[i].part) = cases[i].text;
        carina_status status = parse(&b, &p);
        if (status == CARINA_OK || b || !strstr(error.message, cases[i].words))
            fail_msg("%s: %s, not %s", cases[i].text, status ? error.message : "accepted", cases[i].words);
    }
    bpe *b;
    static const char *const missing[] = {"{}", "{\"model\":{}}", "{\"model\":{\"vocab\":{}}}"};
    static const char *const words[] = {"t.json: model: missing", "t.json: model.vocab: missing",
                                        "t.json: model.merges: missing"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bpe_parse(&b, "t.json", missing[i], strlen(missing[i]), &error), CARINA_ERROR_FORMAT);
        assert_non_null(strstr(error.message, words[i]));
    }
    assert_int_equal(bpe_read(&b, TEST_DATA "/tokenizer", NULL, &error), CARINA_ERROR_IO);
    assert_null(b);
}

/* Any beginning of a file is refused, and no byte of it is read that is not there. */
static void cut_files_are_refused(void **state) {
    (void)state;
    uint8_t *data;
    uint64_t size;
    assert_ok(file_read(TEST_DATA "/tokenizer/llama.json", 1 << 20, &data, &size, &error));
    while (data[size - 1] == '\n') size--;
    for (uint64_t cut = 0; cut < size; cut += cut < 3000 || cut > size - 100 ? 1 : 211) {
        bpe *b;
        char *copy = malloc((size_t)cut + 1);
        assert_non_null(copy);
        memcpy(copy, data, (size_t)cut);
        assert_int_not_equal(bpe_parse(&b, "t.json", copy, cut, &error), CARINA_OK);
        free(copy);
    }
    free(data);
}

/* ---- the cache ---- */

static char cache_path[512];

/* How many caches are in the folder; the last one's path. */
static int count_caches(const char *folder) {
    DIR *d = opendir(folder);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        snprintf(cache_path, sizeof cache_path, "%s/%.200s", folder, e->d_name);
        count++;
    }
    if (d) closedir(d);
    return count;
}

static void remove_caches(const char *folder) {
    while (count_caches(folder) > 0) remove(cache_path);
    rmdir(folder);
}

/* gemma.json with blanks behind it, so that it is large; `last` makes another of the same size. */
static void write_large(const char *path, char last) {
    uint8_t *data;
    uint64_t size;
    assert_ok(file_read(TEST_DATA "/tokenizer/gemma.json", 1 << 20, &data, &size, &error));
    uint64_t whole = size + BPE_CACHE_LEAST;
    char *large = malloc((size_t)whole);
    assert_non_null(large);
    memcpy(large, data, (size_t)size);
    memset(large + size, ' ', (size_t)(whole - size));
    large[whole - 1] = last;
    assert_ok(file_write(path, large, whole, &error));
    free(large);
    free(data);
}

static void same_as_the_file(const char *path, const char *folder) {
    bpe *plain, *cached;
    assert_ok(bpe_read(&plain, path, NULL, &error));
    assert_ok(bpe_read(&cached, path, folder, &error));
    assert_int_equal(plain->count, cached->count);
    assert_int_equal(plain->merge_count, cached->merge_count);
    assert_memory_equal(plain->merges, cached->merges, plain->merge_count * sizeof *plain->merges);
    for (uint32_t i = 0; i < plain->count; i++) {
        assert_int_equal(plain->tokens[i].flags, cached->tokens[i].flags);
        assert_int_equal(plain->tokens[i].size, cached->tokens[i].size);
        assert_memory_equal(bpe_text_of(plain, (int32_t)i), bpe_text_of(cached, (int32_t)i), plain->tokens[i].size);
    }
    assert_string_equal(plain->settings.unk_token, cached->settings.unk_token);
    assert_int_equal(plain->settings.before_count, cached->settings.before_count);
    bpe_free(plain);
    bpe_free(cached);
}

static bool load_cache(const void *source, uint64_t source_size, const char *folder) {
    bpe *b;
    bpe_cache c = bpe_cache_of(folder, source, source_size);
    bool loaded = bpe_cache_load(&c, &b, "cached");
    bpe_free(b);
    bpe_cache_free(&c);
    return loaded;
}

static void caches_are_made_and_used(void **state) {
    (void)state;
    static const char folder[] = "bpe-caches/below", path[] = "large.json";
    uint8_t *data;
    uint64_t size;
    write_large(path, ' ');
    remove_caches(folder);
    same_as_the_file(path, folder);
    assert_int_equal(count_caches(folder), 1);
    assert_ok(file_read(path, 1 << 24, &data, &size, &error));
    assert_true(load_cache(data, size, folder));
    same_as_the_file(path, folder);
    data[size - 1] = '\n'; /* another file of the same size */
    assert_false(load_cache(data, size, folder));
    free(data);
    write_large(path, '\n');
    same_as_the_file(path, folder);
    assert_int_equal(count_caches(folder), 2);
    remove_caches(folder);
    same_as_the_file(TEST_DATA "/tokenizer/gemma.json", folder); /* too small to be worth one */
    assert_int_equal(count_caches(folder), 0);
    same_as_the_file(path, "/proc/nowhere"); /* cannot be written */
    same_as_the_file(path, TEST_DATA "/tokenizer/gemma.json");
    remove(path);
    rmdir("bpe-caches");
}

static void check_merges(const bpe *b) {
    for (uint32_t i = 0; i < b->merge_count; i++) {
        const bpe_merge *m = &b->merges[i];
        assert_true((uint32_t)m->left < b->count && (uint32_t)m->right < b->count && (uint32_t)m->result < b->count);
        uint16_t left = b->tokens[m->left].size, right = b->tokens[m->right].size;
        assert_int_equal(b->tokens[m->result].size, left + right);
        assert_memory_equal(bpe_text_of(b, m->result), bpe_text_of(b, m->left), left);
        assert_memory_equal(bpe_text_of(b, m->result) + left, bpe_text_of(b, m->right), right);
    }
}

static void put_file(const char *path, const char *text) { assert_ok(file_write(path, text, strlen(text), &error)); }

static void assert_holds(const char *path, const char *text) {
    uint8_t *data;
    uint64_t size;
    assert_ok(file_read(path, 1 << 24, &data, &size, &error));
    assert_int_equal(size, strlen(text));
    assert_memory_equal(data, text, size);
    free(data);
}

/* In the cache's place: a link to a file, to a cache, to nothing, and a file that is no cache. All are left alone. */
static void what_is_no_cache_stays(void **state) {
    (void)state;
    static const char folder[] = "bpe-planted", path[] = "planted.json", kept[] = "planted.kept";
    uint8_t *source;
    uint64_t size;
    bpe *b;
    write_large(path, ' ');
    remove_caches(folder);
    assert_ok(bpe_read(&b, path, folder, &error));
    bpe_free(b);
    assert_int_equal(count_caches(folder), 1);
    assert_ok(file_read(path, 1 << 24, &source, &size, &error));
    assert_int_equal(rename(cache_path, kept), 0);
    assert_int_equal(symlink("../planted.kept", cache_path), 0);
    assert_false(load_cache(source, size, folder));
    put_file(kept, "a victim");
    same_as_the_file(path, folder);
    assert_holds(kept, "a victim");
    put_file(kept, ""); /* what would be replaced if it were no link */
    same_as_the_file(path, folder);
    assert_holds(kept, "");
    assert_int_equal(remove(kept), 0);
    same_as_the_file(path, folder);
    assert_false(file_exists(kept));
    assert_int_equal(remove(cache_path), 0);
    put_file(cache_path, "somebody's notes");
    same_as_the_file(path, folder);
    assert_holds(cache_path, "somebody's notes");
    put_file(cache_path, "carina-bpe-0\n of an older version");
    same_as_the_file(path, folder);
    assert_true(load_cache(source, size, folder));
    free(source);
    remove_caches(folder);
    rmdir(folder);
    remove(path);
}

/* Every byte changed in turn, every length, and content that is wrong although its fingerprint holds. */
static void damaged_caches_are_made_anew(void **state) {
    (void)state;
    static const char folder[] = "bpe-damaged", path[] = "damaged.json";
    uint8_t *source, *cache;
    uint64_t source_size, size;
    bpe *b;
    write_large(path, ' ');
    remove_caches(folder);
    assert_ok(bpe_read(&b, path, folder, &error));
    bpe_free(b);
    assert_int_equal(count_caches(folder), 1);
    assert_ok(file_read(path, 1 << 24, &source, &source_size, &error));
    assert_ok(file_read(cache_path, 1 << 24, &cache, &size, &error));
    for (uint64_t i = 0; i < size; i += i < 200 ? 1 : 401) {
        FILE *f = fopen(cache_path, "wb");
        cache[i] ^= 0x10;
        assert_true(f && fwrite(cache, 1, (size_t)size, f) == size && fclose(f) == 0);
        cache[i] ^= 0x10;
        assert_false(load_cache(source, source_size, folder));
        f = fopen(cache_path, "wb");
        assert_true(f && fwrite(cache, 1, (size_t)i, f) == i && fclose(f) == 0);
        assert_false(load_cache(source, source_size, folder));
    }
    for (uint64_t i = 48; i < size; i += i < 1500 ? 1 : 97) { /* the fingerprint is made to hold */
        FILE *f = fopen(cache_path, "wb");
        cache[i] ^= 0xff;
        fingerprint print = fingerprint_start();
        fingerprint_add(&print, cache + 48, size - 48);
        uint64_t value = fingerprint_value(&print);
        for (int k = 0; k < 8; k++) cache[40 + k] = (uint8_t)(value >> 8 * k);
        assert_true(f && fwrite(cache, 1, (size_t)size, f) == size && fclose(f) == 0);
        cache[i] ^= 0xff;
        bpe_cache c = bpe_cache_of(folder, source, source_size);
        if (bpe_cache_load(&c, &b, "cached")) { /* another tokenizer, but a sound one */
            check_merges(b);
            bpe_free(b);
        }
        bpe_cache_free(&c);
    }
    FILE *f = fopen(cache_path, "wb");
    assert_true(f && fclose(f) == 0);
    same_as_the_file(path, folder);
    assert_true(load_cache(source, source_size, folder)); /* made anew */
    free(source);
    free(cache);
    remove_caches(folder);
    remove(path);
}

static void where_caches_go(void **state) {
    (void)state;
    setenv("CARINA_CACHE", "/own", 1);
    char *folder = bpe_cache_default_folder();
    assert_string_equal(folder, "/own");
    free(folder);
    setenv("CARINA_CACHE", "", 1);
    assert_null(bpe_cache_default_folder());
    unsetenv("CARINA_CACHE");
    setenv("XDG_CACHE_HOME", "/caches", 1);
    folder = bpe_cache_default_folder();
    assert_string_equal(folder, "/caches/carina");
    free(folder);
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/home/somebody", 1);
    folder = bpe_cache_default_folder();
    assert_string_equal(folder, "/home/somebody/.cache/carina");
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_merges),
        cmocka_unit_test(settings_change_ids),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(caches_are_made_and_used),
        cmocka_unit_test(what_is_no_cache_stays),
        cmocka_unit_test(damaged_caches_are_made_anew),
        cmocka_unit_test(where_caches_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
