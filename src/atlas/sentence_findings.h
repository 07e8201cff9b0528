/* Which findings a region's sentence names: the way back from data/region_sentence.h.
 *
 *     "Right lower lung zone shows atelectasis and lung opacity."  ->  atelectasis, lung opacity
 *     "Trachea and Main Bronchus is healthy."                      ->  none
 */
#ifndef ATLAS_SENTENCE_FINDINGS_H
#define ATLAS_SENTENCE_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atlas/atlas.h"

#define SENTENCE_JOINT   " and "
#define SENTENCE_SHOWS   " shows "
#define SENTENCE_HEALTHY " is healthy."

#define SENTENCE_FINDINGS      256 /* names in one sentence that are told apart */
#define SENTENCE_FINDING_NAMES 256 /* different ones of a region set */

typedef struct sentence_finding {
    const char *name; /* into the sentence, not terminated */
    uint32_t length;
} sentence_finding;

/* The findings that a sentence about `object` names, in its order; their number, 0 for a healthy region, -1 when the
 * text is no such sentence or names more than SENTENCE_FINDINGS. Names that hold " and " themselves ("cardiac pacer
 * and wires") are known from the findings of the region set. */
int sentence_findings_parse(sentence_finding findings[SENTENCE_FINDINGS], const char *sentence, const char *object,
                            const atlas *regions);

/* Does a sentence about `object` say that it is healthy? */
bool sentence_says_healthy(const char *sentence, const char *object);

/* The different findings of a region set, in its order, borrowed from it; their number. Those beyond
 * SENTENCE_FINDING_NAMES are left out. */
int sentence_finding_names(const char *names[SENTENCE_FINDING_NAMES], const atlas *regions);
/* The place of a name in such a list, -1: it is not there. */
int sentence_finding_find(const char *const *names, int count, const char *name, size_t length);

#endif
