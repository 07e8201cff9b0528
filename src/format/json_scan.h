/* JSON read in one pass, value by value, for files whose tree would be too large (format/json.h: up to 40 times the
 * text): a tokenizer.json has millions of values. Memory: the longest string that has escapes.
 *
 *     json_scan s = json_scan_make(path, data, size);
 *     TRY(json_scan_enter(&s, JSON_KIND_OBJECT, error));
 *     for (bool more;;) {
 *         TRY(json_scan_next(&s, &more, error));
 *         if (!more) break;
 *         if (json_scan_key_is(&s, "vocab")) ... one of the readers below, or json_scan_skip
 *     }
 *     TRY(json_scan_end(&s, error));
 *
 * The grammar is held strictly (RFC 8259), UTF-8 included; "\u0000" is a character like others. Unlike json_parse it
 * does not know which keys an object had before: whoever must not see one twice looks himself. Errors name the file
 * and the place: "file: model.merges[12]: ...".
 */
#ifndef FORMAT_JSON_SCAN_H
#define FORMAT_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "format/json.h"

#define JSON_SCAN_MAX_DEPTH 64

/* Where we are in a container that was entered. */
typedef struct json_scan_level {
    bool object;
    uint64_t index;               /* of the item that was last given, counted from 1 */
    uint64_t key_begin, key_size; /* of an object: the key as it stands in the file */
} json_scan_level;

typedef struct json_scan {
    const char *name, *data; /* borrowed */
    uint64_t size, at;
    int depth;
    json_scan_level levels[JSON_SCAN_MAX_DEPTH];
    const char *key; /* of the member that json_scan_next has come to; until the next call */
    uint64_t key_size;
    char *buffers[2]; /* keys and texts that had escapes */
    uint64_t rooms[2];
} json_scan;

json_scan json_scan_make(const char *name, const void *data, uint64_t size);
void json_scan_free(json_scan *s);

/* Goes into the object or array that comes next. */
carina_status json_scan_enter(json_scan *s, json_kind kind, carina_error *error);
/* To the next item or member, of which a reader below must take the value; *more false: the container has ended and
 * was left. */
carina_status json_scan_next(json_scan *s, bool *more, carina_error *error);
bool json_scan_key_is(const json_scan *s, const char *key);
/* What the next value is, by its first character; JSON_KIND_NULL for what is none. */
json_kind json_scan_kind(json_scan *s);

/* The text lies in the file or in a buffer, until the next text is read; not NUL-terminated. */
carina_status json_scan_text(json_scan *s, const char **out, uint64_t *size, carina_error *error);
carina_status json_scan_whole(json_scan *s, int64_t minimum, int64_t maximum, int64_t *out, carina_error *error);
carina_status json_scan_truth(json_scan *s, bool *out, carina_error *error);
/* Any value, with all that is in it; raw (may be NULL): as it stands in the file. */
carina_status json_scan_skip(json_scan *s, const char **raw, uint64_t *raw_size, carina_error *error);
/* The end of the file: nothing but white space. */
carina_status json_scan_end(json_scan *s, carina_error *error);

/* error_set with file and place in front. */
carina_status json_scan_fail(const json_scan *s, carina_status status, carina_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
