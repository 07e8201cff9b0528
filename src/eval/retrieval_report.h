/* The figures of a retrieval run as a table and as JSON: over all regions with intervals, per region, per finding. And
 * its predictions as JSON lines, from which every figure can be made again without the model.
 */
#ifndef EVAL_RETRIEVAL_REPORT_H
#define EVAL_RETRIEVAL_REPORT_H

#include <stdio.h>

#include "eval/retrieval.h"
#include "format/json_writer.h"

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
carina_status retrieval_report_create(retrieval_report **out, const char *title, const retrieval_collector *c,
                                      const atlas *regions, uint64_t films, int resamples, uint64_t seed,
                                      carina_error *error); /* the order is the collector's */
void retrieval_report_print(const retrieval_report *r, FILE *out);
void retrieval_report_json(const retrieval_report *r, json_writer *w); /* one object */

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

/* Reads such a file back: *out a collector of its items, *regions the built-in region set that it names. */
carina_status retrieval_read_predictions(retrieval_collector **out, const atlas **regions, uint64_t *films,
                                         const char *path, carina_error *error);

#endif
