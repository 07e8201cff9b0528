/* CSV and TSV after RFC 4180, with what real tables add to it; see csv.h. */
#include "format/csv.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"
#include "base/number.h"
#include "format/inflate.h"

#define CHUNK 65536

struct csv_reader {
    char *name;
    inflate_stream *stream; /* NULL: memory only */
    uint8_t *buffer;        /* CHUNK bytes when there is a stream */
    const uint8_t *bytes;   /* what has been read and not used: bytes[at .. count) */
    uint64_t at, count;
    csv_options options;
    uint64_t line;        /* of the character that comes next */
    uint64_t record_line; /* where the current record began */
    char *text;           /* the record's fields, one after another, each NUL-terminated */
    uint64_t text_used, text_capacity;
    uint32_t starts[CSV_MAX_FIELDS]; /* CSV_MAX_RECORD fits 32 bits */
    int field_count;
    char *header; /* like text, for the header */
    uint32_t *header_starts;
    int column_count;
    bool first_is_pending; /* no_header: the record read at opening is the first one */
};

static carina_status fill(csv_reader *r, carina_error *error) {
    if (r->at < r->count || !r->stream) return CARINA_OK;
    r->at = 0;
    r->bytes = r->buffer;
    return inflate_read(r->stream, r->buffer, CHUNK, &r->count, error);
}

/* The next byte without taking it, -1 at the end. */
static carina_status peek(csv_reader *r, int *byte, carina_error *error) {
    TRY(fill(r, error));
    *byte = r->at < r->count ? r->bytes[r->at] : -1;
    return CARINA_OK;
}

static carina_status append(csv_reader *r, char c, carina_error *error) {
    if (r->text_used == r->text_capacity) {
        if (r->text_used >= CSV_MAX_RECORD)
            return error_set(error, CARINA_ERROR_LIMIT, "%s:%llu: a record of more than %u bytes (a quote left open?)",
                             r->name, (unsigned long long)r->record_line, CSV_MAX_RECORD);
        uint64_t capacity = r->text_capacity ? r->text_capacity * 2 : 1024;
        char *text = realloc(r->text, (size_t)capacity);
        if (!text) return error_memory(error, r->name, capacity);
        r->text = text;
        r->text_capacity = capacity;
    }
    r->text[r->text_used++] = c;
    return CARINA_OK;
}

static carina_status end_field(csv_reader *r, uint64_t start, carina_error *error) {
    TRY(append(r, 0, error));
    if (r->field_count == CSV_MAX_FIELDS)
        return error_set(error, CARINA_ERROR_LIMIT, "%s:%llu: more than %d fields", r->name,
                         (unsigned long long)r->record_line, CSV_MAX_FIELDS);
    r->starts[r->field_count++] = (uint32_t)start;
    return CARINA_OK;
}

/* Takes the next byte when it is `wanted`. */
static carina_status accept(csv_reader *r, int wanted, bool *taken, carina_error *error) {
    int next;
    TRY(peek(r, &next, error));
    *taken = next == wanted;
    if (*taken) r->at++;
    return CARINA_OK;
}

static carina_status refuse(const csv_reader *r, uint64_t line, carina_error *error, const char *what) {
    return error_set(error, CARINA_ERROR_FORMAT, "%s:%llu: %s", r->name, (unsigned long long)line, what);
}

/* A line break inside quotes is text and stays as it is. */
static carina_status append_line_end(csv_reader *r, int c, carina_error *error) {
    bool pair = false;
    TRY(append(r, (char)c, error));
    if (c == '\r') TRY(accept(r, '\n', &pair, error));
    if (pair) TRY(append(r, '\n', error));
    r->line++;
    return CARINA_OK;
}

