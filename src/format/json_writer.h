/* Writing JSON to a stream, piece by piece: what --json, metrics.jsonl and model headers are made with.
 *
 * Output is always valid JSON: numbers that are not finite become null, malformed UTF-8 becomes U+FFFD, control
 * characters are escaped. Nothing is buffered here and no memory is taken; stream errors stay in the stream (ferror),
 * where file_writer_commit finds them. For a string, write into an open_memstream.
 *
 *     json_writer w = json_writer_make(stdout, JSON_PRETTY);
 *     json_begin_object(&w);
 *     json_field_text(&w, "file", path);
 *     json_key(&w, "regions");
 *     json_begin_array(&w);
 *     ...
 *     json_end(&w);
 *     json_end(&w);   // ends with a line break when the outermost value is complete
 */
#ifndef FORMAT_JSON_WRITER_H
#define FORMAT_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum json_style {
    JSON_COMPACT,  /* one line, no blanks */
    JSON_ONE_LINE, /* one line, a blank after ',' and ':' */
    JSON_PRETTY    /* two blanks of indent a level; arrays begun "inline" stay on one line */
} json_style;

#define JSON_WRITER_MAX_DEPTH 64

typedef struct json_writer {
    FILE *stream; /* borrowed */
    json_style style;
    int depth;
    bool after_key;
    struct {
        bool object, inline_style, filled;
    } levels[JSON_WRITER_MAX_DEPTH];
} json_writer;

json_writer json_writer_make(FILE *stream, json_style style);

void json_begin_object(json_writer *w);
void json_begin_array(json_writer *w);
void json_begin_inline(json_writer *w, bool object); /* the whole collection on one line, also in JSON_PRETTY */
void json_end(json_writer *w);                       /* of the innermost object or array */
void json_key(json_writer *w, const char *key);      /* inside an object, before each value */

void json_put_text(json_writer *w, const char *text); /* NULL becomes null */
void json_put_bytes(json_writer *w, const char *text, uint64_t size);
void json_put_whole(json_writer *w, int64_t value);
void json_put_number(json_writer *w, double value);              /* shortest form that reads back to the same double */
void json_put_f32(json_writer *w, float value);                  /* shortest form that reads back to the same float */
void json_put_fixed(json_writer *w, double value, int decimals); /* rounded, trailing zeros removed */
void json_put_truth(json_writer *w, bool value);
void json_put_null(json_writer *w);

void json_field_text(json_writer *w, const char *key, const char *text);
void json_field_whole(json_writer *w, const char *key, int64_t value);
void json_field_number(json_writer *w, const char *key, double value);
void json_field_truth(json_writer *w, const char *key, bool value);
/* An array of numbers on one line, rounded to `decimals` (a box in pixels: 1). */
void json_field_numbers(json_writer *w, const char *key, const float *values, uint64_t count, int decimals);

#endif
