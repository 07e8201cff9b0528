/* The losses of sentences: alignment (soft and CLIP's) and masked words, against plain formulas in double and those
 * formulas' finite differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/ops.h"

enum { MAX_ROWS = 200, WIDTH = 5, TARGET_WIDTH = 11 };

typedef struct alignment_case {
    int rows;
    alignment_options options;
    bool masked;
    double z[MAX_ROWS * WIDTH], t[MAX_ROWS * WIDTH], e[MAX_ROWS * TARGET_WIDTH], mask[MAX_ROWS];
} alignment_case;

static double cosine(const double *a, const double *b, int n) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < n; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

/* log softmax of each row in place. */
static void log_softmax(double *x, int n) {
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) sum += exp(x[i * n + j]);
        for (int j = 0; j < n; j++) x[i * n + j] -= log(sum);
    }
}

/* The formula of ops.h, word by word. */
static double alignment_reference(const alignment_case *c) {
    static double a[MAX_ROWS * MAX_ROWS], b[MAX_ROWS * MAX_ROWS], s[MAX_ROWS * MAX_ROWS];
    int row[MAX_ROWS], n = 0;
    for (int i = 0; i < c->rows; i++)
        if (!c->masked || c->mask[i] > 0) row[n++] = i;
    double target_tau = (double)(c->options.target_tau > 0 ? c->options.target_tau : c->options.tau);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            a[i * n + j] = b[j * n + i] =
                cosine(c->z + row[i] * WIDTH, c->t + row[j] * WIDTH, WIDTH) / (double)c->options.tau;
            s[i * n + j] =
                cosine(c->e + row[i] * TARGET_WIDTH, c->e + row[j] * TARGET_WIDTH, TARGET_WIDTH) / target_tau;
        }
    log_softmax(a, n), log_softmax(b, n), log_softmax(s, n);
    double sum = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double log_share = c->options.identity ? 0 : s[i * n + j];
            double share = c->options.identity ? i == j : exp(log_share);
            sum += share * (log_share - a[i * n + j]) + share * (log_share - b[j * n + i]);
        }
    return n ? sum / (2 * n) : 0;
}

static void fill(double *x, int n, random_state *random) { /* values that f32 holds exactly */
    for (int i = 0; i < n; i++) x[i] = (double)(float)random_normal(random);
}

static void make_case(alignment_case *c, int rows, alignment_options options, bool masked) {
    random_state random = random_seed((uint64_t)rows);
    *c = (alignment_case){.rows = rows, .options = options, .masked = masked};
    fill(c->z, rows * WIDTH, &random);
    fill(c->t, rows * WIDTH, &random);
    fill(c->e, rows * TARGET_WIDTH, &random);
    for (int i = 0; i < rows; i++) c->mask[i] = i % 3 != 1;
}

static void put(tensor *t, const double *values) {
    for (int64_t i = 0; i < tensor_count(t); i++) tensor_data(t)[i] = (float)values[i];
}

typedef struct alignment_run {
    float loss, dz[MAX_ROWS * WIDTH], dt[MAX_ROWS * WIDTH];
} alignment_run;

static void run_case(alignment_run *out, const alignment_case *c, thread_pool *pool) {
    graph *g;
    graph_options options = {.training = true, .pool = pool};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    tensor *z = graph_input(g, "z", 2, (int64_t[]){c->rows, WIDTH});
    tensor *t = graph_input(g, "t", 2, (int64_t[]){c->rows, WIDTH});
    tensor *e = graph_input(g, "e", 2, (int64_t[]){c->rows, TARGET_WIDTH});
    tensor *mask = graph_input(g, "mask", 1, (int64_t[]){c->rows});
    graph_require_gradient(g, z);
    graph_require_gradient(g, t);
    tensor *loss = op_alignment_loss(g, z, t, &c->options, c->options.identity ? NULL : e, c->masked ? mask : NULL);
    graph_loss(g, loss);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    for (int time = 0; time < 2; time++) { /* the second run finds what the first left behind */
        put(z, c->z), put(t, c->t), put(e, c->e), put(mask, c->mask);
        graph_forward(g);
        out->loss = *tensor_data(loss);
        graph_backward(g);
    }
    memcpy(out->dz, tensor_gradient(z), (size_t)(c->rows * WIDTH) * sizeof(float));
    memcpy(out->dt, tensor_gradient(t), (size_t)(c->rows * WIDTH) * sizeof(float));
    graph_free(g);
}

