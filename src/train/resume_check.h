/* What of a configuration may be something else when a run is resumed, and that it is said.
 *
 * Weights of one network fit another's shapes more often than one thinks (heads, strides, norms), and a checkpoint's
 * place in the data counts batches: what decides on these must be what it was. That the training data are the same is
 * the data fingerprint's business: folders may have moved. Weights of losses whose layers are there in training only
 * may be other numbers, but not begin or cease to be 0. Everything else may change, such as a rate or the number of
 * steps, but not unnoticed. Both configurations are texts that train_config_read made.
 */
#ifndef TRAIN_RESUME_CHECK_H
#define TRAIN_RESUME_CHECK_H

#include "train/train_config.h"

typedef struct resume_changes {
    char **lines; /* "resumed with optimizer.rate 1e-4, was 4e-4" */
    uint32_t count;
} resume_changes;

/* made: the checkpoint's configuration; path: the checkpoint, for messages. Keys that either of them lacks (newer than
 * the checkpoint, or without effect) are not asked for, nor those that change no result. A key that must not change:
 * CARINA_ERROR_MISMATCH, which names it. */
carina_status resume_check(resume_changes *out, const char *made, const train_config *now, const char *path,
                           carina_error *error);
void resume_changes_free(resume_changes *changes); /* accepts an empty one */

#endif
