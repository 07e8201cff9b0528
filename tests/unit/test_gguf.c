/* format/gguf: files made here byte by byte; what is read from them, and every lie that a header can tell. */
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
#include "format/gguf.h"

/* ---- a writer that writes whatever it is told ---- */

typedef struct maker {
    uint8_t *bytes;
    uint64_t size, capacity;
} maker;

static void put(maker *m, const void *bytes, uint64_t size) {
    if (m->size + size > m->capacity) {
        m->capacity = 2 * (m->size + size);
        m->bytes = realloc(m->bytes, m->capacity);
        assert_non_null(m->bytes);
    }
    if (size) memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

static void put_number(maker *m, uint64_t value, int size) {
    for (int i = 0; i < size; i++) put(m, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void put_text(maker *m, const char *text) {
    put_number(m, strlen(text), 8);
    put(m, text, strlen(text));
}

static void put_key(maker *m, const char *key, uint32_t kind) {
    put_text(m, key);
    put_number(m, kind, 4);
}

static void put_array(maker *m, const char *key, uint32_t kind, uint64_t count) {
    put_key(m, key, GGUF_KIND_ARRAY);
    put_number(m, kind, 4);
    put_number(m, count, 8);
}

static void put_f32(maker *m, float value) { put(m, &value, sizeof value); }

static void put_header(maker *m, uint64_t tensors, uint64_t keys) {
    *m = (maker){0};
    put(m, "GGUF", 4);
    put_number(m, 3, 4);
    put_number(m, tensors, 8);
    put_number(m, keys, 8);
}

/* axes as they stand in files, fastest first */
static void put_info(maker *m, const char *name, int rank, const uint64_t *axes, uint32_t type, uint64_t offset) {
    put_text(m, name);
    put_number(m, (uint64_t)rank, 4);
    for (int i = 0; i < rank; i++) put_number(m, axes[i], 8);
    put_number(m, type, 4);
    put_number(m, offset, 8);
}

static void pad(maker *m, uint64_t alignment) {
    while (m->size % alignment) put_number(m, 0, 1);
}

static void put_zeros(maker *m, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) put_number(m, 0, 1);
}

/* ---- what must be read ---- */

static void make_whole_file(maker *m) {
    put_header(m, 4, 16);
    put_key(m, "u8", GGUF_KIND_U8), put_number(m, 200, 1);
    put_key(m, "i8", GGUF_KIND_I8), put_number(m, 0xff, 1);
    put_key(m, "u16", GGUF_KIND_U16), put_number(m, 60000, 2);
    put_key(m, "i16", GGUF_KIND_I16), put_number(m, 0x8000, 2);
    put_key(m, "u32", GGUF_KIND_U32), put_number(m, 0xffffffff, 4);
    put_key(m, "i32", GGUF_KIND_I32), put_number(m, 7, 4);
    put_key(m, "u64", GGUF_KIND_U64), put_number(m, 2560, 8);
    put_key(m, "i64", GGUF_KIND_I64), put_number(m, UINT64_MAX, 8);
    put_key(m, "f32", GGUF_KIND_F32), put_f32(m, 1e-6f);
    put_key(m, "f64", GGUF_KIND_F64), put(m, &(double){0.1}, 8);
    put_key(m, "bool", GGUF_KIND_BOOL), put_number(m, 1, 1);
    put_key(m, "general.architecture", GGUF_KIND_TEXT), put_text(m, "gemma3");
    put_key(m, "general.alignment", GGUF_KIND_U32), put_number(m, 64, 4);
    put_array(m, "tokens", GGUF_KIND_TEXT, 4);
    put_text(m, "<pad>"), put_text(m, ""), put_text(m, "\xe2\x96\x81the"), put_text(m, "x");
    put_array(m, "scores", GGUF_KIND_F32, 2), put_f32(m, -1), put_f32(m, 0.5f);
    put_array(m, "types", GGUF_KIND_I32, 3), put_number(m, 1, 4), put_number(m, 0xfffffffd, 4), put_number(m, 6, 4);
    put_info(m, "b.weight", 2, (uint64_t[]){32, 2}, GGUF_Q8_0, 64); /* its data lies behind the next one's */
    put_info(m, "a.norm", 1, (uint64_t[]){3}, GGUF_F32, 0);
    put_info(m, "c.scalar", 0, NULL, GGUF_BF16, 192);
    put_info(m, "d.empty", 2, (uint64_t[]){0, 5}, GGUF_F16, 192);
    pad(m, 64);
    for (int i = 0; i < 3; i++) put_f32(m, (float)i + 1);
    pad(m, 64);
    for (int row = 0; row < 2; row++) {
        put_number(m, row ? 0x4000 : 0x3c00, 2); /* scale 2, 1 */
        for (int i = 0; i < 32; i++) put_number(m, (uint64_t)i, 1);
    }
    pad(m, 64);
    put_number(m, 0xc000, 2); /* -2 */
}

static void numbers_and_text(const gguf_metadata *m) {
    carina_error error = {0};
    uint32_t whole;
    float real;
    bool truth;
    gguf_text text;
    static const struct {
        const char *key;
        uint32_t value;
    } wholes[] = {{"u8", 200}, {"u16", 60000}, {"u32", UINT32_MAX}, {"i32", 7}, {"u64", 2560}};
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        assert_int_equal(gguf_get_u32(&whole, m, wholes[i].key, &error), CARINA_OK);
        assert_int_equal(whole, wholes[i].value);
    }
    assert_int_equal(gguf_item_whole(gguf_find(m, "i8"), 0), -1);
    assert_int_equal(gguf_item_whole(gguf_find(m, "i16"), 0), -32768);
    assert_int_equal(gguf_item_whole(gguf_find(m, "i64"), 0), -1);
    assert_int_equal(gguf_get_f32(&real, m, "f32", &error), CARINA_OK);
    assert_true(real == 1e-6f);
    assert_int_equal(gguf_get_f32(&real, m, "f64", &error), CARINA_OK);
    assert_true(real == 0.1f);
    assert_int_equal(gguf_get_bool(&truth, m, "bool", &error), CARINA_OK);
    assert_true(truth);
    assert_int_equal(gguf_get_text(&text, m, "general.architecture", &error), CARINA_OK);
    assert_true(gguf_text_is(text, "gemma3"));
    assert_false(gguf_text_is(text, "gemma"));
    assert_false(gguf_text_is(text, "gemma2"));
}

static void arrays(const gguf_metadata *m) {
    carina_error error = {0};
    const gguf_value *value;
    assert_int_equal(gguf_get_array(&value, m, "tokens", GGUF_TEXT, &error), CARINA_OK);
    assert_int_equal(value->count, 4);
    static const char *const tokens[] = {"<pad>", "", "\xe2\x96\x81the", "x"};
    for (uint64_t i = 0; i < 4; i++) assert_true(gguf_text_is(gguf_item_text(value, i), tokens[i]));
    assert_int_equal(gguf_get_array(&value, m, "scores", GGUF_REAL, &error), CARINA_OK);
    assert_true(value->count == 2 && gguf_item_real(value, 0) == -1 && gguf_item_real(value, 1) == 0.5);
    assert_int_equal(gguf_get_array(&value, m, "types", GGUF_WHOLE, &error), CARINA_OK);
    assert_true(value->count == 3 && gguf_item_whole(value, 1) == -3 && gguf_item_whole(value, 2) == 6);
}

static void look_ups_that_fail(const gguf_metadata *m) {
    carina_error error = {0};
    uint32_t whole = 5;
    float real = 5;
    bool truth = true;
    gguf_text text = {0};
    const gguf_value *value = NULL;
    assert_null(gguf_find(m, "absent"));
    assert_int_equal(gguf_get_u32(&whole, m, "absent", &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "x: metadata key 'absent' is missing");
    assert_int_equal(gguf_get_u32(&whole, m, "i8", &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "x: metadata key 'i8' holds a number that is not in 0 .. 4294967295");
    assert_int_equal(gguf_get_u32(&whole, m, "i64", &error), CARINA_ERROR_FORMAT);
    assert_int_equal(gguf_get_u32(&whole, m, "bool", &error), CARINA_ERROR_FORMAT);
    assert_int_equal(gguf_get_u32(&whole, m, "types", &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message, "x: metadata key 'types' has type array of i32, whole number is expected");
    assert_int_equal(gguf_get_f32(&real, m, "u8", &error), CARINA_ERROR_FORMAT);
    assert_int_equal(gguf_get_bool(&truth, m, "u8", &error), CARINA_ERROR_FORMAT);
    assert_int_equal(gguf_get_text(&text, m, "tokens", &error), CARINA_ERROR_FORMAT);
    assert_int_equal(gguf_get_array(&value, m, "tokens", GGUF_REAL, &error), CARINA_ERROR_FORMAT);
    assert_string_equal(error.message,
                        "x: metadata key 'tokens' has type array of text, array of real number is expected");
    assert_int_equal(gguf_get_array(&value, m, "general.architecture", GGUF_TEXT, &error), CARINA_ERROR_FORMAT);
    assert_true(whole == 5 && real == 5 && truth && !text.data && !value);
}

static void tensors(const gguf_file *file) {
    carina_error error = {0};
    float out[64];
    const gguf_tensor *b = gguf_find_tensor(file, "b.weight"), *a = gguf_find_tensor(file, "a.norm");
    const gguf_tensor *scalar = gguf_find_tensor(file, "c.scalar"), *empty = gguf_find_tensor(file, "d.empty");
    assert_true(a && b && scalar && empty);
    assert_null(gguf_find_tensor(file, "b"));
    assert_ptr_equal(b, &file->tensors[0]);
    assert_true(b->rank == 2 && b->shape[0] == 2 && b->shape[1] == 32 && b->type == GGUF_Q8_0);
    assert_true(b->row_length == 32 && b->row_count == 2 && b->row_bytes == 34 && b->byte_count == 68);
    assert_int_equal(gguf_decode_rows(out, file, b, 1, 1, &error), CARINA_OK);
    for (int i = 0; i < 32; i++) assert_true(out[i] == 2.0f * (float)i);
    assert_int_equal(gguf_decode_rows(out, file, b, 0, 2, &error), CARINA_OK);
    assert_true(out[31] == 31 && out[63] == 62);
    assert_int_equal(gguf_decode_rows(out, file, a, 0, 1, &error), CARINA_OK);
    assert_true(out[0] == 1 && out[2] == 3);
    assert_int_equal(gguf_decode_rows(out, file, scalar, 0, 1, &error), CARINA_OK);
    assert_true(out[0] == -2 && scalar->rank == 0 && scalar->row_count == 1 && scalar->row_length == 1);
    assert_true(empty->row_count == 5 && empty->row_length == 0 && !empty->data);
    assert_int_equal(gguf_decode_rows(out, file, empty, 0, 5, &error), CARINA_OK);
    assert_int_equal(gguf_decode_rows(out, file, b, 1, 2, &error), CARINA_ERROR_ARGUMENT);
    assert_string_equal(error.message, "x: tensor 'b.weight' has 2 rows, no 2 from row 1 on");
    assert_int_equal(gguf_decode_rows(out, file, b, UINT64_MAX, 2, &error), CARINA_ERROR_ARGUMENT);
}

static void a_whole_file(void **state) {
    (void)state;
    maker m;
    make_whole_file(&m);
    for (uint32_t version = 2; version <= 3; version++) {
        gguf_file file;
        carina_error error = {0};
        m.bytes[4] = (uint8_t)version;
        carina_status status = gguf_parse(&file, "x", m.bytes, m.size, &error);
        if (status != CARINA_OK) fail_msg("%s", error.message);
        assert_true(file.version == version && file.alignment == 64 && file.tensor_count == 4);
        assert_int_equal(file.metadata.count, 16);
        numbers_and_text(&file.metadata);
        arrays(&file.metadata);
        look_ups_that_fail(&file.metadata);
        tensors(&file);
        gguf_free(&file);
    }
    free(m.bytes);
}

static void from_disk(void **state) {
    (void)state;
    static const char path[] = TEST_TMP "/whole.gguf";
    maker m;
    carina_error error = {0};
    gguf_file file;
    make_whole_file(&m);
    assert_int_equal(file_write(path, m.bytes, m.size, &error), CARINA_OK);
    free(m.bytes);
    assert_int_equal(gguf_read(&file, path, &error), CARINA_OK);
    float out[32];
    assert_int_equal(gguf_decode_rows(out, &file, gguf_find_tensor(&file, "b.weight"), 0, 1, &error), CARINA_OK);
    assert_true(out[5] == 5);
    gguf_free(&file);
    gguf_free(&file);
    gguf_free(NULL);
    assert_int_equal(gguf_read(&file, TEST_TMP "/no such file.gguf", &error), CARINA_ERROR_IO);
    assert_int_equal(gguf_read(&file, TEST_DATA "/apm/group_resnet18/weights.safetensors", &error),
                     CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "weights.safetensors: not a GGUF file"));
}

/* The tokenizer of a real model: one allocation, any item at once. */
static void a_quarter_of_a_million_tokens(void **state) {
    (void)state;
    enum { COUNT = 262144 };
    maker m;
    put_header(&m, 0, 1);
    put_array(&m, "tokenizer.ggml.tokens", GGUF_KIND_TEXT, COUNT);
    char token[16];
    for (int i = 0; i < COUNT; i++) {
        snprintf(token, sizeof token, "t%d", i);
        put_text(&m, token);
    }
    gguf_file file;
    carina_error error = {0};
    const gguf_value *tokens;
    assert_int_equal(gguf_parse(&file, "x", m.bytes, m.size, &error), CARINA_OK);
    assert_int_equal(gguf_get_array(&tokens, &file.metadata, "tokenizer.ggml.tokens", GGUF_TEXT, &error), CARINA_OK);
    assert_int_equal(tokens->count, COUNT);
    for (int i = COUNT - 1; i >= 0; i -= 1001) {
        snprintf(token, sizeof token, "t%d", i);
        assert_true(gguf_text_is(gguf_item_text(tokens, (uint64_t)i), token));
    }
    gguf_free(&file);
    free(m.bytes);
}

/* ---- what must be refused ---- */

static void check(maker *m, carina_status expected, const char *part) {
    gguf_file file;
    carina_error error = {0};
    uint8_t *exact = malloc(m->size ? m->size : 1); /* so that a sanitizer sees a byte read too many */
    if (m->size) memcpy(exact, m->bytes, m->size);
    carina_status status = gguf_parse(&file, "x", exact, m->size, &error);
    if (status != expected) fail_msg("%s: status %d, expected %d; %s", part, status, expected, error.message);
    if (status == CARINA_OK)
        gguf_free(&file);
    else if (!strstr(error.message, part))
        fail_msg("'%s' lacks '%s'", error.message, part);
    assert_null(file.name);
    free(exact);
    free(m->bytes);
    *m = (maker){0};
}

static void headers(void **state) {
    (void)state;
    maker m = {0};
    check(&m, CARINA_ERROR_FORMAT, "x: not a GGUF file");
    put(&m, "GGML\3\0\0\0", 8);
    check(&m, CARINA_ERROR_FORMAT, "x: not a GGUF file");
    put(&m, "GGUF\3\0\0\0\0\0", 10);
    check(&m, CARINA_ERROR_FORMAT, "x: too short");
    static const struct {
        const char *start, *part;
    } versions[] = {
        {"GGUF\1\0\0\0", "GGUF version 1; 2 and 3 are read"},
        {"GGUF\4\0\0\0", "GGUF version 4; 2 and 3 are read"},
        {"GGUF\0\0\0\0", "GGUF version 0; 2 and 3 are read"},
        {"GGUF\0\0\0\3", "big-endian"},
        {"FUGG\0\0\0\3", "big-endian"},
    };
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        put(&m, versions[i].start, 8);
        put_zeros(&m, 16);
        check(&m, CARINA_ERROR_UNSUPPORTED, versions[i].part);
    }
    put_header(&m, 0, 0);
    check(&m, CARINA_OK, "an empty file");
    put_header(&m, 0, 0);
    put_zeros(&m, 8); /* padding to 32 */
    check(&m, CARINA_OK, "an empty file with padding");
    put_header(&m, 0, 0);
    put_zeros(&m, 9);
    check(&m, CARINA_ERROR_FORMAT, "1 bytes after the last tensor");
    put_header(&m, 0, 3);
    put_zeros(&m, 41);
    check(&m, CARINA_ERROR_FORMAT, "promises 3 metadata keys, more than its 65 bytes can hold");
    put_header(&m, 0, UINT64_MAX);
    check(&m, CARINA_ERROR_LIMIT, "metadata keys, at most 65536 are read");
    put_header(&m, 3, 0);
    put_zeros(&m, 74);
    check(&m, CARINA_ERROR_FORMAT, "promises 3 tensors, more than its 98 bytes can hold");
    put_header(&m, UINT64_MAX, 0);
    check(&m, CARINA_ERROR_LIMIT, "tensors, at most 262144 are read");
}

static void begin_key(maker *m, const char *key, uint32_t kind) {
    put_header(m, 0, 1);
    put_key(m, key, kind);
}

static void begin_array(maker *m, uint32_t kind, uint64_t count) {
    put_header(m, 0, 1);
    put_array(m, "k", kind, count);
}

static void metadata(void **state) {
    (void)state;
    maker m;
    begin_key(&m, "k", 13), put_zeros(&m, 8);
    check(&m, CARINA_ERROR_FORMAT, "x: metadata key 'k': value type 13 is unknown");
    begin_key(&m, "", GGUF_KIND_U8), put_zeros(&m, 9);
    check(&m, CARINA_ERROR_FORMAT, "metadata key 0 has 0 bytes");
    begin_key(&m, "a b", GGUF_KIND_U8), put_zeros(&m, 8);
    check(&m, CARINA_ERROR_FORMAT, "metadata key 0 is not printable ASCII");
    begin_key(&m, "\xc3\xa4", GGUF_KIND_U8), put_zeros(&m, 8);
    check(&m, CARINA_ERROR_FORMAT, "metadata key 0 is not printable ASCII");
    put_header(&m, 0, 1), put_number(&m, 65536, 8), put_zeros(&m, 70000);
    check(&m, CARINA_ERROR_FORMAT, "metadata key 0 has 65536 bytes");
    put_header(&m, 0, 1), put_number(&m, 60000, 8), put_zeros(&m, 50);
    check(&m, CARINA_ERROR_FORMAT, "the file ends in front of metadata key 0");
    begin_key(&m, "k", GGUF_KIND_F64), put_zeros(&m, 7);
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_key(&m, "k", GGUF_KIND_TEXT), put_number(&m, UINT64_MAX, 8);
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_key(&m, "k", GGUF_KIND_TEXT), put_text(&m, "\xff");
    check(&m, CARINA_ERROR_FORMAT, "'k': text that is not UTF-8");
    begin_key(&m, "k", GGUF_KIND_BOOL), put_number(&m, 2, 1);
    check(&m, CARINA_ERROR_FORMAT, "'k': a boolean that is neither 0 nor 1");
    put_header(&m, 0, 3);
    put_key(&m, "k", GGUF_KIND_U8), put_number(&m, 1, 1);
    put_key(&m, "other", GGUF_KIND_U8), put_number(&m, 1, 1);
    put_key(&m, "k", GGUF_KIND_BOOL), put_number(&m, 1, 1);
    check(&m, CARINA_ERROR_FORMAT, "x: metadata key 'k': given twice");
}

static void metadata_arrays(void **state) {
    (void)state;
    maker m;
    begin_array(&m, GGUF_KIND_ARRAY, 1), put_zeros(&m, 12);
    check(&m, CARINA_ERROR_UNSUPPORTED, "'k': arrays in arrays are not read");
    begin_array(&m, 99, 1), put_zeros(&m, 12);
    check(&m, CARINA_ERROR_FORMAT, "'k': value type 99 is unknown");
    begin_key(&m, "k", GGUF_KIND_ARRAY), put_zeros(&m, 11);
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_array(&m, GGUF_KIND_U64, UINT64_MAX / 8 + 2), put_zeros(&m, 8); /* times 8 is 8, once it has wrapped */
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_array(&m, GGUF_KIND_U16, 3), put_zeros(&m, 5);
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_array(&m, GGUF_KIND_TEXT, UINT64_MAX / 8), put_zeros(&m, 64);
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_array(&m, GGUF_KIND_TEXT, 1ull << 59), put_zeros(&m, 64); /* no memory is asked for */
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_array(&m, GGUF_KIND_TEXT, 2), put_text(&m, "a"), put_number(&m, 9, 8), put_zeros(&m, 8);
    check(&m, CARINA_ERROR_FORMAT, "'k': the file ends inside its value");
    begin_array(&m, GGUF_KIND_TEXT, 2), put_text(&m, "a"), put_text(&m, "\xed\xa0\x80");
    check(&m, CARINA_ERROR_FORMAT, "'k': text that is not UTF-8");
    begin_array(&m, GGUF_KIND_BOOL, 2), put_number(&m, 1, 1), put_number(&m, 3, 1);
    check(&m, CARINA_ERROR_FORMAT, "'k': a boolean that is neither 0 nor 1");
    begin_array(&m, GGUF_KIND_TEXT, 0), pad(&m, 32);
    check(&m, CARINA_OK, "an array of nothing");
}

static void numbers_that_do_not_fit(void **state) {
    (void)state;
    maker m;
    put_header(&m, 0, 4);
    put_key(&m, "u33", GGUF_KIND_U64), put_number(&m, 1ull << 32, 8);
    put_array(&m, "large", GGUF_KIND_U64, 2), put_number(&m, 1, 8), put_number(&m, UINT64_MAX, 8);
    put_key(&m, "nan", GGUF_KIND_F32), put_f32(&m, NAN);
    put_key(&m, "wide", GGUF_KIND_F64), put(&m, &(double){1e39}, 8);
    gguf_file file;
    carina_error error = {0};
    uint32_t whole;
    float real;
    const gguf_value *value;
    assert_int_equal(gguf_parse(&file, "x", m.bytes, m.size, &error), CARINA_OK);
    assert_int_equal(gguf_get_u32(&whole, &file.metadata, "u33", &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "'u33' holds a number that is not in 0 .. 4294967295"));
    assert_int_equal(gguf_get_f32(&real, &file.metadata, "nan", &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "'nan' holds a number that is not a finite f32"));
    assert_int_equal(gguf_get_f32(&real, &file.metadata, "wide", &error), CARINA_ERROR_FORMAT);
    assert_int_equal(gguf_get_array(&value, &file.metadata, "large", GGUF_WHOLE, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "not in the range of i64"));
    gguf_free(&file);
    free(m.bytes);
}

static void alignments(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 24, 1u << 21, 0x80000000u};
    maker m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin_key(&m, "general.alignment", GGUF_KIND_U32), put_number(&m, bad[i], 4);
        check(&m, CARINA_ERROR_FORMAT, "'general.alignment' is ");
    }
    begin_key(&m, "general.alignment", GGUF_KIND_U64), put_number(&m, 32, 8);
    check(&m, CARINA_ERROR_FORMAT, "a power of two of 8 to 1048576 as u32 is expected");
    begin_key(&m, "general.alignment", GGUF_KIND_TEXT), put_text(&m, "32");
    check(&m, CARINA_ERROR_FORMAT, "'general.alignment' has type text");
}

