/* What the trainer (trainer.h) asks of something that can be trained: its weights, its data, one batch's losses and
 * gradients, a score on validation data, and the model as a file. locate_task.h, text_task.h
 * and language_task.h are such things.
 *
 * A batch is a function of (seed, its number) alone; the number is the whole position in the data.
 */
#ifndef TRAIN_TRAIN_TASK_H
#define TRAIN_TRAIN_TASK_H

#include "format/tensor_file.h"
#include "train/run_log.h"
#include "train/train_config.h"

#define TRAIN_TASK_LOSSES 6

typedef struct train_task train_task;

typedef struct train_task_losses {
    double value[TRAIN_TASK_LOSSES]; /* [0]: what is minimised; as named by the class */
    int samples;                     /* of the batch */
} train_task_losses;

typedef struct train_task_measures {
    bool validated, watched;  /* is there a validation set, a monitor set? */
    double score;             /* on the validation set: greater is better, above -1; the best is kept */
    double monitor;           /* likewise on the monitor set, which chooses nothing */
    run_log_value values[13]; /* more figures for metrics.jsonl */
    int value_count;
    char note[400]; /* and for log.txt; "": nothing more to say */
} train_task_measures;

/* What a saved model tells of its making. */
typedef struct train_task_origin {
    uint64_t step, data_fingerprint;
    double score; /* -1: not measured */
} train_task_origin;

/* The same as metadata of a model.safetensors, with the configuration. Not to be copied: entries point into text. */
typedef struct train_task_notes {
    tensor_file_entry entries[4];
    char text[3][64];
} train_task_notes;

typedef struct train_task_class {
    const char *loss_names[TRAIN_TASK_LOSSES]; /* "loss", ...; NULL ends them early */
    int shown_loss;                            /* beside the first in the progress line, if it has a name; 0: none */
    const char *samples;                       /* "films" */
    const char *score, *score_key;             /* "IoU", "iou": validation_iou */
    const char *model_ending;                  /* ".safetensors": the best model is best.safetensors; "": a folder */
    const char *weights_file;                  /* within such a folder: what holds "training_step"; else NULL */

    carina_status (*load_weights)(train_task *task, const char *path, carina_error *error); /* the key "start" */
    /* The training data's fingerprint; opens the sets of validation too. */
    carina_status (*open_data)(train_task *task, uint64_t *fingerprint, carina_error *error);
    /* Makes ready for batch number `first`. After open_data. */
    carina_status (*start_data)(train_task *task, uint64_t first, carina_error *error);
    uint64_t (*sample_count)(const train_task *task);
    double (*batches_per_epoch)(const train_task *task);
    /* Before the first batch of a step, which has this number: what needs to be known of all training.accumulate
     * batches together. NULL: nothing. */
    carina_status (*gather)(train_task *task, uint64_t batch, uint64_t step, carina_error *error);
    /* Forward and backward over the next batch, whose number is `batch`; adds to the gradients its share of a step
     * (1 / training.accumulate). */
    carina_status (*step)(train_task *task, uint64_t batch, uint64_t step, train_task_losses *out, carina_error *error);
    carina_status (*measure)(train_task *task, uint64_t step, train_task_measures *out, carina_error *error);
    carina_status (*save)(train_task *task, const char *path, const train_task_origin *origin, carina_error *error);
    void (*free)(train_task *task);
} train_task_class;

/* The beginning of each task's own struct. */
struct train_task {
    const train_task_class *type;
    const train_config *config; /* borrowed */
    parameters *parameters;     /* what the optimizer moves; the task's, gradients allocated */
    bool show_progress;         /* of what takes long before the first step; set by the trainer */
    char note[200];             /* what the user should know before the first step; "": nothing */
};

/* The task that the configuration names, with random weights from its seed. pool is borrowed, may be NULL. */
carina_status train_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error);
void train_task_free(train_task *task); /* accepts NULL */

void train_task_note(train_task_notes *out, const train_config *config, const train_task_origin *origin);

#endif
