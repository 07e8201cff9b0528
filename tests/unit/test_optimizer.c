/* Schedules by hand, AdamW against its formulas in double, clipping, averages, equality over thread counts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))

#include "train/optimizer.h"
#include "train/schedule.h"

static void schedules(void **state) {
    (void)state;
    schedule s = {.kind = SCHEDULE_CONSTANT, .rate = 2, .warmup_steps = 4, .total_steps = 104, .final_fraction = 0.1};
    assert_near(schedule_rate(&s, 0), 0.5, 1e-12);
    assert_near(schedule_rate(&s, 3), 2, 1e-12);
    assert_near(schedule_rate(&s, 1000), 2, 1e-12);
    s.kind = SCHEDULE_LINEAR;
    assert_near(schedule_rate(&s, 4), 2, 1e-12);
    assert_near(schedule_rate(&s, 54), 2 * 0.55, 1e-12);
    assert_near(schedule_rate(&s, 104), 0.2, 1e-12);
    assert_near(schedule_rate(&s, 9999), 0.2, 1e-12);
    s.kind = SCHEDULE_COSINE;
    assert_near(schedule_rate(&s, 4), 2, 1e-12);
    assert_near(schedule_rate(&s, 54), 2 * 0.55, 1e-12);
    assert_near(schedule_rate(&s, 29), 2 * (0.1 + 0.9 * 0.5 * (1 + sqrt(0.5))), 1e-12);
    s.kind = SCHEDULE_STEP;
    s.step_every = 10;
    s.step_factor = 0.5;
    assert_near(schedule_rate(&s, 13), 2, 1e-12);
    assert_near(schedule_rate(&s, 14), 1, 1e-12);
    assert_near(schedule_rate(&s, 34), 0.25, 1e-12);
    schedule_kind kind;
    assert_true(schedule_kind_find(&kind, "cosine"));
    assert_int_equal(kind, SCHEDULE_COSINE);
    assert_false(schedule_kind_find(&kind, "cosin"));
}

/* A matrix larger than one piece, a bias, a frozen weight and a buffer. */
static parameters *make_set(void) {
    parameters *set;
    assert_int_equal(parameters_create(&set, NULL), CARINA_OK);
    random_state random = random_seed(5);
    parameter *w = parameters_add(set, "w", PARAMETER_WEIGHT, 2, (int64_t[]){300, 200});
    parameter *b = parameters_add(set, "b", PARAMETER_WEIGHT, 1, (int64_t[]){7});
    parameter *f = parameters_add(set, "f", PARAMETER_WEIGHT, 1, (int64_t[]){3});
    parameter *mean = parameters_add(set, "mean", PARAMETER_BUFFER, 1, (int64_t[]){2});
    parameter_fill_normal(w, &random, 1);
    parameter_fill_normal(b, &random, 1);
    parameter_fill(f, 2);
    parameter_fill(mean, 4);
    f->trainable = false;
    b->group = 1;
    return set;
}

static void fill_gradients(parameters *set, uint64_t step) {
    for (int i = 0; i < set->count; i++) {
        parameter *p = set->items[i];
        random_state random = random_stream(step, (uint64_t)i);
        for (int64_t k = 0; p->gradient && k < p->count; k++) p->gradient[k] = (float)random_normal(&random);
    }
}

