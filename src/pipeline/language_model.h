/* A language model as a user names it: weights, tokenizer, and which tokens end an answer.
 *
 *     FOLDER       Hugging Face's: config.json, weights (safetensors, whole or in shards), tokenizer.json,
 *                  generation_config.json if there is one
 *     FILE.gguf    with its own tokenizer, or a tokenizer.json that is named or lies beside it
 *
 * pipeline/language_model_files.h says where tokenizer and end tokens are looked for.
 *
 * A model may have more rows than the tokenizer has ids (padding): those are never sampled, `known` says which are. A
 * tokenizer with more ids than the model has rows is of another model, and refused; but for special tokens beyond them
 * (Gemma 3 1B comes with <image_soft_token>, which only the larger ones know), which no prompt may hold.
 */
#ifndef PIPELINE_LANGUAGE_MODEL_H
#define PIPELINE_LANGUAGE_MODEL_H

#include "base/threads.h"
#include "model/gemma3.h"
#include "text/bpe.h"
#include "text/token_trie.h"

#define LANGUAGE_MODEL_MAX_ENDS 64

typedef enum language_model_weights {
    LANGUAGE_MODEL_AS_STORED, /* a folder's in f32, a GGUF file's as it has them */
    LANGUAGE_MODEL_Q4,        /* a folder's packed while they are read */
    LANGUAGE_MODEL_Q8,
    LANGUAGE_MODEL_BF16
} language_model_weights;

typedef struct language_model_options {
    const char *tokenizer; /* tokenizer.json; NULL: the folder's or the file's own */
    language_model_weights weights;
    const char *cache_folder; /* bpe_read's, may be NULL */
    thread_pool *pool;        /* borrowed while loading, may be NULL */
} language_model_options;

/* All of it is owned by the structure, and constant once it is loaded (language_model_trie apart). */
typedef struct language_model {
    gemma3 *model;
    bpe *tokenizer;
    bool packed; /* weights are packed: a row's logits are the same bits whatever else is in the batch */
    int ends[LANGUAGE_MODEL_MAX_ENDS];
    token_table table; /* by id, `count` is the model's vocabulary; the ends above */
    uint64_t *known;   /* bit (id % 64) of word (id / 64): the tokenizer has this token; NULL: all */
    char *bytes;       /* what table.texts point into */
    token_trie trie;   /* of table, when it was wanted */
} language_model;

/* Everything but the weights is read and held against each other first; memory that would not suffice is said before
 * they are loaded. Errors name file and key. */
carina_status language_model_load(language_model **out, const char *path, const language_model_options *options,
                                  carina_error *error);
/* Takes over both, also when it fails; for models that are made here. ends [end_count] may be NULL: as the tokenizer
 * says. name is for messages. */
carina_status language_model_make(language_model **out, const char *name, gemma3 *model, bpe *tokenizer,
                                  const int *ends, int end_count, carina_error *error);
void language_model_free(language_model *m); /* accepts NULL */

/* The vocabulary as a prefix tree, for grammars; made at the first call, borrowed. Not by two threads at once. */
carina_status language_model_trie(language_model *m, const token_trie **out, carina_error *error);

/* Whether the model has a row for the id and the tokenizer a token. */
bool language_model_knows(const language_model *m, int64_t id);

#endif
