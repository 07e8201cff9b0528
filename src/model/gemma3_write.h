/* Gemma 3 written as a Hugging Face folder: config.json and generation_config.json as transformers' Gemma3ForCausalLM
 * (model_type gemma3_text) has them, and model.safetensors. gemma3_load reads it back, to the same bits in f32. The
 * tokenizer.json beside them is bpe_write's.
 */
#ifndef MODEL_GEMMA3_WRITE_H
#define MODEL_GEMMA3_WRITE_H

#include "format/tensor_file.h"
#include "model/gemma3.h"

typedef struct gemma3_save_options {
    tensor_dtype type;                 /* of the weights: DTYPE_F32 or DTYPE_BF16 (rounded to nearest even) */
    int begin, end, pad;               /* token ids, -1: the tokenizer has none */
    const tensor_file_entry *metadata; /* of model.safetensors, beside "format": "pt"; at most 15 */
    uint64_t metadata_count;
} gemma3_save_options;

/* The model's matrices must be f32 (not packed). Each file is replaced atomically, the weights last. */
carina_status gemma3_save(const gemma3 *model, const char *folder, const gemma3_save_options *options,
                          carina_error *error);

#endif
