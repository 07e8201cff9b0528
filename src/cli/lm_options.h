/* What `carina lm generate` and `carina lm chat` share: the model's and the sampler's options, and opening what they
 * name. */
#ifndef CLI_LM_OPTIONS_H
#define CLI_LM_OPTIONS_H

#include "cli/options.h"
#include "pipeline/generate.h"

typedef struct lm_values {
    const char *model, *tokenizer, *adapter;
    int weights;
    int64_t threads, context, slide, max_tokens;
    double temperature, top_p, min_p, repetition_penalty;
    int64_t top_k, penalty_window, seed;
    option_list stops;
} lm_values;

/* A context of 0: what is needed. */
#define LM_DEFAULTS \
    { .slide = -1, .max_tokens = 256, .top_p = 1, .repetition_penalty = 1, .penalty_window = 256 }

/* Entries of an option table whose structure has a member `lm` of this type. */
#define LM_MODEL_OPTIONS(type)                                                                                           \
    {                                                                                                                    \
        "model",                                                                                                         \
        'm',                                                                                                             \
        OPTION_FILE,                                                                                                     \
        "DIR|FILE",                                                                                                      \
        "Hugging Face folder, or a .gguf file (required)",                                                               \
        offsetof(type, lm.model),                                                                                        \
        0,                                                                                                               \
        0},                                                                                                              \
        {"tokenizer", 0, OPTION_FILE, "FILE", "tokenizer.json (default: the model's own)", offsetof(type, lm.tokenizer), \
         0,           0},                                                                                                \
        {"weights",                                                                                                      \
         'w',                                                                                                            \
         OPTION_CHOICE,                                                                                                  \
         "stored|q4|q8|bf16",                                                                                            \
         "a folder's weights: in f32 (stored, the default), or packed while they are read",                              \
         offsetof(type, lm.weights),                                                                                     \
         0,                                                                                                              \
         0},                                                                                                             \
        {"lora",                                                                                                         \
         0,                                                                                                              \
         OPTION_FILE,                                                                                                    \
         "DIR",                                                                                                          \
         "adapter in PEFT's form, computed beside the weights",                                                          \
         offsetof(type, lm.adapter),                                                                                     \
         0,                                                                                                              \
         0},                                                                                                             \
        OPTION_THREADS(type, lm.threads)
#define LM_TEXT_OPTIONS(type)                                                                                            \
    {                                                                                                                    \
        "max-tokens", 'n', OPTION_INTEGER, "N", "longest answer (default 256)", offsetof(type, lm.max_tokens), 1,        \
        1000000},                                                                                                        \
        {"stop", 0, OPTION_LIST, "TEXT", "end an answer before this text; may be given again", offsetof(type, lm.stops), \
         0,      0},                                                                                                     \
        {"slide",                                                                                                        \
         0,                                                                                                              \
         OPTION_INTEGER,                                                                                                 \
         "N",                                                                                                            \
         "when the context is full, keep the first N tokens and drop the oldest others",                                 \
         offsetof(type, lm.slide),                                                                                       \
         0,                                                                                                              \
         1000000},                                                                                                       \
        {"temperature",                                                                                                  \
         0,                                                                                                              \
         OPTION_NUMBER,                                                                                                  \
         "T",                                                                                                            \
         "0 takes the likeliest token (default 0)",                                                                      \
         offsetof(type, lm.temperature),                                                                                 \
         0,                                                                                                              \
         100},                                                                                                           \
        {"top-k",                                                                                                        \
         0,                                                                                                              \
         OPTION_INTEGER,                                                                                                 \
         "N",                                                                                                            \
         "draw from the N likeliest tokens (default 0: all)",                                                            \
         offsetof(type, lm.top_k),                                                                                       \
         0,                                                                                                              \
         10000000},                                                                                                      \
        {"top-p",                                                                                                        \
         0,                                                                                                              \
         OPTION_NUMBER,                                                                                                  \
         "P",                                                                                                            \
         "draw from the likeliest that have this probability together (default 1: all)",                                 \
         offsetof(type, lm.top_p),                                                                                       \
         1e-6,                                                                                                           \
         1},                                                                                                             \
        {"min-p",                                                                                                        \
         0,                                                                                                              \
         OPTION_NUMBER,                                                                                                  \
         "P",                                                                                                            \
         "draw from those with at least this part of the largest (default 0: all)",                                      \
         offsetof(type, lm.min_p),                                                                                       \
         0,                                                                                                              \
         0.999},                                                                                                         \
        {"repetition-penalty",                                                                                           \
         0,                                                                                                              \
         OPTION_NUMBER,                                                                                                  \
         "R",                                                                                                            \
         "make tokens that were there less likely (default 1: off)",                                                     \
         offsetof(type, lm.repetition_penalty),                                                                          \
         0.01,                                                                                                           \
         100},                                                                                                           \
        {"penalty-window",                                                                                               \
         0,                                                                                                              \
         OPTION_INTEGER,                                                                                                 \
         "N",                                                                                                            \
         "tokens that the penalty looks back over (default 256)",                                                        \
         offsetof(type, lm.penalty_window),                                                                              \
         1,                                                                                                              \
         SAMPLER_MAX_WINDOW},                                                                                            \
    {                                                                                                                    \
        "seed", 's', OPTION_INTEGER, "N", "of the draws (default 0)", offsetof(type, lm.seed), 0, 9007199254740992       \
    }

typedef struct lm_engine {
    thread_pool *pool;
    language_model *model;
    lora *adapter; /* NULL: none */
    bpe_encoder *encoder;
} lm_engine;

carina_status lm_engine_open(lm_engine *out, const lm_values *v, carina_error *error);
void lm_engine_close(lm_engine *e);

/* Says on standard error what is allowed, and no good idea: texts of so many tokens when the model was trained for
 * shorter ones, more threads than processors. */
void lm_warn(const lm_engine *e, int64_t tokens);

/* For generator_options.goes_on: no longer when nobody reads the answers. */
bool lm_goes_on(void *context);

/* Sampler, stop strings, lengths, adapter. Borrows the stop strings and the adapter. */
generate_request lm_request(const lm_engine *e, const lm_values *v);

#endif
