/* What a film's report says of a region, as one sentence: AnatomiX's text side (arXiv 2601.03191, "APM training").
 *
 *     "Right lower lung zone shows atelectasis and lung opacity and pneumonia."
 *     "Trachea and Main Bronchus is healthy."
 *
 * Made from the scene graph's attributes "category|yes|name", over all phrases that speak of the region:
 *   - a finding that any phrase affirms is named, even when another phrase denies it (as the reference does);
 *   - categories laterality, severity and nlp are left out, and so is what is not of three parts or has an empty name;
 *   - anatomicalfinding first, then disease, device, tubesandlines, technicalassessment, then any other category in
 *     the order of its bytes; names within a category in the order of their bytes. (The reference leaves the order of
 *     the later categories to chance: ours is fixed, so that equal findings give equal sentences.)
 *   - a name is said once, in the first category that has it;
 *   - every join is " and ", the region is called by its display name, and with nothing left it "is healthy";
 *   - several entries for one region: the last counts (as in the reference; real files have one);
 *   - control characters in a name become blanks: a sentence is one line.
 * A region without a box has no sentence. (The reference says it is healthy, which nobody has seen.)
 */
#ifndef DATA_REGION_SENTENCE_H
#define DATA_REGION_SENTENCE_H

#include "atlas/atlas.h"
#include "data/scene_graph.h"

#define REGION_SENTENCE_MAX 4096 /* bytes; real ones stay below 500 */

/* *out is malloc'ed. mention NULL: the report does not speak of the region, which is healthy then. A sentence above
 * REGION_SENTENCE_MAX is CARINA_ERROR_LIMIT. */
carina_status region_sentence_make(char **out, const char *object, const scene_mention *mention, carina_error *error);

/* sentences[r] for each region of the set with present[r] (malloc'ed, the caller's), NULL for the others. On failure
 * all are NULL. */
carina_status region_sentences_make(char **sentences, const atlas *regions, const scene_graph *graph,
                                    const bool *present, carina_error *error);

#endif
