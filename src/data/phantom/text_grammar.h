/* Sentences in many wordings from one pattern.
 *
 * Pattern: "[small|tiny|] {side} effusion[ is seen| is present]." A bracket is one of its alternatives (which may hold
 * brackets again, or be empty), a brace is a slot's value (whose text is itself a pattern). Afterwards runs of blanks
 * become one, a blank before punctuation goes, "a" before a vowel becomes "an", and the sentence begins with a capital.
 */
#ifndef DATA_PHANTOM_TEXT_GRAMMAR_H
#define DATA_PHANTOM_TEXT_GRAMMAR_H

#include <stddef.h>

#include "base/random.h"

typedef struct text_slot {
    const char *name, *value;
} text_slot;

/* Writes one wording into out (always NUL-terminated; cut when too small). An unknown slot writes nothing. */
void text_grammar_expand(char *out, size_t size, const char *pattern, const text_slot *slots, int slot_count,
                         random_state *random);

#endif