static void check_differences(alignment_case *c, double *values, const float *gradient, const char *what) {
    for (int i = 0; i < c->rows * WIDTH; i++) {
        double at[2], kept = values[i], h = 1e-5;
        for (int side = 0; side < 2; side++) {
            values[i] = kept + (side ? h : -h);
            at[side] = alignment_reference(c);
        }
        values[i] = kept;
        double measured = (at[1] - at[0]) / (2 * h);
        if (fabs(measured - (double)gradient[i]) > 1e-4 * fmax(1, fabs(measured)))
            fail_msg("d%s %d of %d rows: differences %.7f, gradient %.7f", what, i, c->rows, measured,
                     (double)gradient[i]);
        if (c->masked && !(c->mask[i / WIDTH] > 0)) assert_true(gradient[i] == 0);
    }
}

static void alignment_matches_the_formula(void **state) {
    (void)state;
    static alignment_case c;
    static alignment_run run;
    static const alignment_options options[] = {
        {.tau = 0.1f}, {.tau = 0.05f, .target_tau = 0.2f}, {.tau = 0.1f, .identity = true}};
    for (int i = 0; i < 3; i++)
        for (int masked = 0; masked < 2; masked++) {
            make_case(&c, 13, options[i], masked);
            run_case(&run, &c, NULL);
            assert_float_equal(run.loss, (float)alignment_reference(&c), 1e-4);
            check_differences(&c, c.z, run.dz, "z");
            check_differences(&c, c.t, run.dt, "t");
        }
}

static void alignment_of_equal_sides_costs_what_the_target_leaves(void **state) {
    (void)state;
    static alignment_case c;
    static alignment_run run;
    make_case(&c, 9, (alignment_options){.tau = 0.01f}, false);
    memset(c.e, 0, sizeof c.e); /* e = z = t: the rows' divergence is 0, and the columns' at its least */
    memcpy(c.t, c.z, sizeof c.z);
    for (int i = 0; i < c.rows; i++) memcpy(c.e + i * TARGET_WIDTH, c.z + i * WIDTH, WIDTH * sizeof *c.z);
    run_case(&run, &c, NULL);
    assert_float_equal(run.loss, (float)alignment_reference(&c), 1e-4);
    c.masked = true;
    memset(c.mask, 0, sizeof c.mask); /* nothing valid */
    run_case(&run, &c, NULL);
    assert_true(run.loss == 0 && run.dz[0] == 0 && run.dt[5] == 0);
    c.mask[4] = 1; /* one row is always found */
    run_case(&run, &c, NULL);
    assert_float_equal(run.loss, 0, 1e-6);
    c.masked = false;
    memset(c.z, 0, WIDTH * sizeof *c.z); /* a row of zeros: no direction, no gradient, no NaN */
    run_case(&run, &c, NULL);
    assert_true(isfinite(run.loss));
    for (int i = 0; i < WIDTH; i++) assert_true(run.dz[i] == 0);
}

static void threads_do_not_change_the_alignment(void **state) {
    (void)state;
    static alignment_case c;
    static alignment_run run[2];
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 3, NULL), CARINA_OK);
    make_case(&c, MAX_ROWS, (alignment_options){.tau = 0.05f}, true);
    run_case(&run[0], &c, NULL);
    run_case(&run[1], &c, pool);
    assert_float_equal(run[0].loss, (float)alignment_reference(&c), 1e-3);
    assert_memory_equal(&run[0], &run[1], sizeof run[0]);
    thread_pool_free(pool);
}

static void alignment_refuses_what_does_not_fit(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        graph *g;
        graph_options options = {.training = true};
        assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
        tensor *z = graph_input(g, "z", 2, (int64_t[]){4, 3}),
               *t = graph_input(g, "t", 2, (int64_t[]){4, i == 0 ? 2 : 3});
        tensor *e = graph_input(g, "e", 2, (int64_t[]){i == 1 ? 5 : 4, 3});
        tensor *mask = graph_input(g, "mask", 1, (int64_t[]){i == 2 ? 3 : 4});
        assert_null(op_alignment_loss(g, z, t, &(alignment_options){.tau = i == 3 ? 0 : 1}, e, mask));
        carina_error error;
        assert_int_not_equal(graph_plan(g, &error), CARINA_OK);
        assert_non_null(strstr(error.message, "alignment loss"));
        graph_free(g);
    }
}

