/* Convolutions and attention in bf16, forward and gradients, against the same graph in f32 (which test_gradients holds
 * against finite differences): every path of tensor/tile_convolution.h and tile_attention.h, strips and blocks that end
 * in the middle, and the same bits for one and two threads. On a processor without tiles the same cases run through
 * oneDNN. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/half.h"
#include "tensor/ops.h"

typedef struct test_case {
    const char *name;
    int64_t batch, height, width, channels, outputs;
    int kernel, stride, padding;
    bool frozen_norm, residual, relu;
} test_case;

static const test_case cases[] = {
    {"1x1", 2, 13, 11, 64, 96, 1, 1, 0, false, false, false},
    {"1x1 with everything", 1, 40, 33, 32, 256, 1, 1, 0, true, true, true},
    {"1x1, fewer outputs", 3, 24, 24, 160, 32, 1, 1, 0, true, false, true},
    {"3x3", 2, 17, 19, 32, 64, 3, 1, 1, false, false, true},
    {"3x3, many strips", 1, 90, 130, 64, 64, 3, 1, 1, true, true, true},
    {"3x3, wide", 2, 8, 8, 256, 320, 3, 1, 1, true, false, false},
    {"3x3 stride 2", 2, 26, 20, 64, 96, 3, 2, 1, true, false, true},
    {"3x3 stride 2, strips", 1, 96, 128, 64, 128, 3, 2, 1, false, false, true},
    {"3x3 stride 2, odd", 1, 33, 35, 32, 32, 3, 2, 1, false, false, true},
    {"stem", 2, 70, 90, 1, 64, 7, 2, 3, true, false, true},
};

/* Output and gradients of one graph (y, dx, dw, or y, dq, dk, dv); what the tests compare. */
#define RESULTS 4
typedef struct result {
    float *values[RESULTS];
    int64_t count[RESULTS];
} result;

static void keep(result *r, int slot, const float *values, int64_t count) {
    r->values[slot] = malloc((size_t)count * sizeof(float));
    memcpy(r->values[slot], values, (size_t)count * sizeof(float));
    r->count[slot] = count;
}
static void result_free(result *r) {
    for (int i = 0; i < RESULTS; i++) free(r->values[i]);
}

static parameter *vector(parameters *set, const char *name, int64_t count, random_state *random, double mean) {
    parameter *p = parameters_add(set, name, PARAMETER_WEIGHT, 1, &count);
    for (int64_t i = 0; i < count; i++) p->value[i] = (float)(mean + 0.2 * random_normal(random));
    p->trainable = false;
    return p;
}

static result run_convolution(const test_case *c, tensor_type type, int threads) {
    random_state random = random_seed(5);
    parameters *set;
    thread_pool *pool;
    graph *g;
    assert_int_equal(thread_pool_create(&pool, threads, NULL), CARINA_OK);
    assert_int_equal(parameters_create(&set, NULL), CARINA_OK);
    graph_options options = {.pool = pool, .training = true, .type = type};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    parameter *w =
        parameters_add(set, "w", PARAMETER_WEIGHT, 4, (int64_t[]){c->outputs, c->channels, c->kernel, c->kernel});
    parameter_fill_normal(w, &random, 0.05);
    norm_parameters norm = {vector(set, "g", c->outputs, &random, 1), vector(set, "b", c->outputs, &random, 0),
                            vector(set, "m", c->outputs, &random, 0), vector(set, "v", c->outputs, &random, 2), 1e-5f};
    assert_int_equal(parameters_allocate_gradients(set, NULL), CARINA_OK);
    tensor *x = graph_input(g, "x", 4, (int64_t[]){c->batch, c->height, c->width, c->channels});
    graph_require_gradient(g, x);
    convolution_options conv = {
        .stride = c->stride, .padding = c->padding, .relu = c->relu, .frozen_norm = c->frozen_norm ? &norm : NULL};
    int64_t height = (c->height + 2 * c->padding - c->kernel) / c->stride + 1;
    int64_t width = (c->width + 2 * c->padding - c->kernel) / c->stride + 1;
    tensor *residual = c->residual ? graph_input(g, "r", 4, (int64_t[]){c->batch, height, width, c->outputs}) : NULL;
    tensor *y = op_convolution(g, op_cast(g, x, type), graph_parameter(g, w), NULL,
                               residual ? op_cast(g, residual, type) : NULL, &conv);
    y = op_cast(g, y, TENSOR_F32);
    float *targets = malloc((size_t)tensor_count(y) * sizeof *targets);
    for (int64_t i = 0; i < tensor_count(y); i++) targets[i] = (float)random_uniform(&random);
    int64_t count = tensor_count(y);
    graph_output(g, y);
    tensor *loss = op_binary_cross_entropy(g, op_reshape(g, y, 1, &count), graph_constant(g, 1, &count, targets));
    graph_loss(g, op_scale(g, loss, 1000));
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    for (int64_t i = 0; i < tensor_count(x); i++)
        tensor_data(x)[i] = bf16_to_f32(bf16_from_f32((float)random_normal(&random)));
    for (int64_t i = 0; residual && i < tensor_count(residual); i++)
        tensor_data(residual)[i] = bf16_to_f32(bf16_from_f32((float)random_normal(&random)));
    graph_forward(g);
    graph_backward(g);
    result r = {0};
    keep(&r, 0, tensor_data(y), count);
    keep(&r, 1, tensor_gradient(x), tensor_count(x));
    keep(&r, 2, w->gradient, w->count);
    free(targets);
    graph_free(g);
    parameters_free(set);
    thread_pool_free(pool);
    return r;
}

