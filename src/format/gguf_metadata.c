/* GGUF metadata, read and looked up; see gguf_metadata.h. A pair is the key (u64 length, bytes), the type of the value
 * (u32), and the value; an array is the type of its items (u32), their number (u64), and the items. */
#include "format/gguf_metadata.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { LEAST_PAIR_BYTES = 8 + 1 + 4 + 1 };

static const struct {
    const char *name;
    uint64_t size; /* 0: not fixed */
    gguf_group group;
} kinds[GGUF_KIND_COUNT] = {
    [GGUF_KIND_U8] = {"u8", 1, GGUF_WHOLE},    [GGUF_KIND_I8] = {"i8", 1, GGUF_WHOLE},
    [GGUF_KIND_U16] = {"u16", 2, GGUF_WHOLE},  [GGUF_KIND_I16] = {"i16", 2, GGUF_WHOLE},
    [GGUF_KIND_U32] = {"u32", 4, GGUF_WHOLE},  [GGUF_KIND_I32] = {"i32", 4, GGUF_WHOLE},
    [GGUF_KIND_F32] = {"f32", 4, GGUF_REAL},   [GGUF_KIND_BOOL] = {"bool", 1, GGUF_BOOL},
    [GGUF_KIND_TEXT] = {"text", 0, GGUF_TEXT}, [GGUF_KIND_ARRAY] = {"array", 0, GGUF_TEXT},
    [GGUF_KIND_U64] = {"u64", 8, GGUF_WHOLE},  [GGUF_KIND_I64] = {"i64", 8, GGUF_WHOLE},
    [GGUF_KIND_F64] = {"f64", 8, GGUF_REAL},
};

/* ---- reading ---- */

typedef struct reader {
    cursor *c;
    const char *name;
    carina_error *error;
} reader;

/* "FILE: metadata key 'KEY': " in front of what is wrong with the value. */
static carina_status fail(const reader *r, const gguf_value *value, carina_status status, const char *what) {
    return error_set(r->error, status, "%s: metadata key '%.*s': %s", r->name, (int)value->key.size, value->key.data,
                     what);
}

static carina_status fail_cut(const reader *r, const gguf_value *value) {
    return fail(r, value, CARINA_ERROR_FORMAT, "the file ends inside its value (cut off?)");
}

static carina_status read_key(const reader *r, uint64_t index, gguf_value *value) {
    value->key.size = cursor_u64le(r->c);
    if (!r->c->failed && (value->key.size == 0 || value->key.size > GGUF_MAX_KEY_LENGTH))
        return error_set(r->error, CARINA_ERROR_FORMAT, "%s: metadata key %llu has %llu bytes, 1 to %u are allowed",
                         r->name, (unsigned long long)index, (unsigned long long)value->key.size, GGUF_MAX_KEY_LENGTH);
    value->key.data = (const char *)cursor_take(r->c, value->key.size);
    if (!value->key.data)
        return error_set(r->error, CARINA_ERROR_FORMAT, "%s: the file ends in front of metadata key %llu (cut off?)",
                         r->name, (unsigned long long)index);
    for (uint64_t i = 0; i < value->key.size; i++)
        if (value->key.data[i] <= ' ' || value->key.data[i] > '~')
            return error_set(r->error, CARINA_ERROR_FORMAT, "%s: metadata key %llu is not printable ASCII", r->name,
                             (unsigned long long)index);
    return CARINA_OK;
}

static carina_status read_kind(const reader *r, gguf_value *value) {
    uint32_t kind = cursor_u32le(r->c);
    value->count = 1;
    value->is_array = kind == GGUF_KIND_ARRAY;
    if (value->is_array) {
        kind = cursor_u32le(r->c);
        value->count = cursor_u64le(r->c);
    }
    if (r->c->failed) return fail_cut(r, value);
    if (kind == GGUF_KIND_ARRAY) return fail(r, value, CARINA_ERROR_UNSUPPORTED, "arrays in arrays are not read");
    if (kind >= GGUF_KIND_COUNT) {
        char what[48];
        snprintf(what, sizeof what, "value type %u is unknown", kind);
        return fail(r, value, CARINA_ERROR_FORMAT, what);
    }
    value->kind = (gguf_kind)kind;
    return CARINA_OK;
}