/* ---- masked words ---- */

enum { TOKENS = 6, WORDS = 9 };
static const float word_targets[TOKENS] = {3, -1, 0, 8, 9, 3}; /* -1 and 9 are no words */

static double token_reference(const double *x) {
    double sum = 0;
    int count = 0;
    for (int i = 0; i < TOKENS; i++) {
        if (word_targets[i] < 0 || word_targets[i] >= WORDS) continue;
        double total = 0;
        for (int v = 0; v < WORDS; v++) total += exp(x[i * WORDS + v]);
        sum += log(total) - x[i * WORDS + (int)word_targets[i]], count++;
    }
    return sum / count;
}

static void token_cross_entropy_matches_the_formula(void **state) {
    (void)state;
    graph *g;
    graph_options options = {.training = true};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    tensor *x = graph_input(g, "x", 3, (int64_t[]){2, TOKENS / 2, WORDS});
    tensor *target = graph_input(g, "target", 2, (int64_t[]){2, TOKENS / 2});
    graph_require_gradient(g, x);
    tensor *loss = op_token_cross_entropy(g, x, target);
    graph_loss(g, loss);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    double values[TOKENS * WORDS];
    random_state random = random_seed(8);
    fill(values, TOKENS * WORDS, &random);
    values[0] = 300; /* beyond what exp takes without its maximum removed first */
    put(x, values);
    memcpy(tensor_data(target), word_targets, sizeof word_targets);
    graph_forward(g);
    assert_float_equal(*tensor_data(loss), (float)token_reference(values), 1e-4);
    graph_backward(g);
    for (int i = 0; i < TOKENS * WORDS; i++) {
        double at[2], kept = values[i], h = 1e-5;
        for (int side = 0; side < 2; side++) {
            values[i] = kept + (side ? h : -h);
            at[side] = token_reference(values);
        }
        values[i] = kept;
        assert_float_equal(tensor_gradient(x)[i], (float)((at[1] - at[0]) / (2 * h)), 1e-5);
        if (i / WORDS == 1 || i / WORDS == 4) assert_true(tensor_gradient(x)[i] == 0);
    }
    put(x, values);
    for (int i = 0; i < TOKENS; i++) tensor_data(target)[i] = -1;
    graph_forward(g);
    assert_true(*tensor_data(loss) == 0); /* no masked token at all */
    graph_free(g);
}

/* ---- the next token, without logits ---- */

typedef struct next_run {
    graph *g;
    parameters *set;
    parameter *words;
    tensor *x, *target, *share, *loss;
} next_run;

enum { NEXT_ROWS = 70, NEXT_WIDTH = 6, NEXT_WORDS = 13 }; /* two blocks, the second one short */

static next_run start_next(int64_t rows, int64_t width, int64_t words, bool whole) {
    next_run r;
    graph_options options = {.training = true};
    assert_int_equal(parameters_create(&r.set, NULL), CARINA_OK);
    r.words = parameters_add(r.set, "words", PARAMETER_WEIGHT, 2, (int64_t[]){words, width});
    random_state random = random_seed(4);
    parameter_fill_normal(r.words, &random, 0.5);
    assert_int_equal(parameters_allocate_gradients(r.set, NULL), CARINA_OK);
    assert_int_equal(graph_create(&r.g, &options, NULL), CARINA_OK);
    r.x = graph_input(r.g, "x", 3, (int64_t[]){2, rows / 2, width});
    graph_require_gradient(r.g, r.x);
    r.target = graph_input(r.g, "target", 2, (int64_t[]){2, rows / 2});
    r.share = graph_input(r.g, "share", 2, (int64_t[]){2, rows / 2});
    tensor *table = graph_parameter(r.g, r.words);
    r.loss = whole ? op_token_cross_entropy(r.g, op_linear(r.g, r.x, table, NULL, ACTIVATION_NONE), r.target)
                   : op_vocabulary_cross_entropy(r.g, r.x, table, r.target, r.share);
    graph_loss(r.g, r.loss);
    assert_int_equal(graph_plan(r.g, NULL), CARINA_OK);
    return r;
}

