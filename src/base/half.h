/* The 16-bit float types: bf16 (sign, 8 exponent, 7 fraction bits) and f16 (IEEE 754 binary16: sign, 5, 10).
 *
 * Narrowing rounds to nearest, ties to even; infinities stay, values past the range become infinities, NaN stays NaN
 * (quiet, sign and upper payload kept), and f16 subnormals are exact. Widening is exact. Plain C, the reference for
 * every vector kernel.
 */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t half_bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float bf16_to_f32(uint16_t bits) { return half_float_of((uint32_t)bits << 16); }

static inline uint16_t bf16_from_f32(float value) {
    uint32_t bits = half_bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u); /* rounding could make it infinite */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 0x1f) return half_float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent) return half_float_of(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* zero and subnormals, exact */
    return half_float_of(sign | half_bits_of(magnitude));
}

static inline uint16_t f16_from_f32(float value) {
    uint32_t bits = half_bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* >= 65520 rounds past 65504 */
    if (magnitude < 0x38800000u) {                                   /* below 2^-14: subnormal, counted in 2^-24 */
        if (magnitude < 0x33000000u) return (uint16_t)sign;          /* below 2^-25 */
        uint32_t fraction = (magnitude & 0x7fffffu) | 0x800000u;
        uint32_t shift = 126 - (magnitude >> 23); /* 14 .. 24 */
        uint32_t whole = fraction >> shift, rest = fraction & ((1u << shift) - 1), middle = 1u << (shift - 1);
        if (rest > middle || (rest == middle && (whole & 1u))) whole++;
        return (uint16_t)(sign | whole);
    }
    uint32_t rebased = magnitude - (112u << 23);
    return (uint16_t)(sign | ((rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13));
}

#endif
