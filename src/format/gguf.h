/* GGUF: the file of a quantised language model, metadata and tensors in one; versions 2 and 3, little-endian.
 *
 * File: "GGUF", version (u32), number of tensors and of metadata keys (u64 each), the metadata (gguf_metadata.h), of
 * each tensor name, axes, type and offset, then the data, padded so that it and every tensor in it begin on a multiple
 * of general.alignment (32 when not given). Read through a mapping: tensors point into the file. Everything that the
 * headers say is checked first: every count against the file's length before memory is taken, no key and no tensor
 * twice, no tensor outside the file or over another one, and no more between two than the padding. Tensors may lie in
 * any order. Big-endian files are refused by name.
 */
#ifndef FORMAT_GGUF_H
#define FORMAT_GGUF_H

#include <stdint.h>

#include "base/file.h"
#include "format/gguf_blocks.h"
#include "format/gguf_metadata.h"

#define GGUF_MAX_RANK      4
#define GGUF_MAX_NAME      64 /* bytes of a tensor's name */
#define GGUF_MAX_TENSORS   (1u << 18)
#define GGUF_MAX_ALIGNMENT (1u << 20)

typedef struct gguf_tensor {
    char name[GGUF_MAX_NAME + 1];  /* UTF-8 */
    uint32_t type;                 /* gguf_blocks.h; one that is known, decoded or not */
    int rank;                      /* 0 .. GGUF_MAX_RANK; 0 is a scalar */
    uint64_t shape[GGUF_MAX_RANK]; /* C order, last axis fastest (the file says it the other way round): a matrix that
                                    * gives `out` numbers from `in` has shape [out,in] */
    uint64_t row_length, row_count, row_bytes; /* a row is the last axis; of a scalar one element */
    uint64_t offset;                           /* from the start of the data */
    uint64_t byte_count;                       /* row_count * row_bytes */
    const uint8_t *data;                       /* NULL only when byte_count is 0 */
} gguf_tensor;

typedef struct gguf_file {
    char *name; /* of the file, for messages */
    uint32_t version, alignment;
    gguf_metadata metadata;
    gguf_tensor *tensors; /* in the order of their infos */
    uint64_t tensor_count;
    const gguf_tensor **by_name; /* [tensor_count] sorted */
    file_map map;                /* empty when the bytes are the caller's */
} gguf_file;

/* From bytes that stay the caller's and must outlive *out. On failure *out is empty. */
carina_status gguf_parse(gguf_file *out, const char *name, const void *data, uint64_t size, carina_error *error);
/* Maps the file until gguf_free. */
carina_status gguf_read(gguf_file *out, const char *path, carina_error *error);
void gguf_free(gguf_file *file); /* accepts NULL and an empty one */

const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name); /* NULL when there is none */

/* Rows first .. first + count - 1 as f32 into out [count, row_length]. CARINA_ERROR_UNSUPPORTED when the type is not
 * decoded, CARINA_ERROR_ARGUMENT when there are no such rows; both name the tensor. */
carina_status gguf_decode_rows(float *out, const gguf_file *file, const gguf_tensor *tensor, uint64_t first,
                               uint64_t count, carina_error *error);

#endif
