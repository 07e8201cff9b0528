/* One pair of panels of outer_product.h. Included by outer_product_generic.c, _avx2.c and _avx512.c, which set LANES,
 * ROWS, KERNEL and NAME; the compiler may fuse multiply and add there.
 * This is deliberately a header that defines functions: it is the body of those files.
 */
#include <string.h>

#include "tensor/outer_product.h"

typedef float lanes __attribute__((vector_size(4 * LANES)));

static inline lanes load(const float *x) {
    lanes v;
    memcpy(&v, x, sizeof v);
    return v;
}

/* All sums stay in registers: ROWS x 2 of them, two loads of b and ROWS broadcasts of a for 2 ROWS products. */
static void add(float *sum, int64_t sum_step, const float *a, const float *b, int64_t count) {
    lanes s[ROWS][2];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) s[r][0] = load(sum + r * sum_step), s[r][1] = load(sum + r * sum_step + LANES);
    for (int64_t p = 0; p < count; p++) {
        lanes left = load(b + p * 2 * LANES), right = load(b + p * 2 * LANES + LANES);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++) {
            s[r][0] += a[p * ROWS + r] * left;
            s[r][1] += a[p * ROWS + r] * right;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++) {
        memcpy(sum + r * sum_step, &s[r][0], sizeof s[r][0]);
        memcpy(sum + r * sum_step + LANES, &s[r][1], sizeof s[r][1]);
    }
}

static void copy_a(float *panels, int64_t panel_step, int64_t panel_count, const float *x, int64_t step,
                   int64_t count) {
    for (int64_t p = 0; p < count; p++)
        for (int64_t i = 0; i < panel_count; i++)
            memcpy(panels + i * panel_step + p * ROWS, x + p * step + i * ROWS, ROWS * sizeof *x);
}
static void copy_b(float *panel, const float *x, int64_t step, int64_t count) {
    for (int64_t p = 0; p < count; p++) memcpy(panel + p * 2 * LANES, x + p * step, 2 * LANES * sizeof *x);
}

const outer_kernel KERNEL = {
    .name = NAME, .rows = ROWS, .columns = 2 * LANES, .add = add, .copy_a = copy_a, .copy_b = copy_b};
