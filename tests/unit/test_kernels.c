/* Every kernel table that this processor can run against the plain C one, over lengths that leave remainders, and the
 * functions in them against the mathematical definition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/random.h"
#include "tensor/kernels.h"

#define MOST 1031
static const int64_t lengths[] = {1, 7, 8, 15, 16, 17, 63, 64, 100, 257, MOST};
#define LENGTH_COUNT (sizeof lengths / sizeof *lengths)

typedef struct operands {
    float a[MOST], b[MOST], c[MOST], d[MOST], out[MOST], other[MOST];
    uint16_t narrow[MOST], narrow_other[MOST];
    uint8_t bytes[MOST], more[MOST];
} operands;

static void draw(operands *o, uint64_t seed) {
    random_state random = random_seed(seed);
    memset(o, 0, sizeof *o);
    for (int i = 0; i < MOST; i++) {
        o->a[i] = (float)random_normal(&random);
        o->b[i] = (float)random_normal(&random);
        o->c[i] = (float)random_normal(&random);
        o->d[i] = (float)random_normal(&random);
        o->narrow[i] = bf16_from_f32((float)random_normal(&random));
        o->bytes[i] = (uint8_t)random_below(&random, 9);
    }
}

/* One call of every kernel; all that it writes lands in the operands, which are compared afterwards. */
typedef void apply(const kernels *k, operands *o, int64_t n);

static void do_widen(const kernels *k, operands *o, int64_t n) { k->widen_bf16(o->out, o->narrow, n); }
static void do_narrow(const kernels *k, operands *o, int64_t n) { k->narrow_bf16(o->narrow_other, o->a, n); }
static void do_add(const kernels *k, operands *o, int64_t n) { k->add_into(o->a, o->b, n); }
static void do_add_bf16(const kernels *k, operands *o, int64_t n) {
    k->narrow_bf16(o->narrow_other, o->a, n);
    k->add_into_bf16(o->narrow_other, o->narrow, n);
}
static void do_products(const kernels *k, operands *o, int64_t n) {
    k->scale(o->out, o->a, 1.5f, n);
    k->multiply(o->other, o->a, o->b, n);
    k->multiply_add(o->c, o->a, o->b, n);
    o->d[0] = k->dot(o->a, o->b, n);
    o->d[1] = (float)k->sum_of_squares(o->a, n);
}
static void do_relu_gates(const kernels *k, operands *o, int64_t n) {
    k->relu_gate(o->a, o->b, n);
    k->narrow_bf16(o->narrow_other, o->c, n);
    k->relu_gate_bf16(o->narrow_other, o->narrow, n);
}
static void do_signs(const kernels *k, operands *o, int64_t n) {
    k->sign_pack(o->bytes, o->a, n);
    k->sign_gate(o->b, o->bytes, n);
    k->sign_pack_bf16(o->more, o->narrow, n);
    k->narrow_bf16(o->narrow_other, o->c, n);
    k->sign_gate_bf16(o->narrow_other, o->more, n);
}
static void do_activations(const kernels *k, operands *o, int64_t n) {
    for (int f = FUNCTION_NONE; f <= FUNCTION_SIGMOID; f++) {
        k->activate(o->out, o->a, n, (activation_function)f);
        k->add_into(o->c, o->out, n);
        k->activate_gradient(o->other, o->a, o->b, n, (activation_function)f);
        k->add_into(o->d, o->other, n);
    }
}
static void do_layer_norm(const kernels *k, operands *o, int64_t n) {
    float mean, rstd;
    k->layer_norm(o->out, o->a, o->b, o->c, n, 1e-5f, &mean, &rstd);
    k->layer_norm_gradient(o->other, o->c, o->d, o->b, o->a, o->out, n, mean, rstd);
}
static void do_rms_norm(const kernels *k, operands *o, int64_t n) {
    o->d[0] = k->rms_norm(o->out, o->a, o->b, n, 1e-6f);
    k->rms_norm_gradient(o->other, o->c, o->b, o->a, o->out, n, o->d[0]);
}
static void do_rotations(const kernels *k, operands *o, int64_t n) {
    k->rotate(o->out, o->a, o->b, n / 2, 1);
    k->rotate(o->other, o->c, o->b, n / 2, -1);
}
static void do_softmax(const kernels *k, operands *o, int64_t n) {
    memcpy(o->out, o->a, sizeof o->out);
    float lse = k->softmax(o->out, n, 0.7f);
    k->softmax_again(o->a, n, 0.7f, lse);
    k->softmax_gradient(o->b, o->out, n, 0.1f, 0.7f);
    memcpy(o->other, o->c, sizeof o->other);
    k->softmax_columns(o->other, 3, n / 3, 0.7f);
}
static void do_norms(const kernels *k, operands *o, int64_t n) {
    k->affine(o->out, o->a, o->b, o->c, o->d, 1, n);
    k->accumulate_moments(o->b, o->c, o->a, n);
    k->accumulate_norm_gradient(o->b, o->c, o->d, o->a, o->out, o->d, n);
    k->norm_gradient(o->other, o->a, o->b, o->c, o->d, o->out, n);
}
static void do_maxima(const kernels *k, operands *o, int64_t n) {
    k->maximum(o->a, o->bytes, o->b, 4, n);
    k->maximum_of_rows(o->a, o->more, o->c, o->bytes, 1, n);
    k->scatter_maximum(o->d, o->bytes, o->a, 4, n);
}
static void do_updates(const kernels *k, operands *o, int64_t n) { k->lerp(o->out, o->a, 0.3f, n); }

