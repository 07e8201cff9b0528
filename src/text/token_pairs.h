/* Pairs of neighbouring tokens with how often they stand and in which words: what the trainers of vocabularies join
 * tokens by (bpe_train.c, wordpiece_train.c). */
#ifndef TEXT_TOKEN_PAIRS_H
#define TEXT_TOKEN_PAIRS_H

#include <stdbool.h>

#include "text/text_table.h"

typedef struct token_pair {
    int32_t left, right;
    int64_t count; /* the trainer's */
    list words;    /* of uint32_t: where it stands or stood; the trainer's */
} token_pair;

/* Zeroed: empty. */
typedef struct token_pairs {
    list all;        /* of token_pair, in the order in which they came */
    uint32_t *slots; /* hash table over them: index + 1 */
    uint64_t slot_count;
} token_pairs;

void token_pairs_free(token_pairs *pairs); /* accepts an empty one */
/* Both are borrowed until the next token_pairs_of. */
token_pair *token_pairs_at(const token_pairs *pairs, uint64_t index);
/* The pair, a new one at the first call; NULL: no memory. */
token_pair *token_pairs_of(token_pairs *pairs, int32_t left, int32_t right);

#endif
