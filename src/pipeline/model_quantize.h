/* A Gemma 3 packed in fewer bits and kept as a GGUF file, with the error that this caused.
 *
 * Rows are read from the source, packed by the same code as when a folder is packed while it is loaded, and written:
 * the file loads to the same bits. Q8 becomes Q8_0, Q4 Q4_0, BF16 BF16; norms are f32 (1 + w, rounded once, as the
 * forward pass would). No more than some rows of a matrix are in memory. Tokenizer and chat template go into the file
 * as they are given.
 */
#ifndef PIPELINE_MODEL_QUANTIZE_H
#define PIPELINE_MODEL_QUANTIZE_H

#include "base/threads.h"
#include "format/gguf_write.h"
#include "model/gemma3.h"

typedef struct quantize_matrix {
    char name[64];
    int64_t outputs, inputs;
    quantized_error error;
} quantize_matrix;

typedef struct quantize_result {
    quantize_matrix matrices[GEMMA3_MAX_SLOTS];
    int count;
    quantized_error error;              /* of all together */
    uint64_t bytes_before, bytes_after; /* of the tensors */
} quantize_result;

typedef struct quantize_options {
    quantized_kind kind;        /* Q8, Q4 or BF16 */
    thread_pool *pool;          /* borrowed, may be NULL */
    bool shown;                 /* with a line of progress */
    const gguf_keys *tokenizer; /* of bpe_gguf_keys, borrowed; NULL: none */
    const char *chat_template;  /* borrowed; NULL: none */
} quantize_options;

/* in: a folder or .gguf file whose matrices are f32, f16 or bf16; what is quantised already is refused by name. out
 * appears whole or not at all. Values that are not finite, and sizes that cannot be packed (inputs in groups of 32),
 * are errors that name the tensor. CARINA_ERROR_CANCELLED after an interruption. */
carina_status model_quantize(quantize_result *result, const char *in, const char *out, const quantize_options *options,
                             carina_error *error);

#endif
