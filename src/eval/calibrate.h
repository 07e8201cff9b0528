/* Fitting a calibration (pipeline/calibration.h) on films that no weight was trained on: for each image label a
 * temperature, then a threshold.
 *
 * Temperature: the one that makes the negative log-likelihood of the films' truths least (Guo et al. 2017). In a = 1/T
 * it is convex: sum_i (sigmoid(a x_i) - y_i) x_i = 0 is found by halving the interval of T's logarithm, always the same
 * number of times, so that the result depends on the films alone.
 *
 * Threshold: the cut between two films' probabilities with the greatest Youden index, sensitivity + specificity - 1;
 * of equal ones the highest. Not F1: its best threshold moves with how common the label is, and on a label that the
 * model cannot tell it ends at "always" (Lipton et al. 2014), while Youden's cut carries over to sets with another
 * share of ill films.
 *
 * A label stays uncalibrated, by name and with a reason, when there are fewer than `least` films with it or without it,
 * when the model does not tell it (an AUC of 0.5 or less), or when no temperature within the bounds fits: every film on
 * the right side of 0 asks for T = 0; logits that are nearly all on the wrong side for infinity.
 */
#ifndef EVAL_CALIBRATE_H
#define EVAL_CALIBRATE_H

#include "eval/labels.h"

#define CALIBRATE_LEAST 10 /* films of either kind below which nothing is fitted, unless the user says otherwise */

typedef enum calibrate_outcome {
    CALIBRATE_FITTED,
    CALIBRATE_FEW_POSITIVES,
    CALIBRATE_FEW_NEGATIVES,
    CALIBRATE_UNTOLD,
    CALIBRATE_SEPARATED,
    CALIBRATE_SHIFTED,
    CALIBRATE_OUTCOMES
} calibrate_outcome;

const char *calibrate_reason(calibrate_outcome outcome); /* "too few films with it"; of FITTED: "" */

/* Sets temperature, threshold and label_fitted of one label of *c; what is not fitted becomes temperature 1, threshold
 * 0.5. */
calibrate_outcome calibrate_label(calibration *c, int label, const label_column *column, uint64_t least);

#endif
