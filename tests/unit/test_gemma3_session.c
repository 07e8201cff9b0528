/* Sequences taken token by token, in chunks and several at once, against PyTorch's logits of whole sequences and
 * against each other; forgetting, copying, and steps that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gemma3_fixture.h"
#include "model/gemma3_session.h"

#define TOKENS 19 /* of each of the fixture's two sequences: several windows of 5 */
#define CHUNK  8

typedef struct bench {
    gemma3 *model;
    gemma3_runner *runner;
    int64_t vocabulary, width;
    float *ids, *vectors, *logits; /* [2, TOKENS], .. */
    double scale;
} bench;

static bench start(const gemma3_fixture *f, thread_pool *pool, tensor_type type) {
    bench b = {.model = gemma3_fixture_load(f)};
    tensor_file file = gemma3_fixture_file(f, "expected");
    const gemma3_runner_options options = {.pool = pool, .type = type, .chunk = CHUNK, .tokens = 64};
    assert_int_equal(gemma3_runner_create(&b.runner, b.model, &options, NULL), CARINA_OK);
    b.vocabulary = b.model->config.vocabulary;
    b.width = b.model->config.width;
    b.ids = fixture_values(&file, "ids", 2 * TOKENS);
    b.vectors = fixture_values(&file, "vectors", 2 * TOKENS * b.width);
    b.logits = fixture_values(&file, "logits", 2 * TOKENS * b.vocabulary);
    b.scale = fixture_scale(b.logits, 2 * TOKENS * b.vocabulary);
    tensor_file_free(&file);
    return b;
}

static void finish(bench *b) {
    gemma3_runner_free(b->runner);
    gemma3_free(b->model);
    free(b->ids);
    free(b->vectors);
    free(b->logits);
}

static gemma3_session *new_session(const bench *b, tensor_type type) {
    gemma3_session *s;
    assert_int_equal(gemma3_session_create(&s, &b->model->config, type, 40, CHUNK, NULL), CARINA_OK);
    return s;
}

static gemma3_row row_of(const bench *b, gemma3_session *s, int sequence, int64_t token) {
    int64_t i = sequence * TOKENS + token;
    bool vector = b->ids[i] < 0;
    return (gemma3_row){s, vector ? -1 : (int64_t)b->ids[i], vector ? b->vectors + i * b->width : NULL, true, 0};
}

/* The next `count` tokens of one sequence; their logits are compared and kept in `out` unless that is NULL. */
static void take(bench *b, gemma3_session *s, int sequence, int64_t count, double tolerance, float *out) {
    gemma3_row rows[CHUNK];
    const float *logits;
    carina_error error;
    int64_t first = gemma3_session_length(s), at = (sequence * TOKENS + first) * b->vocabulary;
    for (int64_t i = 0; i < count; i++) rows[i] = row_of(b, s, sequence, first + i);
    if (gemma3_runner_step(b->runner, rows, count, &logits, &error) != CARINA_OK) fail_msg("%s", error.message);
    fixture_compare("logits", logits, b->logits + at, count * b->vocabulary, b->scale, tolerance);
    if (out) memcpy(out, logits, (size_t)(count * b->vocabulary) * sizeof *out);
    assert_int_equal(gemma3_session_length(s), first + count);
}

static void token_by_token_and_in_chunks(void **state) {
    (void)state;
    for (size_t f = 0; f < GEMMA3_FIXTURE_COUNT; f++)
        for (int type = 0; type < 2; type++) {
            bench b = start(&gemma3_fixtures[f], NULL, type ? TENSOR_BF16 : TENSOR_F32);
            double tolerance = type ? 4e-2 : 1e-5;
            for (int sequence = 0; sequence < 2; sequence++) {
                gemma3_session *one = new_session(&b, type ? TENSOR_BF16 : TENSOR_F32),
                               *chunks = new_session(&b, TENSOR_F32);
                for (int64_t i = 0; i < TOKENS; i++) take(&b, one, sequence, 1, tolerance, NULL);
                take(&b, chunks, sequence, 8, tolerance, NULL);
                take(&b, chunks, sequence, 8, tolerance, NULL);
                take(&b, chunks, sequence, 3, tolerance, NULL);
                gemma3_session_free(one);
                gemma3_session_free(chunks);
            }
            finish(&b);
        }
}

