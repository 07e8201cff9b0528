/* Which groups of sentences deny a finding, and which affirm it: from these, text_batch.h draws pairs that say the
 * opposite of each other into one batch. Drawn by chance they hardly ever meet there, since denials are few, and an
 * encoder that never meets them learns what a sentence speaks of but not whether it says yes or no.
 */
#ifndef TRAIN_TEXT_CONTRAST_H
#define TRAIN_TEXT_CONTRAST_H

#include "train/text_corpus.h"

typedef struct text_contrast {
    uint32_t count;     /* findings that some groups deny and others affirm */
    uint32_t *begin[2]; /* [count + 1] into groups; [0] of those that deny, [1] of those that affirm */
    uint32_t *groups[2];
} text_contrast;

/* Groups of a part, by their place in it. On failure *out is empty. */
carina_status text_contrast_create(text_contrast *out, const text_corpus *corpus, const text_part *part,
                                   carina_error *error);
void text_contrast_free(text_contrast *c); /* accepts an empty one */

#endif