/* From behind the opening quote to behind the closing one. */
static carina_status read_quoted(csv_reader *r, carina_error *error) {
    for (;;) {
        int c;
        TRY(peek(r, &c, error));
        if (c < 0) return refuse(r, r->record_line, error, "a quote is not closed");
        if (c == 0) return refuse(r, r->line, error, "a NUL character: not a text table");
        r->at++;
        if (c == '"') { /* the end, or the first of a doubled one */
            bool doubled;
            TRY(accept(r, '"', &doubled, error));
            if (!doubled) return CARINA_OK;
        }
        if (c == '\r' || c == '\n')
            TRY(append_line_end(r, c, error));
        else
            TRY(append(r, (char)c, error));
    }
}

/* One record into text and starts; field_count 0 at the end of the file. */
static carina_status read_record(csv_reader *r, carina_error *error) {
    r->text_used = 0;
    r->field_count = 0;
    r->record_line = r->line;
    uint64_t start = 0;
    bool was_quoted = false;
    for (;;) {
        int c;
        TRY(peek(r, &c, error));
        if (c < 0) return r->text_used || was_quoted ? end_field(r, start, error) : CARINA_OK;
        if (c == 0) return refuse(r, r->line, error, "a NUL character: not a text table");
        r->at++;
        if (c == '"' && r->text_used == start && !was_quoted) {
            was_quoted = true;
            TRY(read_quoted(r, error));
        } else if (c == '\r' || c == '\n') {
            bool pair = false;
            if (c == '\r') TRY(accept(r, '\n', &pair, error)); /* CRLF is one line end */
            r->line++;
            if (r->text_used || was_quoted) return end_field(r, start, error);
            r->record_line = r->line; /* a blank line */
        } else if (c == (unsigned char)r->options.separator) {
            TRY(end_field(r, start, error));
            start = r->text_used;
            was_quoted = false;
        } else {
            TRY(append(r, (char)c, error));
        }
    }
}

/* Comma unless the first line has tabs and no comma; looks only at what is in the first chunk. */
static carina_status find_separator(csv_reader *r, carina_error *error) {
    TRY(fill(r, error));
    bool quoted = false, tab = false, comma = false;
    for (uint64_t i = r->at; i < r->count && (quoted || (r->bytes[i] != '\n' && r->bytes[i] != '\r')); i++) {
        if (r->bytes[i] == '"') quoted = !quoted;
        if (!quoted && r->bytes[i] == '\t') tab = true;
        if (!quoted && r->bytes[i] == ',') comma = true;
    }
    r->options.separator = tab && !comma ? '\t' : ',';
    return CARINA_OK;
}

static carina_status skip_mark(csv_reader *r, carina_error *error) {
    TRY(fill(r, error));
    if (r->count - r->at >= 3 && memcmp(r->bytes + r->at, "\xef\xbb\xbf", 3) == 0) r->at += 3;
    return CARINA_OK;
}

static carina_status read_header(csv_reader *r, carina_error *error) {
    TRY(skip_mark(r, error));
    if (r->options.separator == 0) TRY(find_separator(r, error));
    TRY(read_record(r, error));
    if (r->options.no_header) {
        r->column_count = r->field_count;
        r->first_is_pending = true;
        return CARINA_OK;
    }
    if (r->field_count == 0)
        return error_set(error, CARINA_ERROR_FORMAT, "%s: empty, a header line is expected", r->name);
    size_t starts_size = (size_t)r->field_count * sizeof *r->header_starts;
    r->header = malloc((size_t)r->text_used);
    r->header_starts = malloc(starts_size);
    if (!r->header || !r->header_starts) return error_memory(error, r->name, r->text_used + starts_size);
    memcpy(r->header, r->text, (size_t)r->text_used);
    memcpy(r->header_starts, r->starts, starts_size);
    r->column_count = r->field_count;
    r->field_count = 0;
    return CARINA_OK;
}

static carina_status reader_create(csv_reader **out, const char *name, const csv_options *options,
                                   carina_error *error) {
    csv_reader *r = calloc(1, sizeof *r);
    if (r) r->name = strdup(name);
    if (!r || !r->name) {
        free(r);
        return error_memory(error, name, sizeof *r);
    }
    if (options) r->options = *options;
    r->line = 1;
    *out = r;
    return CARINA_OK;
}

