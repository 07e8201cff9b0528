/* A grammar on its way: text -> tree (grammar_tree.c) -> states (grammar_compile.c) -> checked (grammar.c) -> run by
 * grammar_automaton.c. */
#ifndef TEXT_GRAMMAR_INTERNAL_H
#define TEXT_GRAMMAR_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/grammar.h"

#define GRAMMAR_NONE      UINT32_MAX
#define GRAMMAR_ENDLESS   UINT32_MAX /* maximum of x* */
#define GRAMMAR_MAX_CODE  0x10ffffu
#define GRAMMAR_MAX_EDGES (1u << 18)

/* ---- the tree of a text ---- */

typedef enum grammar_node_kind {
    GRAMMAR_LITERAL,  /* bytes[first .. first + count) */
    GRAMMAR_CLASS,    /* ranges[first .. first + count), sorted, apart, not empty */
    GRAMMAR_RULE,     /* rules[first] */
    GRAMMAR_SEQUENCE, /* children; none: the empty text */
    GRAMMAR_CHOICE,   /* children, two or more */
    GRAMMAR_REPEAT    /* one child, minimum .. maximum times */
} grammar_node_kind;

/* Children are linked from the last to the first, the way in which they are compiled. */
typedef struct grammar_node {
    grammar_node_kind kind;
    uint32_t first, count;
    uint32_t last_child; /* GRAMMAR_NONE */
    uint32_t before;     /* the sibling in front, GRAMMAR_NONE */
    uint32_t minimum, maximum;
} grammar_node;

typedef struct grammar_range {
    uint32_t low, high; /* codes; may span the surrogates, which no text holds */
} grammar_range;

typedef struct grammar_rule {
    const char *name; /* borrowed from the text */
    uint32_t name_size;
    int line, column; /* of its definition, or of its first use */
    uint32_t body;    /* node; GRAMMAR_NONE: used, not defined yet */
} grammar_rule;

typedef struct grammar_tree {
    grammar_node *nodes;
    grammar_range *ranges;
    grammar_rule *rules;
    uint8_t *bytes;
    uint32_t node_count, range_count, rule_count, byte_count;
    uint32_t node_room, range_room, rule_room, byte_room;
    uint32_t root; /* rule */
} grammar_tree;

/* Every rule of the tree is defined, and one is the root. On failure *out is empty. text must outlive the tree. */
carina_status grammar_tree_parse(grammar_tree *out, const char *name, const char *text, uint64_t size,
                                 carina_error *error);
void grammar_tree_free(grammar_tree *tree);

/* ---- states ---- */

typedef enum grammar_state_kind {
    GRAMMAR_BYTES, /* one byte along one of edges[a .. a + b); edges of a state may overlap */
    GRAMMAR_CALL,  /* rule a, then state b */
    GRAMMAR_SPLIT, /* state a or state b */
    GRAMMAR_END    /* of a rule */
} grammar_state_kind;

typedef struct grammar_state {
    grammar_state_kind kind;
    uint32_t a, b;
} grammar_state;

typedef struct grammar_edge {
    uint8_t low, high; /* bytes */
    uint32_t next;     /* state */
} grammar_edge;

struct grammar {
    char *name;
    grammar_state *states; /* states[0] is the one GRAMMAR_END */
    grammar_edge *edges;
    uint32_t *starts; /* first state of each rule */
    uint32_t state_count, edge_count, rule_count;
    uint32_t state_room, edge_room;
    uint32_t root;         /* rule */
    uint8_t class_of[256]; /* bytes that no edge tells apart are of one class */
    uint8_t example[256];  /* a byte of each class */
    int class_count;
};

/* Fills states, edges, starts, root and classes of *g; the caller frees it, also after a failure. */
carina_status grammar_compile(grammar *g, const grammar_tree *tree, carina_error *error);

/* Room for `more` further items behind `count`; false when there is no memory. Callers hold `count` below their limit.
 */
bool grammar_reserve(void **items, uint32_t count, uint32_t more, uint32_t *room, size_t item_size);

#endif
