/* What a run leaves behind besides its weights: runs/NAME/metrics.jsonl (one object a line), first_losses.txt ("STEP
 * LOSS" of the first steps, for checking that another machine starts the same way), log.txt, and TensorBoard events.
 *
 * On resume the lines of steps that the checkpoint does not know are cut off first, so that the files read as if the
 * run had never stopped.
 */
#ifndef TRAIN_RUN_LOG_H
#define TRAIN_RUN_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define RUN_LOG_FIRST_LOSSES 50
#define RUN_LOG_MAX_VALUES   16 /* in one line */

typedef struct run_log run_log;

typedef struct run_log_value {
    const char *name; /* "loss", "validation_iou", ... */
    double value;
} run_log_value;

/* folder must exist. steps_done: lines of later steps are dropped; 0 begins new files. */
carina_status run_log_open(run_log **out, const char *folder, uint64_t steps_done, carina_error *error);
/* Flushes and closes; a write error of any time before is reported here. NULL is CARINA_OK. */
carina_status run_log_close(run_log *log, carina_error *error);

/* One line of metrics.jsonl and one event each; step counts from 1. */
void run_log_values(run_log *log, uint64_t step, const run_log_value *values, int count);
void run_log_first_loss(run_log *log, uint64_t step, double loss); /* ignored past the first RUN_LOG_FIRST_LOSSES */
void run_log_text(run_log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Compares two first_losses files over the steps that both have. *difference: the largest |a - b| / max(|a|, |b|),
 * *count: how many steps were compared; none is an error. */
carina_status run_log_compare_losses(const char *path_a, const char *path_b, double *difference, int *count,
                                     carina_error *error);

#endif
