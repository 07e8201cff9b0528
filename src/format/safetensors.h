/* safetensors: named tensors behind a JSON header; Carina's own format for models and checkpoints.
 *
 * File: u64 little-endian length N of the header, N bytes of JSON {"name": {"dtype", "shape", "data_offsets":
 * [begin, end]}, ..., "__metadata__": {text: text}}, then the data, to which the offsets refer. Read through a mapping:
 * tensors point into the file. Everything the header says is checked first: every byte of the data belongs to exactly
 * one tensor, sizes follow from shape and type, no key is given twice.
 */
#ifndef FORMAT_SAFETENSORS_H
#define FORMAT_SAFETENSORS_H

#include "format/tensor_file.h"

#define SAFETENSORS_MAX_HEADER 100000000u /* bytes, as in the reference implementation */

/* From bytes that stay the caller's and must outlive *out. Tensors come in the order of their offsets. */
carina_status safetensors_parse(tensor_file *out, const char *name, const void *data, uint64_t size,
                                carina_error *error);
/* Maps the file until tensor_file_free. */
carina_status safetensors_read(tensor_file *out, const char *path, carina_error *error);

/* Written atomically, byte for byte the same for the same content: tensors sorted by element size (largest first, so
 * that every tensor is aligned to its element) then by name; metadata by key; header padded to 8 bytes. Of each
 * named_tensor name, dtype, rank, shape, data count; byte_count must be right. */
carina_status safetensors_write(const char *path, const named_tensor *tensors, uint64_t count,
                                const tensor_file_entry *metadata, uint64_t metadata_count, carina_error *error);

#endif
