/* The index of sharded weights over any bytes: names of files stay within the folder. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/safetensors_shards.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    safetensors_index index;
    carina_error error;
    if (safetensors_index_parse(&index, "fuzz", data, size, &error) != CARINA_OK) return 0;
    assert(index.tensor_count > 0 && index.file_count > 0);
    for (int i = 0; i < index.file_count; i++) assert(!strchr(index.files[i], '/') && index.files[i][0] != '.');
    for (uint64_t i = 0; i < index.tensor_count; i++) assert(index.file_of[i] < index.file_count);
    safetensors_index_free(&index);
    return 0;
}
