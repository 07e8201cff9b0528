/* Generation: against tokens drawn by hand, alone and in batches, with and without known beginnings; how texts end,
 * grammars, streams, full contexts, and requests that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "language_fixture.h"
#include "model/gemma3_session.h"
#include "pipeline/generate.h"
#include "text/grammar_answers.h"

static carina_error error;
#include "assert_ok.h"

#define ROOM 400

static language_model *packed, *plain;
static int vocabulary;

/* The fixture's model, packed as the loader would. */
static language_model *make(bool pack) {
    language_model *m;
    char folder[300], command[400];
    snprintf(folder, sizeof folder, "%s/generate-XXXXXX", TEST_TMP);
    assert_non_null(mkdtemp(folder));
    bpe *tokenizer = language_fixture_tokenizer();
    gemma3 *model = language_fixture_model(tokenizer);
    language_fixture_write(folder, tokenizer, model);
    const language_model_options options = {.weights = pack ? LANGUAGE_MODEL_Q8 : LANGUAGE_MODEL_AS_STORED};
    assert_ok(language_model_load(&m, folder, &options, &error));
    vocabulary = m->model->config.vocabulary;
    gemma3_free(model);
    bpe_free(tokenizer);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
    return m;
}

static int set_up(void **state) {
    (void)state;
    packed = make(true);
    plain = make(false);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    language_model_free(packed);
    language_model_free(plain);
    return 0;
}

/* What a request gave. */
typedef struct heard {
    char text[4 * ROOM];
    uint64_t size;
    int ids[ROOM];
    float log_probability[ROOM];
    int alternatives; /* of the last draw */
    int count, text_calls;
    int stop_after; /* tokens; 0: never */
} heard;

static bool hear_text(void *context, const char *text, uint64_t size) {
    heard *h = context;
    assert_true(h->size + size < sizeof h->text);
    memcpy(h->text + h->size, text, (size_t)size);
    h->text[h->size += size] = 0;
    h->text_calls++;
    return true;
}

static bool hear_token(void *context, const sampler_draw *draw) {
    heard *h = context;
    h->ids[h->count] = draw->token;
    h->alternatives = draw->alternative_count;
    h->log_probability[h->count++] = draw->log_probability;
    return h->count != h->stop_after;
}

typedef struct prompt {
    generate_row rows[ROOM];
    int64_t count;
} prompt;

static prompt prompt_of(const language_model *m, const char *text) {
    prompt p = {0};
    bpe_encoder *encoder;
    const int32_t *ids;
    uint64_t count;
    assert_ok(bpe_encoder_create(&encoder, m->tokenizer, &error));
    assert_ok(bpe_encode(encoder, text, strlen(text), true, &ids, &count, &error));
    for (uint64_t i = 0; i < count; i++) p.rows[p.count++].id = ids[i];
    bpe_encoder_free(encoder);
    return p;
}

static const int no_ends[1];

static generate_request request_of(const prompt *p, heard *h, int64_t tokens) {
    generate_request r = generate_request_defaults();
    *h = (heard){.stop_after = h->stop_after};
    r.prompt = p->rows;
    r.prompt_count = p->count;
    r.max_tokens = tokens;
    r.ends = no_ends;
    r.on_text = hear_text;
    r.on_token = hear_token;
    r.context = h;
    return r;
}

static generator *generator_of(language_model *m, int64_t context, int64_t chunk, int sequences, thread_pool *pool) {
    generator *g;
    generator_options o = generator_defaults();
    o.context = context;
    o.chunk = chunk;
    o.sequences = sequences;
    o.pool = pool;
    assert_ok(generator_create(&g, m, &o, &error));
    return g;
}

static generate_result run(generator *g, const generate_request *r) {
    generate_result result;
    assert_ok(generator_run(g, r, 1, &result, &error));
    if (result.end == GENERATE_FAILED) fail_msg("%s", result.error.message);
    return result;
}

