/* Query rows against keys and values as they lie, f32 or bf16: in a decoder's cache (key_cache.h), and where sentences
 * are short (op_attention.c).
 *
 * What a query gets is the same bits however many queries and keys are asked for at once: sums of a score run in 16
 * lanes over the row, which are then added in one order; mixtures run over keys in their order. Tiles only decide how
 * often a key is read. Between the two, scores become probabilities (soften_bf16; in f32 it is kernels.h's softmax).
 * Compiled once per instruction set from key_rows_body.h.
 */
#ifndef TENSOR_KEY_ROWS_H
#define TENSOR_KEY_ROWS_H

#include <stdint.h>

/* What each query takes of each value: p[r row_step + j key_step]. */
typedef struct mixture {
    const float *p;
    int64_t row_step, key_step;
} mixture;

typedef struct key_rows_kernel {
    const char *name;
    /* scores[r score_step + j] = q[r] . keys[j]: rows of n values, queries q_step apart, keys `step` apart */
    void (*scores)(float *scores, int64_t score_step, const float *q, int64_t q_step, int64_t rows, const void *keys,
                   int64_t step, int64_t count, int64_t n);
    void (*scores_bf16)(float *scores, int64_t score_step, const uint16_t *q, int64_t q_step, int64_t rows,
                        const void *keys, int64_t step, int64_t count, int64_t n);
    /* y[r] += sum over j of p[r, j] values[j], in the order of j */
    void (*mix)(float *y, int64_t y_step, const mixture *m, int64_t rows, const void *values, int64_t step,
                int64_t count, int64_t n);
    void (*mix_bf16)(float *y, int64_t y_step, const mixture *m, int64_t rows, const void *values, int64_t step,
                     int64_t count, int64_t n);
    /* the same with p[r p_step + j] in bf16, perhaps pair by pair of keys: p_step is even, and after an odd number of
     * keys a zero stands in p. What a query gets depends on where pairs begin, and on nothing else. */
    void (*mix_pairs_bf16)(float *y, int64_t y_step, const uint16_t *p, int64_t p_step, int64_t rows,
                           const void *values, int64_t step, int64_t count, int64_t n);
    /* p = e^(factor (s - the largest s)) in bf16, n values, not yet divided by what they add up to as they are there,
     * which is returned. factor > 0, n >= 1; NaN where s is. */
    float (*soften_bf16)(uint16_t *p, const float *s, int64_t n, float factor);
} key_rows_kernel;
extern const key_rows_kernel key_rows_generic, key_rows_avx2, key_rows_avx512, key_rows_avx512_bf16;

/* The best for this processor, as capped by CARINA_MAX_ISA: to be asked for once, when an op is prepared. */
const key_rows_kernel *key_rows_best(void);
/* All that this processor can run, best last; for tests. Returns how many. */
#define KEY_ROWS_MOST 4
int key_rows_all(const key_rows_kernel *out[KEY_ROWS_MOST]);

#endif
