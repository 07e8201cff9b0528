/* Which task a configuration stands for; see train_task.h. */
#include "train/train_task.h"

#include <inttypes.h>
#include <stdio.h>

#include "train/language_task.h"
#include "train/locate_task.h"
#include "train/text_task.h"

carina_status train_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error) {
    switch ((train_config_task)config->task) {
        case TRAIN_CONFIG_TEXT: return text_task_create(out, config, pool, error);
        case TRAIN_CONFIG_LANGUAGE: return language_task_create(out, config, pool, error);
        case TRAIN_CONFIG_LOCATE: break;
    }
    return locate_task_create(out, config, pool, error);
}

void train_task_free(train_task *task) {
    if (task) task->type->free(task);
}

void train_task_note(train_task_notes *out, const train_config *config, const train_task_origin *origin) {
    static char keys[4][32] = {"training_configuration", "training_step", "validation_score", "data_fingerprint"};
    snprintf(out->text[0], sizeof out->text[0], "%" PRIu64, origin->step);
    snprintf(out->text[1], sizeof out->text[1], "%.6f", origin->score);
    snprintf(out->text[2], sizeof out->text[2], "%016" PRIx64, origin->data_fingerprint);
    for (int i = 0; i < 4; i++) out->entries[i] = (tensor_file_entry){keys[i], i ? out->text[i - 1] : config->text};
}
