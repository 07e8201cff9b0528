/* CSV and TSV tables, read record by record (the sets' tables have up to gigabytes) and written.
 *
 * Read: RFC 4180 quotes (with line breaks inside), CRLF, LF or CR line ends, a byte order mark, gzip by content. The
 * separator is found from the header line (tab when it has tabs and no comma outside quotes) or given. Blank lines are
 * passed over. A record with another number of fields than the header is an error, except for surplus fields that are
 * empty. Text is passed on as it is (not checked to be UTF-8) and NUL is refused.
 */
#ifndef FORMAT_CSV_H
#define FORMAT_CSV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define CSV_MAX_RECORD (16u << 20) /* bytes of one record */
#define CSV_MAX_FIELDS 4096

typedef struct csv_options {
    char separator; /* 0: found from the header line */
    bool no_header; /* columns have no names; the first record is data */
    bool ragged;    /* records may be shorter (missing fields read as "") or longer (the rest is dropped) */
} csv_options;

typedef struct csv_reader csv_reader;

/* Opens and reads the header line. options NULL: all defaults. An empty file is an error unless no_header. */
carina_status csv_open(csv_reader **out, const char *path, const csv_options *options, carina_error *error);
/* Over bytes that stay the caller's. */
carina_status csv_open_memory(csv_reader **out, const char *name, const void *data, uint64_t size,
                              const csv_options *options, carina_error *error);
void csv_close(csv_reader *reader); /* accepts NULL */

int csv_column_count(const csv_reader *reader);
const char *csv_column_name(const csv_reader *reader, int column); /* as in the file; "" when it has none */
/* Index by name: exactly, else with case and blanks around it ignored; -1 when there is none. The first of twins. */
int csv_column(const csv_reader *reader, const char *name);
/* The same, but a missing column is CARINA_ERROR_FORMAT naming the file, the column and the nearest one there is. */
carina_status csv_require(const csv_reader *reader, const char *name, int *column, carina_error *error);

/* Goes to the next record; *more false at the end. Fields are borrowed until the next call. */
carina_status csv_next(csv_reader *reader, bool *more, carina_error *error);
uint64_t csv_line(const csv_reader *reader); /* where the record began, from 1 */
int csv_field_count(const csv_reader *reader);
const char *csv_field(const csv_reader *reader, int column); /* "" for a column that is -1 or not there */

/* Typed: blanks around are ignored; an empty field, "nan" and "NA" give NaN. Anything else that is no number:
 * CARINA_ERROR_FORMAT "file:line: column 'x': ...". */
carina_status csv_number(const csv_reader *reader, int column, double *out, carina_error *error);
/* A whole number in the range ("57" or "57.0"); an empty field is an error. */
carina_status csv_whole(const csv_reader *reader, int column, int64_t minimum, int64_t maximum, int64_t *out,
                        carina_error *error);
/* error_set with "file:line: column 'x': " in front. */
carina_status csv_fail(const csv_reader *reader, int column, carina_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Writing into any stream (file_writer_stream): LF line ends, quotes only where needed. */
typedef struct csv_writer {
    FILE *stream; /* borrowed; errors stay in it */
    char separator;
    int column;
    bool first_empty;
} csv_writer;
csv_writer csv_writer_make(FILE *stream, char separator);
void csv_put_text(csv_writer *w, const char *text);
void csv_put_whole(csv_writer *w, int64_t value);
void csv_put_number(csv_writer *w, double value); /* shortest that reads back; NaN is left empty */
void csv_put_fixed(csv_writer *w, double value, int decimals);
void csv_end_row(csv_writer *w);

#endif
