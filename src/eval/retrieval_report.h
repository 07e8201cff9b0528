/* The figures of a retrieval run as a table and as JSON: over all regions with intervals, per region, per finding. And
 * its predictions as JSON lines, from which every figure can be made again without the model.
 */
#ifndef EVAL_RETRIEVAL_REPORT_H
#define EVAL_RETRIEVAL_REPORT_H

#include <stdio.h>

#include "eval/retrieval.h"
#include "format/json_writer.h"

/* ---- predictions ---- */

/* First line: {"carina": "retrieval-1", "region_set": ..., "model": ..., "model_fingerprint": ..., "database": ...,
 * "set": ..., "ranking": ..., ...} (the order of sentences as in eval/prediction_lines.h); then one line an item:
 * {"film", "patient", "region", "sentence", "rank", "retrieved", "similarity"}. */
typedef struct retrieval_origin {
    const char *region_set, *model, *model_fingerprint, *database, *set;
    sentence_order order;
} retrieval_origin;

void retrieval_put_origin(FILE *out, const retrieval_origin *origin);
void retrieval_put_item(FILE *out, const char *film, const char *patient, const char *region, const char *sentence,
                        const retrieval_answer *answer);

/* Such a file read back; also what a run fills (retrieval_run.h). */
typedef struct retrieval_predictions {
    retrieval_collector *collector; /* of its items; owned */
    const atlas *regions;           /* of a file: the built-in region set that it names */
    uint64_t films;                 /* with at least one item */
} retrieval_predictions;

/* Errors name file, line and key. On an error *out is empty. */
carina_status retrieval_predictions_read(retrieval_predictions *out, const char *path, carina_error *error);
carina_status retrieval_predictions_parse(retrieval_predictions *out, const char *name, const char *text, uint64_t size,
                                          carina_error *error);
void retrieval_predictions_free(retrieval_predictions *p); /* accepts an empty one */

/* ---- figures ---- */

typedef struct retrieval_report {
    const char *title;    /* borrowed */
    sentence_order order; /* of the log prior in the ranking */
    const atlas *regions;
    uint64_t films, patients;
    int resamples;
    retrieval_scores all, region[ATLAS_MAX_REGIONS];
    metrics_interval all_intervals[RETRIEVAL_METRIC_COUNT], region_intervals[ATLAS_MAX_REGIONS][RETRIEVAL_METRIC_COUNT];
    int finding_count;
    const char *finding_names[RETRIEVAL_MAX_FINDINGS]; /* borrowed from the collector */
    retrieval_finding_score findings[RETRIEVAL_MAX_FINDINGS];
} retrieval_report;

/* resamples 0: no intervals. free() it. */
carina_status retrieval_report_create(retrieval_report **out, const char *title, const retrieval_predictions *p,
                                      int resamples, uint64_t seed, carina_error *error);
void retrieval_report_print(const retrieval_report *r, FILE *out);
void retrieval_report_json(const retrieval_report *r, json_writer *w); /* one object */

#endif
