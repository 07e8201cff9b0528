/* Exponentials of vectors as wide as the processor's. This is deliberately a header that defines functions: files with
 * kernels, each compiled for one instruction set, include it.
 */
#ifndef TENSOR_EXPONENTIAL_BODY_H
#define TENSOR_EXPONENTIAL_BODY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define NATIVE_BYTES 64
#elif defined(__AVX__)
#define NATIVE_BYTES 32
#else
#define NATIVE_BYTES 16
#endif
typedef float native __attribute__((vector_size(NATIVE_BYTES)));
typedef int32_t native_bits __attribute__((vector_size(NATIVE_BYTES)));

#define EXP_VECTORS 4
#define EXP_VALUES  (EXP_VECTORS * NATIVE_BYTES / (int)sizeof(float))
#define EACH_VECTOR _Pragma("GCC unroll 4") for (int k = 0; k < EXP_VECTORS; k++)

/* Clamped; NaN stays NaN: of two numbers one of which is NaN, x86's minimum and maximum are the second. */
static inline native clamped(native x, float low, float high) {
#if defined(__AVX512F__) /* one instruction each, which the compiler does not find by itself */
    return (native)_mm512_max_ps(_mm512_set1_ps(low), _mm512_min_ps(_mm512_set1_ps(high), (__m512)x));
#elif defined(__AVX__)
    return (native)_mm256_max_ps(_mm256_set1_ps(low), _mm256_min_ps(_mm256_set1_ps(high), (__m256)x));
#else
    native_bits above = x > high, below = x < low;
    return (native)(((native_bits)x & ~(above | below)) | ((native_bits)((native){0} + high) & above) |
                    ((native_bits)((native){0} + low) & below));
#endif
}

/* a b + c, rounded once where the processor can. */
static inline native all_fused(native a, native b, native c) {
#if defined(__AVX512F__)
    return (native)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (native)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}
static inline native each(float x) { return (native){0} + x; }

/* v = e^v from -87 to 88 (beyond that, e to that), relative error about 2e-7. Cody-Waite reduction, degree 6
 * polynomial. Each step waits for the one before: four vectors go through them side by side. */
static inline __attribute__((always_inline)) void exponentials(native v[EXP_VECTORS]) {
    native n[EXP_VECTORS], p[EXP_VECTORS], power[EXP_VECTORS];
    EACH_VECTOR v[k] = clamped(v[k], -87.0f, 88.0f);
    EACH_VECTOR n[k] =
        all_fused(v[k], each(1.44269504f), each(12582912.0f)) - 12582912.0f; /* 1.5 * 2^23: to the nearest */
    EACH_VECTOR v[k] = all_fused(n[k], each(2.12194440e-4f), all_fused(n[k], each(-0.693359375f), v[k]));
    /* of NaN anything: p is NaN then */
    EACH_VECTOR power[k] = (native)((__builtin_convertvector(n[k], native_bits) + 127) << 23);
    EACH_VECTOR p[k] = all_fused(v[k], each(1.9875691500e-4f), each(1.3981999507e-3f));
    EACH_VECTOR p[k] = all_fused(p[k], v[k], each(8.3334519073e-3f));
    EACH_VECTOR p[k] = all_fused(p[k], v[k], each(4.1665795894e-2f));
    EACH_VECTOR p[k] = all_fused(p[k], v[k], each(1.6666665459e-1f));
    EACH_VECTOR p[k] = all_fused(p[k], v[k], each(5.0000001201e-1f));
    EACH_VECTOR p[k] = all_fused(p[k] * v[k], v[k], v[k]) + 1.0f;
    EACH_VECTOR v[k] = p[k] * power[k];
}

/* The same of EXP_VALUES values in memory: vector by vector, as GCC copies all of them in pieces of 16 bytes. */
static inline void exponentials_of(float *x) {
    native v[EXP_VECTORS];
    EACH_VECTOR memcpy(&v[k], x + (size_t)k * (sizeof v[k] / sizeof *x), sizeof v[k]);
    exponentials(v);
    EACH_VECTOR memcpy(x + (size_t)k * (sizeof v[k] / sizeof *x), &v[k], sizeof v[k]);
}

#endif
