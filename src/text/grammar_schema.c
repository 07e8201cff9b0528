/* One rule for each schema within the schema, the inner ones first; see grammar_schema.h. */
#include "text/grammar_schema.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/json_writer.h"
#include "text/grammar.h"
#include "text/grammar_answers.h"

#define MOST_DIGITS INT64_C(9999999999999999)

typedef enum schema_type {
    TYPE_OBJECT = 1,
    TYPE_ARRAY = 2,
    TYPE_STRING = 4,
    TYPE_INTEGER = 8,
    TYPE_NUMBER = 16,
    TYPE_BOOLEAN = 32,
    TYPE_NULL = 64,
    TYPE_VALUES = 128 /* enum or const */
} schema_type;

static const struct {
    const char *name;
    schema_type type;
} type_names[] = {{"object", TYPE_OBJECT},   {"array", TYPE_ARRAY},   {"string", TYPE_STRING},
                  {"integer", TYPE_INTEGER}, {"number", TYPE_NUMBER}, {"boolean", TYPE_BOOLEAN},
                  {"null", TYPE_NULL}};

static const struct {
    const char *name;
    unsigned types; /* that it belongs to */
} keywords[] = {{"type", ~0u},
                {"title", ~0u},
                {"description", ~0u},
                {"default", ~0u},
                {"examples", ~0u},
                {"deprecated", ~0u},
                {"$schema", ~0u},
                {"$id", ~0u},
                {"$comment", ~0u},
                {"enum", TYPE_VALUES},
                {"const", TYPE_VALUES},
                {"properties", TYPE_OBJECT},
                {"required", TYPE_OBJECT},
                {"additionalProperties", TYPE_OBJECT},
                {"items", TYPE_ARRAY},
                {"minItems", TYPE_ARRAY},
                {"maxItems", TYPE_ARRAY},
                {"minLength", TYPE_STRING},
                {"maxLength", TYPE_STRING},
                {"minimum", TYPE_INTEGER},
                {"maximum", TYPE_INTEGER}};

typedef struct schema_writer {
    FILE *stream;
    const json_document *document;
    int rules; /* written so far */
    carina_error *error;
} schema_writer;

static const char fixed_rules[] =
    "character ::= [^\"\\\\\\x00-\\x1F] | \"\\\\\" [\"\\\\/bfnrt]\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [+-]? [0-9]{1,2})?\n"
    "boolean ::= \"true\" | \"false\"\n"
    "comma ::= \",\" \" \"?\n";

static carina_status put_schema(schema_writer *w, const json_value *schema, int *rule);

/* ---- types ---- */

static carina_status find_type(schema_writer *w, const json_value *schema, unsigned *type) {
    *type = 0;
    const char *name;
    if (json_find(schema, "type") || !(json_find(schema, "enum") || json_find(schema, "const"))) {
        TRY(json_get_text(w->document, schema, "type", &name, w->error));
        for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++)
            if (strcmp(name, type_names[i].name) == 0) *type = type_names[i].type;
        if (!*type)
            return json_fail(w->document, schema, "type", CARINA_ERROR_UNSUPPORTED, w->error,
                             "the type \"%.40s\" is not supported", name);
    }
    if (json_find(schema, "enum") || json_find(schema, "const")) *type |= TYPE_VALUES;
    return CARINA_OK;
}

/* Values have no other keywords, whatever their type. */
static carina_status check_keywords(schema_writer *w, const json_value *schema, unsigned type) {
    const char *key;
    const json_value *value;
    unsigned wanted = type & TYPE_VALUES ? (unsigned)TYPE_VALUES : type;
    for (void *position = NULL; json_next(schema, &position, &key, &value);) {
        unsigned types = 0;
        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
            if (strcmp(key, keywords[i].name) == 0) types = keywords[i].types;
        if (!(types & wanted))
            return json_fail(w->document, schema, key, CARINA_ERROR_UNSUPPORTED, w->error, "this keyword is not %s",
                             types ? "supported here" : "supported");
    }
    return CARINA_OK;
}

static carina_status get_count(schema_writer *w, const json_value *schema, const char *key, int64_t *out) {
    return json_find(schema, key) ? json_get_whole(w->document, schema, key, 0, GRAMMAR_MAX_REPEAT, out, w->error)
                                  : CARINA_OK;
}

