/* The small linear maps of Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4 (Lavin and Gray 2016), on channels
 * that lie side by side. A tile of m x m outputs looks at side x side pixels, side = m + 2:
 *
 *     Y = A^T [ (G g G^T) . (B^T d B) ] A
 *
 * m = 2 uses the points 0, 1, -1 and only adds and halves; m = 4 uses 0, +-1, +-2 as well, saves 2.25 times as many
 * multiplications and costs about one decimal of f32's accuracy. Compiled once per instruction set from
 * winograd_transform_body.h.
 */
#ifndef TENSOR_WINOGRAD_TRANSFORM_H
#define TENSOR_WINOGRAD_TRANSFORM_H

#include <stdint.h>

#define WINOGRAD_MAX_TILE      4
#define WINOGRAD_MAX_SIDE      (WINOGRAD_MAX_TILE + 2)
#define WINOGRAD_MAX_POSITIONS (WINOGRAD_MAX_SIDE * WINOGRAD_MAX_SIDE)

typedef struct winograd_transform {
    const char *name;
    int tile;                 /* m */
    const float (*kernel)[3]; /* G [side, 3] */
    /* v[k * stride] [n] = (B^T d B)_k of the side x side pixels d, row by row; n channels */
    void (*input)(float *v, int64_t stride, const float *const *pixels, int64_t n);
    /* The m x m pixels of A^T m A, plus bias or NULL, plus residual[i] or NULL, ReLU; y[i] NULL: not wanted. y[i] may
     * be residual[i]. */
    void (*output)(float *const *y, const float *m, int64_t stride, const float *bias, const float *const *residual,
                   int relu, int64_t n);
    /* Gradient of the output: m[k * stride] [n] = (A dy A^T)_k of the m x m pixels dy */
    void (*spread)(float *m, int64_t stride, const float *const *dy, int64_t n);
} winograd_transform;

extern const winograd_transform winograd_transform_2_generic, winograd_transform_4_generic, winograd_transform_2_avx2,
    winograd_transform_4_avx2, winograd_transform_2_avx512, winograd_transform_4_avx512;

/* The best for this processor, as capped by CARINA_MAX_ISA. tile: 2 or 4 */
const winograd_transform *winograd_transform_best(int tile);

#endif
