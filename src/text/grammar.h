/* Grammars that an answer is held to, in the notation that llama.cpp calls GBNF.
 *
 *     # a box, or none
 *     root   ::= "none" | box
 *     box    ::= "<box>(" number "," number ")</box>"
 *     number ::= [0-9] | [1-9] [0-9]{1,2}
 *
 * A rule is `name ::= alternatives` (letters, digits, - and _); the answer is a `root`. Alternatives are parted by |,
 * an empty one beside others stands for nothing. A sequence is made of
 *
 *     "text"      these characters; escapes: \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH (the character's code)
 *     [a-z_]      one character of the class; [^...] one that is not; - first or last is itself
 *     .           any one character
 *     name        what the rule matches
 *     ( ... )     a group, in which lines may break
 *     x* x+ x?    repetition: any number, at least one, at most one
 *     x{2} x{2,} x{2,5}
 *
 * A rule ends with its line, but goes on behind a | and in a line that begins with one. # begins a comment. Everything
 * is UTF-8, and what is matched are bytes: a class becomes ranges of bytes, so that a token may end amid a character.
 * Classes match characters of well-formed UTF-8 only.
 *
 * A grammar that is not one, or that could not be kept, is an error with line and column: an unknown rule, a rule
 * without a finite text ("a" root), one that begins with itself (root ::= root "a" would be tried for ever), a root
 * that matches nothing but the empty text, and sizes past the limits below.
 *
 * A compiled grammar is not changed by its use; any number of matchers (text/grammar_matcher.h) may share it.
 */
#ifndef TEXT_GRAMMAR_H
#define TEXT_GRAMMAR_H

#include <stdint.h>

#include "base/error.h"

#define GRAMMAR_MAX_BYTES  (1u << 20)
#define GRAMMAR_MAX_RULES  4096
#define GRAMMAR_MAX_NAME   64
#define GRAMMAR_MAX_GROUPS 64   /* one within another */
#define GRAMMAR_MAX_REPEAT 2000 /* x{n}: it becomes n copies */
#define GRAMMAR_MAX_STATES (1u << 17)

typedef struct grammar grammar;

/* name is used in messages ("name:3:14: ..."). text may hold any bytes. */
carina_status grammar_parse(grammar **out, const char *name, const void *text, uint64_t size, carina_error *error);
void grammar_free(grammar *g); /* accepts NULL */

#endif
