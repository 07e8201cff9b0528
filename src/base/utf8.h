/* UTF-8: is it, and making it so. Text from DICOM headers, CSV files and file names is not always what it claims. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes (1 .. 4) of the well-formed character at the start of text, 0 when there is none: stray continuation bytes,
 * overlong forms, surrogates and values past U+10FFFF are not well-formed. */
int utf8_character(const void *text, uint64_t size);

bool utf8_valid(const void *text, uint64_t size);

/* Valid and without control characters (U+0000 .. U+001F, U+007F .. U+009F): what a terminal may be shown as it is. */
bool utf8_is_line(const char *text);

/* A malloc'ed copy in which every malformed byte became U+FFFD; NUL-terminated, *out_size without the NUL. NULL when
 * out of memory. */
char *utf8_repair(const void *text, uint64_t size, uint64_t *out_size);

#endif
