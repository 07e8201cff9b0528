/* YAML as one owned tree: mappings, sequences, scalars, each with its line and column.
 *
 * The subset that configuration files use: one document, string keys, no aliases (an anchor that is used is refused: a
 * few lines of aliases can stand for gigabytes), no tags but the core ones, no duplicate keys. Scalars stay text here;
 * what type a text must be is known to the reader of the key (format/config.h), so that "no" can be a name and 1e-4 a
 * number.
 */
#ifndef FORMAT_YAML_H
#define FORMAT_YAML_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

#define YAML_MAX_BYTES (4u << 20)
#define YAML_MAX_DEPTH 64
#define YAML_MAX_NODES 200000
#define YAML_MAX_KEYS  10000 /* of one mapping */

typedef enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING } yaml_kind;

typedef struct yaml_tree yaml_tree;

/* Everything here belongs to the tree. */
typedef struct yaml_value {
    yaml_kind kind;
    int line, column;                         /* of its first character, counted from 1 */
    const char *text;                         /* scalar: UTF-8 without NUL inside; NULL otherwise */
    bool quoted;                              /* scalar written in quotes or as a block: never null, never a number */
    uint32_t count;                           /* sequence, mapping: children */
    const struct yaml_value *const *children; /* sequence: items; mapping: values */
    const char *const *keys;                  /* mapping: key of each child */
    const int *key_lines;                     /* mapping: line of each key */
} yaml_value;

/* name is used in messages ("name:line: ..."). An empty document gives an empty mapping. */
carina_status yaml_parse(yaml_tree **out, const char *name, const void *data, uint64_t size, carina_error *error);
carina_status yaml_read(yaml_tree **out, const char *path, carina_error *error);
void yaml_free(yaml_tree *tree); /* accepts NULL */
const yaml_value *yaml_root(const yaml_tree *tree);
const char *yaml_name(const yaml_tree *tree);

/* Child of a mapping by key, NULL when it has none (or is no mapping). */
const yaml_value *yaml_get(const yaml_value *mapping, const char *key);

/* A scalar that YAML's core schema reads as null: empty, ~, null; not quoted. */
bool yaml_is_null(const yaml_value *value);

/* "mapping", "sequence" or "scalar", for messages. */
const char *yaml_kind_name(yaml_kind kind);

/* Writes text as a scalar that reads back as the same string, in quotes only when it must be. Malformed UTF-8 becomes
 * U+FFFD. Errors stay in the stream. */
void yaml_put_text(FILE *stream, const char *text);

#endif
