/* The memory plan: an output may take the place of a residual that nobody reads afterwards, and only then; graphs that
 * run in turn may share their scratch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/ops.h"
#include "tensor/quantized.h"

enum { SIDE = 24, CHANNELS = 64, COUNT = SIDE * SIDE * CHANNELS };

typedef struct wanted {
    bool keep_residual; /* r is an output too */
    bool read_later;    /* z = y + r is made after y */
    bool own_input;     /* y = conv(r) + r: r is also what the convolution reads */
} wanted;

/* r = conv(x), y = conv(x or r) + r, z = y + r or y. Fills z [COUNT] and returns the planned bytes. */
static uint64_t run(wanted w, tensor_type type, float *z) {
    random_state random = random_seed(4);
    parameters *set;
    graph *g;
    graph_options options = {.type = type};
    assert_int_equal(parameters_create(&set, NULL), CARINA_OK);
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    parameter *first = parameters_add(set, "a", PARAMETER_WEIGHT, 4, (int64_t[]){CHANNELS, CHANNELS, 1, 1});
    parameter *second = parameters_add(set, "b", PARAMETER_WEIGHT, 4, (int64_t[]){CHANNELS, CHANNELS, 3, 3});
    parameter_fill_normal(first, &random, 0.1);
    parameter_fill_normal(second, &random, 0.05);
    tensor *x = graph_input(g, "x", 4, (int64_t[]){1, SIDE, SIDE, CHANNELS});
    convolution_options plain = {.stride = 1}, padded = {.stride = 1, .padding = 1};
    tensor *narrow = op_cast(g, x, type);
    tensor *r = op_convolution(g, narrow, graph_parameter(g, first), NULL, NULL, &plain);
    tensor *y = op_convolution(g, w.own_input ? r : narrow, graph_parameter(g, second), NULL, r, &padded);
    tensor *result = op_cast(g, w.read_later ? op_add(g, y, r) : y, TENSOR_F32);
    if (w.keep_residual) graph_output(g, r);
    graph_output(g, result);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    for (int i = 0; i < COUNT; i++) tensor_data(x)[i] = (float)random_normal(&random);
    graph_forward(g);
    memcpy(z, tensor_data(result), COUNT * sizeof *z);
    uint64_t bytes = graph_planned_bytes(g);
    graph_free(g);
    parameters_free(set);
    return bytes;
}

static void residuals_are_overwritten_only_when_dead(void **state) {
    (void)state;
    float *kept = malloc(COUNT * sizeof *kept), *other = malloc(COUNT * sizeof *other);
    for (int type = TENSOR_F32; type <= TENSOR_BF16; type++)
        for (int own = 0; own < 2; own++) {
            for (int later = 0; later < 2; later++) {
                uint64_t most = run((wanted){true, later, own}, (tensor_type)type, kept);
                uint64_t least = run((wanted){false, later, own}, (tensor_type)type, other);
                assert_memory_equal(kept, other, COUNT * sizeof *kept);
                assert_true(least <= most);
                if (!later && !own) assert_true(least < most);
            }
        }
    free(kept);
    free(other);
}

/* r = f(x), y = norm(r) + s, z = turned y, with r and y outputs too or not. Fills z [64 * 256], returns planned bytes.
 */
static uint64_t run_norm_and_rotation(bool keep, tensor_type type, float *z) {
    enum { ROWS = 64, WIDTH = 256, HEAD = 64 };
    random_state random = random_seed(5);
    parameters *set;
    graph *g;
    graph_options options = {.type = type};
    assert_int_equal(parameters_create(&set, NULL), CARINA_OK);
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    parameter *weight = parameters_add(set, "w", PARAMETER_WEIGHT, 1, (int64_t[]){WIDTH});
    parameter_fill_normal(weight, &random, 0.5);
    tensor *x = graph_input(g, "x", 3, (int64_t[]){1, ROWS, WIDTH}), *table;
    table = graph_input(g, "table", 2, (int64_t[]){ROWS, HEAD});
    tensor *narrow = op_cast(g, x, type), *r = op_scale(g, narrow, 3);
    tensor *y = op_rms_norm(g, r, graph_parameter(g, weight), narrow, 1e-6f);
    tensor *turned = op_rotary(g, y, table, WIDTH / HEAD), *result = op_cast(g, turned, TENSOR_F32);
    if (keep) graph_output(g, r), graph_output(g, y);
    graph_output(g, result);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    for (int i = 0; i < ROWS * WIDTH; i++) tensor_data(x)[i] = (float)random_normal(&random);
    for (int i = 0; i < ROWS * HEAD; i++) tensor_data(table)[i] = (float)random_normal(&random);
    graph_forward(g);
    memcpy(z, tensor_data(result), ROWS * WIDTH * sizeof *z);
    uint64_t bytes = graph_planned_bytes(g);
    graph_free(g);
    parameters_free(set);
    return bytes;
}

