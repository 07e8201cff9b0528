/* format/safetensors: a round trip over all types, files of the reference implementation, and every lie a header can
 * tell. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/half.h"
#include "format/safetensors.h"

#define PATH TEST_TMP "/round.safetensors"

static void round_trip_over_all_types(void **state) {
    (void)state;
    static const float f32[6] = {1, -2.5f, 3e-9f, 0, 5, 6};
    uint16_t bf16[3], f16[3];
    for (int i = 0; i < 3; i++) {
        bf16[i] = bf16_from_f32(f32[i]);
        f16[i] = f16_from_f32(f32[i]);
    }
    static const double f64[1] = {0.1};
    static const int64_t i64[2] = {INT64_MIN, 7};
    static const int32_t i32[1] = {-3};
    static const int16_t i16[1] = {-300};
    static const int8_t i8[3] = {-1, 0, 1};
    static const uint8_t u8[1] = {255}, truth[2] = {1, 0};
    const named_tensor tensors[] = {
        {.name = (char[]){"truth"}, .dtype = DTYPE_BOOL, .rank = 1, .shape = {2}, .data = truth, .byte_count = 2},
        {.name = (char[]){"b.bf16"}, .dtype = DTYPE_BF16, .rank = 2, .shape = {3, 1}, .data = bf16, .byte_count = 6},
        {.name = (char[]){"a.f32"}, .dtype = DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = f32, .byte_count = 24},
        {.name = (char[]){"half"}, .dtype = DTYPE_F16, .rank = 1, .shape = {3}, .data = f16, .byte_count = 6},
        {.name = (char[]){"scalar"}, .dtype = DTYPE_F64, .rank = 0, .data = f64, .byte_count = 8},
        {.name = (char[]){"empty"}, .dtype = DTYPE_F32, .rank = 2, .shape = {0, 4}},
        {.name = (char[]){"i64"}, .dtype = DTYPE_I64, .rank = 1, .shape = {2}, .data = i64, .byte_count = 16},
        {.name = (char[]){"i32"}, .dtype = DTYPE_I32, .rank = 1, .shape = {1}, .data = i32, .byte_count = 4},
        {.name = (char[]){"i16"}, .dtype = DTYPE_I16, .rank = 1, .shape = {1}, .data = i16, .byte_count = 2},
        {.name = (char[]){"i8"}, .dtype = DTYPE_I8, .rank = 1, .shape = {3}, .data = i8, .byte_count = 3},
        {.name = (char[]){"u8 \"quoted\""}, .dtype = DTYPE_U8, .rank = 1, .shape = {1}, .data = u8, .byte_count = 1},
    };
    const uint64_t count = sizeof tensors / sizeof *tensors;
    const tensor_file_entry metadata[] = {{(char[]){"z"}, (char[]){"last"}}, {(char[]){"config"}, (char[]){"a: 1\n"}}};
    carina_error error = {0};
    assert_int_equal(safetensors_write(PATH, tensors, count, metadata, 2, &error), CARINA_OK);
    tensor_file file;
    carina_status status = safetensors_read(&file, PATH, &error);
    if (status != CARINA_OK) print_error("%s\n", error.message);
    assert_int_equal(status, CARINA_OK);
    assert_int_equal(file.count, count);
    assert_string_equal(tensor_file_metadata(&file, "config"), "a: 1\n");
    assert_null(tensor_file_metadata(&file, "absent"));
    for (uint64_t i = 0; i < count; i++) {
        const named_tensor *back = tensor_file_find(&file, tensors[i].name);
        assert_non_null(back);
        assert_int_equal(back->dtype, tensors[i].dtype);
        assert_int_equal(back->rank, tensors[i].rank);
        assert_memory_equal(back->shape, tensors[i].shape, sizeof back->shape);
        assert_int_equal(back->byte_count, tensors[i].byte_count);
        if (back->byte_count) {
            assert_memory_equal(back->data, tensors[i].data, back->byte_count);
            assert_int_equal((uintptr_t)back->data % tensor_dtype_size(back->dtype), 0); /* aligned in the mapping */
        }
    }
    float wide[3];
    assert_int_equal(named_tensor_to_f32(tensor_file_find(&file, "b.bf16"), wide, 3, &error), CARINA_OK);
    assert_true(wide[1] == -2.5f);
    assert_int_equal(named_tensor_to_f32(tensor_file_find(&file, "i8"), wide, 3, &error), CARINA_OK);
    assert_true(wide[0] == -1);
    assert_int_equal(named_tensor_to_f32(tensor_file_find(&file, "a.f32"), wide, 3, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "'a.f32' has shape [2,3]"));
    tensor_file_free(&file);
}

