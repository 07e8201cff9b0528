/* Reading and writing runs of values of either type as f32: kernels compute in f32, storage may be bf16. */
#ifndef TENSOR_SPAN_H
#define TENSOR_SPAN_H

#include "tensor/graph_internal.h"

#define SPAN_VALUES 1024 /* what elementwise ops convert at a time: fits L1 with room */

/* n values from `offset`; converted into `buffer` [n] when the type is bf16, else the storage itself. */
static inline const float *span_read(const kernels *k, const void *values, tensor_type type, int64_t offset, int64_t n,
                                     float *buffer) {
    if (type == TENSOR_F32) return (const float *)values + offset;
    k->widen_bf16(buffer, (const uint16_t *)values + offset, n);
    return buffer;
}

/* Where to compute n values that will go to `offset`: the storage itself for f32, else `buffer`; then span_flush. */
static inline float *span_target(void *values, tensor_type type, int64_t offset, float *buffer) {
    return type == TENSOR_F32 ? (float *)values + offset : buffer;
}
static inline void span_flush(const kernels *k, void *values, tensor_type type, int64_t offset, int64_t n,
                              const float *buffer) {
    if (type == TENSOR_BF16) k->narrow_bf16((uint16_t *)values + offset, buffer, n);
}

#endif