/* The likeliest tokens, one at a time, without a generator. */
static void by_hand_with(const language_model *m, const lora *adapter, const prompt *p, int tokens, int *out) {
    gemma3_runner *runner;
    gemma3_session *session;
    const float *logits = NULL;
    const gemma3_runner_options options = {.type = TENSOR_F32, .chunk = 1, .tokens = ROOM};
    assert_ok(gemma3_runner_create(&runner, m->model, &options, &error));
    assert_ok(
        gemma3_session_create(&session, &m->model->config, m->packed ? TENSOR_BF16 : TENSOR_F32, ROOM, 1, &error));
    assert_ok(gemma3_session_adapt(session, adapter, &error));
    for (int64_t i = 0; i < p->count; i++)
        assert_ok(gemma3_runner_step(runner, &(gemma3_row){session, p->rows[i].id, p->rows[i].vector, true, 0}, 1,
                                     &logits, &error));
    for (int i = 0; i < tokens; i++) {
        int best = 0;
        for (int id = 1; id < bpe_count(m->tokenizer); id++)
            if (logits[id] > logits[best]) best = id;
        out[i] = best;
        assert_ok(gemma3_runner_step(runner, &(gemma3_row){session, best, NULL, true, 0}, 1, &logits, &error));
    }
    gemma3_session_free(session);
    gemma3_runner_free(runner);
}

static void by_hand(const language_model *m, const prompt *p, int tokens, int *out) {
    by_hand_with(m, NULL, p, tokens, out);
}

static const char *const texts[] = {"The heart is of normal size",
                                    "No pleural",
                                    ("There is a small pleural effusion on the left side. The heart is large; the "
                                     "lungs are not clear. There is a small pleural effusion on the left side."),
                                    "x",
                                    "yes no yes",
                                    "The lungs are clear.",
                                    "\xf0\x9f\xab\x81 \xc2\xa3",
                                    "{\"finding\": \"effusion\"}"};
#define TEXTS 8

static void alone_as_by_hand(void **state) {
    (void)state;
    for (int m = 0; m < 2; m++)
        for (int i = 0; i < TEXTS; i++) {
            language_model *model = m ? packed : plain;
            int wanted[30];
            heard h = {0};
            prompt p = prompt_of(model, texts[i]);
            generate_request r = request_of(&p, &h, 30);
            generator *g = generator_of(model, 200, 8, 1, NULL);
            generate_result result = run(g, &r);
            by_hand(model, &p, 30, wanted);
            assert_int_equal(result.end, GENERATE_MAX_TOKENS);
            assert_int_equal(result.tokens, 30);
            assert_int_equal(h.count, 30);
            assert_memory_equal(h.ids, wanted, sizeof wanted);
            generator_free(g);
        }
}

/* Packed weights: the same bits of every log-probability, whoever else is there, in chunks of any size, by any number
 * of threads. Sequences join one by one while others write. */
static void check_batches(language_model *m) {
    static heard alone[TEXTS], together[TEXTS];
    prompt p[TEXTS];
    generate_request r;
    for (int i = 0; i < TEXTS; i++) {
        generator *g = generator_of(m, 200, 64, 1, NULL);
        p[i] = prompt_of(m, texts[i]);
        r = request_of(&p[i], &alone[i], 10 + 3 * i);
        run(g, &r);
        generator_free(g);
    }
    for (int threads = 1; threads <= 3; threads += 2) {
        thread_pool *pool;
        int running = 0, sequence[TEXTS];
        assert_ok(thread_pool_create(&pool, threads, &error));
        generator *g = generator_of(m, 200, threads == 1 ? 9 : 32, TEXTS, pool);
        for (int i = 0; i < TEXTS; i++) {
            r = request_of(&p[i], &together[i], 10 + 3 * i);
            assert_ok(generator_start(g, &r, &sequence[i], &error));
            assert_ok(generator_step(g, &running, &error));
        }
        while (running) assert_ok(generator_step(g, &running, &error));
        for (int i = 0; i < TEXTS; i++) {
            assert_int_equal(generator_result(g, sequence[i])->end, GENERATE_MAX_TOKENS);
            assert_int_equal(together[i].count, 10 + 3 * i);
            assert_memory_equal(together[i].ids, alone[i].ids, sizeof alone[i].ids);
            assert_memory_equal(together[i].log_probability, alone[i].log_probability, sizeof alone[i].log_probability);
            assert_string_equal(together[i].text, alone[i].text);
            generator_release(g, sequence[i]);
        }
        generator_free(g);
        thread_pool_free(pool);
    }
}
static void batches_do_not_matter(void **state) {
    (void)state;
    check_batches(packed);
    check_batches(plain);
}

