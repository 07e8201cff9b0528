/* The sampler beside its definition written out plainly (sort everything, then cut), by the distribution of many draws;
 * each option by hand; ties, the window, determinism, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/random.h"
#include "text/sampler.h"

static carina_error error;

static sampler *make(int vocabulary, sampler_options options) {
    sampler *s;
    assert_ok(sampler_make(&s, vocabulary, &options, &error));
    return s;
}

static int next(sampler *s, const float *logits, const uint64_t *mask) {
    sampler_draw out;
    assert_ok(sampler_next(&out, s, logits, mask, &error));
    return out.token;
}

/* ---- the definition, plainly ---- */

#define MOST 130

typedef struct row {
    double logit, p;
    int token;
} row;

static int larger_first(const void *left, const void *right) {
    const row *a = left, *b = right;
    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->token < b->token ? -1 : 1;
}

static void normalise(row *rows, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) sum += rows[i].p;
    for (int i = 0; i < count; i++) rows[i].p /= sum;
}

/* p [vocabulary]: the probability that each token is drawn. */
static void expected_of(double *p, const sampler_options *o, const float *logits, int vocabulary, const uint64_t *mask,
                        const int *window, int window_count) {
    row rows[MOST];
    int count = 0;
    for (int i = 0; i < vocabulary; i++) {
        p[i] = 0;
        double logit = (double)logits[i];
        if ((mask && !(mask[i / 64] >> i % 64 & 1)) || isinf(logit)) continue;
        int seen = 0;
        for (int j = 0; j < window_count; j++) seen |= window[j] == i;
        if (seen) logit = logit > 0 ? logit / (double)o->repetition_penalty : logit * (double)o->repetition_penalty;
        rows[count++] = (row){logit, 0, i};
    }
    qsort(rows, (size_t)count, sizeof *rows, larger_first);
    for (int i = 0; i < count; i++) rows[i].p = exp((rows[i].logit - rows[0].logit) / (double)o->temperature);
    if (o->top_k > 0 && o->top_k < count) count = o->top_k;
    normalise(rows, count);
    double sum = 0;
    for (int i = 0; i < count && o->top_p < 1; i++) {
        sum += rows[i].p;
        if (sum >= (double)o->top_p) count = i + 1;
    }
    normalise(rows, count);
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (rows[i].p >= (double)o->min_p * rows[0].p) rows[kept++] = rows[i];
    normalise(rows, kept);
    for (int i = 0; i < kept; i++) p[rows[i].token] = rows[i].p;
}

static void check_draws(sampler *s, const float *logits, int vocabulary, const uint64_t *mask, const double *p) {
    enum { DRAWS = 4000 };
    int drawn[MOST] = {0};
    for (int i = 0; i < DRAWS; i++) {
        drawn[next(s, logits, mask)]++;
        assert_ok(sampler_accept_prompt(s, NULL, 0, &error));
        assert_ok(sampler_accept(s, vocabulary - 1, &error));
    }
    for (int i = 0; i < vocabulary; i++) {
        double share = (double)drawn[i] / DRAWS, deviation = sqrt(p[i] * (1 - p[i]) / DRAWS);
        if (p[i] == 0 && drawn[i] > 0) fail_msg("token %d has no probability and was drawn", i);
        if (fabs(share - p[i]) > 4.5 * deviation + 1e-3) fail_msg("token %d: %g of the draws, p = %g", i, share, p[i]);
    }
}

static void draws_follow_the_definition(void **state) {
    (void)state;
    random_state random = random_seed(4);
    for (int run = 0; run < 150; run++) {
        int vocabulary = 2 + (int)random_below(&random, MOST - 2);
        float logits[MOST];
        uint64_t mask[3] = {random_u64(&random), random_u64(&random), random_u64(&random)};
        for (int i = 0; i < vocabulary; i++) {
            logits[i] = (float)(2 * random_normal(&random));
            if (run % 3 == 0) logits[i] = roundf(logits[i]); /* many ties */
            if (run % 5 == 0 && random_chance(&random, 0.2)) logits[i] = -INFINITY;
        }
        logits[0] = logits[vocabulary - 1] = 0.5f;
        mask[0] |= 1;
        sampler_options o = sampler_defaults();
        o.seed = (uint64_t)run;
        o.temperature = (float)random_range(&random, 0.3, 2);
        if (run % 2) o.top_k = 1 + (int)random_below(&random, (uint64_t)vocabulary + 5);
        if (run % 4 > 1) o.top_p = (float)random_range(&random, 0.05, 1);
        if (run % 8 > 3) o.min_p = (float)random_range(&random, 0.01, 0.5);
        if (run % 16 > 7) {
            o.repetition_penalty = (float)random_range(&random, 0.5, 2);
            o.penalty_window = 1; /* check_draws accepts the last token again and again */
        }
        double p[MOST];
        int window[1] = {vocabulary - 1};
        sampler *s = make(vocabulary, o);
        assert_ok(sampler_accept_prompt(s, window, 1, &error));
        expected_of(p, &o, logits, vocabulary, run % 7 ? NULL : mask, window, o.penalty_window);
        check_draws(s, logits, vocabulary, run % 7 ? NULL : mask, p);
        sampler_free(s);
    }
}

