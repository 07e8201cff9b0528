/* The "interpret" stage: what each region shows. For a film, beside the boxes: the sentences of its region's part of a
 * sentence database that fit each region feature best (AnatomiX's contrastive retrieval), the image-level
 * findings, whether the picture looks like a frontal chest film, and, when asked, what each region attends to.
 *
 * An interpreter borrows a locator; one call at a time. Results do not depend on films beside it or threads.
 */
#ifndef PIPELINE_INTERPRET_H
#define PIPELINE_INTERPRET_H

#include "base/fingerprint.h"
#include "index/sentence_index.h"
#include "pipeline/calibration.h"
#include "pipeline/film_check.h"
#include "pipeline/locate.h"
#include "pipeline/sentence_ranking.h"

typedef struct interpreter interpreter;

typedef struct region_sentence_hit {
    const char *text;  /* borrowed from the interpreter's database */
    uint64_t seen;     /* training films that say it */
    float similarity;  /* cosine */
    float probability; /* of all that the database has for the region; NaN when not calibrated */
} region_sentence_hit;

typedef struct interpreted_region {
    int count;                            /* of sentences: 0 without a database, or when it has none for the region */
    const region_sentence_hit *sentences; /* by the ranking, best first; part of the interpretation */
    bool healthy;                         /* the first says "... is healthy." */
} interpreted_region;

typedef struct interpreted_finding {
    const char *name; /* NULL: the model's labels are not the 14 of CheXpert */
    float probability, threshold;
    bool present; /* probability >= threshold */
    bool calibrated;
} interpreted_finding;

typedef struct interpretation {
    carina_location location;
    film_check check;
    interpreted_region *regions; /* [location.region_count] */
    int finding_count;
    interpreted_finding *findings;
    locator_reading reading;
    region_sentence_hit *hits; /* all regions' */
} interpretation;

typedef struct interpreter_options {
    const char *database; /* NULL: looked for beside the model; none there is no error */
    int top;              /* sentences a region, 1 .. SENTENCE_INDEX_MAX_K */
    bool cosine;          /* rank sentences by cosine alone, whatever the calibration */
} interpreter_options;

/* The database beside models/NAME.safetensors is models/NAME.sentences.sqlite. One that was made with another model is
 * CARINA_ERROR_MISMATCH, wherever it was found. */
carina_status interpreter_open(interpreter **out, locator *l, const interpreter_options *options, carina_error *error);
void interpreter_close(interpreter *i); /* accepts NULL; not the locator */

/* Borrowed. */
const char *interpreter_database_path(const interpreter *i); /* NULL: there is none */
const sentence_index *interpreter_database(const interpreter *i);
const char *interpreter_fingerprint(const interpreter *i); /* of the model */
const calibration *interpreter_calibration(const interpreter *i);
const sentence_ranking *interpreter_ranking(const interpreter *i); /* NULL without a database */

carina_status interpreter_run(interpreter *i, const study *const *films, int count, interpretation *out,
                              carina_error *error);
void interpretation_free(interpretation *made); /* accepts an empty one */

#endif
