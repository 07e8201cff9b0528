/* Colours for what regions show: those that share a finding share its colour, and few colours do for a film.
 *
 * A region has the colour of one of its findings: of the one that most regions show gets the first colour, and all of
 * them have it; of what is left again the most common, and so on. Ties go to the name that sorts first. "lung opacity",
 * which scene graphs put beside whatever makes one, counts for regions only that show nothing else. What needs more
 * colours than there are is "other findings".
 */
#ifndef CLI_FINDING_COLOURS_H
#define CLI_FINDING_COLOURS_H

#include "atlas/atlas.h"
#include "base/error.h"

#define FINDING_COLOURS 8 /* the last: other findings */

typedef struct finding_colours {
    int count;                        /* colours that are used */
    unsigned colour[FINDING_COLOURS]; /* 0xRRGGBB */
    char *name[FINDING_COLOURS];      /* owned */
    int of_region[ATLAS_MAX_REGIONS]; /* into these; -1: shows nothing */
} finding_colours;

/* sentences: one a region, NULL where it shows nothing. free with finding_colours_free, also after an error. */
carina_status finding_colours_choose(finding_colours *out, const char *const *sentences, const atlas *regions,
                                     carina_error *error);
void finding_colours_free(finding_colours *c);

#endif
