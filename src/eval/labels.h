/* Image labels over a set of films: what the model said of each, what the report says, and figures of both.
 *
 * Each label is judged by itself, over the films where its truth is known:
 *
 *   AUC          the chance that a film with the label has the higher logit than one without, ties half
 *   NLL          mean of -log p(truth)
 *   ECE          expected calibration error: LABELS_BINS equal bins of the probability, |mean probability - share of
 *                films with the label| averaged by the films in the bin (Guo et al. 2017, for two classes)
 *   sensitivity, specificity    shares of the films with and without the label that the threshold tells rightly
 *
 * Probability and threshold are those of pipeline/calibration.h, so that figures are of what `interpret` prints.
 */
#ifndef EVAL_LABELS_H
#define EVAL_LABELS_H

#include "data/sample.h"
#include "eval/bootstrap.h"
#include "pipeline/calibration.h"

#define LABELS_BINS 15

typedef struct label_table {
    uint64_t film_count, patient_count;
    int label_count;
    float *logits;      /* [films, labels] */
    float *truths;      /* [films, labels] 1, 0; NaN: not known, the film takes no part in this label */
    uint32_t *patients; /* [films] 0 .. patient_count - 1 */
} label_table;

carina_status label_table_create(label_table *out, uint64_t film_count, int label_count, carina_error *error);
void label_table_free(label_table *table); /* accepts an empty one */

/* One label's films, by rising logit. */
typedef struct label_film {
    uint64_t film;
    float logit;
    bool positive;
} label_film;

typedef struct label_column {
    uint64_t count, positives;
    label_film *films;
} label_column;

carina_status label_column_create(label_column *out, const label_table *table, int label, carina_error *error);
void label_column_free(label_column *column); /* accepts an empty one */

/* weights: by film of the table, as the bootstrap gives them; NULL: each counts once. NaN without a film of either
 * kind. */
double label_auc(const label_column *column, const double *weights);

typedef struct label_scores { /* NaN where there is nothing to count */
    double nll, ece, sensitivity, specificity;
} label_scores;

label_scores label_score(const label_column *column, const calibration *c, int label);

/* out [labels + 1]: intervals of each label's AUC and, last, of their mean. Patients are resampled together for all; in
 * a resample the mean is over the labels that have films of both kinds in it. */
carina_status label_bootstrap(metrics_interval *out, const label_column *columns, const label_table *table,
                              int resamples, uint64_t seed, carina_error *error);

#endif
