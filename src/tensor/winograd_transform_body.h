/* The transforms in the compiler's vector type, 16 channels at a time: straight-line code that it does not vectorise
 * across channels by itself. Included by winograd_transform_{generic,avx2,avx512}.c, which name the two tables
 * (TABLE_2, TABLE_4, NAME) and differ in compiler flags: a vector becomes four, two or one register. */
#include <string.h>

#include "tensor/winograd_transform.h"

#define LANES  16
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t lane_bits __attribute__((vector_size(4 * LANES)));

INLINE lanes load(const float *x, int64_t n) {
    lanes v = {0};
    if (n >= LANES)
        memcpy(&v, x, sizeof v);
    else
        memcpy(&v, x, (size_t)n * sizeof *x);
    return v;
}
INLINE void store(float *x, lanes v, int64_t n) {
    if (n >= LANES)
        memcpy(x, &v, sizeof v);
    else
        memcpy(x, &v, (size_t)n * sizeof *x);
}

static const float kernel_2[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
static const float kernel_4[6][3] = {{1.0f / 4, 0, 0},
                                     {-1.0f / 6, -1.0f / 6, -1.0f / 6},
                                     {-1.0f / 6, 1.0f / 6, -1.0f / 6},
                                     {1.0f / 24, 1.0f / 12, 1.0f / 6},
                                     {1.0f / 24, -1.0f / 12, 1.0f / 6},
                                     {0, 0, 1}};

/* r = B^T d, one line of side numbers */
INLINE void input_line(int tile, lanes *r, const lanes *d) {
    if (tile == 2) {
        r[0] = d[0] - d[2], r[1] = d[1] + d[2], r[2] = d[2] - d[1], r[3] = d[1] - d[3];
    } else {
        lanes even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], near = d[4] - d[2], twice = 2 * (d[3] - d[1]);
        r[0] = 4 * d[0] - 5 * d[2] + d[4];
        r[1] = even + odd, r[2] = even - odd;
        r[3] = near + twice, r[4] = near - twice;
        r[5] = 4 * d[1] - 5 * d[3] + d[5];
    }
}

/* r = A^T m: side numbers to tile */
INLINE void output_line(int tile, lanes *r, const lanes *m) {
    if (tile == 2) {
        r[0] = m[0] + m[1] + m[2], r[1] = m[1] - m[2] - m[3];
    } else {
        lanes sum = m[1] + m[2], difference = m[1] - m[2], far_sum = m[3] + m[4], far_difference = m[3] - m[4];
        r[0] = m[0] + sum + far_sum;
        r[1] = difference + 2 * far_difference;
        r[2] = sum + 4 * far_sum;
        r[3] = difference + 8 * far_difference + m[5];
    }
}

/* r = A y: tile numbers to side */
INLINE void spread_line(int tile, lanes *r, const lanes *y) {
    if (tile == 2) {
        r[0] = y[0], r[1] = y[0] + y[1], r[2] = y[0] - y[1], r[3] = -y[1];
    } else {
        lanes even = y[0] + y[2], odd = y[1] + y[3], far_even = y[0] + 4 * y[2], far_odd = 2 * y[1] + 8 * y[3];
        r[0] = y[0];
        r[1] = even + odd, r[2] = even - odd;
        r[3] = far_even + far_odd, r[4] = far_even - far_odd;
        r[5] = y[3];
    }
}

INLINE void input(int tile, float *v, int64_t stride, const float *const *pixels, int64_t n) {
    const int side = tile + 2;
    for (int64_t c = 0; c < n; c += LANES) {
        lanes half[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_SIDE], from[WINOGRAD_MAX_SIDE], to[WINOGRAD_MAX_SIDE];
        for (int j = 0; j < side; j++) { /* B^T d */
            for (int i = 0; i < side; i++) from[i] = load(pixels[i * side + j] + c, n - c);
            input_line(tile, to, from);
            for (int i = 0; i < side; i++) half[i][j] = to[i];
        }
        for (int i = 0; i < side; i++) { /* ... B */
            input_line(tile, to, half[i]);
            for (int j = 0; j < side; j++) store(v + (i * side + j) * stride + c, to[j], n - c);
        }
    }
}

INLINE void output(int tile, float *const *y, const float *m, int64_t stride, const float *bias,
                   const float *const *residual, int relu, int64_t n) {
    const int side = tile + 2;
    const lanes zero = {0};
    for (int64_t c = 0; c < n; c += LANES) {
        lanes half[WINOGRAD_MAX_TILE][WINOGRAD_MAX_SIDE], from[WINOGRAD_MAX_SIDE], to[WINOGRAD_MAX_TILE];
        for (int j = 0; j < side; j++) { /* A^T m */
            for (int i = 0; i < side; i++) from[i] = load(m + (i * side + j) * stride + c, n - c);
            output_line(tile, to, from);
            for (int i = 0; i < tile; i++) half[i][j] = to[i];
        }
        lanes shift = bias ? load(bias + c, n - c) : zero;
        for (int i = 0; i < tile; i++) { /* ... A */
            output_line(tile, to, half[i]);
            for (int j = 0; j < tile; j++) {
                int pixel = i * tile + j;
                if (!y[pixel]) continue;
                lanes sum = to[j] + shift;
                if (residual[pixel]) sum += load(residual[pixel] + c, n - c);
                if (relu) sum = (lanes)((sum > zero) & (lane_bits)sum);
                store(y[pixel] + c, sum, n - c);
            }
        }
    }
}

INLINE void spread(int tile, float *m, int64_t stride, const float *const *dy, int64_t n) {
    const int side = tile + 2;
    for (int64_t c = 0; c < n; c += LANES) {
        lanes half[WINOGRAD_MAX_SIDE][WINOGRAD_MAX_TILE], from[WINOGRAD_MAX_TILE], to[WINOGRAD_MAX_SIDE];
        for (int j = 0; j < tile; j++) { /* A dy */
            for (int i = 0; i < tile; i++) from[i] = load(dy[i * tile + j] + c, n - c);
            spread_line(tile, to, from);
            for (int i = 0; i < side; i++) half[i][j] = to[i];
        }
        for (int i = 0; i < side; i++) { /* ... A^T */
            spread_line(tile, to, half[i]);
            for (int j = 0; j < side; j++) store(m + (i * side + j) * stride + c, to[j], n - c);
        }
    }
}

#define TRANSFORM(m)                                                                              \
    static void input_##m(float *v, int64_t stride, const float *const *pixels, int64_t n) {      \
        input(m, v, stride, pixels, n);                                                           \
    }                                                                                             \
    static void output_##m(float *const *y, const float *sums, int64_t stride, const float *bias, \
                           const float *const *residual, int relu, int64_t n) {                   \
        output(m, y, sums, stride, bias, residual, relu, n);                                      \
    }                                                                                             \
    static void spread_##m(float *sums, int64_t stride, const float *const *dy, int64_t n) {      \
        spread(m, sums, stride, dy, n);                                                           \
    }                                                                                             \
    const winograd_transform TABLE_##m = {NAME, m, kernel_##m, input_##m, output_##m, spread_##m};
TRANSFORM(2)
TRANSFORM(4)
