/* The kernel table: loops over spans of f32 values (and, where memory speed matters, bf16), compiled once per
 * instruction set from kernels_body.h and chosen at run time. Products and convolutions are in dnnl.h.
 *
 * Sums are made in 16 fixed lanes, so a result depends on the values and their count only, not on alignment or
 * threads. n: number of values; pointers may be equal where the text says "in place".
 */
#ifndef TENSOR_KERNELS_H
#define TENSOR_KERNELS_H

#include <stdint.h>

typedef enum activation_function {
    FUNCTION_NONE,
    FUNCTION_RELU,
    FUNCTION_GELU,      /* x Phi(x), with erf */
    FUNCTION_GELU_TANH, /* its tanh approximation */
    FUNCTION_SIGMOID,
} activation_function;

typedef struct kernels {
    const char *name; /* "generic", "avx2", "avx512" */

    void (*widen_bf16)(float *out, const uint16_t *x, int64_t n);
    void (*narrow_bf16)(uint16_t *out, const float *x, int64_t n);

    void (*add_into)(float *sum, const float *x, int64_t n);
    void (*add_into_bf16)(uint16_t *sum, const uint16_t *x, int64_t n);
    void (*scale)(float *out, const float *x, float factor, int64_t n);          /* in place allowed */
    void (*multiply)(float *out, const float *a, const float *b, int64_t n);     /* in place allowed */
    void (*multiply_add)(float *sum, const float *a, const float *b, int64_t n); /* sum += a b */
    double (*sum_of_squares)(const float *x, int64_t n);

    /* gradient g of ReLU by its output's sign: kept where y > 0 */
    void (*relu_gate)(float *g, const float *y, int64_t n);
    void (*relu_gate_bf16)(uint16_t *g, const uint16_t *y, int64_t n);
    /* the same from one bit a value, packed lowest bit first */
    void (*sign_pack)(uint8_t *bits, const float *y, int64_t n);
    void (*sign_pack_bf16)(uint8_t *bits, const uint16_t *y, int64_t n);
    void (*sign_gate)(float *g, const uint8_t *bits, int64_t n);
    void (*sign_gate_bf16)(uint16_t *g, const uint8_t *bits, int64_t n);

    void (*activate)(float *y, const float *x, int64_t n, activation_function f); /* in place allowed */
    /* dx = dy f'(x): ReLU and sigmoid take their output as `x`, GELU its input; dx may be dy */
    void (*activate_gradient)(float *dx, const float *x, const float *dy, int64_t n, activation_function f);

    /* y = (x - mean) rstd weight + bias over one row; gives mean and rstd */
    void (*layer_norm)(float *y, const float *x, const float *weight, const float *bias, int64_t n, float epsilon,
                       float *mean, float *rstd);
    /* dx of one row; adds to dweight and dbias */
    void (*layer_norm_gradient)(float *dx, float *dweight, float *dbias, const float *dy, const float *x,
                                const float *weight, int64_t n, float mean, float rstd);

    /* y = x rstd (1 + weight) over one row, rstd = 1 / sqrt(mean of squares + epsilon), which is returned; in place
     * allowed */
    float (*rms_norm)(float *y, const float *x, const float *weight, int64_t n, float epsilon);
    /* dx of one row; adds to dweight */
    void (*rms_norm_gradient)(float *dx, float *dweight, const float *dy, const float *x, const float *weight,
                              int64_t n, float rstd);

    /* Values i and i + half of x are a point, turned by the angle whose cosine is table[i] and sine direction
     * table[half + i]; direction 1 or -1; in place allowed */
    void (*rotate)(float *y, const float *x, const float *table, int64_t half, float direction);

    /* p = exp(scale s - m) / sum over one row, in place; returns m + log(sum), the log-sum-exp of scale s */
    float (*softmax)(float *s, int64_t n, float scale);
    /* the same down each column of s [n, columns], in place */
    void (*softmax_columns)(float *s, int64_t n, int64_t columns, float scale);
    /* s = exp(scale s - lse), in place: the row of probabilities again */
    void (*softmax_again)(float *s, int64_t n, float scale, float lse);
    /* ds = p (dp - delta) scale, into dp */
    void (*softmax_gradient)(float *dp, const float *p, int64_t n, float delta, float scale);
    /* p = exp(scale s - m) in bf16, not yet divided by their sum; returns scale s's maximum m */
    float (*exponentials_bf16)(uint16_t *p, float *sum, const float *s, int64_t n, float scale);
    /* p = exp(scale s - lse) and ds = p (dp - delta) scale, both in bf16 */
    void (*softmax_gradient_bf16)(uint16_t *p, uint16_t *ds, const float *s, const float *dp, int64_t n, float scale,
                                  float lse, float delta);
    float (*dot)(const float *a, const float *b, int64_t n);

    /* y[c] = x[c] a[c] + b[c] (+ residual[c]) (ReLU), one pixel's channels; in place allowed */
    void (*affine)(float *y, const float *x, const float *a, const float *b, const float *residual, int relu,
                   int64_t n);
    void (*affine_bf16)(uint16_t *y, const uint16_t *x, const float *a, const float *b, const uint16_t *residual,
                        int relu, int64_t n);
    /* sum[c] += x[c], squares[c] += x[c]^2 */
    void (*accumulate_moments)(float *sum, float *squares, const float *x, int64_t n);
    void (*accumulate_moments_bf16)(float *sum, float *squares, const uint16_t *x, int64_t n);
    /* dbeta[c] += g[c], dgamma[c] += g[c] (x[c] - mean[c]) rstd[c] */
    void (*accumulate_norm_gradient)(float *dgamma, float *dbeta, const float *g, const float *x, const float *mean,
                                     const float *rstd, int64_t n);
    void (*accumulate_norm_gradient_bf16)(float *dgamma, float *dbeta, const uint16_t *g, const uint16_t *x,
                                          const float *mean, const float *rstd, int64_t n);
    /* dx[c] = g[c] a[c] + x[c] b[c] + d[c] */
    void (*norm_gradient)(float *dx, const float *g, const float *x, const float *a, const float *b, const float *d,
                          int64_t n);
    void (*norm_gradient_bf16)(uint16_t *dx, const uint16_t *g, const uint16_t *x, const float *a, const float *b,
                               const float *d, int64_t n);
    /* best[c] = max(best[c], x[c]) */
    void (*larger)(float *best, const float *x, int64_t n);
    void (*larger_bf16)(uint16_t *best, const uint16_t *x, int64_t n);
    /* the same, and index[c] = tap where x is larger */
    void (*maximum)(float *best, uint8_t *index, const float *x, uint8_t tap, int64_t n);
    /* the same where x's own winning tap is x_index[c]: index[c] = x_index[c] + tap */
    void (*maximum_of_rows)(float *best, uint8_t *index, const float *x, const uint8_t *x_index, uint8_t tap,
                            int64_t n);
    /* dx[c] += index[c] == tap ? g[c] : 0 */
    void (*scatter_maximum)(float *dx, const uint8_t *index, const float *g, uint8_t tap, int64_t n);

    void (*lerp)(float *average, const float *x, float weight, int64_t n); /* average += weight (x - average) */
} kernels;

/* The best table for this processor, as capped by CARINA_MAX_ISA. Static, const. */
const kernels *kernels_best(void);
/* All tables that this processor can run, best last; for the tests that compare them. Returns how many. */
int kernels_all(const kernels *out[4]);

extern const kernels kernels_generic_table, kernels_avx2_table, kernels_avx512_table;

#endif
