/* A linear layer on what each region gathers from the film (apm_outputs.gathered) that tells which findings its
 * sentence names: in training only, beside the alignment, and no part of the saved model.
 *
 * The alignment pulls a region towards its whole sentence, of which there are thousands, most of them rare; "picc" is
 * one finding wherever it stands. The loss is the binary cross-entropy, summed over the findings, averaged over the
 * regions that have a box and a sentence.
 *
 * With patches, the same findings are also told from what the encoded patches within the region's box say together
 * (op_box_evidence): only the region is known, not where in it a nodule lies, and the patch that shows it best learns
 * most ("multiple instance learning", Ilse et al. 2018, arXiv 1802.04712, with the log of summed odds). Module F then
 * finds in the patches what it has to gather. The loss is the sum of both.
 *
 * With masks (data/finding_masks.h), where the films have them, each encoded patch is told which findings it shows: a
 * third linear layer, since a film may show what its report does not say.
 */
#ifndef TRAIN_FINDING_HEAD_H
#define TRAIN_FINDING_HEAD_H

#include "atlas/sentence_findings.h"
#include "model/apm.h"
#include "train/sentence_vectors.h"

typedef struct finding_head {
    const atlas *regions;                      /* borrowed */
    int count;                                 /* F: different findings of the region set, in its order */
    const char *names[SENTENCE_FINDING_NAMES]; /* [F], the region set's */
    parameters *parameters;
    linear_layer layer;       /* D -> F */
    linear_layer patch_layer; /* the same of one patch; empty without patches */
    linear_layer mask_layer;  /* what a patch shows; empty without masks */
    uint8_t *named;           /* [sentences, F] 1 or 0; NULL before finding_head_read */
} finding_head;

/* width: D; patches: told from patches too; masks: patches are told what they show. A region set that knows of no
 * finding is an error. */
carina_status finding_head_create(finding_head **out, const atlas *regions, int width, bool patches, bool masks,
                                  random_state *random, carina_error *error);
void finding_head_free(finding_head *head); /* accepts NULL */
/* Its layers as another run's checkpoint has them; what the file lacks (a model has none) stays as it is. What a patch
 * shows begins as what its evidence tells, where a run told that but had no masks. */
carina_status finding_head_load(finding_head *head, const char *path, carina_error *error);

/* What each sentence names; findings that the region set does not have are left out. The texts must still be there.
 * Once. */
carina_status finding_head_read(finding_head *head, const sentence_vectors *sentences, carina_error *error);
/* Targets [rows, F] of regions whose sentences are number[rows]; NaN, which the loss leaves out, where the number is
 * SENTENCE_VECTORS_NONE. */
void finding_head_targets(const finding_head *head, const uint32_t *number, int64_t rows, float *targets);

/* boxes [B, N, 4], the true ones; targets [B, N, F]: the loss. */
tensor *finding_head_record(graph *g, const finding_head *head, const apm_outputs *out, tensor *boxes, tensor *targets);
/* targets [B, P, F]: the binary cross-entropy of what patches show, averaged over all that is known. */
tensor *finding_head_record_masks(graph *g, const finding_head *head, const apm_outputs *out, tensor *targets);

#endif
