/* Python pickles read as data: a tree of what the opcodes describe; nothing is ever executed or imported.
 *
 * Understood are the opcodes of protocols 2 to 5 that build plain values, tuples, lists, dicts, and the skeleton of
 * objects: GLOBAL gives a name, REDUCE and NEWOBJ an object "name(arguments)", BUILD its state, BINPERSID a reference
 * to something outside. Any other opcode, and any global that the caller does not accept, is CARINA_ERROR_UNSUPPORTED
 * naming it and its offset.
 */
#ifndef FORMAT_PICKLE_H
#define FORMAT_PICKLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define PICKLE_MAX_BYTES  (32u << 20)
#define PICKLE_MAX_VALUES 4000000u

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_WHOLE,     /* fits int64 */
    PICKLE_BIG_WHOLE, /* does not: text holds its little-endian bytes */
    PICKLE_REAL,
    PICKLE_TEXT, /* also byte strings */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,
    PICKLE_GLOBAL,    /* text is "module.name" */
    PICKLE_OBJECT,    /* call of a global */
    PICKLE_PERSISTENT /* reference outside: arguments is its id */
} pickle_kind;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_kind kind;
    uint64_t offset;  /* of the opcode that made it */
    int64_t whole;    /* BOOL, WHOLE */
    double real;      /* REAL */
    const char *text; /* TEXT, GLOBAL, BIG_WHOLE: text_size bytes, not NUL-terminated */
    uint64_t text_size;
    const pickle_value **items; /* TUPLE, LIST: count values; DICT and OBJECT: key, value, key, value ... */
    uint32_t count, capacity;   /* count of items: twice the pairs of a dict */
    const pickle_value *callable, *arguments, *state; /* OBJECT (state may be NULL); PERSISTENT: arguments */
    const pickle_value *next_persistent;              /* PERSISTENT: the one read before */
};

typedef struct pickle_tree {
    const pickle_value *root;
    const pickle_value *last_persistent; /* start of the list of all references, or NULL */
    uint64_t size;                       /* bytes up to and with STOP: where a next pickle would begin */
    struct pickle_block *blocks;
} pickle_tree;

/* May this global occur? Nothing is done with it here. */
typedef bool pickle_accepts(const char *module_and_name);

/* One pickle from the start of the bytes (at most PICKLE_MAX_BYTES of them), which must outlive the tree. name is used
 * in messages. */
carina_status pickle_parse(pickle_tree *out, const char *name, const void *data, uint64_t size, pickle_accepts *accepts,
                           carina_error *error);
void pickle_free(pickle_tree *tree); /* accepts an empty one */

bool pickle_text_is(const pickle_value *value, const char *text);   /* TEXT or GLOBAL, compared whole */
bool pickle_is_call(const pickle_value *value, const char *global); /* OBJECT made by that global */

#endif
