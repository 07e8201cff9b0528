/* Queries against keys and values in a cache's layout: every kernel that this processor can run against sums in double,
 * and many queries and keys at once against one by one, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/random.h"
#include "tensor/key_rows.h"

#define ROWS  11
#define KEYS  23
#define WIDTH 150 /* of a row, of which at most this many values count */

#define PAIRS (KEYS + 1) /* of a row of p in bf16 */

static float q[ROWS * WIDTH], keys[KEYS * WIDTH], p[ROWS * KEYS], y[ROWS * WIDTH];
static uint16_t narrow[KEYS * WIDTH], narrow_q[ROWS * WIDTH], narrow_p[ROWS * PAIRS];

static float draw_bf16(random_state *random, uint16_t *bits) {
    *bits = bf16_from_f32((float)random_normal(random));
    return bf16_to_f32(*bits); /* the same value, so that both types have one answer */
}

static void draw(void) {
    random_state random = random_seed(3);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        q[i] = draw_bf16(&random, &narrow_q[i]);
        y[i] = (float)random_normal(&random);
    }
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; j < KEYS; j++) p[r * KEYS + j] = draw_bf16(&random, &narrow_p[r * PAIRS + j]);
        narrow_p[r * PAIRS + KEYS] = 0;
    }
    for (int i = 0; i < KEYS * WIDTH; i++) keys[i] = draw_bf16(&random, &narrow[i]);
}

/* How a mixture is asked for. */
enum { IN_F32, VALUES_IN_BF16, ALL_IN_BF16, TYPES };

static void score(const key_rows_kernel *k, int type, float *scores, int n) {
    if (type == IN_F32)
        k->scores(scores, KEYS, q, WIDTH, ROWS, keys, WIDTH, KEYS, n);
    else
        k->scores_bf16(scores, KEYS, narrow_q, WIDTH, ROWS, narrow, WIDTH, KEYS, n);
}

static void mix(const key_rows_kernel *k, int type, float *mixed, int n) {
    const mixture m = {p, KEYS, 1};
    if (type == IN_F32)
        k->mix(mixed, WIDTH, &m, ROWS, keys, WIDTH, KEYS, n);
    else if (type == VALUES_IN_BF16)
        k->mix_bf16(mixed, WIDTH, &m, ROWS, narrow, WIDTH, KEYS, n);
    else
        k->mix_pairs_bf16(mixed, WIDTH, narrow_p, PAIRS, ROWS, narrow, WIDTH, KEYS, n);
}

static void compare(const float *scores, const float *mixed, int n) {
    for (int r = 0; r < ROWS; r++) {
        for (int j = 0; j < KEYS; j++) {
            double sum = 0, size = 0;
            for (int i = 0; i < n; i++) {
                double product = (double)q[r * WIDTH + i] * (double)keys[j * WIDTH + i];
                sum += product, size += fabs(product);
            }
            assert_true(fabs((double)scores[r * KEYS + j] - sum) <= 2e-6 * size);
        }
        for (int i = 0; i < WIDTH; i++) {
            double sum = (double)y[r * WIDTH + i], size = fabs(sum);
            for (int j = 0; i < n && j < KEYS; j++) {
                double product = (double)p[r * KEYS + j] * (double)keys[j * WIDTH + i];
                sum += product, size += fabs(product);
            }
            assert_true(fabs((double)mixed[r * WIDTH + i] - sum) <= 4e-6 * size); /* n .. : untouched */
        }
    }
}

static void sums_are_right(void **state) {
    (void)state;
    static const int lengths[] = {1, 2, 15, 16, 17, 32, 63, 64, 65, 80, 96, 147};
    const key_rows_kernel *kernels[KEY_ROWS_MOST];
    float scores[ROWS * KEYS], mixed[ROWS * WIDTH];
    draw();
    for (int k = key_rows_all(kernels) - 1; k >= 0; k--)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int type = 0; type < TYPES; type++) {
                score(kernels[k], type, scores, lengths[l]);
                memcpy(mixed, y, sizeof y);
                mix(kernels[k], type, mixed, lengths[l]);
                compare(scores, mixed, lengths[l]);
            }
}

