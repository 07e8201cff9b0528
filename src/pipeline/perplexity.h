/* How well a language model foretells a text: the negative log-likelihood of its tokens, and how another version of the
 * model (packed in fewer bits, say) differs from it.
 *
 * A text that is longer than the window is gone through in windows that overlap: the first one scores all its tokens,
 * each later one the next `stride` tokens behind what it has in common with the one before. So every token is scored
 * once and sees at least window - stride tokens before it. Each window begins with `begin` (<bos>, which is not
 * scored): Gemma knows no text without it.
 */
#ifndef PIPELINE_PERPLEXITY_H
#define PIPELINE_PERPLEXITY_H

#include "base/progress.h"
#include "base/threads.h"
#include "model/gemma3.h"
#include "model/lora.h"

#define PERPLEXITY_MAX_WINDOW 131072

typedef struct perplexity_options {
    thread_pool *pool;   /* borrowed, may be NULL */
    int64_t window;      /* tokens that a model sees at most, `begin` included: 2 .. PERPLEXITY_MAX_WINDOW */
    int64_t stride;      /* 1 .. window - 1 */
    int begin;           /* -1: nothing; the text's first token is then not scored */
    const lora *adapter; /* by which the model reads (of perplexity_compare both); NULL: none */
    progress *shown;     /* tokens scored, counted from `shown_before`; NULL: not shown */
    uint64_t shown_before;
} perplexity_options;

typedef struct perplexity_sums {
    int64_t tokens; /* scored */
    double nats;    /* sum of -log p */
} perplexity_sums;

/* Of ids [count], added to *sums. CARINA_ERROR_ARGUMENT: nothing to score, an id outside the vocabulary, a window that
 * makes no sense, a model whose logits are not finite; CARINA_ERROR_CANCELLED after an interruption. */
carina_status perplexity_measure(perplexity_sums *sums, const gemma3 *model, const int32_t *ids, uint64_t count,
                                 const perplexity_options *options, carina_error *error);

double perplexity_mean(const perplexity_sums *sums);  /* nats a token */
double perplexity_value(const perplexity_sums *sums); /* exp of it */
double perplexity_bits_per_byte(const perplexity_sums *sums, uint64_t bytes);

typedef struct perplexity_change {
    perplexity_sums before, after;
    double divergence; /* sum over the tokens of KL(before || after) of what is foretold, in nats */
    int64_t agreed;    /* tokens for which both hold the same one for the likeliest */
} perplexity_change;

/* Two models of one vocabulary over the same text, side by side; added to *change. */
carina_status perplexity_compare(perplexity_change *change, const gemma3 *before, const gemma3 *after,
                                 const int32_t *ids, uint64_t count, const perplexity_options *options,
                                 carina_error *error);

#endif
