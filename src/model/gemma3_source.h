/* A Gemma 3's weights where they lie, a Hugging Face folder or a GGUF file, read a row at a time: for what goes through
 * a model without loading it (checking, quantising).
 */
#ifndef MODEL_GEMMA3_SOURCE_H
#define MODEL_GEMMA3_SOURCE_H

#include "format/gguf.h"
#include "format/tensor_file.h"
#include "model/gemma3.h"

/* A parameter of the model: a matrix, or a norm (one row). */
typedef struct gemma3_source_tensor {
    char name[64]; /* as the model calls it */
    int rank;
    int64_t size[2];
    int64_t rows, columns;
    int slot;                  /* of a matrix, as in gemma3_slots; -1: a norm */
    const named_tensor *named; /* in a folder, else NULL */
    const gguf_tensor *blocks; /* in a GGUF file, else NULL */
} gemma3_source_tensor;

#define GEMMA3_MAX_TENSORS (GEMMA3_MAX_SLOTS + 6 * GEMMA3_MAX_LAYERS + 1)

typedef struct gemma3_source {
    char *path;
    gemma3_config config;
    bool is_gguf;
    tensor_file folder; /* all tensors of the folder, */
    gguf_file gguf;     /* or the file */
    gemma3_source_tensor *tensors;
    int count;
} gemma3_source;

/* Configuration, names and shapes are checked as when loading: every tensor of the model is there, and in a folder none
 * that is neither the model's nor the vision part's. On failure *out is empty. */
carina_status gemma3_source_open(gemma3_source *out, const char *path, carina_error *error);
void gemma3_source_close(gemma3_source *source); /* accepts an empty one */

/* How it is stored: "bf16", "Q4_0". */
const char *gemma3_source_type(const gemma3_source_tensor *tensor);
uint64_t gemma3_source_bytes(const gemma3_source_tensor *tensor);

/* values [columns] as f32, norms as what is added to 1. A value that is not finite is CARINA_ERROR_FORMAT and named. */
carina_status gemma3_source_row(const gemma3_source *source, const gemma3_source_tensor *tensor, int64_t row,
                                float *values, carina_error *error);

/* What the file holds beside the model: the vision part, a GGUF file's own additions. */
int64_t gemma3_source_others(const gemma3_source *source);
/* Reads them all: what is not finite, or of a type that cannot be read, is an error that names it. */
carina_status gemma3_source_check_others(const gemma3_source *source, carina_error *error);

bool gemma3_is_gguf(const char *path); /* by its name's end */

#endif