/* One tensor "t" with `data` zero bytes behind it. */
static void one_tensor(maker *m, int rank, const uint64_t *axes, uint32_t type, uint64_t offset, uint64_t data) {
    put_header(m, 1, 0);
    put_info(m, "t", rank, axes, type, offset);
    pad(m, 32);
    put_zeros(m, data);
}

static void tensor_infos(void **state) {
    (void)state;
    maker m;
    one_tensor(&m, 1, (uint64_t[]){4}, 43, 0, 16);
    check(&m, CARINA_ERROR_UNSUPPORTED, "x: tensor 't' has type number 43");
    one_tensor(&m, 1, (uint64_t[]){4}, UINT32_MAX, 0, 16);
    check(&m, CARINA_ERROR_UNSUPPORTED, "x: tensor 't' has type number 4294967295");
    one_tensor(&m, 1, (uint64_t[]){32}, 4, 0, 32);
    check(&m, CARINA_ERROR_UNSUPPORTED, "x: tensor 't' has type Q4_2 (4), which GGUF no longer has");
    one_tensor(&m, 2, (uint64_t[]){33, 32}, GGUF_Q4_0, 0, 18 * 33);
    check(&m, CARINA_ERROR_FORMAT, "tensor 't' has shape [32,33], its rows are no whole number of Q4_0 blocks of 32");
    one_tensor(&m, 0, NULL, GGUF_Q8_0, 0, 34);
    check(&m, CARINA_ERROR_FORMAT, "no whole number of Q8_0 blocks");
    one_tensor(&m, 5, (uint64_t[]){1, 1, 1, 1, 1}, GGUF_F32, 0, 4);
    check(&m, CARINA_ERROR_UNSUPPORTED, "tensor 't' has 5 axes, at most 4 are read");
    one_tensor(&m, 2, (uint64_t[]){1ull << 32, 1ull << 32}, GGUF_F32, 0, 4);
    check(&m, CARINA_ERROR_FORMAT, "tensor 't' has shape [4294967296,4294967296], larger than any memory");
    one_tensor(&m, 3, (uint64_t[]){0, 1ull << 32, 1ull << 32}, GGUF_F32, 0, 4);
    check(&m, CARINA_ERROR_FORMAT, "larger than any memory");
    one_tensor(&m, 1, (uint64_t[]){UINT64_MAX - 255}, GGUF_Q4_K, 0, 4);
    check(&m, CARINA_ERROR_FORMAT, "larger than any memory");
    put_header(&m, 1, 0), put_info(&m, "", 1, (uint64_t[]){1}, GGUF_F32, 0), pad(&m, 32), put_zeros(&m, 4);
    check(&m, CARINA_ERROR_FORMAT, "the name of tensor 0 has 0 bytes");
    put_header(&m, 1, 0), put_number(&m, 65, 8), put_zeros(&m, 100);
    check(&m, CARINA_ERROR_FORMAT, "the name of tensor 0 has 65 bytes");
    put_header(&m, 1, 0), put_number(&m, 4, 8), put_zeros(&m, 100);
    check(&m, CARINA_ERROR_FORMAT, "the name of tensor 0 is not UTF-8 text");
    put_header(&m, 1, 0), put_info(&m, "t\xc0", 1, (uint64_t[]){1}, GGUF_F32, 0), put_zeros(&m, 40);
    check(&m, CARINA_ERROR_FORMAT, "the name of tensor 0 is not UTF-8 text");
    put_header(&m, 1, 0), put_text(&m, "t"), put_number(&m, 2, 4), put_zeros(&m, 16 + 11);
    check(&m, CARINA_ERROR_FORMAT, "the file ends inside the info of tensor 0");
    put_header(&m, 1, 0), put_number(&m, 64, 8), put_zeros(&m, 20);
    check(&m, CARINA_ERROR_FORMAT, "the file ends inside the info of tensor 0");
}

