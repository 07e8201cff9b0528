/* Text from a language model: several sequences at once on one runner.
 *
 *     generator_start(g, &request, &sequence, &error);     // joins, at any time
 *     generator_step(g, &running, &error);                 // every sequence goes on: a token, or a piece of its prompt
 *     generator_result(g, sequence)->end                   // GENERATE_RUNNING until it has ended
 *     generator_release(g, sequence);                      // leaves
 *
 * A step takes the next token of each sequence that is writing, and fills up with prompts that are still being read, in
 * the order in which they came: a long prompt goes in chunks between the others' tokens.
 *
 * A prompt does not pay for a beginning that is known: one of a sequence that ended (pipeline/prefix_cache.h), or of a
 * sequence that runs. One that is just being read by another sequence is waited for, unless it is the beginning
 * of a long prompt that came alone and is read as a whole. Sequences of different adapters (model/lora.h) may run
 * together, but know nothing of each other's texts.
 *
 * What a sequence says does not depend on the number of threads, on what else is in the batch, on chunks, or on what
 * was known beforehand: a row's logits are the same bits, with packed weights and in f32.
 *
 * Text comes out as whole characters of UTF-8, nothing of a stop string in it (text/stop_text.h). Special tokens have
 * no text. Ids that the tokenizer does not have are never drawn.
 */
#ifndef PIPELINE_GENERATE_H
#define PIPELINE_GENERATE_H

#include "model/gemma3_session.h"
#include "model/lora.h"
#include "pipeline/language_model.h"
#include "text/grammar.h"
#include "text/sampler.h"

#define GENERATE_MAX_SEQUENCES 64

typedef struct generator_options {
    thread_pool *pool; /* borrowed, may be NULL */
    int64_t context;   /* rows that a sequence has room for, prompt and answer */
    int64_t chunk;     /* most rows of a step, more than sequences: 512 */
    int sequences;     /* at once, 1 .. GENERATE_MAX_SEQUENCES: 8 */
    int kept;          /* sessions kept for later prompts, 0 .. PREFIX_CACHE_MAX: 4 */
    bool (*goes_on)(
        void *context); /* generator_run asks before each step; false ends it like an interrupt. NULL: yes */
    void *context_of_goes_on;
} generator_options;

generator_options generator_defaults(void); /* a context of 4,096 */

/* One place of a prompt. */
typedef struct generate_row {
    int32_t id;          /* -1 with a vector */
    const float *vector; /* [D], taken as it is; NULL with an id. Borrowed until the sequence is released */
} generate_row;

/* A text's tokens as rows: *rows is malloc'ed. special: with what the tokenizer puts round a text (<bos>). */
carina_status generate_encode(bpe_encoder *encoder, const char *text, uint64_t size, bool special, generate_row **rows,
                              int64_t *count, carina_error *error);

typedef enum generate_end {
    GENERATE_RUNNING,
    GENERATE_END_TOKEN,
    GENERATE_STOP_STRING,
    GENERATE_MAX_TOKENS,
    GENERATE_CONTEXT, /* the context is full */
    GENERATE_CANCELLED,
    GENERATE_FAILED /* result.error says why */
} generate_end;

const char *generate_end_name(generate_end end); /* "end", "stop", "max_tokens", "context", "cancelled", "failed" */

typedef struct generate_result {
    generate_end end;
    carina_error error;           /* of GENERATE_FAILED */
    int64_t prompt_tokens;        /* rows of the prompt */
    int64_t reused;               /* of them: known beforehand */
    int64_t tokens;               /* drawn, an end token included */
    int stop;                     /* of GENERATE_STOP_STRING: which */
    double started, first, ended; /* clock_seconds(): joined, first token drawn, ended */
} generate_result;

/* Receivers; false: no more is wanted, the sequence is cancelled. */
typedef bool generate_text(void *context, const char *text,
                           uint64_t size);                            /* well-formed UTF-8, without a NUL behind */
typedef bool generate_token(void *context, const sampler_draw *draw); /* each drawn one, an end token too */
typedef void generate_ended(void *context, const generate_result *result);

typedef struct generate_request {
    const generate_row *prompt; /* [prompt_count], copied */
    int64_t prompt_count;       /* 1 at least */
    sampler_options sampler;    /* the penalty counts the prompt's tokens */
    const char *const *stops;   /* [stop_count] copied; they end the text, but are no part of it */
    int stop_count;
    const lora *adapter;    /* borrowed until the sequence has ended; NULL: none */
    const grammar *grammar; /* borrowed; NULL: any text */
    const int *ends;        /* [end_count] copied; NULL: the model's. Under a grammar they must be NULL */
    int end_count;
    int64_t max_tokens; /* 1 at least */
    int64_t keep;       /* when the context is full: -1: the text ends; else the first `keep` rows stay, and of the rest
                           the newest that fill half of the room, which are read anew as if they were a prompt */
    generate_text *on_text;   /* may be NULL */
    generate_token *on_token; /* may be NULL */
    generate_ended *on_end;   /* may be NULL; generator_run calls it for requests that are refused too */
    void *context;            /* for all three */
} generate_request;

generate_request generate_request_defaults(void); /* greedy, 256 tokens, the text ends with the context */

typedef struct generator generator;

/* Borrows the model, which makes its prefix tree for the first grammar. */
carina_status generator_create(generator **out, language_model *model, const generator_options *options,
                               carina_error *error);
void generator_free(generator *g); /* accepts NULL; sequences that run end without a word */

/* Refused: no place is free, a prompt that is empty, too long for the context (unless it may slide) or holds what the
 * model does not know, options out of range, an adapter for another model. *sequence: its number until it is released.
 */
carina_status generator_start(generator *g, const generate_request *request, int *sequence, carina_error *error);
/* *running: sequences that have not ended. On an error no sequence has gone on; where a sequence alone fails, its
 * result says so. */
carina_status generator_step(generator *g, int *running, carina_error *error);
/* Ends it as it stands; what was held back is let out. No effect on one that has ended. */
void generator_cancel(generator *g, int sequence);
const generate_result *generator_result(const generator *g, int sequence); /* borrowed until it is released */
void generator_release(generator *g, int sequence);

/* All requests, as many at once as there are places; results [count]. An interrupt (base/progress.h) cancels what runs,
 * and what has not begun. A request that is refused fails alone. */
carina_status generator_run(generator *g, const generate_request *requests, int count, generate_result *results,
                            carina_error *error);

/* ---- sessions that outlive the generator ---- */

/* How its sessions are made. */
typedef struct generator_session_kind {
    const gemma3_config *config;
    tensor_type type;
    int64_t tokens, chunk;
} generator_session_kind;
generator_session_kind generator_sessions(const generator *g);

/* The session of what ended last, which stays the generator's. *tokens: the ids that it has seen, malloc'ed. Both are
 * NULL where nothing is kept, or has vectors in it. It must not be kept while the generator goes on. */
carina_status generator_kept(const generator *g, gemma3_session **session, int32_t **tokens, carina_error *error);
/* The reverse: prompts to come that begin with these tokens go on from this session. Takes it over, also on failure
 * (it was made in another way). tokens [its length]. */
carina_status generator_keep(generator *g, gemma3_session *session, const int32_t *tokens, carina_error *error);

#endif
