/* How good a text encoder is on sentences that it was not trained on: words guessed, and whether what is alike is near.
 */
#ifndef TRAIN_TEXT_MEASURE_H
#define TRAIN_TEXT_MEASURE_H

#include "train/run_log.h"
#include "train/text_batch.h"
#include "train/text_negation.h"

#define TEXT_MEASURE_ROWS      64
#define TEXT_MEASURE_SENTENCES 1024 /* at most so many, spread evenly over the set */
#define TEXT_MEASURE_VALUES    13

typedef struct text_measure {
    graph *g;                /* owned by the task */
    tensor *ids, *mask;      /* [TEXT_MEASURE_ROWS, tokens] */
    tensor *logits, *pooled; /* [R, tokens, V], [R, D], f32 */
    const text_corpus *corpus;
    const masking *masks;
    int tokens;
    float tau, target_tau;
    uint64_t seed;
} text_measure;

typedef struct text_figures {
    uint64_t sentences;
    uint64_t words, words_right, words_usual; /* hidden words; guessed; guessed by always saying the most usual word */
    double masked_loss;
    double similarity_loss;              /* of the training's kind, on pairs of the set */
    double correlation;                  /* Pearson's, of cosines with overlaps of meaning, over all pairs */
    uint64_t partnered, partner_nearest; /* sentences with one of the same meaning; it is the nearest */
    double partner_chance;               /* expected of a random neighbour */
    text_negation negation;
} text_figures;

/* The same sentences and hidden words at every call. */
carina_status text_measure_run(text_measure *m, text_figures *out, carina_error *error);

/* Returns how many; those of negation only where the set has denials. */
int text_figures_values(const text_figures *f, run_log_value values[TEXT_MEASURE_VALUES]);
void text_figures_note(const text_figures *f, char *text, size_t size);

#endif
