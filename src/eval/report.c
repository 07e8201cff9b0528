/* Lines of an evaluation: collected, scored, printed; see report.h. */
#include "eval/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/figure.h"

/* What a section is scored from. */
typedef struct scorer {
    const eval_run *run;
    metrics_film *films, *constant; /* rows of the tables below */
    float *iou, *constant_iou;      /* copies in which boxes left out are NaN */
    bool *keep;
    const eval_report_options *options;
    eval_section *section;
    int capacity;
    carina_error *error;
} scorer;

/* ---- one line ---- */

/* The constant guess is scored on the same films. */
static metrics_scores score_kept(const scorer *s, const metrics_film *films, const int *regions, int count,
                                 double *weights, bool filtered) {
    for (uint64_t f = 0; f < s->run->film_count; f++) weights[f] = !filtered || s->keep[f] ? 1 : 0;
    return metrics_score(films, s->run->film_count, weights, regions, count);
}

/* Adds a line unless it has no truth. keep is looked at when `filtered`. */
static carina_status add_line(scorer *s, eval_line_kind kind, const char *name, const int *regions, int count,
                              bool filtered) {
    double *weights = calloc((size_t)s->run->film_count + 1, sizeof *weights);
    if (!weights) return error_memory(s->error, "evaluation", s->run->film_count * sizeof *weights);
    eval_line line = {.kind = kind};
    snprintf(line.name, sizeof line.name, "%s", name);
    line.scores = score_kept(s, s->films, regions, count, weights, filtered);
    line.constant = score_kept(s, s->constant, regions, count, weights, filtered);
    free(weights);
    if (line.scores.boxes == 0) return CARINA_OK;
    TRY(metrics_bootstrap(&line.intervals, s->films, s->run->film_count, filtered ? s->keep : NULL, regions, count,
                          s->options->resamples, s->options->seed, s->error));
    eval_section *section = s->section;
    if (section->line_count == s->capacity) {
        int capacity = s->capacity ? 2 * s->capacity : 64;
        eval_line *grown = realloc(section->lines, (size_t)capacity * sizeof *grown);
        if (!grown) return error_memory(s->error, "evaluation", (unsigned long long)capacity * sizeof *grown);
        section->lines = grown;
        s->capacity = capacity;
    }
    section->lines[section->line_count++] = line;
    return CARINA_OK;
}

/* "left lung" and "right lung" are both "lung (both sides)"; twins named otherwise are joined by "and". */
static void pair_name(char *out, size_t size, const atlas *set, int a, int b) {
    const char *first = set->regions[a].name, *second = set->regions[b].name;
    const char *rest_a = strncmp(first, "left ", 5) == 0    ? first + 5
                         : strncmp(first, "right ", 6) == 0 ? first + 6
                                                            : "";
    const char *rest_b = strncmp(second, "left ", 5) == 0    ? second + 5
                         : strncmp(second, "right ", 6) == 0 ? second + 6
                                                             : "";
    if (*rest_a && strcmp(rest_a, rest_b) == 0)
        snprintf(out, size, "%s (both sides)", rest_a);
    else
        snprintf(out, size, "%s and %s", first, second);
}

static carina_status add_regions(scorer *s) {
    const atlas *set = s->run->regions;
    int all[ATLAS_MAX_REGIONS];
    for (int i = 0; i < set->region_count; i++) all[i] = i;
    TRY(add_line(s, EVAL_ALL, "all regions", all, set->region_count, false));
    for (int i = 0; i < set->region_count; i++) TRY(add_line(s, EVAL_REGION, set->regions[i].name, &i, 1, false));
    for (int i = 0; i < set->region_count; i++) {
        int partner = set->regions[i].partner;
        if (partner <= i) continue;
        char name[96];
        pair_name(name, sizeof name, set, i, partner);
        TRY(add_line(s, EVAL_PAIR, name, (int[]){i, partner}, 2, false));
    }
    return CARINA_OK;
}

/* ---- strata ---- */

/* What a film counts as, "" when it is not known. */
static const char *sex_of(const eval_film *f) { return f->sex == 'M' ? "M" : f->sex == 'F' ? "F" : ""; }
static const char *age_of(const eval_film *f) {
    return f->age < 0 ? "" : f->age < 18 ? "0-17" : f->age < 40 ? "18-39" : f->age < 65 ? "40-64" : "65 and over";
}
static const char *view_of(const eval_film *f) { return f->view; }
static const char *equipment_of(const eval_film *f) { return f->equipment < 0 ? "" : f->equipment ? "yes" : "no"; }

