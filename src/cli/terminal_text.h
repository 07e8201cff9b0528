/* A model's text on a terminal: control characters, with which it could move the cursor, change the title or hide what
 * it said, are shown instead of obeyed. Only for terminals: files and pipes get the text as it is. */
#ifndef CLI_TERMINAL_TEXT_H
#define CLI_TERMINAL_TEXT_H

#include <stdint.h>
#include <stdio.h>

/* Whole characters of UTF-8. Line breaks and tabs stay; other controls become ^[ (escape), ^G, ^?, <U+009B>, and bytes
 * that are no UTF-8 <9B>. */
void terminal_text_write(FILE *out, const char *text, uint64_t size);

#endif