/* Three sessions in one step, at other lengths: each as by itself, for any number of threads. */
static void sessions_do_not_see_each_other(void **state) {
    (void)state;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 3, NULL), CARINA_OK);
    bench b = start(&gemma3_fixtures[0], pool, TENSOR_F32);
    gemma3_session *s[3] = {new_session(&b, TENSOR_F32), new_session(&b, TENSOR_F32), new_session(&b, TENSOR_F32)};
    const float *logits;
    take(&b, s[0], 0, 7, 1e-5, NULL);
    take(&b, s[1], 1, 3, 1e-5, NULL);
    const gemma3_row rows[7] = {row_of(&b, s[0], 0, 7), row_of(&b, s[0], 0, 8), row_of(&b, s[1], 1, 3),
                                row_of(&b, s[1], 1, 4), row_of(&b, s[1], 1, 5), row_of(&b, s[2], 0, 0),
                                row_of(&b, s[2], 0, 1)};
    static const int wanted[7][2] = {{0, 7}, {0, 8}, {1, 3}, {1, 4}, {1, 5}, {0, 0}, {0, 1}};
    assert_int_equal(gemma3_runner_step(b.runner, rows, 7, &logits, NULL), CARINA_OK);
    for (int i = 0; i < 7; i++)
        fixture_compare("logits", logits + i * b.vocabulary,
                        b.logits + (wanted[i][0] * TOKENS + wanted[i][1]) * b.vocabulary, b.vocabulary, b.scale, 1e-5);
    for (int i = 0; i < 3; i++) gemma3_session_free(s[i]);
    finish(&b);
    thread_pool_free(pool);
}

/* More context costs the global layers' keys and values alone: the others have a ring of their window and a chunk. */
static void local_layers_keep_their_window(void **state) {
    (void)state;
    gemma3 *m = gemma3_fixture_load(&gemma3_fixtures[0]);
    gemma3_config c = m->config;
    gemma3_free(m);
    uint64_t token = 2 * sizeof(float) * (uint64_t)c.key_heads * (uint64_t)c.head_width, global = 0;
    for (int i = 0; i < c.layers; i++) global += gemma3_is_global(&c, i);
    assert_true(global > 0 && global < (uint64_t)c.layers);
    uint64_t few = gemma3_session_needs(&c, TENSOR_F32, 1000, CHUNK);
    assert_int_equal(gemma3_session_needs(&c, TENSOR_F32, 9000, CHUNK) - few, 8000 * global * token);
    uint64_t ring = (uint64_t)(c.window + CHUNK) * token, local = (uint64_t)c.layers - global;
    assert_in_range(few - 1000 * global * token, local * (ring - token), 2 * local * ring);
}

static void only_wanted_logits_are_given(void **state) {
    (void)state;
    bench b = start(&gemma3_fixtures[1], NULL, TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32);
    gemma3_row rows[6];
    const float *logits;
    for (int i = 0; i < 6; i++) {
        rows[i] = row_of(&b, s, 0, i);
        rows[i].wants_logits = i == 2 || i == 5;
    }
    assert_int_equal(gemma3_runner_step(b.runner, rows, 6, &logits, NULL), CARINA_OK);
    fixture_compare("logits", logits, b.logits + 2 * b.vocabulary, b.vocabulary, b.scale, 1e-5);
    fixture_compare("logits", logits + b.vocabulary, b.logits + 5 * b.vocabulary, b.vocabulary, b.scale, 1e-5);
    rows[0].wants_logits = false;
    rows[0] = row_of(&b, s, 0, 6);
    rows[0].wants_logits = false;
    assert_int_equal(gemma3_runner_step(b.runner, rows, 1, &logits, NULL), CARINA_OK);
    assert_null(logits);
    gemma3_session_free(s);
    finish(&b);
}

