/* Tensors from whatever file holds them: safetensors, PyTorch's .pth or .npy, told apart by their first bytes. */
#ifndef FORMAT_TENSOR_READ_H
#define FORMAT_TENSOR_READ_H

#include "format/tensor_file.h"

carina_status tensor_read(tensor_file *out, const char *path, carina_error *error);

#endif
