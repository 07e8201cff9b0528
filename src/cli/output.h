/* What a command may write over: one rule for all commands, held before the work that makes the output.
 *
 * An output file must be writable now; it must be no file that the command reads, nor an existing one within a folder
 * that it reads; a file that is there already is replaced only when it is of the same kind (or empty); and no two
 * outputs are one file. Names are compared with links resolved.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>

#include "base/error.h"

/* In the head of Carina's pages. */
#define OUTPUT_PAGE_MARK "name=\"generator\" content=\"Carina\""

typedef enum output_kind {
    OUTPUT_JSON,         /* an object, or one a line */
    OUTPUT_ARRAY,        /* .npy */
    OUTPUT_DATABASE,     /* index/index_file.h */
    OUTPUT_MODEL,        /* model/model_file.h; a training checkpoint is none */
    OUTPUT_GGUF,         /* format/gguf.h */
    OUTPUT_TENSORS,      /* safetensors of no format: what models and checkpoints have is missing */
    OUTPUT_TOKENIZER,    /* a tokenizer.json: an object with model.vocab */
    OUTPUT_CONVERSATION, /* an object with the array messages; no other JSON, such as a model's config.json */
    OUTPUT_SESSION,      /* model/gemma3_session_file.h */
    OUTPUT_PICTURE,      /* PNG of Carina's (image/draw.h) */
    OUTPUT_PAGE,         /* HTML of Carina's: generator says so */
} output_kind;

typedef struct output_file {
    const char *option; /* "--json", for messages */
    const char *path;   /* NULL: not asked for */
    output_kind kind;
    bool onto_model; /* may be the model that is read: it is written again with something added */
} output_file;

/* What the command reads: files and folders. */
typedef struct output_reading {
    const char *const *paths; /* NULL entries are passed over */
    int path_count;
    char *const *words; /* "TYPE=PATH" */
    int word_count;
    bool with_model;
    const char *model; /* as in pipeline/model_path.h; one that is not found is left for its reader to say */
} output_reading;

/* The error names the file, why, and the option that wants another. */
carina_status output_check(const output_file *files, int count, const output_reading *reading, carina_error *error);

#endif
