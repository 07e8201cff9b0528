/* A model's parameters as model.safetensors of a Hugging Face folder: what the writers of such folders share. */
#ifndef MODEL_PARAMETERS_FILE_H
#define MODEL_PARAMETERS_FILE_H

#include "format/tensor_file.h"
#include "tensor/parameters.h"

/* Every parameter under its own name, atomically. type: DTYPE_F32, or DTYPE_BF16 (rounded to nearest even). */
carina_status parameters_write(const parameters *set, const char *path, tensor_dtype type,
                               const tensor_file_entry *metadata, uint64_t metadata_count, carina_error *error);

#endif
