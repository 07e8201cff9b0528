/* The pth reader over any bytes. */
#include "format/pth.h"
#include "tensor_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_tensors(pth_parse, data, size); }
