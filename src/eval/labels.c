/* Figures of image labels; see labels.h for the definitions. */
#include "eval/labels.h"

#include <math.h>
#include <stdlib.h>

carina_status label_table_create(label_table *out, uint64_t film_count, int label_count, carina_error *error) {
    size_t cells = (size_t)film_count * (size_t)label_count + 1;
    *out = (label_table){.film_count = film_count, .label_count = label_count};
    out->logits = calloc(cells, sizeof *out->logits);
    out->truths = calloc(cells, sizeof *out->truths);
    out->patients = calloc((size_t)film_count + 1, sizeof *out->patients);
    if (out->logits && out->truths && out->patients) return CARINA_OK;
    label_table_free(out);
    return error_memory(error, "labels of films", cells * 2 * sizeof(float));
}

void label_table_free(label_table *table) {
    free(table->logits);
    free(table->truths);
    free(table->patients);
    *table = (label_table){0};
}

/* By logit, then by film, so that the order is one whatever the library sorts with. */
static int compare(const void *a, const void *b) {
    const label_film *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? -1 : 1;
    return (x->film > y->film) - (x->film < y->film);
}

carina_status label_column_create(label_column *out, const label_table *table, int label, carina_error *error) {
    *out = (label_column){.films = calloc((size_t)table->film_count + 1, sizeof *out->films)};
    if (!out->films) return error_memory(error, "a label's films", table->film_count * sizeof *out->films);
    for (uint64_t f = 0; f < table->film_count; f++) {
        uint64_t at = f * (uint64_t)table->label_count + (uint64_t)label;
        if (isnan(table->truths[at])) continue;
        bool positive = table->truths[at] > 0.5f;
        out->films[out->count++] = (label_film){f, table->logits[at], positive};
        out->positives += positive;
    }
    qsort(out->films, (size_t)out->count, sizeof *out->films, compare);
    return CARINA_OK;
}

void label_column_free(label_column *column) {
    free(column->films);
    *column = (label_column){0};
}

double label_auc(const label_column *column, const double *weights) {
    double positives = 0, negatives = 0, won = 0;
    for (uint64_t i = 0; i < column->count;) {
        double tied_positives = 0, tied_negatives = 0;
        float logit = column->films[i].logit;
        for (; i < column->count && column->films[i].logit == logit; i++) {
            double weight = weights ? weights[column->films[i].film] : 1;
            *(column->films[i].positive ? &tied_positives : &tied_negatives) += weight;
        }
        won += tied_positives * (negatives + tied_negatives / 2);
        positives += tied_positives;
        negatives += tied_negatives;
    }
    return positives > 0 && negatives > 0 ? won / (positives * negatives) : NAN;
}

/* -log of the probability of the truth, from the logit itself: a probability that rounds to 0 or 1 loses nothing. */
static double surprise(double logit, bool positive) {
    double against = positive ? -logit : logit;
    return against > 0 ? against + log1p(exp(-against)) : log1p(exp(against));
}

label_scores label_score(const label_column *column, const calibration *c, int label) {
    struct {
        double films, probability, positives;
    } bins[LABELS_BINS] = {0};
    label_scores out = {0};
    double right[2] = {0}; /* without, with the label */
    for (uint64_t i = 0; i < column->count; i++) {
        const label_film *f = &column->films[i];
        float probability = calibration_probability(c, label, f->logit);
        int bin = (int)(probability * LABELS_BINS);
        if (bin >= LABELS_BINS) bin = LABELS_BINS - 1;
        bins[bin].films++;
        bins[bin].probability += (double)probability;
        bins[bin].positives += f->positive;
        out.nll += surprise((double)f->logit / (double)c->temperature[label], f->positive);
        right[f->positive] += (probability >= c->threshold[label]) == f->positive;
    }
    for (int b = 0; b < LABELS_BINS; b++) out.ece += fabs(bins[b].probability - bins[b].positives);
    double count = (double)column->count, positives = (double)column->positives;
    out.nll = count > 0 ? out.nll / count : NAN;
    out.ece = count > 0 ? out.ece / count : NAN;
    out.sensitivity = positives > 0 ? right[1] / positives : NAN;
    out.specificity = count > positives ? right[0] / (count - positives) : NAN;
    return out;
}

/* ---- bootstrap ---- */

typedef struct resampled {
    const label_column *columns;
    int count;
} resampled;

static carina_status score_resample(void *context, const double *weights, double *values, carina_error *error) {
    const resampled *r = context;
    double sum = 0, known = 0;
    (void)error;
    for (int k = 0; k < r->count; k++) {
        values[k] = label_auc(&r->columns[k], weights);
        if (isnan(values[k])) continue;
        sum += values[k];
        known++;
    }
    values[r->count] = known > 0 ? sum / known : NAN;
    return CARINA_OK;
}

carina_status label_bootstrap(metrics_interval *out, const label_column *columns, const label_table *table,
                              int resamples, uint64_t seed, carina_error *error) {
    resampled context = {columns, table->label_count};
    return bootstrap_patients(out, table->label_count + 1, table->patients, NULL, table->film_count, score_resample,
                              &context, resamples, seed, error);
}
