/* The sentence database: building, searching against a plain loop, and its file with everything that can be wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/file.h"
#include "base/random.h"
#include "index/index_file.h"

static char folder[512];

static int make_folder(void **state) {
    (void)state;
    carina_error error;
    snprintf(folder, sizeof folder, "%s/index-%d", TEST_TMP, (int)getpid());
    return (int)file_make_folders(folder, &error);
}

static int remove_folder(void **state) {
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name) {
    static char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const sentence_index_info origin = {.model = "apm-test",
                                           .model_fingerprint = "0123456789abcdef",
                                           .encoder = "bert-test",
                                           .encoder_fingerprint = "fedcba9876543210",
                                           .source = "chest_imagenome=films",
                                           .split = "train",
                                           .films = "40",
                                           .data_fingerprint = "11"};

static void add(sentence_index *index, int region, const char *text, const float *vector, uint64_t seen) {
    carina_error error;
    sentence_entry e = {text, seen, "train/film-1"};
    if (sentence_index_add(index, region, &e, vector, &error) != CARINA_OK) fail_msg("%s", error.message);
}

/* Sentences "R sentence 000123" with random embeddings, given in a scrambled order. */
static sentence_index *random_index(const int *counts, int width, uint64_t seed) {
    sentence_index *index;
    carina_error error;
    random_state random = random_seed(seed);
    float *vector = malloc((size_t)width * sizeof *vector);
    assert_non_null(vector);
    assert_int_equal(sentence_index_create(&index, atlas_anatomix36(), &origin, width, &error), CARINA_OK);
    for (int r = 0; r < 36; r++) {
        for (int i = 0; i < counts[r]; i++) {
            char text[64];
            snprintf(text, sizeof text, "R sentence %06d", (int)(((int64_t)i * 7919) % counts[r]));
            if (counts[r] % 7919 == 0) fail();
            for (int d = 0; d < width; d++) vector[d] = (float)random_normal(&random);
            add(index, r, text, vector, (uint64_t)i + 1);
        }
    }
    free(vector);
    if (sentence_index_finish(index, &error) != CARINA_OK) fail_msg("%s", error.message);
    return index;
}

/* ---- searching ---- */

static void expect_best(const sentence_index *index, thread_pool *pool, int region, const float *query, float weight,
                        int k) {
    int width = sentence_index_width(index), count = -1;
    uint64_t rows = sentence_index_region(index, region)->count;
    similarity_hit *hits = calloc((size_t)k, sizeof *hits);
    float *all = calloc((size_t)rows + 1, sizeof *all), *vector = calloc((size_t)width, sizeof *vector);
    float *scores = calloc((size_t)rows + 1, sizeof *scores);
    const sentence_region *shown = sentence_index_region(index, region);
    bool *taken = calloc((size_t)rows + 1, sizeof *taken);
    carina_error error;
    double length = 0, seen = 0;
    assert_true(hits && all && vector && taken && scores);
    for (int d = 0; d < width; d++) length += (double)query[d] * (double)query[d];
    assert_int_equal(sentence_index_search(index, pool, region, query, weight, k, hits, &count, &error), CARINA_OK);
    assert_int_equal(sentence_index_similarities(index, region, query, all, &error), CARINA_OK);
    sentence_index_scores(index, region, all, weight, scores);
    assert_int_equal(count, rows < (uint64_t)k ? (int)rows : k);
    for (uint64_t i = 0; i < rows; i++) seen += (double)shown->entries[i].seen;
    for (uint64_t i = 0; i < rows; i++) {
        double sum = 0, prior = log((double)shown->entries[i].seen / seen);
        sentence_index_vector(index, region, i, vector);
        for (int d = 0; d < width; d++) sum += (double)query[d] / sqrt(length) * (double)vector[d];
        if (fabs(sum - (double)all[i]) > 1e-5) fail_msg("row %d: %g, not %g", (int)i, (double)all[i], sum);
        sum += (double)weight * prior;
        if (fabs(sum - (double)scores[i]) > 1e-5) fail_msg("row %d: score %g, not %g", (int)i, (double)scores[i], sum);
        assert_true(weight > 0 || memcmp(&all[i], &scores[i], sizeof *all) == 0);
    }
    for (int h = 0; h < count; h++) { /* the first of the largest that are left */
        uint64_t best = rows;
        for (uint64_t i = 0; i < rows; i++)
            if (!taken[i] && (best == rows || scores[i] > scores[best])) best = i;
        taken[best] = true;
        assert_int_equal(hits[h].row, best);
        assert_true(hits[h].similarity == all[best]);
        assert_true(hits[h].score == scores[best]);
    }
    free(hits);
    free(all);
    free(vector);
    free(taken);
    free(scores);
}

