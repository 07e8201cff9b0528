/* Printing figures; see figure.h. */
#include "eval/figure.h"

#include <math.h>

#define DECIMALS 5

void figure_print(FILE *out, double value) {
    if (isnan(value))
        fputs("      -", out);
    else
        fprintf(out, "  %5.3f", value);
}

void figure_print_interval(FILE *out, double value, metrics_interval interval) {
    figure_print(out, value);
    if (isnan(interval.low))
        fprintf(out, "  %-13s", "");
    else
        fprintf(out, "  %5.3f - %5.3f", interval.low, interval.high);
}

void figure_put(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_put_fixed(w, value, DECIMALS);
}

void figure_put_interval(json_writer *w, const char *key, metrics_interval interval) {
    json_key(w, key);
    json_begin_inline(w, false);
    json_put_fixed(w, interval.low, DECIMALS);
    json_put_fixed(w, interval.high, DECIMALS);
    json_end(w);
}
