/* What `carina eval retrieval` and `carina eval opacity` have in common: a model with its sentence database over the
 * films of one set, or a file of kept predictions (--from); figures as a table, and as a JSON file.
 */
#ifndef CLI_SENTENCE_EVAL_H
#define CLI_SENTENCE_EVAL_H

#include <stdio.h>

#include "base/fingerprint.h"
#include "cli/ranking_option.h"
#include "data/dataset.h"
#include "format/json_writer.h"
#include "pipeline/interpret.h"

typedef struct sentence_eval_values {
    const char *model, *database, *images, *split, *predictions, *from, *json;
    int64_t limit, batch, threads, resamples, seed;
    int dtype;
    bool own_split_only, cosine, quiet;
} sentence_eval_values;

/* The options of both, in the middle of a table; --split, --limit and the like are each command's own. */
#define SENTENCE_EVAL_OPTION(name, letter, kind, argument, help, member, low, high) \
    { name, letter, kind, argument, help, offsetof(sentence_eval_values, member), low, high }
#define SENTENCE_EVAL_OPTIONS_FIRST                                                                               \
    SENTENCE_EVAL_OPTION("model", 'm', OPTION_TEXT, "NAME|PATH", "model to evaluate", model, 0, 0),               \
        SENTENCE_EVAL_OPTION("database", 'd', OPTION_FILE, "FILE",                                                \
                             "its sentence database (default: NAME.sentences.sqlite beside it)", database, 0, 0), \
        SENTENCE_EVAL_OPTION("images", 0, OPTION_FOLDER, "FOLDER",                                                \
                             "films, when they lie elsewhere than the annotations", images, 0, 0),                \
        OPTION_COSINE(sentence_eval_values, cosine)
#define SENTENCE_EVAL_OPTIONS_LAST                                                                                    \
    SENTENCE_EVAL_OPTION("predictions", 0, OPTION_FILE, "FILE",                                                       \
                         "keep what was retrieved in FILE, one JSON object a line", predictions, 0, 0),               \
        SENTENCE_EVAL_OPTION("from", 0, OPTION_FILE, "FILE",                                                          \
                             "print the figures of such a file instead of running a model", from, 0, 0),              \
        SENTENCE_EVAL_OPTION("json", 0, OPTION_FILE, "FILE", "write all figures to FILE", json, 0, 0),                \
        SENTENCE_EVAL_OPTION("dtype", 0, OPTION_CHOICE, "f32|bf16", "type of activations", dtype, 0, 0),              \
        SENTENCE_EVAL_OPTION("resamples", 0, OPTION_INTEGER, "N", "of the bootstrap (0: no intervals)", resamples, 0, \
                             1e5),                                                                                    \
        SENTENCE_EVAL_OPTION("seed", 0, OPTION_INTEGER, "N", "of the bootstrap", seed, 0, 1e15),                      \
        SENTENCE_EVAL_OPTION("quiet", 'q', OPTION_FLAG, NULL, "no progress line", quiet, 0, 0),                       \
        OPTION_THREADS(sentence_eval_values, threads)

/* A model, its database and a set, all open. */
typedef struct sentence_eval_run {
    const sentence_eval_values *v;
    const char *word; /* TYPE=PATH */
    locator *locator;
    interpreter *interpreter;
    dataset *set;
    const char *database; /* the one that was told, or found beside the model; borrowed */
    char database_print[FINGERPRINT_TEXT];
} sentence_eval_run;

/* One of the two commands. A result is whatever its figures are made of: the command makes and frees it; free also gets
 * results that were not finished. */
typedef struct sentence_eval {
    const char *name; /* "eval opacity" */
    bool sentences;   /* films come with the sentences of their regions */
    size_t result_size;
    /* Whether films of this type, and this split, can be measured. */
    carina_status (*check)(const sentence_eval_values *v, const char *type, carina_error *error);
    /* predictions NULL: not kept. */
    carina_status (*measure)(void *result, const sentence_eval_run *r, FILE *predictions, carina_error *error);
    carina_status (*read)(void *result, const char *path, carina_error *error); /* kept predictions */
    /* Prints the table, and writes the JSON when there is a writer. */
    carina_status (*report)(const void *result, const sentence_eval_values *v, json_writer *json, carina_error *error);
    void (*free)(void *result);
} sentence_eval;

/* The whole command; an exit status. */
int sentence_eval_main(const sentence_eval *e, const sentence_eval_values *v, int count, char *const *words);

#endif