static carina_status read_texts(const reader *r, gguf_value *value) {
    uint64_t begin = r->c->offset;
    if (value->count > cursor_remaining(r->c) / 8) return fail_cut(r, value);
    if (value->is_array) {
        value->starts = malloc((size_t)(value->count + 1) * sizeof *value->starts);
        if (!value->starts) return error_memory(r->error, r->name, value->count * sizeof *value->starts);
    }
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->starts) value->starts[i] = r->c->offset - begin;
        uint64_t size = cursor_u64le(r->c);
        const uint8_t *text = cursor_take(r->c, size);
        if (!text) return fail_cut(r, value);
        if (!utf8_valid(text, size)) return fail(r, value, CARINA_ERROR_FORMAT, "text that is not UTF-8");
    }
    return CARINA_OK;
}

static carina_status read_value(const reader *r, gguf_value *value) {
    TRY(read_kind(r, value));
    value->items = r->c->data + r->c->offset;
    if (value->kind == GGUF_KIND_TEXT) return read_texts(r, value);
    uint64_t size;
    if (!size_multiply(value->count, kinds[value->kind].size, &size) || !cursor_skip(r->c, size))
        return fail_cut(r, value);
    for (uint64_t i = 0; value->kind == GGUF_KIND_BOOL && i < value->count; i++)
        if (value->items[i] > 1) return fail(r, value, CARINA_ERROR_FORMAT, "a boolean that is neither 0 nor 1");
    return CARINA_OK;
}

static int compare_texts(gguf_text a, gguf_text b) {
    int order = memcmp(a.data, b.data, (size_t)(a.size < b.size ? a.size : b.size));
    return order ? order : a.size < b.size ? -1 : a.size > b.size;
}

static int compare_values(const void *a, const void *b) {
    return compare_texts((*(const gguf_value *const *)a)->key, (*(const gguf_value *const *)b)->key);
}

static carina_status sort_keys(const reader *r, gguf_metadata *out) {
    out->by_key = malloc((size_t)(out->count + 1) * sizeof *out->by_key);
    if (!out->by_key) return error_memory(r->error, r->name, out->count * sizeof *out->by_key);
    for (uint64_t i = 0; i < out->count; i++) out->by_key[i] = &out->values[i];
    qsort(out->by_key, (size_t)out->count, sizeof *out->by_key, compare_values);
    for (uint64_t i = 1; i < out->count; i++)
        if (compare_values(&out->by_key[i - 1], &out->by_key[i]) == 0)
            return fail(r, out->by_key[i], CARINA_ERROR_FORMAT, "given twice");
    return CARINA_OK;
}

carina_status gguf_metadata_parse(gguf_metadata *out, const char *name, cursor *c, uint64_t count,
                                  carina_error *error) {
    reader r = {c, name, error};
    *out = (gguf_metadata){.name = name};
    if (count > GGUF_MAX_KEYS)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: promises %llu metadata keys, at most %u are read", name,
                         (unsigned long long)count, GGUF_MAX_KEYS);
    if (count > cursor_remaining(c) / LEAST_PAIR_BYTES)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "%s: promises %llu metadata keys, more than its %llu bytes can hold (cut off?)", name,
                         (unsigned long long)count, (unsigned long long)c->size);
    out->values = calloc((size_t)count + 1, sizeof *out->values);
    if (!out->values) return error_memory(error, name, count * sizeof *out->values);
    for (uint64_t i = 0; i < count; i++) {
        gguf_value *value = &out->values[out->count++];
        TRY(read_key(&r, i, value));
        TRY(read_value(&r, value));
    }
    return sort_keys(&r, out);
}

void gguf_metadata_free(gguf_metadata *m) {
    if (!m) return;
    for (uint64_t i = 0; i < m->count; i++) free(m->values[i].starts);
    free(m->values);
    free(m->by_key);
    *m = (gguf_metadata){0};
}

/* ---- items ---- */

static uint64_t bits_at(const uint8_t *bytes, uint64_t size) {
    uint64_t bits = 0;
    for (uint64_t i = 0; i < size; i++) bits |= (uint64_t)bytes[i] << 8 * i;
    return bits;
}

static uint64_t item_bits(const gguf_value *value, uint64_t index) {
    uint64_t size = kinds[value->kind].size;
    return bits_at(value->items + index * size, size);
}

int64_t gguf_item_whole(const gguf_value *value, uint64_t index) {
    uint64_t bits = item_bits(value, index);
    switch (value->kind) {
        case GGUF_KIND_I8: return (int8_t)bits;
        case GGUF_KIND_I16: return (int16_t)bits;
        case GGUF_KIND_I32: return (int32_t)bits;
        default: return (int64_t)bits;
    }
}