static void finds_the_most_similar(void **state) {
    (void)state;
    static const int widths[] = {1, 3, 16, 40};
    carina_error error;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 3, &error), CARINA_OK);
    for (int w = 0; w < 4; w++) {
        int counts[36] = {0, 1, 15, 16, 17, 63, 64, 65, 127, 129, 1000};
        sentence_index *index = random_index(counts, widths[w], 5);
        random_state random = random_seed(9);
        for (int r = 0; r < 11; r++) {
            float query[40];
            for (int d = 0; d < 40; d++) query[d] = 3 * (float)random_normal(&random);
            expect_best(index, pool, r, query, 0, 1);
            expect_best(index, NULL, r, query, 0, 10);
            expect_best(index, pool, r, query, 0, 200);
            expect_best(index, pool, r, query, 0.01f, 1);
            expect_best(index, NULL, r, query, 0.1f, 10);
            expect_best(index, pool, r, query, 3, 200);
        }
        sentence_index_free(index);
    }
    thread_pool_free(pool);
}

/* Parts of a region searched by several threads, equal similarities, and all regions at once. */
static void is_the_same_for_any_threads(void **state) {
    (void)state;
    int counts[36] = {[3] = 200000, [4] = 10, [20] = 70000};
    sentence_index *index = random_index(counts, 16, 1);
    thread_pool *pool;
    carina_error error;
    float queries[36 * 16];
    similarity_hit alone[36 * 5], shared[36 * 5], single[5];
    int alone_count[36], shared_count[36], count;
    assert_int_equal(thread_pool_create(&pool, 2, &error), CARINA_OK);
    random_state random = random_seed(2);
    for (int i = 0; i < 36 * 16; i++) queries[i] = (float)random_normal(&random);
    assert_int_equal(sentence_index_search_all(index, NULL, queries, 0, 5, alone, alone_count, &error), CARINA_OK);
    assert_int_equal(sentence_index_search_all(index, pool, queries, 0, 5, shared, shared_count, &error), CARINA_OK);
    assert_memory_equal(alone_count, shared_count, sizeof alone_count);
    for (int r = 0; r < 36; r++) {
        assert_int_equal(alone_count[r], counts[r] < 5 ? counts[r] : 5);
        assert_memory_equal(alone + 5 * r, shared + 5 * r, (size_t)alone_count[r] * sizeof *alone);
        assert_int_equal(sentence_index_search(index, pool, r, queries + 16 * r, 0, 5, single, &count, &error),
                         CARINA_OK);
        assert_memory_equal(single, alone + 5 * r, (size_t)count * sizeof *alone);
    }
    expect_best(index, pool, 3, queries, 0, 3);
    expect_best(index, pool, 3, queries, 0.05f, 30);
    assert_int_equal(sentence_index_search_all(index, NULL, queries, 0.05f, 5, alone, alone_count, &error), CARINA_OK);
    assert_int_equal(sentence_index_search_all(index, pool, queries, 0.05f, 5, shared, shared_count, &error),
                     CARINA_OK);
    for (int r = 0; r < 36; r++)
        assert_memory_equal(alone + 5 * r, shared + 5 * r, (size_t)alone_count[r] * sizeof *alone);
    thread_pool_free(pool);
    sentence_index_free(index);
}

static void breaks_ties_by_row(void **state) {
    (void)state;
    sentence_index *index;
    carina_error error;
    assert_int_equal(sentence_index_create(&index, atlas_anatomix36(), NULL, 2, &error), CARINA_OK);
    for (int i = 199; i >= 0; i--) {
        char text[16];
        snprintf(text, sizeof text, "s%03d", i);
        add(index, 0, text, i % 3 ? (float[]){0, 5} : (float[]){1, 0}, 1);
    }
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    similarity_hit hits[4];
    int count;
    assert_int_equal(sentence_index_search(index, NULL, 0, (float[]){0, 0.1f}, 0, 4, hits, &count, &error), CARINA_OK);
    const uint32_t rows[4] = {1, 2, 4, 5};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(hits[i].row, rows[i]);
        assert_true(hits[i].similarity == 1);
    }
    assert_string_equal(sentence_index_region(index, 0)->entries[4].text, "s004");
    assert_int_equal(sentence_index_find(index, 0, "s199"), 199);
    assert_int_equal(sentence_index_find(index, 0, "s200"), -1);
    assert_int_equal(sentence_index_find(index, 1, "s000"), -1);
    sentence_index_free(index);
}

