/* The batches that make one step together (training.accumulate), taken from a loader at once: the contrastive loss
 * looks at all of them before the first is gone through for its gradient, and means over boxes and labels weigh each
 * batch by how many it has.
 */
#ifndef TRAIN_STEP_BATCHES_H
#define TRAIN_STEP_BATCHES_H

#include "train/loader.h"

typedef struct step_batch {
    loader_batch batch; /* of one alone, the loader's own memory; else a copy */
    /* Its part of the step's boxes, labels and known targets of masks; the parts sum to 1, or to 0 without any. */
    double box_share, label_share, mask_share;
} step_batch;

typedef struct step_batches {
    step_batch *items; /* [count] */
    int count, batch_size, image_size, region_count;
    int64_t mask_values; /* of one film; 0: none */
} step_batches;

/* Sizes as in loader_options; mask_values: mask_rows x mask_columns x mask_findings. */
carina_status step_batches_create(step_batches **out, int count, int batch_size, int image_size, int region_count,
                                  int64_t mask_values, carina_error *error);
void step_batches_free(step_batches *s); /* accepts NULL */

/* The loader's next `count` batches; valid until it is asked again. */
carina_status step_batches_next(step_batches *s, loader *from, carina_error *error);

#endif
