/* Streaming JSON output; see json_writer.h. Misuse of the order of calls is a bug of ours and asserted. */
#include "format/json_writer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"

json_writer json_writer_make(FILE *stream, json_style style) { return (json_writer){.stream = stream, .style = style}; }

static bool on_one_line(const json_writer *w) {
    return w->style != JSON_PRETTY || (w->depth > 0 && w->levels[w->depth - 1].inline_style);
}

static void break_line(json_writer *w, int depth) { fprintf(w->stream, "\n%*s", 2 * depth, ""); }

/* Comma and line break in front of an item or key. */
static void separate(json_writer *w) {
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0) return;
    bool first = !w->levels[w->depth - 1].filled;
    w->levels[w->depth - 1].filled = true;
    if (!first) fputc(',', w->stream);
    if (!on_one_line(w))
        break_line(w, w->depth);
    else if (!first && w->style != JSON_COMPACT)
        fputc(' ', w->stream);
}

static void finish_value(json_writer *w) {
    if (w->depth == 0) fputc('\n', w->stream);
}

static void begin(json_writer *w, bool object, bool inline_style) {
    assert(w->depth < JSON_WRITER_MAX_DEPTH);
    inline_style = inline_style || (w->depth > 0 && w->levels[w->depth - 1].inline_style);
    separate(w);
    w->levels[w->depth].object = object;
    w->levels[w->depth].inline_style = inline_style;
    w->levels[w->depth].filled = false;
    w->depth++;
    fputc(object ? '{' : '[', w->stream);
}

void json_begin_object(json_writer *w) { begin(w, true, false); }
void json_begin_array(json_writer *w) { begin(w, false, false); }
void json_begin_inline(json_writer *w, bool object) { begin(w, object, true); }

void json_end(json_writer *w) {
    assert(w->depth > 0 && !w->after_key);
    bool one_line = on_one_line(w), filled = w->levels[w->depth - 1].filled, object = w->levels[w->depth - 1].object;
    w->depth--;
    if (filled && !one_line) break_line(w, w->depth);
    fputc(object ? '}' : ']', w->stream);
    finish_value(w);
}

static void write_quoted(json_writer *w, const char *text, uint64_t size) {
    fputc('"', w->stream);
    for (uint64_t at = 0; at < size;) {
        int length = utf8_character(text + at, size - at);
        unsigned char c = (unsigned char)text[at];
        if (length == 0) {
            fputs("\xef\xbf\xbd", w->stream);
        } else if (c == '"' || c == '\\') {
            fputc('\\', w->stream);
            fputc(c, w->stream);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            fputs(c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r", w->stream);
        } else if (c < 0x20 || c == 0x7f) {
            fprintf(w->stream, "\\u%04x", c);
        } else {
            fwrite(text + at, 1, (size_t)length, w->stream);
        }
        at += length ? (uint64_t)length : 1;
    }
    fputc('"', w->stream);
}

void json_key(json_writer *w, const char *key) {
    assert(w->depth > 0 && w->levels[w->depth - 1].object && !w->after_key);
    separate(w);
    write_quoted(w, key, strlen(key));
    fputs(w->style == JSON_COMPACT ? ":" : ": ", w->stream);
    w->after_key = true;
}

static void begin_value(json_writer *w) {
    assert(w->depth == 0 || !w->levels[w->depth - 1].object || w->after_key);
    separate(w);
}

static void put_raw(json_writer *w, const char *text) {
    begin_value(w);
    fputs(text, w->stream);
    finish_value(w);
}

void json_put_bytes(json_writer *w, const char *text, uint64_t size) {
    begin_value(w);
    write_quoted(w, text, size);
    finish_value(w);
}

void json_put_text(json_writer *w, const char *text) {
    if (text)
        json_put_bytes(w, text, strlen(text));
    else
        json_put_null(w);
}

void json_put_whole(json_writer *w, int64_t value) {
    char text[NUMBER_TEXT];
    snprintf(text, sizeof text, "%lld", (long long)value);
    put_raw(w, text);
}

void json_put_number(json_writer *w, double value) {
    char text[NUMBER_TEXT] = "null";
    if (isfinite(value)) number_format(text, value);
    put_raw(w, text);
}

void json_put_f32(json_writer *w, float value) {
    char text[NUMBER_TEXT] = "null";
    if (isfinite(value)) number_format_f32(text, value);
    put_raw(w, text);
}

void json_put_fixed(json_writer *w, double value, int decimals) {
    double scale = pow(10, decimals), rounded = round(value * scale) / scale;
    json_put_number(w, isfinite(rounded) ? rounded + 0.0 : value); /* + 0.0: no "-0" */
}

void json_put_truth(json_writer *w, bool value) { put_raw(w, value ? "true" : "false"); }
void json_put_null(json_writer *w) { put_raw(w, "null"); }

void json_field_text(json_writer *w, const char *key, const char *text) {
    json_key(w, key);
    json_put_text(w, text);
}
void json_field_whole(json_writer *w, const char *key, int64_t value) {
    json_key(w, key);
    json_put_whole(w, value);
}
void json_field_number(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_put_number(w, value);
}
void json_field_truth(json_writer *w, const char *key, bool value) {
    json_key(w, key);
    json_put_truth(w, value);
}

void json_field_numbers(json_writer *w, const char *key, const float *values, uint64_t count, int decimals) {
    json_key(w, key);
    json_begin_inline(w, false);
    for (uint64_t i = 0; i < count; i++) json_put_fixed(w, (double)values[i], decimals);
    json_end(w);
}