/* What is said on most films comes before what is a little nearer; a count of 0 is one film. */
static void ranks_by_the_prior(void **state) {
    (void)state;
    sentence_index *index;
    carina_error error;
    similarity_hit hits[3];
    int count;
    assert_int_equal(sentence_index_create(&index, atlas_anatomix36(), NULL, 2, &error), CARINA_OK);
    add(index, 0, "rare", (float[]){1, 0}, 1);
    add(index, 0, "usual", (float[]){0.995f, 0.0998749f}, 98);
    add(index, 0, "never", (float[]){0, 1}, 0);
    add(index, 1, "alone", (float[]){0, 1}, 7);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    const float query[2] = {1, 0}, *priors = sentence_index_region(index, 0)->log_priors; /* never, rare, usual */
    assert_true(priors[0] == (float)log(0.01) && priors[1] == priors[0] && priors[2] == (float)log(0.98));
    assert_true(sentence_index_region(index, 1)->log_priors[0] == 0);
    assert_int_equal(sentence_index_search(index, NULL, 0, query, 0.001f, 3, hits, &count, &error), CARINA_OK);
    assert_int_equal(hits[0].row, 1); /* 0.005 nearer; the prior is worth 0.0046 */
    assert_int_equal(sentence_index_search(index, NULL, 0, query, 0.0012f, 3, hits, &count, &error), CARINA_OK);
    assert_int_equal(count, 3);
    const uint32_t rows[3] = {2, 1, 0};
    for (int i = 0; i < 3; i++) assert_int_equal(hits[i].row, rows[i]);
    assert_true(hits[0].similarity < hits[1].similarity && hits[0].score > hits[1].score);
    sentence_index_free(index);
}

static void kernels_agree(void **state) {
    (void)state;
    int counts[36] = {[7] = 1003};
    sentence_index *index = random_index(counts, 16, 3);
    const float *blocks = sentence_index_region(index, 7)->blocks;
    const similarity_kernels *tables[3];
    int count = similarity_kernels_all(tables);
    static float expected[1003], got[1003];
    float query[16];
    random_state random = random_seed(4);
    for (int d = 0; d < 16; d++) query[d] = (float)random_normal(&random);
    tables[0]->all(expected, blocks, 1003, query, 16);
    const similarity_rows rows = {blocks, 0, 1003, 16, sentence_index_region(index, 7)->log_priors, 0.1f};
    similarity_hit best[9], others[9];
    similarity_top first = {.wanted = 9, .hits = best};
    tables[0]->search(&first, &rows, query);
    for (int t = 1; t < count; t++) {
        similarity_top top = {.wanted = 9, .hits = others};
        tables[t]->all(got, blocks, 1003, query, 16);
        assert_memory_equal(got, expected, sizeof got);
        tables[t]->search(&top, &rows, query);
        assert_memory_equal(others, best, sizeof best);
    }
    for (int t = 0; t < count; t++) {
        tables[t]->weigh(got, expected, rows.log_priors, 0.1f, 1003);
        for (int h = 0; h < 9; h++) assert_true(got[best[h].row] == best[h].score);
    }
    sentence_index_free(index);
}

