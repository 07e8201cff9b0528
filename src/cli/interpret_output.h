/* What `carina interpret` prints and writes of one film: table, JSON, overlay, page, attention. */
#ifndef CLI_INTERPRET_OUTPUT_H
#define CLI_INTERPRET_OUTPUT_H

#include "cli/film_run.h"
#include "pipeline/interpret.h"

typedef struct interpret_view {
    const locator *locator;
    const interpreter *interpreter;
    const film_job *job;
    const interpretation *made;
    bool refused; /* the check refuses the film and nobody forced it: no results are shown */
} interpret_view;

void interpret_print_table(const interpret_view *v);
void interpret_print_json(const interpret_view *v); /* one line */

carina_status interpret_write_overlay(const interpret_view *v, const char *folder, carina_error *error);
carina_status interpret_write_attention(const interpret_view *v, const char *folder, carina_error *error);
carina_status interpret_write_html(const interpret_view *v, const char *folder, carina_error *error);

/* What a sentence says of a region, without the region: "pneumonia and edema" of "Left lung shows pneumonia and edema."
 * Malloc'ed; the whole sentence when it has another form; NULL when out of memory. */
char *interpret_said(const char *sentence, const char *display);

#endif
