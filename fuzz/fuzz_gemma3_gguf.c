/* Any bytes as a Gemma 3's GGUF file: a model comes out whole or not at all. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "model/gemma3_packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf_file file;
    gemma3 *model;
    carina_error error;
    if (gguf_parse(&file, "fuzz", data, size, &error) != CARINA_OK) return 0;
    carina_status status = gemma3_from_gguf(&model, &file, NULL, &error);
    assert((status == CARINA_OK) == (model != NULL));
    gemma3_free(model);
    gguf_free(&file);
    return 0;
}