static void refuses_what_makes_no_sense(void **state) {
    (void)state;
    sentence_index *index;
    carina_error error;
    similarity_hit hits[4];
    int count;
    assert_int_equal(sentence_index_create(&index, atlas_anatomix36(), NULL, 0, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(sentence_index_create(&index, atlas_anatomix36(), NULL, 2, &error), CARINA_OK);
    sentence_entry e = {"x", 1, NULL};
    assert_int_equal(sentence_index_add(index, 36, &e, (float[]){1, 0}, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(sentence_index_add(index, 0, &e, (float[]){0, 0}, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(sentence_index_add(index, 0, &e, (float[]){NAN, 0}, &error), CARINA_ERROR_FORMAT);
    e.text = "a sentence of two\nlines";
    assert_int_equal(sentence_index_add(index, 0, &e, (float[]){1, 0}, &error), CARINA_ERROR_FORMAT);
    for (int c = 1; c < 256; c++) {
        char text[24] = "every byte in  a text";
        text[14] = (char)c;
        e.text = text;
        carina_status status = sentence_index_add(index, 1, &e, (float[]){1, 0}, &error);
        assert_int_equal(status, c < 32 || c > 126 ? CARINA_ERROR_FORMAT : CARINA_OK);
    }
    e.text = "";
    assert_int_equal(sentence_index_add(index, 0, &e, (float[]){1, 0}, &error), CARINA_ERROR_FORMAT);
    add(index, 0, "x", (float[]){1, 0}, 1);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    assert_int_equal(sentence_index_total(index), 1 + 95);
    const float good[2] = {1, 0};
    assert_int_equal(sentence_index_search(index, NULL, 0, good, 0, 0, hits, &count, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(sentence_index_search(index, NULL, -1, good, 0, 1, hits, &count, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(sentence_index_search(index, NULL, 0, (float[]){0, 0}, 0, 1, hits, &count, &error),
                     CARINA_ERROR_ARGUMENT);
    assert_int_equal(sentence_index_search(index, NULL, 0, (float[]){INFINITY, 0}, 0, 1, hits, &count, &error),
                     CARINA_ERROR_ARGUMENT);
    for (int w = 0; w < 3; w++) {
        const float weights[3] = {-0.1f, NAN, INFINITY};
        assert_int_equal(sentence_index_search(index, NULL, 0, good, weights[w], 1, hits, &count, &error),
                         CARINA_ERROR_ARGUMENT);
    }
    sentence_index_free(index);
    assert_int_equal(sentence_index_create(&index, atlas_anatomix36(), NULL, 2, &error), CARINA_OK);
    add(index, 2, "said twice", good, 1);
    add(index, 2, "another", good, 1);
    add(index, 2, "said twice", good, 1);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "said twice"));
    sentence_index_free(index);
}

/* ---- the file ---- */

static void same_index(const sentence_index *a, const sentence_index *b) {
    float x[64], y[64];
    assert_int_equal(sentence_index_width(a), sentence_index_width(b));
    for (int r = 0; r < 36; r++) {
        const sentence_region *p = sentence_index_region(a, r), *q = sentence_index_region(b, r);
        assert_int_equal(p->count, q->count);
        assert_string_equal(p->name, q->name);
        assert_string_equal(p->display, q->display);
        for (uint64_t i = 0; i < p->count; i++) {
            assert_string_equal(p->entries[i].text, q->entries[i].text);
            assert_string_equal(p->entries[i].place, q->entries[i].place);
            assert_int_equal(p->entries[i].seen, q->entries[i].seen);
            sentence_index_vector(a, r, i, x);
            sentence_index_vector(b, r, i, y);
            assert_memory_equal(x, y, (size_t)sentence_index_width(a) * sizeof *x);
        }
    }
    assert_true(sentence_index_fingerprint(a) == sentence_index_fingerprint(b));
    assert_string_equal(sentence_index_origin(a)->model_fingerprint, sentence_index_origin(b)->model_fingerprint);
    assert_string_equal(sentence_index_origin(a)->made_by, sentence_index_origin(b)->made_by);
}

static uint64_t fingerprint_of(int region, const char *text, float x) {
    sentence_index *index;
    carina_error error;
    assert_int_equal(sentence_index_create(&index, atlas_anatomix36(), NULL, 2, &error), CARINA_OK);
    add(index, region, text, (float[]){x, 1}, 1);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    uint64_t value = sentence_index_fingerprint(index);
    sentence_index_free(index);
    return value;
}

static void has_a_fingerprint(void **state) {
    (void)state;
    uint64_t value = fingerprint_of(3, "a", 0.5f);
    assert_true(fingerprint_of(3, "a", 0.5f) == value);
    assert_true(fingerprint_of(4, "a", 0.5f) != value);
    assert_true(fingerprint_of(3, "b", 0.5f) != value);
    assert_true(fingerprint_of(3, "a", 0.25f) != value);
}

static void comes_back_from_disk(void **state) {
    (void)state;
    int counts[36] = {[0] = 1, [5] = 300, [35] = 40000}; /* the last: several blocks of embeddings */
    sentence_index *index = random_index(counts, 16, 8), *back;
    carina_error error;
    char path[700];
    snprintf(path, sizeof path, "%s", in_folder("round.sentences"));
    assert_int_equal(file_write(path, "old", 3, &error), CARINA_OK);
    if (index_file_write(path, index, &error) != CARINA_OK) fail_msg("%s", error.message);
    const sentence_index_use use = {.regions = atlas_anatomix36(),
                                    .model_fingerprint = "0123456789abcdef",
                                    .encoder_fingerprint = "fedcba9876543210",
                                    .width = 16};
    if (index_file_read(&back, path, &use, &error) != CARINA_OK) fail_msg("%s", error.message);
    same_index(index, back);
    sentence_index_free(back);
    uint8_t *bytes;
    uint64_t size;
    assert_int_equal(file_read(path, 1u << 30, &bytes, &size, &error), CARINA_OK);
    if (index_file_parse(&back, "memory", bytes, size, NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
    same_index(index, back);
    free(bytes);
    sentence_index_free(back);
    /* writing that fails leaves nothing */
    assert_int_equal(index_file_write(in_folder("no/such/folder.sentences"), index, &error), CARINA_ERROR_IO);
    sentence_index_free(index);
}

static void write_small(const char *path) {
    int counts[36] = {[2] = 3, [9] = 20};
    sentence_index *index = random_index(counts, 16, 6);
    carina_error error;
    if (index_file_write(path, index, &error) != CARINA_OK) fail_msg("%s", error.message);
    sentence_index_free(index);
}

static void expect_refusal(const char *path, const sentence_index_use *use, carina_status wanted, const char *words) {
    sentence_index *index = NULL;
    carina_error error = {0};
    carina_status status = index_file_read(&index, path, use, &error);
    assert_null(index);
    if (status != wanted || !strstr(error.message, words))
        fail_msg("%s: \"%s\", expected \"%s\"", carina_status_name(status), error.message, words);
    assert_null(strchr(error.message, '\n'));
    assert_non_null(strstr(error.message, path_name(path)));
}

static void tells_what_it_was_made_with(void **state) {
    (void)state;
    char path[700];
    snprintf(path, sizeof path, "%s", in_folder("use.sentences"));
    write_small(path);
    expect_refusal(path, &(sentence_index_use){.model_fingerprint = "0000000000000000"}, CARINA_ERROR_MISMATCH,
                   "another model: 0123456789abcdef (apm-test), not 0000000000000000");
    expect_refusal(path, &(sentence_index_use){.encoder_fingerprint = "other"}, CARINA_ERROR_MISMATCH,
                   "another text encoder: fedcba9876543210 (bert-test), not other");
    expect_refusal(path, &(sentence_index_use){.width = 17}, CARINA_ERROR_MISMATCH, "embeddings of 16 numbers");
    expect_refusal(path, &(sentence_index_use){.regions = atlas_imagenome29()}, CARINA_ERROR_MISMATCH, "36 regions");
    atlas_region swapped[36];
    memcpy(swapped, atlas_anatomix36()->regions, sizeof swapped);
    swapped[3].name = "elbow";
    const atlas other = {"mine", 36, swapped};
    expect_refusal(path, &(sentence_index_use){.regions = &other}, CARINA_ERROR_MISMATCH, "\"elbow\"");
}

static void change(const char *path, const char *sql) {
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s: %s", sql, why);
    sqlite3_close(db);
}

static void expect_refused_change(const char *sql, carina_status wanted, const char *words) {
    char path[700];
    snprintf(path, sizeof path, "%s", in_folder("changed.sentences"));
    write_small(path);
    change(path, sql);
    expect_refusal(path, NULL, wanted, words);
}

/* What whoever made a database did not say is "", the number of films too. */
static void accepts_what_is_not_told(void **state) {
    (void)state;
    char path[700];
    carina_error error;
    sentence_index *index;
    snprintf(path, sizeof path, "%s", in_folder("untold.sentences"));
    write_small(path);
    change(path, "UPDATE property SET value = '' WHERE name IN ('films', 'source', 'split')");
    if (index_file_read(&index, path, NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
    sentence_index_free(index);
}

static void refuses_other_versions_and_damage(void **state) {
    (void)state;
    expect_refused_change("PRAGMA user_version = 2", CARINA_ERROR_UNSUPPORTED, "newer Carina (schema 2");
    expect_refused_change("PRAGMA user_version = 0", CARINA_ERROR_UNSUPPORTED, "older Carina (schema 0");
    expect_refused_change("PRAGMA application_id = 7", CARINA_ERROR_FORMAT, "not a sentence database");
    expect_refused_change("DROP TABLE embedding", CARINA_ERROR_FORMAT, "not those of a sentence database");
    expect_refused_change("CREATE VIEW x AS SELECT 1", CARINA_ERROR_FORMAT, "not those of a sentence database");
    expect_refused_change("DROP TABLE sentence", CARINA_ERROR_FORMAT, "a table is missing");
    expect_refused_change("DELETE FROM property WHERE name = 'split'", CARINA_ERROR_FORMAT, "property split");
    expect_refused_change("UPDATE property SET value = '-1' WHERE name = 'films'", CARINA_ERROR_FORMAT,
                          "property films is no number of films");
    expect_refused_change("UPDATE property SET value = '0' WHERE name = 'embedding_width'", CARINA_ERROR_FORMAT,
                          "embedding_width");
    expect_refused_change("UPDATE property SET value = x'6100' WHERE name = 'split'", CARINA_ERROR_FORMAT, "not text");
    expect_refused_change("UPDATE region SET sentences = 1000000000000 WHERE region = 2", CARINA_ERROR_FORMAT,
                          "more sentences than the file can hold");
    expect_refused_change("DELETE FROM region", CARINA_ERROR_FORMAT, "no regions");
    expect_refused_change("DELETE FROM region WHERE region = 4", CARINA_ERROR_FORMAT, "the table of regions");
    expect_refused_change("DELETE FROM sentence WHERE id = 2", CARINA_ERROR_FORMAT, "checksum of region left apical");
    expect_refused_change("DELETE FROM sentence WHERE id = 23", CARINA_ERROR_FORMAT, "sentences are missing");
    expect_refused_change("UPDATE sentence SET text = x'610062' WHERE id = 5", CARINA_ERROR_FORMAT, "is not text");
    expect_refused_change("INSERT INTO sentence VALUES (24, 9, 'x', 1, '')", CARINA_ERROR_FORMAT, "no region");
    expect_refused_change("DELETE FROM embedding WHERE first = 4", CARINA_ERROR_FORMAT, "embeddings are missing");
    expect_refused_change("UPDATE embedding SET vectors = zeroblob(9) WHERE first = 4", CARINA_ERROR_FORMAT,
                          "wrong size or place");
    expect_refused_change("UPDATE embedding SET vectors = zeroblob(1280) WHERE first = 4", CARINA_ERROR_FORMAT,
                          "zero or not finite");
    expect_refused_change("UPDATE sentence SET seen = seen + 1 WHERE id = 7", CARINA_ERROR_FORMAT,
                          "checksum of region left hemidiaphragm");
    expect_refused_change("UPDATE sentence SET text = 'R sentence 0000015' WHERE id = 5", CARINA_ERROR_FORMAT,
                          "checksum");
    char path[700];
    carina_error error;
    snprintf(path, sizeof path, "%s", in_folder("other"));
    expect_refusal(path, NULL, CARINA_ERROR_IO, "No such file");
    expect_refusal(folder, NULL, CARINA_ERROR_IO, "");
    assert_int_equal(file_write(path, "", 0, &error), CARINA_OK);
    expect_refusal(path, NULL, CARINA_ERROR_FORMAT, "empty");
    static char text[20000];
    memset(text, 'x', sizeof text);
    assert_int_equal(file_write(path, text, sizeof text, &error), CARINA_OK);
    expect_refusal(path, NULL, CARINA_ERROR_FORMAT, "not a SQLite file");
}

/* Every part of the file is held against something: no byte changes what is read without being noticed. */
static void notices_flipped_bytes(void **state) {
    (void)state;
    char path[700];
    uint8_t *bytes;
    uint64_t size;
    carina_error error;
    sentence_index *good, *index;
    snprintf(path, sizeof path, "%s", in_folder("bytes.sentences"));
    write_small(path);
    assert_int_equal(file_read(path, 1u << 30, &bytes, &size, &error), CARINA_OK);
    assert_int_equal(index_file_parse(&good, "x", bytes, size, NULL, &error), CARINA_OK);
    int refused = 0;
    random_state random = random_seed(12);
    for (int i = 0; i < 400; i++) {
        uint64_t place = random_below(&random, size);
        uint8_t saved = bytes[place];
        bytes[place] ^= (uint8_t)(1 + random_below(&random, 255));
        if (index_file_parse(&index, "x", bytes, size, NULL, &error) == CARINA_OK) {
            for (int r = 0; r < 36;
                 r++) /* names of regions and properties have no checksum: a model's check finds them */
                assert_int_equal(sentence_index_region(index, r)->count, sentence_index_region(good, r)->count);
            sentence_index_free(index);
        } else {
            refused++;
        }
        bytes[place] = saved;
    }
    assert_true(refused > 20); /* most of a small file is room between the pages */
    for (uint64_t cut = 0; cut < size; cut += 1000) {
        if (index_file_parse(&index, "x", bytes, cut, NULL, &error) == CARINA_OK) fail_msg("cut to %d bytes", (int)cut);
    }
    sentence_index_free(good);
    free(bytes);
}

static void says_when_it_is_locked(void **state) {
    (void)state;
    char path[700];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s", in_folder("locked.sentences"));
    write_small(path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    expect_refusal(path, NULL, CARINA_ERROR_IO, "locked by another program");
    sqlite3_close(db);
    sentence_index *index;
    carina_error error;
    assert_int_equal(index_file_read(&index, path, NULL, &error), CARINA_OK);
    sentence_index_free(index);
}

static void is_not_replaced_while_it_is_written_to(void **state) {
    (void)state;
    char path[700];
    sqlite3 *db;
    carina_error error;
    snprintf(path, sizeof path, "%s", in_folder("busy.sentences"));
    write_small(path);
    assert_int_equal(index_file_check_target(path, &error), CARINA_OK);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(index_file_check_target(path, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "locked by another program"));
    sentence_index *index;
    assert_int_equal(index_file_read(&index, path, NULL, &error), CARINA_OK);
    assert_int_equal(index_file_write(path, index, &error), CARINA_ERROR_IO);
    sqlite3_close(db);
    assert_int_equal(index_file_write(path, index, &error), CARINA_OK);
    sentence_index_free(index);
}

static void copy_file(const char *from, const char *to) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    for (int c; (c = fgetc(in)) != EOF;) fputc(c, out);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* What a stopped writer left must not be read over the file that replaces its own. */
static void settles_what_was_left(void **state) {
    (void)state;
    char path[700], left[720], from[700], wal[720];
    sqlite3 *db;
    sentence_index *index;
    carina_error error;
    snprintf(from, sizeof from, "%s", in_folder("writing.sentences"));
    snprintf(wal, sizeof wal, "%s-wal", from);
    snprintf(path, sizeof path, "%s", in_folder("stopped.sentences"));
    snprintf(left, sizeof left, "%s-wal", path);
    write_small(from);
    assert_int_equal(index_file_read(&index, from, NULL, &error), CARINA_OK);
    assert_int_equal(sqlite3_open(from, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = wal; DELETE FROM sentence", NULL, NULL, NULL), SQLITE_OK);
    copy_file(from, path), copy_file(wal, left);
    sqlite3_close(db);
    if (index_file_write(path, index, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_false(file_exists(left));
    sentence_index *back;
    assert_int_equal(index_file_read(&back, path, NULL, &error), CARINA_OK);
    assert_int_equal(sentence_index_total(back), sentence_index_total(index));
    sentence_index_free(back);

    snprintf(left, sizeof left, "%s-journal", path); /* SQLite does not touch what is no journal of its own */
    copy_file(path, left);
    assert_int_equal(remove(path), 0);
    assert_int_equal(index_file_write(path, index, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "-journal: left by a program"));
    assert_int_equal(remove(left), 0);
    sentence_index_free(index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_most_similar),
        cmocka_unit_test(is_the_same_for_any_threads),
        cmocka_unit_test(breaks_ties_by_row),
        cmocka_unit_test(kernels_agree),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(comes_back_from_disk),
        cmocka_unit_test(tells_what_it_was_made_with),
        cmocka_unit_test(accepts_what_is_not_told),
        cmocka_unit_test(refuses_other_versions_and_damage),
        cmocka_unit_test(notices_flipped_bytes),
        cmocka_unit_test(says_when_it_is_locked),
        cmocka_unit_test(is_not_replaced_while_it_is_written_to),
        cmocka_unit_test(settles_what_was_left),
        cmocka_unit_test(has_a_fingerprint),
        cmocka_unit_test(ranks_by_the_prior),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
