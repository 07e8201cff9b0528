/* What the lungs' sentences said of every film, kept as a file, so that figures can be made again, and new ones added,
 * without the model, the database and the films.
 *
 * First line: {"carina": "opacity-1", "model", "model_fingerprint", "database", "database_fingerprint", "set",
 * "ranking", ... (the order of sentences, eval/prediction_lines.h), "not_read": films left out, "regions": [names of
 * those that have an answer]}; then one line a film: {"film", "patient", "seen": 1 or 0, the reading, and, each in the
 * order of "regions", "shown": [similarities], "healthy": [similarities], "says": [1 or 0], "nearest": [sentences, for
 * people]}. eval/opacity_sentences.h says what they mean.
 */
#ifndef EVAL_OPACITY_PREDICTIONS_H
#define EVAL_OPACITY_PREDICTIONS_H

#include <stdio.h>

#include "eval/opacity.h"
#include "pipeline/sentence_ranking.h"

typedef struct opacity_origin {
    const char *model, *model_fingerprint, *database, *database_fingerprint, *set;
    sentence_order order;
} opacity_origin;
#define OPACITY_ORIGIN_TEXTS 5

/* Of the table: its regions and not_read. */
void opacity_put_origin(FILE *out, const opacity_origin *origin, const opacity_table *table);
void opacity_put_film(FILE *out, const opacity_table *table, const char *film, const char *patient, bool seen,
                      const opacity_answer answers[OPACITY_REGIONS]);

typedef struct opacity_predictions {
    char *texts[OPACITY_ORIGIN_TEXTS]; /* owned; what origin points to */
    opacity_origin origin;
    opacity_table table;
} opacity_predictions;

/* Errors name file, line and key. free with opacity_predictions_free, also after an error. */
carina_status opacity_predictions_read(opacity_predictions *out, const char *path, carina_error *error);
carina_status opacity_predictions_parse(opacity_predictions *out, const char *name, const char *text, uint64_t size,
                                        carina_error *error);
void opacity_predictions_free(opacity_predictions *p); /* accepts an empty one */

#endif