static const struct {
    const char *name;
    const char *(*of)(const eval_film *);
    const char *values[5];
} strata[] = {
    {"sex", sex_of, {"F", "M", NULL}},
    {"age", age_of, {"0-17", "18-39", "40-64", "65 and over", NULL}},
    {"view", view_of, {"AP", "PA", NULL}},
    {"equipment", equipment_of, {"no", "yes", NULL}},
};

static carina_status add_strata(scorer *s) {
    int all[ATLAS_MAX_REGIONS], count = s->run->regions->region_count;
    for (int i = 0; i < count; i++) all[i] = i;
    for (size_t k = 0; k < sizeof strata / sizeof strata[0]; k++)
        for (int v = 0; strata[k].values[v]; v++) {
            uint64_t kept = 0;
            for (uint64_t f = 0; f < s->run->film_count; f++) {
                s->keep[f] = strcmp(strata[k].of(&s->run->films[f]), strata[k].values[v]) == 0;
                kept += s->keep[f];
            }
            char name[96];
            snprintf(name, sizeof name, "%s %s", strata[k].name, strata[k].values[v]);
            if (kept) TRY(add_line(s, EVAL_STRATUM, name, all, count, true));
        }
    return CARINA_OK;
}

/* ---- sections ---- */

static carina_status fill_section(scorer *s) {
    const eval_run *run = s->run;
    uint64_t regions = (uint64_t)run->regions->region_count, cells = run->film_count * regions;
    for (uint64_t i = 0; i < cells; i++) {
        bool left_out = s->section->without_unsure && run->unsure[i];
        s->iou[i] = left_out ? NAN : run->iou[i];
        s->constant_iou[i] = left_out ? NAN : run->constant_iou[i];
    }
    for (uint64_t f = 0; f < run->film_count; f++) {
        s->films[f] = (metrics_film){s->iou + f * regions, run->films[f].patient};
        s->constant[f] = (metrics_film){s->constant_iou + f * regions, run->films[f].patient};
    }
    TRY(add_regions(s));
    return add_strata(s);
}

static carina_status add_section(eval_report *report, const eval_run *run, bool without_unsure,
                                 const eval_report_options *options, carina_error *error) {
    size_t films = (size_t)run->film_count, cells = films * (size_t)run->regions->region_count;
    scorer s = {.run = run, .options = options, .error = error};
    s.section = &report->sections[report->section_count++];
    s.section->mirrored = run->mirrored;
    s.section->without_unsure = without_unsure;
    s.films = calloc(films + 1, sizeof *s.films);
    s.constant = calloc(films + 1, sizeof *s.constant);
    s.iou = calloc(cells + 1, sizeof *s.iou);
    s.constant_iou = calloc(cells + 1, sizeof *s.constant_iou);
    s.keep = calloc(films + 1, sizeof *s.keep);
    carina_status status = CARINA_OK;
    if (!s.films || !s.constant || !s.iou || !s.constant_iou || !s.keep)
        status = error_memory(error, "evaluation", cells * 8);
    if (status == CARINA_OK) status = fill_section(&s);
    free(s.films);
    free(s.constant);
    free(s.iou);
    free(s.constant_iou);
    free(s.keep);
    return status;
}

carina_status eval_report_create(eval_report **out, const eval_run *plain, const eval_run *mirrored,
                                 const eval_report_options *options, carina_error *error) {
    *out = NULL;
    eval_report *report = calloc(1, sizeof *report);
    if (!report) return error_memory(error, "evaluation", sizeof *report);
    report->set = options->set;
    report->constant_from = options->constant_from;
    report->films = plain->film_count;
    report->patients = plain->patient_count;
    report->resamples = options->resamples;
    const eval_run *runs[] = {plain, mirrored};
    carina_status status = CARINA_OK;
    for (int i = 0; i < 2 && status == CARINA_OK; i++) {
        if (!runs[i]) continue;
        status = add_section(report, runs[i], false, options, error);
        if (status == CARINA_OK && runs[i]->any_unsure) status = add_section(report, runs[i], true, options, error);
    }
    if (status != CARINA_OK) {
        eval_report_free(report);
        return status;
    }
    *out = report;
    return CARINA_OK;
}

void eval_report_free(eval_report *report) {
    if (!report) return;
    for (int i = 0; i < report->section_count; i++) free(report->sections[i].lines);
    free(report);
}

const eval_line *eval_report_find(const eval_section *section, const char *name) {
    for (int i = 0; i < section->line_count; i++)
        if (strcmp(section->lines[i].name, name) == 0) return &section->lines[i];
    return NULL;
}

/* ---- table ---- */

static void print_number(FILE *out, double value) {
    if (isnan(value))
        fputs("     - ", out);
    else
        fprintf(out, " %5.3f ", value);
}

