/* A fuzz target for a reader of named tensors: every byte of what it accepts is read. */
#ifndef FUZZ_TENSOR_TARGET_H
#define FUZZ_TENSOR_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "format/tensor_file.h"

typedef carina_status tensor_parser(tensor_file *out, const char *name, const void *data, uint64_t size,
                                    carina_error *error);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline int fuzz_tensors(tensor_parser *parse, const uint8_t *data, size_t size) {
    tensor_file file;
    carina_error error;
    if (parse(&file, "fuzz", data, size, &error) != CARINA_OK) return 0;
    volatile uint8_t sum = 0;
    for (uint64_t i = 0; i < file.count; i++) {
        const uint8_t *bytes = file.tensors[i].data;
        for (uint64_t at = 0; at < file.tensors[i].byte_count; at++) sum = (uint8_t)(sum + bytes[at]);
    }
    tensor_file_free(&file);
    return 0;
}

#endif
