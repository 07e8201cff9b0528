/* Gemma 3 packed while a Hugging Face folder is read; see gemma3_packed.h. */
#include "model/gemma3_packed.h"

#include <string.h>

#include "base/file.h"
#include "format/safetensors_shards.h"
#include "model/gemma3_file.h"
#include "model/gemma3_random.h"
#include "model/gemma3_rows.h"
#include "model/lora_file.h"

typedef struct folder_rows {
    const named_tensor *tensor;
    const lora *adapter; /* NULL: none */
    int slot;
} folder_rows;

static carina_status set_row(void *context, quantized_matrix *m, int64_t row, float *scratch, carina_error *error) {
    const folder_rows *rows = context;
    named_tensor_part_to_f32(rows->tensor, (uint64_t)row * (uint64_t)m->inputs, (uint64_t)m->inputs, scratch);
    if (rows->adapter) lora_add_to_row(rows->adapter, rows->slot, row, scratch);
    return quantized_set_row(m, row, scratch, error);
}

static carina_status fill(gemma3 *m, const tensor_file *weights, const char *path, const gemma3_pack_options *options,
                          const lora *adapter, carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(m, slots);
    TRY(gemma3_refuse_strangers(m, weights, path, error));
    for (int i = 0; i < count; i++) {
        folder_rows rows = {.adapter = adapter, .slot = i};
        uint64_t shape[2] = {(uint64_t)slots[i].outputs, (uint64_t)slots[i].inputs};
        TRY(gemma3_find_tensor(&rows.tensor, weights, path, slots[i].name, 2, shape, error));
        if (gemma3_fill_slot(&slots[i], options->kind, set_row, &rows, options->pool, error) != CARINA_OK)
            return error_prefix(error, "%s", path);
        file_map_forget(rows.tensor->data, rows.tensor->byte_count); /* packed now: not both in memory */
    }
    for (int i = 0; i < m->parameters->count; i++)
        TRY(gemma3_copy_parameter(m->parameters->items[i], weights, path, error));
    parameters_changed(m->parameters);
    return CARINA_OK;
}

static carina_status load_folder(gemma3 **out, const char *folder, const gemma3_pack_options *options,
                                 carina_error *error) {
    gemma3_config config;
    tensor_file weights = {0};
    lora *adapter = NULL;
    uint64_t bytes;
    TRY(gemma3_config_read(&config, folder, error));
    if (gemma3_packed_bytes(&bytes, &config, options->kind, error) != CARINA_OK)
        return error_prefix(error, "%s/config.json", folder);
    if (options->adapter) TRY(lora_load(&adapter, options->adapter, &config, error));
    carina_status status = safetensors_folder_read(&weights, folder, error);
    if (status == CARINA_OK) status = gemma3_check_memory(folder, bytes, error);
    if (status == CARINA_OK) status = gemma3_create_packed(out, &config, error);
    if (status == CARINA_OK) status = fill(*out, &weights, folder, options, adapter, error);
    tensor_file_free(&weights);
    lora_free(adapter);
    if (status == CARINA_OK) return CARINA_OK;
    gemma3_free(*out);
    *out = NULL;
    return status;
}

static carina_status load_gguf(gemma3 **out, const char *path, const gemma3_pack_options *options,
                               carina_error *error) {
    gguf_file file;
    lora *adapter = NULL;
    TRY(gguf_read(&file, path, error));
    carina_status status = gemma3_from_gguf(out, &file, options->pool, error);
    gguf_free(&file);
    if (status != CARINA_OK || !options->adapter) return status;
    status = lora_load(&adapter, options->adapter, &(*out)->config, error);
    if (status == CARINA_OK) status = lora_merge(*out, adapter, options->pool, error);
    lora_free(adapter);
    if (status == CARINA_OK) return CARINA_OK;
    gemma3_free(*out);
    *out = NULL;
    return status;
}

carina_status gemma3_load_packed(gemma3 **out, const char *path, const gemma3_pack_options *options,
                                 carina_error *error) {
    size_t length = strlen(path);
    *out = NULL;
    if (length < 5 || strcmp(path + length - 5, ".gguf") != 0) return load_folder(out, path, options, error);
    return load_gguf(out, path, options, error);
}