static void print_line(const eval_line *l, FILE *out) {
    fprintf(out, "%-34.34s %6llu ", l->name, (unsigned long long)l->scores.boxes);
    print_number(out, l->scores.iou);
    if (isnan(l->intervals.iou.low))
        fputs("              ", out);
    else
        fprintf(out, "%5.3f-%5.3f   ", l->intervals.iou.low, l->intervals.iou.high);
    print_number(out, l->scores.map_film);
    print_number(out, l->scores.map);
    for (int t = 0; t < METRICS_THRESHOLDS; t++) print_number(out, l->scores.ap[t]);
    fputs(" |", out);
    print_number(out, l->constant.iou);
    print_number(out, l->constant.map_film);
    fputc('\n', out);
}

void eval_report_print(const eval_report *report, FILE *out) {
    static const char *const titles[] = {"", "regions", "left and right together", "by stratum (all regions)"};
    fprintf(out, "%s: %llu films of %llu patients\n", report->set, (unsigned long long)report->films,
            (unsigned long long)report->patients);
    for (int i = 0; i < report->section_count; i++) {
        const eval_section *s = &report->sections[i];
        fprintf(out, "\n%s%s\n", s->mirrored ? "mirrored films" : "films as they are",
                s->without_unsure ? ", without boxes marked unsure" : "");
        fprintf(out, "%-34s %6s  %-6s%-14s %-6s %-6s %-6s %-6s %-6s %-6s | constant guess\n", "", "boxes", "IoU",
                "95 %", "mAP", "mAP*", "AP.25", "AP.50", "AP.75", "AP.95");
        eval_line_kind kind = EVAL_ALL;
        for (int k = 0; k < s->line_count; k++) {
            if (s->lines[k].kind != kind) fprintf(out, "  %s\n", titles[kind = s->lines[k].kind]);
            print_line(&s->lines[k], out);
        }
    }
    fprintf(out,
            "\nmAP: per film, then the mean over films, as the reference computes it; mAP* and AP: over all films at "
            "once.\nA missing box counts 0. 95 %%: %d bootstrap resamples of patients.\n",
            report->resamples);
    if (report->constant_from)
        fprintf(out, "Constant guess (IoU, mAP): the mean box of each region, from %s.\n", report->constant_from);
}

/* ---- JSON ---- */

static void put_list(json_writer *w, const char *key, const double *values) {
    json_key(w, key);
    json_begin_inline(w, false);
    for (int t = 0; t < METRICS_THRESHOLDS; t++) json_put_fixed(w, values[t], 5);
    json_end(w);
}

static void put_scores(json_writer *w, const metrics_scores *s) {
    figure_put(w, "iou", s->iou);
    figure_put(w, "iou_found", s->iou_found);
    figure_put(w, "map", s->map);
    figure_put(w, "map_per_film", s->map_film);
    put_list(w, "ap", s->ap);
    put_list(w, "hit_rate", s->hit_rate);
}

static void put_line(json_writer *w, const eval_line *l, bool with_constant) {
    static const char *const kinds[] = {"all", "region", "pair", "stratum"};
    json_begin_object(w);
    json_field_text(w, "kind", kinds[l->kind]);
    json_field_text(w, "name", l->name);
    json_field_whole(w, "films", (int64_t)l->scores.films);
    json_field_whole(w, "boxes", (int64_t)l->scores.boxes);
    put_scores(w, &l->scores);
    figure_put_interval(w, "iou_interval", l->intervals.iou);
    figure_put_interval(w, "map_interval", l->intervals.map);
    figure_put_interval(w, "map_per_film_interval", l->intervals.map_film);
    if (with_constant) {
        json_key(w, "constant");
        json_begin_object(w);
        put_scores(w, &l->constant);
        json_end(w);
    }
    json_end(w);
}

void eval_report_json(const eval_report *report, json_writer *w) {
    json_begin_object(w);
    json_field_text(w, "set", report->set);
    json_field_text(w, "constant_from", report->constant_from);
    json_field_whole(w, "films", (int64_t)report->films);
    json_field_whole(w, "patients", (int64_t)report->patients);
    json_field_whole(w, "resamples", report->resamples);
    put_list(w, "thresholds", metrics_threshold);
    json_key(w, "sections");
    json_begin_array(w);
    for (int i = 0; i < report->section_count; i++) {
        const eval_section *s = &report->sections[i];
        json_begin_object(w);
        json_field_truth(w, "mirrored", s->mirrored);
        json_field_truth(w, "without_unsure", s->without_unsure);
        json_key(w, "lines");
        json_begin_array(w);
        for (int k = 0; k < s->line_count; k++) put_line(w, &s->lines[k], report->constant_from != NULL);
        json_end(w);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}