static void writing_is_deterministic_and_checked(void **state) {
    (void)state;
    const float values[2] = {1, 2};
    named_tensor two[2] = {
        {.name = (char[]){"a"}, .dtype = DTYPE_F32, .rank = 1, .shape = {1}, .data = &values[0], .byte_count = 4},
        {.name = (char[]){"b"}, .dtype = DTYPE_F32, .rank = 1, .shape = {1}, .data = &values[1], .byte_count = 4}};
    const named_tensor turned[2] = {two[1], two[0]};
    uint8_t *first, *second;
    uint64_t first_size, second_size;
    carina_error error;
    assert_int_equal(safetensors_write(PATH, two, 2, NULL, 0, &error), CARINA_OK);
    assert_int_equal(file_read(PATH, 1000, &first, &first_size, &error), CARINA_OK);
    assert_int_equal(safetensors_write(PATH, turned, 2, NULL, 0, &error), CARINA_OK);
    assert_int_equal(file_read(PATH, 1000, &second, &second_size, &error), CARINA_OK);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    free(first);
    free(second);
    two[0].byte_count = 8;
    assert_int_equal(safetensors_write(PATH, two, 2, NULL, 0, &error), CARINA_ERROR_ARGUMENT);
    two[0] = two[1];
    assert_int_equal(safetensors_write(PATH, two, 2, NULL, 0, &error), CARINA_ERROR_ARGUMENT);
    two[0].dtype = DTYPE_I32;
    assert_int_equal(safetensors_write(PATH, two, 2, NULL, 0, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(safetensors_write(TEST_TMP "/no/folder/x", two + 1, 1, NULL, 0, &error), CARINA_ERROR_IO);
}

static void reference_files_are_read(void **state) {
    (void)state;
    tensor_file file;
    carina_error error;
    assert_int_equal(safetensors_read(&file, TEST_DATA "/apm/group_resnet18/weights.safetensors", &error), CARINA_OK);
    assert_true(file.count > 10);
    for (uint64_t i = 0; i < file.count; i++)
        assert_int_equal(named_tensor_check_finite(&file.tensors[i], &error), CARINA_OK);
    tensor_file_free(&file);
}

/* A file from a header text and a number of zero bytes as data. */
static carina_status try_header(const char *header, uint64_t data_size, carina_error *error) {
    uint64_t length = strlen(header), size = 8 + length + data_size;
    uint8_t *bytes = calloc(1, size);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> 8 * i);
    memcpy(bytes + 8, header, length);
    tensor_file file;
    carina_status status = safetensors_parse(&file, "x", bytes, size, error);
    tensor_file_free(&file);
    free(bytes);
    return status;
}

static void refuse(const char *header, uint64_t data_size, const char *part) {
    carina_error error = {0};
    assert_int_not_equal(try_header(header, data_size, &error), CARINA_OK);
    if (!strstr(error.message, part)) fail_msg("%s: '%s' lacks '%s'", header, error.message, part);
}

static void lying_headers_are_refused(void **state) {
    (void)state;
    carina_error error;
    assert_int_equal(try_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ", 8, &error),
                     CARINA_OK);
    assert_int_equal(try_header("{}", 0, &error), CARINA_OK);
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "x: a.data_offsets: end 8 lies past");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "1 bytes after the last tensor");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "shape and dtype need 12");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
           "4 unused bytes in front of tensor 'a'");
    refuse(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        4, "overlaps");
    refuse(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        8, "duplicate");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
           "larger than any");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
           "larger than any");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, "whole numbers from 0");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,0]}}", 0, "whole numbers from 0");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "more than 8 axes");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,0]}}", 4, "begin <= end");
    refuse("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "a.dtype: type 'F8_E4M3'");
    refuse("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "a.dtype: missing");
    refuse("{\"a\":[]}", 0, "object is expected");
    refuse("{\"__metadata__\":{\"k\":1}}", 0, "__metadata__.k: text is expected");
    refuse("{\"__metadata__\":[]}", 0, "object is expected");
    refuse("[]", 0, "object");
    refuse("{\"a\":", 0, "not valid JSON");
    tensor_file file;
    assert_int_equal(safetensors_parse(&file, "x", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, &error),
                     CARINA_ERROR_LIMIT);
    assert_int_equal(safetensors_parse(&file, "x", "\x20\0\0\0\0\0\0\0{}", 10, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(safetensors_parse(&file, "x", "1234567", 7, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(safetensors_parse(&file, "x", NULL, 0, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(safetensors_read(&file, TEST_TMP, &error), CARINA_ERROR_IO);
}

static void values_that_are_not_finite_are_named(void **state) {
    (void)state;
    const float values[3] = {1, 2, NAN};
    const uint16_t infinite[1] = {0x7f80};
    named_tensor tensor = {
        .name = (char[]){"w"}, .dtype = DTYPE_F32, .rank = 1, .shape = {3}, .data = values, .byte_count = 12};
    carina_error error;
    assert_int_equal(named_tensor_check_finite(&tensor, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "tensor 'w' holds a value that is not finite at element 2");
    tensor.dtype = DTYPE_BF16;
    tensor.data = infinite;
    tensor.byte_count = 2;
    assert_int_equal(named_tensor_check_finite(&tensor, &error), CARINA_ERROR_FORMAT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_over_all_types),
        cmocka_unit_test(writing_is_deterministic_and_checked),
        cmocka_unit_test(reference_files_are_read),
        cmocka_unit_test(lying_headers_are_refused),
        cmocka_unit_test(values_that_are_not_finite_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
