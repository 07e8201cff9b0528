/* format/gguf_blocks: sizes of all types; blocks whose values were worked out by hand from the layouts, compared bit
 * for bit: which byte serves which element, all scales different, extremes, signed zeros, rounding. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "format/gguf_blocks.h"

static void decode(float *out, uint32_t type, const uint8_t *row, uint64_t length) {
    carina_error error = {0};
    carina_status status = gguf_decode_row(out, type, row, length, &error);
    if (status != CARINA_OK) fail_msg("%s", error.message);
}

static void same_bits(float actual, float expected, int index) {
    if (half_bits_of(actual) != half_bits_of(expected))
        fail_msg("element %d: %.9g, expected %.9g", index, (double)actual, (double)expected);
}

/* Put together again by the values' own formulas, a row is what decoding gives, bit for bit. */
static void rows_taken_apart(void **state) {
    (void)state;
    static const uint32_t kinds[] = {GGUF_Q8_0, GGUF_Q4_0, GGUF_Q4_K};
    enum { LENGTH = 512, GROUPS = LENGTH / 32 };
    for (int k = 0; k < 3; k++) {
        uint8_t row[1024];
        uint64_t bytes;
        uint32_t noise = 12345;
        assert_true(gguf_row_bytes(kinds[k], LENGTH, &bytes) && bytes <= sizeof row);
        for (uint64_t i = 0; i < bytes; i++) row[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
        for (uint64_t i = 0; i < bytes; i += gguf_block_bytes(kinds[k])) { /* scales that are numbers */
            row[i + 1] &= 0x3b;
            if (kinds[k] == GGUF_Q4_K) row[i + 3] &= 0x3b;
        }
        float decoded[LENGTH];
        uint16_t scales[GROUPS], minima[GROUPS];
        uint8_t factors[2][GROUPS];
        int8_t quants[LENGTH];
        const gguf_quants out = {scales, minima, factors[0], factors[1], quants};
        decode(decoded, kinds[k], row, LENGTH);
        assert_int_equal(gguf_unpack_row(&out, kinds[k], row, LENGTH, NULL), CARINA_OK);
        for (int i = 0; i < LENGTH; i++) {
            float value = f16_to_f32(scales[i / 32]) * (float)(quants[i] - (kinds[k] == GGUF_Q4_0 ? 8 : 0));
            if (kinds[k] == GGUF_Q4_K) {
                float step = f16_to_f32(scales[i / 256]) * (float)factors[0][i / 32];
                float least = f16_to_f32(minima[i / 256]) * (float)factors[1][i / 32],
                      product = step * (float)quants[i];
                value = product - least;
            }
            same_bits(decoded[i], value, i);
        }
    }
    carina_error error;
    assert_int_equal(gguf_unpack_row(&(gguf_quants){0}, GGUF_Q6_K, NULL, 256, &error), CARINA_ERROR_UNSUPPORTED);
    assert_int_equal(gguf_unpack_row(&(gguf_quants){0}, GGUF_Q4_K, NULL, 32, &error), CARINA_ERROR_ARGUMENT);
}

static void names_and_sizes(void **state) {
    (void)state;
    static const struct {
        uint32_t type;
        const char *name;
        uint64_t length, bytes;
        bool decoded;
    } expected[] = {
        {GGUF_F32, "F32", 1, 4, true},
        {GGUF_F16, "F16", 1, 2, true},
        {GGUF_BF16, "BF16", 1, 2, true},
        {GGUF_Q4_0, "Q4_0", 32, 18, true},
        {GGUF_Q8_0, "Q8_0", 32, 34, true},
        {GGUF_Q4_K, "Q4_K", 256, 144, true},
        {GGUF_Q6_K, "Q6_K", 256, 210, true},
        {13, "Q5_K", 256, 176, false},
        {39, "MXFP4", 32, 17, false},
        {28, "F64", 1, 8, false},
        {4, "Q4_2", 0, 0, false},
        {43, NULL, 0, 0, false},
        {UINT32_MAX, NULL, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        if (expected[i].name)
            assert_string_equal(gguf_type_name(expected[i].type), expected[i].name);
        else
            assert_null(gguf_type_name(expected[i].type));
        assert_int_equal(gguf_block_length(expected[i].type), expected[i].length);
        assert_int_equal(gguf_block_bytes(expected[i].type), expected[i].bytes);
        assert_int_equal(gguf_type_is_decoded(expected[i].type), expected[i].decoded);
        assert_int_equal(gguf_type_is_quantised(expected[i].type), expected[i].length > 1);
    }
    uint64_t bytes = 7;
    assert_true(gguf_row_bytes(GGUF_Q4_K, 2560, &bytes));
    assert_int_equal(bytes, 1440);
    assert_true(gguf_row_bytes(GGUF_Q8_0, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_false(gguf_row_bytes(GGUF_Q6_K, 255, &bytes));
    assert_false(gguf_row_bytes(GGUF_F32, UINT64_MAX / 2, &bytes));
    assert_false(gguf_row_bytes(4, 32, &bytes));
    assert_false(gguf_row_bytes(99, 1, &bytes));
}

static void plain_numbers(void **state) {
    (void)state;
    float out[6];
    uint8_t bytes[1 + sizeof out];
    const float f32[6] = {0.1f, -0.0f, INFINITY, 0x1p-149f, -3.4e38f, 1};
    memcpy(bytes + 1, f32, sizeof f32);
    decode(out, GGUF_F32, bytes + 1, 6); /* unaligned */
    assert_memory_equal(out, f32, sizeof f32);
    static const uint8_t f16[12] = {0x01, 0x00, 0x00, 0x80, 0xff, 0x7b, 0x00, 0xfc, 0x55, 0x35, 0xff, 0x83};
    const float f16_values[6] = {0x1p-24f, -0.0f, 65504, -INFINITY, 0x1.554p-2f, -1023 * 0x1p-24f};
    decode(out, GGUF_F16, f16, 6);
    for (int i = 0; i < 6; i++) same_bits(out[i], f16_values[i], i);
    static const uint8_t bf16[12] = {0x01, 0x00, 0x00, 0x80, 0x80, 0x3f, 0x80, 0xff, 0x49, 0x40, 0x7f, 0x7f};
    const float bf16_values[6] = {0x1p-133f, -0.0f, 1, -INFINITY, 3.140625f, 0x1.fep127f};
    decode(out, GGUF_BF16, bf16, 6);
    for (int i = 0; i < 6; i++) same_bits(out[i], bf16_values[i], i);
    decode(NULL, GGUF_F32, NULL, 0);
}

static void q8_0(void **state) {
    (void)state;
    uint8_t row[2 * 34] = {0x00, 0x38}; /* d = 0.5 */
    row[2] = 0x80, row[3] = 0x7f, row[4] = 0xff, row[33] = 1;
    row[34] = 0x01, row[35] = 0x80; /* the second block: d = -2^-24 */
    row[36] = 0x7f, row[67] = 0x80;
    float out[64];
    decode(out, GGUF_Q8_0, row, 64);
    float expected[64] = {-64, 63.5f, -0.5f};
    expected[31] = 0.5f;
    for (int i = 32; i < 64; i++) expected[i] = -0.0f; /* 0 times a negative scale */
    expected[32] = -127 * 0x1p-24f;
    expected[63] = 0x1p-17f;
    for (int i = 0; i < 64; i++) same_bits(out[i], expected[i], i);
}

static void q4_0(void **state) {
    (void)state;
    uint8_t row[2 * 18] = {0x66, 0x2e}; /* d = 1638 / 2^14 */
    const float d = 1638 * 0x1p-14f;
    for (int j = 0; j < 16; j++) row[2 + j] = (uint8_t)(j | (15 - j) << 4);
    row[18] = 0xff, row[19] = 0xfb; /* -65504, and all nibbles 8 but those of one byte */
    memset(row + 20, 0x88, 16);
    row[20 + 3] = 0x0f;
    float out[64];
    decode(out, GGUF_Q4_0, row, 64);
    for (int j = 0; j < 16; j++) {
        same_bits(out[j], (float)(j - 8) * d, j);
        same_bits(out[16 + j], (float)(7 - j) * d, 16 + j);
    }
    for (int j = 0; j < 32; j++)
        same_bits(out[32 + j], j == 3 ? 7 * -65504.0f : j == 19 ? 8 * 65504.0f : -0.0f, 32 + j);
}

static void q4_k_scales_and_nibbles(void **state) {
    (void)state;
    static const int scale[8] = {1, 2, 63, 32, 16, 47, 21, 62}, minimum[8] = {63, 0, 1, 33, 48, 15, 42, 31};
    static const uint8_t head[16] = {0x00, 0x38, 0x00, 0x34, /* d = 0.5, dmin = 0.25; then the scales, packed by hand */
                                     0x41, 0x82, 0x7f, 0xe0, 0xff, 0x00, 0x81, 0x61, 0x00, 0xff, 0xa5, 0xfe};
    uint8_t block[144];
    memcpy(block, head, sizeof head);
    for (int k = 0; k < 128; k++) block[16 + k] = (uint8_t)(k % 16 | (15 - k % 16) << 4);
    float out[256];
    decode(out, GGUF_Q4_K, block, 256);
    for (int group = 0; group < 8; group++) {
        for (int j = 0; j < 32; j++) {
            int q = group % 2 ? 15 - j % 16 : j % 16;
            same_bits(out[group * 32 + j], (float)(2 * scale[group] * q - minimum[group]) * 0.25f, group * 32 + j);
        }
    }
}

static void q4_k_bytes_of_elements(void **state) {
    (void)state;
    for (int k = 0; k < 128; k++) {
        uint8_t block[144] = {0x00, 0x3c, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1}; /* all scales 1, minima 0 */
        block[16 + k] = 0xc5;
        float out[256];
        decode(out, GGUF_Q4_K, block, 256);
        int low = k / 32 * 64 + k % 32;
        for (int i = 0; i < 256; i++) same_bits(out[i], i == low ? 5 : i == low + 32 ? 12 : 0, i);
    }
}

static void q4_k_rounding_and_zeros(void **state) {
    (void)state;
    uint8_t block[144] = {0x00, 0x3c, 0x01, 0x00}; /* d = 1, dmin = 2^-24 */
    for (int i = 0; i < 4; i++) block[4 + i] = block[8 + i] = 1, block[12 + i] = 0x11;
    for (int i = 0; i < 128; i++) block[16 + i] = 0xf0;
    float out[256];
    decode(out, GGUF_Q4_K, block, 256);
    for (int i = 0; i < 256; i++) same_bits(out[i], i / 32 % 2 ? 15 : -0x1p-24f, i); /* 15 - 2^-24 rounds to 15 */
    memset(block + 4, 0, 140);
    block[0] = 0x00, block[1] = 0xbc; /* d = -1: -1 * 0 * 0 - 0 = -0 */
    decode(out, GGUF_Q4_K, block, 256);
    for (int i = 0; i < 256; i++) same_bits(out[i], -0.0f, i);
    block[1] = 0x3c, block[3] = 0x80; /* dmin = -2^-24: 0 - (-0) = 0 */
    decode(out, GGUF_Q4_K, block, 256);
    for (int i = 0; i < 256; i++) same_bits(out[i], 0, i);
    memset(block, 0xff, sizeof block);
    block[0] = block[2] = 0xff, block[1] = block[3] = 0x7b; /* largest of everything */
    decode(out, GGUF_Q4_K, block, 256);
    for (int i = 0; i < 256; i++) same_bits(out[i], 65504.0f * 63 * 14, i);
}

static void q6_k_bytes_of_elements(void **state) {
    (void)state;
    /* which element the low and the high half of byte k, and each pair of bits of the upper bytes, belong to */
    for (int k = 0; k < 128 + 64; k++) {
        uint8_t block[210] = {0};
        memset(block + 192, 1, 16);
        block[209] = 0x3c; /* d = 1 */
        block[k] = k < 128 ? 0xb7 : 0xe4 /* 3, 2, 1, 0 from the top */;
        float out[256], expected[256];
        for (int i = 0; i < 256; i++) expected[i] = -32;
        if (k < 128) {
            int base = k / 64 * 128 + k % 64;
            expected[base] = -32 + 7;
            expected[base + 64] = -32 + 11;
        } else {
            int base = (k - 128) / 32 * 128 + k % 32;
            for (int part = 0; part < 4; part++) expected[base + 32 * part] = (float)(-32 + 16 * part);
        }
        decode(out, GGUF_Q6_K, block, 256);
        for (int i = 0; i < 256; i++) same_bits(out[i], expected[i], i);
    }
}

static void q6_k_scales_and_extremes(void **state) {
    (void)state;
    static const uint8_t scales[16] = {0x80, 0x7f, 0x00, 0xff, 1, 2, 3, 4, 5, 0xfa, 7, 0xf8, 64, 0xc0, 100, 0x9c};
    static const int scale[16] = {-128, 127, 0, -1, 1, 2, 3, 4, 5, -6, 7, -8, 64, -64, 100, -100};
    uint8_t block[210] = {0}; /* all q = 0 - 32 */
    memcpy(block + 192, scales, 16);
    block[208] = 0xff, block[209] = 0x7b;
    float out[256];
    decode(out, GGUF_Q6_K, block, 256);
    for (int i = 0; i < 256; i++) same_bits(out[i], scale[i / 16] ? 65504.0f * (float)(scale[i / 16] * -32) : -0.0f, i);
    memset(block, 0xff, 192); /* all q = 63 - 32 */
    block[208] = 0x01, block[209] = 0x80;
    decode(out, GGUF_Q6_K, block, 256);
    for (int i = 0; i < 256; i++) same_bits(out[i], scale[i / 16] ? -0x1p-24f * (float)(scale[i / 16] * 31) : -0.0f, i);
}

static void infinite_scales_stay_visible(void **state) {
    (void)state;
    uint8_t block[34] = {0x00, 0x7c, 0, 1, 0xff}; /* d = infinity */
    float out[32];
    decode(out, GGUF_Q8_0, block, 32);
    assert_true(isnan(out[0]) && out[1] > 0 && isinf(out[1]) && out[2] < 0 && isinf(out[2]));
}

static void refusals(void **state) {
    (void)state;
    float out[256];
    const uint8_t row[512] = {0};
    carina_error error;
    assert_int_equal(gguf_decode_row(out, 13, row, 256, &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "type Q5_K (13) is not decoded here"));
    assert_int_equal(gguf_decode_row(out, 77, row, 256, &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "type unknown (77)"));
    assert_int_equal(gguf_decode_row(out, GGUF_Q4_0, row, 33, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "33 elements is no whole number of Q4_0 blocks of 32"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_sizes),
        cmocka_unit_test(rows_taken_apart),
        cmocka_unit_test(plain_numbers),
        cmocka_unit_test(q8_0),
        cmocka_unit_test(q4_0),
        cmocka_unit_test(q4_k_scales_and_nibbles),
        cmocka_unit_test(q4_k_bytes_of_elements),
        cmocka_unit_test(q4_k_rounding_and_zeros),
        cmocka_unit_test(q6_k_bytes_of_elements),
        cmocka_unit_test(q6_k_scales_and_extremes),
        cmocka_unit_test(infinite_scales_stay_visible),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