static void beginnings_are_shared_and_ends_forgotten(void **state) {
    (void)state;
    bench b = start(&gemma3_fixtures[0], NULL, TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32), *copy;
    float first[61], again[61];
    take(&b, s, 0, 8, 1e-5, NULL);
    take(&b, s, 0, 2, 1e-5, NULL);
    assert_int_equal(gemma3_session_copy(&copy, s, NULL), CARINA_OK);
    take(&b, s, 0, 1, 1e-5, first);
    take(&b, copy, 0, 1, 1e-5, again);
    assert_memory_equal(first, again, sizeof first);
    for (int i = 0; i < 3; i++) take(&b, s, 0, 1, 1e-5, NULL);
    assert_true(gemma3_session_rewind(s, 10));
    take(&b, s, 0, 1, 1e-5, again);
    assert_memory_equal(first, again, sizeof first);
    /* 19 tokens seen, 14 kept by local layers, of which 5 are needed in front. */
    for (int i = 0; i < 8; i++) take(&b, s, 0, 1, 1e-5, NULL);
    assert_false(gemma3_session_rewind(s, 8));
    assert_true(gemma3_session_rewind(s, 9));
    take(&b, s, 0, 8, 1e-5, NULL);
    assert_false(gemma3_session_rewind(s, 100));
    assert_true(gemma3_session_bytes(s) > 0);
    assert_int_equal(gemma3_session_bytes(s), gemma3_session_needs(&b.model->config, TENSOR_F32, 40, CHUNK));
    assert_int_equal(gemma3_session_bytes(s), 2 * gemma3_session_needs(&b.model->config, TENSOR_BF16, 40, CHUNK));
    assert_true(gemma3_session_can_rewind(s, gemma3_session_length(s)));
    assert_false(gemma3_session_can_rewind(s, gemma3_session_length(s) + 1));
    gemma3_session_free(s);
    gemma3_session_free(copy);
    finish(&b);
}

/* Tokens up to `end`, in chunks, of which the last one's logits are wanted (copied to out [61]); promised: each row
 * says how many follow. */
static void read_on(bench *b, gemma3_session *s, int64_t end, int64_t chunk, bool promised, float *out) {
    const float *logits = NULL;
    while (gemma3_session_length(s) < end) {
        int64_t first = gemma3_session_length(s), count = end - first < chunk ? end - first : chunk;
        gemma3_row rows[CHUNK];
        for (int64_t i = 0; i < count; i++)
            rows[i] =
                (gemma3_row){s, (first + i) * 7 % 61, NULL, first + i == end - 1, promised ? end - 1 - first - i : 0};
        assert_int_equal(gemma3_runner_step(b->runner, rows, count, &logits, NULL), CARINA_OK);
    }
    memcpy(out, logits, 61 * sizeof *out);
}

/* Random shapes, ends, goings back and copies: what rows promise each other changes no bit, and what can be gone back
 * to is what can be gone back to without. */
static void promises_change_no_bit(void **state) {
    (void)state;
    enum { ROOM = 40, WORDS = 61 };
    random_state random = random_seed(9);
    for (int shape = 0; shape < 60; shape++) {
        gemma3_config c = tied_config();
        c.layers = 1 + (int)random_below(&random, 6);
        c.global_every = 1 + (int)random_below(&random, 7);
        c.window = 1 + (int)random_below(&random, 5);
        int chunk = 1 + (int)random_below(&random, CHUNK);
        const gemma3_runner_options options = {.type = TENSOR_F32, .chunk = chunk, .tokens = ROOM};
        bench b = {0};
        gemma3_session *s, *plain, *copy;
        assert_int_equal(gemma3_create(&b.model, &c, (uint64_t)shape, NULL), CARINA_OK);
        assert_int_equal(gemma3_runner_create(&b.runner, b.model, &options, NULL), CARINA_OK);
        assert_int_equal(gemma3_session_create(&s, &c, TENSOR_F32, ROOM, chunk, NULL), CARINA_OK);
        assert_int_equal(gemma3_session_create(&plain, &c, TENSOR_F32, ROOM, chunk, NULL), CARINA_OK);
        for (int text = 0; text < 12; text++) {
            float expected[WORDS], got[WORDS];
            int64_t length = gemma3_session_length(s), back = (int64_t)random_below(&random, (uint64_t)length + 1);
            assert_true(gemma3_session_is_whole(s));
            for (int64_t i = 0; i <= length; i++)
                assert_int_equal(gemma3_session_can_rewind(s, i), gemma3_session_can_rewind(plain, i));
            if (!gemma3_session_can_rewind(s, back)) back = length;
            if (back == ROOM) back = 0;
            assert_true(gemma3_session_rewind(s, back) && gemma3_session_rewind(plain, back));
            if (random_below(&random, 3) == 0) {
                assert_int_equal(gemma3_session_copy(&copy, s, NULL), CARINA_OK);
                gemma3_session_free(s);
                s = copy;
            }
            int64_t end = back + 1 + (int64_t)random_below(&random, (uint64_t)(ROOM - back));
            read_on(&b, plain, end, chunk, false, expected);
            read_on(&b, s, end, chunk, true, got);
            assert_memory_equal(got, expected, sizeof expected);
        }
        gemma3_session_free(s);
        gemma3_session_free(plain);
        finish(&b);
    }
}

