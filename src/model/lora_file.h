/* LoRA adapters as PEFT writes them: a folder with adapter_config.json and adapter_model.safetensors.
 *
 * Tensors are "base_model.model.MODULE.lora_A.weight" [r, inputs] and "..lora_B.weight" [outputs, r], where MODULE is
 * named as in the model's own files, MedGemma's nesting included; adapters of the vision part are passed over, as its
 * weights are. Which matrices are changed is what the tensors say; a list in target_modules must agree with them, an
 * expression there is not evaluated. rank_pattern and alpha_pattern may hold modules' names or the ends of such names,
 * "^" in front and "\." for dots allowed; other expressions are refused.
 *
 * Refused by name is what would be computed wrongly here: DoRA, biases, layers saved whole (modules_to_save), adapters
 * of embeddings or of the output head, weights that were initialised out of the base model's (pissa, olora, ..), and
 * other kinds than LoRA.
 */
#ifndef MODEL_LORA_FILE_H
#define MODEL_LORA_FILE_H

#include "format/json.h"
#include "format/tensor_file.h"
#include "model/lora.h"

/* An adapter for a model of that configuration. */
carina_status lora_load(lora **out, const char *folder, const gemma3_config *config, carina_error *error);

/* The same from parts; `path` is used in messages. */
carina_status lora_from_parts(lora **out, const gemma3_config *config, const json_document *description,
                              const tensor_file *weights, const char *path, carina_error *error);

#endif
