/* Reading and using a calibration; see calibration.h. */
#include "pipeline/calibration.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format/json.h"

static carina_status read_numbers(float *out, int count, const json_document *d, const char *key, double low,
                                  double high, carina_error *error) {
    double values[CALIBRATION_MAX_LABELS];
    TRY(json_get_numbers(d, json_root(d), key, values, (uint64_t)count, error));
    for (int i = 0; i < count; i++) {
        if (!(values[i] >= low && values[i] <= high))
            return json_fail(d, json_root(d), key, CARINA_ERROR_FORMAT, error, "number %d is outside %g to %g", i, low,
                             high);
        out[i] = (float)values[i];
    }
    return CARINA_OK;
}

static carina_status read_fitted(calibration *out, const json_document *d, carina_error *error) {
    TRY(read_numbers(out->temperature, out->label_count, d, "temperature", 0.01, 100, error));
    TRY(read_numbers(out->threshold, out->label_count, d, "threshold", 0, 1, error));
    const char *on = json_text(json_find(json_root(d), "fitted_on"));
    if (on) snprintf(out->fitted_on, sizeof out->fitted_on, "%s", on);
    out->fitted = true;
    return CARINA_OK;
}

carina_status calibration_read(calibration *out, const model_file *model, const char *path, carina_error *error) {
    *out = (calibration){.label_count = model->model->config.label_count};
    for (int i = 0; i < CALIBRATION_MAX_LABELS; i++) {
        out->temperature[i] = 1;
        out->threshold[i] = 0.5f;
    }
    const char *text = model_file_note_text(model, CALIBRATION_KEY);
    if (!text) return CARINA_OK;
    char name[4200];
    snprintf(name, sizeof name, "%s: " CALIBRATION_KEY, path);
    json_document *d;
    TRY(json_parse(&d, name, text, strlen(text), NULL, error));
    carina_status status = read_fitted(out, d, error);
    json_free(d);
    return status;
}

float calibration_probability(const calibration *c, int label, float logit) {
    return 1 / (1 + expf(-logit / c->temperature[label]));
}

const char *calibration_label(const calibration *c, int label) {
    return c->label_count == ATLAS_LABEL_COUNT ? atlas_label_names[label] : NULL;
}
