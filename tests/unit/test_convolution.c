/* Convolution forward against the plain definition: every kernel, stride and padding the networks use, whole pictures
 * and shards of rows, f32 and bf16. */
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

typedef struct shape {
    int64_t batch, height, width, in, out;
    int kernel, stride, padding;
} shape;

static double defined(const shape *s, const float *x, const float *w, int64_t b, int64_t oy, int64_t ox, int64_t o) {
    double sum = 0;
    for (int64_t i = 0; i < s->kernel; i++)
        for (int64_t j = 0; j < s->kernel; j++) {
            int64_t y = oy * s->stride - s->padding + i, z = ox * s->stride - s->padding + j;
            if (y < 0 || y >= s->height || z < 0 || z >= s->width) continue;
            for (int64_t c = 0; c < s->in; c++)
                sum += (double)x[((b * s->height + y) * s->width + z) * s->in + c] *
                       (double)w[((o * s->in + c) * s->kernel + i) * s->kernel + j];
        }
    return sum;
}

static void check(const shape *s, tensor_type type, double tolerance) {
    random_state random = random_seed(9);
    parameters *set;
    graph *g;
    graph_options options = {.type = type};
    assert_int_equal(parameters_create(&set, NULL), CARINA_OK);
    assert_int_equal(graph_create(&g, &options, NULL), CARINA_OK);
    parameter *w = parameters_add(set, "w", PARAMETER_WEIGHT, 4, (int64_t[]){s->out, s->in, s->kernel, s->kernel});
    parameter_fill_normal(w, &random, 0.2);
    tensor *x = graph_input(g, "x", 4, (int64_t[]){s->batch, s->height, s->width, s->in});
    convolution_options conv = {.stride = s->stride, .padding = s->padding, .relu = true};
    tensor *y =
        op_cast(g, op_convolution(g, op_cast(g, x, type), graph_parameter(g, w), NULL, NULL, &conv), TENSOR_F32);
    graph_output(g, y);
    assert_int_equal(graph_plan(g, NULL), CARINA_OK);
    float *values = malloc((size_t)tensor_count(x) * sizeof *values);
    for (int64_t i = 0; i < tensor_count(x); i++) values[i] = tensor_data(x)[i] = (float)random_normal(&random);
    graph_forward(g);
    int64_t rows = tensor_size(y, 1), columns = tensor_size(y, 2);
    double scale = 0;
    for (int64_t i = 0; i < tensor_count(y); i++) scale = fmax(scale, (double)tensor_data(y)[i]);
    for (int64_t i = 0; i < tensor_count(y); i += 1 + tensor_count(y) / 5000) {
        int64_t o = i % s->out, ox = i / s->out % columns, oy = i / s->out / columns % rows,
                b = i / s->out / columns / rows;
        double expected = fmax(0, defined(s, values, w->value, b, oy, ox, o)), got = (double)tensor_data(y)[i];
        if (fabs(expected - got) > tolerance * scale)
            fail_msg("k%d s%d p%d, picture %d, (%d, %d), channel %d: %g instead of %g", s->kernel, s->stride,
                     s->padding, (int)b, (int)oy, (int)ox, (int)o, got, expected);
    }
    free(values);
    graph_free(g);
    parameters_free(set);
}

static void convolution_is_what_it_is_defined_as(void **state) {
    (void)state;
    static const shape shapes[] = {
        {3, 16, 19, 8, 5, 1, 2, 0},     {2, 15, 16, 4, 6, 3, 2, 1},   {2, 16, 15, 4, 6, 3, 1, 1},
        {1, 40, 37, 1, 16, 7, 2, 3},    {1, 96, 96, 32, 64, 3, 1, 1}, {1, 97, 96, 32, 64, 3, 2, 1},
        {1, 128, 131, 64, 64, 1, 2, 0}, {5, 24, 24, 64, 64, 3, 1, 1}, {2, 32, 32, 3, 24, 16, 16, 0},
        {1, 96, 90, 48, 33, 1, 1, 0},   {2, 27, 30, 48, 52, 3, 1, 1}, {1, 17, 19, 48, 50, 3, 1, 1},
        {1, 18, 17, 512, 520, 3, 1, 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check(&shapes[i], TENSOR_F32, 1e-5);
        if (cpu_level_effective() >= CPU_AVX512) check(&shapes[i], TENSOR_BF16, 2e-2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(convolution_is_what_it_is_defined_as)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
