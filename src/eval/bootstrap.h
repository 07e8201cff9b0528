/* Intervals by resampling patients: whole patients are drawn with replacement, so that a patient's films, which
 * resemble each other, never count as independent.
 */
#ifndef EVAL_BOOTSTRAP_H
#define EVAL_BOOTSTRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct metrics_interval {
    double low, high; /* 2.5 % and 97.5 % percentiles; NaN when there is nothing to resample */
} metrics_interval;

/* Computes values [value_count] with weights [count]: how often each item counts in this resample (0: not at all). */
typedef carina_status bootstrap_statistic(void *context, const double *weights, double *values, carina_error *error);

/* Percentile bootstrap of each value over `resamples` draws from random_stream(seed, r). patients [count] numbers the
 * patient of every item from 0; items with keep [count] false (NULL: none) never count. Resamples in which a value is
 * NaN are left out of its interval. */
carina_status bootstrap_patients(metrics_interval *out, int value_count, const uint32_t *patients, const bool *keep,
                                 uint64_t count, bootstrap_statistic *statistic, void *context, int resamples,
                                 uint64_t seed, carina_error *error);

#endif
