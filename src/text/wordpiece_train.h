/* Making a WordPiece vocabulary from sentences (Schuster and Nakajima 2012; Wu et al. 2016, section 4.1).
 *
 * Every word begins as its characters, "l ##u ##n ##g". Then, one at a time, the pair of neighbours a b with the
 * highest count(a b) / (count(a) count(b)) becomes one token: the pair whose joining gains most likelihood for one more
 * token. The result depends on which sentences there were, not on their order.
 */
#ifndef TEXT_WORDPIECE_TRAIN_H
#define TEXT_WORDPIECE_TRAIN_H

#include "text/wordpiece.h"

#define WORDPIECE_TRAIN_MAX_WORDS (1 << 22) /* distinct words */

typedef struct wordpiece_train_options {
    wordpiece_options text; /* how sentences are cut into words, as the tokenizer will */
    int vocabulary_size;    /* tokens wanted, special ones included; fewer when no pair is left */
    int64_t min_frequency;  /* of a pair, to become a token: 2 */
    int alphabet_limit;     /* most characters kept, the frequent ones: 1,000. Words with others are left out */
} wordpiece_train_options;

wordpiece_train_options wordpiece_train_defaults(void); /* 8,000 tokens */

typedef struct wordpiece_trainer wordpiece_trainer;

carina_status wordpiece_trainer_create(wordpiece_trainer **out, const wordpiece_train_options *options,
                                       carina_error *error);
void wordpiece_trainer_free(wordpiece_trainer *t); /* accepts NULL */

/* Counts the words of one sentence. */
carina_status wordpiece_trainer_add(wordpiece_trainer *t, const char *text, uint64_t size, carina_error *error);

/* [PAD] [UNK] [CLS] [SEP] [MASK], the characters as word beginnings and as continuations by code, then the joined
 * tokens in the order of their joining. A size that the characters alone exceed is CARINA_ERROR_ARGUMENT. *out is the
 * caller's (vocabulary_free). Once per trainer. */
carina_status wordpiece_trainer_finish(wordpiece_trainer *t, vocabulary *out, carina_error *error);

#endif
