/* Quantised products in plain C, what the others are compared with; see quantized_body.h. */
#include <string.h>

#include "base/half.h"
#include "tensor/quantized_kernels.h"

#define TABLE       quantized_generic_table
#define NAME        "generic"
#define MOST_TOKENS 4
#define TAKEN_OFF_8 0 /* weights have lost their 128 when they are multiplied */

typedef float floats __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
/* The 16 outputs of an input lie together. */
typedef struct weights {
    int16_t q[QUANTIZED_GROUP][QUANTIZED_BLOCK];
} weights;

static inline void unpack_8(weights *w, const uint8_t *bytes) {
    for (int k = 0; k < QUANTIZED_GROUP; k++)
        for (int n = 0; n < QUANTIZED_BLOCK; n++) w->q[k][n] = (int16_t)(bytes[k / 4 * 64 + n * 4 + k % 4] - 128);
}

static inline void unpack_4(weights *w, const uint8_t *bytes) {
    for (int k = 0; k < QUANTIZED_GROUP; k++)
        for (int n = 0; n < QUANTIZED_BLOCK; n++)
            w->q[k][n] = (int16_t)(bytes[k % 16 / 4 * 64 + n * 4 + k % 4] >> k / 16 * 4 & 15);
}

static inline void dot_4(ints *sums, int tokens, const weights *w, const int8_t *x) {
    for (int t = 0; t < tokens; t++) {
        int32_t sum[QUANTIZED_BLOCK];
        memcpy(sum, &sums[t], sizeof sum);
        for (int k = 0; k < QUANTIZED_GROUP; k++)
            for (int n = 0; n < QUANTIZED_BLOCK; n++) sum[n] += (int16_t)(w->q[k][n] * x[t * QUANTIZED_GROUP + k]);
        memcpy(&sums[t], sum, sizeof sum);
    }
}
static inline void dot_8(ints *sums, int tokens, const weights *w, const int8_t *x) { dot_4(sums, tokens, w, x); }

static inline floats widen_scales(const uint8_t *bytes) {
    floats out;
    for (int n = 0; n < QUANTIZED_BLOCK; n++) out[n] = f16_to_f32((uint16_t)(bytes[2 * n] | bytes[2 * n + 1] << 8));
    return out;
}

static inline floats widen_factors(const uint8_t *bytes) {
    floats out;
    for (int n = 0; n < QUANTIZED_BLOCK; n++) out[n] = (float)bytes[n];
    return out;
}

#include "tensor/quantized_body.h"
