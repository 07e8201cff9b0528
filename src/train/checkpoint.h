/* Checkpoints: everything a training run is, in one safetensors file that is replaced atomically.
 *
 * Tensors, all f32 so that nothing is lost: `model.NAME` the weights and batch-norm statistics, `first.NAME` and
 * `second.NAME` AdamW's moments, `average.NAME` the averaged weights. String metadata: format, step, batch (the data
 * cursor: all random draws follow from the seed and this number, see loader.h, and from the seed and the step, see
 * graph_set_step), seed, best metric, sums that the log has not had yet, and the provenance: commit, Carina version,
 * resolved configuration, fingerprint of the data. base/file.h's writer syncs the new file before it takes the old
 * one's name: a kill, a full disk or an interrupt at any moment leaves one whole checkpoint.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "train/optimizer.h"
#include "train/train_task.h"

#define CHECKPOINT_MAX_STEPS       UINT64_C(1000000000) /* of a run: the range of training.steps */
#define CHECKPOINT_MAX_ACCUMULATED 4096                 /* batches of a step: that of training.accumulate */

/* Sums over the steps since the last line of metrics.jsonl, whose means the next one gives. */
typedef struct checkpoint_unlogged {
    uint64_t steps;
    double norm, losses[TRAIN_TASK_LOSSES];
} checkpoint_unlogged;

typedef struct checkpoint_state {
    uint64_t step;    /* optimizer steps done */
    uint64_t batch;   /* number of the next batch */
    uint64_t seed;    /* of data, dropout and initial weights */
    uint64_t skipped; /* steps whose gradient was not finite */
    double best;      /* validation metric of the best weights so far; -1 none yet */
    uint64_t best_step;
    double seconds; /* spent training, over all sessions */
    checkpoint_unlogged unlogged;
    uint64_t data_fingerprint;
    char *configuration; /* YAML text; owned after checkpoint_load */
} checkpoint_state;

void checkpoint_state_free(checkpoint_state *state); /* the text */

/* The optimizer must hold its own weights, not the average (optimizer_use_average). */
carina_status checkpoint_save(const char *path, const optimizer *o, const checkpoint_state *state, carina_error *error);
/* Fills weights, moments, average and *state. Every tensor is checked (there, shape, finite) before anything changes;
 * a mistake names the tensor, or the number that no run can have. */
carina_status checkpoint_load(const char *path, optimizer *o, checkpoint_state *state, carina_error *error);

#endif