/* 14 tokens are kept, 5 are needed: what was written over the oldest ones stays written when it is forgotten. */
static void what_was_gone_back_from_is_not_taken_for_older(void **state) {
    (void)state;
    bench b = start(&gemma3_fixtures[0], NULL, TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32), *copy;
    float expected[61], got[61];
    read_on(&b, s, 32, CHUNK, false, expected);
    read_on(&b, s, 40, CHUNK, false, got);
    assert_true(gemma3_session_rewind(s, 34));
    assert_int_equal(gemma3_session_copy(&copy, s, NULL), CARINA_OK);
    gemma3_session *both[] = {s, copy};
    for (int i = 0; i < 2; i++) {
        assert_false(gemma3_session_can_rewind(both[i], 29));
        read_on(&b, both[i], 36, CHUNK, false, got);
        assert_false(gemma3_session_can_rewind(both[i], 29));
        assert_true(gemma3_session_rewind(both[i], 31)); /* its window begins with 27 */
        read_on(&b, both[i], 32, CHUNK, false, got);
        assert_memory_equal(got, expected, sizeof expected);
        assert_false(gemma3_session_can_rewind(both[i], 29));
        assert_true(gemma3_session_rewind(both[i], 0));
        read_on(&b, both[i], 32, CHUNK, false, got);
        assert_memory_equal(got, expected, sizeof expected);
        gemma3_session_free(both[i]);
    }
    finish(&b);
}

static void refuse(bench *b, const gemma3_row *rows, int64_t count, const char *message) {
    carina_error error;
    const float *logits;
    int64_t length = gemma3_session_length(rows[0].session);
    assert_true(gemma3_runner_step(b->runner, rows, count, &logits, &error) != CARINA_OK);
    if (!strstr(error.message, message)) fail_msg("%s", error.message);
    assert_null(logits);
    assert_int_equal(gemma3_session_length(rows[0].session), length);
}

static bool has_keys_of(gemma3_session *s, int layer, int64_t position) {
    const key_cache *c = &gemma3_session_open(s).layers[layer];
    const float *row = (const float *)c->keys + position % c->capacity * c->width;
    for (int64_t i = 0; i < c->width; i++)
        if (row[i] != 0) return true;
    return false;
}

/* Layers 3 and 4 are behind the last global one, and keep 14 tokens: of 34, layer 4's keys are for somebody from 20 on,
 * and layer 3's, for those in its window of 5, from 16 on. */
