/* Orthogonalisation against the plain Newton-Schulz steps in double and against what it is for; Muon against its
 * formulas; equality over thread counts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/muon.h"
#include "train/optimizer.h"
#include "train/orthogonalize.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))

static void fill(float *x, int64_t count, uint64_t seed) {
    random_state random = random_seed(seed);
    for (int64_t i = 0; i < count; i++) x[i] = (float)random_normal(&random);
}

/* c [m, n] = a [m, k] b [k, n], or with a^T given as [k, m]. */
static void multiply(double *c, const double *a, const double *b, int m, int n, int k, bool across) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) sum += (across ? a[l * m + i] : a[i * k + l]) * b[l * n + j];
            c[i * n + j] = sum;
        }
}

/* X <- 3.4445 X - 4.7750 X (X^T X) + 2.0315 X (X^T X)^2, five times, as it is usually written. */
static void plain_steps(double *x, int rows, int columns) {
    int area = columns * columns, count = rows * columns;
    double *gram = calloc((size_t)area, sizeof *gram), *q = calloc((size_t)area, sizeof *q);
    double *next = calloc((size_t)count, sizeof *next), norm = 0;
    for (int i = 0; i < count; i++) norm += x[i] * x[i];
    for (int i = 0; i < count; i++) x[i] /= sqrt(norm);
    for (int step = 0; step < 5; step++) {
        multiply(gram, x, x, columns, columns, rows, true);
        multiply(q, gram, gram, columns, columns, columns, false);
        for (int i = 0; i < area; i++) q[i] = 2.0315 * q[i] - 4.7750 * gram[i] + (i % (columns + 1) ? 0 : 3.4445);
        multiply(next, x, q, rows, columns, columns, false);
        memcpy(x, next, (size_t)count * sizeof *x);
    }
    free(gram);
    free(q);
    free(next);
}

static void orthogonalize(float *out, const float *x, int64_t rows, int64_t columns) {
    orthogonalizer *o;
    assert_int_equal(orthogonalizer_create(&o, rows, columns, NULL), CARINA_OK);
    float *scratch = malloc((size_t)orthogonalizer_scratch(o) * sizeof *scratch);
    orthogonalizer_run(o, out, x, scratch);
    free(scratch);
    orthogonalizer_free(o);
}

static const int shapes[][2] = {{2, 2}, {5, 17}, {17, 5}, {24, 24}, {64, 9}, {3, 200}};

static void steps_are_the_usual_ones(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int rows = shapes[s][0], columns = shapes[s][1], count = rows * columns;
        float *x = calloc((size_t)count, sizeof *x), *out = calloc((size_t)count, sizeof *out);
        double *expected = calloc((size_t)count, sizeof *expected);
        fill(x, count, s + 1);
        for (int i = 0; i < count; i++) expected[i] = (double)x[i];
        plain_steps(expected, rows, columns);
        orthogonalize(out, x, rows, columns);
        for (int i = 0; i < count; i++) assert_near(out[i], expected[i], 1e-3);
        free(x);
        free(out);
        free(expected);
    }
}

/* One direction a thousand times weaker than the others comes out hundreds of times stronger beside them. */
static void weak_directions_are_raised(void **state) {
    (void)state;
    enum { SIDE = 16, LENGTH = 40 };
    float x[SIDE * LENGTH], out[SIDE * LENGTH];
    fill(x, SIDE * LENGTH, 3);
    for (int j = 0; j < LENGTH; j++) x[j] *= 1e-3f;
    orthogonalize(out, x, SIDE, LENGTH);
    for (int i = 0; i < SIDE; i++) {
        double length = 0;
        for (int j = 0; j < LENGTH; j++) length += (double)out[i * LENGTH + j] * (double)out[i * LENGTH + j];
        assert_true(sqrt(length) > (i ? 0.6 : 0.04) && sqrt(length) < 1.2);
    }
    memset(x, 0, sizeof x);
    orthogonalize(out, x, SIDE, LENGTH);
    for (int i = 0; i < SIDE * LENGTH; i++) assert_true(out[i] == 0);
}

