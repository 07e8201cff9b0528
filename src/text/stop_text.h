/* Stop strings over text that arrives in pieces, and its way to whoever shows it.
 *
 * Bytes of tokens go in, well-formed UTF-8 comes out, as early as it can: nothing that belongs to a stop string is ever
 * emitted, only what could begin one is held back, and so is a character whose bytes are not all there. Bytes that no
 * character begins with, or goes on with, become U+FFFD.
 *
 * The stop string that is complete first ends the text, just before its own beginning; of several that end at one byte,
 * the longest. Bytes behind it are dropped.
 */
#ifndef TEXT_STOP_TEXT_H
#define TEXT_STOP_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define STOP_TEXT_MAX_STRINGS 64
#define STOP_TEXT_MAX_STRING  1024 /* bytes */

/* Takes text [size > 0], well-formed UTF-8, not NUL-terminated. false: the receiver wants no more. */
typedef bool stop_text_emit(void *context, const char *text, uint64_t size);

typedef struct stop_text stop_text;

/* Copies the strings: NUL-terminated, not empty, UTF-8. count may be 0. */
carina_status stop_text_make(stop_text **out, const char *const *strings, int count, stop_text_emit *emit,
                             void *context, carina_error *error);
void stop_text_free(stop_text *s); /* accepts NULL */

/* CARINA_ERROR_CANCELLED once the receiver wanted no more; it is then not called again. */
carina_status stop_text_push(stop_text *s, const void *bytes, uint64_t size, carina_error *error);

/* The text ends here without a stop string: what was held back is emitted. */
carina_status stop_text_finish(stop_text *s, carina_error *error);

/* Which string ended the text, -1: none yet. */
int stop_text_found(const stop_text *s);

#endif
