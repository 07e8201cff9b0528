/* A whole text as a command's argument: a file, or standard input for "-", of bounded length. */
#ifndef CLI_TEXT_WHOLE_H
#define CLI_TEXT_WHOLE_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define TEXT_WHOLE_MAX (64u << 20) /* bytes: what a tokenizer takes at once */

/* *out is malloc'ed, any bytes, with a NUL behind them. A longer text is CARINA_ERROR_LIMIT. */
carina_status text_whole_read(char **out, uint64_t *size, const char *path, carina_error *error);
/* The same from a stream of at most `most` bytes; name: for messages. What cannot be read (a folder as standard input)
 * is CARINA_ERROR_IO, an interrupt while it waits CARINA_ERROR_CANCELLED. */
carina_status text_whole_read_stream(char **out, uint64_t *size, FILE *stream, const char *name, uint64_t most,
                                     carina_error *error);
const char *text_whole_name(const char *path); /* for messages: "standard input" for "-" */

#endif
