/* Lines of labels: scored, printed; see label_report.h. */
#include "eval/label_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/figure.h"

/* ---- figures ---- */

static void fill_line(label_line *line, const label_column *column, const calibration *raw, const calibration *c,
                      int label) {
    *line = (label_line){.name = calibration_label(c, label),
                         .films = column->count,
                         .positives = column->positives,
                         .auc = label_auc(column, NULL),
                         .raw = label_score(column, raw, label),
                         .calibrated = label_score(column, c, label),
                         .fitted = c->label_fitted[label],
                         .reason = "",
                         .temperature = c->temperature[label],
                         .threshold = c->threshold[label]};
}

static carina_status fill(label_report *r, label_column *columns, metrics_interval *intervals, const label_table *table,
                          const calibration *raw, const label_report_options *o, carina_error *error) {
    for (int k = 0; k < r->line_count; k++) {
        TRY(label_column_create(&columns[k], table, k, error));
        fill_line(&r->lines[k], &columns[k], raw, r->calibration, k);
        if (o->outcomes) r->lines[k].reason = calibrate_reason(o->outcomes[k]);
        if (isnan(r->lines[k].auc)) continue;
        r->macro_auc += r->lines[k].auc;
        r->macro_labels++;
    }
    r->macro_auc = r->macro_labels ? r->macro_auc / r->macro_labels : NAN;
    TRY(label_bootstrap(intervals, columns, table, o->resamples, o->seed, error));
    for (int k = 0; k < r->line_count; k++)
        r->lines[k].auc_interval = isnan(r->lines[k].auc) ? (metrics_interval){NAN, NAN} : intervals[k];
    r->macro_interval = intervals[r->line_count];
    return CARINA_OK;
}

carina_status label_report_create(label_report **out, const label_table *table, const calibration *c,
                                  const label_report_options *options, carina_error *error) {
    size_t labels = (size_t)table->label_count;
    label_report *r = calloc(1, sizeof *r);
    label_column *columns = calloc(labels + 1, sizeof *columns);
    metrics_interval *intervals = calloc(labels + 1, sizeof *intervals);
    calibration *raw = malloc(sizeof *raw);
    *out = NULL;
    if (r) {
        *r = (label_report){.set = options->set,
                            .model = options->model,
                            .model_fingerprint = options->model_fingerprint,
                            .films = table->film_count,
                            .patients = table->patient_count,
                            .resamples = options->resamples,
                            .fitted_here = options->outcomes != NULL,
                            .calibration = c,
                            .sentences = options->sentences,
                            .line_count = table->label_count,
                            .lines = calloc(labels + 1, sizeof *r->lines)};
    }
    carina_status status = r && r->lines && columns && intervals && raw
                               ? CARINA_OK
                               : error_memory(error, options->set, labels * sizeof *columns);
    if (status == CARINA_OK) {
        calibration_clear(raw, table->label_count);
        status = fill(r, columns, intervals, table, raw, options, error);
    }
    for (size_t k = 0; columns && k < labels; k++) label_column_free(&columns[k]);
    free(columns);
    free(intervals);
    free(raw);
    if (status == CARINA_OK)
        *out = r;
    else
        label_report_free(r);
    return status;
}

void label_report_free(label_report *report) {
    if (!report) return;
    free(report->lines);
    free(report);
}

/* ---- table ---- */

static void print_name(FILE *out, const label_line *line, int label) {
    if (line->name)
        fprintf(out, "%-27s", line->name);
    else
        fprintf(out, "label %-21d", label);
}

static void print_line(FILE *out, const label_line *line, int label) {
    print_name(out, line, label);
    fprintf(out, " %6" PRIu64 " %6" PRIu64, line->films, line->positives);
    figure_print_interval(out, line->auc, line->auc_interval);
    figure_print(out, line->raw.nll);
    figure_print(out, line->fitted ? line->calibrated.nll : NAN);
    figure_print(out, line->raw.ece);
    figure_print(out, line->fitted ? line->calibrated.ece : NAN);
    figure_print(out, line->fitted ? (double)line->temperature : NAN);
    figure_print(out, (double)line->threshold);
    figure_print(out, line->calibrated.sensitivity);
    figure_print(out, line->calibrated.specificity);
    fputc('\n', out);
}

