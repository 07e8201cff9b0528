/* Reading, writing and using a calibration; see calibration.h. */
#include "pipeline/calibration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "format/json.h"
#include "format/json_writer.h"

/* NaN for null. */
static carina_status read_numbers(float *out, int count, const json_document *d, const char *key, double low,
                                  double high, carina_error *error) {
    const json_value *list;
    TRY(json_get_array(d, json_root(d), key, &list, error));
    if (json_count(list) != (uint64_t)count)
        return json_fail(d, json_root(d), key, CARINA_ERROR_FORMAT, error, "%llu numbers for %d labels",
                         (unsigned long long)json_count(list), count);
    for (int i = 0; i < count; i++) {
        const json_value *item = json_item(list, (uint64_t)i);
        double value = NAN;
        if (json_kind_of(item) != JSON_KIND_NULL && !(json_number(item, &value) && value >= low && value <= high))
            return json_fail(d, json_root(d), key, CARINA_ERROR_FORMAT, error,
                             "entry %d is neither null nor a number within %g and %g", i, low, high);
        out[i] = (float)value;
    }
    return CARINA_OK;
}

/* A key that may be missing; what is too long ends with a whole character. */
static carina_status copy_text(char *out, size_t size, const json_document *d, const json_value *object,
                               const char *key, carina_error *error) {
    const char *text;
    if (!json_has(object, key)) return CARINA_OK;
    TRY(json_get_text(d, object, key, &text, error));
    if (!utf8_is_line(text)) return json_fail(d, object, key, CARINA_ERROR_FORMAT, error, "it has a control character");
    snprintf(out, size, "%s", text);
    for (size_t length = strlen(out); length > 0 && !utf8_valid(out, length);) out[--length] = 0;
    return CARINA_OK;
}

static carina_status read_within(float *out, const json_document *d, const json_value *object, const char *key,
                                 double low, double high, carina_error *error) {
    double value;
    TRY(json_get_number(d, object, key, &value, error));
    *out = (float)value;
    if (value >= low && value <= high) return CARINA_OK;
    return json_fail(d, object, key, CARINA_ERROR_FORMAT, error, "%g is not within %g and %g", value, low, high);
}

static carina_status read_findings(sentence_calibration *out, const json_document *d, const json_value *object,
                                   carina_error *error) {
    const json_value *list;
    TRY(json_get_array(d, object, "findings", &list, error));
    uint64_t count = json_count(list);
    if (count > CALIBRATION_MAX_FINDINGS)
        return json_fail(d, object, "findings", CARINA_ERROR_LIMIT, error, "%llu findings, at most %d are possible",
                         (unsigned long long)count, CALIBRATION_MAX_FINDINGS);
    for (uint64_t i = 0; i < count; i++) {
        finding_calibration *f = &out->findings[i];
        const json_value *item = json_item(list, i);
        const char *name;
        TRY(json_get_text(d, item, "name", &name, error));
        if (strlen(name) >= sizeof f->name)
            return json_fail(d, item, "name", CARINA_ERROR_LIMIT, error, "longer than %zu bytes", sizeof f->name - 1);
        if (!*name || !utf8_is_line(name))
            return json_fail(d, item, "name", CARINA_ERROR_FORMAT, error, "it is empty or has a control character");
        for (uint64_t k = 0; k < i; k++)
            if (strcmp(out->findings[k].name, name) == 0)
                return json_fail(d, item, "name", CARINA_ERROR_FORMAT, error, "\"%s\" stands twice", name);
        snprintf(f->name, sizeof f->name, "%s", name);
        TRY(read_within(&f->cut, d, item, "cut", 0, 1, error));
        TRY(read_within(&f->weight, d, item, "weight", 0, CALIBRATION_MOST_FINDING_WEIGHT, error));
    }
    out->finding_count = (int)count;
    return CARINA_OK;
}

static carina_status read_sentences(sentence_calibration *out, const json_document *d, carina_error *error) {
    const json_value *object;
    if (!json_find(json_root(d), "sentences")) return CARINA_OK;
    TRY(json_get_object(d, json_root(d), "sentences", &object, error));
    TRY(read_within(&out->temperature, d, object, "temperature", CALIBRATION_LEAST_SENTENCE_TEMPERATURE,
                    CALIBRATION_MOST_SENTENCE_TEMPERATURE, error));
    TRY(read_within(&out->prior_exponent, d, object, "prior_exponent", 0, CALIBRATION_MOST_PRIOR_EXPONENT, error));
    if (json_has(object, "healthy_discount"))
        TRY(read_within(&out->healthy_discount, d, object, "healthy_discount", 0, CALIBRATION_MOST_HEALTHY_DISCOUNT,
                        error));
    if (json_has(object, "finding_worth"))
        TRY(read_within(&out->finding_worth, d, object, "finding_worth", 0, CALIBRATION_MOST_FINDING_WORTH, error));
    if (json_has(object, "findings")) TRY(read_findings(out, d, object, error));
    TRY(copy_text(out->encoder, sizeof out->encoder, d, object, "text_encoder_fingerprint", error));
    TRY(copy_text(out->fitted_on, sizeof out->fitted_on, d, object, "fitted_on", error));
    out->fitted = true;
    return CARINA_OK;
}