/* ---- by hand ---- */

/* Which tokens are ever drawn, as bits. */
static unsigned drawn_with(const float *logits, int vocabulary, sampler_options o) {
    unsigned bits = 0;
    sampler *s = make(vocabulary, o);
    for (int i = 0; i < 3000; i++) {
        bits |= 1u << next(s, logits, NULL);
        assert_ok(sampler_accept(s, 0, &error));
    }
    sampler_free(s);
    return bits;
}

static void options_cut_where_they_say(void **state) {
    (void)state;
    /* probabilities 0.1, 0.4, 0.2, 0.3 */
    const float logits[4] = {logf(1), logf(4), logf(2), logf(3)};
    sampler_options o = sampler_defaults();
    o.temperature = 1;
    assert_int_equal(drawn_with(logits, 4, o), 0xf);
    sampler_options k = o, p = o, m = o;
    k.top_k = 2;
    assert_int_equal(drawn_with(logits, 4, k), 1 << 1 | 1 << 3);
    k.top_k = 4;
    assert_int_equal(drawn_with(logits, 4, k), 0xf);
    p.top_p = 0.69f;
    assert_int_equal(drawn_with(logits, 4, p), 1 << 1 | 1 << 3);
    p.top_p = 0.71f;
    assert_int_equal(drawn_with(logits, 4, p), 1 << 1 | 1 << 3 | 1 << 2);
    p.top_p = 0.01f;
    assert_int_equal(drawn_with(logits, 4, p), 1 << 1);
    m.min_p = 0.45f;
    assert_int_equal(drawn_with(logits, 4, m), 1 << 1 | 1 << 3 | 1 << 2);
    m.min_p = 0.55f;
    assert_int_equal(drawn_with(logits, 4, m), 1 << 1 | 1 << 3);
    /* temperature comes before top-p: at T = 0.5 the squares count, 16/30 and 9/30 */
    p.temperature = 0.5f;
    p.top_p = 0.8f;
    assert_int_equal(drawn_with(logits, 4, p), 1 << 1 | 1 << 3);
    p.top_p = 0.86f;
    assert_int_equal(drawn_with(logits, 4, p), 1 << 1 | 1 << 3 | 1 << 2);
    /* top-k comes before top-p: of 4/7 and 3/7 the first reaches 0.5 */
    p = k;
    p.top_k = 2;
    p.top_p = 0.5f;
    assert_int_equal(drawn_with(logits, 4, p), 1 << 1);
}

static void of_equal_logits_the_lower_ids_stay(void **state) {
    (void)state;
    const float logits[6] = {0, 1, 1, -0.0f, 1, 1};
    sampler_options o = sampler_defaults();
    sampler *s = make(6, o);
    assert_int_equal(next(s, logits, NULL), 1);
    const uint64_t mask = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 5;
    assert_int_equal(next(s, logits, &mask), 4);
    const uint64_t zeros = 1 << 0 | 1 << 3;
    assert_int_equal(next(s, logits, &zeros), 0); /* 0 and -0 are equal */
    sampler_free(s);
    o.temperature = 1;
    o.top_k = 3;
    assert_int_equal(drawn_with(logits, 6, o), 1 << 1 | 1 << 2 | 1 << 4);
    o.top_k = 5;
    assert_int_equal(drawn_with(logits, 6, o), 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5);
    o.top_k = 0;
    o.top_p = 0.25f;
    assert_int_equal(drawn_with(logits, 6, o), 1 << 1 | 1 << 2);
}

static void repetition_penalty_looks_at_the_window(void **state) {
    (void)state;
    const float logits[4] = {3, 2, -1, -1.5f};
    sampler_options o = sampler_defaults();
    o.repetition_penalty = 2;
    o.penalty_window = 2;
    sampler *s = make(4, o);
    assert_int_equal(next(s, logits, NULL), 0);
    assert_ok(sampler_accept(s, 0, &error));
    assert_int_equal(next(s, logits, NULL), 1); /* 3 / 2 */
    assert_ok(sampler_accept(s, 0, &error));    /* twice in the window counts once */
    const uint64_t low = 1 << 0 | 1 << 2;
    assert_int_equal(next(s, logits, &low), 0);
    assert_ok(sampler_accept(s, 2, &error));
    assert_int_equal(next(s, logits, NULL), 1); /* one of the two has left the window, the other has not */
    const uint64_t negative = 1 << 2 | 1 << 3;
    assert_int_equal(next(s, logits, &negative), 3); /* -1 * 2 */
    assert_ok(sampler_accept(s, 3, &error));
    assert_int_equal(next(s, logits, NULL), 0); /* now both have */
    const int prompt[3] = {1, 0, 3};
    assert_ok(sampler_accept_prompt(s, prompt, 3, &error));
    assert_int_equal(next(s, logits, NULL), 1);
    sampler_reset(s);
    assert_int_equal(next(s, logits, NULL), 0);
    sampler_free(s);
}

