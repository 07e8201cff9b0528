/* What the sentences of the lungs say of lung opacity, and how near a film's region features lie to them.
 *
 * The regions are those of opacity_region_names that the region set has: both lungs and the zones of each (hila, angles
 * and hemidiaphragms are no lung). A sentence about one of them (atlas/sentence_findings.h)
 *
 * - shows an opacity when it names a finding that fills or collapses air spaces, which on one film cannot be told from
 *   pneumonia: airspace opacity, consolidation, infiltration, pneumonia, aspiration, hemorrhage, edema, atelectasis,
 *   collapse. "lung opacity" alone counts too. But Chest ImaGenome puts "lung opacity" above nearly everything that is
 *   bright within a lung's box; so beside a nodule, a mass, a scar or an effusion, which readers of the RSNA 2018
 *   challenge told from opacity, and without any of the former, it does not;
 * - is healthy when it says so;
 * - is neither otherwise: pneumothorax, devices, ...
 */
#ifndef EVAL_OPACITY_SENTENCES_H
#define EVAL_OPACITY_SENTENCES_H

#include <stdbool.h>

#include "pipeline/sentence_ranking.h"

#define OPACITY_REGIONS 10
extern const char *const opacity_region_names[OPACITY_REGIONS];

typedef enum opacity_kind { OPACITY_NEITHER, OPACITY_HEALTHY, OPACITY_SHOWN } opacity_kind;

/* object: the region's display name. A text that is no such sentence is neither. */
opacity_kind opacity_sentence_kind(const char *sentence, const char *object, const atlas *regions);

/* Of one region of one film. */
typedef struct opacity_answer {
    float shown, healthy; /* the highest similarity (cosine) of a sentence that shows an opacity; that of the healthy */
    bool says;            /* the first of all the region's sentences, as they are ranked, shows an opacity */
    const char *nearest;  /* that sentence: the database's text */
} opacity_answer;

/* The lungs' sentences of a database, sorted into kinds once. */
typedef struct opacity_database opacity_database;

/* ranking and regions are borrowed. A region whose sentences are not of both kinds, healthy and showing an opacity, has
 * no answer; a database in which none has them is CARINA_ERROR_MISMATCH. name is the database's in the message. */
carina_status opacity_database_create(opacity_database **out, const sentence_ranking *ranking, const atlas *regions,
                                      const char *name, carina_error *error);
void opacity_database_free(opacity_database *database); /* accepts NULL */

const bool *opacity_database_answers(const opacity_database *database); /* [OPACITY_REGIONS] which have one */

/* features [N, R] of all the set's regions; out [OPACITY_REGIONS], zeros where there is no answer. */
carina_status opacity_database_ask(opacity_database *database, const float *features,
                                   opacity_answer out[OPACITY_REGIONS], carina_error *error);

#endif