/* Scores one by one; mixtures key by key, and pair by pair. */
static void company_changes_nothing(void **state) {
    (void)state;
    const key_rows_kernel *kernels[KEY_ROWS_MOST];
    float many[ROWS * KEYS], one, mixed[ROWS * WIDTH], alone[WIDTH];
    draw();
    for (int i = key_rows_all(kernels) - 1; i >= 0; i--)
        for (int n = 1; n <= WIDTH; n += n == 31 || n == 127 ? 1 : 6) {
            const key_rows_kernel *k = kernels[i];
            score(k, ALL_IN_BF16, many, n);
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < KEYS; j++) {
                    k->scores_bf16(&one, 1, narrow_q + r * WIDTH, WIDTH, 1, narrow + j * WIDTH, WIDTH, 1, n);
                    assert_memory_equal(&one, &many[r * KEYS + j], sizeof one);
                }
            score(k, IN_F32, many, n);
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < KEYS; j++) {
                    k->scores(&one, 1, q + r * WIDTH, WIDTH, 1, keys + j * WIDTH, WIDTH, 1, n);
                    assert_memory_equal(&one, &many[r * KEYS + j], sizeof one);
                }
            memcpy(mixed, y, sizeof y);
            mix(k, IN_F32, mixed, n);
            for (int r = 0; r < ROWS; r++) {
                memcpy(alone, y + r * WIDTH, sizeof alone);
                for (int j = 0; j < KEYS; j++)
                    k->mix(alone, WIDTH, &(mixture){p + r * KEYS + j, KEYS, 1}, 1, keys + j * WIDTH, WIDTH, 1, n);
                assert_memory_equal(alone, mixed + r * WIDTH, (size_t)n * sizeof *alone);
            }
            memcpy(mixed, y, sizeof y);
            mix(k, ALL_IN_BF16, mixed, n);
            for (int r = 0; r < ROWS; r++) {
                memcpy(alone, y + r * WIDTH, sizeof alone);
                for (int j = 0; j < KEYS; j += 2)
                    k->mix_pairs_bf16(alone, WIDTH, narrow_p + r * PAIRS + j, PAIRS, 1, narrow + j * WIDTH, WIDTH,
                                      j + 1 < KEYS ? 2 : 1, n);
                assert_memory_equal(alone, mixed + r * WIDTH, (size_t)n * sizeof *alone);
            }
        }
}

/* Of softened scores: each within bf16's rounding of what it should be, and their sum theirs. */
static void softened(void **state) {
    (void)state;
    const key_rows_kernel *kernels[KEY_ROWS_MOST];
    enum { MOST = 150 };
    float s[MOST];
    uint16_t around[MOST + 2], *out = around + 1; /* not aligned, as a row that sees some keys only */
    random_state random = random_seed(5);
    for (int i = 0; i < MOST; i++) s[i] = i % 11 == 5 ? -5000 : (float)random_normal(&random) * 40;
    for (int k = key_rows_all(kernels) - 1; k >= 0; k--)
        for (int n = 1; n <= MOST; n++) {
            double sum = 0, largest = -1e9;
            for (int i = 0; i < n; i++) largest = fmax(largest, (double)s[i]);
            out[-1] = out[n] = 12345;
            float got = kernels[k]->soften_bf16(out, s, n, 0.1f);
            assert_int_equal(out[-1], 12345);
            assert_int_equal(out[n], 12345);
            for (int i = 0; i < n; i++) {
                double e = (double)bf16_to_f32(out[i]);
                assert_true(fabs(e - exp(fmax(0.1 * ((double)s[i] - largest), -87))) <= e * 0x1.02p-8);
                sum += e;
            }
            assert_true(fabs((double)got - sum) <= 1e-6 * sum);
        }
}

static void not_numbers_stay(void **state) {
    (void)state;
    const key_rows_kernel *kernels[KEY_ROWS_MOST];
    for (int k = key_rows_all(kernels) - 1; k >= 0; k--)
        for (int at = 0; at < 70; at++) {
            float s[70] = {0};
            uint16_t out[70];
            s[at] = NAN;
            assert_true(isnan(kernels[k]->soften_bf16(out, s, 70, 1)));
            for (int i = 0; i < 70; i++) assert_true((i == at) == (isnan(bf16_to_f32(out[i])) != 0));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_right),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(softened),
        cmocka_unit_test(not_numbers_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
