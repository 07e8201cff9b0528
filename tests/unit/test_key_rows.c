/* Queries against keys and values in a cache's layout: every kernel that this processor can run against sums in double,
 * and many queries and keys at once against one by one, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/half.h"
#include "base/random.h"
#include "tensor/key_rows.h"

#define ROWS  11
#define KEYS  23
#define WIDTH 150 /* of a row, of which at most this many values count */

static float q[ROWS * WIDTH], keys[KEYS * WIDTH], p[ROWS * KEYS], y[ROWS * WIDTH];
static uint16_t narrow[KEYS * WIDTH];

static void draw(void) {
    random_state random = random_seed(3);
    for (int i = 0; i < ROWS * WIDTH; i++) q[i] = (float)random_normal(&random), y[i] = (float)random_normal(&random);
    for (int i = 0; i < ROWS * KEYS; i++) p[i] = (float)random_normal(&random);
    for (int i = 0; i < KEYS * WIDTH; i++) {
        narrow[i] = bf16_from_f32((float)random_normal(&random));
        keys[i] = bf16_to_f32(narrow[i]); /* the same values, so that both types have one answer */
    }
}

static int kernel_count(const key_rows_kernel *out[3]) {
    const key_rows_kernel *all[] = {&key_rows_generic, &key_rows_avx2, &key_rows_avx512};
    const cpu_level levels[] = {CPU_GENERIC, CPU_AVX2, CPU_AVX512};
    int count = 0;
    for (int i = 0; i < 3; i++)
        if (levels[i] <= cpu_level_best()) out[count++] = all[i];
    return count;
}

static void sums_are_right(void **state) {
    (void)state;
    static const int lengths[] = {1, 2, 15, 16, 17, 32, 63, 64, 65, 80, 147};
    const key_rows_kernel *kernels[3];
    float scores[ROWS * KEYS], mixed[ROWS * WIDTH];
    draw();
    for (int k = 0; k < kernel_count(kernels); k++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            for (int type = 0; type < 2; type++) {
                int n = lengths[l];
                (type ? kernels[k]->scores_bf16 : kernels[k]->scores)(
                    scores, KEYS, q, WIDTH, ROWS, type ? (const void *)narrow : keys, WIDTH, KEYS, n);
                memcpy(mixed, y, sizeof y);
                (type ? kernels[k]->mix_bf16 : kernels[k]->mix)(mixed, WIDTH, &(mixture){p, KEYS, 1}, ROWS,
                                                                type ? (const void *)narrow : keys, WIDTH, KEYS, n);
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
}

static void company_changes_nothing(void **state) {
    (void)state;
    const key_rows_kernel *kernels[3];
    float many[ROWS * KEYS], one, mixed[ROWS * WIDTH], alone[WIDTH];
    draw();
    for (int k = 0; k < kernel_count(kernels); k++)
        for (int n = 1; n <= WIDTH; n += 7) {
            kernels[k]->scores_bf16(many, KEYS, q, WIDTH, ROWS, narrow, WIDTH, KEYS, n);
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < KEYS; j++) {
                    kernels[k]->scores_bf16(&one, 1, q + r * WIDTH, WIDTH, 1, narrow + j * WIDTH, WIDTH, 1, n);
                    assert_memory_equal(&one, &many[r * KEYS + j], sizeof one);
                }
            memcpy(mixed, y, sizeof y);
            kernels[k]->mix(mixed, WIDTH, &(mixture){p, KEYS, 1}, ROWS, keys, WIDTH, KEYS, n);
            for (int r = 0; r < ROWS; r++) {
                memcpy(alone, y + r * WIDTH, sizeof alone);
                for (int j = 0; j < KEYS; j++)
                    kernels[k]->mix(alone, WIDTH, &(mixture){p + r * KEYS + j, KEYS, 1}, 1, keys + j * WIDTH, WIDTH, 1, n);
                assert_memory_equal(alone, mixed + r * WIDTH, (size_t)n * sizeof *alone);
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_right),
        cmocka_unit_test(company_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