/* A kernel, three stacked matrices, a table and a bias. */
static parameters *make_set(void) {
    parameters *set;
    assert_int_equal(parameters_create(&set, NULL), CARINA_OK);
    parameter *kernel = parameters_add(set, "kernel", PARAMETER_WEIGHT, 4, (int64_t[]){6, 4, 3, 3});
    parameter *stacked = parameters_add(set, "stacked", PARAMETER_WEIGHT, 2, (int64_t[]){24, 8});
    parameter *table = parameters_add(set, "table", PARAMETER_WEIGHT, 2, (int64_t[]){10, 8});
    parameter *bias = parameters_add(set, "bias", PARAMETER_WEIGHT, 1, (int64_t[]){5});
    stacked->matrices = 3;
    table->matrices = 0;
    for (int i = 0; i < set->count; i++) fill(set->items[i]->value, set->items[i]->count, (uint64_t)i + 20);
    assert_true(muon_takes(kernel) && muon_takes(stacked) && !muon_takes(table) && !muon_takes(bias));
    return set;
}

static optimizer *make_optimizer(parameters *set, optimizer_kind kind, thread_pool *pool) {
    optimizer_options options = optimizer_defaults();
    options.kind = kind;
    options.groups[0].weight_decay = 0.1;
    optimizer *o;
    assert_int_equal(optimizer_create(&o, set, &options, pool, NULL), CARINA_OK);
    return o;
}

static void run_steps(optimizer *o, int steps) {
    for (int t = 0; t < steps; t++) {
        for (int i = 0; i < o->set->count; i++)
            fill(o->set->items[i]->gradient, o->set->items[i]->count, (uint64_t)(100 * t + i));
        assert_true(optimizer_step(o, 0.01, NULL));
    }
}

static void muon_follows_its_formulas(void **state) {
    (void)state;
    parameters *set = make_set(), *other = make_set();
    optimizer *o = make_optimizer(set, OPTIMIZER_MUON, NULL), *adamw = make_optimizer(other, OPTIMIZER_ADAMW, NULL);
    double value[64], momentum[64] = {0};
    const parameter *stacked = set->items[1];
    for (int i = 0; i < 64; i++) value[i] = (double)stacked->value[64 + i]; /* the one in the middle */
    for (int t = 0; t < 3; t++) {
        float gradient[192];
        double update[64];
        fill(gradient, 192, (uint64_t)(100 * t + 1));
        for (int i = 0; i < 64; i++) {
            momentum[i] = 0.95 * momentum[i] + (double)gradient[64 + i];
            update[i] = (double)gradient[64 + i] + 0.95 * momentum[i];
        }
        plain_steps(update, 8, 8);
        for (int i = 0; i < 64; i++) value[i] = (1 - 0.01 * 0.1) * value[i] - 0.01 * 0.2 * sqrt(8) * update[i];
    }
    run_steps(o, 3);
    run_steps(adamw, 3);
    for (int i = 0; i < 64; i++) assert_near(stacked->value[64 + i], value[i], 1e-4);
    assert_null(o->second[0]);
    for (int i = 2; i < 4; i++) /* tables and vectors are AdamW's */
        assert_memory_equal(set->items[i]->value, other->items[i]->value, (size_t)set->items[i]->count * sizeof(float));
    optimizer_free(o);
    optimizer_free(adamw);
    parameters_free(set);
    parameters_free(other);
}

static void same_for_any_thread_count(void **state) {
    (void)state;
    parameters *sets[2];
    for (int run = 0; run < 2; run++) {
        thread_pool *pool;
        assert_int_equal(thread_pool_create(&pool, run ? 3 : 1, NULL), CARINA_OK);
        sets[run] = make_set();
        optimizer *o = make_optimizer(sets[run], OPTIMIZER_MUON, pool);
        run_steps(o, 4);
        optimizer_free(o);
        thread_pool_free(pool);
    }
    for (int i = 0; i < sets[0]->count; i++)
        assert_memory_equal(sets[0]->items[i]->value, sets[1]->items[i]->value,
                            (size_t)sets[0]->items[i]->count * sizeof(float));
    parameters_free(sets[0]);
    parameters_free(sets[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_usual_ones),
        cmocka_unit_test(weak_directions_are_raised),
        cmocka_unit_test(muon_follows_its_formulas),
        cmocka_unit_test(same_for_any_thread_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
