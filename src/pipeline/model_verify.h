/* What a model on disk is, and whether it is whole: an APM's file, a Gemma 3 folder or GGUF file, a BERT folder.
 *
 * A language model is read a few rows at a time and never loaded, so that one larger than the memory can be verified.
 */
#ifndef PIPELINE_MODEL_VERIFY_H
#define PIPELINE_MODEL_VERIFY_H

#include "base/threads.h"
#include "model/gemma3.h"

typedef enum model_kind { MODEL_KIND_APM, MODEL_KIND_LANGUAGE, MODEL_KIND_TEXT_ENCODER } model_kind;

#define MODEL_REPORT_TYPES 16

typedef struct model_report {
    model_kind kind;
    bool is_gguf;
    int64_t weights; /* numbers */
    int64_t tensors; /* of the model */
    int64_t others;  /* tensors beside it: of the vision part, or of a GGUF file's own */
    uint64_t bytes;  /* of the tensors; 0: not known (what is loaded) */
    struct {
        char name[16]; /* "bf16", "Q4_0" */
        int64_t tensors, weights;
    } types[MODEL_REPORT_TYPES];
    int type_count;
    bool verified;        /* all values were read: */
    uint64_t fingerprint; /* model_fingerprint of the weights as f32 */
    gemma3_config config; /* of a language model */
} model_report;

/* "Gemma 3 language model" */
const char *model_kind_name(model_kind kind);

/* Whether that is a language model's or text encoder's path, not a name to be looked for: a .gguf file, or a folder
 * with a config.json. */
bool model_is_path(const char *text);
/* Which kind lies there, by config.json's model_type, or the file's name. CARINA_ERROR_UNSUPPORTED names what it is
 * instead. */
carina_status model_kind_find(model_kind *out, const char *path, carina_error *error);

/* A language model by its headers alone: configuration, names, shapes, types. */
carina_status model_look(model_report *out, const char *path, carina_error *error);
/* Any kind; every tensor of it is read and must be finite and of the right shape. The first fault is the error, and
 * names file and tensor. CARINA_ERROR_CANCELLED after an interruption. shown: with a line of progress. */
carina_status model_verify(model_report *out, const char *path, thread_pool *pool, bool shown, carina_error *error);

#endif