static void fill_next(next_run *r, bool any) {
    int counted = 0;
    random_state random = random_seed(5);
    for (int i = 0; i < NEXT_ROWS * NEXT_WIDTH; i++) tensor_data(r->x)[i] = (float)random_normal(&random);
    tensor_data(r->x)[0] = 400; /* beyond what exp takes without the maximum removed first */
    for (int i = 0; i < NEXT_ROWS; i++) {
        tensor_data(r->target)[i] = any && i % 4 ? (float)(i % NEXT_WORDS) : i % 8 ? -1 : NEXT_WORDS;
        counted += any && i % 4;
    }
    for (int i = 0; i < NEXT_ROWS; i++) tensor_data(r->share)[i] = 1.0f / (float)(counted ? counted : 1);
}

static void run_next(next_run *r, bool any) {
    fill_next(r, any);
    parameters_zero_gradients(r->set);
    graph_forward(r->g);
    graph_backward(r->g);
}

static void finish_next(next_run *r) {
    graph_free(r->g);
    parameters_free(r->set);
}

static void assert_near(const float *got, const float *wanted, int count) {
    for (int i = 0; i < count; i++)
        if (!(fabsf(got[i] - wanted[i]) <= 1e-5f * (1 + fabsf(wanted[i]))))
            fail_msg("%d: %g, wanted %g", i, (double)got[i], (double)wanted[i]);
}

/* The same as over logits that are kept, with gradients; rows without a target get none. */
static void vocabulary_cross_entropy_is_that_of_all_logits(void **state) {
    (void)state;
    next_run ours = start_next(NEXT_ROWS, NEXT_WIDTH, NEXT_WORDS, false);
    next_run theirs = start_next(NEXT_ROWS, NEXT_WIDTH, NEXT_WORDS, true);
    for (int time = 0; time < 2; time++) {
        run_next(&ours, true), run_next(&theirs, true);
        assert_near(tensor_data(ours.loss), tensor_data(theirs.loss), 1);
        assert_near(tensor_gradient(ours.x), tensor_gradient(theirs.x), NEXT_ROWS * NEXT_WIDTH);
        assert_near(ours.words->gradient, theirs.words->gradient, NEXT_WORDS * NEXT_WIDTH);
        for (int i = 0; i < NEXT_WIDTH; i++) assert_true(tensor_gradient(ours.x)[4 * NEXT_WIDTH + i] == 0);
    }
    run_next(&ours, false);
    assert_true(*tensor_data(ours.loss) == 0);
    for (int i = 0; i < NEXT_WORDS * NEXT_WIDTH; i++) assert_true(ours.words->gradient[i] == 0);
    finish_next(&ours), finish_next(&theirs);
}

/* A share of zero takes a token out, a share of two counts it twice. */
static void shares_weigh_the_tokens(void **state) {
    (void)state;
    static const float shares[3][2] = {{0, 1}, {2, 0}, {2, 1}}; /* of even and odd tokens */
    float sums[3];
    next_run r = start_next(NEXT_ROWS, NEXT_WIDTH, NEXT_WORDS, false);
    for (int kind = 0; kind < 3; kind++) {
        fill_next(&r, true);
        for (int i = 0; i < NEXT_ROWS; i++) tensor_data(r.share)[i] = shares[kind][i % 2];
        graph_forward(r.g);
        sums[kind] = *tensor_data(r.loss);
    }
    assert_true(sums[0] > 10 && sums[1] > 10);
    assert_float_equal(sums[0] + sums[1], sums[2], 1e-5f * sums[2]);
    finish_next(&r);
}

/* Gemma's vocabulary and 4,096 tokens: logits would take 4 GiB. Planned only, the memory is not touched. */
static void logits_are_never_whole(void **state) {
    (void)state;
    next_run r = start_next(4096, 4, 262144, false);
    assert_true(graph_planned_bytes(r.g) < 200u << 20);
    finish_next(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment_matches_the_formula),
        cmocka_unit_test(alignment_of_equal_sides_costs_what_the_target_leaves),
        cmocka_unit_test(threads_do_not_change_the_alignment),
        cmocka_unit_test(alignment_refuses_what_does_not_fit),
        cmocka_unit_test(token_cross_entropy_matches_the_formula),
        cmocka_unit_test(vocabulary_cross_entropy_is_that_of_all_logits),
        cmocka_unit_test(shares_weigh_the_tokens),
        cmocka_unit_test(logits_are_never_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
