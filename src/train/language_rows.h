/* A part of the corpus as rows of `context` tokens, epoch after epoch: row number r of the run is a function of (seed,
 * r) and the corpus alone.
 *
 * Each epoch lays the documents end to end in an order of its own and cuts the result into rows. A token's target is
 * the one after it in its document; the document's last token (<eos>) is only ever a target, and what follows it is
 * not guessed. Packed, the next document begins right there, so that a row is full whatever the documents' lengths,
 * and tokens of a row can look back at the document before. That is on purpose: attention has no mask of documents, a
 * row of padding costs as much as one of text, and <bos> tells the model that something else begins. Not packed, each
 * document begins a row of its own, padded behind its end: for answers to questions, which must not see another one. In
 * both, a document longer than a row goes on in the next row, which does not see this one.
 */
#ifndef TRAIN_LANGUAGE_ROWS_H
#define TRAIN_LANGUAGE_ROWS_H

#include "train/language_corpus.h"

typedef struct language_rows_options {
    int context;
    bool packed;
    bool shuffled; /* false: the documents as they come, in every epoch */
    uint64_t seed;
    int32_t pad; /* the id where a row has nothing; its target is -1, its weight 0 */
} language_rows_options;

typedef struct language_rows {
    const language_corpus *corpus; /* borrowed, as is the part */
    const language_part *part;
    language_rows_options options;
    uint64_t count;  /* rows of an epoch */
    uint64_t epoch;  /* that order and start are of; UINT64_MAX: of none */
    uint32_t *order; /* [documents] */
    uint64_t *start; /* [documents + 1] place of each in that order's first token */
} language_rows;

carina_status language_rows_create(language_rows *out, const language_corpus *corpus, const language_part *part,
                                   const language_rows_options *options, carina_error *error);
void language_rows_free(language_rows *rows); /* accepts an empty one */

/* ids, targets and weights [context] of row `row` of the run; a weight is 1 where the target counts, else 0. Returns
 * the sum of the weights. */
double language_rows_fill(language_rows *rows, uint64_t row, float *ids, float *targets, float *weights);

#endif
