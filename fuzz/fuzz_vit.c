/* Any bytes as a DINOv3's config.json and weights (a zero byte between them): the encoder takes all of it or nothing.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format/safetensors.h"
#include "model/vit_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const vit_config config = {.patch = 8, .width = 4, .heads = 1, .layers = 1, .ffn_width = 3, .registers = 1};

/* Every value is still this number. */
static bool untouched(const parameters *set, float number) {
    for (int i = 0; i < set->count; i++)
        for (int64_t j = 0; j < set->items[i]->count; j++)
            if (set->items[i]->value[j] < number || set->items[i]->value[j] > number) return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t text = end ? (size_t)(end - data) : size;
    carina_error error;
    if (vit_file_check_config(&config, "fuzz", data, text, &error) != CARINA_OK || !end) return 0;
    tensor_file weights = {0};
    vit net;
    model_builder b = {0};
    if (parameters_create(&b.set, &error) != CARINA_OK) return 0;
    carina_status status = vit_create(&net, &b, "", &config, &error);
    if (status == CARINA_OK) {
        for (int i = 0; i < b.set->count; i++) parameter_fill(b.set->items[i], 0.5f);
        status = safetensors_parse(&weights, "fuzz", end + 1, size - text - 1, &error);
        if (status == CARINA_OK) status = vit_file_copy_tensors(&net, &weights, "fuzz", &error);
        assert(status == CARINA_OK || untouched(b.set, 0.5f));
    }
    tensor_file_free(&weights);
    parameters_free(b.set);
    return 0;
}
