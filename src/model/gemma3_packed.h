/* Gemma 3 with packed weights (tensor/quantized.h), for running: from a Hugging Face folder, quantised while it is
 * read, or from a GGUF file, whose blocks of 8 and 4 bits are taken over without loss.
 *
 * Weights are read through a mapping, a row at a time, so memory is that of the packed matrices; what a machine cannot
 * hold is said before anything is read.
 */
#ifndef MODEL_GEMMA3_PACKED_H
#define MODEL_GEMMA3_PACKED_H

#include "base/threads.h"
#include "format/gguf.h"
#include "model/gemma3.h"

typedef struct gemma3_pack_options {
    quantized_kind kind; /* of a folder's matrices; a GGUF file has its own */
    thread_pool *pool;   /* borrowed, may be NULL */
    const char *adapter; /* a LoRA folder (lora_file.h) that is merged into the weights; NULL: none */
} gemma3_pack_options;

/* path: a folder, or a file whose name ends in .gguf. A folder's weights are merged with an adapter before they are
 * packed; a GGUF file's changed matrices are packed again. */
carina_status gemma3_load_packed(gemma3 **out, const char *path, const gemma3_pack_options *options,
                                 carina_error *error);

/* general.architecture must be gemma3. Names are llama.cpp's ("blk.3.ffn_up.weight"); norms are stored as 1 + w there.
 * Q8_0, Q4_0 and Q4_K keep their bits, Q6_K becomes 8 bits, F32, F16 and BF16 become bf16; where all matrices are F32
 * they stay so, as a folder's do. */
carina_status gemma3_from_gguf(gemma3 **out, const gguf_file *file, thread_pool *pool, carina_error *error);

#endif
