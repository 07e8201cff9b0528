/* Running a model and its sentence database over the films of a set that a radiologist read for lung opacity. */
#ifndef EVAL_OPACITY_RUN_H
#define EVAL_OPACITY_RUN_H

#include "data/dataset.h"
#include "eval/opacity_predictions.h"
#include "pipeline/locate.h"

typedef struct opacity_run_options {
    const char *progress;  /* title of a progress line; NULL: silent */
    FILE *predictions;     /* where the lines of opacity_predictions.h go; NULL: nowhere */
    opacity_origin origin; /* what the first of them says */
} opacity_run_options;

/* Films that nobody read are counted, and not looked at; a set without any other is CARINA_ERROR_MISMATCH. The features
 * are those that `interpret` has of each film. database must be the model's (pipeline/interpret.h opens such). On an
 * error *out is empty. */
carina_status opacity_run(opacity_table *out, locator *l, opacity_database *database, const dataset *set,
                          const opacity_run_options *options, carina_error *error);

#endif
