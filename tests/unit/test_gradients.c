/* Every op's gradient against central finite differences, over odd shapes; and every op's result for 1 and 2 threads.
 *
 * Each case records a small graph whose inputs and parameters are random; its output goes through a binary
 * cross-entropy with random targets, which makes one smooth scalar of any tensor. The derivative along random
 * directions is compared, and single elements. */
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

#define MAX_SOURCES 8

/* What a case builds on: inputs [name order] and parameters, all random. */
typedef struct bench {
    graph *g;
    parameters *weights;
    tensor *inputs[MAX_SOURCES];
    float *values[MAX_SOURCES]; /* what the inputs hold */
    int input_count;
    random_state random;
    double spread; /* of input values */
} bench;

static tensor *input(bench *b, int rank, const int64_t *size) {
    tensor *t = graph_input(b->g, "x", rank, size);
    graph_require_gradient(b->g, t);
    float *values = malloc((size_t)tensor_count(t) * sizeof *values);
    for (int64_t i = 0; i < tensor_count(t); i++) values[i] = (float)(b->spread * random_normal(&b->random));
    b->inputs[b->input_count] = t;
    b->values[b->input_count++] = values;
    return t;
}
#define INPUT(b, ...) input(b, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static parameter *weight(bench *b, int rank, const int64_t *size, double mean, double deviation) {
    char name[16];
    snprintf(name, sizeof name, "w%d", b->weights->count);
    parameter *p = parameters_find(b->weights, name);
    if (!p) {
        p = parameters_add(b->weights, name, PARAMETER_WEIGHT, rank, size);
        for (int64_t i = 0; i < p->count; i++) p->value[i] = (float)(mean + deviation * random_normal(&b->random));
        parameters_allocate_gradients(b->weights, NULL);
    }
    return p;
}
#define WEIGHT(b, ...) \
    weight(b, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}, 0, 0.3)
#define VECTOR(b, n, mean) weight(b, 1, (int64_t[]){n}, mean, 0.2)

static norm_parameters norm_of(bench *b, int64_t channels, bool frozen) {
    norm_parameters n = {VECTOR(b, channels, 1), VECTOR(b, channels, 0), VECTOR(b, channels, 0), VECTOR(b, channels, 2),
                         1e-5f};
    n.running_mean->trainable = n.running_var->trainable = false;
    if (frozen) n.weight->trainable = n.bias->trainable = false;
    return n;
}

/* ---- the cases ---- */

typedef tensor *build_function(bench *b);

