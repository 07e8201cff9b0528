/* How well predicted boxes meet the truth: IoU, mAP, and their bootstrap intervals, from one table of IoUs.
 *
 * Each region is one class, and a film has at most one truth and one prediction of a class; predictions have no scores
 * (a constant). So everything follows from IoU [film, region]. A region that the annotation lacks takes part in
 * nothing, neither as truth nor as a false alarm: that it is not annotated does not say that it is not there.
 *
 *   iou        mean over all truths; a missing prediction counts 0
 *   iou_found  the reference's way (formats 13.7): missing predictions are skipped
 *   map_film   the reference's mAP: per film, mean over classes and thresholds of AP, then mean over films. With one
 *              truth and one prediction a class, AP is 1 when IoU >= threshold, else 0.
 *   map        corpus-level mAP: per class over all films, then mean over classes. Equal scores have no order, so a
 *              class has a single operating point: precision TP / predictions, recall TP / truths; AP is COCO's mean of
 *              the interpolated precision at the recalls 0, 0.01 ... 1 (torchmetrics breaks ties by film order
 * instead).
 *
 * Thresholds: 0.25, 0.50, 0.75, 0.95.
 */
#ifndef EVAL_METRICS_H
#define EVAL_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "eval/bootstrap.h"

#define METRICS_THRESHOLDS 4
extern const double metrics_threshold[METRICS_THRESHOLDS];

/* One film's part of the table. */
typedef struct metrics_film {
    const float *iou; /* [regions]; NaN: no truth; -1: truth, but no prediction */
    uint32_t patient; /* 0 .. patient_count - 1 */
} metrics_film;

typedef struct metrics_scores {
    uint64_t films, boxes; /* films with a truth of the regions asked for; truths */
    double iou, iou_found, map, map_film;
    double ap[METRICS_THRESHOLDS];       /* corpus-level, mean over classes */
    double hit_rate[METRICS_THRESHOLDS]; /* fraction of truths met at the threshold */
} metrics_scores;                        /* NaN where there is no truth */

/* Over the films with a weight above 0 (weights NULL: all count once; the bootstrap's multiplicities otherwise) and the
 * classes of `regions` [count]. films and boxes count without weights. */
metrics_scores metrics_score(const metrics_film *films, uint64_t film_count, const double *weights, const int *regions,
                             int region_count);

/* AP of one operating point by COCO's 101 recalls. */
double metrics_average_precision(double hits, double predictions, double truths);

typedef struct metrics_intervals {
    metrics_interval iou, map, map_film;
} metrics_intervals;

/* Percentile bootstrap: whole patients are drawn with replacement, `resamples` times, from random_stream(seed, r). The
 * films are those of `keep` (NULL: all). */
carina_status metrics_bootstrap(metrics_intervals *out, const metrics_film *films, uint64_t film_count,
                                const bool *keep, const int *regions, int region_count, int resamples, uint64_t seed,
                                carina_error *error);

#endif
