/* Reading kept predictions line by line; see prediction_lines.h. */
#include "eval/prediction_lines.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/string_index.h"

static carina_status take_origin(const prediction_lines *r, const json_document *line, carina_error *error) {
    const json_value *root = json_root(line);
    const char *format;
    TRY(json_get_text(line, root, "carina", &format, error));
    if (strcmp(format, r->format) != 0)
        return json_fail(line, root, "carina", CARINA_ERROR_UNSUPPORTED, error, "\"%.40s\", this version reads %s",
                         format, r->format);
    return r->take_origin(r->context, line, error);
}

/* An item is of one film, and of one region where it names one. */
static carina_status check_new(string_index *seen, const json_document *line, carina_error *error) {
    const json_value *root = json_root(line);
    const char *film, *region = json_text(json_find(root, "region"));
    char *key;
    bool added = false;
    TRY(json_get_text(line, root, "film", &film, error));
    if (asprintf(&key, "%s\n%s", film, region ? region : "") < 0) return error_memory(error, json_name(line), 0);
    carina_status status = string_index_add(seen, key, 0, NULL, &added, error);
    free(key);
    if (status != CARINA_OK || added) return status;
    return json_fail(line, root, "film", CARINA_ERROR_FORMAT, error, "%.80s%s%.80s is there twice", film,
                     region ? ", " : "", region ? region : "");
}

static carina_status take_lines(const prediction_lines *r, string_index *seen, const char *name, const char *text,
                                uint64_t size, carina_error *error) {
    uint64_t number = 0;
    for (const char *at = text, *end = text + size; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        char place[512];
        json_document *line;
        snprintf(place, sizeof place, "%.480s:%" PRIu64, name, number + 1);
        TRY(json_parse(&line, place, at, (uint64_t)(stop - at), NULL, error));
        carina_status status = number ? r->take_item(r->context, number - 1, line, error) : take_origin(r, line, error);
        if (status == CARINA_OK && number) status = check_new(seen, line, error);
        json_free(line);
        TRY(status);
        at = stop + 1;
    }
    if (number > 1) return CARINA_OK;
    return error_set(error, CARINA_ERROR_FORMAT, "%s: no predictions in it", name);
}

carina_status prediction_lines_parse(const prediction_lines *r, const char *name, const char *text, uint64_t size,
                                     carina_error *error) {
    string_index *seen;
    TRY(string_index_create(&seen, error));
    carina_status status = take_lines(r, seen, name, text, size, error);
    string_index_free(seen);
    return status;
}

carina_status prediction_lines_read(const prediction_lines *r, const char *path, carina_error *error) {
    uint8_t *text;
    uint64_t size;
    TRY(file_read(path, PREDICTION_MAX_BYTES, &text, &size, error));
    carina_status status = prediction_lines_parse(r, path, (const char *)text, size, error);
    free(text);
    return status;
}

carina_status prediction_text(char **out, const json_document *line, const char *key, carina_error *error) {
    const char *text;
    TRY(json_get_text(line, json_root(line), key, &text, error));
    *out = strdup(text);
    return *out ? CARINA_OK : error_memory(error, json_name(line), strlen(text));
}

void prediction_put_order(json_writer *w, sentence_order order) {
    json_field_text(w, "ranking", order.prior_weight > 0 ? "calibrated" : "cosine");
    json_key(w, "prior_weight");
    json_put_f32(w, order.prior_weight);
    json_key(w, "healthy_discount");
    json_put_f32(w, order.healthy_discount);
    json_key(w, "finding_worth");
    json_put_f32(w, order.finding_worth);
}

static carina_status read_positive(float *out, const json_document *line, const char *key, carina_error *error) {
    double value = 0;
    *out = 0;
    if (!json_has(json_root(line), key)) return CARINA_OK;
    TRY(json_get_number(line, json_root(line), key, &value, error));
    *out = (float)value;
    if (value >= 0 && isfinite(*out)) return CARINA_OK;
    return json_fail(line, json_root(line), key, CARINA_ERROR_FORMAT, error, "%g is out of range", value);
}

carina_status prediction_order(sentence_order *out, const json_document *line, carina_error *error) {
    TRY(read_positive(&out->prior_weight, line, "prior_weight", error));
    TRY(read_positive(&out->healthy_discount, line, "healthy_discount", error));
    return read_positive(&out->finding_worth, line, "finding_worth", error);
}
