/* Standard input, or a file, as lines with a bound: what `carina text` and `carina tokenizer` read. */
#ifndef CLI_TEXT_LINES_H
#define CLI_TEXT_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define TEXT_LINES_MAX (1u << 20) /* bytes of one line, unless told otherwise */

typedef struct text_lines {
    FILE *stream;     /* borrowed */
    const char *name; /* borrowed, for messages; NULL: standard input */
    uint64_t most;    /* 0: TEXT_LINES_MAX */
    bool keep_return; /* a CR at the end of a line belongs to it */
    char *line;       /* the current one, without its line break; any bytes */
    uint64_t size, room, number;
} text_lines;

/* Goes to the next line; *more false at the end. A last line without a line break counts; CRLF ends a line too,
 * unless keep_return. A longer line is CARINA_ERROR_LIMIT with its number. */
carina_status text_lines_next(text_lines *lines, bool *more, carina_error *error);
void text_lines_free(text_lines *lines);

#endif
