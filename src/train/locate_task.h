/* What a training step of the APM is: the graph of its losses, and a second graph that predicts for validation.
 *
 * Loss = L_box (of every decoder layer, summed, with loss.auxiliary) + loss.labels x binary cross-entropy of the image
 * labels. AnatomiX's alignment of regions with sentences is another task.
 */
#ifndef TRAIN_LOCATE_TASK_H
#define TRAIN_LOCATE_TASK_H

#include "train/train_config.h"

typedef struct locate_losses {
    double total, box, label; /* box: of the last decoder layer */
} locate_losses;

typedef struct locate_task {
    const train_config *config; /* borrowed */
    apm *model;                 /* owned */
    parameters *parameters;     /* the model's */
    graph *training, *prediction;
    struct {
        tensor *films, *targets, *present, *labels;
        apm_losses losses;
    } train;
    struct {
        tensor *films, *boxes;
    } predict;
} locate_task;

/* Weights are random from the configuration's seed. pool is borrowed, may be NULL. */
carina_status locate_task_create(locate_task **out, const train_config *config, thread_pool *pool, carina_error *error);
void locate_task_free(locate_task *task); /* accepts NULL */

/* Forward and backward over one batch; adds to the gradients. noise: number that seeds dropout. */
void locate_task_step(locate_task *task, const loader_batch *batch, uint64_t noise, locate_losses *losses);
/* Boxes [B, N, 4] of the last decoder layer, normalised; borrowed until the next call. */
const float *locate_task_predict(locate_task *task, const loader_batch *batch);

#endif
