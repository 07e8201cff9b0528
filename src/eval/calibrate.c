/* Temperatures and thresholds; see calibrate.h. */
#include "eval/calibrate.h"

#include <math.h>

#define HALVINGS 60 /* of log T's interval of 9.2: far below a float's last bit */

const char *calibrate_reason(calibrate_outcome outcome) {
    static const char *const reasons[CALIBRATE_OUTCOMES] = {"",
                                                            "too few films with it",
                                                            "too few films without it",
                                                            "the model does not tell it",
                                                            "all films are on their side of 0",
                                                            "too many films are on the wrong side of 0"};
    return reasons[outcome];
}

/* The derivative of the negative log-likelihood in 1/T: rising in 1/T, below 0 where T is too great. */
static double slope(const label_column *column, double temperature) {
    double sum = 0;
    for (uint64_t i = 0; i < column->count; i++) {
        double x = (double)column->films[i].logit;
        sum += (1 / (1 + exp(-x / temperature)) - (column->films[i].positive ? 1 : 0)) * x;
    }
    return sum;
}

static calibrate_outcome fit_temperature(float *out, const label_column *column) {
    double low = log(CALIBRATION_LEAST_TEMPERATURE), high = log(CALIBRATION_MOST_TEMPERATURE);
    if (slope(column, exp(high)) >= 0) return CALIBRATE_SHIFTED;
    if (slope(column, exp(low)) <= 0) return CALIBRATE_SEPARATED;
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        *(slope(column, exp(middle)) > 0 ? &low : &high) = middle;
    }
    *out = (float)exp((low + high) / 2);
    return CALIBRATE_FITTED;
}

/* Between two probabilities, above the lower one also where no number lies between them. */
static float cut_between(float below, float above) {
    float middle = below + (above - below) / 2;
    return middle > below ? middle : above;
}

/* The films come by rising logit, so by rising probability. */
static bool fit_threshold(float *out, const label_column *column, const calibration *c, int label) {
    double positives = (double)column->positives, negatives = (double)column->count - positives;
    double missed = 0, rejected = 0, best = 0;
    float before = NAN;
    for (uint64_t i = 0; i < column->count; i++) {
        float probability = calibration_probability(c, label, column->films[i].logit);
        double index = rejected / negatives - missed / positives;
        if (i && probability > before && index > 0 && index >= best) {
            best = index;
            *out = cut_between(before, probability);
        }
        before = probability;
        *(column->films[i].positive ? &missed : &rejected) += 1;
    }
    return best > 0;
}

calibrate_outcome calibrate_label(calibration *c, int label, const label_column *column, uint64_t least) {
    c->temperature[label] = 1;
    c->threshold[label] = 0.5f;
    c->label_fitted[label] = false;
    if (column->positives < least) return CALIBRATE_FEW_POSITIVES;
    if (column->count - column->positives < least) return CALIBRATE_FEW_NEGATIVES;
    if (!(label_auc(column, NULL) > 0.5)) return CALIBRATE_UNTOLD;
    calibrate_outcome outcome = fit_temperature(&c->temperature[label], column);
    if (outcome == CALIBRATE_FITTED && !fit_threshold(&c->threshold[label], column, c, label)) {
        c->temperature[label] = 1;
        outcome = CALIBRATE_UNTOLD;
    }
    c->label_fitted[label] = outcome == CALIBRATE_FITTED;
    c->fitted |= c->label_fitted[label];
    return outcome;
}
