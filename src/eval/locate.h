/* Running a locator over a data set: what it predicts, what a constant guess would say, and both against the truth.
 *
 * The locator is a callback, so that this file knows no model. Predictions and the constant boxes are normalised boxes
 * of the letterboxed square (image/letterbox.h); IoU is taken in the film's own pixels, after clipping to the film.
 * A mirrored run shows each film flipped left to right and expects each region's box mirrored: the region keeps its
 * name, for what is the patient's left stays so (the heart tells). The constant guess does not look and is the same.
 */
#ifndef EVAL_LOCATE_H
#define EVAL_LOCATE_H

#include "data/sample.h"
#include "eval/metrics.h"

/* films [count] -> boxes [count, regions, 4] (cx, cy, w, h) of each film's square; found [count, regions] is true on
 * entry and set to false where the locator gives no box. */
typedef carina_status eval_locator(void *context, const image *films, int count, float *boxes, bool *found,
                                   carina_error *error);

/* The mean box of every region in normalised coordinates. */
typedef struct eval_constant {
    int region_count;
    float boxes[ATLAS_MAX_REGIONS][4];
    bool known[ATLAS_MAX_REGIONS]; /* false: the set has no such box */
} eval_constant;

carina_status eval_constant_fit(eval_constant *out, const dataset *set, carina_error *error);

/* One film's entry. */
typedef struct eval_film {
    char id[96];
    uint32_t patient; /* number of the patient; films of unknown patients count as one patient each */
    char view[8], sex;
    int age, equipment;
} eval_film;

/* IoU tables [film, region] as metrics.h wants them. All owned. */
typedef struct eval_run {
    const atlas *regions; /* borrowed */
    uint64_t film_count, patient_count;
    eval_film *films;
    float *iou;          /* of the locator */
    float *constant_iou; /* of the constant guess; NaN without one */
    bool *unsure;        /* the truth is marked so */
    bool any_unsure, mirrored;
} eval_run;

typedef struct eval_run_options {
    bool mirrored;
    int batch;                     /* films given to the locator at once; 0: 1 */
    const eval_constant *constant; /* NULL: none */
    const char *progress;          /* title of a progress line; NULL: silent */
} eval_run_options;

carina_status eval_run_locate(eval_run *out, const dataset *set, eval_locator *locator, void *context,
                              const eval_run_options *options, carina_error *error);
void eval_run_free(eval_run *run); /* accepts NULL and an empty one */

#endif
