/* Files of kept predictions, one JSON object a line: the first says what made them ("carina": the format's name), each
 * other is one item. Errors name file, line and key.
 */
#ifndef EVAL_PREDICTION_LINES_H
#define EVAL_PREDICTION_LINES_H

#include "format/json.h"
#include "format/json_writer.h"
#include "pipeline/sentence_ranking.h"

#define PREDICTION_MAX_BYTES (2ull << 30)

typedef struct prediction_lines {
    const char *format; /* what the first line must have as "carina" */
    carina_status (*take_origin)(void *context, const json_document *line, carina_error *error);
    carina_status (*take_item)(void *context, uint64_t item, const json_document *line, carina_error *error); /* 0, 1 */
    void *context;
} prediction_lines;

/* A file without items is an error, and so is an item whose film (and region, where it names one) was there. name is
 * used in messages. */
carina_status prediction_lines_parse(const prediction_lines *reader, const char *name, const char *text, uint64_t size,
                                     carina_error *error);
carina_status prediction_lines_read(const prediction_lines *reader, const char *path, carina_error *error);

/* A required text of a line, malloc'ed. */
carina_status prediction_text(char **out, const json_document *line, const char *key, carina_error *error);

/* What sentences were ranked by, in an object that is open: "ranking": "cosine" or "calibrated", "prior_weight" and
 * "healthy_discount" and "finding_worth". */
void prediction_put_order(json_writer *w, sentence_order order);
/* These numbers, of a file's first line; 0 in files from before there were any. */
carina_status prediction_order(sentence_order *out, const json_document *line, carina_error *error);

#endif
