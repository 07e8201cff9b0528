/* pth reader over any bytes; every byte of what it accepts is read. */
#include <stddef.h>
#include <stdint.h>

#include "format/pth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tensor_file file;
    carina_error error;
    if (pth_parse(&file, "fuzz", data, size, &error) != CARINA_OK) return 0;
    volatile uint8_t sum = 0;
    for (uint64_t i = 0; i < file.count; i++) {
        const uint8_t *bytes = file.tensors[i].data;
        for (uint64_t at = 0; at < file.tensors[i].byte_count; at++) sum = (uint8_t)(sum + bytes[at]);
    }
    tensor_file_free(&file);
    return 0;
}