carina_status csv_open(csv_reader **out, const char *path, const csv_options *options, carina_error *error) {
    *out = NULL;
    csv_reader *r;
    TRY(reader_create(&r, path, options, error));
    r->buffer = malloc(CHUNK);
    carina_status status = r->buffer ? inflate_open(&r->stream, path, error) : error_memory(error, path, CHUNK);
    if (status == CARINA_OK) status = read_header(r, error);
    if (status != CARINA_OK) {
        csv_close(r);
        return status;
    }
    *out = r;
    return CARINA_OK;
}

carina_status csv_open_memory(csv_reader **out, const char *name, const void *data, uint64_t size,
                              const csv_options *options, carina_error *error) {
    *out = NULL;
    csv_reader *r;
    TRY(reader_create(&r, name, options, error));
    r->bytes = data;
    r->count = size;
    carina_status status = read_header(r, error);
    if (status != CARINA_OK) {
        csv_close(r);
        return status;
    }
    *out = r;
    return CARINA_OK;
}

void csv_close(csv_reader *r) {
    if (!r) return;
    inflate_close(r->stream);
    free(r->buffer);
    free(r->text);
    free(r->header);
    free(r->header_starts);
    free(r->name);
    free(r);
}

int csv_column_count(const csv_reader *r) { return r->column_count; }

