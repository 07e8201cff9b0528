/* The memory plan: an output may take the place of a residual that nobody reads afterwards, and only then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/ops.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(residuals_are_overwritten_only_when_dead)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
