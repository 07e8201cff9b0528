/* Running a model and its sentence database over the films of a set whose reports say something of their regions. */
#ifndef EVAL_RETRIEVAL_RUN_H
#define EVAL_RETRIEVAL_RUN_H

#include "data/dataset.h"
#include "eval/retrieval_report.h"
#include "pipeline/locate.h"

typedef struct retrieval_run_options {
    const char *progress;    /* title of a progress line; NULL: silent */
    FILE *predictions;       /* where the lines of retrieval_report.h go; NULL: nowhere */
    retrieval_origin origin; /* what the first of them says */
} retrieval_run_options;

/* Adds every region with a sentence to the collector, which must have been made with the model's database, and counts
 * the films that had any. The features are those that `interpret` has of each film. */
carina_status retrieval_run(retrieval_predictions *out, locator *l, const dataset *set,
                            const retrieval_run_options *options, carina_error *error);

#endif