/* *most is -1 without `upper`. */
static carina_status get_counts(schema_writer *w, const json_value *schema, const char *lower, const char *upper,
                                int64_t *least, int64_t *most) {
    *least = 0;
    *most = -1;
    TRY(get_count(w, schema, lower, least));
    TRY(get_count(w, schema, upper, most));
    if (*most >= 0 && *most < *least)
        return json_fail(w->document, schema, upper, CARINA_ERROR_FORMAT, w->error, "%lld is below %s, %lld",
                         (long long)*most, lower, (long long)*least);
    return CARINA_OK;
}

static void put_times(schema_writer *w, int64_t least, int64_t most) {
    fprintf(w->stream, "{%lld,", (long long)least);
    if (most >= 0) fprintf(w->stream, "%lld", (long long)most);
    fputc('}', w->stream);
}

/* ---- values ---- */

static bool fits(const json_value *value, unsigned type) {
    int64_t whole;
    switch (json_kind_of(value)) {
        case JSON_KIND_TEXT: return type & TYPE_STRING;
        case JSON_KIND_BOOL: return type & TYPE_BOOLEAN;
        case JSON_KIND_NULL: return type & TYPE_NULL;
        case JSON_KIND_NUMBER: return (type & TYPE_NUMBER) || ((type & TYPE_INTEGER) && json_whole(value, &whole));
        case JSON_KIND_ARRAY:
        case JSON_KIND_OBJECT: break;
    }
    return false;
}

/* A literal of the value's JSON and what follows it. */
static carina_status put_json(schema_writer *w, const json_value *value, const char *text, const char *behind) {
    char *buffer = NULL;
    size_t size;
    FILE *stream = open_memstream(&buffer, &size);
    if (!stream) return error_memory(w->error, "a grammar", 0);
    json_writer json = json_writer_make(stream, JSON_COMPACT);
    double number = 0;
    int64_t whole = 0;
    bool truth = false;
    if (text)
        json_put_text(&json, text);
    else if (json_truth(value, &truth))
        json_put_truth(&json, truth);
    else if (json_whole(value, &whole))
        json_put_whole(&json, whole);
    else if (json_number(value, &number))
        json_put_number(&json, number);
    else
        json_put_null(&json);
    if (fclose(stream) != 0 || !buffer) {
        free(buffer);
        return error_memory(w->error, "a grammar", 0);
    }
    buffer[strcspn(buffer, "\n")] = 0; /* the writer ends its document; a text has no line break of its own */
    char *whole_text;
    if (asprintf(&whole_text, "%s%s", buffer, behind) < 0) whole_text = NULL;
    free(buffer);
    if (!whole_text) return error_memory(w->error, "a grammar", 0);
    grammar_answers_quote(w->stream, whole_text);
    free(whole_text);
    return CARINA_OK;
}

static carina_status put_value(schema_writer *w, const json_value *schema, const char *key, const json_value *value,
                               unsigned type) {
    json_kind kind = json_kind_of(value);
    if (kind == JSON_KIND_ARRAY || kind == JSON_KIND_OBJECT)
        return json_fail(w->document, schema, key, CARINA_ERROR_UNSUPPORTED, w->error, "%s as a value is not supported",
                         json_kind_name(kind));
    if (type != TYPE_VALUES && !fits(value, type))
        return json_fail(w->document, schema, key, CARINA_ERROR_FORMAT, w->error, "%s is not of the type beside it",
                         json_kind_name(kind));
    return put_json(w, value, json_text(value), "");
}

static carina_status put_values(schema_writer *w, const json_value *schema, unsigned type) {
    if (json_find(schema, "enum") && json_find(schema, "const"))
        return json_fail(w->document, schema, "const", CARINA_ERROR_UNSUPPORTED, w->error,
                         "enum beside const is not supported");
    if (json_find(schema, "const")) return put_value(w, schema, "const", json_find(schema, "const"), type);
    const json_value *values;
    TRY(json_get_array(w->document, schema, "enum", &values, w->error));
    if (json_count(values) == 0)
        return json_fail(w->document, schema, "enum", CARINA_ERROR_FORMAT, w->error, "no value: nothing could be said");
    for (uint64_t i = 0; i < json_count(values); i++) {
        if (i) fputs(" | ", w->stream);
        TRY(put_value(w, schema, "enum", json_item(values, i), type));
    }
    return CARINA_OK;
}