static void norms_and_rotations_are_written_over_what_is_dead(void **state) {
    (void)state;
    static float kept[64 * 256], other[64 * 256];
    for (int type = TENSOR_F32; type <= TENSOR_BF16; type++) {
        uint64_t most = run_norm_and_rotation(true, (tensor_type)type, kept);
        uint64_t least = run_norm_and_rotation(false, (tensor_type)type, other);
        assert_memory_equal(kept, other, sizeof kept);
        assert_true(least < most);
    }
}

typedef struct product {
    graph *g;
    tensor *x, *y;
} product;

/* Rows times a packed matrix, which wants scratch for the rows. */
static product product_of(const quantized_matrix *m, int64_t rows, graph_scratch *scratch) {
    product p;
    const graph_options options = {.scratch = scratch};
    assert_int_equal(graph_create(&p.g, &options, NULL), CARINA_OK);
    p.x = graph_input(p.g, "x", 2, (int64_t[]){rows, 64});
    p.y = op_quantized_linear(p.g, p.x, m, ACTIVATION_NONE);
    graph_output(p.g, p.y);
    assert_int_equal(graph_plan(p.g, NULL), CARINA_OK);
    return p;
}

static const float *forward(const product *p, int seed) {
    random_state random = random_seed((uint64_t)seed);
    for (int64_t i = 0; i < tensor_count(p->x); i++) tensor_data(p->x)[i] = (float)random_normal(&random);
    graph_forward(p->g);
    return tensor_data(p->y);
}

static quantized_matrix *matrix_of(int seed) {
    quantized_matrix *m;
    float row[64];
    assert_int_equal(quantized_matrix_create(&m, QUANTIZED_Q8, 16, 64, NULL), CARINA_OK);
    for (int n = 0; n < 16; n++) {
        for (int k = 0; k < 64; k++) row[k] = (float)((n * 7 + k * 3 + seed) % 11 - 5);
        assert_int_equal(quantized_set_row(m, n, row, NULL), CARINA_OK);
    }
    return m;
}

/* The larger graph comes later, and the smaller one goes on. */
static void graphs_share_scratch(void **state) {
    (void)state;
    quantized_matrix *m = matrix_of(0);
    graph_scratch scratch = {0};
    product alone[2] = {product_of(m, 2, NULL), product_of(m, 300, NULL)};
    product small = product_of(m, 2, &scratch);
    uint64_t first = scratch.bytes;
    product large = product_of(m, 300, &scratch);
    assert_true(first > 0 && scratch.bytes > first);
    uint64_t most = scratch.bytes;
    product third = product_of(m, 2, &scratch);
    assert_int_equal(scratch.bytes, most);
    for (int turn = 0; turn < 3; turn++) {
        assert_memory_equal(forward(&small, turn), forward(&alone[0], turn), 2 * 16 * sizeof(float));
        assert_memory_equal(forward(&large, turn), forward(&alone[1], turn), 300 * 16 * sizeof(float));
        assert_memory_equal(forward(&third, turn), forward(&alone[0], turn), 2 * 16 * sizeof(float));
    }
    graph_free(small.g), graph_free(large.g), graph_free(third.g), graph_free(alone[0].g), graph_free(alone[1].g);
    graph_scratch_free(&scratch);
    quantized_matrix_free(m);
}

/* z = (3 y2)^2 + y0 from products of 2 x with three matrices, in one op or in three; nobody reads y1. */
static product chain_of(const quantized_linear_part *parts, bool together) {
    product p;
    tensor *y[3];
    assert_int_equal(graph_create(&p.g, &(graph_options){0}, NULL), CARINA_OK);
    p.x = graph_input(p.g, "x", 2, (int64_t[]){5, 64});
    tensor *x = op_scale(p.g, p.x, 2);
    if (together) op_quantized_linears(p.g, x, 3, parts, y);
    for (int i = 0; i < 3 && !together; i++) y[i] = op_quantized_linear(p.g, x, parts[i].matrix, parts[i].act);
    tensor *t = op_scale(p.g, y[2], 3);
    p.y = op_add(p.g, op_multiply(p.g, t, t), y[0]);
    graph_output(p.g, p.y);
    assert_int_equal(graph_plan(p.g, NULL), CARINA_OK);
    return p;
}

/* What a later op fills has its place from its own op on, to itself, even where nobody reads it. */
static void places_filled_later_are_kept(void **state) {
    (void)state;
    quantized_matrix *m[3] = {matrix_of(0), matrix_of(1), matrix_of(2)};
    const quantized_linear_part parts[3] = {{m[0], ACTIVATION_NONE}, {m[1], ACTIVATION_RELU}, {m[2], ACTIVATION_RELU}};
    product together = chain_of(parts, true), alone = chain_of(parts, false);
    for (int turn = 0; turn < 2; turn++)
        assert_memory_equal(forward(&together, turn), forward(&alone, turn), 5 * 16 * sizeof(float));
    graph_free(together.g), graph_free(alone.g);
    for (int i = 0; i < 3; i++) quantized_matrix_free(m[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(residuals_are_overwritten_only_when_dead),
                                       cmocka_unit_test(graphs_share_scratch),
                                       cmocka_unit_test(norms_and_rotations_are_written_over_what_is_dead),
                                       cmocka_unit_test(places_filled_later_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
