/* A command of the program, described as data: main.c finds it, parses its options and runs it; help, completion and
 * the man page are made from the same description.
 *
 * Adding one: write src/cli/NAME.c with `const command command_NAME = {...}`, declare it below, and list it in
 * commands.c. Results go to standard output, messages and progress to standard error; every command that gives data
 * has --json.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/error.h"
#include "cli/options.h"

/* Exit status of the program. */
enum {
    COMMAND_OK = 0,
    COMMAND_FAILED = 1, /* some input failed, or the work could not be done */
    COMMAND_USAGE = 2,  /* the command line makes no sense */
};

typedef struct command {
    const char *name;        /* "locate", or two words: "data phantom" */
    const char *summary;     /* one line for the list of commands, no full stop */
    const char *arguments;   /* "FILE..." as the usage line shows it; "" for none */
    const char *description; /* paragraphs, wrapped at 100 columns, ends with a line break */
    const char *examples;    /* command lines, one per line, ends with a line break */
    const option *options;   /* ends with {0}; NULL: none */
    const void *defaults;    /* the structure that the options fill, with its defaults; NULL when there is none */
    size_t values_size;
    int least, most; /* how many arguments; most -1: any number */

    /* values: a filled copy of *defaults. Returns an exit status; errors have been printed by then. */
    int (*run)(const void *values, int count, char *const *arguments);
} command;

/* All commands in the order of `carina help`; NULL past the last. */
const command *command_at(int index);
const command *command_find(const char *name); /* the full name; NULL when there is none */
void command_print_help(const command *c, FILE *out);

/* The commands that start with the group's word ("data"), one line each, to `out` (NULL: only counted). Returns how
 * many there are; 0, with nothing printed, when the word is no group. */
int command_print_group(const char *word, FILE *out);

/* Prints "carina: MESSAGE" to standard error and returns COMMAND_FAILED (COMMAND_USAGE for a usage error). */
int command_fail(const carina_error *error);
int command_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern const command command_completion;
extern const command command_data_phantom;
extern const command command_doctor;
extern const command command_eval_calibrate;
extern const command command_eval_labels;
extern const command command_eval_locate;
extern const command command_eval_opacity;
extern const command command_eval_retrieval;
extern const command command_eval_text;
extern const command command_help;
extern const command command_index_build;
extern const command command_index_info;
extern const command command_index_query;
extern const command command_index_sentences;
extern const command command_interpret;
extern const command command_lm_bench;
extern const command command_lm_chat;
extern const command command_lm_generate;
extern const command command_lm_perplexity;
extern const command command_locate;
extern const command command_tensor_apm;
extern const command command_tensor_gradients;
extern const command command_model_import;
extern const command command_model_info;
extern const command command_model_quantize;
extern const command command_model_verify;
extern const command command_text_encode;
extern const command command_text_tokenize;
extern const command command_tokenizer_decode;
extern const command command_tokenizer_encode;
extern const command command_tokenizer_train;
extern const command command_train;
extern const command command_version;

#endif
