/* From a language model's logits [V] to the next token.
 *
 * What is done, in this order (that of Hugging Face's generate; llama.cpp divides by the temperature last, so that
 * there top-p and min-p look at the distribution of temperature 1):
 *
 *   mask        tokens whose bit is 0 are out, whatever their logit (text/grammar_matcher.h makes masks)
 *   repetition  penalty r: a token that is among the last `penalty_window` ones has its logit divided by r when it is
 *               above 0 and multiplied by r otherwise, once, however often it is there (Keskar et al. 2019, as in both)
 *   temperature T = 0: the token of the largest logit, nothing further. T > 0: p = softmax(logits / T)
 *   top-k       the k tokens of largest p stay; 0: all
 *   top-p       of those, with p made to sum to 1 again: the fewest tokens, the largest first, that reach a sum of at
 *               least top_p stay; 1: all
 *   min-p       of those: p >= min_p * (the largest p) stay; 0: all
 *   draw        one u in [0, 1) from random_stream(seed, step); the tokens that stayed are walked by rising id until
 *               their sum passes u
 *
 * Tokens of equal logit are ordered by id: the lower one counts as the larger. A logit of minus infinity is a
 * probability of zero. NaN and plus infinity, masked or not, are errors: such a model has failed.
 *
 * Log-probabilities and alternatives are those of the distribution that the model gave: before mask, penalty and
 * temperature. They say what the model thinks, not how likely the draw was.
 *
 * A draw is a function of logits, mask, seed, step and window alone. It is made by one thread, every sum in the order
 * of the ids: nothing depends on the number of threads or on what else is in a batch, if every sequence has a sampler
 * of its own. Nothing is sorted: thresholds are found digit by digit in histograms, in time linear in V.
 */
#ifndef TEXT_SAMPLER_H
#define TEXT_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define SAMPLER_MAX_VOCABULARY   (1 << 24)
#define SAMPLER_MAX_WINDOW       65535
#define SAMPLER_MAX_ALTERNATIVES 32

typedef struct sampler_options {
    float temperature;        /* >= 0; 0: greedy */
    int top_k;                /* >= 0; 0: off */
    float top_p;              /* (0, 1]; 1: off */
    float min_p;              /* [0, 1); 0: off */
    float repetition_penalty; /* > 0; 1: off */
    int penalty_window;       /* tokens, 0 .. SAMPLER_MAX_WINDOW; 0 only while the penalty is off */
    int alternatives;         /* how many of the likeliest tokens sampler_next tells, 0 .. SAMPLER_MAX_ALTERNATIVES */
    bool no_log_probability;  /* draws have none (NaN): saves an exponential for each token of the vocabulary */
    uint64_t seed;
} sampler_options;

typedef struct sampler_choice {
    int token;
    float log_probability; /* natural logarithm, of the model's own distribution */
} sampler_choice;

typedef struct sampler_draw {
    int token;
    float log_probability;
    int alternative_count; /* less than asked for where fewer tokens have a probability above zero */
    sampler_choice alternatives[SAMPLER_MAX_ALTERNATIVES]; /* the likeliest first */
} sampler_draw;

typedef struct sampler sampler;

/* Greedy, everything else off. */
sampler_options sampler_defaults(void);

/* For logits of `vocabulary` values; takes about 20 bytes for each. options NULL: the defaults. */
carina_status sampler_make(sampler **out, int vocabulary, const sampler_options *options, carina_error *error);
void sampler_free(sampler *s); /* accepts NULL */

/* Whether logits [vocabulary] are what a model can have meant, and the largest of them. CARINA_ERROR_ARGUMENT names the
 * first that is NaN or plus infinity, or says that all are minus infinity. */
carina_status sampler_check_logits(float *largest, const float *logits, int vocabulary, carina_error *error);

/* logits [vocabulary]; mask: bit (id % 64) of word (id / 64), or NULL: all tokens. Changes nothing that the next draw
 * depends on: called twice it says the same twice. */
carina_status sampler_next(sampler_draw *out, sampler *s, const float *logits, const uint64_t *mask,
                           carina_error *error);

/* The token now stands in the text: it enters the window, and the step goes on by one. */
carina_status sampler_accept(sampler *s, int token, carina_error *error);

/* Tokens that were there before (the prompt, when the penalty shall count it): the window alone. */
carina_status sampler_accept_prompt(sampler *s, const int *tokens, uint64_t count, carina_error *error);

/* As after sampler_make, for another text. */
void sampler_reset(sampler *s);

#endif