static tensor *build_linear(bench *b) {
    parameter *w = WEIGHT(b, 7, 5);
    return op_linear(b->g, INPUT(b, 3, 11, 5), graph_parameter(b->g, w), graph_parameter(b->g, VECTOR(b, 7, 0)),
                     ACTIVATION_NONE);
}
static tensor *build_linear_relu_large(bench *b) {
    parameter *w = WEIGHT(b, 130, 67);
    return op_linear(b->g, INPUT(b, 2, 333, 67), graph_parameter(b->g, w), graph_parameter(b->g, VECTOR(b, 130, 0)),
                     ACTIVATION_RELU);
}
static tensor *build_linear_gelu(bench *b) {
    parameter *w = WEIGHT(b, 6, 5);
    return op_linear(b->g, INPUT(b, 9, 5), graph_parameter(b->g, w), NULL, ACTIVATION_GELU);
}
static tensor *build_linear_sigmoid(bench *b) {
    parameter *w = WEIGHT(b, 6, 5);
    return op_linear(b->g, INPUT(b, 9, 5), graph_parameter(b->g, w), NULL, ACTIVATION_SIGMOID);
}
static tensor *build_linear_rows(bench *b) {
    parameter *w = WEIGHT(b, 9, 4);
    tensor *x = INPUT(b, 2, 3, 4);
    tensor *q = op_linear(b->g, x, graph_parameter_rows(b->g, w, 0, 3), NULL, ACTIVATION_NONE);
    return op_add(b->g, q, op_linear(b->g, x, graph_parameter_rows(b->g, w, 6, 3), NULL, ACTIVATION_NONE));
}
static tensor *build_attention(bench *b) {
    tensor *q = INPUT(b, 2, 5, 12);
    return op_attention(b->g, q, INPUT(b, 2, 9, 12), INPUT(b, 2, 9, 12), &(attention_options){.heads = 3});
}
static tensor *build_attention_blocks(bench *b) {
    tensor *x = INPUT(b, 1, 301, 8); /* more than two query blocks; one tensor as q, k and v */
    return op_attention(b->g, x, x, x, &(attention_options){.heads = 2});
}
static tensor *build_attention_dropout(bench *b) {
    tensor *q = INPUT(b, 2, 140, 12);
    return op_attention(b->g, q, INPUT(b, 2, 9, 12), INPUT(b, 2, 9, 12),
                        &(attention_options){.heads = 3, .dropout = 0.3f});
}
static tensor *build_attention_masked(bench *b) { /* padding at the end, in the middle, and none */
    static const float mask[3 * 7] = {1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    tensor *q = INPUT(b, 3, 5, 12), *k = INPUT(b, 3, 7, 12), *v = INPUT(b, 3, 7, 12);
    return op_attention(b->g, q, k, v,
                        &(attention_options){.heads = 2, .mask = graph_constant(b->g, 2, (int64_t[]){3, 7}, mask)});
}
static tensor *build_attention_causal(bench *b) { /* more keys than queries, blocks, a factor of its own */
    tensor *q = INPUT(b, 1, 131, 8), *k = INPUT(b, 1, 140, 8), *v = INPUT(b, 1, 140, 8);
    return op_attention(b->g, q, k, v, &(attention_options){.heads = 2, .causal = true, .factor = 0.9f});
}
static tensor *build_attention_window(bench *b) { /* two heads of queries to one of keys, which see four keys */
    tensor *q = INPUT(b, 2, 9, 16), *k = INPUT(b, 2, 9, 8), *v = INPUT(b, 2, 9, 8);
    return op_attention(b->g, q, k, v, &(attention_options){.heads = 4, .key_heads = 2, .causal = true, .window = 4});
}
static tensor *build_rms_norm(bench *b) { /* over whole rows, then over heads of 6; added to two others */
    tensor *y = INPUT(b, 2, 5, 12), *z = INPUT(b, 2, 5, 12);
    tensor *x = op_rms_norm(b->g, INPUT(b, 2, 5, 12), graph_parameter(b->g, VECTOR(b, 12, 0)), y, 1e-6f);
    x = op_rms_norm(b->g, x, graph_parameter(b->g, VECTOR(b, 6, 0)), NULL, 1e-6f);
    return op_rms_norm(b->g, op_add(b->g, x, y), graph_parameter(b->g, VECTOR(b, 12, 0)), z, 1e-6f);
}
static tensor *build_rotary(bench *b) { /* two tokens before those that are turned, heads of 6 */
    float table[3 * 6];
    for (int i = 0; i < 18; i++) table[i] = (float)(i % 6 < 3 ? cos : sin)(0.7 * (i / 6) + 0.9 * (i % 3) + 0.2);
    return op_rotary(b->g, INPUT(b, 2, 5, 12), graph_constant(b->g, 2, (int64_t[]){3, 6}, table), 2);
}
static tensor *build_embedding(bench *b) { /* rows that come often, and numbers that are no row's */
    static const float ids[2 * 6] = {3, 0, 3, 8, 2, 3, 8, -1, 9, 1, 3, 0};
    tensor *x =
        op_embedding(b->g, graph_constant(b->g, 2, (int64_t[]){2, 6}, ids), graph_parameter(b->g, WEIGHT(b, 9, 21)));
    return op_add(b->g, x, graph_parameter_rows(b->g, WEIGHT(b, 10, 21), 0, 6));
}
static tensor *build_box_evidence(
    bench *b) { /* overlapping boxes, a whole film, one smaller than a patch, one outside */
    static const float boxes[2 * 4 * 4] = {0.5f,  0.5f, 1,     1,    0.4f, 0.6f, 0.5f, 0.7f, 0.3f, 0.8f, 0.01f,
                                           0.02f, 1.4f, -0.3f, 0.2f, 0.2f, 0.2f, 0.3f, 0.4f, 0.6f, 0.9f, 0.9f,
                                           0.6f,  0.5f, 0.5f,  0.1f, 1,    0.2f, 0,    0,    0,    0};
    return op_box_evidence(b->g, INPUT(b, 2, 3 * 4, 5), graph_constant(b->g, 3, (int64_t[]){2, 4, 4}, boxes), 3, 4);
}
static tensor *build_masked_mean(bench *b) {
    static const float mask[3 * 5] = {1, 1, 0, 0, 0, 1, 0, 0.5f, 1, 1, 0, 0, 0, 0, 0};
    tensor *x = INPUT(b, 3, 5, 1100);
    return op_masked_mean(b->g, x, graph_constant(b->g, 2, (int64_t[]){3, 5}, mask));
}
static tensor *build_layer_norm(bench *b) {
    tensor *x = INPUT(b, 2, 7, 19), *r = INPUT(b, 2, 7, 19);
    return op_layer_norm(b->g, x, r, graph_parameter(b->g, VECTOR(b, 19, 1)), graph_parameter(b->g, VECTOR(b, 19, 0)),
                         1e-5f);
}
static tensor *build_softmax(bench *b) { return op_softmax(b->g, INPUT(b, 3, 17)); }
static tensor *build_add_broadcast(bench *b) {
    tensor *x = INPUT(b, 3, 5, 7);
    return op_add(b->g, op_add(b->g, x, INPUT(b, 5, 7)), graph_parameter(b->g, VECTOR(b, 7, 0)));
}
static tensor *build_multiply(bench *b) {
    tensor *x = INPUT(b, 3, 5, 7);
    return op_multiply(b->g, op_multiply(b->g, x, INPUT(b, 5, 7)), x);
}
static tensor *build_activations(bench *b) {
    tensor *x = INPUT(b, 3000);
    x = op_activation(b->g, op_scale(b->g, x, 1.7f), ACTIVATION_GELU);
    x = op_activation(b->g, x, ACTIVATION_GELU_TANH);
    return op_activation(b->g, x, ACTIVATION_SIGMOID);
}
static tensor *build_dropout(bench *b) { return op_dropout(b->g, INPUT(b, 40, 60), 0.3f); }
static tensor *build_shapes(bench *b) {
    tensor *x = INPUT(b, 2, 5, 6), *token = op_repeat(b->g, graph_parameter(b->g, WEIGHT(b, 1, 6)), 2);
    tensor *all = op_concatenate(b->g, token, x);
    tensor *tail = op_slice(b->g, all, 2, 3), *head = op_slice(b->g, all, 0, 3);
    return op_reshape(b->g, op_multiply(b->g, tail, head), 2, (int64_t[]){6, 6});
}
static tensor *build_mean(bench *b) { return op_mean_tokens(b->g, INPUT(b, 3, 10, 7)); }

static tensor *convolve(bench *b, int64_t batch, int64_t side, int64_t in, int64_t out, int kernel, int stride,
                        int padding, bool relu) {
    tensor *x = INPUT(b, batch, side, side + 3, in);
    parameter *w = WEIGHT(b, out, in, kernel, kernel);
    convolution_options options = {.stride = stride, .padding = padding, .relu = relu};
    return op_convolution(b->g, x, graph_parameter(b->g, w), graph_parameter(b->g, VECTOR(b, out, 0)), NULL, &options);
}
static tensor *build_convolution(bench *b) { return convolve(b, 2, 9, 5, 6, 3, 1, 1, false); }
static tensor *build_convolution_minimal(bench *b) { /* Winograd's: enough channels and pixels, odd sides */
    tensor *x = INPUT(b, 2, 17, 19, 48);
    norm_parameters n = norm_of(b, 52, true);
    convolution_options options = {.stride = 1, .padding = 1, .frozen_norm = &n};
    return op_convolution(b->g, x, graph_parameter(b->g, WEIGHT(b, 52, 48, 3, 3)), NULL, NULL, &options);
}
static tensor *build_convolution_stride(bench *b) { return convolve(b, 3, 10, 4, 7, 3, 2, 1, false); }
static tensor *build_convolution_taps(bench *b) { /* no bias, enough channels: its weight gradient goes tap by tap */
    tensor *x = INPUT(b, 3, 11, 150, 33);
    norm_parameters n = norm_of(b, 35, true);
    convolution_options options = {.stride = 2, .padding = 1, .frozen_norm = &n};
    return op_convolution(b->g, x, graph_parameter(b->g, WEIGHT(b, 35, 33, 3, 3)), NULL, NULL, &options);
}
static tensor *build_convolution_taps_odd(bench *b) { /* a last block that is short, a kernel that is not square */
    tensor *x = INPUT(b, 1, 70, 13, 32);
    convolution_options options = {.stride = 3, .padding = 2};
    return op_convolution(b->g, x, graph_parameter(b->g, WEIGHT(b, 32, 32, 5, 3)), NULL, NULL, &options);
}
static tensor *build_convolution_pointwise(bench *b) { return convolve(b, 2, 8, 20, 33, 1, 1, 0, false); }
static tensor *build_convolution_pointwise_stride(bench *b) { return convolve(b, 2, 9, 20, 33, 1, 2, 0, false); }
static tensor *build_convolution_stem(bench *b) { return convolve(b, 1, 40, 1, 16, 7, 2, 3, false); }
static tensor *build_stem_few_rows(bench *b) { /* no bias: its weight gradient goes by patches; chunks of two lengths */
    tensor *x = INPUT(b, 3, 45, 31, 2);
    convolution_options options = {.stride = 2, .padding = 3, .relu = true};
    return op_convolution(b->g, x, graph_parameter(b->g, WEIGHT(b, 9, 2, 7, 7)), NULL, NULL, &options);
}
static tensor *build_stem_frozen(bench *b) {
    tensor *x = INPUT(b, 2, 30, 33, 1);
    norm_parameters n = norm_of(b, 8, true);
    convolution_options options = {.stride = 2, .padding = 3, .frozen_norm = &n};
    return op_convolution(b->g, x, graph_parameter(b->g, WEIGHT(b, 8, 1, 7, 7)), NULL, NULL, &options);
}
static tensor *build_convolution_rows(bench *b) {
    return convolve(b, 1, 64, 32, 48, 3, 1, 1, false);
} /* cut into rows */
static tensor *build_convolution_rows_stride(bench *b) { return convolve(b, 1, 100, 32, 64, 3, 2, 1, false); }
static tensor *build_convolution_pointwise_rows(bench *b) { return convolve(b, 1, 121, 64, 96, 1, 2, 0, false); }
static tensor *build_patches(bench *b) { return convolve(b, 2, 16, 3, 10, 4, 4, 0, false); }

static tensor *build_block(bench *b) { /* conv, frozen norm, ReLU, conv, residual, ReLU: signs from y and from bits */
    tensor *x = INPUT(b, 2, 6, 7, 8);
    norm_parameters n1 = norm_of(b, 8, true), n2 = norm_of(b, 8, true);
    convolution_options first = {1, 1, true, &n1}, second = {1, 1, true, &n2};
    tensor *h = op_convolution(b->g, x, graph_parameter(b->g, WEIGHT(b, 8, 8, 3, 3)), NULL, NULL, &first);
    parameter *frozen = WEIGHT(b, 8, 8, 3, 3);
    frozen->trainable = false;
    h = op_convolution(b->g, h, graph_parameter(b->g, frozen), NULL, x, &second);
    return op_reshape(b->g, h, 3, (int64_t[]){2, 42, 8});
}
static tensor *build_batch_norm(bench *b) {
    tensor *x = INPUT(b, 3, 5, 4, 6);
    norm_parameters n = norm_of(b, 6, false);
    return op_batch_norm(b->g, x, &n, NULL, false, 0.1f);
}
static tensor *build_batch_norm_tail(bench *b) {
    tensor *x = INPUT(b, 3, 5, 4, 6);
    norm_parameters n = norm_of(b, 6, false);
    return op_batch_norm(b->g, x, &n, INPUT(b, 3, 5, 4, 6), true, 0.1f);
}
static tensor *build_group_norm(bench *b) {
    tensor *x = INPUT(b, 3, 5, 4, 6);
    return op_group_norm(b->g, x, VECTOR(b, 6, 1), VECTOR(b, 6, 0), 2, 1e-5f, NULL, false);
}
static tensor *build_group_norm_tail(bench *b) {
    tensor *x = INPUT(b, 3, 5, 4, 6);
    return op_group_norm(b->g, x, VECTOR(b, 6, 1), VECTOR(b, 6, 0), 2, 1e-5f, INPUT(b, 3, 5, 4, 6), true);
}
static tensor *build_scalars(bench *b) {
    tensor *x = INPUT(b, 3, 5), *y = INPUT(b, 3, 5), *z = INPUT(b, 15);
    tensor *terms[] = {op_dot(b->g, x, y), op_dot(b->g, y, z)};
    return op_sum_scalars(b->g, 2, terms, (float[]){0.4f, -0.7f});
}
static tensor *build_max_pool(bench *b) { return op_max_pool(b->g, INPUT(b, 2, 9, 8, 5), 3, 2, 1); }

/* Every fifth token takes no part, by its target or by its share. */
static tensor *vocabulary_loss(bench *b, int64_t tokens, int64_t width, int64_t words) {
    float *targets = malloc((size_t)tokens * sizeof *targets), *shares = malloc((size_t)tokens * sizeof *shares);
    for (int64_t i = 0; i < tokens; i++) {
        targets[i] = i % 10 == 3 ? -1 : (float)random_below(&b->random, (uint64_t)words);
        shares[i] = i % 10 == 8 ? 0 : (i % 2 ? 2.0f : 1.0f) / (float)tokens;
    }
    tensor *target = graph_constant(b->g, 1, &tokens, targets), *share = graph_constant(b->g, 1, &tokens, shares);
    free(targets), free(shares);
    parameter *w = WEIGHT(b, words, width);
    return op_vocabulary_cross_entropy(b->g, INPUT(b, 1, tokens, width), graph_parameter(b->g, w), target, share);
}
static tensor *build_vocabulary_loss(bench *b) { return vocabulary_loss(b, 12, 5, 11); }
static tensor *build_vocabulary_loss_chunks(bench *b) { return vocabulary_loss(b, 1100, 6, 37); }

static const struct gradient_case {
    const char *name;
    build_function *build;
    double tolerance; /* relative to the largest derivative */
} cases[] = {
    {"linear", build_linear, 2e-3},
    {"linear relu, shards and tails", build_linear_relu_large, 2e-2},
    {"linear gelu", build_linear_gelu, 2e-3},
    {"linear sigmoid", build_linear_sigmoid, 2e-3},
    {"linear on rows of a parameter", build_linear_rows, 2e-3},
    {"attention", build_attention, 2e-3},
    {"attention in blocks", build_attention_blocks, 5e-3},
    {"attention with a mask", build_attention_masked, 2e-3},
    {"attention, causal", build_attention_causal, 5e-3},
    {"attention, causal, window, fewer heads of keys", build_attention_window, 2e-3},
    {"rms norm", build_rms_norm, 3e-3},
    {"rotary positions", build_rotary, 2e-3},
    {"embedding", build_embedding, 2e-3},
    {"masked mean", build_masked_mean, 2e-3},
    {"box evidence", build_box_evidence, 2e-3},
    {"layer norm", build_layer_norm, 3e-3},
    {"softmax", build_softmax, 3e-3},
    {"add", build_add_broadcast, 2e-3},
    {"multiply", build_multiply, 3e-3},
    {"activations", build_activations, 5e-3},
    {"attention with dropout", build_attention_dropout, 3e-3},
    {"dropout", build_dropout, 3e-3},
    {"shapes", build_shapes, 3e-3},
    {"mean", build_mean, 2e-3},
    {"convolution 3x3", build_convolution, 3e-3},
    {"convolution 3x3 minimal", build_convolution_minimal, 3e-3},
    {"convolution 3x3 stride 2", build_convolution_stride, 3e-3},
    {"convolution 3x3 stride 2 by taps", build_convolution_taps, 3e-3},
    {"convolution 5x3 stride 3 by taps", build_convolution_taps_odd, 3e-3},
    {"convolution 1x1", build_convolution_pointwise, 3e-3},
    {"convolution 1x1 stride 2", build_convolution_pointwise_stride, 3e-3},
    {"convolution stem", build_convolution_stem, 5e-3},
    {"stem by patches", build_stem_few_rows, 2e-2},
    {"stem by patches, frozen norm", build_stem_frozen, 5e-3},
    {"convolution in rows", build_convolution_rows, 1e-2},
    {"convolution in rows, stride 2", build_convolution_rows_stride, 1e-2},
    {"convolution 1x1 in rows, stride 2", build_convolution_pointwise_rows, 1e-2},
    {"patches", build_patches, 3e-3},
    {"residual block, frozen norm", build_block, 1e-2},
    {"batch norm", build_batch_norm, 4e-3},
    {"batch norm, residual, relu", build_batch_norm_tail, 3e-2}, /* differences see ReLU's kinks */
    {"group norm", build_group_norm, 4e-3},
    {"group norm, residual, relu", build_group_norm_tail, 3e-2},
    {"dot, sum of scalars", build_scalars, 3e-3},
    {"max pool", build_max_pool, 5e-3},
    {"vocabulary cross-entropy", build_vocabulary_loss, 3e-3},
    {"vocabulary cross-entropy, chunks and tails", build_vocabulary_loss_chunks, 1e-2},
};

/* ---- running a case ---- */

typedef struct run_result {
    bench b;
    tensor *loss;
} run_result;

static run_result start(const struct gradient_case *c, thread_pool *pool) {
    run_result r = {.b = {.random = random_seed(11), .spread = 0.7}};
    carina_error error = {0};
    graph_options options = {.pool = pool, .training = true, .seed = 5};
    assert_int_equal(parameters_create(&r.b.weights, &error), CARINA_OK);
    assert_int_equal(graph_create(&r.b.g, &options, &error), CARINA_OK);
    tensor *y = c->build(&r.b);
    int64_t count = y ? tensor_count(y) : 1;
    float *targets = malloc((size_t)count * sizeof *targets);
    for (int64_t i = 0; i < count; i++) targets[i] = (float)random_uniform(&r.b.random);
    r.loss = op_binary_cross_entropy(r.b.g, y, graph_constant(r.b.g, 1, &count, targets));
    free(targets);
    graph_loss(r.b.g, r.loss);
    carina_status status = graph_plan(r.b.g, &error);
    if (status != CARINA_OK) fail_msg("%s: %s", c->name, error.message);
    return r;
}

static double evaluate(run_result *r) {
    for (int i = 0; i < r->b.input_count; i++)
        memcpy(tensor_data(r->b.inputs[i]), r->b.values[i], (size_t)tensor_count(r->b.inputs[i]) * sizeof(float));
    parameters_changed(r->b.weights);
    graph_forward(r->b.g);
    return (double)*tensor_data(r->loss);
}

static void finish(run_result *r) {
    graph_free(r->b.g);
    parameters_free(r->b.weights);
    for (int i = 0; i < r->b.input_count; i++) free(r->b.values[i]);
}

/* The derivative of the loss when `values` move along `direction`, by central differences. */
static double difference(run_result *r, float *values, const float *direction, int64_t n, double step) {
    float *kept = malloc((size_t)n * sizeof *kept);
    memcpy(kept, values, (size_t)n * sizeof *kept);
    for (int64_t i = 0; i < n; i++) values[i] = (float)((double)kept[i] + step * (double)direction[i]);
    double up = evaluate(r);
    for (int64_t i = 0; i < n; i++) values[i] = (float)((double)kept[i] - step * (double)direction[i]);
    double down = evaluate(r);
    memcpy(values, kept, (size_t)n * sizeof *kept);
    free(kept);
    return (up - down) / (2 * step);
}

/* The gradient itself as direction: its derivative is |g|, the largest there is; and two random ones. */
static void check_source(run_result *r, const struct gradient_case *c, const char *what, float *values,
                         const float *gradient, int64_t n) {
    float *direction = malloc((size_t)n * sizeof *direction);
    double norm = 0;
    for (int64_t i = 0; i < n; i++) norm += (double)gradient[i] * (double)gradient[i];
    norm = sqrt(norm);
    if (!(norm > 1e-9)) fail_msg("%s: the gradient of %s is zero or NaN", c->name, what);
    for (int trial = 0; trial < 3; trial++) {
        double length = 0, expected = 0;
        for (int64_t i = 0; i < n; i++) {
            direction[i] = trial == 0 ? gradient[i] : (float)random_normal(&r->b.random);
            length += (double)direction[i] * (double)direction[i];
        }
        length = sqrt(length);
        for (int64_t i = 0; i < n; i++) {
            direction[i] = (float)((double)direction[i] / length);
            expected += (double)direction[i] * (double)gradient[i];
        }
        double measured = difference(r, values, direction, n, 2e-2);
        if (fabs(measured - expected) > c->tolerance * norm + 2e-6)
            fail_msg("%s: %s, trial %d: differences give %.6g, the gradient %.6g (norm %.3g)", c->name, what, trial,
                     measured, expected, norm);
    }
    free(direction);
}

static void gradients_match_differences(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_result r = start(&cases[i], NULL);
        evaluate(&r);
        parameters_zero_gradients(r.b.weights);
        graph_backward(r.b.g);
        float *gradients[MAX_SOURCES];
        for (int j = 0; j < r.b.input_count; j++) { /* kept: evaluating reuses the memory */
            size_t bytes = (size_t)tensor_count(r.b.inputs[j]) * sizeof(float);
            gradients[j] = malloc(bytes);
            memcpy(gradients[j], tensor_gradient(r.b.inputs[j]), bytes);
        }
        for (int j = 0; j < r.b.input_count; j++) {
            check_source(&r, &cases[i], "an input", r.b.values[j], gradients[j], tensor_count(r.b.inputs[j]));
            free(gradients[j]);
        }
        for (int j = 0; j < r.b.weights->count; j++) {
            parameter *p = r.b.weights->items[j];
            if (p->trainable) check_source(&r, &cases[i], p->name, p->value, p->gradient, p->count);
        }
        finish(&r);
    }
}