/* Two tensors "a" and "b" of f32 with an axis each. */
static void two_tensors(maker *m, const char *second, uint64_t a, uint64_t a_offset, uint64_t b, uint64_t b_offset,
                        uint64_t data) {
    put_header(m, 2, 0);
    put_info(m, "a", 1, &a, GGUF_F32, a_offset);
    put_info(m, second, 1, &b, GGUF_F32, b_offset);
    pad(m, 32);
    put_zeros(m, data);
}

static void layouts(void **state) {
    (void)state;
    maker m;
    two_tensors(&m, "b", 3, 0, 1, 32, 36);
    check(&m, CARINA_OK, "padding between, none at the end");
    two_tensors(&m, "b", 3, 32, 1, 0, 64);
    check(&m, CARINA_OK, "the second first, padding at the end");
    two_tensors(&m, "b", 0, 0, 8, 0, 32);
    check(&m, CARINA_OK, "an empty one in front");
    two_tensors(&m, "a", 8, 0, 8, 32, 64);
    check(&m, CARINA_ERROR_FORMAT, "x: two tensors are called 'a'");
    two_tensors(&m, "b", 9, 0, 1, 32, 64);
    check(&m, CARINA_ERROR_FORMAT, "tensor 'b' overlaps the one before it at byte 32");
    two_tensors(&m, "b", 8, 0, 8, 0, 32);
    check(&m, CARINA_ERROR_FORMAT, "overlaps the one before it at byte 0");
    two_tensors(&m, "b", 8, 0, 8, 64, 96);
    check(&m, CARINA_ERROR_FORMAT, "32 unused bytes in front of tensor 'b'");
    two_tensors(&m, "b", 8, 32, 8, 64, 96);
    check(&m, CARINA_ERROR_FORMAT, "32 unused bytes in front of tensor 'a'");
    two_tensors(&m, "b", 3, 0, 1, 12, 32);
    check(&m, CARINA_ERROR_FORMAT, "tensor 'b' begins at byte 12 of the data, no multiple of the alignment 32");
    two_tensors(&m, "b", 8, 0, 8, 32, 63);
    check(&m, CARINA_ERROR_FORMAT, "tensor 'b' (32 bytes from byte 32 on) lies past the 63 bytes of data");
    two_tensors(&m, "b", 8, 0, 8, UINT64_MAX - 31, 64);
    check(&m, CARINA_ERROR_FORMAT, "lies past the 64 bytes of data");
    two_tensors(&m, "b", 8, 0, 8, 32, 65);
    check(&m, CARINA_ERROR_FORMAT, "1 bytes after the last tensor");
    one_tensor(&m, 1, (uint64_t[]){3}, GGUF_F32, 0, 33);
    check(&m, CARINA_ERROR_FORMAT, "1 bytes after the last tensor");
    put_header(&m, 1, 0), put_info(&m, "t", 1, (uint64_t[]){1}, GGUF_F32, 0);
    check(&m, CARINA_ERROR_FORMAT, "tensor 't' (4 bytes from byte 0 on) lies past the 0 bytes of data");
}

