/* Gemma 3 against PyTorch (tests/data/gemma3, made by tools/make_gemma3_fixture.py): logits, gradients, bf16, any
 * number of threads; and configurations that make no model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gemma3_fixture.h"

typedef struct run {
    tensor_file expected;
    gemma3 *model;
    graph *g;
    tensor *ids, *vectors, *logits, *total;
} run;

static void record_total(run *r) {
    int64_t count = tensor_count(r->logits);
    float *values = fixture_values(&r->expected, "cotangent", count);
    r->total = op_dot(r->g, op_reshape(r->g, r->logits, 1, &count), graph_constant(r->g, 1, &count, values));
    graph_loss(r->g, r->total);
    free(values);
}

static run start(const gemma3_fixture *f, bool training, thread_pool *pool, tensor_type type) {
    run r = {.expected = gemma3_fixture_file(f, "expected"), .model = gemma3_fixture_load(f)};
    carina_error error = {0};
    const named_tensor *shape = tensor_file_find(&r.expected, "vectors");
    int64_t size[3] = {(int64_t)shape->shape[0], (int64_t)shape->shape[1], (int64_t)shape->shape[2]};
    const graph_options options = {.pool = pool, .training = training, .type = type};
    if (training) assert_int_equal(parameters_allocate_gradients(r.model->parameters, NULL), CARINA_OK);
    assert_int_equal(graph_create(&r.g, &options, NULL), CARINA_OK);
    r.ids = graph_input(r.g, "ids", 2, size);
    r.vectors = graph_input(r.g, "vectors", 3, size);
    graph_require_gradient(r.g, r.vectors);
    r.logits = gemma3_record_logits(r.g, r.model, gemma3_record_body(r.g, r.model, r.ids, r.vectors, NULL));
    if (r.logits) graph_output(r.g, r.logits);
    if (r.logits && training) record_total(&r);
    if (graph_plan(r.g, &error) != CARINA_OK) fail_msg("%s", error.message);
    fixture_fill(&r.expected, "ids", r.ids);
    fixture_fill(&r.expected, "vectors", r.vectors);
    graph_forward(r.g);
    if (training) graph_backward(r.g);
    return r;
}

static void finish(run *r) {
    graph_free(r->g);
    gemma3_free(r->model);
    tensor_file_free(&r->expected);
}

static void logits_match_pytorch(void **state) {
    (void)state;
    for (size_t i = 0; i < GEMMA3_FIXTURE_COUNT; i++)
        for (int type = 0; type < 2; type++) {
            run r = start(&gemma3_fixtures[i], false, NULL, type ? TENSOR_BF16 : TENSOR_F32);
            fixture_check(&r.expected, "logits", tensor_data(r.logits), tensor_count(r.logits), 0, type ? 4e-2 : 1e-5);
            finish(&r);
        }
}

static void gradients_match_pytorch(void **state) {
    (void)state;
    for (size_t i = 0; i < GEMMA3_FIXTURE_COUNT; i++) {
        run r = start(&gemma3_fixtures[i], true, NULL, TENSOR_F32);
        fixture_check(&r.expected, "total", tensor_data(r.total), 1, 10, 1e-5);
        fixture_check(&r.expected, "gradient.vectors", tensor_gradient(r.vectors), tensor_count(r.vectors), 0, 1e-4);
        for (int k = 0; k < r.model->parameters->count; k++) {
            const parameter *p = r.model->parameters->items[k];
            char name[128];
            snprintf(name, sizeof name, "gradient.%s", p->name);
            fixture_check(&r.expected, name, p->gradient, p->count, 1e-2, 1e-4);
        }
        finish(&r);
    }
}

static void threads_do_not_change_results(void **state) {
    (void)state;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 3, NULL), CARINA_OK);
    run one = start(&gemma3_fixtures[0], true, NULL, TENSOR_F32),
        many = start(&gemma3_fixtures[0], true, pool, TENSOR_F32);
    assert_memory_equal(tensor_data(one.logits), tensor_data(many.logits), (size_t)tensor_count(one.logits) * 4);
    for (int i = 0; i < one.model->parameters->count; i++) {
        const parameter *p = one.model->parameters->items[i], *q = many.model->parameters->items[i];
        if (memcmp(p->gradient, q->gradient, (size_t)p->count * 4) != 0) fail_msg("gradients of %s differ", p->name);
    }
    finish(&one);
    finish(&many);
    thread_pool_free(pool);
}

/* The loss of training is that of the logits; tied and untied. */
static void loss_is_that_of_the_logits(void **state) {
    (void)state;
    for (size_t i = 0; i < GEMMA3_FIXTURE_COUNT; i++) {
        run r = start(&gemma3_fixtures[i], false, NULL, TENSOR_F32);
        int64_t tokens = tensor_count(r.ids), words = r.model->config.vocabulary;
        double wanted = 0;
        for (int64_t t = 0; t < tokens; t++) {
            const float *row = tensor_data(r.logits) + t * words;
            double sum = 0;
            for (int64_t v = 0; v < words; v++) sum += exp((double)row[v]);
            wanted += t % 3 ? 0.5 * (log(sum) - (double)row[t % words]) : 0;
        }
        graph *g;
        assert_int_equal(graph_create(&g, &(graph_options){0}, NULL), CARINA_OK);
        int64_t size[3] = {tensor_size(r.vectors, 0), tensor_size(r.vectors, 1), tensor_size(r.vectors, 2)};
        tensor *ids = graph_input(g, "ids", 2, size), *targets = graph_input(g, "targets", 2, size);
        tensor *shares = graph_input(g, "shares", 2, size), *vectors = graph_input(g, "vectors", 3, size);
        tensor *loss =
            gemma3_record_loss(g, r.model, gemma3_record_body(g, r.model, ids, vectors, NULL), targets, shares);
        graph_output(g, loss);
        assert_int_equal(graph_plan(g, NULL), CARINA_OK);
        fixture_fill(&r.expected, "ids", ids);
        fixture_fill(&r.expected, "vectors", vectors);
        for (int64_t t = 0; t < tokens; t++) {
            tensor_data(targets)[t] = (float)(t % words);
            tensor_data(shares)[t] = t % 3 ? 0.5f : 0;
        }
        graph_forward(g);
        assert_float_equal(*tensor_data(loss), (float)wanted, 1e-4f * (float)wanted);
        graph_free(g);
        finish(&r);
    }
}

static void configurations_are_checked(void **state) {
    (void)state;
    carina_error error;
    gemma3_config c = gemma3_config_4b();
    assert_int_equal(gemma3_config_check(&c, &error), CARINA_OK);
    c.key_heads = 3;
    assert_int_equal(gemma3_config_check(&c, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "num_key_value_heads: 3 does not divide num_attention_heads, 8"));
    c = gemma3_config_1b();
    assert_int_equal(gemma3_config_check(&c, &error), CARINA_OK);
    assert_true(gemma3_is_global(&c, 5) && !gemma3_is_global(&c, 4) && !gemma3_is_global(&c, 6));
    c.layers = 1000;
    assert_int_equal(gemma3_config_check(&c, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "num_hidden_layers: 1000 is not within"));
    c.layers = 2;
    c.global_base = NAN;
    assert_int_equal(gemma3_config_check(&c, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "rope_theta"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_match_pytorch),          cmocka_unit_test(gradients_match_pytorch),
        cmocka_unit_test(threads_do_not_change_results), cmocka_unit_test(loss_is_that_of_the_logits),
        cmocka_unit_test(configurations_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