static const struct {
    const char *name;
    apply *apply;
} cases[] = {
    {"widen", do_widen},       {"narrow", do_narrow},           {"add", do_add},
    {"add bf16", do_add_bf16}, {"products", do_products},       {"ReLU gates", do_relu_gates},
    {"signs", do_signs},       {"activations", do_activations}, {"layer norm", do_layer_norm},
    {"rms norm", do_rms_norm}, {"softmax", do_softmax},         {"norms", do_norms},
    {"maxima", do_maxima},     {"updates", do_updates},         {"rotations", do_rotations},
};

static bool near_all(const float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)x[i] - (double)y[i]) <= 2e-5 * (1 + fabs((double)y[i])))) return false;
    return true;
}

static void tables_agree_with_plain_c(void **state) {
    (void)state;
    const kernels *all[4];
    int count = kernels_all(all);
    operands *plain = malloc(sizeof *plain), *fast = malloc(sizeof *fast);
    for (int t = 0; t < count; t++)
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
            for (size_t l = 0; l < LENGTH_COUNT; l++) {
                draw(plain, c * 100 + l);
                *fast = *plain;
                cases[c].apply(&kernels_generic_table, plain, lengths[l]);
                cases[c].apply(all[t], fast, lengths[l]);
                bool same = near_all(fast->a, plain->a, MOST) && near_all(fast->b, plain->b, MOST) &&
                            near_all(fast->c, plain->c, MOST) && near_all(fast->d, plain->d, MOST) &&
                            near_all(fast->out, plain->out, MOST) && near_all(fast->other, plain->other, MOST) &&
                            memcmp(fast->narrow_other, plain->narrow_other, sizeof plain->narrow_other) == 0 &&
                            memcmp(fast->bytes, plain->bytes, sizeof plain->bytes) == 0 &&
                            memcmp(fast->more, plain->more, sizeof plain->more) == 0;
                if (!same)
                    fail_msg("%s, %s, length %d: differs from plain C", all[t]->name, cases[c].name, (int)lengths[l]);
            }
    free(plain);
    free(fast);
    printf("compared:");
    for (int t = 0; t < count; t++) printf(" %s", all[t]->name);
    printf("\n");
}

static void functions_are_what_they_are_called(void **state) {
    (void)state;
    const kernels *k = kernels_best();
    float x[200], y[200];
    for (int i = 0; i < 200; i++) x[i] = (float)(i - 100) * 0.13f;
    k->activate(y, x, 200, FUNCTION_GELU);
    for (int i = 0; i < 200; i++) {
        double v = (double)x[i];
        assert_true(fabs((double)y[i] - 0.5 * v * (1 + erf(v / sqrt(2)))) < 3e-6);
    }
    k->activate(y, x, 200, FUNCTION_GELU_TANH);
    for (int i = 0; i < 200; i++) {
        double v = (double)x[i], u = sqrt(2 / 3.14159265358979) * (v + 0.044715 * v * v * v);
        assert_true(fabs((double)y[i] - 0.5 * v * (1 + tanh(u))) < 3e-6);
    }
    k->activate(y, x, 200, FUNCTION_SIGMOID);
    for (int i = 0; i < 200; i++) assert_true(fabs((double)y[i] - 1 / (1 + exp(-(double)x[i]))) < 1e-6);
    memcpy(y, x, sizeof y);
    float lse = k->softmax(y, 200, 2.0f);
    double sum = 0;
    for (int i = 0; i < 200; i++) sum += exp(2 * (double)x[i]);
    assert_true(fabs((double)lse - log(sum)) < 1e-4);
    for (int i = 0; i < 200; i++) assert_true(fabs((double)y[i] - exp(2 * (double)x[i]) / sum) < 1e-6);
}

static void what_may_be_done_in_place_gives_the_same(void **state) {
    (void)state;
    const kernels *all[4];
    int count = kernels_all(all);
    operands *o = malloc(sizeof *o);
    for (int t = 0; t < count; t++)
        for (size_t l = 0; l < LENGTH_COUNT; l++) {
            int64_t n = lengths[l];
            size_t bytes = (size_t)n * sizeof *o->out;
            draw(o, l);
            float rstd = all[t]->rms_norm(o->out, o->a, o->b, n, 1e-6f);
            assert_true(rstd == all[t]->rms_norm(o->a, o->a, o->b, n, 1e-6f));
            assert_memory_equal(o->a, o->out, bytes);
            draw(o, l);
            all[t]->rotate(o->out, o->a, o->b, n / 2, 1);
            all[t]->rotate(o->a, o->a, o->b, n / 2, 1);
            assert_memory_equal(o->a, o->out, bytes / 8 * 8);
        }
    free(o);
}

