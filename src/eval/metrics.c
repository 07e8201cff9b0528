/* Metrics of boxes; see metrics.h for the definitions. */
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>

const double metrics_threshold[METRICS_THRESHOLDS] = {0.25, 0.50, 0.75, 0.95};

double metrics_average_precision(double hits, double predictions, double truths) {
    if (hits <= 0 || predictions <= 0 || truths <= 0) return 0;
    double recall = hits / truths, precision = hits / predictions;
    double reached = floor(recall * 100 + 1e-9) + 1; /* recalls 0, 0.01, ... up to ours */
    return precision * reached / 101;
}

/* Weighted sums of one class. */
typedef struct class_sums {
    double truths, predictions, iou, hits[METRICS_THRESHOLDS];
} class_sums;

static void add_class(class_sums *sums, metrics_scores *s, class_sums *all) {
    double ap[METRICS_THRESHOLDS], mean = 0;
    for (int t = 0; t < METRICS_THRESHOLDS; t++) {
        ap[t] = metrics_average_precision(sums->hits[t], sums->predictions, sums->truths);
        s->ap[t] += ap[t];
        mean += ap[t] / METRICS_THRESHOLDS;
        all->hits[t] += sums->hits[t];
    }
    s->map += mean;
    all->truths += sums->truths;
    all->predictions += sums->predictions;
    all->iou += sums->iou;
}

/* Sums of one class over all films; counts its truths. */
static class_sums sum_class(const metrics_film *films, uint64_t film_count, const double *weights, int region,
                            uint64_t *boxes) {
    class_sums sums = {0};
    for (uint64_t f = 0; f < film_count; f++) {
        double weight = weights ? weights[f] : 1, iou = (double)films[f].iou[region];
        if (weight <= 0 || isnan(iou)) continue;
        ++*boxes;
        sums.truths += weight;
        if (iou < 0) continue;
        sums.predictions += weight;
        sums.iou += weight * iou;
        for (int t = 0; t < METRICS_THRESHOLDS; t++)
            if (iou >= metrics_threshold[t]) sums.hits[t] += weight;
    }
    return sums;
}

/* The reference's mAP: each film by itself. */
static double score_by_film(const metrics_film *films, uint64_t film_count, const double *weights, const int *regions,
                            int region_count, uint64_t *film_total) {
    double sum = 0, total = 0;
    for (uint64_t f = 0; f < film_count; f++) {
        double weight = weights ? weights[f] : 1;
        int truths = 0, hits = 0;
        if (weight <= 0) continue;
        for (int r = 0; r < region_count; r++) {
            double iou = (double)films[f].iou[regions[r]];
            if (isnan(iou)) continue;
            truths++;
            for (int t = 0; t < METRICS_THRESHOLDS; t++) hits += iou >= metrics_threshold[t];
        }
        if (!truths) continue;
        ++*film_total;
        total += weight;
        sum += weight * hits / (METRICS_THRESHOLDS * truths);
    }
    return total > 0 ? sum / total : NAN;
}

metrics_scores metrics_score(const metrics_film *films, uint64_t film_count, const double *weights, const int *regions,
                             int region_count) {
    metrics_scores s = {0};
    class_sums all = {0};
    double classes = 0;
    for (int r = 0; r < region_count; r++) {
        class_sums sums = sum_class(films, film_count, weights, regions[r], &s.boxes);
        if (sums.truths <= 0) continue;
        classes++;
        add_class(&sums, &s, &all);
    }
    s.iou = all.truths > 0 ? all.iou / all.truths : NAN;
    s.iou_found = all.predictions > 0 ? all.iou / all.predictions : NAN;
    s.map = classes > 0 ? s.map / classes : NAN;
    for (int t = 0; t < METRICS_THRESHOLDS; t++) {
        s.ap[t] = classes > 0 ? s.ap[t] / classes : NAN;
        s.hit_rate[t] = all.truths > 0 ? all.hits[t] / all.truths : NAN;
    }
    s.map_film = score_by_film(films, film_count, weights, regions, region_count, &s.films);
    return s;
}

/* ---- bootstrap ---- */

typedef struct scored_films {
    const metrics_film *films;
    uint64_t count;
    const int *regions;
    int region_count;
} scored_films;

static carina_status score_resample(void *context, const double *weights, double *values, carina_error *error) {
    const scored_films *f = context;
    (void)error;
    metrics_scores s = metrics_score(f->films, f->count, weights, f->regions, f->region_count);
    values[0] = s.iou;
    values[1] = s.map;
    values[2] = s.map_film;
    return CARINA_OK;
}

carina_status metrics_bootstrap(metrics_intervals *out, const metrics_film *films, uint64_t film_count,
                                const bool *keep, const int *regions, int region_count, int resamples, uint64_t seed,
                                carina_error *error) {
    scored_films context = {films, film_count, regions, region_count};
    metrics_interval intervals[3];
    uint32_t *patients = malloc((size_t)(film_count + 1) * sizeof *patients);
    if (!patients) return error_memory(error, "bootstrap", film_count * sizeof *patients);
    for (uint64_t f = 0; f < film_count; f++) patients[f] = films[f].patient;
    carina_status status =
        bootstrap_patients(intervals, 3, patients, keep, film_count, score_resample, &context, resamples, seed, error);
    free(patients);
    if (status == CARINA_OK) *out = (metrics_intervals){intervals[0], intervals[1], intervals[2]};
    return status;
}
