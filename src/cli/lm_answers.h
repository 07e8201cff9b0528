/* The answers of `carina lm generate` on their way out: in the order of their prompts, the first one that is not
 * complete as it comes, the others when it is their turn. JSON: an object a line when an answer is complete. */
#ifndef CLI_LM_ANSWERS_H
#define CLI_LM_ANSWERS_H

#include "pipeline/generate.h"

typedef struct lm_token {
    int id;
    float log_probability;
} lm_token;

typedef struct lm_answers lm_answers;

typedef struct lm_answer {
    lm_answers *all;
    int index;
    char *text;
    uint64_t size, room, shown;
    lm_token *tokens;
    sampler_choice *alternatives; /* [token_room, all->alternatives] */
    uint16_t *alternative_counts;
    uint64_t token_count, token_room;
    generate_result result; /* when it has ended */
} lm_answer;

struct lm_answers {
    const language_model *model;
    bool json, with_probabilities;
    bool terminal; /* text goes to one: its control characters are shown */
    int alternatives;
    lm_answer *items; /* [count] */
    int count, current;
    int first;          /* added to the numbers that are shown */
    bool failed;        /* an answer failed, or was cut by the context */
    carina_error error; /* of memory */
};

/* Borrows the model. */
carina_status lm_answers_make(lm_answers *out, const language_model *model, int count, bool json, int64_t logprobs,
                              carina_error *error);
void lm_answers_free(lm_answers *a);
/* Sets the request's receivers. */
void lm_answers_attach(lm_answers *a, int index, generate_request *request);

#endif