static void threads_do_not_change_results(void **state) {
    (void)state;
    thread_pool *pool;
    assert_int_equal(thread_pool_create(&pool, 2, NULL), CARINA_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_result one = start(&cases[i], NULL), two = start(&cases[i], pool);
        double loss_one = evaluate(&one), loss_two = evaluate(&two);
        if (memcmp(&loss_one, &loss_two, sizeof loss_one) != 0) fail_msg("%s: losses differ", cases[i].name);
        graph_backward(one.b.g);
        graph_backward(two.b.g);
        for (int j = 0; j < one.b.weights->count; j++) {
            const parameter *p = one.b.weights->items[j], *q = two.b.weights->items[j];
            if (p->gradient && memcmp(p->gradient, q->gradient, (size_t)p->count * sizeof(float)) != 0)
                fail_msg("%s: gradients of %s differ", cases[i].name, p->name);
        }
        finish(&one);
        finish(&two);
    }
    thread_pool_free(pool);
}

/* ---- losses: their own inputs need care, so their differences are element by element ---- */

static void box_loss_gradient(void **state) {
    (void)state;
    graph *g;
    graph_options options = {.training = true};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    enum { N = 40 };
    random_state random = random_seed(3);
    float boxes[4 * N], targets[4 * N], present[N];
    for (int i = 0; i < N; i++) {
        present[i] = i % 5 != 0;
        for (int j = 0; j < 4; j++) {
            targets[4 * i + j] = (float)random_range(&random, j < 2 ? 0.3 : 0.1, j < 2 ? 0.7 : 0.4);
            boxes[4 * i + j] = (float)random_range(&random, j < 2 ? 0.3 : 0.1, j < 2 ? 0.7 : 0.4);
        }
    }
    tensor *x = graph_input(g, "boxes", 3, (int64_t[]){2, N / 2, 4});
    graph_require_gradient(g, x);
    box_loss_options weights = {5, 2};
    tensor *loss = op_box_loss(g, x, graph_constant(g, 3, (int64_t[]){2, N / 2, 4}, targets),
                               graph_constant(g, 2, (int64_t[]){2, N / 2}, present), &weights);
    graph_loss(g, loss);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    memcpy(tensor_data(x), boxes, sizeof boxes);
    graph_forward(g);
    graph_backward(g);
    float gradient[4 * N];
    memcpy(gradient, tensor_gradient(x), sizeof gradient);
    for (int i = 0; i < 4 * N; i++) {
        const float h = 1e-3f;
        double at[2];
        for (int side = 0; side < 2; side++) {
            memcpy(tensor_data(x), boxes, sizeof boxes);
            tensor_data(x)[i] += side ? h : -h;
            graph_forward(g);
            at[side] = (double)*tensor_data(loss);
        }
        double measured = (at[1] - at[0]) / (2 * (double)h);
        if (fabs(measured - (double)gradient[i]) > 4e-3)
            fail_msg("element %d: differences %.5f, gradient %.5f", i, measured, (double)gradient[i]);
        if (!(present[i / 4] > 0)) assert_true(gradient[i] == 0);
    }
    graph_free(g);
}