static carina_status read_fitted(calibration *out, const json_document *d, carina_error *error) {
    TRY(read_numbers(out->temperature, out->label_count, d, "temperature", CALIBRATION_LEAST_TEMPERATURE,
                     CALIBRATION_MOST_TEMPERATURE, error));
    TRY(read_numbers(out->threshold, out->label_count, d, "threshold", 0, 1, error));
    for (int i = 0; i < out->label_count; i++) {
        out->label_fitted[i] = !isnan(out->temperature[i]);
        if (out->label_fitted[i] == isnan(out->threshold[i]))
            return json_fail(d, json_root(d), "threshold", CARINA_ERROR_FORMAT, error,
                             "entry %d: a label has a temperature and a threshold, or neither", i);
        out->fitted |= out->label_fitted[i];
        if (out->label_fitted[i]) continue;
        out->temperature[i] = 1;
        out->threshold[i] = 0.5f;
    }
    TRY(copy_text(out->fitted_on, sizeof out->fitted_on, d, json_root(d), "fitted_on", error));
    return read_sentences(&out->sentences, d, error);
}

void calibration_clear(calibration *out, int label_count) {
    *out = (calibration){.label_count = label_count};
    for (int i = 0; i < CALIBRATION_MAX_LABELS; i++) {
        out->temperature[i] = 1;
        out->threshold[i] = 0.5f;
    }
}

carina_status calibration_parse(calibration *out, const char *text, int label_count, const char *name,
                                carina_error *error) {
    char place[4200];
    json_document *d;
    calibration_clear(out, label_count);
    snprintf(place, sizeof place, "%.4000s: " CALIBRATION_KEY, name);
    TRY(json_parse(&d, place, text, strlen(text), NULL, error));
    carina_status status = read_fitted(out, d, error);
    json_free(d);
    return status;
}

carina_status calibration_read(calibration *out, const model_file *model, const char *path, carina_error *error) {
    int label_count = model->model->config.label_count;
    const char *text = model_file_note_text(model, CALIBRATION_KEY);
    if (text) return calibration_parse(out, text, label_count, path, error);
    calibration_clear(out, label_count);
    return CARINA_OK;
}

carina_status calibration_read_sentences(sentence_calibration *out, const model_file *model, const char *path,
                                         carina_error *error) {
    calibration *c = calloc(1, sizeof *c);
    carina_status status = c ? calibration_read(c, model, path, error) : error_memory(error, path, sizeof *c);
    if (status == CARINA_OK) *out = c->sentences;
    free(c);
    return status;
}

static void put_numbers(json_writer *w, const char *key, const calibration *c, const float *values) {
    json_key(w, key);
    json_begin_array(w);
    for (int i = 0; i < c->label_count; i++) {
        if (c->label_fitted[i])
            json_put_f32(w, values[i]);
        else
            json_put_null(w);
    }
    json_end(w);
}

static void put_findings(json_writer *w, const sentence_calibration *s) {
    json_key(w, "finding_worth");
    json_put_f32(w, s->finding_worth);
    json_key(w, "findings");
    json_begin_array(w);
    for (int f = 0; f < s->finding_count; f++) {
        json_begin_object(w);
        json_field_text(w, "name", s->findings[f].name);
        json_key(w, "cut");
        json_put_f32(w, s->findings[f].cut);
        json_key(w, "weight");
        json_put_f32(w, s->findings[f].weight);
        json_end(w);
    }
    json_end(w);
}

static void put_sentences(json_writer *w, const sentence_calibration *s) {
    json_key(w, "sentences");
    json_begin_object(w);
    json_key(w, "temperature");
    json_put_f32(w, s->temperature);
    json_key(w, "prior_exponent");
    json_put_f32(w, s->prior_exponent);
    if (s->healthy_discount > 0) {
        json_key(w, "healthy_discount");
        json_put_f32(w, s->healthy_discount);
    }
    if (s->finding_worth > 0) put_findings(w, s);
    if (s->encoder[0]) json_field_text(w, "text_encoder_fingerprint", s->encoder);
    if (s->fitted_on[0]) json_field_text(w, "fitted_on", s->fitted_on);
    json_end(w);
}

carina_status calibration_text(char **out, const calibration *c, carina_error *error) {
    size_t size;
    FILE *stream = open_memstream(out, &size);
    if (!stream) return error_memory(error, "a calibration", 4096);
    json_writer w = json_writer_make(stream, JSON_ONE_LINE);
    json_begin_object(&w);
    put_numbers(&w, "temperature", c, c->temperature);
    put_numbers(&w, "threshold", c, c->threshold);
    if (c->fitted_on[0]) json_field_text(&w, "fitted_on", c->fitted_on);
    if (c->sentences.fitted) put_sentences(&w, &c->sentences);
    json_end(&w);
    if (fclose(stream) == 0) {
        (*out)[strcspn(*out, "\n")] = 0; /* the writer's line break at the end */
        return CARINA_OK;
    }
    free(*out);
    *out = NULL;
    return error_memory(error, "a calibration", size);
}

float calibration_probability(const calibration *c, int label, float logit) {
    return 1 / (1 + expf(-logit / c->temperature[label]));
}

const char *calibration_label(const calibration *c, int label) {
    return c->label_count == ATLAS_LABEL_COUNT ? atlas_label_names[label] : NULL;
}
