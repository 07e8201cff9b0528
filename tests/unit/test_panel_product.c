/* The packed product (panel_product.h): each kernel that this processor can run against sums in double, with edges of
 * every kind, and the same bits whatever rows stand beside one. */
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
#include "base/random.h"
#include "tensor/panel_product.h"

static void *filled(tensor_type type, int64_t count, random_state *random) {
    void *values = malloc((size_t)count * type_bytes(type));
    for (int64_t i = 0; i < count; i++) {
        float v = (float)random_normal(random);
        if (type == TENSOR_F32)
            ((float *)values)[i] = v;
        else
            ((uint16_t *)values)[i] = bf16_from_f32(v);
    }
    return values;
}

static double value_at(tensor_type type, const void *values, int64_t i) {
    return type == TENSOR_F32 ? (double)((const float *)values)[i] : (double)bf16_to_f32(((const uint16_t *)values)[i]);
}

static double activated(double x, activation_function f) {
    if (f == FUNCTION_RELU) return x > 0 ? x : 0;
    if (f == FUNCTION_GELU) return 0.5 * x * (1 + erf(x / sqrt(2)));
    if (f == FUNCTION_SIGMOID) return 1 / (1 + exp(-x));
    return x;
}

static void check_product(const panel_product *made, int64_t rows) {
    random_state random = random_seed(7);
    panel_product p = *made;
    const panel_kernel *kernel = p.kernel;
    int64_t n = p.n, k = p.k;
    activation_function function = p.function;
    tensor_type type = kernel->type;
    void *x = filled(type, (rows + 1) * k, &random), *residual = filled(type, rows * n, &random);
    float *w = filled(TENSOR_F32, n * k, &random), *bias = filled(TENSOR_F32, n, &random);
    memset((uint8_t *)x + (size_t)(rows * k) * type_bytes(type), 0xff, (size_t)k * type_bytes(type)); /* NaN: no row */
    for (int64_t i = 0; i < n * k && type == TENSOR_BF16; i++) w[i] = bf16_to_f32(bf16_from_f32(w[i]));
    void *packed = aligned_alloc(64, panel_product_packed_bytes(&p));
    void *scratch = aligned_alloc(64, (panel_product_scratch_bytes(&p) + 63) / 64 * 64);
    memset(scratch, 0xff, panel_product_scratch_bytes(&p)); /* NaN: nothing that was not written may count */
    void *y = malloc((size_t)(rows * n) * type_bytes(type)), *alone = malloc((size_t)n * type_bytes(type));
    panel_product_pack(&p, w, 1, k, packed);
    bool adds = function == FUNCTION_RELU;
    panel_call call = {x, packed, bias, adds ? residual : NULL, y, rows};
    panel_product_run(&p, &call, scratch);
    for (int64_t i = 0; i < rows * n; i++) {
        double sum = (double)bias[i % n] + (adds ? value_at(type, residual, i) : 0);
        for (int64_t j = 0; j < k; j++) sum += value_at(type, x, i / n * k + j) * (double)w[i % n * k + j];
        double wanted = activated(sum, function), got = value_at(type, y, i);
        double tolerance = (type == TENSOR_F32 ? 2e-5 : 1.0 / 256) * (1 + fabs(sum)) * (p.by_strassen ? 4 : 1);
        if (!(fabs(wanted - got) <= tolerance))
            fail_msg("%s, %d x %d x %d, value %d: %g instead of %g", kernel->name, (int)rows, (int)n, (int)k, (int)i,
                     got, wanted);
    }
    panel_call last = {(uint8_t *)x + (size_t)((rows - 1) * k) * type_bytes(type),
                       packed,
                       bias,
                       adds ? (uint8_t *)residual + (size_t)((rows - 1) * n) * type_bytes(type) : NULL,
                       alone,
                       1};
    panel_product_run(&p, &last, scratch);
    size_t bytes = (size_t)n * type_bytes(type);
    assert_memory_equal(alone, (uint8_t *)y + (size_t)(rows - 1) * bytes, bytes);
    free(x), free(residual), free(w), free(bias), free(packed), free(scratch), free(y), free(alone);
}

static void check(const panel_kernel *kernel, int64_t rows, int64_t n, int64_t k, activation_function function) {
    panel_product p = panel_product_make(kernel, n, k, function);
    check_product(&p, rows);
}

static void check_kernel(const panel_kernel *kernel) {
    static const int64_t shapes[][3] = {{1, 1, 1}, {15, 32, 64}, {200, 70, 33}, {31, 65, 130}, {29, 64, 256}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check(kernel, shapes[i][0], shapes[i][1], shapes[i][2], FUNCTION_NONE);
        check(kernel, shapes[i][0], shapes[i][1], shapes[i][2], FUNCTION_RELU);
        check(kernel, shapes[i][0], shapes[i][1], shapes[i][2], FUNCTION_GELU);
        check(kernel, shapes[i][0], shapes[i][1], shapes[i][2], FUNCTION_SIGMOID);
    }
}

static void is_what_it_is_defined_as(void **state) {
    (void)state;
    check_kernel(&panel_kernel_generic);
    check_kernel(panel_kernel_best(TENSOR_F32));
    if (panel_kernel_best(TENSOR_BF16)) check_kernel(panel_kernel_best(TENSOR_BF16));
}

