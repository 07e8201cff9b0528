/* The figures of lung opacity over one set, as a table and as JSON. */
#ifndef EVAL_OPACITY_REPORT_H
#define EVAL_OPACITY_REPORT_H

#include "eval/opacity_predictions.h"
#include "format/json_writer.h"

typedef struct opacity_report {
    opacity_origin origin;      /* texts borrowed */
    const opacity_table *table; /* borrowed */
    int resamples;              /* 0: no intervals */
    opacity_figures figures;
} opacity_report;

carina_status opacity_report_make(opacity_report *out, const opacity_table *table, const opacity_origin *origin,
                                  int resamples, uint64_t seed, carina_error *error);

void opacity_report_print(const opacity_report *report, FILE *out);
void opacity_report_json(const opacity_report *report, json_writer *w); /* one object */

#endif