double gguf_item_real(const gguf_value *value, uint64_t index) {
    uint64_t bits = item_bits(value, index);
    if (value->kind == GGUF_KIND_F64) {
        double wide;
        memcpy(&wide, &bits, sizeof wide);
        return wide;
    }
    uint32_t half = (uint32_t)bits;
    float single;
    memcpy(&single, &half, sizeof single);
    return single;
}

gguf_text gguf_item_text(const gguf_value *value, uint64_t index) {
    const uint8_t *item = value->items + (value->starts ? value->starts[index] : 0);
    return (gguf_text){(const char *)item + 8, bits_at(item, 8)};
}

/* ---- look-up ---- */

const gguf_value *gguf_find(const gguf_metadata *m, const char *key) {
    const gguf_value wanted = {.key = {key, strlen(key)}}, *pointer = &wanted;
    if (!m->count) return NULL;
    const gguf_value **found = bsearch(&pointer, m->by_key, (size_t)m->count, sizeof *m->by_key, compare_values);
    return found ? *found : NULL;
}

static carina_status find_as(const gguf_value **out, const gguf_metadata *m, const char *key, bool is_array,
                             gguf_group group, carina_error *error) {
    static const char *const groups[] = {
        [GGUF_WHOLE] = "whole number", [GGUF_REAL] = "real number", [GGUF_BOOL] = "boolean", [GGUF_TEXT] = "text"};
    const gguf_value *value = gguf_find(m, key);
    if (!value) return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata key '%s' is missing", m->name, key);
    if (value->is_array != is_array || kinds[value->kind].group != group)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata key '%s' has type %s%s, %s%s is expected", m->name,
                         key, value->is_array ? "array of " : "", kinds[value->kind].name, is_array ? "array of " : "",
                         groups[group]);
    *out = value;
    return CARINA_OK;
}

/* u64 alone can hold what int64 cannot. */
static bool fits_int64(const gguf_value *value, uint64_t index) {
    return value->kind != GGUF_KIND_U64 || item_bits(value, index) <= INT64_MAX;
}

static carina_status fail_range(const gguf_metadata *m, const char *key, const char *what, carina_error *error) {
    return error_set(error, CARINA_ERROR_FORMAT, "%s: metadata key '%s' holds a number that is not %s", m->name, key,
                     what);
}

carina_status gguf_get_u32(uint32_t *out, const gguf_metadata *m, const char *key, carina_error *error) {
    const gguf_value *value;
    TRY(find_as(&value, m, key, false, GGUF_WHOLE, error));
    int64_t whole = gguf_item_whole(value, 0);
    if (!fits_int64(value, 0) || whole < 0 || whole > UINT32_MAX)
        return fail_range(m, key, "in 0 .. 4294967295", error);
    *out = (uint32_t)whole;
    return CARINA_OK;
}

carina_status gguf_get_f32(float *out, const gguf_metadata *m, const char *key, carina_error *error) {
    const gguf_value *value;
    TRY(find_as(&value, m, key, false, GGUF_REAL, error));
    float real = (float)gguf_item_real(value, 0);
    if (!isfinite(real)) return fail_range(m, key, "a finite f32", error);
    *out = real;
    return CARINA_OK;
}

carina_status gguf_get_bool(bool *out, const gguf_metadata *m, const char *key, carina_error *error) {
    const gguf_value *value;
    TRY(find_as(&value, m, key, false, GGUF_BOOL, error));
    *out = gguf_item_whole(value, 0) != 0;
    return CARINA_OK;
}

carina_status gguf_get_text(gguf_text *out, const gguf_metadata *m, const char *key, carina_error *error) {
    const gguf_value *value;
    TRY(find_as(&value, m, key, false, GGUF_TEXT, error));
    *out = gguf_item_text(value, 0);
    return CARINA_OK;
}

bool gguf_text_is(gguf_text text, const char *expected) {
    return text.size == strlen(expected) && memcmp(text.data, expected, (size_t)text.size) == 0;
}

carina_status gguf_get_array(const gguf_value **out, const gguf_metadata *m, const char *key, gguf_group group,
                             carina_error *error) {
    const gguf_value *value;
    TRY(find_as(&value, m, key, true, group, error));
    for (uint64_t i = 0; value->kind == GGUF_KIND_U64 && i < value->count; i++)
        if (!fits_int64(value, i)) return fail_range(m, key, "in the range of i64", error);
    *out = value;
    return CARINA_OK;
}