const char *csv_column_name(const csv_reader *r, int column) {
    return r->header && column >= 0 && column < r->column_count ? r->header + r->header_starts[column] : "";
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool same_name(const char *a, const char *b) {
    while (is_blank(*a)) a++;
    while (is_blank(*b)) b++;
    size_t length_a = strlen(a), length_b = strlen(b);
    while (length_a && is_blank(a[length_a - 1])) length_a--;
    while (length_b && is_blank(b[length_b - 1])) length_b--;
    return length_a == length_b && strncasecmp(a, b, length_a) == 0;
}

int csv_column(const csv_reader *r, const char *name) {
    for (int i = 0; i < r->column_count; i++)
        if (strcmp(csv_column_name(r, i), name) == 0) return i;
    for (int i = 0; i < r->column_count; i++)
        if (same_name(csv_column_name(r, i), name)) return i;
    return -1;
}

carina_status csv_require(const csv_reader *r, const char *name, int *column, carina_error *error) {
    *column = csv_column(r, name);
    if (*column >= 0) return CARINA_OK;
    const char *nearest = NULL;
    for (int i = 0; i < r->column_count; i++) {
        const char *one = csv_column_name(r, i);
        const char *const pair[2] = {nearest, one};
        if (*one) nearest = nearest_word(name, pair, 2);
    }
    return error_set(error, CARINA_ERROR_FORMAT, "%s: has no column '%s'%s%s%s", r->name, name,
                     nearest ? " (nearest: '" : "", nearest ? nearest : "", nearest ? "')" : "");
}

carina_status csv_next(csv_reader *r, bool *more, carina_error *error) {
    *more = false;
    if (r->first_is_pending)
        r->first_is_pending = false;
    else
        TRY(read_record(r, error));
    if (r->field_count == 0) return CARINA_OK;
    while (r->field_count > r->column_count && csv_field(r, r->field_count - 1)[0] == 0) r->field_count--;
    if (r->field_count != r->column_count && !r->options.ragged)
        return error_set(error, CARINA_ERROR_FORMAT, "%s:%llu: %d fields where the %s has %d", r->name,
                         (unsigned long long)r->record_line, r->field_count,
                         r->options.no_header ? "first line" : "header", r->column_count);
    *more = true;
    return CARINA_OK;
}

uint64_t csv_line(const csv_reader *r) { return r->record_line; }
int csv_field_count(const csv_reader *r) { return r->field_count; }

const char *csv_field(const csv_reader *r, int column) {
    return column >= 0 && column < r->field_count ? r->text + r->starts[column] : "";
}

carina_status csv_fail(const csv_reader *r, int column, carina_error *error, const char *format, ...) {
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return error_set(error, CARINA_ERROR_FORMAT, "%s:%llu: column '%.80s': %s", r->name,
                     (unsigned long long)r->record_line, csv_column_name(r, column), reason);
}

/* Copies the field without the blanks around it; false when it is too long for a number. */
static bool trimmed(const csv_reader *r, int column, char out[64]) {
    const char *text = csv_field(r, column);
    while (is_blank(*text)) text++;
    size_t length = strlen(text);
    while (length && is_blank(text[length - 1])) length--;
    if (length >= 64) return false;
    memcpy(out, text, length);
    out[length] = 0;
    return true;
}

carina_status csv_number(const csv_reader *r, int column, double *out, carina_error *error) {
    char text[64];
    if (trimmed(r, column, text)) {
        if (text[0] == 0 || strcasecmp(text, "nan") == 0 || strcasecmp(text, "na") == 0) {
            *out = NAN;
            return CARINA_OK;
        }
        if (number_parse(text, out)) return CARINA_OK;
    }
    return csv_fail(r, column, error, "'%.80s' is not a number", csv_field(r, column));
}

carina_status csv_whole(const csv_reader *r, int column, int64_t minimum, int64_t maximum, int64_t *out,
                        carina_error *error) {
    char text[64];
    int64_t value;
    double real;
    if (!trimmed(r, column, text)) return csv_fail(r, column, error, "'%.80s' is not a number", csv_field(r, column));
    if (!number_parse_integer(text, &value)) {
        if (!number_parse(text, &real) || real != trunc(real) || fabs(real) > 0x1p53)
            return csv_fail(r, column, error, "'%s' is not a whole number", text);
        value = (int64_t)real;
    }
    if (value < minimum || value > maximum)
        return csv_fail(r, column, error, "%lld is outside %lld .. %lld", (long long)value, (long long)minimum,
                        (long long)maximum);
    *out = value;
    return CARINA_OK;
}

csv_writer csv_writer_make(FILE *stream, char separator) {
    return (csv_writer){.stream = stream, .separator = separator};
}

static void next_column(csv_writer *w) {
    if (w->column++ > 0) fputc(w->separator, w->stream);
}

void csv_put_text(csv_writer *w, const char *text) {
    next_column(w);
    if (w->column == 1) w->first_empty = text[0] == 0;
    size_t length = strlen(text);
    bool quote = strpbrk(text, "\"\r\n") || strchr(text, w->separator) ||
                 (length && (is_blank(text[0]) || is_blank(text[length - 1])));
    if (!quote || length == 0) {
        fputs(text, w->stream);
        return;
    }
    fputc('"', w->stream);
    for (; *text; text++) {
        if (*text == '"') fputc('"', w->stream);
        fputc(*text, w->stream);
    }
    fputc('"', w->stream);
}

void csv_put_whole(csv_writer *w, int64_t value) {
    char text[NUMBER_TEXT];
    snprintf(text, sizeof text, "%lld", (long long)value);
    csv_put_text(w, text);
}

void csv_put_number(csv_writer *w, double value) {
    char text[NUMBER_TEXT] = "";
    if (!isnan(value)) number_format(text, value);
    csv_put_text(w, text);
}

void csv_put_fixed(csv_writer *w, double value, int decimals) {
    double scale = pow(10, decimals), rounded = round(value * scale) / scale;
    csv_put_number(w, isfinite(rounded) ? rounded + 0.0 : value);
}

void csv_end_row(csv_writer *w) {
    if (w->column == 1 && w->first_empty) fputs("\"\"", w->stream); /* a blank line would be passed over */
    fputc('\n', w->stream);
    w->column = 0;
    w->first_empty = false;
}