/* More requests than places; one of them is refused, the others go on. */
static void more_requests_than_places(void **state) {
    (void)state;
    static heard h[TEXTS];
    prompt p[TEXTS];
    generate_request r[TEXTS];
    generate_result results[TEXTS];
    generator *g = generator_of(packed, 200, 16, 3, NULL);
    for (int i = 0; i < TEXTS; i++) {
        p[i] = prompt_of(packed, texts[i]);
        r[i] = request_of(&p[i], &h[i], 4 + i);
    }
    r[4].prompt_count = 0;
    assert_ok(generator_run(g, r, TEXTS, results, &error));
    for (int i = 0; i < TEXTS; i++) {
        assert_int_equal(results[i].end, i == 4 ? GENERATE_FAILED : GENERATE_MAX_TOKENS);
        assert_int_equal(h[i].count, i == 4 ? 0 : 4 + i);
        int wanted[ROOM];
        if (i != 4) by_hand(packed, &p[i], 4 + i, wanted);
        assert_memory_equal(h[i].ids, wanted, (size_t)h[i].count * sizeof *wanted);
    }
    assert_string_equal(results[4].error.message, "the prompt is empty");
    generator_free(g);
}

static void continue_with(prompt *p, const int *ids, int count) {
    for (int i = 0; i < count; i++) p->rows[p->count++] = (generate_row){.id = ids[i]};
}

/* A second turn, another question behind the same beginning, and one that lies further back than windows remember. */
static void beginnings_are_known(void **state) {
    (void)state;
    heard h = {0}, first = {0};
    int wanted[12];
    generator *g = generator_of(packed, 200, 8, 2, NULL);
    prompt film = prompt_of(packed, texts[2]), p = film;
    generate_request r = request_of(&p, &first, 12);
    assert_int_equal(run(g, &r).reused, 0);

    /* The last token was drawn, but never fed. */
    continue_with(&p, first.ids, 12);
    continue_with(&p, (const int[]){300, 301, 302}, 3);
    r = request_of(&p, &h, 12);
    assert_int_equal(run(g, &r).reused, film.count + 11);
    by_hand(packed, &p, 12, wanted);
    assert_memory_equal(h.ids, wanted, sizeof wanted);

    /* 26 rows behind this one, and windows remember chunks of 8. */
    p = film;
    continue_with(&p, (const int[]){310, 311}, 2);
    r = request_of(&p, &h, 12);
    assert_int_equal(run(g, &r).reused, 0);
    by_hand(packed, &p, 12, wanted);
    assert_memory_equal(h.ids, wanted, sizeof wanted);

    /* What has just been said of it is forgotten: two tokens of the question and five of the answer. */
    r = request_of(&p, &h, 6);
    assert_int_equal(run(g, &r).reused, 0); /* 13 rows back */
    p = film;
    continue_with(&p, (const int[]){320}, 1);
    r = request_of(&p, &h, 12);
    assert_int_equal(run(g, &r).reused, film.count);
    by_hand(packed, &p, 12, wanted);
    assert_memory_equal(h.ids, wanted, sizeof wanted);
    generator_free(g);
}

/* Prompts of a batch that begin alike: the first one reads the beginning, the others wait and copy it. */
static void beginnings_are_shared_while_they_run(void **state) {
    (void)state;
    static heard h[4];
    prompt p[4];
    generate_request r[4];
    generate_result results[4];
    generator *g = generator_of(packed, 200, 8, 4, NULL);
    prompt film = prompt_of(packed, texts[2]);
    for (int i = 0; i < 4; i++) {
        p[i] = film;
        continue_with(&p[i], (const int[]){300 + i, 310, 290 + 2 * i}, 3);
        if (i == 3) p[i].rows[film.count - 20].id = 280;
        r[i] = request_of(&p[i], &h[i], 15);
    }
    assert_ok(generator_run(g, r, 4, results, &error));
    for (int i = 0; i < 4; i++) {
        int wanted[15];
        assert_int_equal(results[i].reused, i == 0 ? 0 : i == 3 ? film.count - 20 : film.count);
        by_hand(packed, &p[i], 15, wanted);
        assert_memory_equal(h[i].ids, wanted, sizeof wanted);
    }
    generator_free(g);
}

/* Of a long prompt that is read alone the last layers leave out what nobody asks for: cancelled in the middle it is of
 * no use, and who comes in the middle waits for its end, if it can be gone back to from there. */
