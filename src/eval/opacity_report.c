/* Printing figures of lung opacity; see opacity_report.h. */
#include "eval/opacity_report.h"

#include <inttypes.h>

#include "eval/figure.h"
#include "eval/prediction_lines.h"
#include "pipeline/sentence_ranking.h"

static const char *const value_names[OPACITY_VALUES] = {"auc", "sensitivity", "specificity"};
#define CONSTANT_AUC 0.5 /* of any score that is the same for all films: every pair is a tie */

carina_status opacity_report_make(opacity_report *out, const opacity_table *table, const opacity_origin *origin,
                                  int resamples, uint64_t seed, carina_error *error) {
    *out = (opacity_report){.origin = *origin, .table = table, .resamples = resamples};
    return opacity_measure(&out->figures, table, resamples, seed, error);
}

/* ---- table ---- */

static void print_line(FILE *out, const char *name, const opacity_line *line) {
    fprintf(out, "%-24s", name);
    for (int v = 0; v < OPACITY_VALUES; v++) figure_print_interval(out, line->value[v], line->interval[v]);
    fputc('\n', out);
}

static void print_kind(FILE *out, const char *name, const opacity_figures *f, int kind) {
    fprintf(out, "%-24s%5" PRIu64 " films of %" PRIu64 " patients\n", name, f->films[kind], f->patients[kind]);
}

static void print_left_out(const opacity_report *r, FILE *out) {
    int named = 0;
    for (int i = 0; i < OPACITY_REGIONS; i++) {
        if (r->table->answers[i]) continue;
        fprintf(out, "%s%s", named++ ? ", " : "Left out, without sentences of both kinds: ", opacity_region_names[i]);
    }
    if (named) fputs(".\n", out);
}

void opacity_report_print(const opacity_report *r, FILE *out) {
    const opacity_figures *f = &r->figures;
    char ranking[100];
    fprintf(out, "%s: %" PRIu64 " films of %" PRIu64 " patients that radiologists read for lung opacity\n",
            r->origin.set, r->table->count, f->patient_count);
    print_kind(out, "with opacity", f, 1);
    print_kind(out, "without", f, 0);
    fprintf(out, "%-24s%5" PRIu64 " films, left out\n", "not read", r->table->not_read);
    fprintf(out, "\n%-24s  %5s  %-13s  %5s  %-13s  %5s  %s\n", "", "AUC", "95 %", "sens.", "95 %", "spec.", "95 %");
    print_line(out, "film", &f->lines[0]);
    fprintf(out, "%-24s", "constant guess");
    figure_print(out, CONSTANT_AUC);
    fputs("\n\none region alone\n", out);
    for (int i = 0; i < OPACITY_REGIONS; i++)
        if (r->table->answers[i]) print_line(out, opacity_region_names[i], &f->lines[1 + i]);
    print_left_out(r, out);
    fputs(
        "\nAUC: of how much nearer the nearest sentence that shows an opacity is than \"is healthy\"; a film's is the\n"
        "largest of its regions. sens., spec.: a film counts as opaque when a region's first sentence of all shows\n"
        "an opacity; a constant guess makes sens. + spec. 1.\n",
        out);
    fprintf(out, "Sentences are ranked by %s.\n", sentence_order_text(ranking, sizeof ranking, r->origin.order));
    if (r->resamples) fprintf(out, "95 %%: %d bootstrap resamples of patients.\n", r->resamples);
}

/* ---- JSON ---- */

static void put_line(json_writer *w, const opacity_line *line) {
    for (int v = 0; v < OPACITY_VALUES; v++) {
        char key[32];
        figure_put(w, value_names[v], line->value[v]);
        snprintf(key, sizeof key, "%s_interval", value_names[v]);
        figure_put_interval(w, key, line->interval[v]);
    }
}

static void put_kind(json_writer *w, const char *key, const opacity_figures *f, int kind) {
    json_key(w, key);
    json_begin_inline(w, true);
    json_field_whole(w, "films", (int64_t)f->films[kind]);
    json_field_whole(w, "patients", (int64_t)f->patients[kind]);
    json_end(w);
}

void opacity_report_json(const opacity_report *r, json_writer *w) {
    const opacity_figures *f = &r->figures;
    json_begin_object(w);
    json_field_text(w, "set", r->origin.set);
    json_field_text(w, "model", r->origin.model);
    json_field_text(w, "model_fingerprint", r->origin.model_fingerprint);
    json_field_text(w, "database", r->origin.database);
    json_field_text(w, "database_fingerprint", r->origin.database_fingerprint);
    prediction_put_order(w, r->origin.order);
    json_field_whole(w, "films", (int64_t)r->table->count);
    json_field_whole(w, "patients", (int64_t)f->patient_count);
    put_kind(w, "with_opacity", f, 1);
    put_kind(w, "without_opacity", f, 0);
    json_field_whole(w, "not_read", (int64_t)r->table->not_read);
    json_field_whole(w, "resamples", r->resamples);
    put_line(w, &f->lines[0]);
    figure_put(w, "constant_auc", CONSTANT_AUC);
    json_key(w, "regions");
    json_begin_array(w);
    for (int i = 0; i < OPACITY_REGIONS; i++) {
        if (!r->table->answers[i]) continue;
        json_begin_object(w);
        json_field_text(w, "region", opacity_region_names[i]);
        put_line(w, &f->lines[1 + i]);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}