static carina_status put_string(schema_writer *w, const json_value *schema) {
    int64_t least, most;
    TRY(get_counts(w, schema, "minLength", "maxLength", &least, &most));
    fputs("\"\\\"\" character", w->stream);
    put_times(w, least, most);
    fputs(" \"\\\"\"", w->stream);
    return CARINA_OK;
}

static carina_status put_integer(schema_writer *w, const json_value *schema) {
    int64_t low = -MOST_DIGITS, high = MOST_DIGITS;
    if (json_find(schema, "minimum"))
        TRY(json_get_whole(w->document, schema, "minimum", -MOST_DIGITS, MOST_DIGITS, &low, w->error));
    if (json_find(schema, "maximum"))
        TRY(json_get_whole(w->document, schema, "maximum", -MOST_DIGITS, MOST_DIGITS, &high, w->error));
    if (high < low)
        return json_fail(w->document, schema, "maximum", CARINA_ERROR_FORMAT, w->error, "%lld is below minimum, %lld",
                         (long long)high, (long long)low);
    grammar_answers_whole(w->stream, low, high);
    return CARINA_OK;
}

/* ---- arrays and objects: their parts are rules that are there already ---- */

static carina_status put_array(schema_writer *w, const json_value *schema, int *rule) {
    int64_t least, most;
    const json_value *items;
    int item = 0;
    TRY(json_get_object(w->document, schema, "items", &items, w->error));
    TRY(get_counts(w, schema, "minItems", "maxItems", &least, &most));
    TRY(put_schema(w, items, &item));
    *rule = w->rules++;
    fprintf(w->stream, "r%d ::= \"[\" ", *rule);
    if (most != 0) {
        fprintf(w->stream, "(r%d (comma r%d)", item, item);
        put_times(w, least > 0 ? least - 1 : 0, most > 0 ? most - 1 : -1);
        fputs(least > 0 ? ") " : ")? ", w->stream);
    }
    fputs("\"]\"\n", w->stream);
    return CARINA_OK;
}

static bool is_required(const json_value *required, const char *key) {
    for (uint64_t i = 0; i < json_count(required); i++)
        if (strcmp(json_text(json_item(required, i)), key) == 0) return true;
    return false;
}

static carina_status check_required(schema_writer *w, const json_value *schema, const json_value **required,
                                    const json_value *properties) {
    *required = NULL;
    const json_value *additional = json_find(schema, "additionalProperties");
    if (additional && json_kind_of(additional) != JSON_KIND_BOOL)
        return json_fail(w->document, schema, "additionalProperties", CARINA_ERROR_UNSUPPORTED, w->error,
                         "only true and false are supported");
    if (!json_find(schema, "required")) return CARINA_OK;
    TRY(json_get_array(w->document, schema, "required", required, w->error));
    for (uint64_t i = 0; i < json_count(*required); i++) {
        const char *key = json_text(json_item(*required, i));
        if (!key)
            return json_fail(w->document, schema, "required", CARINA_ERROR_FORMAT, w->error, "a name is expected");
        if (!json_find(properties, key))
            return json_fail(w->document, schema, "required", CARINA_ERROR_FORMAT, w->error,
                             "\"%.60s\" is not among the properties", key);
    }
    return CARINA_OK;
}

/* rN-first-i: the properties from i on, none is written yet; rN-rest-i: one is, so that a comma comes first. */
static carina_status put_property(schema_writer *w, int object, uint64_t i, uint64_t count, const char *key, int value,
                                  bool required) {
    for (int written = 0; written < 2; written++) {
        fprintf(w->stream, "r%d-%s-%llu ::= %s", object, written ? "rest" : "first", (unsigned long long)i,
                written ? "comma " : "");
        TRY(put_json(w, NULL, key, ":"));
        fprintf(w->stream, " \" \"? r%d", value);
        if (i + 1 < count) fprintf(w->stream, " r%d-rest-%llu", object, (unsigned long long)i + 1);
        if (!required && i + 1 < count)
            fprintf(w->stream, " | r%d-%s-%llu", object, written ? "rest" : "first", (unsigned long long)i + 1);
        if (!required && i + 1 == count) fputs(" | \"\"", w->stream);
        fputc('\n', w->stream);
    }
    return CARINA_OK;
}