static void long_prompts_are_read_whole(void **state) {
    (void)state;
    heard h[3] = {0};
    int wanted[12], place[3], running;
    generator *g = generator_of(packed, 200, 8, 2, NULL);
    prompt film = prompt_of(packed, texts[2]), p = film, other = film;
    continue_with(&p, (const int[]){300, 301}, 2);
    other.rows[film.count - 20].id = 280;
    generate_request r[3] = {request_of(&film, &h[0], 12), request_of(&p, &h[1], 12), request_of(&other, &h[2], 12)};
    assert_true(film.count > packed->model->config.window + 16);
    for (int steps = 1; steps < 4; steps++) {
        assert_ok(generator_start(g, &r[0], &place[0], &error));
        for (int i = 0; i < steps; i++) assert_ok(generator_step(g, &running, &error));
        generator_release(g, place[0]);
    }
    assert_int_equal(run(g, &r[0]).reused, 0);
    by_hand(packed, &film, 12, wanted);
    assert_memory_equal(h[0].ids, wanted, sizeof wanted);
    generator_free(g);
    g = generator_of(packed, 200, 8, 3, NULL);
    h[0] = (heard){0};
    for (int i = 0; i < 3; i++) {
        assert_ok(generator_start(g, &r[i], &place[i], &error));
        assert_ok(generator_step(g, &running, &error));
    }
    while (running) assert_ok(generator_step(g, &running, &error));
    assert_int_equal(generator_result(g, place[1])->reused, film.count);
    assert_int_equal(generator_result(g, place[2])->reused, 0);
    assert_memory_equal(h[0].ids, wanted, sizeof wanted);
    by_hand(packed, &p, 12, wanted);
    assert_memory_equal(h[1].ids, wanted, sizeof wanted);
    by_hand(packed, &other, 12, wanted);
    assert_memory_equal(h[2].ids, wanted, sizeof wanted);
    generator_free(g);
}

#define ADAPTED 4

/* One text by two adapters and by none, at once and again: each says what it says alone, and begins with nothing but
 * its own. */
static void adapters_share_nothing(void **state) {
    (void)state;
    static heard h[ADAPTED];
    lora *adapters[2] = {language_fixture_adapter(&packed->model->config, 5),
                         language_fixture_adapter(&packed->model->config, 6)};
    const lora *of[ADAPTED] = {NULL, adapters[0], adapters[1], adapters[0]};
    generate_request r[ADAPTED];
    generate_result results[ADAPTED];
    generator *g = generator_of(packed, 200, 8, ADAPTED, NULL);
    prompt p = prompt_of(packed, texts[2]);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ADAPTED; i++) {
            r[i] = request_of(&p, &h[i], 6);
            r[i].adapter = of[i];
        }
        assert_ok(generator_run(g, r, ADAPTED, results, &error));
        for (int i = 0; i < ADAPTED; i++) {
            int wanted[6];
            by_hand_with(packed, of[i], &p, 6, wanted);
            assert_int_equal(results[i].reused, round == 0 && i < 3 ? 0 : p.count - 1);
            assert_memory_equal(h[i].ids, wanted, sizeof wanted);
        }
        assert_true(h[0].ids[0] != h[1].ids[0] || memcmp(h[0].ids, h[2].ids, sizeof h[0].ids) != 0);
    }
    generator_free(g);
    for (int i = 0; i < 2; i++) lora_free(adapters[i]);
}

/* A kept session goes on with an adapter of the same values; the one that it was kept with is gone. */
static void adapters_are_known_by_their_values(void **state) {
    (void)state;
    heard h;
    int wanted[6];
    generator *g = generator_of(packed, 200, 8, 1, NULL);
    prompt p = prompt_of(packed, texts[0]);
    for (int i = 0; i < 3; i++) {
        lora *adapter = language_fixture_adapter(&packed->model->config, i == 2 ? 6 : 5);
        generate_request r = request_of(&p, &h, 6);
        r.adapter = adapter;
        assert_int_equal(run(g, &r).reused, i == 1 ? p.count - 1 : 0);
        by_hand_with(packed, adapter, &p, 6, wanted);
        assert_memory_equal(h.ids, wanted, sizeof wanted);
        lora_free(adapter);
    }
    gemma3_config other = packed->model->config;
    other.layers--;
    lora *adapter = language_fixture_adapter(&other, 5);
    generate_request r = request_of(&p, &h, 6);
    generate_result result;
    r.adapter = adapter;
    assert_ok(generator_run(g, &r, 1, &result, &error));
    assert_int_equal(result.end, GENERATE_FAILED);
    assert_non_null(strstr(result.error.message, "the adapter is for a model of 2 layers"));
    lora_free(adapter);
    generator_free(g);
}

