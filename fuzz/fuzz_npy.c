/* The npy reader over any bytes. */
#include "format/npy.h"
#include "tensor_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_tensors(npy_parse, data, size); }