static void keys_that_nobody_asks_for_are_not_made(void **state) {
    (void)state;
    bench b = start(&gemma3_fixtures[0], NULL, TENSOR_F32);
    gemma3_session *plain = new_session(&b, TENSOR_F32), *s = new_session(&b, TENSOR_F32), *copy;
    gemma3_row row = {s, 0, NULL, false, 33};
    const float *logits;
    float expected[61], got[61];
    for (; row.id < 9; row.id++, row.more--)
        assert_int_equal(
            gemma3_runner_step(b.runner, &(gemma3_row){s, row.id * 7, NULL, false, row.more}, 1, &logits, NULL),
            CARINA_OK);
    for (int layer = 0; layer < 5; layer++) assert_int_equal(has_keys_of(s, layer, 8), layer <= 2);
    assert_false(gemma3_session_can_rewind(s, 9));
    assert_false(gemma3_session_can_rewind(s, 3));
    refuse(&b, (gemma3_row[]){{s, 1, NULL, true, 0}}, 1, "what was to follow on earlier rows");
    refuse(&b, (gemma3_row[]){{s, 1, NULL, false, 0}}, 1, "what was to follow on earlier rows");
    refuse(&b, (gemma3_row[]){{s, 1, NULL, false, -1}}, 1, "row 9: -1 more rows than it are not within 0 to 30");
    refuse(&b, (gemma3_row[]){{s, 1, NULL, false, 31}}, 1, "row 9: 31 more rows than it are not within 0 to 30");
    /* Nor is it there for a row of the same step. */
    refuse(&b, (gemma3_row[]){{s, 1, NULL, false, 24}, {s, 2, NULL, false, 23}, {s, 3, NULL, true, 0}}, 3,
           "row 11: what was to follow on earlier rows");
    read_on(&b, plain, 34, CHUNK, false, expected);
    read_on(&b, s, 34, CHUNK, true, got);
    assert_memory_equal(got, expected, sizeof expected);
    /* All that could be gone back to still can, and a copy is as good. */
    for (int64_t length = 0; length <= 34; length++)
        assert_int_equal(gemma3_session_can_rewind(s, length), gemma3_session_can_rewind(plain, length));
    assert_int_equal(gemma3_session_copy(&copy, s, NULL), CARINA_OK);
    assert_true(gemma3_session_rewind(s, 25) && gemma3_session_rewind(copy, 25) && gemma3_session_rewind(plain, 25));
    read_on(&b, plain, 40, CHUNK, false, expected);
    read_on(&b, s, 40, CHUNK, true, got);
    assert_memory_equal(got, expected, sizeof expected);
    read_on(&b, copy, 40, CHUNK, false, got);
    assert_memory_equal(got, expected, sizeof expected);
    /* From the start a broken promise is forgotten. */
    assert_true(gemma3_session_rewind(s, 0) && gemma3_session_rewind(plain, 0));
    assert_int_equal(gemma3_runner_step(b.runner, &(gemma3_row){s, 7, NULL, false, 39}, 1, &logits, NULL), CARINA_OK);
    assert_true(gemma3_session_rewind(s, 0));
    read_on(&b, plain, 10, CHUNK, false, expected);
    read_on(&b, s, 10, CHUNK, false, got);
    assert_memory_equal(got, expected, sizeof expected);
    gemma3_session_free(plain);
    gemma3_session_free(copy);
    gemma3_session_free(s);
    finish(&b);
}

static void steps_that_cannot_be(void **state) {
    (void)state;
    bench b = start(&gemma3_fixtures[0], NULL, TENSOR_F32), other = start(&gemma3_fixtures[1], NULL, TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32), *small, *foreign = new_session(&other, TENSOR_F32);
    carina_error error;
    assert_int_equal(gemma3_session_create(&small, &b.model->config, TENSOR_F32, 2, CHUNK, NULL), CARINA_OK);
    gemma3_row rows[CHUNK + 1];
    for (int i = 0; i <= CHUNK; i++) rows[i] = (gemma3_row){small, i, NULL, true, 0};
    refuse(&b, rows, CHUNK + 1, "9 rows in a step: 1 to 8");
    refuse(&b, rows, 0, "0 rows in a step");
    refuse(&b, rows, 3, "the context is full: 2 tokens");
    refuse(&b, (gemma3_row[]){{s, 61, NULL, true, 0}}, 1, "token 61 is not within 0 to 60");
    refuse(&b, (gemma3_row[]){{s, -1, NULL, true, 0}}, 1, "token -1 is not within");
    refuse(&b, (gemma3_row[]){{s, 1, NULL, true, 0}, {small, 1, NULL, true, 0}, {s, 2, NULL, true, 0}}, 3,
           "do not stand together");
    refuse(&b, (gemma3_row[]){{foreign, 1, NULL, true, 0}}, 1, "made for another model");
    assert_true(gemma3_session_create(&small, &b.model->config, TENSOR_F32, 0, 1, &error) != CARINA_OK);
    gemma3_session_free(s);
    gemma3_session_free(rows[0].session);
    gemma3_session_free(foreign);
    finish(&b);
    finish(&other);
}

