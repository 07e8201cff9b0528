/* Gemma 3 on disk: a Hugging Face folder with config.json and weights (format/safetensors_shards.h).
 *
 * The text part of Gemma 3 in any of its nestings: alone (model_type gemma3_text, "model.layers.."), inside the model
 * with pictures as MedGemma has it (gemma3 with text_config, "language_model.model.layers.." or
 * "model.language_model.layers.."). What belongs to the vision part is passed over; anything else that is missing,
 * misshapen or not of the model is an error that names it. Keys that config.json leaves out have the published
 * defaults.
 */
#ifndef MODEL_GEMMA3_FILE_H
#define MODEL_GEMMA3_FILE_H

#include "format/tensor_file.h"
#include "model/gemma3.h"

/* config.json. Another model_type, activation, soft-capped logits, a kind of rotary scaling or an order of layers that
 * is not Gemma 3's is CARINA_ERROR_UNSUPPORTED. */
carina_status gemma3_config_parse(gemma3_config *out, const char *name, const void *data, uint64_t size,
                                  carina_error *error);

/* FOLDER/config.json. */
carina_status gemma3_config_read(gemma3_config *out, const char *folder, carina_error *error);

/* A tensor's or module's name as the model calls it: "model.layers..", "lm_head.weight". NULL: of the vision part. */
const char *gemma3_plain_name(const char *name, char buffer[160]);

/* The tensor that the model calls `name`, of that shape; the matrices that set every size must be there. */
carina_status gemma3_find_tensor(const named_tensor **out, const tensor_file *file, const char *path, const char *name,
                                 int rank, const uint64_t *shape, carina_error *error);

/* What is neither of the model nor of the vision part, named. */
carina_status gemma3_refuse_strangers(gemma3 *model, const tensor_file *file, const char *path, carina_error *error);

/* A parameter from its tensor, checked. */
carina_status gemma3_copy_parameter(parameter *p, const tensor_file *file, const char *path, carina_error *error);

/* In f32, for training and for small models. No memory is taken for parameters that the weights do not have;
 * more than is available is said before. */
carina_status gemma3_load(gemma3 **out, const char *folder, carina_error *error);
carina_status gemma3_from_tensors(gemma3 **out, const gemma3_config *config, const tensor_file *weights,
                                  const char *path, carina_error *error);

#endif