/* Vectors stand between tokens; they are known again by what they hold, not by where they lie. */
static void vectors_in_prompts(void **state) {
    (void)state;
    static float image[2][6][64];
    heard h = {0};
    int wanted[10];
    random_state random = random_seed(3);
    for (int i = 0; i < 6 * 64; i++) image[0][i / 64][i % 64] = (float)random_normal(&random);
    memcpy(image[1], image[0], sizeof image[0]);
    generator *g = generator_of(packed, 200, 16, 2, NULL);
    for (int round = 0; round < 3; round++) {
        prompt p = prompt_of(packed, "The heart");
        int64_t begin = p.count;
        if (round == 2) image[1][4][7] += 1;
        for (int i = 0; i < 6; i++) p.rows[p.count++] = (generate_row){-1, image[round > 0][i]};
        continue_with(&p, (const int[]){290, 300}, 2);
        generate_request r = request_of(&p, &h, 10);
        int64_t reused = run(g, &r).reused;
        assert_int_equal(reused, round == 0 ? 0 : round == 1 ? p.count - 1 : begin + 4);
        by_hand(packed, &p, 10, wanted);
        assert_memory_equal(h.ids, wanted, sizeof wanted);
    }
    generator_free(g);
}

/* Where five bytes of ASCII begin: what a random model says is not always UTF-8, and then not said as it was drawn. */
static uint64_t five_plain_bytes(const heard *h) {
    uint64_t at = 5, run = 0;
    for (; at < h->size && run < 5; at++) run = (uint8_t)h->text[at] < 0x80 ? run + 1 : 0;
    assert_int_equal(run, 5);
    return at - 5;
}

static void how_texts_end(void **state) {
    (void)state;
    heard h = {0}, all = {0};
    generator *g = generator_of(packed, 200, 16, 2, NULL);
    prompt p = prompt_of(packed, texts[0]);
    generate_request r = request_of(&p, &all, 20);
    run(g, &r);
    assert_true(all.size > 12);

    const int ends[] = {9999, all.ids[5]};
    r = request_of(&p, &h, 20);
    r.ends = ends;
    r.end_count = 2;
    generate_result result = run(g, &r);
    assert_int_equal(result.end, GENERATE_END_TOKEN);
    assert_true(result.tokens <= 6);
    assert_memory_equal(all.text, h.text, h.size);

    /* A stop string that goes over token boundaries is no part of the text. */
    char stop[6] = {0};
    memcpy(stop, all.text + five_plain_bytes(&all), 5);
    const char *stops[] = {"never said", stop};
    r = request_of(&p, &h, 20);
    r.stops = stops;
    r.stop_count = 2;
    result = run(g, &r);
    assert_int_equal(result.end, GENERATE_STOP_STRING);
    assert_int_equal(result.stop, 1);
    assert_true(strstr(all.text, stop) == all.text + h.size);

    h.stop_after = 7;
    r = request_of(&p, &h, 20);
    result = run(g, &r);
    assert_int_equal(result.end, GENERATE_CANCELLED);
    assert_int_equal(result.tokens, 7);
    h.stop_after = 0;

    int sequence, running;
    r = request_of(&p, &h, 20);
    assert_ok(generator_start(g, &r, &sequence, &error));
    for (int i = 0; i < 3; i++) assert_ok(generator_step(g, &running, &error));
    assert_int_equal(running, 1);
    generator_cancel(g, sequence);
    assert_int_equal(generator_result(g, sequence)->end, GENERATE_CANCELLED);
    assert_ok(generator_step(g, &running, &error));
    assert_int_equal(running, 0);
    generator_release(g, sequence);
    generator_free(g);
}

