/* Printing figures of retrieval, and keeping what they were made of; see retrieval_report.h. */
#include "eval/retrieval_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/prediction_lines.h"
#include "pipeline/sentence_ranking.h"

#define FORMAT_NAME "retrieval-1"

static carina_status fill(retrieval_report *r, const retrieval_set *set, int resamples, uint64_t seed,
                          carina_error *error) {
    TRY(retrieval_score(&r->all, set, NULL, -1, error));
    TRY(retrieval_bootstrap(r->all_intervals, set, -1, resamples, seed, error));
    for (int i = 0; i < r->regions->region_count; i++) {
        TRY(retrieval_score(&r->region[i], set, NULL, i, error));
        TRY(retrieval_bootstrap(r->region_intervals[i], set, i, resamples, seed, error));
    }
    retrieval_score_findings(r->findings, set);
    return CARINA_OK;
}

carina_status retrieval_report_create(retrieval_report **out, const char *title, const retrieval_predictions *p,
                                      int resamples, uint64_t seed, carina_error *error) {
    const retrieval_collector *c = p->collector;
    retrieval_set set = retrieval_collector_set(c);
    retrieval_report *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r) return error_memory(error, title, sizeof *r);
    r->title = title;
    r->order = retrieval_collector_order(c);
    r->regions = p->regions;
    r->films = p->films;
    r->patients = retrieval_collector_patients(c);
    r->resamples = resamples;
    r->finding_count = set.finding_count;
    for (int f = 0; f < set.finding_count; f++) r->finding_names[f] = retrieval_collector_finding(c, f);
    carina_status status = fill(r, &set, resamples, seed, error);
    if (status != CARINA_OK) {
        free(r);
        return status;
    }
    *out = r;
    return CARINA_OK;
}

/* ---- the table ---- */

static void print_number(FILE *out, double value) {
    if (isnan(value))
        fprintf(out, "%8s", "-");
    else
        fprintf(out, "%8.3f", value);
}

static void print_all(const retrieval_report *r, FILE *out) {
    char name[64];
    fprintf(out, "%-30s%8s  95 %% interval\n", "all regions", "");
    for (int m = 0; m < RETRIEVAL_METRIC_COUNT; m++) {
        const metrics_interval *i = &r->all_intervals[m];
        fprintf(out, "%-30s", retrieval_metric_name(name, sizeof name, m));
        print_number(out, r->all.value[m]);
        if (r->resamples && !isnan(i->low)) fprintf(out, "  %.3f - %.3f", i->low, i->high);
        fputc('\n', out);
    }
}

static void print_regions(const retrieval_report *r, FILE *out) {
    static const int shown[] = {RETRIEVAL_RECALL,        RETRIEVAL_RECALL + 1,     RETRIEVAL_RECALL + 2, RETRIEVAL_MRR,
                                RETRIEVAL_EXACT_FINDING, RETRIEVAL_ALWAYS_HEALTHY, RETRIEVAL_FINDING_F1};
    fprintf(out, "\n%-26s%7s%8s%8s%8s%8s%8s%8s%8s\n", "region", "items", "R@1", "R@5", "R@10", "MRR", "finding",
            "healthy", "F1");
    for (int i = 0; i < r->regions->region_count; i++) {
        if (!r->region[i].items) continue;
        fprintf(out, "%-26s%7" PRIu64, r->regions->regions[i].name, r->region[i].items);
        for (size_t k = 0; k < sizeof shown / sizeof *shown; k++) print_number(out, r->region[i].value[shown[k]]);
        fputc('\n', out);
    }
    fputs("finding: exactly right where there is one; healthy: what always saying so would get right\n", out);
}

static void print_findings(const retrieval_report *r, FILE *out) {
    fprintf(out, "\n%-44s%8s%10s%8s%8s\n", "finding", "true", "retrieved", "hits", "F1");
    for (int f = 0; f < r->finding_count; f++) {
        const retrieval_finding_score *s = &r->findings[f];
        fprintf(out, "%-44s%8" PRIu64 "%10" PRIu64 "%8" PRIu64, r->finding_names[f], s->truths, s->retrieved, s->hits);
        print_number(out, s->f1);
        fputc('\n', out);
    }
}

void retrieval_report_print(const retrieval_report *r, FILE *out) {
    char ranking[100];
    fprintf(out, "%s: %" PRIu64 " regions of %" PRIu64 " films of %" PRIu64 " patients\nranked by %s\n\n", r->title,
            r->all.items, r->films, r->patients, sentence_order_text(ranking, sizeof ranking, r->order));
    print_all(r, out);
    print_regions(r, out);
    print_findings(r, out);
}

/* ---- JSON ---- */

static void put_scores(json_writer *w, const retrieval_scores *s, const metrics_interval *intervals, bool resampled) {
    char name[64];
    json_field_whole(w, "items", (int64_t)s->items);
    json_key(w, "metrics");
    json_begin_object(w);
    for (int m = 0; m < RETRIEVAL_METRIC_COUNT; m++) {
        json_key(w, retrieval_metric_name(name, sizeof name, m));
        json_begin_inline(w, true);
        json_key(w, "value");
        json_put_fixed(w, s->value[m], 6);
        if (resampled) {
            json_key(w, "low");
            json_put_fixed(w, intervals[m].low, 6);
            json_key(w, "high");
            json_put_fixed(w, intervals[m].high, 6);
        }
        json_end(w);
    }
    json_end(w);
}

