/* Regions with their true sentences, and what a ranking makes of them: what a calibration of sentences is fitted on.
 */
#ifndef EVAL_SENTENCE_CASES_H
#define EVAL_SENTENCE_CASES_H

#include "base/threads.h"
#include "pipeline/sentence_ranking.h"

#define SENTENCE_CASES_SHARD 64 /* regions that one thread takes at a time */

typedef struct sentence_case {
    int region;
    int64_t row;                                    /* of the true sentence in its region; -1: the database lacks it */
    bool healthy;                                   /* it names no finding */
    uint64_t findings[SENTENCE_FINDING_NAMES / 64]; /* bits: which of sentence_cases.names it names */
} sentence_case;

typedef struct sentence_cases {
    const sentence_index *index; /* borrowed */
    const atlas *regions;        /* borrowed */
    uint64_t count, room;
    sentence_case *items; /* [count] */
    float *features;      /* [count, width] */
    int name_count;       /* findings of the region set; 0 before the first region */
    const char *names[SENTENCE_FINDING_NAMES];
} sentence_cases;

/* feature [width] of one region of one film; sentence: what its annotation says. A zeroed struct with index and regions
 * is an empty one. */
carina_status sentence_cases_add(sentence_cases *cases, int region, const float *feature, const char *sentence,
                                 carina_error *error);
void sentence_cases_free(sentence_cases *cases); /* accepts an empty one */

bool sentence_case_names(const sentence_case *item, int finding);

/* What saying each region's first sentence gets right. */
typedef struct sentence_scores {
    double all, finding; /* share of regions exactly right, and of those with a finding; NaN without any */
    double f1;           /* mean over the findings that are true or said somewhere; NaN without any */
} sentence_scores;

/* Of each finding, in how many regions it is true, said, and both. */
typedef struct sentence_counts {
    uint64_t truths[SENTENCE_FINDING_NAMES], said[SENTENCE_FINDING_NAMES], hits[SENTENCE_FINDING_NAMES];
} sentence_counts;

/* counts may be NULL. */
carina_status sentence_cases_score(sentence_scores *out, sentence_counts *counts, const sentence_cases *cases,
                                   const sentence_ranking *ranking, thread_pool *pool, carina_error *error);

#endif
