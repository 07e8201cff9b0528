/* What running takes another way than training (linear layers on packed weights with GELU row by row, attention over
 * few keys) says the same as the definition, f32 and bf16. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "tensor/ops.h"

/* ---- linear ---- */

static void check_linear(int64_t rows, tensor_type type, activation act, double tolerance) {
    enum { INPUTS = 70, OUTPUTS = 45 };
    random_state random = random_seed(3);
    parameters *set;
    graph *g;
    graph_options options = {.type = type};
    assert_int_equal(parameters_create(&set, NULL), CARINA_OK);
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    parameter *w = parameters_add(set, "w", PARAMETER_WEIGHT, 2, (int64_t[]){OUTPUTS, INPUTS});
    parameter *bias = parameters_add(set, "b", PARAMETER_WEIGHT, 1, (int64_t[]){OUTPUTS});
    parameter_fill_normal(w, &random, 0.2);
    parameter_fill_normal(bias, &random, 1);
    tensor *x = graph_input(g, "x", 2, (int64_t[]){rows, INPUTS});
    tensor *y = op_linear(g, op_cast(g, x, type), graph_parameter(g, w), graph_parameter(g, bias), act);
    y = op_cast(g, y, TENSOR_F32);
    graph_output(g, y);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    float *values = malloc((size_t)tensor_count(x) * sizeof *values);
    for (int64_t i = 0; i < tensor_count(x); i++) values[i] = (float)random_normal(&random);
    for (int run = 0; run < 2; run++) { /* the second with other weights: a packed copy must not be the old one */
        memcpy(tensor_data(x), values, (size_t)tensor_count(x) * sizeof *values);
        graph_forward(g);
        for (int64_t i = 0; i < tensor_count(y); i++) {
            double sum = (double)bias->value[i % OUTPUTS];
            for (int64_t k = 0; k < INPUTS; k++)
                sum += (double)values[i / OUTPUTS * INPUTS + k] * (double)w->value[i % OUTPUTS * INPUTS + k];
            if (act == ACTIVATION_GELU) sum *= 0.5 * (1 + erf(sum / sqrt(2)));
            if (fabs(sum - (double)tensor_data(y)[i]) > tolerance)
                fail_msg("%d rows, output %d: %g instead of %g", (int)rows, (int)i, (double)tensor_data(y)[i], sum);
        }
        for (int64_t i = 0; i < w->count; i++) w->value[i] *= -0.5f;
        parameters_changed(set);
    }
    free(values);
    graph_free(g);
    parameters_free(set);
}

static void linear_is_what_it_is_defined_as(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 131, 511, 512, 1000};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_linear(rows[i], TENSOR_F32, ACTIVATION_NONE, 1e-5);
        check_linear(rows[i], TENSOR_F32, ACTIVATION_GELU, 1e-5);
        if (cpu_level_effective() >= CPU_AVX512) check_linear(rows[i], TENSOR_BF16, ACTIVATION_GELU, 8e-2);
    }
}

/* ---- attention ---- */

typedef struct attention_case {
    int64_t batch, queries, keys;
    int heads, key_heads, head_width, window; /* window: causal */
    bool mask;
} attention_case;

static bool is_seen(const attention_case *c, const float *mask, int64_t b, int64_t query, int64_t key) {
    if (c->mask) return mask[b * c->keys + key] > 0;
    int64_t last = query + c->keys - c->queries;
    return !c->window || (key <= last && key > last - c->window);
}

static double attended(const attention_case *c, const float *q, const float *k, const float *v, const float *mask,
                       int64_t b, int64_t query, int64_t column) {
    int64_t d = c->head_width, width = c->heads * d, key_width = c->key_heads * d;
    int64_t h = column / d, key_head = h / (c->heads / c->key_heads);
    double sum = 0, mixed = 0;
    for (int64_t j = 0; j < c->keys; j++) {
        if (!is_seen(c, mask, b, query, j)) continue;
        double score = 0;
        for (int64_t i = 0; i < d; i++)
            score += (double)q[(b * c->queries + query) * width + h * d + i] *
                     (double)k[(b * c->keys + j) * key_width + key_head * d + i];
        double p = exp(score / sqrt((double)d));
        sum += p;
        mixed += p * (double)v[(b * c->keys + j) * key_width + key_head * d + column % d];
    }
    return mixed / sum;
}

static tensor *filled(graph *g, const int64_t *size, float *values, random_state *random) {
    int64_t count = size[0] * size[1] * size[2];
    for (int64_t i = 0; i < count; i++) values[i] = (float)random_normal(random);
    return graph_constant(g, 3, size, values);
}

static void check_attention(const attention_case *c, tensor_type type, double tolerance) {
    random_state random = random_seed(4);
    graph *g;
    graph_options options = {.type = type};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    int64_t width = c->heads * c->head_width, key_width = c->key_heads * c->head_width;
    float *q = malloc((size_t)(c->batch * c->queries * width) * sizeof *q);
    float *k = malloc((size_t)(c->batch * c->keys * key_width) * sizeof *k);
    float *v = malloc((size_t)(c->batch * c->keys * key_width) * sizeof *v);
    float *mask = malloc((size_t)(c->batch * c->keys) * sizeof *mask);
    for (int64_t i = 0; i < c->batch * c->keys; i++) /* the first sample sees all, the others not */
        mask[i] = i < c->keys || i % c->keys == 1 || random_uniform(&random) < 0.6 ? 1 : 0;
    tensor *in[3] = {filled(g, (int64_t[]){c->batch, c->queries, width}, q, &random),
                     filled(g, (int64_t[]){c->batch, c->keys, key_width}, k, &random),
                     filled(g, (int64_t[]){c->batch, c->keys, key_width}, v, &random)};
    attention_options way = {
        .heads = c->heads, .key_heads = c->key_heads, .causal = c->window > 0, .window = c->window};
    if (c->mask) way.mask = graph_constant(g, 2, (int64_t[]){c->batch, c->keys}, mask);
    for (int i = 0; i < 3; i++) in[i] = op_cast(g, in[i], type);
    tensor *y = op_cast(g, op_attention(g, in[0], in[1], in[2], &way), TENSOR_F32);
    graph_output(g, y);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    graph_forward(g);
    for (int64_t i = 0; i < tensor_count(y); i++) {
        double expected = attended(c, q, k, v, mask, i / width / c->queries, i / width % c->queries, i % width);
        if (fabs(expected - (double)tensor_data(y)[i]) > tolerance)
            fail_msg("%d x %d queries on %d keys, value %d: %g instead of %g", (int)c->batch, (int)c->queries,
                     (int)c->keys, (int)i, (double)tensor_data(y)[i], expected);
    }
    graph_free(g);
    free(q);
    free(k);
    free(v);
    free(mask);
}

static void attention_is_what_it_is_defined_as(void **state) {
    (void)state;
    static const attention_case cases[] = {
        {1, 5, 9, 3, 3, 4, 0, true},     {1, 1, 1, 1, 1, 1, 0, false},   {20, 7, 7, 4, 4, 16, 0, true},
        {2, 130, 64, 2, 2, 20, 0, true}, {3, 12, 12, 4, 2, 8, 5, false}, {17, 3, 10, 6, 3, 32, 4, false},
        {2, 9, 65, 2, 2, 16, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_attention(&cases[i], TENSOR_F32, 1e-5);
        if (cpu_level_effective() >= CPU_AVX512) check_attention(&cases[i], TENSOR_BF16, 5e-2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(linear_is_what_it_is_defined_as),
                                       cmocka_unit_test(attention_is_what_it_is_defined_as)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