static void log_probabilities_are_the_models(void **state) {
    (void)state;
    const float logits[6] = {logf(1), logf(4), logf(2), logf(3), -INFINITY, logf(4)};
    sampler_options o = sampler_defaults();
    o.temperature = 3;
    o.top_k = 1;
    o.repetition_penalty = 5;
    o.penalty_window = 4;
    o.alternatives = 3;
    sampler *s = make(6, o);
    assert_ok(sampler_accept(s, 3, &error));
    const uint64_t mask = 1 << 0;
    sampler_draw out;
    assert_ok(sampler_next(&out, s, logits, &mask, &error));
    assert_int_equal(out.token, 0);
    assert_float_equal(out.log_probability, logf(1 / 14.0f), 1e-6);
    assert_int_equal(out.alternative_count, 3);
    const int tokens[3] = {1, 5, 3};
    const float values[3] = {4, 4, 3};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(out.alternatives[i].token, tokens[i]);
        assert_float_equal(out.alternatives[i].log_probability, logf(values[i] / 14), 1e-6);
    }
    sampler_free(s);
    o.alternatives = 30;
    s = make(6, o);
    assert_ok(sampler_next(&out, s, logits, NULL, &error));
    assert_int_equal(out.alternative_count, 5); /* the sixth has no probability */
    assert_int_equal(out.alternatives[4].token, 0);
    int token = out.token;
    sampler_free(s);
    o.alternatives = 0;
    o.no_log_probability = true;
    s = make(6, o);
    assert_ok(sampler_next(&out, s, logits, NULL, &error));
    assert_int_equal(out.token, token);
    assert_true(isnan(out.log_probability));
    assert_int_equal(out.alternative_count, 0);
    sampler_free(s);
}

static void alternatives_are_the_largest(void **state) {
    (void)state;
    enum { VOCABULARY = 1000 };
    float logits[VOCABULARY];
    random_state random = random_seed(8);
    for (int i = 0; i < VOCABULARY; i++) logits[i] = (float)random_below(&random, 200);
    sampler_options o = sampler_defaults();
    o.alternatives = SAMPLER_MAX_ALTERNATIVES;
    sampler *s = make(VOCABULARY, o);
    sampler_draw out;
    assert_ok(sampler_next(&out, s, logits, NULL, &error));
    row rows[VOCABULARY];
    for (int i = 0; i < VOCABULARY; i++) rows[i] = (row){(double)logits[i], 0, i};
    qsort(rows, VOCABULARY, sizeof *rows, larger_first);
    for (int i = 0; i < SAMPLER_MAX_ALTERNATIVES; i++) assert_int_equal(out.alternatives[i].token, rows[i].token);
    sampler_free(s);
}

/* ---- determinism ---- */

static void draw_some(int *tokens, int count, uint64_t seed, const float *logits, int vocabulary) {
    sampler_options o = sampler_defaults();
    o.temperature = 1;
    o.seed = seed;
    sampler *s = make(vocabulary, o);
    for (int i = 0; i < count; i++) {
        tokens[i] = next(s, logits, NULL);
        assert_int_equal(next(s, logits, NULL), tokens[i]); /* asking changes nothing */
        assert_ok(sampler_accept(s, tokens[i], &error));
    }
    sampler_reset(s);
    assert_int_equal(next(s, logits, NULL), tokens[0]);
    sampler_free(s);
}

static void a_seed_fixes_everything(void **state) {
    (void)state;
    float logits[64] = {0};
    int first[32], again[32], other[32];
    draw_some(first, 32, 5, logits, 64);
    draw_some(again, 32, 5, logits, 64);
    draw_some(other, 32, 6, logits, 64);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    /* the stream is the one that the header names: u * 64 of equal probabilities */
    for (int i = 0; i < 32; i++) {
        random_state random = random_stream(5, (uint64_t)i);
        assert_int_equal(first[i], (int)(random_uniform(&random) * 64));
    }
}

