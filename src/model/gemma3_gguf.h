/* How a GGUF file says what a Gemma 3 is: its configuration and the names of its tensors. Loading is in
 * gemma3_packed.h, writing in pipeline/model_quantize.h.
 */
#ifndef MODEL_GEMMA3_GGUF_H
#define MODEL_GEMMA3_GGUF_H

#include "format/gguf.h"
#include "model/gemma3.h"

/* Written only where the value is another than in published models; other programs pass them over. */
#define GEMMA3_GGUF_GLOBAL_EVERY "gemma3.attention.sliding_window_pattern"
#define GEMMA3_GGUF_QUERY_SCALAR "carina.gemma3.query_pre_attn_scalar"

/* general.architecture must be gemma3; every size is checked. */
carina_status gemma3_gguf_config(gemma3_config *out, const gguf_file *file, carina_error *error);
/* What queries are divided by where no key says: heads' width, but in 27B (62 layers) the width a head would have. */
double gemma3_gguf_query_scalar(const gemma3_config *config);

/* "model.layers.3.mlp.up_proj.weight" -> "blk.3.ffn_up.weight" */
void gemma3_gguf_name(char out[GGUF_MAX_NAME + 1], const char *name);

/* The tensor that the model calls `name`, of that shape and a type that can be read. Norms are stored as 1 + w. */
carina_status gemma3_gguf_find(const gguf_tensor **out, const gguf_file *file, const char *name, int rank,
                               const uint64_t *shape, carina_error *error);

#endif
