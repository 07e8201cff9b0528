/* GGUF's element types; see gguf_blocks.h. All numbers in blocks are little-endian, scales are f16. */
#include "format/gguf_blocks.h"

#include <string.h>

#include "base/cursor.h"
#include "base/half.h"

static uint16_t u16_at(const uint8_t *bytes) { return (uint16_t)(bytes[0] | bytes[1] << 8); }

/* ---- plain numbers: a block is one element ---- */

static void decode_f32(float *out, const uint8_t *blocks, uint64_t count) {
    if (count) memcpy(out, blocks, (size_t)(count * sizeof *out));
}

static void decode_f16(float *out, const uint8_t *blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) out[i] = f16_to_f32(u16_at(blocks + 2 * i));
}

static void decode_bf16(float *out, const uint8_t *blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) out[i] = bf16_to_f32(u16_at(blocks + 2 * i));
}

/* ---- blocks of 32: scale d, integers q; the element is q * d ---- */

enum { SMALL_LENGTH = 32, Q4_0_BYTES = 2 + 16, Q8_0_BYTES = 2 + 32 };

/* d, 16 bytes: byte j holds q + 8 of element j in its low half, of element j + 16 in its high half. */
static void decode_q4_0(float *out, const uint8_t *blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, blocks += Q4_0_BYTES, out += SMALL_LENGTH) {
        float d = f16_to_f32(u16_at(blocks));
        for (int j = 0; j < SMALL_LENGTH / 2; j++) {
            out[j] = (float)((blocks[2 + j] & 15) - 8) * d;
            out[j + SMALL_LENGTH / 2] = (float)((blocks[2 + j] >> 4) - 8) * d;
        }
    }
}

/* d, 32 signed bytes. */
static void decode_q8_0(float *out, const uint8_t *blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, blocks += Q8_0_BYTES, out += SMALL_LENGTH) {
        float d = f16_to_f32(u16_at(blocks));
        for (int j = 0; j < SMALL_LENGTH; j++) out[j] = (float)(int8_t)blocks[2 + j] * d;
    }
}

/* ---- blocks of 256 with scales of scales ---- */

enum { LARGE_LENGTH = 256, Q4_K_BYTES = 2 + 2 + 12 + 128, Q6_K_BYTES = 128 + 64 + 16 + 2 };

/* Eight scales and eight minima of 6 bits in 12 bytes: bytes 0-3 and 4-7 hold numbers 0-3 whole, in their low six bits,
 * and in the upper two the top of numbers 4-7, whose low four bits are in bytes 8-11, scale below and minimum above. */
static void unpack_scales(const uint8_t packed[12], int scale[8], int minimum[8]) {
    for (int i = 0; i < 4; i++) {
        scale[i] = packed[i] & 63;
        minimum[i] = packed[i + 4] & 63;
        scale[i + 4] = (packed[i + 8] & 15) | (packed[i] >> 6) << 4;
        minimum[i + 4] = packed[i + 8] >> 4 | (packed[i + 4] >> 6) << 4;
    }
}

/* d, dmin, scales, 128 bytes: eight groups of 32, element (d * scale) * q - (dmin * minimum). Two groups share 32
 * bytes, the even one has the low halves. */
static void decode_q4_k(float *out, const uint8_t *blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, blocks += Q4_K_BYTES, out += LARGE_LENGTH) {
        float d = f16_to_f32(u16_at(blocks)), d_minimum = f16_to_f32(u16_at(blocks + 2));
        int scale[8], minimum[8];
        unpack_scales(blocks + 4, scale, minimum);
        for (int group = 0; group < 8; group++) {
            const uint8_t *q = blocks + 16 + group / 2 * 32;
            int shift = group % 2 * 4;
            float step = d * (float)scale[group], least = d_minimum * (float)minimum[group];
            for (int j = 0; j < 32; j++) {
                float product = step * (float)(q[j] >> shift & 15);
                out[group * 32 + j] = product - least;
            }
        }
    }
}

/* 128 bytes of low halves, 64 of upper pairs of bits, 16 signed scales, d: element (d * scale) * (q - 32), a scale for
 * each 16 elements. Of 128 elements (four groups of 32) the low halves are 64 bytes: groups 0 and 1 below, 2 and 3
 * above; byte j of the 32 with upper bits serves element j of each group, two bits each from the bottom up. */
