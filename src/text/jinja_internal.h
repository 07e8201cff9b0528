/* A template on its way: text -> tokens (jinja_lex.c) -> tree (jinja_parse.c, jinja_expression.c), which is run by
 * jinja.c (statements), jinja_evaluate.c (expressions), jinja_operators.c and jinja_filters.c, over jinja_value.c. */
#ifndef TEXT_JINJA_INTERNAL_H
#define TEXT_JINJA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/jinja.h"

/* ---- tokens ---- */

typedef enum jinja_token_kind {
    JINJA_TOKEN_DATA, /* text that is put out as it is */
    JINJA_TOKEN_BLOCK_BEGIN,
    JINJA_TOKEN_BLOCK_END,
    JINJA_TOKEN_PRINT_BEGIN,
    JINJA_TOKEN_PRINT_END,
    JINJA_TOKEN_NAME,
    JINJA_TOKEN_TEXT,
    JINJA_TOKEN_WHOLE,
    JINJA_TOKEN_SIGN,
    JINJA_TOKEN_END
} jinja_token_kind;

#define JINJA_SIGN_2(a, b) ((a) << 8 | (b)) /* "==" and its like */

typedef struct jinja_token {
    jinja_token_kind kind;
    int sign;        /* a character, or JINJA_SIGN_2 */
    uint32_t offset; /* in the source */
    int64_t whole;
    jinja_text text; /* data, name, or a text without its quotes and escapes */
} jinja_token;

/* The template's text with line breaks as Jinja wants them, and its tokens, the last of them JINJA_TOKEN_END. */
typedef struct jinja_source {
    char *name;
    char *text;
    uint32_t size;
    char *literals; /* texts that had escapes */
    uint32_t literal_size;
    jinja_token *tokens;
    uint32_t count, room;
} jinja_source;

