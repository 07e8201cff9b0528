/* Perplexity against the whole-sequence graph, window by window; divergence of a packed model; and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "model/gemma3_random.h"
#include "pipeline/perplexity.h"

static carina_error error;
#include "assert_ok.h"

#define WORDS  50
#define TOKENS 300 /* more than two chunks */
#define BEGIN  2

static gemma3_config config(void) {
    gemma3_config c = gemma3_config_4b();
    c.vocabulary = WORDS;
    c.width = 64;
    c.layers = 2;
    c.heads = 2;
    c.key_heads = 1;
    c.head_width = 16;
    c.ffn_width = 96;
    c.window = 7;
    c.global_every = 2;
    c.query_scalar = 16;
    return c;
}

/* The same model in f32 and packed: what the packed rows hold. */
static gemma3 *unpack(gemma3 *packed) {
    gemma3 *m;
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(packed, slots);
    assert_ok(gemma3_create_empty(&m, &packed->config, &error));
    for (int i = 0; i < count; i++)
        for (int64_t row = 0; row < slots[i].outputs; row++)
            quantized_get_row(slots[i].matrix->packed, row,
                              parameters_find(m->parameters, slots[i].name)->value + row * slots[i].inputs);
    parameters_changed(m->parameters);
    return m;
}

static const int32_t *text(void) {
    static int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = (i * i * 7 + i / 3) % WORDS;
    return ids;
}

/* Logits [rows, WORDS] of a sequence by the graph that knows no sessions. */
static float *whole(const gemma3 *m, const int32_t *ids, int64_t rows) {
    graph *g;
    const graph_options options = {.type = TENSOR_F32};
    int64_t size[2] = {1, rows};
    assert_ok(graph_create(&g, &options, &error));
    tensor *in = graph_input(g, "ids", 2, size);
    tensor *out = gemma3_record_logits(g, m, gemma3_record_body(g, m, in, NULL, NULL));
    graph_output(g, out);
    assert_ok(graph_plan(g, &error));
    for (int64_t i = 0; i < rows; i++) tensor_data(in)[i] = (float)ids[i];
    graph_forward(g);
    float *copy = malloc((size_t)(rows * WORDS) * sizeof *copy);
    memcpy(copy, tensor_data(out), (size_t)(rows * WORDS) * sizeof *copy);
    graph_free(g);
    return copy;
}

static double log_p(const float *logits, int token) {
    double sum = 0;
    for (int i = 0; i < WORDS; i++) sum += exp((double)logits[i]);
    return (double)logits[token] - log(sum);
}

/* The definition, written down once more: token i of the text by the window that scores it. */
static double slow_nats(const gemma3 *m, const int32_t *ids, int64_t count, int64_t window, int64_t stride, bool begin,
                        int64_t *scored) {
    double nats = 0;
    int64_t room = window - begin, end = count < room ? count : room, from = begin ? 0 : 1;
    *scored = 0;
    for (;;) {
        int64_t first = end > room ? end - room : 0, rows = end - first + begin;
        int32_t sequence[TOKENS + 1];
        sequence[0] = BEGIN;
        for (int64_t i = first; i < end; i++) sequence[i - first + begin] = ids[i];
        float *logits = whole(m, sequence, rows);
        for (int64_t i = from; i < end; i++, ++*scored) nats -= log_p(logits + (i - first + begin - 1) * WORDS, ids[i]);
        free(logits);
        if (end == count) return nats;
        from = end;
        end = end + stride < count ? end + stride : count;
    }
}

