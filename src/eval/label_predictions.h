/* What a model said of every film, kept as a file, so that figures can be made again, and new ones added, without the
 * model and the films.
 *
 * First line: {"carina": "labels-1", "model": ..., "model_fingerprint": ..., "set": ..., "calibration": TEXT or null}
 * (TEXT: the model's note, pipeline/calibration.h); then one line a film: {"film": ..., "patient": ..., "logits": [14
 * numbers], "truths": [1, 0 or null, ...]}. null: the film takes no part in that label.
 */
#ifndef EVAL_LABEL_PREDICTIONS_H
#define EVAL_LABEL_PREDICTIONS_H

#include <stdio.h>

#include "eval/labels.h"

typedef struct label_origin {
    const char *model, *model_fingerprint, *set;
} label_origin;

carina_status label_put_origin(FILE *out, const label_origin *origin, const calibration *c, carina_error *error);
void label_put_film(FILE *out, const char *film, const char *patient, const float *logits, const float *truths,
                    int label_count);

typedef struct label_predictions {
    char *model, *model_fingerprint, *set; /* owned */
    calibration calibration;
    label_table table;
} label_predictions;

/* Errors name file, line and key. free with label_predictions_free, also after an error. */
carina_status label_predictions_read(label_predictions *out, const char *path, carina_error *error);
carina_status label_predictions_parse(label_predictions *out, const char *name, const char *text, uint64_t size,
                                      carina_error *error);
void label_predictions_free(label_predictions *p); /* accepts an empty one */

#endif
