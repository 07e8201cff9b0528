/* JSON text -> tree, by jansson (the only file that knows jansson).
 *
 * A json_value is jansson's json_t behind another name. Before jansson sees the text a scan without memory checks depth
 * and number of values, because its tree takes up to 40 times the text's size. Where a value stands in the document is
 * searched only when an error needs it.
 */
#include "format/json.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/utf8.h"

struct json_document {
    char *name;
    json_t *root;
};

static const json_t *node_of(const json_value *value) { return (const json_t *)(const void *)value; }
static const json_value *value_of(const json_t *node) { return (const json_value *)(const void *)node; }

static json_options with_defaults(const json_options *options) {
    json_options o = options ? *options : (json_options){0};
    if (o.max_bytes == 0) o.max_bytes = 64u << 20;
    if (o.max_values == 0) o.max_values = 4000000;
    if (o.max_depth == 0) o.max_depth = 64;
    return o;
}

/* Counts brackets and commas outside strings: an upper bound of depth and values for any text, JSON or not. */
static carina_status check_limits(const char *name, const char *text, uint64_t size, const json_options *o,
                                  carina_error *error) {
    uint64_t values = 1;
    int line = 1, depth = 0;
    bool in_string = false;
    for (uint64_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\n' && line < INT32_MAX) line++;
        if (in_string) {
            if (c == '\\') i++;
            if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '[' || c == '{') {
            if (++depth > o->max_depth)
                return error_set(error, CARINA_ERROR_LIMIT, "%s:%d: nested deeper than %d levels", name, line,
                                 o->max_depth);
            values++;
        }
        if ((c == ']' || c == '}') && depth > 0) depth--;
        if (c == ',' && ++values > o->max_values)
            return error_set(error, CARINA_ERROR_LIMIT, "%s:%d: more than %llu values", name, line,
                             (unsigned long long)o->max_values);
    }
    return CARINA_OK;
}

static carina_status load(json_document *document, const char *text, uint64_t size, const json_options *o,
                          carina_error *error) {
    TRY(check_limits(document->name, text, size, o, error));
    json_error_t problem;
    document->root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (document->root) return CARINA_OK;
    if (json_error_code(&problem) == json_error_out_of_memory) return error_memory(error, document->name, size);
    return error_set(error, CARINA_ERROR_FORMAT, "%s:%d: not valid JSON: %s", document->name,
                     problem.line > 0 ? problem.line : 1, problem.text);
}

carina_status json_parse(json_document **out, const char *name, const void *data, uint64_t size,
                         const json_options *options, carina_error *error) {
    *out = NULL;
    json_options o = with_defaults(options);
    if (size > o.max_bytes)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: %llu bytes of JSON, more than the %llu accepted", name,
                         (unsigned long long)size, (unsigned long long)o.max_bytes);
    json_document *document = calloc(1, sizeof *document);
    char *repaired = NULL;
    const char *text = size ? data : "";
    carina_status status = CARINA_OK;
    if (!document || !(document->name = strdup(name))) {
        status = error_memory(error, name, sizeof *document);
        goto done;
    }
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
        text += 3;
        size -= 3;
    }
    if (o.repair_utf8 && !utf8_valid(text, size)) {
        repaired = utf8_repair(text, size, &size);
        if (!repaired) {
            status = error_memory(error, name, size);
            goto done;
        }
        text = repaired;
    }
    status = load(document, text, size, &o, error);
done:
    free(repaired);
    if (status != CARINA_OK) {
        json_free(document);
        return status;
    }
    *out = document;
    return CARINA_OK;
}

carina_status json_read(json_document **out, const char *path, const json_options *options, carina_error *error) {
    *out = NULL;
    uint8_t *bytes;
    uint64_t size;
    TRY(file_read(path, with_defaults(options).max_bytes, &bytes, &size, error));
    carina_status status = json_parse(out, path, bytes, size, options, error);
    free(bytes);
    return status;
}

void json_free(json_document *document) {
    if (!document) return;
    json_decref(document->root);
    free(document->name);
    free(document);
}