static void every_window(void **state) {
    (void)state;
    gemma3 *packed, *m;
    const gemma3_config c = config();
    assert_ok(gemma3_create_random(&packed, &c, QUANTIZED_BF16, 5, &error));
    m = unpack(packed);
    static const struct {
        int64_t count, window, stride;
    } cases[] = {{TOKENS, 400, 10}, {40, 16, 5}, {40, 16, 15}, {41, 41, 40}, {1, 8, 4}, {TOKENS, 200, 77}, {17, 16, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int begin = 0; begin < 2; begin++) {
            const perplexity_options options = {
                .window = cases[i].window, .stride = cases[i].stride, .begin = begin ? BEGIN : -1};
            perplexity_sums sums = {0};
            int64_t scored;
            if (cases[i].count + begin < 2) continue;
            assert_ok(perplexity_measure(&sums, m, text(), (uint64_t)cases[i].count, &options, &error));
            double wanted = slow_nats(m, text(), cases[i].count, cases[i].window, cases[i].stride, begin, &scored);
            assert_int_equal(sums.tokens, scored);
            assert_int_equal(scored, cases[i].count - 1 + begin);
            if (!(fabs(sums.nats - wanted) < 1e-4 * wanted)) fail_msg("case %zu: %g, not %g", i, sums.nats, wanted);
        }
    gemma3_free(m);
    gemma3_free(packed);
}

static void sums_are_added_and_threads_do_not_matter(void **state) {
    (void)state;
    gemma3 *packed;
    thread_pool *pool;
    const gemma3_config c = config();
    perplexity_sums one = {0}, two = {0}, again = {0};
    assert_ok(thread_pool_create(&pool, 3, &error));
    assert_ok(gemma3_create_random(&packed, &c, QUANTIZED_Q4, 5, &error));
    perplexity_options options = {.window = 200, .stride = 100, .begin = BEGIN};
    assert_ok(perplexity_measure(&one, packed, text(), TOKENS, &options, &error));
    options.pool = pool;
    assert_ok(perplexity_measure(&two, packed, text(), TOKENS, &options, &error));
    assert_memory_equal(&one, &two, sizeof one);
    assert_ok(perplexity_measure(&two, packed, text(), 20, &options, &error));
    assert_ok(perplexity_measure(&again, packed, text(), 20, &options, &error));
    assert_int_equal(two.tokens, TOKENS + 20);
    assert_true(fabs(two.nats - one.nats - again.nats) < 1e-9 * two.nats);
    assert_true(fabs(perplexity_value(&one) - exp(one.nats / TOKENS)) < 1e-9);
    assert_true(fabs(perplexity_bits_per_byte(&one, 100) - one.nats / log(2) / 100) < 1e-9);
    gemma3_free(packed);
    thread_pool_free(pool);
}

static void divergence(void **state) {
    (void)state;
    gemma3 *packed, *m;
    const gemma3_config c = config();
    perplexity_change same = {0}, change = {0};
    perplexity_sums alone = {0};
    const perplexity_options options = {.window = 32, .stride = 16, .begin = BEGIN};
    assert_ok(gemma3_create_random(&packed, &c, QUANTIZED_Q8, 5, &error));
    m = unpack(packed);
    assert_ok(perplexity_compare(&same, packed, packed, text(), 30, &options, &error));
    assert_true(same.divergence == 0 && same.agreed == 30 && same.before.nats == same.after.nats);
    /* The other one is far away: its layers' output norms are turned off. */
    for (int i = 0; i < m->parameters->count; i++)
        if (strstr(m->parameters->items[i]->name, "post_")) parameter_fill(m->parameters->items[i], -1);
    parameters_changed(m->parameters);
    assert_ok(perplexity_compare(&change, packed, m, text(), 30, &options, &error));
    assert_ok(perplexity_measure(&alone, m, text(), 30, &options, &error));
    assert_true(change.before.nats == same.before.nats && change.after.nats == alone.nats);
    gemma3 *f32 = unpack(packed);
    int32_t sequence[31] = {BEGIN};
    for (int i = 0; i < 30; i++) sequence[i + 1] = text()[i];
    float *x = whole(f32, sequence, 30), *y = whole(m, sequence, 30);
    double wanted = 0;
    for (int row = 0; row < 30; row++)
        for (int i = 0; i < WORDS; i++) {
            double p = log_p(x + row * WORDS, i);
            wanted += exp(p) * (p - log_p(y + row * WORDS, i));
        }
    if (!(wanted > 1 && fabs(change.divergence - wanted) < 0.02 * wanted))
        fail_msg("%g, not %g", change.divergence, wanted);
    assert_true(change.agreed < 30);
    free(x);
    free(y);
    gemma3_free(f32);
    gemma3_free(m);
    gemma3_free(packed);
}

static void what_is_refused(void **state) {
    (void)state;
    gemma3 *packed;
    const gemma3_config c = config();
    static const int32_t far[] = {3, WORDS};
    const struct {
        const int32_t *ids;
        uint64_t count;
        perplexity_options options;
        const char *message;
    } cases[] = {
        {text(), 9, {.window = 1, .stride = 1, .begin = BEGIN}, "a window of 1 tokens"},
        {text(), 9, {.window = 8, .stride = 8, .begin = BEGIN}, "with a stride of 8"},
        {text(), 9, {.window = 8, .stride = 0, .begin = BEGIN}, "with a stride of 0"},
        {text(), 0, {.window = 8, .stride = 4, .begin = BEGIN}, "no token that could be scored"},
        {text(), 1, {.window = 8, .stride = 4, .begin = -1}, "no token that could be scored"},
        {text(), 9, {.window = 8, .stride = 4, .begin = WORDS}, "token 50 is not within 0 to 49"},
        {far, 2, {.window = 8, .stride = 4, .begin = BEGIN}, "token 50 is not within 0 to 49"},
    };
    assert_ok(gemma3_create_random(&packed, &c, QUANTIZED_Q4, 5, &error));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        perplexity_sums sums = {0};
        assert_int_equal(perplexity_measure(&sums, packed, cases[i].ids, cases[i].count, &cases[i].options, &error),
                         CARINA_ERROR_ARGUMENT);
        if (!strstr(error.message, cases[i].message)) fail_msg("%s", error.message);
        assert_int_equal(sums.tokens, 0);
    }
    gemma3_free(packed);
}

/* A model that gives no numbers is an error that names the token, not a perplexity of NaN. */
static void a_model_that_has_failed(void **state) {
    (void)state;
    gemma3 *packed;
    const gemma3_config c = config();
    const perplexity_options options = {.window = 8, .stride = 4, .begin = BEGIN};
    assert_ok(gemma3_create_random(&packed, &c, QUANTIZED_BF16, 5, &error));
    gemma3 *m = unpack(packed);
    parameter_fill(m->parameters->items[0], NAN);
    parameters_changed(m->parameters);
    perplexity_sums sums = {0};
    perplexity_change change = {0};
    const char *wanted = "the logit of token 0 is not a number: the model has failed";
    assert_int_equal(perplexity_measure(&sums, m, text(), 9, &options, &error), CARINA_ERROR_ARGUMENT);
    assert_string_equal(error.message, wanted);
    for (int i = 0; i < 2; i++) {
        error = (carina_error){0};
        assert_int_equal(perplexity_compare(&change, i ? m : packed, i ? packed : m, text(), 9, &options, &error),
                         CARINA_ERROR_ARGUMENT);
        assert_string_equal(error.message, wanted);
    }
    assert_true(sums.tokens == 0 && change.before.tokens == 0);
    gemma3_free(m);
    gemma3_free(packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_window),
        cmocka_unit_test(sums_are_added_and_threads_do_not_matter),
        cmocka_unit_test(divergence),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(a_model_that_has_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
