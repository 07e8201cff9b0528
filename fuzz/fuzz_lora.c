/* Any bytes as an adapter's adapter_config.json and weights (a zero byte between them), for a model of one layer: an
 * adapter comes out whole or not at all.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/safetensors.h"
#include "model/lora_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gemma3_config config = gemma3_config_1b();
    config.layers = 1;
    config.vocabulary = config.width = config.ffn_width = 8;
    config.heads = config.key_heads = 1;
    config.head_width = 4;
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    if (!end) return 0;
    size_t text = (size_t)(end - data);
    json_document *description;
    tensor_file weights = {0};
    carina_error error;
    if (json_parse(&description, "fuzz", data, text, NULL, &error) != CARINA_OK) return 0;
    if (safetensors_parse(&weights, "fuzz", end + 1, size - text - 1, &error) == CARINA_OK) {
        lora *adapter;
        carina_status status = lora_from_parts(&adapter, &config, description, &weights, "fuzz", &error);
        assert((status == CARINA_OK) == (adapter != NULL));
        lora_free(adapter);
        tensor_file_free(&weights);
    }
    json_free(description);
    return 0;
}
