/* Training the APM's boxes and image labels as a train_task: the graph of its losses, a second graph that predicts for
 * validation, and the loaders that feed both.
 *
 * Loss = L_box (of every decoder layer, summed, with loss.auxiliary) + loss.labels x binary cross-entropy of the image
 * labels. AnatomiX's alignment of regions with sentences is another task. The score is the mean IoU over all boxes of
 * the set.
 */
#ifndef TRAIN_LOCATE_TASK_H
#define TRAIN_LOCATE_TASK_H

#include "train/train_task.h"

carina_status locate_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error);

#endif