static carina_status put_properties(schema_writer *w, const json_value *properties, const json_value *required,
                                    int *values, int *rule) {
    const char *key;
    const json_value *child;
    uint64_t i = 0, count = json_count(properties);
    for (void *position = NULL; json_next(properties, &position, &key, &child); i++)
        TRY(put_schema(w, child, &values[i]));
    *rule = w->rules++;
    i = 0;
    for (void *position = NULL; json_next(properties, &position, &key, &child); i++)
        TRY(put_property(w, *rule, i, count, key, values[i], is_required(required, key)));
    if (count)
        fprintf(w->stream, "r%d ::= \"{\" r%d-first-0 \"}\"\n", *rule, *rule);
    else
        fprintf(w->stream, "r%d ::= \"{}\"\n", *rule);
    return CARINA_OK;
}

static carina_status put_object(schema_writer *w, const json_value *schema, int *rule) {
    const json_value *properties = NULL, *required;
    if (json_find(schema, "properties")) TRY(json_get_object(w->document, schema, "properties", &properties, w->error));
    TRY(check_required(w, schema, &required, properties));
    int *values = calloc((size_t)json_count(properties) + 1, sizeof *values);
    if (!values) return error_memory(w->error, "a grammar", json_count(properties) * sizeof *values);
    carina_status status = put_properties(w, properties, required, values, rule);
    free(values);
    return status;
}

/* Recursion is bounded by the depth of the JSON. */
static carina_status put_schema(schema_writer *w, const json_value *schema, int *rule) {
    unsigned type = 0;
    if (json_kind_of(schema) != JSON_KIND_OBJECT)
        return json_fail(w->document, schema, NULL, CARINA_ERROR_FORMAT, w->error, "a schema is an object, this is %s",
                         json_kind_name(json_kind_of(schema)));
    TRY(find_type(w, schema, &type));
    TRY(check_keywords(w, schema, type));
    if (type == TYPE_OBJECT) return put_object(w, schema, rule);
    if (type == TYPE_ARRAY) return put_array(w, schema, rule);
    *rule = w->rules++;
    fprintf(w->stream, "r%d ::= ", *rule);
    if (type & TYPE_VALUES) TRY(put_values(w, schema, type));
    if (type == TYPE_STRING) TRY(put_string(w, schema));
    if (type == TYPE_INTEGER) TRY(put_integer(w, schema));
    if (type == TYPE_NUMBER) fputs("number", w->stream);
    if (type == TYPE_BOOLEAN) fputs("boolean", w->stream);
    if (type == TYPE_NULL) fputs("\"null\"", w->stream);
    fputc('\n', w->stream);
    return CARINA_OK;
}

static carina_status put_all(char **out, const json_document *document, carina_error *error) {
    char *text = NULL;
    size_t size;
    schema_writer w = {.stream = open_memstream(&text, &size), .document = document, .error = error};
    if (!w.stream) return error_memory(error, "a grammar", 0);
    int root = 0;
    carina_status status = put_schema(&w, json_root(document), &root);
    fprintf(w.stream, "root ::= r%d\n%s", root, fixed_rules);
    bool failed = ferror(w.stream);
    failed |= fclose(w.stream) != 0;
    if (status == CARINA_OK && failed) status = error_memory(error, json_name(document), size);
    if (status == CARINA_OK)
        *out = text;
    else
        free(text);
    return status;
}

carina_status grammar_schema_text(char **out, const char *name, const void *json, uint64_t size, carina_error *error) {
    *out = NULL;
    json_document *document;
    const json_options limits = {.max_bytes = GRAMMAR_SCHEMA_MAX_BYTES, .max_depth = GRAMMAR_SCHEMA_MAX_DEPTH};
    TRY(json_parse(&document, name, json, size, &limits, error));
    carina_status status = put_all(out, document, error);
    json_free(document);
    return status;
}
