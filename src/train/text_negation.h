/* Does an encoder hear "no"? Sentences that deny a finding against those that affirm it, among sentences with meanings
 * (text_corpus.h). "No effusion." must lie nearer to "The angles are clear." than to "Small effusion.", whose words it
 * shares.
 *
 * A triple is a sentence that denies a finding, another that denies it, and one that affirms it; it is right when the
 * two that deny are nearer to each other. Chance is one half. In a misleading triple the first shares more of its words
 * with the one that affirms: whoever only compares words gets none of them right.
 */
#ifndef TRAIN_TEXT_NEGATION_H
#define TRAIN_TEXT_NEGATION_H

#include "train/text_corpus.h"

typedef struct text_negation {
    uint64_t denials; /* (sentence, finding it denies) with triples */
    double right;     /* share of right triples, mean over denials; 0 without any */
    uint64_t misleading, misleading_right;
} text_negation;

/* The sentences with these numbers, tokenised, and their vectors [count, width] of unit length. */
carina_status text_negation_measure(text_negation *out, const text_corpus *corpus, const uint32_t *sentences,
                                    uint32_t count, const float *vectors, int64_t width, carina_error *error);

#endif
