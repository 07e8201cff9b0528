/* What all tensor formats share: types, sizes, look-up, conversion to f32; see tensor_file.h. */
#include "format/tensor_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/half.h"

static const struct {
    const char *name;
    uint64_t size;
    bool is_float;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", 4, true},    [DTYPE_F16] = {"f16", 2, true},  [DTYPE_BF16] = {"bf16", 2, true},
    [DTYPE_F64] = {"f64", 8, true},    [DTYPE_I64] = {"i64", 8, false}, [DTYPE_I32] = {"i32", 4, false},
    [DTYPE_I16] = {"i16", 2, false},   [DTYPE_I8] = {"i8", 1, false},   [DTYPE_U8] = {"u8", 1, false},
    [DTYPE_BOOL] = {"bool", 1, false},
};

const char *tensor_dtype_name(tensor_dtype dtype) {
    return (unsigned)dtype < DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}
uint64_t tensor_dtype_size(tensor_dtype dtype) { return (unsigned)dtype < DTYPE_COUNT ? dtypes[dtype].size : 0; }
bool tensor_dtype_is_float(tensor_dtype dtype) { return (unsigned)dtype < DTYPE_COUNT && dtypes[dtype].is_float; }

void tensor_file_free(tensor_file *file) {
    if (!file) return;
    for (uint64_t i = 0; i < file->count; i++) free(file->tensors[i].name);
    for (uint64_t i = 0; i < file->metadata_count; i++) {
        free(file->metadata[i].key);
        free(file->metadata[i].value);
    }
    free(file->tensors);
    free(file->metadata);
    if (file->release) file->release(file->owner);
    *file = (tensor_file){0};
}

const named_tensor *tensor_file_find(const tensor_file *file, const char *name) {
    for (uint64_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    return NULL;
}

const char *tensor_file_metadata(const tensor_file *file, const char *key) {
    for (uint64_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0) return file->metadata[i].value;
    return NULL;
}

bool tensor_shape_bytes(const uint64_t *shape, int rank, uint64_t element_size, uint64_t *out) {
    /* An axis of 0 makes the product 0, but the other axes must not overflow first: that depends on their order. */
    uint64_t product = element_size;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] == 0) empty = true;
        if (!size_multiply(product, shape[i] ? shape[i] : 1, &product) || product > INT64_MAX) return false;
    }
    *out = empty ? 0 : product;
    return true;
}

uint64_t named_tensor_elements(const named_tensor *tensor) {
    uint64_t size = tensor_dtype_size(tensor->dtype);
    return size ? tensor->byte_count / size : 0;
}

char *tensor_shape_text(char *text, uint64_t size, const uint64_t *shape, int rank) {
    if (size == 0) return text;
    uint64_t used = (uint64_t)snprintf(text, (size_t)size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (uint64_t)snprintf(text + used, (size_t)(size - used), "%s%llu", i ? "," : "",
                                   (unsigned long long)shape[i]);
    if (used < size) snprintf(text + used, (size_t)(size - used), "]");
    return text;
}

/* One element as f32. The machine is little-endian like the files (x86-64 is what Carina runs on). */
static float element_as_f32(const uint8_t *bytes, tensor_dtype dtype) {
    union {
        float f32;
        double f64;
        uint16_t u16;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        int8_t i8;
    } element = {0};
    memcpy(&element, bytes, (size_t)tensor_dtype_size(dtype));
    switch (dtype) {
        case DTYPE_F32: return element.f32;
        case DTYPE_F16: return f16_to_f32(element.u16);
        case DTYPE_BF16: return bf16_to_f32(element.u16);
        case DTYPE_F64: return (float)element.f64;
        case DTYPE_I64: return (float)element.i64;
        case DTYPE_I32: return (float)element.i32;
        case DTYPE_I16: return (float)element.i16;
        case DTYPE_I8: return (float)element.i8;
        case DTYPE_U8: return (float)bytes[0];
        case DTYPE_BOOL: return bytes[0] ? 1.0f : 0.0f;
        case DTYPE_COUNT: break;
    }
    return NAN;
}

void named_tensor_part_to_f32(const named_tensor *tensor, uint64_t first, uint64_t count, float *out) {
    uint64_t size = tensor_dtype_size(tensor->dtype);
    const uint8_t *bytes = (const uint8_t *)tensor->data + first * size;
    if (count == 0) return;
    if (tensor->dtype == DTYPE_F32) {
        memcpy(out, bytes, (size_t)(count * size));
    } else if (tensor->dtype == DTYPE_BF16) { /* what models are stored in: starting the program waits for this */
        for (uint64_t i = 0; i < count; i++) {
            uint16_t half;
            memcpy(&half, bytes + 2 * i, sizeof half);
            out[i] = bf16_to_f32(half);
        }
    } else {
        for (uint64_t i = 0; i < count; i++) out[i] = element_as_f32(bytes + i * size, tensor->dtype);
    }
}

carina_status named_tensor_to_f32(const named_tensor *tensor, float *out, uint64_t element_count, carina_error *error) {
    if (named_tensor_elements(tensor) != element_count) {
        char shape[128];
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "tensor '%s' has shape %s: %llu elements where %llu are expected", tensor->name,
                         tensor_shape_text(shape, sizeof shape, tensor->shape, tensor->rank),
                         (unsigned long long)named_tensor_elements(tensor), (unsigned long long)element_count);
    }
    named_tensor_part_to_f32(tensor, 0, element_count, out);
    return CARINA_OK;
}

static bool all_bf16_finite(const uint8_t *bytes, uint64_t count) {
    unsigned bad = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        bad |= (half & 0x7f80u) == 0x7f80u;
    }
    return !bad;
}

carina_status named_tensor_check_shape(const named_tensor *tensor, const char *path, int rank, const uint64_t *shape,
                                       const char *wanter, carina_error *error) {
    bool same = tensor->rank == rank && tensor_dtype_is_float(tensor->dtype);
    for (int i = 0; same && i < rank; i++) same = tensor->shape[i] == shape[i];
    if (same) return CARINA_OK;
    char found[96], wanted[96];
    return error_set(error, CARINA_ERROR_MISMATCH, "%s: tensor %s is %s %s, %s wants float %s", path, tensor->name,
                     tensor_dtype_name(tensor->dtype),
                     tensor_shape_text(found, sizeof found, tensor->shape, tensor->rank), wanter,
                     tensor_shape_text(wanted, sizeof wanted, shape, rank));
}

carina_status named_tensor_check_finite(const named_tensor *tensor, carina_error *error) {
    if (!tensor_dtype_is_float(tensor->dtype)) return CARINA_OK;
    const uint8_t *bytes = tensor->data;
    uint64_t size = tensor_dtype_size(tensor->dtype), count = named_tensor_elements(tensor);
    if (tensor->dtype == DTYPE_BF16 && all_bf16_finite(bytes, count)) return CARINA_OK;
    for (uint64_t i = 0; i < count; i++) {
        double value = element_as_f32(bytes + i * size, tensor->dtype);
        if (tensor->dtype == DTYPE_F64) memcpy(&value, bytes + i * size, sizeof value);
        if (!isfinite(value))
            return error_set(error, CARINA_ERROR_FORMAT, "tensor '%s' holds a value that is not finite at element %llu",
                             tensor->name, (unsigned long long)i);
    }
    return CARINA_OK;
}