carina_status jinja_lex(jinja_source *s, carina_error *error);
/* "name:line:column: " and the message, with the place of the byte `offset`; columns count characters. */
carina_status jinja_fail_at(const jinja_source *s, uint32_t offset, carina_status status, carina_error *error,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Bytes of the white space (as Python's str.isspace has it) at the beginning of a text, or at its end. */
uint64_t jinja_space_before(jinja_text text);
uint64_t jinja_space_behind(jinja_text text);
bool jinja_text_is(jinja_text text, const char *wanted);

/* ---- tree ---- */

#define JINJA_NOTHING UINT32_MAX

typedef enum jinja_node_kind {
    /* statements */
    JINJA_NODE_DATA,  /* text */
    JINJA_NODE_PRINT, /* a */
    JINJA_NODE_SET,   /* text = a; with more: text.more = a */
    JINJA_NODE_IF,    /* a: condition, b: statements, c: elif (an if) or d: else (statements) */
    JINJA_NODE_FOR,   /* text, more: targets, a: what is gone through, b: filter, c: statements, d: else */
    /* expressions */
    JINJA_NODE_CONSTANT, /* value */
    JINJA_NODE_NAME,     /* text */
    JINJA_NODE_LIST,     /* a: first item */
    JINJA_NODE_DICT,     /* a: first key, then its value, then the next key */
    JINJA_NODE_ITEM,     /* a[b] */
    JINJA_NODE_SLICE,    /* a[b:c:d] */
    JINJA_NODE_CALL,     /* text(a, ...) */
    JINJA_NODE_METHOD,   /* a.entry(b, c) */
    JINJA_NODE_FILTER,   /* a | entry(b, c, d) */
    JINJA_NODE_TEST,     /* a is entry(b) */
    JINJA_NODE_NOT,      /* a */
    JINJA_NODE_MINUS,    /* a */
    JINJA_NODE_AND,      /* a, b */
    JINJA_NODE_OR,       /* a, b */
    JINJA_NODE_BINARY,   /* a sign b */
    JINJA_NODE_IN,       /* a in b */
    JINJA_NODE_CHOICE    /* b if a else c */
} jinja_node_kind;

typedef struct jinja_node {
    jinja_node_kind kind;
    uint32_t offset;
    uint32_t a, b, c, d; /* JINJA_NOTHING: not there */
    uint32_t next;       /* statement, item or argument */
    int sign;            /* operator; of a filter that takes a test: the line of that test + 1 */
    int entry;           /* line of a table */
    jinja_text text, more;
    jinja_value value;
} jinja_node;

struct jinja {
    jinja_source source;
    jinja_node *nodes;
    uint32_t node_count, node_room;
    uint32_t first; /* statement */
};

/* The parser's place, shared by jinja_parse.c and jinja_expression.c. */
typedef struct jinja_parser {
    jinja *tree;
    uint32_t at; /* token */
    int depth;
    carina_error *error;
} jinja_parser;

const jinja_token *jinja_peek(const jinja_parser *p);
bool jinja_peek_sign(const jinja_parser *p, int sign);
bool jinja_peek_name(const jinja_parser *p, const char *name);
bool jinja_take_sign(jinja_parser *p, int sign);
bool jinja_take_name(jinja_parser *p, const char *name);
carina_status jinja_expect_sign(jinja_parser *p, int sign, const char *what);
carina_status jinja_expected(jinja_parser *p, const char *what); /* fails: says what is there instead */
carina_status jinja_add_node(jinja_parser *p, jinja_node_kind kind, uint32_t offset, uint32_t *out);
carina_status jinja_deeper(jinja_parser *p); /* to be undone by depth-- */
/* A name that may be set. */
carina_status jinja_take_target(jinja_parser *p, jinja_text *out);
carina_status jinja_parse_expression(jinja_parser *p, uint32_t *out); /* with x if y else z */
carina_status jinja_parse_condition(jinja_parser *p, uint32_t *out);  /* without */

/* ---- tables ---- */

typedef enum jinja_table { JINJA_FILTERS, JINJA_TESTS, JINJA_METHODS } jinja_table;

#define JINJA_MAX_PARAMETERS 3

typedef struct jinja_entry {
    const char *name;
    int id;                                       /* what jinja_filters.c does for it */
    int least;                                    /* arguments that must be given */
    const char *parameters[JINJA_MAX_PARAMETERS]; /* by position; "": has no name */
} jinja_entry;

int jinja_entry_find(jinja_table table, jinja_text name); /* -1: not there */
const jinja_entry *jinja_entry_at(jinja_table table, int entry);
/* Whether the first argument (of selectattr and its like: the second) is a test's name. Its position or -1. */
int jinja_entry_test_argument(int filter);

/* ---- running ---- */

typedef struct jinja_list {
    uint64_t count;
    jinja_value items[];
} jinja_list;

typedef struct jinja_pair {
    jinja_text key;
    jinja_value value;
} jinja_pair;

typedef struct jinja_dict {
    jinja_pair *pairs;
    uint64_t count, room;
} jinja_dict;

typedef struct jinja_loop {
    const jinja_list *items;
    uint64_t index;
} jinja_loop;

typedef struct jinja_variable {
    jinja_text name;
    jinja_value value;
} jinja_variable;

struct jinja_run {
    const jinja *tree;
    uint32_t at; /* the node that is being run, for messages; JINJA_NOTHING: none yet */
    int depth;
    uint64_t steps, memory; /* left */
    struct jinja_block *blocks;
    jinja_variable *variables;                     /* the innermost last */
    uint64_t variable_count, variable_room, scope; /* the innermost scope's first */
    char *output;
    uint64_t output_size, output_room;
    carina_error *error;
};

carina_status jinja_run_fail(jinja_run *r, carina_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
carina_status jinja_spend(jinja_run *r, uint64_t steps);
carina_status jinja_charge(jinja_run *r, uint64_t bytes);           /* off `memory` */
carina_status jinja_take(jinja_run *r, uint64_t bytes, void **out); /* aligned, lives as long as the run */

/* Values; jinja_value.c. */
jinja_value jinja_truth_value(bool truth);
jinja_value jinja_whole_value(int64_t whole);
jinja_value jinja_text_value(const char *data, uint64_t size);
jinja_value jinja_undefined_value(jinja_text name);
const char *jinja_kind_name(jinja_kind kind); /* "a list" */
carina_status jinja_make_list(jinja_run *r, uint64_t count, jinja_kind kind, jinja_value *out);
carina_status jinja_make_dict(jinja_run *r, jinja_kind kind, jinja_value *out);
carina_status jinja_dict_set(jinja_run *r, jinja_dict *dict, jinja_text key, jinja_value value);
carina_status jinja_dict_get(jinja_run *r, const jinja_dict *dict, jinja_text key, const jinja_value **out); /* NULL */
bool jinja_truth(const jinja_value *v);
carina_status jinja_equal(jinja_run *r, const jinja_value *a, const jinja_value *b, bool *out);
/* What print, ~ and filters of text see. */
carina_status jinja_to_text(jinja_run *r, const jinja_value *v, jinja_text *out);
/* What `for` goes through: a list as it is, the characters of a text, the keys of a dictionary. */
carina_status jinja_to_list(jinja_run *r, const jinja_value *v, const jinja_list **out);
bool jinja_is_iterable(const jinja_value *v);
bool jinja_as_whole(const jinja_value *v, int64_t *out); /* truth values are 0 and 1, as in Python */
uint64_t jinja_character_count(jinja_text text);
carina_status jinja_join_texts(jinja_run *r, jinja_text a, jinja_text b, jinja_value *out);
carina_status jinja_to_json(jinja_run *r, const jinja_value *v, jinja_value *out); /* jinja_json.c */

/* Operators; jinja_operators.c. */
carina_status jinja_binary(jinja_run *r, int sign, const jinja_value *a, const jinja_value *b, jinja_value *out);
carina_status jinja_contains(jinja_run *r, const jinja_value *item, const jinja_value *in, bool *out);
carina_status jinja_item(jinja_run *r, const jinja_value *of, const jinja_value *key, jinja_value *out);
/* bounds: start, stop, step, each a number or none. */
carina_status jinja_slice(jinja_run *r, const jinja_value *of, const jinja_value bounds[3], jinja_value *out);

/* jinja_filters.c; arguments that are not given are JINJA_UNDEFINED in `values`, and false in `given`. */
typedef struct jinja_arguments {
    jinja_value values[JINJA_MAX_PARAMETERS];
    bool given[JINJA_MAX_PARAMETERS];
    int test; /* line of the tests, of a filter that takes one; -1 */
} jinja_arguments;

carina_status jinja_filter(jinja_run *r, int entry, const jinja_value *input, const jinja_arguments *arguments,
                           jinja_value *out);
carina_status jinja_test(jinja_run *r, int entry, const jinja_value *input, const jinja_value *argument, bool *out);
carina_status jinja_method(jinja_run *r, int entry, const jinja_value *input, const jinja_arguments *arguments,
                           jinja_value *out);

/* jinja_evaluate.c: jinja_evaluate refuses streams, jinja_evaluate_any lets them through. */
carina_status jinja_evaluate(jinja_run *r, uint32_t node, jinja_value *out);
carina_status jinja_evaluate_any(jinja_run *r, uint32_t node, jinja_value *out);

#endif
