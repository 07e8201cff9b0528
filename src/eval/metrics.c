/* Metrics of boxes; see metrics.h for the definitions. */
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

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

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Percentiles with linear interpolation; NaNs (resamples without a truth) are left out. */
static metrics_interval interval_of(double *values, int count) {
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (!isnan(values[i])) values[kept++] = values[i];
    if (kept == 0) return (metrics_interval){NAN, NAN};
    qsort(values, (size_t)kept, sizeof *values, compare);
    double at[2] = {0.025 * (kept - 1), 0.975 * (kept - 1)}, out[2];
    for (int i = 0; i < 2; i++) {
        int below = (int)at[i], above = below + 1 < kept ? below + 1 : below;
        out[i] = values[below] + (values[above] - values[below]) * (at[i] - below);
    }
    return (metrics_interval){out[0], out[1]};
}

/* The patients of the kept films, each once, into patients[]; their number. used [patient_count] is scratch. */
static uint64_t list_patients(uint32_t *patients, bool *used, const metrics_film *films, uint64_t film_count,
                              const bool *keep) {
    uint64_t count = 0;
    for (uint64_t f = 0; f < film_count; f++) {
        if ((keep && !keep[f]) || used[films[f].patient]) continue;
        used[films[f].patient] = true;
        patients[count++] = films[f].patient;
    }
    return count;
}

carina_status metrics_bootstrap(metrics_intervals *out, const metrics_film *films, uint64_t film_count,
                                const bool *keep, const int *regions, int region_count, int resamples, uint64_t seed,
                                carina_error *error) {
    uint64_t top = 0;
    for (uint64_t f = 0; f < film_count; f++)
        if (films[f].patient >= top) top = (uint64_t)films[f].patient + 1;
    size_t rounds = resamples > 0 ? (size_t)resamples : 0;
    double *values = calloc(3 * rounds + 1, sizeof *values), *weights = calloc((size_t)film_count + 1, sizeof *weights);
    uint32_t *patients = calloc((size_t)top + 1, sizeof *patients), *drawn = calloc((size_t)top + 1, sizeof *drawn);
    bool *used = calloc((size_t)top + 1, sizeof *used);
    carina_status status = CARINA_OK;
    if (!values || !weights || !patients || !drawn || !used) {
        status = error_memory(error, "bootstrap", (3 * rounds + film_count + 3 * top) * sizeof *values);
        goto done;
    }
    uint64_t count = list_patients(patients, used, films, film_count, keep);
    for (size_t r = 0; count > 0 && r < rounds; r++) {
        random_state random = random_stream(seed, r);
        memset(drawn, 0, (size_t)top * sizeof *drawn);
        for (uint64_t i = 0; i < count; i++) drawn[patients[random_below(&random, count)]]++;
        for (uint64_t f = 0; f < film_count; f++) weights[f] = keep && !keep[f] ? 0 : drawn[films[f].patient];
        metrics_scores s = metrics_score(films, film_count, weights, regions, region_count);
        values[r] = s.iou;
        values[rounds + r] = s.map;
        values[2 * rounds + r] = s.map_film;
    }
    int used_rounds = count > 0 ? resamples : 0;
    out->iou = interval_of(values, used_rounds);
    out->map = interval_of(values + rounds, used_rounds);
    out->map_film = interval_of(values + 2 * rounds, used_rounds);
done:
    free(values);
    free(weights);
    free(patients);
    free(drawn);
    free(used);
    return status;
}