static void decode_q6_k(float *out, const uint8_t *blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, blocks += Q6_K_BYTES, out += LARGE_LENGTH) {
        const uint8_t *scales = blocks + 192;
        float d = f16_to_f32(u16_at(blocks + 208));
        for (int group = 0; group < 8; group++) {
            int half = group / 4, part = group % 4;
            const uint8_t *low = blocks + half * 64 + part % 2 * 32, *high = blocks + 128 + half * 32;
            for (int j = 0; j < 32; j++) {
                int q = (low[j] >> part / 2 * 4 & 15) | (high[j] >> part * 2 & 3) << 4;
                float step = d * (float)(int8_t)scales[group * 2 + j / 16];
                out[group * 32 + j] = step * (float)(q - 32);
            }
        }
    }
}

/* ---- the table ---- */

typedef struct type_facts {
    const char *name;
    uint16_t length, bytes; /* of a block; 0 where the format has given the type up */
    void (*decode)(float *out, const uint8_t *blocks, uint64_t count);
} type_facts;

static const type_facts types[] = {
    [GGUF_F32] = {"F32", 1, 4, decode_f32},
    [GGUF_F16] = {"F16", 1, 2, decode_f16},
    [GGUF_Q4_0] = {"Q4_0", SMALL_LENGTH, Q4_0_BYTES, decode_q4_0},
    [3] = {"Q4_1", 32, 20, NULL},
    [4] = {"Q4_2", 0, 0, NULL},
    [5] = {"Q4_3", 0, 0, NULL},
    [6] = {"Q5_0", 32, 22, NULL},
    [7] = {"Q5_1", 32, 24, NULL},
    [GGUF_Q8_0] = {"Q8_0", SMALL_LENGTH, Q8_0_BYTES, decode_q8_0},
    [9] = {"Q8_1", 32, 36, NULL},
    [10] = {"Q2_K", 256, 84, NULL},
    [11] = {"Q3_K", 256, 110, NULL},
    [GGUF_Q4_K] = {"Q4_K", LARGE_LENGTH, Q4_K_BYTES, decode_q4_k},
    [13] = {"Q5_K", 256, 176, NULL},
    [GGUF_Q6_K] = {"Q6_K", LARGE_LENGTH, Q6_K_BYTES, decode_q6_k},
    [15] = {"Q8_K", 256, 292, NULL},
    [16] = {"IQ2_XXS", 256, 66, NULL},
    [17] = {"IQ2_XS", 256, 74, NULL},
    [18] = {"IQ3_XXS", 256, 98, NULL},
    [19] = {"IQ1_S", 256, 50, NULL},
    [20] = {"IQ4_NL", 32, 18, NULL},
    [21] = {"IQ3_S", 256, 110, NULL},
    [22] = {"IQ2_S", 256, 82, NULL},
    [23] = {"IQ4_XS", 256, 136, NULL},
    [24] = {"I8", 1, 1, NULL},
    [25] = {"I16", 1, 2, NULL},
    [26] = {"I32", 1, 4, NULL},
    [27] = {"I64", 1, 8, NULL},
    [28] = {"F64", 1, 8, NULL},
    [29] = {"IQ1_M", 256, 56, NULL},
    [GGUF_BF16] = {"BF16", 1, 2, decode_bf16},
    [31] = {"Q4_0_4_4", 0, 0, NULL},
    [32] = {"Q4_0_4_8", 0, 0, NULL},
    [33] = {"Q4_0_8_8", 0, 0, NULL},
    [34] = {"TQ1_0", 256, 54, NULL},
    [35] = {"TQ2_0", 256, 66, NULL},
    [36] = {"IQ4_NL_4_4", 0, 0, NULL},
    [37] = {"IQ4_NL_4_8", 0, 0, NULL},
    [38] = {"IQ4_NL_8_8", 0, 0, NULL},
    [39] = {"MXFP4", 32, 17, NULL},
    [40] = {"NVFP4", 64, 36, NULL},
    [41] = {"Q1_0", 128, 18, NULL},
    [42] = {"Q2_0", 64, 18, NULL},
};

static const type_facts unknown = {0};

static const type_facts *facts_of(uint32_t type) {
    return type < sizeof types / sizeof *types ? &types[type] : &unknown;
}

const char *gguf_type_name(uint32_t type) { return facts_of(type)->name; }
uint64_t gguf_block_length(uint32_t type) { return facts_of(type)->length; }
uint64_t gguf_block_bytes(uint32_t type) { return facts_of(type)->bytes; }
bool gguf_type_is_quantised(uint32_t type) { return facts_of(type)->length > 1; }
bool gguf_type_is_decoded(uint32_t type) { return facts_of(type)->decode != NULL; }

