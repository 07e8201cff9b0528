/* What WordPiece must know of a character: its kind, its lower case, and what is left of it without accents.
 *
 * Tables: unicode_tables.h, made by tools/make_unicode_tables.py. Codes are Unicode scalar values; others are of no
 * kind and map to themselves.
 */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum unicode_kind {
    UNICODE_OTHER,
    UNICODE_CONTROL,      /* general categories C*, unassigned codes included; tab and line breaks are UNICODE_SPACE */
    UNICODE_SPACE,        /* Z* */
    UNICODE_PUNCTUATION,  /* P*, and all of ASCII that is neither letter nor digit */
    UNICODE_MARK,         /* Mn (what accent stripping drops) with a combining class */
    UNICODE_MARK_STARTER, /* Mn of combining class 0 */
} unicode_kind;

unicode_kind unicode_kind_of(uint32_t code);

/* The ideographs that BERT sets apart as words of their own; not kana, not Hangul. */
bool unicode_is_cjk(uint32_t code);

#define UNICODE_MOST 3

/* Lower case of one character, without regard to its neighbours: 1 or 2 codes into out; returns how many. */
int unicode_lower(uint32_t code, uint32_t out[UNICODE_MOST]);

/* Canonical decomposition (NFD) without nonspacing marks: 0 to 3 codes. */
int unicode_bare(uint32_t code, uint32_t out[UNICODE_MOST]);

/* Canonical combining class of a character that is no nonspacing mark; nearly always 0. */
int unicode_spacing_class(uint32_t code);

/* The character at text[0 .. size), size > 0, into *code; returns its bytes. A malformed byte counts as one character
 * U+FFFD. */
int unicode_decode(const char *text, uint64_t size, uint32_t *code);
/* UTF-8 of a code into out; returns its bytes (1 .. 4). */
int unicode_encode(uint32_t code, char out[4]);

#endif
