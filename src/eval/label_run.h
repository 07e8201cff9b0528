/* Running a model over a data set for its image labels: logits and truths of every film, as labels.h wants them. */
#ifndef EVAL_LABEL_RUN_H
#define EVAL_LABEL_RUN_H

#include "eval/film_loop.h"
#include "eval/label_predictions.h"
#include "pipeline/locate.h"

/* What a report's word counts as. */
typedef enum label_meaning { LABEL_UNKNOWN, LABEL_ABSENT, LABEL_PRESENT } label_meaning;

typedef struct label_run_options {
    label_meaning uncertain;     /* CheXpert's -1 */
    label_meaning not_mentioned; /* its blank */
    const char *progress;        /* title of a progress line; NULL: silent */
    FILE *predictions;           /* where each film's line goes (label_predictions.h); NULL: nowhere */
    film_taker *also;            /* called for each film too; NULL: nothing else is wanted of them */
    void *also_context;
} label_run_options;

/* Films come by locator_batch(); their logits are those that `interpret` has of them, whatever lies beside them. A film
 * whose patient is unknown is a patient of its own. A model with other labels than sample.labels: MISMATCH. */
carina_status label_run(label_table *out, locator *l, const dataset *set, const label_run_options *options,
                        carina_error *error);

#endif