static void adamw_follows_its_formulas(void **state) {
    (void)state;
    parameters *set = make_set();
    optimizer_options options = optimizer_defaults();
    options.clip_norm = 1;
    options.groups[1] = (optimizer_group){0.1, 0.5};
    options.groups[0].weight_decay = 0.01;
    optimizer *o;
    assert_int_equal(optimizer_create(&o, set, &options, NULL, NULL), CARINA_OK);
    double w = (double)set->items[0]->value[11], b = (double)set->items[1]->value[3];
    double mw = 0, vw = 0, mb = 0, vb = 0;
    for (int t = 1; t <= 5; t++) {
        double rate = 0.01 * t, norm, sum = 0;
        fill_gradients(set, (uint64_t)t);
        for (int i = 0; i < 2; i++)
            for (int64_t k = 0; k < set->items[i]->count; k++) sum += pow((double)set->items[i]->gradient[k], 2);
        double gw = (double)set->items[0]->gradient[11] / sqrt(sum),
               gb = (double)set->items[1]->gradient[3] / sqrt(sum);
        assert_true(optimizer_step(o, rate, &norm));
        assert_near(norm, sqrt(sum), 1e-6 * norm);
        mw = 0.9 * mw + 0.1 * gw, vw = 0.999 * vw + 0.001 * gw * gw;
        mb = 0.9 * mb + 0.1 * gb, vb = 0.999 * vb + 0.001 * gb * gb;
        double c1 = 1 - pow(0.9, t), c2 = 1 - pow(0.999, t);
        w = w - rate * (mw / c1 / (sqrt(vw / c2) + 1e-8) + 0.01 * w);
        b = b - 0.1 * rate * (mb / c1 / (sqrt(vb / c2) + 1e-8)); /* vectors do not decay */
        assert_near((double)set->items[0]->value[11], w, 1e-5);
        assert_near((double)set->items[1]->value[3], b, 1e-5);
    }
    assert_near(set->items[2]->value[0], 2, 0);
    assert_near(set->items[3]->value[0], 4, 0);

    float before = set->items[0]->value[0];
    set->items[0]->gradient[50000] = NAN;
    assert_false(optimizer_step(o, 1, NULL));
    assert_true(set->items[0]->value[0] == before);
    assert_int_equal(o->step, 5);
    optimizer_free(o);
    parameters_free(set);
}

static void averages(void **state) {
    (void)state;
    parameters *set = make_set();
    optimizer_options options = optimizer_defaults();
    options.ema_decay = 0.5;
    optimizer *o;
    assert_int_equal(optimizer_create(&o, set, &options, NULL, NULL), CARINA_OK);
    double average = (double)set->items[0]->value[9], mean = 4;
    for (int t = 1; t <= 12; t++) {
        fill_gradients(set, (uint64_t)t);
        set->items[3]->value[0] = (float)t; /* running statistics are averaged too */
        assert_true(optimizer_step(o, 0.1, NULL));
        double decay = fmin(0.5, (1.0 + t) / (10.0 + t));
        average = decay * average + (1 - decay) * (double)set->items[0]->value[9];
        mean = decay * mean + (1 - decay) * t;
    }
    float plain = set->items[0]->value[9];
    uint64_t version = set->items[0]->version;
    optimizer_use_average(o, true);
    optimizer_use_average(o, true);
    assert_true(set->items[0]->version > version); /* packed copies of the weights must know */
    assert_near((double)set->items[0]->value[9], average, 1e-5);
    assert_near((double)set->items[3]->value[0], mean, 1e-5);
    optimizer_use_average(o, false);
    assert_true(set->items[0]->value[9] == plain);
    optimizer_free(o);
    parameters_free(set);
}

static void same_for_any_thread_count(void **state) {
    (void)state;
    parameters *sets[2];
    double norms[2] = {0};
    for (int run = 0; run < 2; run++) {
        thread_pool *pool = NULL;
        assert_int_equal(thread_pool_create(&pool, run ? 3 : 1, NULL), CARINA_OK);
        sets[run] = make_set();
        optimizer_options options = optimizer_defaults();
        options.clip_norm = 0.1;
        options.ema_decay = 0.99;
        optimizer *o;
        assert_int_equal(optimizer_create(&o, sets[run], &options, pool, NULL), CARINA_OK);
        for (uint64_t t = 0; t < 4; t++) {
            fill_gradients(sets[run], t);
            assert_true(optimizer_step(o, 0.01, &norms[run]));
        }
        optimizer_use_average(o, true);
        optimizer_free(o);
        thread_pool_free(pool);
    }
    assert_true(norms[0] == norms[1]);
    for (int i = 0; i < sets[0]->count; i++)
        assert_memory_equal(sets[0]->items[i]->value, sets[1]->items[i]->value,
                            (size_t)sets[0]->items[i]->count * sizeof(float));
    parameters_free(sets[0]);
    parameters_free(sets[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules),
        cmocka_unit_test(adamw_follows_its_formulas),
        cmocka_unit_test(averages),
        cmocka_unit_test(same_for_any_thread_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
