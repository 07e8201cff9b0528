/* Configurations: a table of typed fields, filled from a YAML file and `key=value` words, written back with provenance.
 *
 * A part of the program describes its settings once, beside the struct that holds them:
 *
 *     typedef struct model_settings { int64_t width; double dropout; char *backbone_file; int norm; } model_settings;
 *     static const char *const norms[] = {"frozen", "batch", "group", NULL};
 *     static const config_field fields[] = {
 *         CONFIG_FIELD(model_settings, width, "128", 8, 4096, "channels D of the transformer"),
 *         CONFIG_FIELD(model_settings, dropout, "0.1", 0, 0.99, "dropout in the transformer"),
 *         CONFIG_FIELD(model_settings, backbone_file, "", CONFIG_ANY, "safetensors to start from; empty: none"),
 *         CONFIG_CHOICE(model_settings, norm, "frozen", norms, "normalisation of the backbone"),
 *     };
 *     static const config_schema model_schema = {fields, sizeof fields / sizeof *fields};
 *
 * and whoever needs several parts joins them under prefixes ("model", "train.optimizer"; "" for the top level), so that
 * the key above becomes model.width. Every key of the file must be known; an unknown one is an error that names the
 * key, its line and the nearest known key. What is absent takes its default; a field without a default is required.
 */
#ifndef FORMAT_CONFIG_H
#define FORMAT_CONFIG_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

typedef enum config_type {
    CONFIG_INT64,      /* int64_t */
    CONFIG_INT,        /* int */
    CONFIG_DOUBLE,     /* double */
    CONFIG_FLOAT,      /* float */
    CONFIG_BOOL,       /* bool: true false yes no on off */
    CONFIG_TEXT,       /* char *, owned, never NULL after loading */
    CONFIG_ENUM,       /* int (or an enum type): index into names */
    CONFIG_INT_LIST,   /* config_ints */
    CONFIG_FLOAT_LIST, /* config_floats */
    CONFIG_TEXT_LIST   /* config_texts */
} config_type;

typedef struct config_ints {
    int64_t *items; /* owned; NULL when empty */
    uint32_t count;
} config_ints;
typedef struct config_floats {
    double *items;
    uint32_t count;
} config_floats;
typedef struct config_texts {
    char **items;
    uint32_t count;
} config_texts;

typedef enum config_flag {
    CONFIG_NOT_HASHED = 1 /* does not change results (threads, output folder): left out of config_hash */
} config_flag;

typedef struct config_field {
    const char *key; /* within its part; may itself have dots */
    config_type type;
    size_t offset;
    const char *default_text; /* as written in YAML; NULL: the key is required */
    double minimum, maximum;  /* numbers and each item of number lists; text and text lists: unused */
    const char *const *names; /* CONFIG_ENUM: NULL-terminated */
    const char *help;         /* one line */
    int flags;                /* config_flag, or'ed */
} config_field;

#define CONFIG_ANY        -INFINITY, INFINITY /* minimum, maximum of a field without a range */
#define CONFIG_MAX_LIST   4096
#define CONFIG_MAX_FIELDS 1024

/* The field's type follows from the member's, its key is the member's name. CONFIG_KEY: another key, and flags.
 *     CONFIG_FIELD(struct, member, default, minimum, maximum, help)
 *     CONFIG_KEY(struct, member, key, default, minimum, maximum, help, flags)
 *     CONFIG_CHOICE(struct, member, default, names, help)
 *     CONFIG_CHOICE_KEY(struct, member, key, default, names, help, flags)
 * The dots let CONFIG_ANY stand for its two values. */
#define CONFIG_FIELD(type, member, default_text, ...)    CONFIG_ENTRY(type, member, #member, default_text, __VA_ARGS__, 0)
#define CONFIG_KEY(type, member, key, default_text, ...) CONFIG_ENTRY(type, member, key, default_text, __VA_ARGS__)
#define CONFIG_ENTRY(type_, member, key, default_text, minimum, maximum, help, flags)                                \
    {                                                                                                                \
        key, CONFIG_TYPE_OF(((type_ *)NULL)->member), offsetof(type_, member), default_text, minimum, maximum, NULL, \
            help, flags                                                                                              \
    }
#define CONFIG_CHOICE(type, member, default_text, names, help) \
    CONFIG_CHOICE_KEY(type, member, #member, default_text, names, help, 0)
#define CONFIG_CHOICE_KEY(type, member, key, default_text, names, help, flags)                                 \
    {                                                                                                          \
        key, CONFIG_ENUM,                                                                                      \
            offsetof(type, member) + 0 * sizeof(char[sizeof(((type *)NULL)->member) == sizeof(int) ? 1 : -1]), \
            default_text, 0, 0, names, help, flags                                                             \
    }
#define CONFIG_TYPE_OF(member) \
    _Generic((member),                      \
        int64_t: CONFIG_INT64,              \
        int: CONFIG_INT,                    \
        double: CONFIG_DOUBLE,              \
        float: CONFIG_FLOAT,                \
        bool: CONFIG_BOOL,                  \
        char *: CONFIG_TEXT,                \
        config_ints: CONFIG_INT_LIST,       \
        config_floats: CONFIG_FLOAT_LIST,   \
        config_texts: CONFIG_TEXT_LIST)

typedef struct config_schema {
    const config_field *fields;
    uint32_t count;
} config_schema;

/* One schema at its place in the whole configuration, and the struct it fills. */
typedef struct config_part {
    const char *prefix; /* "model", "train.optimizer" or "" */
    const config_schema *schema;
    void *target;
} config_part;

/* What errors name in the place of a file where a word is wrong; their status is then CARINA_ERROR_ARGUMENT, and for
 * the file CARINA_ERROR_FORMAT. */
#define CONFIG_COMMAND_LINE "command line"

/* Fills every part's struct: defaults, then the file (path NULL: none), then the words "key=value" in order. The
 * structs' former content is ignored and overwritten. On an error all of them are left zeroed (nothing to free). */
carina_status config_load(const config_part *parts, uint32_t part_count, const char *path, const char *const *words,
                          uint32_t word_count, carina_error *error);
/* The same from YAML text in memory (a model file's metadata). */
carina_status config_load_text(const config_part *parts, uint32_t part_count, const char *name, const void *text,
                               uint64_t size, const char *const *words, uint32_t word_count, carina_error *error);

/* Frees what the structs own and zeroes their fields. Accepts zeroed structs. */
void config_free(const config_part *parts, uint32_t part_count);

/* The whole resolved configuration as YAML that loads back to the same values, in the tables' order. Errors of the
 * stream stay in it. */
carina_status config_write(const config_part *parts, uint32_t part_count, FILE *stream, carina_error *error);
/* The same as a malloc'ed string; config_dump_chosen: only the keys that `chosen` wants. */
carina_status config_dump(char **out, const config_part *parts, uint32_t part_count, carina_error *error);
typedef bool config_chooser(const void *context, const char *key);
carina_status config_dump_chosen(char **out, const config_part *parts, uint32_t part_count, config_chooser *chosen,
                                 const void *context, carina_error *error);

/* 64 bits over all values and keys but those marked CONFIG_NOT_HASHED. It does not depend on the order of tables,
 * files or words, and is the same on every machine. 0 only when out of memory. */
uint64_t config_hash(const config_part *parts, uint32_t part_count);

/* What can be set: one line a key with type, range, default and help, for `carina train --help`. */
void config_describe(const config_part *parts, uint32_t part_count, FILE *stream);

#endif
