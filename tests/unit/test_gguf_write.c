/* GGUF files written and read back: keys, tensors in pieces, padding; rows packed and unpacked; and what is refused,
 * which leaves no file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/gguf_write.h"

static carina_error error;
#include "assert_ok.h"

static char path[300];

static int set_up(void **state) {
    (void)state;
    snprintf(path, sizeof path, "%s/gguf-write-%ld.gguf", TEST_TMP, random());
    remove(path);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove(path);
    return 0;
}

static void keys_and_tensors(void **state) {
    (void)state;
    gguf_writer *w;
    gguf_file file;
    uint32_t whole;
    float real, numbers[5] = {1, 2, 3, 4, -5.5f};
    gguf_text text;
    uint8_t blocks[2 * 3 * 34];
    for (size_t i = 0; i < sizeof blocks; i++) blocks[i] = (uint8_t)(i * 7 % 60);
    assert_ok(gguf_writer_open(&w, path, &error));
    gguf_writer_put_text(w, "general.architecture", "none");
    gguf_writer_put_u32(w, "a.whole", 4000000000u);
    gguf_writer_put_f32(w, "a.real", 1e-6f);
    assert_ok(gguf_writer_add_tensor(w, "vector", GGUF_F32, 1, (const uint64_t[]){5}, &error));
    assert_ok(gguf_writer_add_tensor(w, "empty", GGUF_F32, 2, (const uint64_t[]){0, 4}, &error));
    assert_ok(gguf_writer_add_tensor(w, "matrix", GGUF_Q8_0, 2, (const uint64_t[]){2, 96}, &error));
    assert_ok(gguf_writer_write(w, numbers, 8, &error));
    assert_ok(gguf_writer_write(w, numbers + 2, 12, &error));
    for (int i = 0; i < 3; i++) assert_ok(gguf_writer_write(w, blocks + 68 * i, 68, &error));
    assert_ok(gguf_writer_commit(w, &error));
    assert_ok(gguf_read(&file, path, &error));
    assert_int_equal(file.version, 3);
    assert_ok(gguf_get_u32(&whole, &file.metadata, "a.whole", &error));
    assert_ok(gguf_get_f32(&real, &file.metadata, "a.real", &error));
    assert_ok(gguf_get_text(&text, &file.metadata, "general.architecture", &error));
    assert_true(whole == 4000000000u && real == 1e-6f && gguf_text_is(text, "none"));
    assert_int_equal(file.tensor_count, 3);
    const gguf_tensor *vector = gguf_find_tensor(&file, "vector"), *matrix = gguf_find_tensor(&file, "matrix");
    assert_memory_equal(vector->data, numbers, sizeof numbers);
    assert_true(matrix->rank == 2 && matrix->shape[0] == 2 && matrix->shape[1] == 96 && matrix->type == GGUF_Q8_0);
    assert_memory_equal(matrix->data, blocks, sizeof blocks);
    gguf_free(&file);
}

static void rows_come_back(void **state) {
    (void)state;
    static const uint32_t types[] = {GGUF_Q8_0, GGUF_Q4_0};
    uint8_t row[2 * 34], again[2 * 34];
    uint16_t scales[2];
    int8_t quants[64];
    const gguf_quants apart = {.scales = scales, .quants = quants};
    for (int i = 0; i < 2; i++) {
        uint64_t bytes;
        assert_true(gguf_row_bytes(types[i], 64, &bytes));
        for (uint64_t k = 0; k < bytes; k++) row[k] = (uint8_t)(k * 41 + 3);
        assert_ok(gguf_unpack_row(&apart, types[i], row, 64, &error));
        assert_ok(gguf_pack_row(again, types[i], &apart, 64, &error));
        assert_memory_equal(row, again, bytes);
    }
    assert_int_equal(gguf_pack_row(again, GGUF_Q4_K, &apart, 256, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(gguf_pack_row(again, GGUF_Q8_0, &apart, 33, &error), CARINA_ERROR_ARGUMENT);
}

static gguf_writer *with_tensor(void) {
    gguf_writer *w;
    assert_ok(gguf_writer_open(&w, path, &error));
    assert_ok(gguf_writer_add_tensor(w, "x", GGUF_F32, 1, (const uint64_t[]){2}, &error));
    return w;
}

static void assert_no_file(void) {
    FILE *file = fopen(path, "rb");
    assert_null(file);
}

static void what_is_refused(void **state) {
    (void)state;
    float numbers[4] = {0};
    char name[80];
    memset(name, 'n', 65);
    name[65] = 0;
    gguf_writer *w = with_tensor();
    assert_int_equal(gguf_writer_add_tensor(w, name, GGUF_F32, 1, (const uint64_t[]){2}, &error),
                     CARINA_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_add_tensor(w, "y", GGUF_Q8_0, 1, (const uint64_t[]){33}, &error),
                     CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "tensor 'y' cannot be written as Q8_0"));
    assert_int_equal(gguf_writer_add_tensor(w, "y", GGUF_F32, 2, (const uint64_t[]){1ull << 40, 1ull << 40}, &error),
                     CARINA_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_write(w, numbers, 12, &error), CARINA_ERROR_ARGUMENT);
    assert_ok(gguf_writer_write(w, numbers, 8, &error));
    assert_int_equal(gguf_writer_add_tensor(w, "late", GGUF_F32, 1, (const uint64_t[]){2}, &error),
                     CARINA_ERROR_ARGUMENT);
    assert_int_equal(gguf_writer_write(w, numbers, 4, &error), CARINA_ERROR_ARGUMENT);
    gguf_writer_abort(w);
    assert_no_file();
    w = with_tensor();
    assert_ok(gguf_writer_write(w, numbers, 4, &error));
    assert_int_equal(gguf_writer_commit(w, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "bytes of tensor 0 are missing"));
    assert_no_file();
    assert_int_equal(gguf_writer_open(&w, "/nowhere/x.gguf", &error), CARINA_ERROR_IO);
    gguf_writer_abort(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_and_tensors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
