/* The keys of a training configuration that only the language task has (task: language); see language_task.h. */
#ifndef TRAIN_LANGUAGE_SETTINGS_H
#define TRAIN_LANGUAGE_SETTINGS_H

#include "format/config.h"
#include "model/gemma3.h"

typedef enum language_document_kind {
    LANGUAGE_DOCUMENT_PARAGRAPH, /* empty lines part them */
    LANGUAGE_DOCUMENT_LINE,
    LANGUAGE_DOCUMENT_FILE
} language_document_kind;

typedef struct language_settings {
    char *tokenizer; /* a tokenizer.json */
    int vocabulary;  /* rows of the table; 0: the tokenizer's */
    int width, layers, heads, key_heads, head_width, ffn_width;
    int window, global_every;
    double local_base, global_base, global_scale, query_scalar; /* query_scalar 0: head_width */
    bool tied;
    config_texts texts, validation_texts; /* plain files */
    int document;                         /* language_document_kind: what a document is in them */
    char *end_token;                      /* ends every document */
    int context;                          /* tokens of a row */
    bool packed;                          /* rows go on with the next document; false: each begins with one */
    int output_type;                      /* 0 f32, 1 bf16 */
} language_settings;

extern const config_schema language_settings_schema;

/* All but the vocabulary, if that is the tokenizer's (0 then). */
gemma3_config language_settings_model(const language_settings *s);

#endif
