/* Any bytes as a text encoder's config.json and weights (a zero byte between them): a model comes out whole or not at
 * all. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/safetensors.h"
#include "model/bert_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t text = end ? (size_t)(end - data) : size;
    bert_config config;
    carina_error error;
    if (bert_config_parse(&config, "fuzz", data, text, &error) != CARINA_OK || !end) return 0;
    tensor_file weights = {0};
    if (safetensors_parse(&weights, "fuzz", end + 1, size - text - 1, &error) != CARINA_OK) return 0;
    bert *model;
    carina_status status = bert_from_tensors(&model, &config, &weights, "fuzz", &error);
    assert((status == CARINA_OK) == (model != NULL));
    bert_free(model);
    tensor_file_free(&weights);
    return 0;
}