void retrieval_report_json(const retrieval_report *r, json_writer *w) {
    json_begin_object(w);
    json_field_text(w, "set", r->title);
    json_field_whole(w, "films", (int64_t)r->films);
    json_field_whole(w, "patients", (int64_t)r->patients);
    json_field_whole(w, "resamples", r->resamples);
    prediction_put_order(w, r->order);
    put_scores(w, &r->all, r->all_intervals, r->resamples > 0);
    json_key(w, "regions");
    json_begin_array(w);
    for (int i = 0; i < r->regions->region_count; i++) {
        if (!r->region[i].items) continue;
        json_begin_object(w);
        json_field_text(w, "region", r->regions->regions[i].name);
        put_scores(w, &r->region[i], r->region_intervals[i], r->resamples > 0);
        json_end(w);
    }
    json_end(w);
    json_key(w, "findings");
    json_begin_array(w);
    for (int f = 0; f < r->finding_count; f++) {
        const retrieval_finding_score *s = &r->findings[f];
        json_begin_inline(w, true);
        json_field_text(w, "finding", r->finding_names[f]);
        json_field_whole(w, "true", (int64_t)s->truths);
        json_field_whole(w, "retrieved", (int64_t)s->retrieved);
        json_field_whole(w, "hits", (int64_t)s->hits);
        json_key(w, "f1");
        json_put_fixed(w, s->f1, 6);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

/* ---- predictions ---- */

void retrieval_put_origin(FILE *out, const retrieval_origin *origin) {
    json_writer w = json_writer_make(out, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_text(&w, "carina", FORMAT_NAME);
    json_field_text(&w, "region_set", origin->region_set);
    json_field_text(&w, "model", origin->model);
    json_field_text(&w, "model_fingerprint", origin->model_fingerprint);
    json_field_text(&w, "database", origin->database);
    json_field_text(&w, "set", origin->set);
    prediction_put_order(&w, origin->order);
    json_end(&w);
}

void retrieval_put_item(FILE *out, const char *film, const char *patient, const char *region, const char *sentence,
                        const retrieval_answer *answer) {
    json_writer w = json_writer_make(out, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_text(&w, "film", film);
    json_field_text(&w, "patient", patient);
    json_field_text(&w, "region", region);
    json_field_text(&w, "sentence", sentence);
    json_field_whole(&w, "rank", answer->rank);
    json_field_text(&w, "retrieved", answer->retrieved);
    json_key(&w, "similarity");
    if (answer->retrieved)
        json_put_f32(&w, answer->similarity);
    else
        json_put_null(&w);
    json_end(&w);
}

typedef struct prediction_reader {
    retrieval_collector *collector;
    const atlas *regions;
    char film[128]; /* of the line before */
    uint64_t films;
} prediction_reader;

static carina_status take_origin(void *context, const json_document *line, carina_error *error) {
    prediction_reader *p = context;
    const char *set;
    sentence_order order;
    TRY(json_get_text(line, json_root(line), "region_set", &set, error));
    TRY(prediction_order(&order, line, error));
    p->regions = atlas_builtin(set);
    if (!p->regions)
        return json_fail(line, json_root(line), "region_set", CARINA_ERROR_UNSUPPORTED, error,
                         "\"%.60s\" is not a built-in region set", set);
    return retrieval_collector_create(&p->collector, NULL, order, p->regions, error);
}

static carina_status take_item(void *context, uint64_t item, const json_document *line, carina_error *error) {
    prediction_reader *p = context;
    const json_value *root = json_root(line);
    const char *film, *patient, *region, *sentence;
    int64_t rank;
    TRY(json_get_text(line, root, "film", &film, error));
    TRY(json_get_text(line, root, "patient", &patient, error));
    TRY(json_get_text(line, root, "region", &region, error));
    TRY(json_get_text(line, root, "sentence", &sentence, error));
    TRY(json_get_whole(line, root, "rank", 0, UINT32_MAX, &rank, error));
    int number = atlas_find(p->regions, region);
    if (number < 0) return json_fail(line, root, "region", CARINA_ERROR_FORMAT, error, "no region \"%.60s\"", region);
    const retrieval_answer answer = {(uint32_t)rank, json_text(json_find(root, "retrieved")), 0};
    if (item == 0 || strncmp(film, p->film, sizeof p->film - 1) != 0) p->films++;
    snprintf(p->film, sizeof p->film, "%s", film);
    carina_status status = retrieval_collector_add_ranked(p->collector, patient, number, sentence, &answer, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s", json_name(line));
}

/* text NULL: the file of that name. */
static carina_status read_lines(retrieval_predictions *out, const char *name, const char *text, uint64_t size,
                                carina_error *error) {
    prediction_reader p = {0};
    const prediction_lines lines = {FORMAT_NAME, take_origin, take_item, &p};
    carina_status status =
        text ? prediction_lines_parse(&lines, name, text, size, error) : prediction_lines_read(&lines, name, error);
    *out = (retrieval_predictions){p.collector, p.regions, p.films};
    if (status != CARINA_OK) retrieval_predictions_free(out);
    return status;
}

carina_status retrieval_predictions_read(retrieval_predictions *out, const char *path, carina_error *error) {
    return read_lines(out, path, NULL, 0, error);
}

carina_status retrieval_predictions_parse(retrieval_predictions *out, const char *name, const char *text, uint64_t size,
                                          carina_error *error) {
    return read_lines(out, name, text, size, error);
}

void retrieval_predictions_free(retrieval_predictions *p) {
    retrieval_collector_free(p->collector);
    *p = (retrieval_predictions){0};
}
