/* The report of a phantom: FINDINGS and IMPRESSION in varied wording, and what each sentence says of which region.
 *
 * A report tells what is on the film, with the gaps and hedges of real ones: some findings are passed over, some are
 * only suspected, absences are stated for some things and not for others. Labels and scene graph follow the text, as
 * they do in the real sets (there both were mined from reports); the whole truth stays in finding_truth.h. What is said
 * is drawn first, each sentence in its first wording; then, from a stream of its own, other words for it
 * (report_affirmation.h, report_absence.h), so that more words leave the rest of a set as it was. All wording is our
 * own.
 */
#ifndef DATA_PHANTOM_REPORT_H
#define DATA_PHANTOM_REPORT_H

#include <stddef.h>

#include "data/phantom/finding_truth.h"

#define REPORT_MAX_PHRASES    48
#define REPORT_MAX_ATTRIBUTES 10
#define REPORT_TEXT           320

typedef struct report_phrase {
    char text[REPORT_TEXT];
    bool impression;        /* else FINDINGS */
    bool names_region;      /* the text itself says where */
    const char *severity;   /* "mild" ..., or NULL */
    const char *comparison; /* with the film before: "no change", "improved", "worsened", or NULL */
    int attribute_count;
    char attributes[REPORT_MAX_ATTRIBUTES][64]; /* "anatomicalfinding|yes|pleural effusion" */
    finding_regions regions;
} report_phrase;

typedef struct report {
    char indication[96], comparison[64], technique[96];
    int phrase_count;
    report_phrase phrases[REPORT_MAX_PHRASES];
    float labels[ATLAS_LABEL_COUNT]; /* 1, 0, -1 as worded; NaN not mentioned */
} report;

/* `prior`: the findings of the patient's film before this one, NULL when this is the first. Deterministic in the random
 * state. */
void report_make(report *out, const finding_film *film, const phantom_scene *scene, const finding_list *prior,
                 random_state *random);

/* The label that "category|no|name" sets to 0, -1: none. */
int report_label_of_denial(const char *attribute);

/* The report as a file's text (with section headers), at most size - 1 bytes; returns its length. */
size_t report_text(char *out, size_t size, const report *r);

#endif
