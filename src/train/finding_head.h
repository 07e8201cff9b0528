/* A linear layer on what each region gathers from the film (apm_outputs.gathered) that tells which findings its sentence
 * names: in training only, beside the alignment, and no part of the saved model.
 *
 * The alignment pulls a region towards its whole sentence, of which there are thousands, most of them rare; "picc" is
 * one finding wherever it stands. The loss is the binary cross-entropy, summed over the findings, averaged over the
 * regions that have a box and a sentence.
 */
#ifndef TRAIN_FINDING_HEAD_H
#define TRAIN_FINDING_HEAD_H

#include "model/layers.h"
#include "train/sentence_vectors.h"

typedef struct finding_head {
    const atlas *regions; /* borrowed */
    int count;            /* F: different findings of the region set, in its order */
    const char **names;   /* [F], the region set's */
    parameters *parameters;
    linear_layer layer; /* D -> F */
    uint8_t *named;     /* [sentences, F] 1 or 0; NULL before finding_head_read */
} finding_head;

/* width: D. A region set that knows of no finding is an error. */
carina_status finding_head_create(finding_head **out, const atlas *regions, int width, random_state *random,
                                  carina_error *error);
void finding_head_free(finding_head *head); /* accepts NULL */

/* What each sentence names; findings that the region set does not have are left out. The texts must still be there.
 * Once. */
carina_status finding_head_read(finding_head *head, const sentence_vectors *sentences, carina_error *error);
/* Targets [rows, F] of regions whose sentences are number[rows]; NaN, which the loss leaves out, where the number is
 * SENTENCE_VECTORS_NONE. */
void finding_head_targets(const finding_head *head, const uint32_t *number, int64_t rows, float *targets);

/* gathered [B, N, D] f32, targets [B, N, F]: the loss. */
tensor *finding_head_record(graph *g, const finding_head *head, tensor *gathered, tensor *targets);

#endif