bool gguf_row_bytes(uint32_t type, uint64_t length, uint64_t *out) {
    const type_facts *facts = facts_of(type);
    if (!facts->length || length % facts->length != 0) return false;
    return size_multiply(length / facts->length, facts->bytes, out);
}

carina_status gguf_decode_row(float *out, uint32_t type, const void *row, uint64_t length, carina_error *error) {
    const type_facts *facts = facts_of(type);
    if (!facts->decode)
        return error_set(error, CARINA_ERROR_UNSUPPORTED,
                         "type %s (%u) is not decoded here: F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K are",
                         facts->name ? facts->name : "unknown", type);
    if (length % facts->length != 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "a row of %llu elements is no whole number of %s blocks of %u",
                         (unsigned long long)length, facts->name, facts->length);
    facts->decode(out, row, length / facts->length);
    return CARINA_OK;
}

/* ---- taken apart ---- */

static void unpack_small(const gguf_quants *out, uint32_t type, const uint8_t *blocks, uint64_t count) {
    uint64_t bytes = type == GGUF_Q8_0 ? Q8_0_BYTES : Q4_0_BYTES;
    for (uint64_t i = 0; i < count; i++, blocks += bytes) {
        int8_t *quants = out->quants + i * SMALL_LENGTH;
        out->scales[i] = u16_at(blocks);
        if (type == GGUF_Q8_0) memcpy(quants, blocks + 2, SMALL_LENGTH);
        for (int j = 0; type == GGUF_Q4_0 && j < SMALL_LENGTH / 2; j++) {
            quants[j] = (int8_t)(blocks[2 + j] & 15);
            quants[j + SMALL_LENGTH / 2] = (int8_t)(blocks[2 + j] >> 4);
        }
    }
}

static void unpack_q4_k(const gguf_quants *out, const uint8_t *blocks, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, blocks += Q4_K_BYTES) {
        int scale[8], minimum[8];
        out->scales[i] = u16_at(blocks);
        out->minima[i] = u16_at(blocks + 2);
        unpack_scales(blocks + 4, scale, minimum);
        for (int group = 0; group < 8; group++) {
            const uint8_t *q = blocks + 16 + group / 2 * 32;
            int8_t *quants = out->quants + i * LARGE_LENGTH + (uint64_t)group * 32;
            out->scale_factors[i * 8 + (uint64_t)group] = (uint8_t)scale[group];
            out->minimum_factors[i * 8 + (uint64_t)group] = (uint8_t)minimum[group];
            for (int j = 0; j < 32; j++) quants[j] = (int8_t)(q[j] >> group % 2 * 4 & 15);
        }
    }
}

bool gguf_type_has_quants(uint32_t type) { return type == GGUF_Q8_0 || type == GGUF_Q4_0 || type == GGUF_Q4_K; }

carina_status gguf_unpack_row(const gguf_quants *out, uint32_t type, const void *row, uint64_t length,
                              carina_error *error) {
    const type_facts *facts = facts_of(type);
    if (!gguf_type_has_quants(type))
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "type %s (%u) is not taken apart: Q8_0, Q4_0 and Q4_K are",
                         facts->name ? facts->name : "unknown", type);
    if (length % facts->length != 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "a row of %llu elements is no whole number of %s blocks of %u",
                         (unsigned long long)length, facts->name, facts->length);
    if (type == GGUF_Q4_K)
        unpack_q4_k(out, row, length / facts->length);
    else
        unpack_small(out, type, row, length / facts->length);
    return CARINA_OK;
}

carina_status gguf_pack_row(void *row, uint32_t type, const gguf_quants *quants, uint64_t length, carina_error *error) {
    uint8_t *block = row;
    if ((type != GGUF_Q8_0 && type != GGUF_Q4_0) || length % SMALL_LENGTH != 0)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "a row of %llu elements cannot be written as %s: Q8_0 and Q4_0 "
                         "can, in blocks of %d",
                         (unsigned long long)length, gguf_type_name(type) ? gguf_type_name(type) : "unknown",
                         SMALL_LENGTH);
    for (uint64_t i = 0; i < length / SMALL_LENGTH; i++) {
        const int8_t *q = quants->quants + i * SMALL_LENGTH;
        *block++ = (uint8_t)quants->scales[i];
        *block++ = (uint8_t)(quants->scales[i] >> 8);
        if (type == GGUF_Q8_0)
            for (int j = 0; j < SMALL_LENGTH; j++) *block++ = (uint8_t)q[j];
        else
            for (int j = 0; j < SMALL_LENGTH / 2; j++) *block++ = (uint8_t)(q[j] | q[j + SMALL_LENGTH / 2] << 4);
    }
    return CARINA_OK;
}
