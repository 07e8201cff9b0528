/* Which task a configuration stands for; see train_task.h. */
#include "train/train_task.h"

#include "train/locate_task.h"
#include "train/text_task.h"

carina_status train_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error) {
    return config->task == TRAIN_CONFIG_TEXT ? text_task_create(out, config, pool, error)
                                             : locate_task_create(out, config, pool, error);
}

void train_task_free(train_task *task) {
    if (task) task->type->free(task);
}
