/* What a generator does where memory is short: the memory that is there is what this program says it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory_speed.h"
#include "language_fixture.h"
#include "pipeline/generate.h"
#include "pipeline/perplexity.h"

static carina_error error;
#include "assert_ok.h"

/* In place of the library's: this one is found first. */
static uint64_t available = UINT64_MAX;
uint64_t memory_available(void) { return available; }

#define CONTEXT 300
#define SPARED  (256ull << 20)

static language_model *model;

static int set_up(void **state) {
    (void)state;
    static const int ends[] = {0};
    bpe *tokenizer = language_fixture_tokenizer();
    return language_model_make(&model, "tiny", language_fixture_model(tokenizer), tokenizer, ends, 1, &error) !=
           CARINA_OK;
}

static int tear_down(void **state) {
    (void)state;
    language_model_free(model);
    return 0;
}

static generator_options options_of(int sequences, thread_pool *pool) {
    generator_options o = generator_defaults();
    o.context = CONTEXT;
    o.chunk = 16;
    o.sequences = sequences;
    o.pool = pool;
    return o;
}

static uint64_t session_bytes(void) { return gemma3_session_needs(&model->model->config, TENSOR_F32, CONTEXT, 16); }

/* All that a context of that many tokens takes: one session, the texts, angles, scores of every thread. */
static uint64_t wanted(const generator_options *o) {
    const gemma3_runner_options running = {.pool = o->pool, .tokens = CONTEXT};
    return SPARED + session_bytes() + gemma3_runner_needs(&model->model->config, &running) +
           (uint64_t)o->sequences * CONTEXT * 24;
}

static void a_context_that_does_not_fit_is_refused(void **state) {
    (void)state;
    for (int threads = 1; threads <= 8; threads *= 8) {
        thread_pool *pool;
        generator *g;
        assert_ok(thread_pool_create(&pool, threads, &error));
        const generator_options o = options_of(2, pool);
        available = wanted(&o) - 1;
        assert_int_equal(generator_create(&g, model, &o, &error), CARINA_ERROR_MEMORY);
        assert_null(g);
        assert_non_null(strstr(error.message, "a context of 300 tokens wants 0.3 GB"));
        available++;
        assert_ok(generator_create(&g, model, &o, &error));
        generator_free(g);
        available = 0; /* unknown */
        assert_ok(generator_create(&g, model, &o, &error));
        generator_free(g);
        available = UINT64_MAX;
        thread_pool_free(pool);
    }
    const generator_options one = options_of(1, NULL);
    uint64_t alone = wanted(&one);
    thread_pool *pool;
    assert_ok(thread_pool_create(&pool, 8, &error));
    const generator_options eight = options_of(1, pool);
    assert_int_equal(wanted(&eight) - alone, 7 * op_cached_attention_scratch(2, 32, CONTEXT));
    thread_pool_free(pool);
}

typedef struct said {
    char text[1000];
    size_t size;
} said;

static bool take_text(void *context, const char *text, uint64_t size) {
    said *s = context;
    assert_true(s->size + size < sizeof s->text);
    memcpy(s->text + s->size, text, size);
    s->size += size;
    return true;
}

static generate_request request_of(const char *text, generate_row **rows, said *s) {
    bpe_encoder *encoder;
    generate_request r = generate_request_defaults();
    assert_ok(bpe_encoder_create(&encoder, model->tokenizer, &error));
    assert_ok(generate_encode(encoder, text, strlen(text), true, rows, &r.prompt_count, &error));
    bpe_encoder_free(encoder);
    *s = (said){0};
    r.prompt = *rows;
    r.max_tokens = 12;
    r.on_text = take_text;
    r.context = s;
    return r;
}

/* Both at once, or one after the other: the same texts. */
static void one_waits_for_the_other(void **state) {
    (void)state;
    said together[2], apart[2];
    generate_row *rows[2];
    generate_result results[2];
    const generator_options o = options_of(2, NULL);
    for (int shortage = 0; shortage < 2; shortage++) {
        said *s = shortage ? apart : together;
        generate_request r[2] = {request_of("The heart is of normal size", &rows[0], &s[0]),
                                 request_of("x", &rows[1], &s[1])};
        generator *g;
        available = UINT64_MAX;
        assert_ok(generator_create(&g, model, &o, &error));
        if (shortage) available = wanted(&o); /* two sessions were more */
        assert_ok(generator_run(g, r, 2, results, &error));
        for (int i = 0; i < 2; i++) {
            assert_int_equal(results[i].end, GENERATE_MAX_TOKENS);
            free(rows[i]);
        }
        assert_int_equal(results[1].first > results[0].ended, shortage);
        generator_free(g);
    }
    for (int i = 0; i < 2; i++) assert_string_equal(apart[i].text, together[i].text);
    available = UINT64_MAX;
}

/* A kept session that would have to be copied gives way; a prompt that has it all to itself still goes on from it. */
static void kept_sessions_give_way(void **state) {
    (void)state;
    said s;
    generate_row *rows;
    const generator_options o = options_of(1, NULL);
    for (int shortage = 0; shortage < 2; shortage++) {
        generator *g;
        generate_result result;
        available = UINT64_MAX;
        assert_ok(generator_create(&g, model, &o, &error));
        for (int turn = 0; turn < 2; turn++) {
            if (turn && shortage) available = 1000;
            generate_request r = request_of(turn ? "The heart is large" : "The heart is of normal size", &rows, &s);
            assert_ok(generator_run(g, &r, 1, &result, &error));
            assert_int_equal(result.end, turn && shortage ? GENERATE_FAILED : GENERATE_MAX_TOKENS);
            assert_int_equal(result.reused > 0, turn && !shortage);
            free(rows);
        }
        if (shortage) assert_non_null(strstr(result.error.message, "a context of 300 tokens wants"));
        generator_free(g);
    }
    available = UINT64_MAX;
}

static void a_window_that_does_not_fit_is_refused(void **state) {
    (void)state;
    perplexity_sums sums = {0};
    int32_t ids[40];
    for (int i = 0; i < 40; i++) ids[i] = i;
    const perplexity_options o = {.window = PERPLEXITY_MAX_WINDOW, .stride = 1, .begin = -1};
    const gemma3_runner_options filled = {.tokens = 41};
    available = (512ull << 20) + gemma3_session_needs(&model->model->config, TENSOR_F32, 41, 128) +
                gemma3_runner_needs(&model->model->config, &filled);
    assert_ok(perplexity_measure(&sums, model->model, ids, 40, &o, &error));
    available--;
    assert_int_equal(perplexity_measure(&sums, model->model, ids, 40, &o, &error), CARINA_ERROR_MEMORY);
    assert_non_null(strstr(error.message, "a window of 131072 tokens wants 0.5 GB"));
    available = UINT64_MAX;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_context_that_does_not_fit_is_refused),
        cmocka_unit_test(one_waits_for_the_other),
        cmocka_unit_test(kept_sessions_give_way),
        cmocka_unit_test(a_window_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
