/* Resampling of patients; see bootstrap.h. */
#include "eval/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

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

/* The patients of the kept items, each once, into list; their number. used [patient_count] is scratch. */
static uint64_t list_patients(uint32_t *list, bool *used, const uint32_t *patients, uint64_t count, const bool *keep) {
    uint64_t listed = 0;
    for (uint64_t i = 0; i < count; i++) {
        if ((keep && !keep[i]) || used[patients[i]]) continue;
        used[patients[i]] = true;
        list[listed++] = patients[i];
    }
    return listed;
}

carina_status bootstrap_patients(metrics_interval *out, int value_count, const uint32_t *patients, const bool *keep,
                                 uint64_t count, bootstrap_statistic *statistic, void *context, int resamples,
                                 uint64_t seed, carina_error *error) {
    uint64_t top = 0;
    for (uint64_t i = 0; i < count; i++)
        if (patients[i] >= top) top = (uint64_t)patients[i] + 1;
    size_t rounds = resamples > 0 ? (size_t)resamples : 0, value_total = (size_t)value_count;
    double *values = calloc(value_total * (rounds + 1), sizeof *values);
    double *weights = calloc((size_t)count + 1, sizeof *weights);
    uint32_t *list = calloc((size_t)top + 1, sizeof *list), *drawn = calloc((size_t)top + 1, sizeof *drawn);
    bool *used = calloc((size_t)top + 1, sizeof *used);
    carina_status status = CARINA_OK;
    if (!values || !weights || !list || !drawn || !used) {
        status = error_memory(error, "bootstrap", (value_total * rounds + count + 3 * top) * sizeof *values);
        goto done;
    }
    uint64_t listed = list_patients(list, used, patients, count, keep);
    double *row = values + value_total * rounds; /* one resample's values; those of each metric lie together */
    for (size_t r = 0; listed > 0 && r < rounds && status == CARINA_OK; r++) {
        random_state random = random_stream(seed, r);
        memset(drawn, 0, (size_t)top * sizeof *drawn);
        for (uint64_t i = 0; i < listed; i++) drawn[list[random_below(&random, listed)]]++;
        for (uint64_t i = 0; i < count; i++) weights[i] = keep && !keep[i] ? 0 : drawn[patients[i]];
        status = statistic(context, weights, row, error);
        for (size_t v = 0; v < value_total; v++) values[v * rounds + r] = row[v];
    }
    for (size_t v = 0; v < value_total; v++) out[v] = interval_of(values + v * rounds, listed > 0 ? (int)rounds : 0);
done:
    free(values);
    free(weights);
    free(list);
    free(drawn);
    free(used);
    return status;
}
