/* Writing and reading kept predictions; see opacity_predictions.h. */
#include "eval/opacity_predictions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/prediction_lines.h"
#include "format/json_writer.h"

#define FORMAT_NAME  "opacity-1"
#define MOST_SIMILAR 1.001 /* a cosine, and what rounding adds to one */

static const char *const origin_keys[OPACITY_ORIGIN_TEXTS] = {"model", "model_fingerprint", "database",
                                                              "database_fingerprint", "set"};

/* ---- writing ---- */

void opacity_put_origin(FILE *out, const opacity_origin *origin, const opacity_table *table) {
    const char *const texts[OPACITY_ORIGIN_TEXTS] = {origin->model, origin->model_fingerprint, origin->database,
                                                     origin->database_fingerprint, origin->set};
    json_writer w = json_writer_make(out, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_text(&w, "carina", FORMAT_NAME);
    for (int i = 0; i < OPACITY_ORIGIN_TEXTS; i++) json_field_text(&w, origin_keys[i], texts[i]);
    prediction_put_order(&w, origin->order);
    json_field_whole(&w, "not_read", (int64_t)table->not_read);
    json_key(&w, "regions");
    json_begin_array(&w);
    for (int i = 0; i < OPACITY_REGIONS; i++)
        if (table->answers[i]) json_put_text(&w, opacity_region_names[i]);
    json_end(&w);
    json_end(&w);
}

typedef void put_answer(json_writer *w, const opacity_answer *answer);

static void put_shown(json_writer *w, const opacity_answer *a) { json_put_f32(w, a->shown); }
static void put_healthy(json_writer *w, const opacity_answer *a) { json_put_f32(w, a->healthy); }
static void put_says(json_writer *w, const opacity_answer *a) { json_put_whole(w, a->says); }
static void put_nearest(json_writer *w, const opacity_answer *a) { json_put_text(w, a->nearest); }

static void put_answers(json_writer *w, const char *key, const opacity_table *table, const opacity_answer *answers,
                        put_answer *put) {
    json_key(w, key);
    json_begin_array(w);
    for (int i = 0; i < OPACITY_REGIONS; i++)
        if (table->answers[i]) put(w, &answers[i]);
    json_end(w);
}

void opacity_put_film(FILE *out, const opacity_table *table, const char *film, const char *patient, bool seen,
                      const opacity_answer answers[OPACITY_REGIONS]) {
    json_writer w = json_writer_make(out, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_text(&w, "film", film);
    json_field_text(&w, "patient", patient);
    json_field_whole(&w, "seen", seen);
    put_answers(&w, "shown", table, answers, put_shown);
    put_answers(&w, "healthy", table, answers, put_healthy);
    put_answers(&w, "says", table, answers, put_says);
    put_answers(&w, "nearest", table, answers, put_nearest);
    json_end(&w);
}

/* ---- reading ---- */

static int find_region(const char *name) {
    for (int i = 0; name && i < OPACITY_REGIONS; i++)
        if (strcmp(opacity_region_names[i], name) == 0) return i;
    return -1;
}

/* In the order that they are written in: each once. */
static carina_status take_regions(bool answers[OPACITY_REGIONS], const json_document *line, carina_error *error) {
    const json_value *root = json_root(line), *list;
    int last = -1;
    TRY(json_get_array(line, root, "regions", &list, error));
    for (uint64_t i = 0; i < json_count(list); i++) {
        int region = find_region(json_text(json_item(list, i)));
        if (region <= last)
            return json_fail(line, root, "regions", CARINA_ERROR_FORMAT, error,
                             "entry %llu is no lung region, or not in its place", (unsigned long long)i);
        answers[region] = true;
        last = region;
    }
    return last >= 0 ? CARINA_OK : json_fail(line, root, "regions", CARINA_ERROR_FORMAT, error, "none");
}

static carina_status take_origin(void *context, const json_document *line, carina_error *error) {
    opacity_predictions *p = context;
    bool answers[OPACITY_REGIONS] = {false};
    int64_t not_read;
    for (int i = 0; i < OPACITY_ORIGIN_TEXTS; i++) TRY(prediction_text(&p->texts[i], line, origin_keys[i], error));
    p->origin = (opacity_origin){p->texts[0], p->texts[1], p->texts[2], p->texts[3], p->texts[4], {0, 0, 0}};
    TRY(prediction_order(&p->origin.order, line, error));
    TRY(json_get_whole(line, json_root(line), "not_read", 0, UINT32_MAX, &not_read, error));
    TRY(take_regions(answers, line, error));
    TRY(opacity_table_create(&p->table, answers, error));
    p->table.not_read = (uint64_t)not_read;
    return CARINA_OK;
}

/* One number between -most and most for each region that has an answer, into out [OPACITY_REGIONS]. */
static carina_status take_numbers(double *out, const opacity_table *table, const char *key, double most,
                                  const json_document *line, carina_error *error) {
    double values[OPACITY_REGIONS];
    uint64_t count = 0;
    for (int i = 0; i < OPACITY_REGIONS; i++) count += table->answers[i];
    TRY(json_get_numbers(line, json_root(line), key, values, count, error));
    count = 0;
    for (int i = 0; i < OPACITY_REGIONS; i++) {
        if (!table->answers[i]) continue;
        out[i] = values[count++];
        if (!(fabs(out[i]) <= most))
            return json_fail(line, json_root(line), key, CARINA_ERROR_FORMAT, error, "%g is out of range", out[i]);
    }
    return CARINA_OK;
}

static carina_status take_film(void *context, uint64_t index, const json_document *line, carina_error *error) {
    (void)index;
    opacity_predictions *p = context;
    const json_value *root = json_root(line);
    double shown[OPACITY_REGIONS] = {0}, healthy[OPACITY_REGIONS] = {0}, says[OPACITY_REGIONS] = {0};
    opacity_answer answers[OPACITY_REGIONS];
    const char *name, *patient;
    int64_t seen;
    TRY(json_get_text(line, root, "film", &name, error));
    TRY(json_get_text(line, root, "patient", &patient, error));
    TRY(json_get_whole(line, root, "seen", 0, 1, &seen, error));
    TRY(take_numbers(shown, &p->table, "shown", MOST_SIMILAR, line, error));
    TRY(take_numbers(healthy, &p->table, "healthy", MOST_SIMILAR, line, error));
    TRY(take_numbers(says, &p->table, "says", 1, line, error));
    for (int i = 0; i < OPACITY_REGIONS; i++)
        answers[i] = (opacity_answer){.shown = (float)shown[i], .healthy = (float)healthy[i], .says = says[i] > 0.5};
    return opacity_table_add(&p->table, patient, seen, answers, error);
}

carina_status opacity_predictions_parse(opacity_predictions *out, const char *name, const char *text, uint64_t size,
                                        carina_error *error) {
    const prediction_lines lines = {FORMAT_NAME, take_origin, take_film, out};
    *out = (opacity_predictions){0};
    return prediction_lines_parse(&lines, name, text, size, error);
}

carina_status opacity_predictions_read(opacity_predictions *out, const char *path, carina_error *error) {
    const prediction_lines lines = {FORMAT_NAME, take_origin, take_film, out};
    *out = (opacity_predictions){0};
    return prediction_lines_read(&lines, path, error);
}

void opacity_predictions_free(opacity_predictions *p) {
    for (int i = 0; i < OPACITY_ORIGIN_TEXTS; i++) free(p->texts[i]);
    opacity_table_free(&p->table);
    *p = (opacity_predictions){0};
}
