/* Named tensors as files hold them: what safetensors, .pth and .npy readers return and what writers take.
 *
 * Elements are little-endian, C order (last axis fastest), without padding. The bytes are borrowed from whatever the
 * list owns (a mapping or memory of its own) and live until tensor_file_free.
 */
#ifndef FORMAT_TENSOR_FILE_H
#define FORMAT_TENSOR_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef enum tensor_dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_COUNT
} tensor_dtype;

#define TENSOR_FILE_MAX_RANK 8

const char *tensor_dtype_name(tensor_dtype dtype); /* "f32", "bf16", ... */
uint64_t tensor_dtype_size(tensor_dtype dtype);    /* bytes of one element */
bool tensor_dtype_is_float(tensor_dtype dtype);

typedef struct named_tensor {
    char *name; /* UTF-8, owned by the list */
    tensor_dtype dtype;
    int rank; /* 0 .. TENSOR_FILE_MAX_RANK; 0 is a scalar */
    uint64_t shape[TENSOR_FILE_MAX_RANK];
    const void *data;    /* byte_count bytes, NULL only when byte_count is 0; may be unaligned: copy with memcpy */
    uint64_t byte_count; /* product(shape) * tensor_dtype_size(dtype) */
} named_tensor;

typedef struct tensor_file_entry { /* one pair of the file's string metadata */
    char *key, *value;
} tensor_file_entry;

typedef struct tensor_file {
    named_tensor *tensors; /* in the file's order */
    uint64_t count;
    tensor_file_entry *metadata;
    uint64_t metadata_count;
    void *owner; /* whatever keeps the bytes alive */
    void (*release)(void *owner);
} tensor_file;

/* Frees names, metadata and the bytes; leaves an empty list. Accepts NULL and an empty list. */
void tensor_file_free(tensor_file *file);

/* NULL when there is none. */
const named_tensor *tensor_file_find(const tensor_file *file, const char *name);
const char *tensor_file_metadata(const tensor_file *file, const char *key);

/* product(shape[0 .. rank)), times element_size; false when it does not fit 63 bits. */
bool tensor_shape_bytes(const uint64_t *shape, int rank, uint64_t element_size, uint64_t *out);
uint64_t named_tensor_elements(const named_tensor *tensor);

/* "[64,3,7,7]" into text (always NUL-terminated, cut when too small); returns text. */
char *tensor_shape_text(char *text, uint64_t size, const uint64_t *shape, int rank);

/* Copies all elements as f32 into out[element_count] whatever the dtype. element_count must be the tensor's own
 * (CARINA_ERROR_MISMATCH otherwise). */
carina_status named_tensor_to_f32(const named_tensor *tensor, float *out, uint64_t element_count, carina_error *error);

/* Elements first .. first + count - 1 as f32; they must be within the tensor. */
void named_tensor_part_to_f32(const named_tensor *tensor, uint64_t first, uint64_t count, float *out);

/* CARINA_ERROR_MISMATCH "PATH: tensor NAME is i64 [3], WANTER wants float [2,5]" unless it is of floats and that shape.
 */
carina_status named_tensor_check_shape(const named_tensor *tensor, const char *path, int rank, const uint64_t *shape,
                                       const char *wanter, carina_error *error);

/* CARINA_ERROR_FORMAT naming tensor and first index when a float tensor holds NaN or infinity. */
carina_status named_tensor_check_finite(const named_tensor *tensor, carina_error *error);

#endif
