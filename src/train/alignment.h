/* Regions and sentences side by side: AnatomiX's alignment (arXiv 2601.03191, "APM training", L_align).
 *
 * The text encoder embeds every sentence once and is gone before training begins (train/sentence_vectors.h); its
 * projector is trained with the APM. The loss spans all regions of all films of a step, M = accumulate x B x N pairs,
 * of which those without a box or a sentence take no part. It is a graph of its own, over features that other graphs
 * have made, and gives their gradient back: so a step of several batches has the same loss as one large batch ("the
 * gradient cache", Gao et al. 2021, arXiv 2101.06983):
 *
 *     each batch: forward -> features -> alignment_place
 *     alignment_run: the loss; the projector's gradients; the gradient with respect to the features
 *     each batch: forward again -> alignment_slope as the features' gradient -> backward
 *
 * Validation asks how often the right sentence is the nearest (recall@1).
 */
#ifndef TRAIN_ALIGNMENT_H
#define TRAIN_ALIGNMENT_H

#include "model/text_projector.h"
#include "train/finding_head.h"
#include "train/sentence_vectors.h"
#include "train/train_config.h"

typedef struct alignment alignment;

/* Loads the text encoder, makes a projector with random weights from the seed, and records the loss. What it borrows:
 * config, pool. */
carina_status alignment_create(alignment **out, const train_config *config, thread_pool *pool, carina_error *error);
void alignment_free(alignment *a); /* accepts NULL */

text_projector *alignment_projector(alignment *a); /* its own; gradients allocated */
/* Its own, NULL where alignment.findings_weight is 0. */
finding_head *alignment_finding_head(alignment *a);

/* Reads and embeds the sentences of the training sets (as the loader has them, end to end) and of the validation set
 * (NULL: none), and lets the text encoder go. Once. */
carina_status alignment_open(alignment *a, dataset *const *train, int train_count, dataset *validation, bool show,
                             carina_error *error);

/* ---- a step ---- */

/* Batch `place` (below training.accumulate) of the step: films [B] as loader_batch.samples, present [B, N],
 * features [B, N, R]. */
void alignment_place(alignment *a, int place, const uint64_t *films, const float *present, const float *features);
/* The loss over all places, without its weight; adds the projector's gradients, with it. */
double alignment_run(alignment *a);
/* The weighted loss's gradient with respect to the features of a place: [B, N, R]. After alignment_run. */
const float *alignment_slope(const alignment *a, int place);

/* What the finding head is to tell of a batch: targets [B, N, F]; for the other arguments see alignment_place. */
void alignment_finding_targets(const alignment *a, const uint64_t *films, const float *present, float *targets);

/* ---- validation ---- */

/* Right where the sentence said of a film's region is, by cosine, the nearest of all different sentences that the
 * validation set says of that region. Usual: always saying what is said most often of the region. */
typedef struct alignment_recall {
    uint64_t regions, right, usual;      /* regions with a box and a sentence */
    uint64_t found_regions, found_right; /* of these, those that are not healthy */
} alignment_recall;

/* Projects the sentences with the projector as it is. */
void alignment_measure_begin(alignment *a, alignment_recall *out);
/* Adds film `film` of the validation set: features [N, R]. */
void alignment_measure_film(const alignment *a, uint64_t film, const float *features, alignment_recall *sum);

#endif
