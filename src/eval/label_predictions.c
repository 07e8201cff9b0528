/* Writing and reading kept predictions; see label_predictions.h. */
#include "eval/label_predictions.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/string_index.h"
#include "eval/prediction_lines.h"
#include "format/json_writer.h"

#define FORMAT_NAME "labels-1"

/* ---- writing ---- */

carina_status label_put_origin(FILE *out, const label_origin *origin, const calibration *c, carina_error *error) {
    char *note = NULL;
    if (c->fitted) TRY(calibration_text(&note, c, error));
    json_writer w = json_writer_make(out, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_text(&w, "carina", FORMAT_NAME);
    json_field_text(&w, "model", origin->model);
    json_field_text(&w, "model_fingerprint", origin->model_fingerprint);
    json_field_text(&w, "set", origin->set);
    json_field_text(&w, "calibration", note);
    json_end(&w);
    free(note);
    return CARINA_OK;
}

void label_put_film(FILE *out, const char *film, const char *patient, const float *logits, const float *truths,
                    int label_count) {
    json_writer w = json_writer_make(out, JSON_ONE_LINE);
    json_begin_object(&w);
    json_field_text(&w, "film", film);
    json_field_text(&w, "patient", patient);
    json_key(&w, "logits");
    json_begin_array(&w);
    for (int k = 0; k < label_count; k++) json_put_f32(&w, logits[k]);
    json_end(&w);
    json_key(&w, "truths");
    json_begin_array(&w);
    for (int k = 0; k < label_count; k++) {
        if (isnan(truths[k]))
            json_put_null(&w);
        else
            json_put_whole(&w, truths[k] > 0.5f);
    }
    json_end(&w);
    json_end(&w);
}

/* ---- reading ---- */

typedef struct label_reader {
    label_predictions *out;
    string_index *patients;
} label_reader;

static carina_status take_origin(void *context, const json_document *line, carina_error *error) {
    label_predictions *p = ((label_reader *)context)->out;
    const char *note = json_text(json_find(json_root(line), "calibration"));
    TRY(prediction_text(&p->model, line, "model", error));
    TRY(prediction_text(&p->model_fingerprint, line, "model_fingerprint", error));
    TRY(prediction_text(&p->set, line, "set", error));
    calibration_clear(&p->calibration, ATLAS_LABEL_COUNT);
    return note ? calibration_parse(&p->calibration, note, ATLAS_LABEL_COUNT, json_name(line), error) : CARINA_OK;
}

static carina_status take_truths(float *out, const json_document *line, carina_error *error) {
    const json_value *root = json_root(line), *list;
    TRY(json_get_array(line, root, "truths", &list, error));
    if (json_count(list) != ATLAS_LABEL_COUNT)
        return json_fail(line, root, "truths", CARINA_ERROR_FORMAT, error, "%llu entries for %d labels",
                         (unsigned long long)json_count(list), ATLAS_LABEL_COUNT);
    for (int k = 0; k < ATLAS_LABEL_COUNT; k++) {
        const json_value *item = json_item(list, (uint64_t)k);
        int64_t value;
        out[k] = NAN;
        if (json_kind_of(item) == JSON_KIND_NULL) continue;
        if (!json_whole(item, &value) || value < 0 || value > 1)
            return json_fail(line, root, "truths", CARINA_ERROR_FORMAT, error, "entry %d is not 1, 0 or null", k);
        out[k] = (float)value;
    }
    return CARINA_OK;
}

static carina_status take_film(void *context, uint64_t film, const json_document *line, carina_error *error) {
    label_reader *r = context;
    label_predictions *p = r->out;
    const json_value *root = json_root(line);
    const char *name, *patient;
    double logits[ATLAS_LABEL_COUNT];
    TRY(json_get_text(line, root, "film", &name, error));
    TRY(json_get_text(line, root, "patient", &patient, error));
    TRY(json_get_numbers(line, root, "logits", logits, ATLAS_LABEL_COUNT, error));
    for (int k = 0; k < ATLAS_LABEL_COUNT; k++) {
        float logit = (float)logits[k];
        if (!isfinite(logit))
            return json_fail(line, root, "logits", CARINA_ERROR_FORMAT, error, "number %d is out of range", k);
        p->table.logits[film * ATLAS_LABEL_COUNT + (uint64_t)k] = logit;
    }
    TRY(take_truths(p->table.truths + film * ATLAS_LABEL_COUNT, line, error));
    return string_index_number(r->patients, patient, &p->table.patients[film], NULL, error);
}

carina_status label_predictions_parse(label_predictions *out, const char *name, const char *text, uint64_t size,
                                      carina_error *error) {
    uint64_t films = size && text[size - 1] != '\n'; /* and one for each line's end; the first line is none */
    label_reader r = {.out = out};
    const prediction_lines lines = {FORMAT_NAME, take_origin, take_film, &r};
    *out = (label_predictions){0};
    for (uint64_t i = 0; i < size; i++) films += text[i] == '\n';
    TRY(label_table_create(&out->table, films ? films - 1 : 0, ATLAS_LABEL_COUNT, error));
    TRY(string_index_create(&r.patients, error));
    carina_status status = prediction_lines_parse(&lines, name, text, size, error);
    out->table.patient_count = string_index_count(r.patients);
    string_index_free(r.patients);
    return status;
}

carina_status label_predictions_read(label_predictions *out, const char *path, carina_error *error) {
    uint8_t *text;
    uint64_t size;
    *out = (label_predictions){0};
    TRY(file_read(path, PREDICTION_MAX_BYTES, &text, &size, error));
    carina_status status = label_predictions_parse(out, path, (const char *)text, size, error);
    free(text);
    return status;
}

void label_predictions_free(label_predictions *p) {
    free(p->model);
    free(p->model_fingerprint);
    free(p->set);
    label_table_free(&p->table);
    *p = (label_predictions){0};
}
