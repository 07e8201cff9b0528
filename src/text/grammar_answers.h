/* Ready grammars for the answers that the tasks want, as text for grammar_parse.
 *
 * Each function gives *out malloc'ed and NUL-terminated; the caller frees it.
 */
#ifndef TEXT_GRAMMAR_ANSWERS_H
#define TEXT_GRAMMAR_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define GRAMMAR_ANSWERS_LARGEST    1023 /* pixel of the square that boxes are given in */
#define GRAMMAR_ANSWERS_MAX_BOXES  64
#define GRAMMAR_ANSWERS_MAX_LABELS 2000

/* <ref>phrase</ref> in front of a box: a phrase is any text on one line without < and >. */
typedef enum grammar_reference {
    GRAMMAR_REFERENCE_NONE,
    GRAMMAR_REFERENCE_ALLOWED,
    GRAMMAR_REFERENCE_REQUIRED
} grammar_reference;

typedef struct grammar_answers_box_options {
    grammar_reference reference;
    int most; /* boxes, 1 .. GRAMMAR_ANSWERS_MAX_BOXES, one after the other or with a blank or a line break between */
    bool
        in_text; /* any text without < before, between and behind the boxes, and any number of them: `most` is 0 then */
} grammar_answers_box_options;

/* <box>(x1,y1),(x2,y2)</box>, whole numbers of 0 .. GRAMMAR_ANSWERS_LARGEST without leading zeros. That x1 < x2 is not
 * expressed. */
carina_status grammar_answers_boxes(char **out, const grammar_answers_box_options *options, carina_error *error);

/* "yes" or "no", as models write it: Yes, yes, No, no, and with a full stop. */
carina_status grammar_answers_yes_no(char **out, carina_error *error);

/* Exactly one of the labels: UTF-8, not empty, each once. */
carina_status grammar_answers_label(char **out, const char *const *labels, int count, carina_error *error);

/* One label or several, parted by ", ", at most as many as there are (one may come twice); or `none` alone (NULL: no
 * such answer). No label has a comma. */
carina_status grammar_answers_labels(char **out, const char *const *labels, int count, const char *none,
                                     carina_error *error);

/* ---- parts, for writers of other grammars ---- */

/* The text as a literal of the notation, with its quotation marks. */
void grammar_answers_quote(FILE *stream, const char *text);

/* The whole numbers low .. high in decimal, without leading zeros, as a group. low <= high. */
void grammar_answers_whole(FILE *stream, int64_t low, int64_t high);

#endif
