/* A vocabulary's byte strings as a prefix tree, so that what a grammar allows is found by walking it once: what no
 * token may begin with is passed over with all its continuations.
 *
 * Nodes stand in the order of a depth-first walk, children by rising byte. A node is its last byte; at depth d it
 * continues the nearest node before it of depth d - 1. Of tokens with the same bytes each has a node.
 *
 * There are three such trees, because most of a vocabulary is words, and most places of a text that take one word take
 * all of them: tokens of letters, digits and blanks alone (ASCII); tokens that are whole characters, of those and of
 * others beyond ASCII; and the rest (marks, parts of characters). Of the first two kinds there are ready masks.
 */
#ifndef TEXT_TOKEN_TRIE_H
#define TEXT_TOKEN_TRIE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define TOKEN_TRIE_MAX_TOKENS (1 << 24)
#define TOKEN_TRIE_MAX_TOKEN  1024 /* bytes */
#define TOKEN_TRIE_NO_TOKEN   (TOKEN_TRIE_MAX_TOKENS - 1)

/* The bytes that a token adds to the text; size 0: none (control tokens, unused ids). */
typedef struct token_text {
    const uint8_t *bytes;
    uint32_t size;
} token_text;

/* A vocabulary as sampling sees it, made by whoever has the tokenizer. Everything borrowed. */
typedef struct token_table {
    const token_text *texts; /* [count], by id */
    int count;
    const int *ends; /* [end_count] ids that end an answer (<end_of_turn>, <eos>); their bytes do not count */
    int end_count;
} token_table;

typedef enum token_trie_kind {
    TOKEN_TRIE_WORDS,
    TOKEN_TRIE_CHARACTERS,
    TOKEN_TRIE_REST,
    TOKEN_TRIE_KINDS
} token_trie_kind;

typedef struct token_trie {
    token_table table; /* borrowed: must outlive the trie */
    uint32_t *labels;  /* [nodes] byte | token << 8; TOKEN_TRIE_NO_TOKEN where none ends */
    uint16_t *depths;  /* [nodes] from 1 */
    uint32_t *after;   /* [nodes] the first node behind this one's continuations */
    uint32_t node_count;
    uint32_t ends[TOKEN_TRIE_KINDS];   /* the first node behind each kind */
    uint64_t *masks[TOKEN_TRIE_REST];  /* the tokens of words and of characters, as in grammar_matcher_mask */
    uint32_t longest[TOKEN_TRIE_REST]; /* characters of the longest of them */
    uint32_t depth;                    /* of the deepest */
} token_trie;

carina_status token_trie_make(token_trie *out, const token_table *table, carina_error *error);
/* Is the byte a letter, a digit or the blank? */
bool token_trie_is_plain(uint8_t byte);

void token_trie_free(token_trie *trie); /* accepts NULL and an empty one */

#endif
