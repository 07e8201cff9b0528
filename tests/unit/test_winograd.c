/* Winograd's transforms in every compilation that this processor can run: a tile filtered through them is the tile
 * filtered directly, and the gradient's transform is the transpose of the output's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/random.h"
#include "tensor/winograd_transform.h"

#define CHANNELS 21 /* a full vector and a rest */

typedef struct tile_values {
    float pixels[WINOGRAD_MAX_POSITIONS][CHANNELS], v[WINOGRAD_MAX_POSITIONS][CHANNELS],
        sums[WINOGRAD_MAX_POSITIONS][CHANNELS], kernel[CHANNELS][9], bias[CHANNELS],
        residual[WINOGRAD_MAX_POSITIONS][CHANNELS], y[WINOGRAD_MAX_POSITIONS][CHANNELS];
    const float *pixel_rows[WINOGRAD_MAX_POSITIONS], *residual_rows[WINOGRAD_MAX_POSITIONS];
    float *y_rows[WINOGRAD_MAX_POSITIONS];
} tile_values;

static tile_values *draw(uint64_t seed) {
    tile_values *t = calloc(1, sizeof *t);
    random_state random = random_seed(seed);
    for (int k = 0; k < WINOGRAD_MAX_POSITIONS; k++) {
        for (int c = 0; c < CHANNELS; c++) {
            t->pixels[k][c] = (float)random_normal(&random);
            t->residual[k][c] = (float)random_normal(&random);
        }
        t->pixel_rows[k] = t->pixels[k], t->residual_rows[k] = t->residual[k], t->y_rows[k] = t->y[k];
    }
    for (int c = 0; c < CHANNELS; c++) {
        t->bias[c] = (float)random_normal(&random);
        for (int a = 0; a < 9; a++) t->kernel[c][a] = (float)random_normal(&random);
    }
    return t;
}

/* (G g G^T)_k of one channel's kernel */
static float transformed_kernel(const winograd_transform *w, const float *g, int k) {
    int side = w->tile + 2;
    float sum = 0;
    for (int a = 0; a < 9; a++) sum += w->kernel[k / side][a / 3] * g[a] * w->kernel[k % side][a % 3];
    return sum;
}

static double filtered(const tile_values *t, int side, int row, int column, int c) {
    double sum = (double)t->bias[c];
    for (int a = 0; a < 9; a++)
        sum += (double)t->pixels[(row + a / 3) * side + column + a % 3][c] * (double)t->kernel[c][a];
    return sum;
}

static void check_filter(const winograd_transform *w) {
    tile_values *t = draw(5);
    int side = w->tile + 2, unwanted = 3;
    w->input(t->v[0], CHANNELS, t->pixel_rows, CHANNELS);
    for (int k = 0; k < side * side; k++)
        for (int c = 0; c < CHANNELS; c++) t->sums[k][c] = t->v[k][c] * transformed_kernel(w, t->kernel[c], k);
    t->y_rows[unwanted] = NULL; /* past the picture's edge */
    t->residual_rows[1] = NULL;
    t->y_rows[2] = t->residual[2]; /* in place of the residual */
    float kept[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) kept[c] = t->residual[2][c];
    w->output(t->y_rows, t->sums[0], CHANNELS, t->bias, t->residual_rows, 1, CHANNELS);
    for (int i = 0; i < w->tile * w->tile; i++)
        for (int c = 0; c < CHANNELS; c++) {
            double residual = i == 1 ? 0 : i == 2 ? (double)kept[c] : (double)t->residual[i][c];
            double expected = fmax(0, filtered(t, side, i / w->tile, i % w->tile, c) + residual);
            double got = i == 2 ? (double)t->residual[2][c] : (double)t->y[i][c];
            if (i == unwanted) expected = 0;
            if (fabs(got - expected) > 2e-4)
                fail_msg("%s F(%d): pixel %d, channel %d: %g instead of %g", w->name, w->tile, i, c, got, expected);
        }
    free(t);
}

/* <spread(dy), m> = <dy, output(m)> */
static void check_transpose(const winograd_transform *w) {
    tile_values *t = draw(6);
    int side = w->tile + 2;
    for (int k = 0; k < side * side; k++)
        for (int c = 0; c < CHANNELS; c++) t->sums[k][c] = t->residual[k][c];
    const float *none[WINOGRAD_MAX_TILE * WINOGRAD_MAX_TILE] = {NULL};
    w->output(t->y_rows, t->sums[0], CHANNELS, NULL, none, 0, CHANNELS);
    w->spread(t->v[0], CHANNELS, t->pixel_rows, CHANNELS);
    for (int c = 0; c < CHANNELS; c++) {
        double left = 0, right = 0, scale = 1;
        for (int k = 0; k < side * side; k++) {
            left += (double)t->v[k][c] * (double)t->sums[k][c];
            scale += fabs((double)t->v[k][c] * (double)t->sums[k][c]);
        }
        for (int i = 0; i < w->tile * w->tile; i++) right += (double)t->pixels[i][c] * (double)t->y[i][c];
        if (fabs(left - right) > 1e-5 * scale) fail_msg("%s F(%d): %g, %g", w->name, w->tile, left, right);
    }
    free(t);
}

static void transforms_filter(void **state) {
    (void)state;
    static const winograd_transform *const all[][2] = {
        {&winograd_transform_2_generic, &winograd_transform_4_generic},
        {&winograd_transform_2_avx2, &winograd_transform_4_avx2},
        {&winograd_transform_2_avx512, &winograd_transform_4_avx512},
    };
    static const cpu_level needs[] = {CPU_GENERIC, CPU_AVX2, CPU_AVX512};
    for (int level = 0; level < 3; level++)
        for (int i = 0; i < 2 && cpu_level_effective() >= needs[level]; i++) {
            assert_int_equal(all[level][i]->tile, i == 0 ? 2 : 4);
            check_filter(all[level][i]);
            check_transpose(all[level][i]);
        }
    assert_int_equal(winograd_transform_best(2)->tile, 2);
    assert_int_equal(winograd_transform_best(4)->tile, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(transforms_filter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
