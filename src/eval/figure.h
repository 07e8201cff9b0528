/* A figure and its interval, as tables and JSON have them. NaN is "-" in a table and null in JSON. */
#ifndef EVAL_FIGURE_H
#define EVAL_FIGURE_H

#include <stdio.h>

#include "eval/bootstrap.h"
#include "format/json_writer.h"

void figure_print(FILE *out, double value);                                     /* 7 columns wide */
void figure_print_interval(FILE *out, double value, metrics_interval interval); /* 22; blank without an interval */

void figure_put(json_writer *w, const char *key, double value);
void figure_put_interval(json_writer *w, const char *key, metrics_interval interval); /* [low, high] */

#endif
