/* format/npy: round trips, orders, old writers' spellings, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/npy.h"

#define PATH TEST_TMP "/array.npy"

/* A version-1 (or 2) file from a dictionary and data bytes. */
static carina_status parse(tensor_file *file, int version, const char *dictionary, const void *data, uint64_t data_size,
                           carina_error *error) {
    uint8_t bytes[1024] = {0x93, 'N', 'U', 'M', 'P', 'Y', (uint8_t)version, 0};
    uint64_t length = strlen(dictionary), at = 8;
    for (int i = 0; i < (version == 1 ? 2 : 4); i++) bytes[at++] = (uint8_t)(length >> 8 * i);
    memcpy(bytes + at, dictionary, length);
    memcpy(bytes + at + length, data, data_size);
    return npy_parse(file, "folder/x.npy", bytes, at + length + data_size, error);
}

static void written_arrays_read_back(void **state) {
    (void)state;
    const float values[24] = {1, 2, 3, [23] = -0.5f};
    const uint64_t shapes[4][4] = {{2, 3, 4}, {24}, {1, 24}, {2, 2, 2, 3}};
    const int ranks[4] = {3, 1, 2, 4};
    carina_error error = {0};
    tensor_file file;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(npy_write(PATH, DTYPE_F32, shapes[i], ranks[i], values, &error), CARINA_OK);
        carina_status status = npy_read(&file, PATH, &error);
        if (status != CARINA_OK) print_error("%s\n", error.message);
        assert_int_equal(status, CARINA_OK);
        assert_int_equal(file.count, 1);
        assert_string_equal(file.tensors[0].name, "array");
        assert_int_equal(file.tensors[0].dtype, DTYPE_F32);
        assert_int_equal(file.tensors[0].rank, ranks[i]);
        assert_memory_equal(file.tensors[0].shape, shapes[i], (size_t)ranks[i] * sizeof(uint64_t));
        assert_memory_equal(file.tensors[0].data, values, sizeof values);
        tensor_file_free(&file);
    }
    for (tensor_dtype dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        const uint64_t shape[1] = {3};
        carina_status expected = dtype == DTYPE_BF16 ? CARINA_ERROR_UNSUPPORTED : CARINA_OK;
        assert_int_equal(npy_write(PATH, dtype, shape, 1, values, &error), expected);
        if (expected != CARINA_OK) continue;
        assert_int_equal(npy_read(&file, PATH, &error), CARINA_OK);
        assert_int_equal(file.tensors[0].dtype, dtype);
        tensor_file_free(&file);
    }
    assert_int_equal(npy_write(PATH, DTYPE_F64, NULL, 0, values, &error), CARINA_OK); /* a scalar */
    assert_int_equal(npy_read(&file, PATH, &error), CARINA_OK);
    assert_int_equal(file.tensors[0].rank, 0);
    assert_int_equal(file.tensors[0].byte_count, 8);
    tensor_file_free(&file);
    uint8_t *bytes;
    uint64_t size;
    assert_int_equal(file_read(PATH, 1000, &bytes, &size, &error), CARINA_OK);
    assert_int_equal((size - 8) % 64, 0); /* data aligned as numpy does */
    free(bytes);
}

static void other_writers_are_understood(void **state) {
    (void)state;
    const int16_t fortran[6] = {1, 4, 2, 5, 3, 6}, ordered[6] = {1, 2, 3, 4, 5, 6};
    carina_error error = {0};
    tensor_file file;
    assert_int_equal(
        parse(&file, 2, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }   \n", fortran, 12, &error),
        CARINA_OK);
    assert_string_equal(file.tensors[0].name, "x");
    assert_memory_equal(file.tensors[0].data, ordered, sizeof ordered);
    tensor_file_free(&file);
    assert_int_equal(
        parse(&file, 1, "{\"shape\":(2L,),\"fortran_order\":False,\"descr\":\"<u2\"}", "\xff\xff\x01\x00", 4, &error),
        CARINA_OK);
    const int32_t wide[2] = {65535, 1};
    assert_int_equal(file.tensors[0].dtype, DTYPE_I32);
    assert_memory_equal(file.tensors[0].data, wide, sizeof wide);
    tensor_file_free(&file);
}

static void refuse(const char *dictionary, uint64_t data_size, carina_status expected, const char *part) {
    static const uint8_t zeros[64];
    tensor_file file;
    carina_error error = {0};
    assert_int_equal(parse(&file, 1, dictionary, zeros, data_size, &error), expected);
    if (!strstr(error.message, part)) fail_msg("%s: '%s' lacks '%s'", dictionary, error.message, part);
}

static void bad_files_are_refused(void **state) {
    (void)state;
    refuse("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", 4, CARINA_ERROR_UNSUPPORTED, "type '>f4'");
    refuse("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8, CARINA_ERROR_UNSUPPORTED, "type '|O'");
    refuse("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", 4, CARINA_ERROR_UNSUPPORTED,
           "structures");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 4, CARINA_ERROR_FORMAT, "promises 8 bytes");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 5, CARINA_ERROR_FORMAT, "promises 4 bytes");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,4294967296)}", 4, CARINA_ERROR_FORMAT,
           "larger");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4, CARINA_ERROR_FORMAT,
           "header");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, CARINA_ERROR_FORMAT, "8 axes");
    refuse("{'descr': '<f4', 'fortran_order': False}", 4, CARINA_ERROR_FORMAT, "header");
    refuse("{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", 4, CARINA_ERROR_FORMAT, "header");
    refuse("{'descr': '<f4', 'fortran_order': maybe, 'shape': (1,)}", 4, CARINA_ERROR_FORMAT, "header");
    refuse("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, CARINA_ERROR_FORMAT, "text after");
    refuse("{'descr': 'a string that is much too long for a type'", 4, CARINA_ERROR_FORMAT, "header");
    refuse("", 0, CARINA_ERROR_FORMAT, "header");
    tensor_file file;
    carina_error error;
    assert_int_equal(npy_parse(&file, "x", "\x93NUMPY\x01", 7, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(npy_parse(&file, "x", "\x93NUMPY\x01\x00\xff\xff{}", 12, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(npy_parse(&file, "x", "\x93NUMPY\x07\x00\x02\x00{}", 12, &error), CARINA_ERROR_UNSUPPORTED);
    assert_int_equal(npy_parse(&file, "x", "PK\3\4......", 10, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(npy_parse(&file, "x", NULL, 0, &error), CARINA_ERROR_FORMAT);
    assert_int_equal(npy_read(&file, TEST_TMP "/absent.npy", &error), CARINA_ERROR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_arrays_read_back),
        cmocka_unit_test(other_writers_are_understood),
        cmocka_unit_test(bad_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