static void extremes_are_survived(void **state) {
    (void)state;
    const float logits[4] = {-3e38f, 3e38f, 3e38f, -INFINITY};
    sampler_options o = sampler_defaults();
    o.temperature = 1e-38f;
    assert_int_equal(drawn_with(logits, 4, o), 1 << 1 | 1 << 2);
    o.temperature = 3e38f;
    assert_int_equal(drawn_with(logits, 4, o), 1 << 0 | 1 << 1 | 1 << 2);
    o.top_p = 0.999f;
    assert_int_equal(drawn_with(logits, 4, o), 1 << 0 | 1 << 1 | 1 << 2);
    o.temperature = 1;
    o.repetition_penalty = 0.5f; /* 3e38 / 0.5 is no float, -3e38 * 0.5 is */
    o.penalty_window = 3;
    sampler *s = make(4, o);
    const int all[3] = {0, 1, 2};
    assert_ok(sampler_accept_prompt(s, all, 3, &error));
    unsigned drawn = 0;
    for (int i = 0; i < 30; i++) {
        sampler_draw out;
        assert_ok(sampler_next(&out, s, logits, NULL, &error));
        assert_true(isfinite(out.log_probability));
        drawn |= 1u << out.token;
        assert_ok(sampler_accept(s, 1 + i % 2, &error));
    }
    assert_int_equal(drawn, 1 << 1 | 1 << 2);
    sampler_free(s);
}

static void expect_error(carina_status status, carina_status expected, const char *words) {
    assert_int_equal(status, expected);
    if (!strstr(error.message, words)) fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

static void bad_logits_are_errors(void **state) {
    (void)state;
    sampler *s = make(3, sampler_defaults());
    sampler_draw out;
    const uint64_t first = 1, third = 4, none = 8;
    float logits[3] = {1, NAN, -INFINITY};
    expect_error(sampler_next(&out, s, logits, &first, &error), CARINA_ERROR_ARGUMENT,
                 "the logit of token 1 is not a number");
    logits[1] = INFINITY;
    expect_error(sampler_next(&out, s, logits, NULL, &error), CARINA_ERROR_ARGUMENT,
                 "the logit of token 1 is infinite");
    logits[1] = 0;
    expect_error(sampler_next(&out, s, logits, &third, &error), CARINA_ERROR_ARGUMENT, "no token is left");
    expect_error(sampler_next(&out, s, logits, &none, &error), CARINA_ERROR_ARGUMENT, "no token is left");
    assert_int_equal(out.token, -1);
    logits[0] = logits[1] = -INFINITY;
    expect_error(sampler_next(&out, s, logits, NULL, &error), CARINA_ERROR_ARGUMENT, "minus infinity");
    expect_error(sampler_accept(s, 3, &error), CARINA_ERROR_ARGUMENT, "token 3 is outside the vocabulary of 3");
    sampler_free(s);
}

static void bad_options_are_errors(void **state) {
    (void)state;
    const struct {
        const char *words;
        sampler_options o;
    } cases[] = {
        {"temperature: -1 is not", {.temperature = -1, .top_p = 1, .repetition_penalty = 1}},
        {"temperature: nan is not", {.temperature = NAN, .top_p = 1, .repetition_penalty = 1}},
        {"top_k: -2 is not", {.top_k = -2, .top_p = 1, .repetition_penalty = 1}},
        {"top_p: 0 is not", {.repetition_penalty = 1}},
        {"top_p: 1.5 is not", {.top_p = 1.5f, .repetition_penalty = 1}},
        {"min_p: 1 is not", {.top_p = 1, .min_p = 1, .repetition_penalty = 1}},
        {"repetition_penalty: 0 is not", {.top_p = 1}},
        {"has no effect on a window of 0", {.top_p = 1, .repetition_penalty = 1.5f}},
        {"penalty_window: 65536 is not", {.top_p = 1, .repetition_penalty = 1.5f, .penalty_window = 65536}},
        {"alternatives: 2 without",
         {.top_p = 1, .repetition_penalty = 1, .alternatives = 2, .no_log_probability = true}},
        {"alternatives: 33 is not", {.top_p = 1, .repetition_penalty = 1, .alternatives = 33}},
    };
    sampler *s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_error(sampler_make(&s, 3, &cases[i].o, &error), CARINA_ERROR_ARGUMENT, cases[i].words);
        assert_null(s);
    }
    expect_error(sampler_make(&s, 0, NULL, &error), CARINA_ERROR_ARGUMENT, "a vocabulary of 0 tokens");
    sampler_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_definition),
        cmocka_unit_test(options_cut_where_they_say),
        cmocka_unit_test(of_equal_logits_the_lower_ids_stay),
        cmocka_unit_test(repetition_penalty_looks_at_the_window),
        cmocka_unit_test(log_probabilities_are_the_models),
        cmocka_unit_test(alternatives_are_the_largest),
        cmocka_unit_test(a_seed_fixes_everything),
        cmocka_unit_test(extremes_are_survived),
        cmocka_unit_test(bad_logits_are_errors),
        cmocka_unit_test(bad_options_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
