/* The safetensors reader over any bytes. */
#include "format/safetensors.h"
#include "tensor_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_tensors(safetensors_parse, data, size); }
