/* Making a tokenizer of Gemma's kind from text (byte pair encoding: Sennrich et al. 2016).
 *
 * Lines are cut into words: letters, single digits, punctuation, each with the blank in front of it, and runs of
 * blanks. Then, one at a time, the most frequent pair of neighbours within words becomes a token; of equals the one of
 * the older tokens. The result depends on which lines there were, not on their order.
 *
 * Ids: <pad> <eos> <bos> <unk> <mask> <start_of_turn> <end_of_turn>, the bytes <0x00> .. <0xFF>, the characters by
 * code, then the joined tokens in the order of their joining. Characters that are not kept are spelled as bytes.
 */
#ifndef TEXT_BPE_TRAIN_H
#define TEXT_BPE_TRAIN_H

#include "text/bpe.h"

#define BPE_TRAIN_MAX_WORDS (1 << 22) /* distinct words */

typedef struct bpe_train_options {
    int vocabulary_size;   /* tokens wanted; fewer when no pair is left */
    int64_t min_frequency; /* of a pair, to become a token: 2 */
    int alphabet_limit;    /* most characters kept, the frequent ones: 1,000 */
} bpe_train_options;

bpe_train_options bpe_train_defaults(void); /* 8,000 tokens */

typedef struct bpe_trainer bpe_trainer;

carina_status bpe_trainer_create(bpe_trainer **out, const bpe_train_options *options, carina_error *error);
void bpe_trainer_free(bpe_trainer *t); /* accepts NULL */
/* Counts the words of one line; malformed bytes are passed over. */
carina_status bpe_trainer_add(bpe_trainer *t, const char *line, uint64_t size, carina_error *error);
/* *out is the caller's (bpe_free, bpe_write). A size that bytes and characters alone exceed is CARINA_ERROR_ARGUMENT.
 * Once per trainer. */
carina_status bpe_trainer_finish(bpe_trainer *t, bpe **out, carina_error *error);

#endif
