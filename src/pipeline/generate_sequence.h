/* One sequence of a generator: its text so far as rows, and what draws the next token of it. Of generate*.c alone; the
 * generator owns sessions and steps. */
#ifndef PIPELINE_GENERATE_SEQUENCE_H
#define PIPELINE_GENERATE_SEQUENCE_H

#include "model/gemma3_session.h"
#include "pipeline/generate.h"
#include "text/grammar_matcher.h"
#include "text/stop_text.h"

typedef struct generate_sequence {
    bool used;
    int64_t order; /* of joining */
    generate_row *rows;
    uint64_t *keys; /* of the rows, for pipeline/prefix_cache.h */
    int64_t count;  /* rows: the prompt and what was drawn, without what slid away */
    int64_t fed;    /* of them the session has seen */
    int64_t context;
    bool reads_whole;        /* its rows say how many follow: the session is for nobody else before all have */
    gemma3_session *session; /* owned; NULL before its first step */
    language_model *model;   /* borrowed */
    const lora *adapter;     /* borrowed, NULL: none */
    sampler *sampler;
    stop_text *stop;
    grammar_matcher *matcher; /* NULL: any text */
    int ends[LANGUAGE_MODEL_MAX_ENDS];
    int end_count;
    int64_t max_tokens, keep;
    generate_text *on_text;
    generate_token *on_token;
    generate_ended *on_end;
    void *receiver;
    bool silent; /* the receiver wants no more */
    generate_result result;
} generate_sequence;

/* *out must stay where it is until it is freed. On failure it is empty. */
carina_status generate_sequence_make(generate_sequence *out, language_model *model, const generate_request *request,
                                     int64_t context, carina_error *error);
void generate_sequence_free(generate_sequence *s);

bool generate_sequence_runs(const generate_sequence *s);
/* All rows are fed, and these are the last one's logits: the next token. The sequence may end with it, or slide. */
void generate_sequence_draw(generate_sequence *s, const float *logits);
/* Ends it here; held-back text is let out unless its receiver wants no more. */
void generate_sequence_end(generate_sequence *s, generate_end end);
void generate_sequence_fail(generate_sequence *s, const carina_error *error);

#endif
