/* The figures of image labels over one set, as a table and as JSON: AUC with intervals, and how good the probabilities
 * are as they come out of the network and by the model's calibration.
 */
#ifndef EVAL_LABEL_REPORT_H
#define EVAL_LABEL_REPORT_H

#include <stdio.h>

#include "eval/calibrate.h"
#include "eval/sentence_fit.h"
#include "format/json_writer.h"

typedef struct label_line {
    const char *name; /* NULL: the model's labels are not the 14 of CheXpert */
    uint64_t films, positives;
    double auc; /* NaN without films of both kinds */
    metrics_interval auc_interval;
    label_scores raw, calibrated; /* at temperature 1 and threshold 0.5, and by the calibration */
    bool fitted;
    const char *reason; /* why it was not fitted; "" when nobody tried */
    float temperature, threshold;
} label_line;

typedef struct label_report {
    const char *set, *model, *model_fingerprint; /* borrowed */
    uint64_t films, patients;
    int resamples;
    bool fitted_here;               /* the calibration was fitted on these very films */
    const calibration *calibration; /* borrowed */
    const sentence_fit *sentences;  /* borrowed; NULL: not fitted here */
    int line_count;
    label_line *lines;
    int macro_labels; /* those with an AUC */
    double macro_auc;
    metrics_interval macro_interval;
} label_report;

typedef struct label_report_options {
    const char *set, *model, *model_fingerprint;
    int resamples; /* 0: no intervals */
    uint64_t seed;
    const calibrate_outcome *outcomes; /* [labels] when c was fitted on this table; else NULL */
    const sentence_fit *sentences;     /* what was fitted beside the labels; else NULL */
} label_report_options;

/* c and what options point to must outlive the report. */
carina_status label_report_create(label_report **out, const label_table *table, const calibration *c,
                                  const label_report_options *options, carina_error *error);
void label_report_free(label_report *report); /* accepts NULL */

void label_report_print(const label_report *report, FILE *out);
void label_report_json(const label_report *report, json_writer *out); /* one object */

#endif