/* Columns of every number, full vectors of them and what is left beside. */
static void softmax_of_columns_is_that_of_rows(void **state) {
    (void)state;
    enum { N = 7, MOST_COLUMNS = 40 };
    const kernels *all[4];
    random_state random = random_seed(11);
    int count = kernels_all(all);
    for (int t = 0; t < count; t++)
        for (int columns = 1; columns <= MOST_COLUMNS; columns += 13) {
            float s[N * MOST_COLUMNS], row[N];
            for (int i = 0; i < N * columns; i++) s[i] = 30 * (float)random_normal(&random);
            float across[N * MOST_COLUMNS];
            memcpy(across, s, sizeof s);
            all[t]->softmax_columns(across, N, columns, 0.7f);
            for (int j = 0; j < columns; j++) {
                for (int i = 0; i < N; i++) row[i] = s[i * columns + j];
                all[t]->softmax(row, N, 0.7f);
                for (int i = 0; i < N; i++) assert_true(fabs((double)row[i] - (double)across[i * columns + j]) < 1e-6);
            }
        }
}

/* Kernels on bf16 against their f32 twins on the widened values: one rounding apart. */
static bool near_bf16(const uint16_t *narrow, const float *wide, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)bf16_to_f32(narrow[i]) - (double)wide[i]) <= 0.005 * fabs((double)wide[i]) + 1e-6))
            return false;
    return true;
}

static void bf16_kernels_follow_their_f32_twins(void **state) {
    (void)state;
    enum { N = 133 };
    const kernels *all[4];
    int count = kernels_all(all);
    random_state random = random_seed(3);
    uint16_t x16[N], r16[N], y16[N], z16[N];
    float x[N], r[N], a[N], b[N], d[N], y[N], z[N], sums[4][N];
    for (int i = 0; i < N; i++) {
        x16[i] = bf16_from_f32((float)random_normal(&random)), x[i] = bf16_to_f32(x16[i]);
        r16[i] = bf16_from_f32((float)random_normal(&random)), r[i] = bf16_to_f32(r16[i]);
        a[i] = (float)random_normal(&random), b[i] = (float)random_normal(&random),
        d[i] = (float)random_normal(&random);
    }
    for (int t = 0; t < count; t++) {
        const kernels *k = all[t];
        for (int relu = 0; relu < 2; relu++)
            for (int add = 0; add < 2; add++) {
                k->affine_bf16(y16, x16, a, b, add ? r16 : NULL, relu, N);
                k->affine(y, x, a, b, add ? r : NULL, relu, N);
                assert_true(near_bf16(y16, y, N));
            }
        k->norm_gradient_bf16(y16, r16, x16, a, b, d, N);
        k->norm_gradient(y, r, x, a, b, d, N);
        assert_true(near_bf16(y16, y, N));
        memset(sums, 0, sizeof sums);
        k->accumulate_moments_bf16(sums[0], sums[1], x16, N);
        k->accumulate_moments(sums[2], sums[3], x, N);
        assert_true(near_all(sums[0], sums[2], N) && near_all(sums[1], sums[3], N));
        k->accumulate_norm_gradient_bf16(sums[0], sums[1], r16, x16, a, b, N);
        k->accumulate_norm_gradient(sums[2], sums[3], r, x, a, b, N);
        assert_true(near_all(sums[0], sums[2], N) && near_all(sums[1], sums[3], N));
        memcpy(y16, x16, sizeof y16), memcpy(y, x, sizeof y);
        k->larger_bf16(y16, r16, N);
        k->larger(y, r, N);
        for (int i = 0; i < N; i++) assert_true(bf16_to_f32(y16[i]) == y[i] && y[i] == fmaxf(x[i], r[i]));

        float sum, lse;
        memcpy(y, x, sizeof y);
        lse = k->softmax(y, N, 0.7f);
        float most = k->exponentials_bf16(y16, &sum, x, N, 0.7f);
        assert_true(fabsf(most + logf(sum) - lse) < 1e-4f);
        for (int i = 0; i < N; i++) z[i] = y[i] * sum;
        assert_true(near_bf16(y16, z, N));
        k->softmax_gradient_bf16(y16, z16, x, r, N, 0.7f, lse, 0.1f);
        assert_true(near_bf16(y16, y, N));
        memcpy(z, r, sizeof z);
        k->softmax_gradient(z, y, N, 0.1f, 0.7f);
        assert_true(near_bf16(z16, z, N));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_agree_with_plain_c),
        cmocka_unit_test(functions_are_what_they_are_called),
        cmocka_unit_test(what_may_be_done_in_place_gives_the_same),
        cmocka_unit_test(softmax_of_columns_is_that_of_rows),
        cmocka_unit_test(bf16_kernels_follow_their_f32_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
