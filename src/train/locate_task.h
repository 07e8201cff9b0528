/* Training the APM as a train_task: the graph of its losses, a second graph that predicts for validation, and the
 * loaders that feed both.
 *
 * Loss = L_box (of every decoder layer, summed, with loss.auxiliary) + loss.labels x binary cross-entropy of the image
 * labels + alignment.weight x L_align (train/alignment.h), when alignment.text_encoder names one. The score is the mean
 * IoU over all boxes of the set; with alignment, recall@1 is measured beside it.
 *
 * A step of several batches (training.accumulate) has the loss of one large batch: means over boxes and labels weigh
 * each batch by how many it has, and the contrastive loss sees all of them (with batch norm, statistics remain each
 * batch's).
 */
#ifndef TRAIN_LOCATE_TASK_H
#define TRAIN_LOCATE_TASK_H

#include "train/train_task.h"

carina_status locate_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error);

#endif
