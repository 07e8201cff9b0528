/* Gemma 3 packed while a Hugging Face folder is read; see gemma3_packed.h. */
#include "model/gemma3_packed.h"

#include <string.h>

#include "format/safetensors_shards.h"
#include "model/gemma3_file.h"
#include "model/gemma3_random.h"
#include "model/gemma3_rows.h"

static carina_status set_row(void *context, quantized_matrix *m, int64_t row, float *scratch, carina_error *error) {
    named_tensor_part_to_f32(context, (uint64_t)row * (uint64_t)m->inputs, (uint64_t)m->inputs, scratch);
    return quantized_set_row(m, row, scratch, error);
}

static carina_status fill(gemma3 *m, const tensor_file *weights, const char *path, const gemma3_pack_options *options,
                          carina_error *error) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(m, slots);
    TRY(gemma3_refuse_strangers(m, weights, path, error));
    for (int i = 0; i < count; i++) {
        const named_tensor *t;
        uint64_t shape[2] = {(uint64_t)slots[i].outputs, (uint64_t)slots[i].inputs};
        TRY(gemma3_find_tensor(&t, weights, path, slots[i].name, 2, shape, error));
        named_tensor borrowed = *t;
        if (gemma3_fill_slot(&slots[i], options->kind, set_row, &borrowed, options->pool, error) != CARINA_OK)
            return error_prefix(error, "%s", path);
    }
    for (int i = 0; i < m->parameters->count; i++)
        TRY(gemma3_copy_parameter(m->parameters->items[i], weights, path, error));
    parameters_changed(m->parameters);
    return CARINA_OK;
}

static carina_status load_folder(gemma3 **out, const char *folder, const gemma3_pack_options *options,
                                 carina_error *error) {
    gemma3_config config;
    tensor_file weights;
    uint64_t bytes;
    TRY(gemma3_config_read(&config, folder, error));
    if (gemma3_packed_bytes(&bytes, &config, options->kind, error) != CARINA_OK)
        return error_prefix(error, "%s/config.json", folder);
    TRY(safetensors_folder_read(&weights, folder, error));
    carina_status status = gemma3_check_memory(folder, bytes, error);
    if (status == CARINA_OK) status = gemma3_create_packed(out, &config, error);
    if (status == CARINA_OK) status = fill(*out, &weights, folder, options, error);
    tensor_file_free(&weights);
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
    gguf_file file;
    TRY(gguf_read(&file, path, error));
    carina_status status = gemma3_from_gguf(out, &file, options->pool, error);
    gguf_free(&file);
    return status;
}