const json_value *json_root(const json_document *document) { return value_of(document->root); }
const char *json_name(const json_document *document) { return document->name; }

json_kind json_kind_of(const json_value *value) {
    if (!value) return JSON_KIND_NULL;
    switch (json_typeof(node_of(value))) {
        case JSON_OBJECT: return JSON_KIND_OBJECT;
        case JSON_ARRAY: return JSON_KIND_ARRAY;
        case JSON_STRING: return JSON_KIND_TEXT;
        case JSON_INTEGER:
        case JSON_REAL: return JSON_KIND_NUMBER;
        case JSON_TRUE:
        case JSON_FALSE: return JSON_KIND_BOOL;
        case JSON_NULL: break;
    }
    return JSON_KIND_NULL;
}

const char *json_kind_name(json_kind kind) {
    static const char *const names[] = {"null", "true or false", "a number", "text", "an array", "an object"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

uint64_t json_count(const json_value *value) {
    if (!value) return 0;
    return json_is_array(node_of(value)) ? json_array_size(node_of(value)) : json_object_size(node_of(value));
}

const json_value *json_item(const json_value *array, uint64_t index) {
    return array ? value_of(json_array_get(node_of(array), (size_t)index)) : NULL;
}

const json_value *json_find(const json_value *object, const char *key) {
    return object ? value_of(json_object_get(node_of(object), key)) : NULL;
}

bool json_has(const json_value *object, const char *key) {
    return json_kind_of(json_find(object, key)) != JSON_KIND_NULL;
}

const char *json_text(const json_value *value) { return value ? json_string_value(node_of(value)) : NULL; }

bool json_number(const json_value *value, double *out) {
    if (json_kind_of(value) != JSON_KIND_NUMBER) return false;
    *out = json_number_value(node_of(value));
    return true;
}

bool json_whole(const json_value *value, int64_t *out) {
    if (json_kind_of(value) != JSON_KIND_NUMBER) return false;
    if (json_is_integer(node_of(value))) {
        *out = json_integer_value(node_of(value));
        return true;
    }
    double real = json_real_value(node_of(value));
    if (real != trunc(real) || fabs(real) > 0x1p53) return false;
    *out = (int64_t)real;
    return true;
}

bool json_truth(const json_value *value, bool *out) {
    if (json_kind_of(value) != JSON_KIND_BOOL) return false;
    *out = json_is_true(node_of(value));
    return true;
}

/* Jansson's iterators take a mutable object but only read it. */
static json_t *iterable(const json_value *object) { return (json_t *)(uintptr_t)object; }

bool json_next(const json_value *object, void **position, const char **key, const json_value **value) {
    if (json_kind_of(object) != JSON_KIND_OBJECT) return false;
    *position = *position ? json_object_iter_next(iterable(object), *position) : json_object_iter(iterable(object));
    if (!*position) return false;
    *key = json_object_iter_key(*position);
    *value = value_of(json_object_iter_value(*position));
    return true;
}

/* Path of a container inside `from` as ".a[3].b"; false when it is not there. Recursion is bounded by max_depth. */
static bool path_to(const json_value *from, const json_value *wanted, char *text, size_t size) {
    if (size > 0) text[0] = 0;
    if (from == wanted) return true;
    char step[96];
    if (json_kind_of(from) == JSON_KIND_ARRAY) {
        for (uint64_t i = 0; i < json_count(from); i++) {
            int length = snprintf(step, sizeof step, "[%llu]", (unsigned long long)i);
            size_t used = (size_t)length < size ? (size_t)length : size;
            if (path_to(json_item(from, i), wanted, text + used, size - used)) {
                memcpy(text, step, used);
                return true;
            }
        }
    } else {
        const char *key;
        const json_value *child;
        for (void *position = NULL; json_next(from, &position, &key, &child);) {
            int length = snprintf(step, sizeof step, ".%s", key);
            if ((size_t)length >= sizeof step) length = sizeof step - 1;
            size_t used = (size_t)length < size ? (size_t)length : size;
            if (path_to(child, wanted, text + used, size - used)) {
                memcpy(text, step, used);
                return true;
            }
        }
    }
    return false;
}

carina_status json_fail(const json_document *document, const json_value *parent, const char *key, carina_status status,
                        carina_error *error, const char *format, ...) {
    char path[256] = "", reason[256];
    path_to(json_root(document), parent, path, sizeof path - 1);
    path[sizeof path - 1] = 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    const char *shown = path[0] == '.' ? path + 1 : path;
    return error_set(error, status, "%s: %s%s%s%s%s", document->name, shown, key && *shown ? "." : "", key ? key : "",
                     key || *shown ? ": " : "", reason);
}

/* The child, once it is known to be of the kind. */
static carina_status child_of_kind(const json_document *document, const json_value *object, const char *key,
                                   json_kind kind, const json_value **out, carina_error *error) {
    if (json_kind_of(object) != JSON_KIND_OBJECT)
        return json_fail(document, object, NULL, CARINA_ERROR_FORMAT, error, "an object is expected, not %s",
                         json_kind_name(json_kind_of(object)));
    const json_value *child = json_find(object, key);
    if (!child)
        return json_fail(document, object, key, CARINA_ERROR_FORMAT, error, "missing (%s is expected)",
                         json_kind_name(kind));
    if (json_kind_of(child) != kind)
        return json_fail(document, object, key, CARINA_ERROR_FORMAT, error, "%s is expected, not %s",
                         json_kind_name(kind), json_kind_name(json_kind_of(child)));
    *out = child;
    return CARINA_OK;
}

carina_status json_get_text(const json_document *document, const json_value *object, const char *key, const char **out,
                            carina_error *error) {
    const json_value *child;
    TRY(child_of_kind(document, object, key, JSON_KIND_TEXT, &child, error));
    *out = json_text(child);
    return CARINA_OK;
}

carina_status json_get_number(const json_document *document, const json_value *object, const char *key, double *out,
                              carina_error *error) {
    const json_value *child;
    TRY(child_of_kind(document, object, key, JSON_KIND_NUMBER, &child, error));
    json_number(child, out);
    return CARINA_OK;
}

carina_status json_get_whole(const json_document *document, const json_value *object, const char *key, int64_t minimum,
                             int64_t maximum, int64_t *out, carina_error *error) {
    const json_value *child;
    TRY(child_of_kind(document, object, key, JSON_KIND_NUMBER, &child, error));
    int64_t value;
    if (!json_whole(child, &value))
        return json_fail(document, object, key, CARINA_ERROR_FORMAT, error, "a whole number is expected");
    if (value < minimum || value > maximum)
        return json_fail(document, object, key, CARINA_ERROR_FORMAT, error, "%lld is outside %lld .. %lld",
                         (long long)value, (long long)minimum, (long long)maximum);
    *out = value;
    return CARINA_OK;
}

carina_status json_get_truth(const json_document *document, const json_value *object, const char *key, bool *out,
                             carina_error *error) {
    const json_value *child;
    TRY(child_of_kind(document, object, key, JSON_KIND_BOOL, &child, error));
    json_truth(child, out);
    return CARINA_OK;
}

carina_status json_get_array(const json_document *document, const json_value *object, const char *key,
                             const json_value **out, carina_error *error) {
    return child_of_kind(document, object, key, JSON_KIND_ARRAY, out, error);
}

carina_status json_get_object(const json_document *document, const json_value *object, const char *key,
                              const json_value **out, carina_error *error) {
    return child_of_kind(document, object, key, JSON_KIND_OBJECT, out, error);
}

carina_status json_get_numbers(const json_document *document, const json_value *object, const char *key, double *out,
                               uint64_t count, carina_error *error) {
    const json_value *array;
    TRY(child_of_kind(document, object, key, JSON_KIND_ARRAY, &array, error));
    bool fits = json_count(array) == count;
    for (uint64_t i = 0; fits && i < count; i++) fits = json_number(json_item(array, i), &out[i]);
    if (!fits)
        return json_fail(document, object, key, CARINA_ERROR_FORMAT, error, "%llu numbers are expected",
                         (unsigned long long)count);
    return CARINA_OK;
}