typedef struct attention_case {
    int64_t batch, queries, keys, width;
    int heads;
    bool masked;
} attention_case;

static const attention_case attention_cases[] = {
    {2, 36, 145, 128, 4, false}, {1, 300, 300, 128, 2, false}, {3, 5, 33, 64, 1, true}};

static result run_attention(const attention_case *c, tensor_type type, int threads) {
    random_state random = random_seed(6);
    thread_pool *pool;
    graph *g;
    assert_int_equal(thread_pool_create(&pool, threads, NULL), CARINA_OK);
    graph_options options = {.pool = pool, .training = true, .type = type};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    tensor *input[3], *narrow[3];
    static const char *const names[3] = {"q", "k", "v"};
    for (int i = 0; i < 3; i++) {
        input[i] = graph_input(g, names[i], 3, (int64_t[]){c->batch, i ? c->keys : c->queries, c->width});
        graph_require_gradient(g, input[i]);
        narrow[i] = op_cast(g, input[i], type);
    }
    float *ones = malloc((size_t)(c->batch * c->keys) * sizeof *ones);
    for (int64_t i = 0; i < c->batch * c->keys; i++) ones[i] = !c->masked || i % 3 ? 1 : 0;
    tensor *mask = c->masked ? graph_constant(g, 2, (int64_t[]){c->batch, c->keys}, ones) : NULL;
    tensor *y = op_cast(
        g, op_attention(g, narrow[0], narrow[1], narrow[2], &(attention_options){.heads = c->heads, .mask = mask}),
        TENSOR_F32);
    free(ones);
    int64_t count = tensor_count(y);
    float *targets = malloc((size_t)count * sizeof *targets);
    for (int64_t i = 0; i < count; i++) targets[i] = (float)random_uniform(&random);
    graph_output(g, y);
    tensor *loss = op_binary_cross_entropy(g, op_reshape(g, y, 1, &count), graph_constant(g, 1, &count, targets));
    graph_loss(g, op_scale(g, loss, 1000));
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < tensor_count(input[k]); i++)
            tensor_data(input[k])[i] = bf16_to_f32(bf16_from_f32((float)(1.5 * random_normal(&random))));
    graph_forward(g);
    graph_backward(g);
    result r = {0};
    keep(&r, 0, tensor_data(y), count);
    for (int k = 0; k < 3; k++) keep(&r, k + 1, tensor_gradient(input[k]), tensor_count(input[k]));
    free(targets);
    graph_free(g);
    thread_pool_free(pool);
    return r;
}

/* Both are freed. */
static void compare(const char *name, result exact, result narrow, double tolerance) {
    for (int k = 0; k < RESULTS; k++) {
        double difference = 0, scale = 0;
        for (int64_t j = 0; j < exact.count[k]; j++) {
            double a = (double)exact.values[k][j], d = (double)narrow.values[k][j] - a;
            difference += d * d, scale += a * a;
        }
        if (!(sqrt(difference) <= tolerance * sqrt(scale)))
            fail_msg("%s: result %d (output, then gradients) differs by %.3g of its norm", name, k,
                     sqrt(difference / scale));
    }
    result_free(&exact);
    result_free(&narrow);
}

static void bf16_is_near_f32(void **state) {
    (void)state;
    if (cpu_level_effective() < CPU_AVX512) skip();
    /* ReLU gates that flip by rounding weigh most; a wrong tap or edge would give far more. */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare(cases[i].name, run_convolution(&cases[i], TENSOR_F32, 1), run_convolution(&cases[i], TENSOR_BF16, 1),
                0.05);
    for (size_t i = 0; i < sizeof attention_cases / sizeof *attention_cases; i++)
        compare("attention", run_attention(&attention_cases[i], TENSOR_F32, 1),
                run_attention(&attention_cases[i], TENSOR_BF16, 1), 0.02);
}

static void threads_change_nothing(void **state) {
    (void)state;
    if (cpu_level_effective() < CPU_AVX512) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare(cases[i].name, run_convolution(&cases[i], TENSOR_BF16, 1), run_convolution(&cases[i], TENSOR_BF16, 2),
                0);
    for (size_t i = 0; i < sizeof attention_cases / sizeof *attention_cases; i++)
        compare("attention", run_attention(&attention_cases[i], TENSOR_BF16, 1),
                run_attention(&attention_cases[i], TENSOR_BF16, 2), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bf16_is_near_f32), cmocka_unit_test(threads_change_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
