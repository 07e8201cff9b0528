/* Which tokens an answer may go on with, under a grammar: masks for sampler_next.
 *
 *     grammar_matcher_mask(m, &mask, &error);      // what the grammar allows here
 *     sampler_next(&drawn, s, logits, mask, &error);
 *     grammar_matcher_accept(m, drawn.token, &error);
 *     if (grammar_matcher_ended(m)) ...
 *
 * A token is allowed when all its bytes are, one after the other: any way to cut the text into tokens is. The tokens
 * that end an answer are allowed exactly where the grammar may end; tokens without bytes never are. Masks are kept by
 * what the grammar expects, so that within a text of many equal places each is found once.
 *
 * One matcher serves one answer at a time; grammar and trie are only read, so matchers on several threads may share
 * them.
 */
#ifndef TEXT_GRAMMAR_MATCHER_H
#define TEXT_GRAMMAR_MATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "text/grammar.h"
#include "text/token_trie.h"

#define GRAMMAR_MATCHER_MAX_TEXT 2048 /* bytes at once */

typedef struct grammar_matcher grammar_matcher;

/* g and trie are borrowed, and must outlive the matcher. It takes up to 64 masks (32 KiB each for 262,144 tokens), and
 * what the automaton remembers, at most some 20 MiB. */
carina_status grammar_matcher_make(grammar_matcher **out, const grammar *g, const token_trie *trie,
                                   carina_error *error);
void grammar_matcher_free(grammar_matcher *m); /* accepts NULL */

/* Before the first token; what was remembered stays. */
carina_status grammar_matcher_reset(grammar_matcher *m, carina_error *error);

/* Bit (id % 64) of word (id / 64) is 1 where the token is allowed; borrowed until the next call with this matcher.
 * Never empty: where no token of the vocabulary can go on (a byte that none has, nesting deeper than 1000) it is an
 * error. */
carina_status grammar_matcher_mask(grammar_matcher *m, const uint64_t **mask, carina_error *error);

/* The token now stands in the answer. One that is not allowed is CARINA_ERROR_ARGUMENT and changes nothing. */
carina_status grammar_matcher_accept(grammar_matcher *m, int token, carina_error *error);

/* The same for text that is put there without tokens (the beginning of an answer), at most GRAMMAR_MATCHER_MAX_TEXT
 * bytes at once. */
carina_status grammar_matcher_accept_text(grammar_matcher *m, const void *bytes, uint64_t size, carina_error *error);

bool grammar_matcher_can_end(const grammar_matcher *m); /* the answer may end here */
bool grammar_matcher_ended(const grammar_matcher *m);   /* an end token was accepted: nothing more is */

#endif