static void perfect_and_masked_boxes_cost_nothing(void **state) {
    (void)state;
    graph *g;
    graph_options options = {.training = true};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    float boxes[8] = {0.5f, 0.5f, 0.2f, 0.3f, 0.1f, 0.1f, 0.1f, 0.1f},
          targets[8] = {0.5f, 0.5f, 0.2f, 0.3f, 0.9f, 0.9f, 0.1f, 0.1f};
    float present[2] = {1, 0};
    tensor *x = graph_input(g, "boxes", 3, (int64_t[]){1, 2, 4});
    graph_require_gradient(g, x);
    box_loss_options weights = {5, 2};
    tensor *loss = op_box_loss(g, x, graph_constant(g, 3, (int64_t[]){1, 2, 4}, targets),
                               graph_constant(g, 2, (int64_t[]){1, 2}, present), &weights);
    graph_loss(g, loss);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    memcpy(tensor_data(x), boxes, sizeof boxes);
    graph_forward(g);
    assert_true(fabs((double)*tensor_data(loss)) < 1e-6);
    graph_free(g);
}

/* What stands on padding changes nothing: not the output, and no gradient reaches it. */
static void padding_is_without_effect(void **state) {
    (void)state;
    static const float mask[2 * 4] = {1, 1, 1, 0, 1, 1, 0, 0};
    graph *g;
    graph_options options = {.training = true};
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    tensor *x = graph_input(g, "x", 3, (int64_t[]){2, 4, 8}), *m = graph_constant(g, 2, (int64_t[]){2, 4}, mask);
    graph_require_gradient(g, x);
    tensor *y = op_masked_mean(g, op_attention(g, x, x, x, &(attention_options){.heads = 2, .mask = m}), m);
    graph_output(g, y);
    float targets[16] = {0};
    graph_loss(g, op_binary_cross_entropy(g, y, graph_constant(g, 1, (int64_t[]){16}, targets)));
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    float first[16];
    for (int run = 0; run < 2; run++) {
        random_state random = random_seed(4);
        for (int i = 0; i < 64; i++)
            tensor_data(x)[i] = (float)random_normal(&random) + (run && !(mask[i / 8] > 0) ? 50.0f : 0.0f);
        graph_forward(g);
        graph_backward(g);
        if (run == 0) memcpy(first, tensor_data(y), sizeof first);
        assert_memory_equal(first, tensor_data(y), sizeof first);
        for (int i = 0; i < 64; i++)
            if (!(mask[i / 8] > 0)) assert_true(fabsf(tensor_gradient(x)[i]) < 1e-30f);
    }
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_is_without_effect),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(threads_do_not_change_results),
        cmocka_unit_test(box_loss_gradient),
        cmocka_unit_test(perfect_and_masked_boxes_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
