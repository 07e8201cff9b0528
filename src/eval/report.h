/* The figures of a located set: per region, left and right pooled, overall and by stratum, each with its bootstrap
 * interval and with what the constant guess reaches beside it; as a table and as JSON.
 */
#ifndef EVAL_REPORT_H
#define EVAL_REPORT_H

#include <stdio.h>

#include "eval/locate.h"
#include "format/json_writer.h"

typedef enum eval_line_kind { EVAL_ALL, EVAL_REGION, EVAL_PAIR, EVAL_STRATUM } eval_line_kind;

typedef struct eval_line {
    eval_line_kind kind;
    char name[96]; /* "right lung", "lung (both sides)", "sex F", "age 40-64", "view AP", "equipment yes" */
    metrics_scores scores, constant;
    metrics_intervals intervals;
} eval_line;

/* One way of looking at the set: as it is or mirrored, with all boxes or without those marked unsure. */
typedef struct eval_section {
    bool mirrored, without_unsure;
    int line_count;
    eval_line *lines;
} eval_section;

typedef struct eval_report {
    const char *set;           /* what the set is called; borrowed */
    const char *constant_from; /* where the constant guess comes from; borrowed, NULL: there is none */
    uint64_t films, patients;
    int resamples;
    int section_count;
    eval_section sections[4];
} eval_report;

typedef struct eval_report_options {
    const char *set, *constant_from; /* borrowed by the report */
    int resamples;                   /* of the bootstrap, 1000 is usual; 0: no intervals */
    uint64_t seed;
} eval_report_options;

/* mirrored may be NULL. Sections without unsure boxes are added where a set marks any. */
carina_status eval_report_create(eval_report **out, const eval_run *plain, const eval_run *mirrored,
                                 const eval_report_options *options, carina_error *error);
void eval_report_free(eval_report *report); /* accepts NULL */

void eval_report_print(const eval_report *report, FILE *out);
void eval_report_json(const eval_report *report, json_writer *out); /* one object */

/* The line of that name in a section, NULL when there is none. */
const eval_line *eval_report_find(const eval_section *section, const char *name);

#endif