/* Logits [rows, 61] of tokens 0, 7, 14 .. by the graph that knows no sessions. */
static float *whole_logits(const gemma3 *m, int64_t rows) {
    graph *g;
    const graph_options options = {.type = TENSOR_F32};
    int64_t size[2] = {1, rows};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    tensor *in = graph_input(g, "ids", 2, size);
    tensor *out = gemma3_record_logits(g, m, gemma3_record_body(g, m, in, NULL, NULL));
    graph_output(g, out);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    for (int64_t i = 0; i < rows; i++) tensor_data(in)[i] = (float)(i * 7 % 61);
    graph_forward(g);
    float *copy = malloc((size_t)(rows * 61) * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, tensor_data(out), (size_t)(rows * 61) * sizeof *copy);
    graph_free(g);
    return copy;
}

#define FAR 1030 /* positions: a few behind the first block of angles */

/* Angles are made as positions are reached: the largest context costs nothing beforehand, and a row behind the first
 * block is what it is in the graph of whole sequences. */
static void angles_come_when_they_are_reached(void **state) {
    (void)state;
    gemma3 *m = gemma3_fixture_load(&gemma3_fixtures[0]);
    gemma3_runner_options options = {.type = TENSOR_F32, .chunk = 64, .tokens = 1 << 24};
    gemma3_runner *r;
    gemma3_session *s;
    gemma3_row rows[64];
    const float *logits = NULL;
    uint64_t block = 1024 * 2 * 8 * sizeof(float), all;
    assert_int_equal(gemma3_runner_create(&r, m, &options, NULL), CARINA_OK);
    assert_int_equal(gemma3_session_create(&s, &m->config, TENSOR_F32, FAR, 64, NULL), CARINA_OK);
    all = gemma3_runner_needs(&m->config, &options);
    assert_true(all > (uint64_t)options.tokens * (2 * 8 + (uint64_t)(m->config.heads / m->config.key_heads) * 8) * 4);
    assert_int_equal(gemma3_runner_grows(r), all);
    assert_int_equal(gemma3_session_grows(s), gemma3_session_bytes(s));
    for (int at = 0; at < FAR; at += 64) {
        int count = FAR - at < 64 ? FAR - at : 64;
        for (int i = 0; i < count; i++) rows[i] = (gemma3_row){s, (at + i) * 7 % 61, NULL, at + i == FAR - 1, 0};
        assert_int_equal(gemma3_runner_step(r, rows, count, &logits, NULL), CARINA_OK);
        assert_int_equal(gemma3_runner_grows(r), all - (at + count > 1024 ? 2 : 1) * block);
    }
    float *expected = whole_logits(m, FAR);
    assert_int_equal(gemma3_session_grows(s), 0);
    gemma3_session_rewind(s, FAR - 1); /* of one token every layer's row */
    assert_in_range(gemma3_session_grows(s), 1, gemma3_session_bytes(s) / FAR);
    gemma3_session_settle(s);
    assert_int_equal(gemma3_session_grows(s), 0);
    fixture_compare("logits", logits, expected + (FAR - 1) * 61, 61, fixture_scale(expected, FAR * 61), 1e-5);
    free(expected);
    gemma3_session_free(s);
    gemma3_runner_free(r);
    options.tokens = (1 << 24) + 1;
    assert_int_equal(gemma3_runner_create(&r, m, &options, NULL), CARINA_ERROR_ARGUMENT);
    options.tokens = 1025; /* the last block is cut short */
    assert_int_equal(gemma3_runner_create(&r, m, &options, NULL), CARINA_OK);
    all = op_cached_attention_scratch(m->config.heads / m->config.key_heads, 8, 1025);
    assert_int_equal(gemma3_runner_grows(r), 1025 * 2 * 8 * sizeof(float) + all);
    gemma3_runner_free(r);
    gemma3_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_by_token_and_in_chunks),
        cmocka_unit_test(sessions_do_not_see_each_other),
        cmocka_unit_test(only_wanted_logits_are_given),
        cmocka_unit_test(beginnings_are_shared_and_ends_forgotten),
        cmocka_unit_test(local_layers_keep_their_window),
        cmocka_unit_test(steps_that_cannot_be),
        cmocka_unit_test(angles_come_when_they_are_reached),
        cmocka_unit_test(keys_that_nobody_asks_for_are_not_made),
        cmocka_unit_test(what_was_gone_back_from_is_not_taken_for_older),
        cmocka_unit_test(promises_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