/* Hot draws: ids of the tokenizer alone, text of whole characters, and the same from the same seed. */
static void draws_are_known_tokens(void **state) {
    (void)state;
    static heard h[3];
    generator *g = generator_of(plain, 400, 16, 2, NULL);
    prompt p = prompt_of(plain, texts[0]);
    for (int i = 0; i < 3; i++) {
        generate_request r = request_of(&p, &h[i], 300);
        r.sampler.temperature = 20;
        r.sampler.seed = i == 2 ? 8 : 7;
        r.sampler.alternatives = 5;
        run(g, &r);
        for (int k = 0; k < h[i].count; k++) assert_true(h[i].ids[k] < bpe_count(plain->tokenizer));
        for (uint64_t at = 0; at < h[i].size;) {
            int length = utf8_character((const uint8_t *)h[i].text + at, h[i].size - at);
            assert_true(length > 0);
            at += (uint64_t)length;
        }
        assert_int_equal(h[i].alternatives, 5);
    }
    assert_memory_equal(h[0].ids, h[1].ids, sizeof h[0].ids);
    assert_memory_not_equal(h[0].ids, h[2].ids, sizeof h[0].ids);
    generator_free(g);
}

static void grammars_hold(void **state) {
    (void)state;
    static heard h[4];
    prompt p[4];
    generate_request r[4];
    generate_result results[4];
    grammar *yes_no, *boxes;
    char *text;
    const grammar_answers_box_options options = {.most = 2};
    assert_ok(grammar_answers_yes_no(&text, &error));
    assert_ok(grammar_parse(&yes_no, "yes-no", text, strlen(text), &error));
    free(text);
    assert_ok(grammar_answers_boxes(&text, &options, &error));
    assert_ok(grammar_parse(&boxes, "boxes", text, strlen(text), &error));
    free(text);
    generator *g = generator_of(packed, 200, 16, 4, NULL);
    for (int i = 0; i < 4; i++) {
        p[i] = prompt_of(packed, texts[i]);
        r[i] = request_of(&p[i], &h[i], 100);
        r[i].grammar = i % 2 ? yes_no : boxes;
        r[i].ends = NULL;
    }
    assert_ok(generator_run(g, r, 4, results, &error));
    for (int i = 0; i < 4; i++) {
        int numbers[4], used = 0;
        assert_int_equal(results[i].end, GENERATE_END_TOKEN);
        if (i % 2)
            assert_true(strncasecmp(h[i].text, "yes", 3) == 0 || strncasecmp(h[i].text, "no", 2) == 0);
        else if (sscanf(h[i].text, "<box>(%d,%d),(%d,%d)</box>%n", &numbers[0], &numbers[1], &numbers[2], &numbers[3],
                        &used) != 4 ||
                 !used)
            fail_msg("no box: %s", h[i].text);
    }
    r[0] = request_of(&p[0], &h[0], 5);
    r[0].grammar = boxes;
    assert_ok(generator_run(g, r, 1, results, &error));
    assert_int_equal(results[0].end, GENERATE_FAILED);
    assert_non_null(strstr(results[0].error.message, "under a grammar"));
    generator_free(g);
    grammar_free(yes_no);
    grammar_free(boxes);
}

/* With 30 rows of room: an end, or sliding, which is the same as beginning anew with the rows that stay. */
static void full_contexts(void **state) {
    (void)state;
    heard h = {0}, anew = {0};
    generator *g = generator_of(packed, 30, 8, 2, NULL);
    prompt p = prompt_of(packed, texts[0]);
    generate_request r = request_of(&p, &h, 100);
    generate_result result = run(g, &r);
    assert_int_equal(result.end, GENERATE_CONTEXT);
    assert_int_equal(h.count, 30 - p.count + 1);

    r = request_of(&p, &h, 60);
    r.keep = 2;
    result = run(g, &r);
    assert_int_equal(result.end, GENERATE_MAX_TOKENS);
    assert_int_equal(h.count, 60);
    prompt all = p;
    continue_with(&all, h.ids, 60);
    int64_t at = p.count;
    for (int64_t length = p.count; at < p.count + 60;) {
        prompt now = {.count = length}; /* the rows in front of the token at `at` */
        for (int64_t i = 0; i < length; i++) now.rows[i] = all.rows[length == p.count || i < 2 ? i : at - length + i];
        int count = (int)(31 - length);
        if (at + count > p.count + 60) count = (int)(p.count + 60 - at);
        r = request_of(&now, &anew, count);
        generator *other = generator_of(packed, 40, 8, 2, NULL);
        run(other, &r);
        generator_free(other);
        assert_memory_equal(anew.ids, h.ids + (at - p.count), (size_t)count * sizeof *h.ids);
        at += count;
        length = 2 + 14;
    }

    /* A prompt that is too long, to begin with. */
    p = prompt_of(packed, texts[2]);
    assert_true(p.count > 30);
    r = request_of(&p, &h, 5);
    r.keep = 2;
    run(g, &r);
    prompt rest = {.count = 16};
    for (int i = 0; i < 16; i++) rest.rows[i] = p.rows[i < 2 ? i : p.count - 16 + i];
    int wanted[5];
    by_hand(packed, &rest, 5, wanted);
    assert_memory_equal(h.ids, wanted, sizeof wanted);
    generator_free(g);
}

