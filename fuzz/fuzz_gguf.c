/* GGUF reader over any bytes; of what it accepts every metadata item is looked up and every row decoded. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum_text(gguf_text text) {
    uint64_t sum = text.size;
    for (uint64_t i = 0; i < text.size; i++) sum += (uint8_t)text.data[i];
    return sum;
}

static uint64_t sum_value(const gguf_value *value) {
    uint64_t sum = sum_text(value->key);
    for (uint64_t i = 0; i < value->count; i++) {
        if (value->kind == GGUF_KIND_TEXT)
            sum += sum_text(gguf_item_text(value, i));
        else if (value->kind == GGUF_KIND_F32 || value->kind == GGUF_KIND_F64)
            sum += gguf_item_real(value, i) > 0;
        else
            sum += (uint64_t)gguf_item_whole(value, i);
    }
    return sum;
}

static void look_up(const gguf_metadata *m, const char *key) {
    uint32_t whole;
    float real;
    bool truth;
    gguf_text text;
    const gguf_value *array;
    carina_error error;
    gguf_get_u32(&whole, m, key, &error);
    gguf_get_f32(&real, m, key, &error);
    gguf_get_bool(&truth, m, key, &error);
    gguf_get_text(&text, m, key, &error);
    for (gguf_group group = GGUF_WHOLE; group <= GGUF_TEXT; group++) gguf_get_array(&array, m, key, group, &error);
}

static void decode(const gguf_file *file, const gguf_tensor *tensor) {
    carina_error error;
    float *row = malloc((size_t)(tensor->byte_count ? tensor->row_length : 0) * sizeof *row + 1);
    for (uint64_t i = 0; row && tensor->byte_count && i < tensor->row_count; i++)
        gguf_decode_rows(row, file, tensor, i, 1, &error);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf_file file;
    carina_error error;
    if (gguf_parse(&file, "fuzz", data, size, &error) != CARINA_OK) return 0;
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < file.metadata.count; i++) sum = sum + sum_value(&file.metadata.values[i]);
    static const char *const keys[] = {"u", "f", "b", "t", "a", "general.alignment", "tokens"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) look_up(&file.metadata, keys[i]);
    for (uint64_t i = 0; i < file.tensor_count; i++) {
        if (gguf_find_tensor(&file, file.tensors[i].name) != &file.tensors[i]) abort();
        decode(&file, &file.tensors[i]);
    }
    gguf_free(&file);
    return 0;
}
