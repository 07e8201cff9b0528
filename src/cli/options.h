/* Command line options, declared as a table: one description serves parsing, help text and shell completion.
 *
 *     typedef struct locate_values { const char *model; int64_t threads; bool json; int dtype; } locate_values;
 *     static const option options[] = {
 *         {"model", 'm', OPTION_TEXT, "NAME|PATH", "model to use", offsetof(locate_values, model)},
 *         {"threads", 't', OPTION_INTEGER, "N", "...", offsetof(locate_values, threads), .low = 0, .high = 1024},
 *         {"dtype", 0, OPTION_CHOICE, "f32|bf16", "...", offsetof(locate_values, dtype)},
 *         OPTION_JSON(locate_values, json),
 *         {0},
 *     };
 *
 * Options may stand anywhere; `--name value`, `--name=value`, `-n value`, `-nvalue`; flags of
 * one letter may stand together (`-qr`). `--` ends them. Given twice, the last counts (OPTION_LIST: all).
 * What is not an option is left in order: FILE, key=value and the like are the command's own business.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

typedef enum option_kind {
    OPTION_FLAG,    /* bool: true when given; `--no-NAME` sets it to false */
    OPTION_TEXT,    /* const char *, borrowed from argv */
    OPTION_FILE,    /* the same; shells complete file names */
    OPTION_FOLDER,  /* the same; shells complete folders */
    OPTION_INTEGER, /* int64_t, low <= value <= high (both 0: no bound) */
    OPTION_NUMBER,  /* double, likewise */
    OPTION_CHOICE,  /* int: index into the words of `argument`, "f32|bf16" */
    OPTION_LIST,    /* option_list: each time it is given adds a text */
} option_kind;

#define OPTION_LIST_MAX 64

typedef struct option_list {
    int count;
    const char *items[OPTION_LIST_MAX]; /* borrowed from argv */
} option_list;

typedef struct option {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* 0: no short form */
    option_kind kind;
    const char *argument; /* what help calls the value; NULL for flags */
    const char *help;     /* one sentence, lower case, no full stop */
    size_t offset;        /* of the value in the command's structure */
    double low, high;
} option;

#define OPTION_JSON(type, member) \
    { "json", 0, OPTION_FLAG, NULL, "print JSON instead of a table", offsetof(type, member), 0, 0 }
#define OPTION_THREADS(type, member) \
    { "threads", 't', OPTION_INTEGER, "N", "threads to use (0: all processors)", offsetof(type, member), 0, 1024 }

/* Fills *values from arguments[0 .. *count - 1] and moves what is left to the front of arguments, *count of them.
 * --help and -h set *help and stop. An unknown option is named with the nearest known one. */
carina_status options_parse(const option *table, void *values, int *count, char **arguments, bool *help,
                            carina_error *error);

/* The "Options:" part of a help text; writes nothing but --help when table is NULL or empty. */
void options_print(const option *table, FILE *out);

/* Word `index` of "f32|bf16" into out; false past the last. */
bool options_choice(const char *words, int index, char *out, size_t size);

#endif
