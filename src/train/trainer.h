/* The training loop: batches in, steps, validation, checkpoints, log; what `carina train` runs.
 *
 * Everything a run does follows from its configuration and data: stopped and resumed as often as one likes, it ends
 * with the same bits. Validation measures the averaged weights (or the plain ones without EMA) by the task's score
 * (train_task.h: the mean IoU over all boxes of the validation set); the best go to best.safetensors, or to the folder
 * best where a model is a folder. The monitor set is measured and logged at the same
 * moments but never chooses anything: it may be a test set that one only wants to watch, and a figure used for choosing
 * would no longer be a test. Steps whose loss or gradient is not finite are skipped and counted; 20 of them running, or
 * a run of nothing else, are CARINA_ERROR_FORMAT. Two runs at a time in one folder are refused (base/folder_lock.h).
 */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include "train/train_config.h"

typedef struct trainer_options {
    bool resume;    /* continue from runs/NAME/checkpoint.safetensors, which must exist; otherwise it must not */
    bool overwrite; /* without resume: begin anew although there is a checkpoint */
    int threads;    /* 0: all processors */
    bool show_progress;
    uint64_t stop_after; /* steps of this session, 0: no limit; for checks of the first losses */
    void (*note)(
        const char *line); /* what the user should know before it goes on (resume_check.h); NULL: only logged */
} trainer_options;

typedef struct trainer_result {
    uint64_t step;        /* reached */
    bool finished_before; /* there was nothing left to do, and nothing was done */
    bool finished;        /* all steps done, or the time is used up; false: interrupted or stop_after */
    bool interrupted;
    double loss;       /* of the last line of the log, else the mean over the steps since; NAN when there are none */
    const char *score; /* what the next figures are: "IoU" */
    double best;       /* validation score, -1 without a validation set */
    uint64_t best_step;
    double monitor;   /* score on the monitor set at the end, -1 without */
    char folder[512]; /* runs/NAME */
} trainer_result;

carina_status trainer_run(const train_config *config, const trainer_options *options, trainer_result *result,
                          carina_error *error);

#endif
