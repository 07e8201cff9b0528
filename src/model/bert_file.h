/* Text encoders on disk: a Hugging Face directory with config.json, vocab.txt and the weights.
 *
 * Weights are model.safetensors (whole, or in shards with an index), pytorch_model.bin or a .pth with one of those
 * names, in f32, f16 or bf16. Names may begin with "bert." (and a checkpoint's "model.", "text_model."); LayerNorm's
 * may be gamma and beta. AnatomiX's projector (project_head.proj.{0,2}) is taken along when it is there. Heads that are
 * not used here (cls, pooler, classifier, qa_outputs) and buffers of positions are passed over; anything else that is
 * missing, misshapen or not of the model is an error that names it.
 */
#ifndef MODEL_BERT_FILE_H
#define MODEL_BERT_FILE_H

#include "format/tensor_file.h"
#include "model/bert.h"

/* config.json; the projector's sizes stay 0. A model_type, activation or kind of position that is not BERT's is
 * CARINA_ERROR_UNSUPPORTED. */
carina_status bert_config_parse(bert_config *out, const char *name, const void *data, uint64_t size,
                                carina_error *error);

/* The directory's configuration and weights. No memory is taken for parameters that the weights do not have. */
carina_status bert_load(bert **out, const char *folder, carina_error *error);
/* The same from parts; `path` is used in messages. */
carina_status bert_from_tensors(bert **out, const bert_config *config, const tensor_file *weights, const char *path,
                                carina_error *error);

/* A projector (or another one) from a file with project_head.proj.{0,2}: an AnatomiX checkpoint, for one. *model is
 * replaced by a model that has it. */
carina_status bert_load_projector(bert **model, const char *path, carina_error *error);

typedef struct bert_save_options {
    tensor_dtype type;                 /* of the weights: DTYPE_F32 or DTYPE_BF16 (rounded to nearest even) */
    const tensor_file_entry *metadata; /* of model.safetensors, e.g. where it comes from */
    uint64_t metadata_count;
} bert_save_options;

/* Writes FOLDER/config.json and FOLDER/model.safetensors, each atomically. */
carina_status bert_save_as(const bert *model, const char *folder, const bert_save_options *options,
                           carina_error *error);
/* Writes FOLDER/config.json and FOLDER/model.safetensors (f32), each atomically; vocabulary_write makes the third. */
carina_status bert_save(const bert *model, const char *folder, carina_error *error);

#endif