static void refuse(generator *g, const generate_request *r, const char *message) {
    int sequence;
    assert_true(generator_start(g, r, &sequence, &error) != CARINA_OK);
    if (!strstr(error.message, message)) fail_msg("\"%s\" is not in: %s", message, error.message);
}

static void what_cannot_be(void **state) {
    (void)state;
    static const float vector[64];
    heard h = {0};
    generator *g = generator_of(packed, 30, 8, 1, NULL);
    prompt p = prompt_of(packed, texts[2]), small = prompt_of(packed, "x");
    generate_request r = request_of(&p, &h, 5);
    refuse(g, &r, "tokens, the context has room for 30");
    r.keep = 29;
    refuse(g, &r, "29 tokens to keep of a sliding context of 30: 0 to 28");
    r = request_of(&small, &h, 0);
    refuse(g, &r, "0 tokens at most");
    small.rows[0].id = vocabulary - 1;
    r = request_of(&small, &h, 5);
    refuse(g, &r, "is none of the model's");
    small.rows[0] = (generate_row){5, vector};
    refuse(g, &r, "is a token and a vector");
    small = prompt_of(packed, "x");
    r.sampler.top_p = 2;
    refuse(g, &r, "top_p");
    r = request_of(&small, &h, 5);
    r.stops = (const char *const[]){""};
    r.stop_count = 1;
    refuse(g, &r, "stop");
    r = request_of(&small, &h, 5);
    int sequence, running;
    assert_ok(generator_start(g, &r, &sequence, &error));
    refuse(g, &r, "1 sequences run already");
    generator_release(g, sequence);
    assert_ok(generator_start(g, &r, &sequence, &error));
    assert_ok(generator_step(g, &running, &error));
    generator_free(g);
    generator_options o = generator_defaults();
    o.chunk = o.sequences;
    assert_true(generator_create(&g, packed, &o, &error) != CARINA_OK);
    o = generator_defaults();
    o.kept = 65;
    assert_true(generator_create(&g, packed, &o, &error) != CARINA_OK);
    o = generator_defaults();
    o.context = 1;
    assert_true(generator_create(&g, packed, &o, &error) != CARINA_OK);
}

/* A context that no machine has the memory for is refused before any is taken. */
static void memory_is_asked_for_first(void **state) {
    (void)state;
    generator *g;
    generator_options o = generator_defaults();
    gemma3_config large = packed->model->config, own = large;
    large.layers = 60; /* nothing is computed with it */
    large.key_heads = 4096;
    packed->model->config = large;
    o.context = 1 << 24;
    assert_int_equal(generator_create(&g, packed, &o, &error), CARINA_ERROR_MEMORY);
    assert_null(g);
    assert_non_null(strstr(error.message, "a context of 16777216 tokens wants"));
    packed->model->config = own;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_as_by_hand),
        cmocka_unit_test(batches_do_not_matter),
        cmocka_unit_test(more_requests_than_places),
        cmocka_unit_test(beginnings_are_known),
        cmocka_unit_test(long_prompts_are_read_whole),
        cmocka_unit_test(beginnings_are_shared_while_they_run),
        cmocka_unit_test(adapters_share_nothing),
        cmocka_unit_test(adapters_are_known_by_their_values),
        cmocka_unit_test(vectors_in_prompts),
        cmocka_unit_test(how_texts_end),
        cmocka_unit_test(draws_are_known_tokens),
        cmocka_unit_test(grammars_hold),
        cmocka_unit_test(full_contexts),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(memory_is_asked_for_first),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
