/* The wording tables of report.c: patterns of text_grammar.h. Slots: {side}, {loc} (where in the lung), {size} ("1.4
 * cm"), {grade} (a word for the severity). */
#ifndef DATA_PHANTOM_REPORT_WORDS_H
#define DATA_PHANTOM_REPORT_WORDS_H

#include "data/phantom/finding.h"

typedef struct report_words {
    const char *noun;       /* noun phrase with its article */
    const char *sentence;   /* one more way to say it in full; NULL: only by the frames below */
    const char *short_form; /* in the impression */
    bool amount;            /* graded small .. large, else mild .. severe */
} report_words;

extern const report_words report_words_table[FINDING_KIND_COUNT];

/* A statement that several things are absent, or that something is normal. */
typedef struct report_normal {
    const char *pattern;
    finding_kind excludes[8];  /* not said when one of these is on the film; FINDING_KIND_COUNT ends the list */
    const char *attributes[4]; /* "anatomicalfinding|no|pneumothorax" */
    const char *regions[6];
    double chance;
} report_normal;

#define REPORT_NORMAL_COUNT 14
extern const report_normal report_normals[REPORT_NORMAL_COUNT];

extern const char *const report_frame_certain;                                          /* with {noun} */
extern const char *const report_frame_uncertain;                                        /* with {noun} */
extern const char *const report_impression_certain, *const report_impression_uncertain; /* with {short} */
extern const char *const report_impression_normal;
extern const char *const report_zone_words[4][2]; /* [apical, upper, mid, lower][right, left] */
extern const char *const report_device_words[13]; /* in the order of finding_devices; with {side}, {end} */
extern const char *const report_indications, *const report_techniques[2], *const report_comparisons[2];

#endif