/* Every beginning of a good file is refused, and none is read past its end. */
static void cut_files(void **state) {
    (void)state;
    maker whole;
    make_whole_file(&whole);
    for (uint64_t size = 0; size < whole.size; size++) {
        maker m = {0};
        put(&m, whole.bytes, size);
        gguf_file file;
        carina_error error = {0};
        m.bytes = realloc(m.bytes, size + 1);
        if (gguf_parse(&file, "x", m.bytes, size, &error) == CARINA_OK) fail_msg("%d bytes are enough", (int)size);
        free(m.bytes);
    }
    free(whole.bytes);
}

static void other_quantisations(void **state) {
    (void)state;
    for (uint32_t version = 1; version <= 3; version++) {
        maker m;
        put_header(&m, 1, 1);
        put_key(&m, "general.quantization_version", GGUF_KIND_U32), put_number(&m, version, 4);
        put_info(&m, "t", 1, (uint64_t[]){32}, GGUF_Q4_0, 0);
        pad(&m, 32);
        put_zeros(&m, 18);
        check(&m, version == 2 ? CARINA_OK : CARINA_ERROR_UNSUPPORTED, "tensor 't' is quantised by version");
    }
    maker m;
    one_tensor(&m, 1, (uint64_t[]){256}, 13, 0, 176); /* known, so it can be listed; decoded it cannot be */
    gguf_file file;
    carina_error error = {0};
    float out[256];
    assert_int_equal(gguf_parse(&file, "x", m.bytes, m.size, &error), CARINA_OK);
    assert_int_equal(gguf_decode_rows(out, &file, file.tensors, 0, 1, &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "x: tensor 't': type Q5_K (13) is not decoded here"));
    assert_int_equal(gguf_decode_rows(out, &file, file.tensors, 0, 1, NULL), CARINA_ERROR_UNSUPPORTED);
    gguf_free(&file);
    free(m.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file),
        cmocka_unit_test(from_disk),
        cmocka_unit_test(a_quarter_of_a_million_tokens),
        cmocka_unit_test(headers),
        cmocka_unit_test(metadata),
        cmocka_unit_test(metadata_arrays),
        cmocka_unit_test(numbers_that_do_not_fit),
        cmocka_unit_test(alignments),
        cmocka_unit_test(tensor_infos),
        cmocka_unit_test(layouts),
        cmocka_unit_test(cut_files),
        cmocka_unit_test(other_quantisations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
