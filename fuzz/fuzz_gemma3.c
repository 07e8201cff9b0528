/* Any bytes as a Gemma 3's config.json and weights (a zero byte between them): a model comes out whole or not at all.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/safetensors.h"
#include "model/gemma3_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t text = end ? (size_t)(end - data) : size;
    gemma3_config config;
    carina_error error;
    if (gemma3_config_parse(&config, "fuzz", data, text, &error) != CARINA_OK || !end) return 0;
    tensor_file weights = {0};
    if (safetensors_parse(&weights, "fuzz", end + 1, size - text - 1, &error) != CARINA_OK) return 0;
    gemma3 *model;
    carina_status status = gemma3_from_tensors(&model, &config, &weights, "fuzz", &error);
    assert((status == CARINA_OK) == (model != NULL));
    gemma3_free(model);
    tensor_file_free(&weights);
    return 0;
}
