/* Batches of sentences: functions of (seed, batch number) and the corpus alone. */
#ifndef TRAIN_TEXT_BATCH_H
#define TRAIN_TEXT_BATCH_H

#include "train/text_contrast.h"

typedef struct masking {
    double share, single;              /* of tokens to guess; of rows with one sentence */
    int cls, sep, pad, mask, ordinary; /* ids; random words are drawn from ordinary .. vocabulary - 1 */
    int vocabulary;
} masking;

/* Hides tokens of a row: targets gets the true id where a token is to be guessed, -1 elsewhere. Each token but [CLS]
 * and [SEP] is chosen with probability `share`; of the chosen, 80 % become [MASK], 10 % a random word, 10 % stay. */
void text_batch_hide(const masking *m, float *ids, float *targets, int count, random_state *random);

/* One row of `tokens` from one sentence: [CLS] .. [SEP], padded, cut when too long; returns the tokens before padding.
 */
int text_batch_sentence(const masking *m, const text_sentence *s, int tokens, float *ids, float *mask);

/* rows [rows, tokens] of training sentences, one or as many as fit, with words hidden. */
void text_batch_masked(const masking *m, const text_corpus *c, uint64_t seed, uint64_t batch, int rows, int tokens,
                       float *ids, float *mask, float *targets);

typedef struct text_pairs {
    const text_part *part;
    const text_contrast *contrast; /* of that part; NULL: no opposites */
    double opposed;                /* share of pairs that come with their opposite, below 1 */
} text_pairs;

/* z [pairs] and t [pairs] that say the same, of groups drawn at random; the same sentence twice where the group has no
 * other. Of about `opposed` of the pairs, two side by side are a denial of a finding (every finding as often) and its
 * affirmation. */
void text_batch_pairs(const text_pairs *from, uint64_t seed, uint64_t batch, int pairs, uint32_t *z, uint32_t *t);

#endif