/* Rows are odd: the last has no partner, and must come out as it does alone. */
static void by_strassen_is_the_same(void **state) {
    (void)state;
    const panel_kernel *own[] = {&panel_kernel_generic, panel_kernel_best(TENSOR_F32)};
    static const activation_function functions[] = {FUNCTION_NONE, FUNCTION_RELU, FUNCTION_GELU};
    for (size_t i = 0; i < 6; i++) {
        panel_product p = panel_product_make(own[i / 3], 576, 544, functions[i % 3]);
        panel_product_prefer_strassen(&p);
        assert_true(p.by_strassen);
        check_product(&p, 1);
        check_product(&p, 117);
    }
}

/* A shape that does not suit, and bf16, stay as they are. */
static void strassen_is_declined(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{576, 256}, {256, 1024}, {513, 512}, {512, 528}};
    for (int i = 0; i < 5; i++) {
        bool narrow = i == 4;
        const panel_kernel *kernel = panel_kernel_best(narrow ? TENSOR_BF16 : TENSOR_F32);
        if (!kernel) continue;
        panel_product p = panel_product_make(kernel, narrow ? 512 : shapes[i][0], narrow ? 512 : shapes[i][1], 0);
        int64_t block = p.block;
        panel_product_prefer_strassen(&p);
        assert_false(p.by_strassen);
        assert_int_equal(p.block, block);
    }
}

/* What a pair of rows gives does not depend on where it stands among others, nor on threads' shares. */
static void pairs_stand_alone(void **state) {
    (void)state;
    enum { ROWS = 58, N = 512, K = 512, PAIR = 40 };
    random_state random = random_seed(9);
    panel_product p = panel_product_make(panel_kernel_best(TENSOR_F32), N, K, FUNCTION_NONE);
    panel_product_prefer_strassen(&p);
    float *x = filled(TENSOR_F32, ROWS * K, &random), *w = filled(TENSOR_F32, N * K, &random);
    float *y = malloc(ROWS * N * sizeof *y), *alone = malloc(2 * N * sizeof *alone);
    void *packed = aligned_alloc(64, panel_product_packed_bytes(&p));
    void *scratch = aligned_alloc(64, (panel_product_scratch_bytes(&p) + 63) / 64 * 64);
    panel_product_pack(&p, w, 1, K, packed);
    panel_call all = {.x = x, .packed = packed, .y = y, .rows = ROWS};
    panel_call pair = {.x = x + PAIR * K, .packed = packed, .y = alone, .rows = 2};
    panel_product_run(&p, &all, scratch);
    panel_product_run(&p, &pair, scratch);
    assert_memory_equal(alone, y + PAIR * N, 2 * N * sizeof *y);
    free(x), free(w), free(y), free(alone), free(packed), free(scratch);
}

/* W told by rows and W told by columns hold the same. */
static void packs_either_way(void **state) {
    (void)state;
    enum { N = 45, K = 67 };
    random_state random = random_seed(8);
    const panel_kernel *own[] = {panel_kernel_best(TENSOR_F32), panel_kernel_best(TENSOR_BF16)};
    float *w = filled(TENSOR_F32, N * K, &random), *turned = malloc(N * K * sizeof *turned);
    for (int i = 0; i < N * K; i++) turned[i % K * N + i / K] = w[i];
    for (int i = 0; i < 2 && own[i]; i++) {
        panel_product p = panel_product_make(own[i], N, K, FUNCTION_NONE);
        uint64_t bytes = panel_product_packed_bytes(&p);
        uint8_t *a = calloc(1, bytes), *b = calloc(1, bytes);
        panel_product_pack(&p, w, 1, K, a);
        panel_product_pack(&p, turned, N, 1, b);
        assert_memory_equal(a, b, bytes);
        free(a), free(b);
    }
    free(w), free(turned);
}

#define STEP 90 /* from one row to the next */

static void check_panel_of_rows(const panel_kernel *kernel, int64_t count, int64_t k) {
    random_state random = random_seed(9);
    size_t size = type_bytes(kernel->type);
    uint8_t *rows = filled(kernel->type, count * STEP, &random), *panel = malloc((size_t)(k * kernel->columns) * size);
    memset(panel, 0xff, (size_t)(k * kernel->columns) * size);
    kernel->panel_of_rows(panel, rows, STEP, count, k);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < kernel->columns; j++) {
            static const uint8_t zeros[sizeof(float)];
            int64_t place = (i / kernel->group * kernel->columns + j) * kernel->group + i % kernel->group;
            const uint8_t *wanted = j < count ? rows + (size_t)(j * STEP + i) * size : zeros;
            assert_memory_equal(panel + (size_t)place * size, wanted, size);
        }
    free(rows), free(panel);
}

/* Panels of fewer rows than columns, of as many, of more; sums that are no multiple of the registers. */
static void panel_of_rows_is_turned(void **state) {
    (void)state;
    const panel_kernel *own[] = {&panel_kernel_generic, panel_kernel_best(TENSOR_F32),
                                 cpu_level_best() >= CPU_AVX2 ? &panel_kernel_avx2 : NULL,
                                 panel_kernel_best(TENSOR_BF16)};
    for (int i = 0; i < 4; i++)
        for (int64_t count = 1; own[i] && count <= 40; count += count == 1 ? own[i]->columns - 1 : 13)
            for (int64_t k = 2; k <= STEP; k += 42) check_panel_of_rows(own[i], count, k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_what_it_is_defined_as), cmocka_unit_test(by_strassen_is_the_same),
        cmocka_unit_test(strassen_is_declined),     cmocka_unit_test(pairs_stand_alone),
        cmocka_unit_test(packs_either_way),         cmocka_unit_test(panel_of_rows_is_turned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
