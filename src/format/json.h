/* Reading JSON: a tree with limits, and typed readers whose errors say "file: objects[3].x1: ...".
 *
 * Values are borrowed from their document and live as long as it. Object keys keep the file's order; a key that is
 * given twice is an error. Writing is in format/json_writer.h.
 */
#ifndef FORMAT_JSON_H
#define FORMAT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct json_document json_document;
typedef struct json_value json_value;

typedef enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_NUMBER,
    JSON_KIND_TEXT,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
} json_kind;

typedef struct json_options {
    uint64_t max_bytes;  /* 0: 64 MiB */
    uint64_t max_values; /* 0: 4 million */
    int max_depth;       /* 0: 64 */
    bool repair_utf8;    /* replace malformed bytes by U+FFFD instead of refusing the file */
} json_options;

/* options NULL: the defaults. name is used in messages. data may hold any bytes. */
carina_status json_parse(json_document **out, const char *name, const void *data, uint64_t size,
                         const json_options *options, carina_error *error);
carina_status json_read(json_document **out, const char *path, const json_options *options, carina_error *error);
void json_free(json_document *document); /* accepts NULL */
const json_value *json_root(const json_document *document);
const char *json_name(const json_document *document);

/* Looking without errors: NULL or false when value is NULL, of another kind, or has no such child. */
json_kind json_kind_of(const json_value *value); /* NULL pointer: JSON_KIND_NULL */
const char *json_kind_name(json_kind kind);
uint64_t json_count(const json_value *value); /* children of an array or object, else 0 */
const json_value *json_item(const json_value *array, uint64_t index);
const json_value *json_find(const json_value *object, const char *key);
bool json_has(const json_value *object, const char *key); /* present and not null */
const char *json_text(const json_value *value);
bool json_number(const json_value *value, double *out);
bool json_whole(const json_value *value, int64_t *out); /* an integer, or a real without fraction (395.0) */
bool json_truth(const json_value *value, bool *out);

/* Walks an object in file order: void *position = NULL; while (json_next(object, &position, &key, &value)) ... */
bool json_next(const json_value *object, void **position, const char **key, const json_value **value);

/* Required children of an object (key) by type; a missing key, null or another type is CARINA_ERROR_FORMAT with file
 * and path. For an optional one test json_has first. */
carina_status json_get_text(const json_document *document, const json_value *object, const char *key, const char **out,
                            carina_error *error);
carina_status json_get_number(const json_document *document, const json_value *object, const char *key, double *out,
                              carina_error *error);
carina_status json_get_whole(const json_document *document, const json_value *object, const char *key, int64_t minimum,
                             int64_t maximum, int64_t *out, carina_error *error);
carina_status json_get_truth(const json_document *document, const json_value *object, const char *key, bool *out,
                             carina_error *error);
carina_status json_get_array(const json_document *document, const json_value *object, const char *key,
                             const json_value **out, carina_error *error);
carina_status json_get_object(const json_document *document, const json_value *object, const char *key,
                              const json_value **out, carina_error *error);
/* An array of exactly `count` numbers (a box, a point). */
carina_status json_get_numbers(const json_document *document, const json_value *object, const char *key, double *out,
                               uint64_t count, carina_error *error);

/* error_set with "file: path.to.parent.key: " in front; key may be NULL for the parent itself. */
carina_status json_fail(const json_document *document, const json_value *parent, const char *key, carina_status status,
                        carina_error *error, const char *format, ...) __attribute__((format(printf, 6, 7)));

#endif