static void print_uncalibrated(FILE *out, const label_report *r) {
    if (!r->calibration->fitted && !r->fitted_here) {
        fputs("The model is not calibrated: read its probabilities as an order only.\n", out);
        return;
    }
    for (int reason = CALIBRATE_FITTED; reason < CALIBRATE_OUTCOMES; reason++) {
        const char *why = calibrate_reason((calibrate_outcome)reason);
        int named = 0;
        for (int k = 0; k < r->line_count; k++) {
            const label_line *line = &r->lines[k];
            if (line->fitted || strcmp(line->reason, why) != 0) continue;
            if (named++)
                fputs(", ", out);
            else
                fprintf(out, "Not calibrated%s%s: ", *why ? ", " : "", why);
            if (line->name)
                fputs(line->name, out);
            else
                fprintf(out, "label %d", k);
        }
        if (named) fputs(".\n", out);
    }
}

void label_report_print(const label_report *r, FILE *out) {
    fprintf(out, "%s: %" PRIu64 " films of %" PRIu64 " patients\n", r->set, r->films, r->patients);
    if (r->calibration->fitted && !r->fitted_here && r->calibration->fitted_on[0])
        fprintf(out, "calibrated on %s\n", r->calibration->fitted_on);
    fprintf(out, "\n%-27s %6s %6s  %5s  %-13s  %5s  %5s  %5s  %5s  %5s  %5s  %5s  %5s\n", "", "films", "with", "AUC",
            "95 %", "NLL", "cal.", "ECE", "cal.", "temp.", "cut", "sens.", "spec.");
    for (int k = 0; k < r->line_count; k++) print_line(out, &r->lines[k], k);
    fprintf(out, "%-27s %6d %6s", "mean AUC, of so many labels", r->macro_labels, "");
    figure_print_interval(out, r->macro_auc, r->macro_interval);
    fprintf(
        out,
        "\n\nNLL, ECE: of the network's probabilities, and calibrated. From the cut on a label counts as present.\n");
    if (r->resamples) fprintf(out, "95 %%: %d bootstrap resamples of patients.\n", r->resamples);
    if (r->fitted_here)
        fputs("Fitted on these very films: what is calibrated looks better here than it will on others.\n", out);
    print_uncalibrated(out, r);
    if (r->sentences) {
        fputc('\n', out);
        sentence_fit_print(r->sentences, out);
    }
}

/* ---- JSON ---- */

static void put_scores(json_writer *w, const char *key, const label_scores *s) {
    json_key(w, key);
    json_begin_inline(w, true);
    figure_put(w, "nll", s->nll);
    figure_put(w, "ece", s->ece);
    figure_put(w, "sensitivity", s->sensitivity);
    figure_put(w, "specificity", s->specificity);
    json_end(w);
}

static void put_line(json_writer *w, const label_line *line) {
    json_begin_object(w);
    json_field_text(w, "name", line->name);
    json_field_whole(w, "films", (int64_t)line->films);
    json_field_whole(w, "positives", (int64_t)line->positives);
    figure_put(w, "auc", line->auc);
    figure_put_interval(w, "auc_interval", line->auc_interval);
    json_field_truth(w, "calibrated", line->fitted);
    if (*line->reason) json_field_text(w, "reason", line->reason);
    json_key(w, "temperature");
    json_put_f32(w, line->temperature);
    json_key(w, "threshold");
    json_put_f32(w, line->threshold);
    put_scores(w, "raw_scores", &line->raw);
    put_scores(w, "scores", &line->calibrated);
    json_end(w);
}

void label_report_json(const label_report *r, json_writer *w) {
    json_begin_object(w);
    json_field_text(w, "set", r->set);
    json_field_text(w, "model", r->model);
    json_field_text(w, "model_fingerprint", r->model_fingerprint);
    json_field_whole(w, "films", (int64_t)r->films);
    json_field_whole(w, "patients", (int64_t)r->patients);
    json_field_whole(w, "resamples", r->resamples);
    json_field_truth(w, "calibrated", r->calibration->fitted);
    json_field_truth(w, "fitted_on_this_set", r->fitted_here);
    json_field_text(w, "fitted_on", r->calibration->fitted_on[0] ? r->calibration->fitted_on : NULL);
    json_key(w, "labels");
    json_begin_array(w);
    for (int k = 0; k < r->line_count; k++) put_line(w, &r->lines[k]);
    json_end(w);
    json_field_whole(w, "macro_labels", r->macro_labels);
    figure_put(w, "macro_auc", r->macro_auc);
    figure_put_interval(w, "macro_auc_interval", r->macro_interval);
    if (r->sentences) {
        json_key(w, "sentences");
        sentence_fit_json(r->sentences, w);
    }
    json_end(w);
}
