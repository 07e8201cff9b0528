/* The command table, and what is common to all commands: their help text and how they report errors. */
#include <stdarg.h>
#include <string.h>

#include "cli/command.h"

/* One a line, so that additions merge. */
/* clang-format off */
static const command *const commands[] = {
    &command_locate,
    &command_interpret,
    &command_train,
    &command_eval_locate,
    &command_eval_labels,
    &command_eval_calibrate,
    &command_eval_retrieval,
    &command_eval_opacity,
    &command_eval_text,
    &command_model_info,
    &command_model_import,
    &command_model_verify,
    &command_model_quantize,
    &command_lm_generate,
    &command_lm_chat,
    &command_lm_perplexity,
    &command_lm_bench,
    &command_data_phantom,
    &command_text_encode,
    &command_text_tokenize,
    &command_tokenizer_encode,
    &command_tokenizer_decode,
    &command_tokenizer_train,
    &command_index_build,
    &command_index_info,
    &command_index_query,
    &command_index_sentences,
    &command_tensor_apm,
    &command_tensor_gradients,
    &command_doctor,
    &command_help,
    &command_version,
    &command_completion,
};
/* clang-format on */

const command *command_at(int index) {
    int count = (int)(sizeof commands / sizeof commands[0]);
    return index >= 0 && index < count ? commands[index] : NULL;
}

const command *command_find(const char *name) {
    for (int i = 0; command_at(i); i++) {
        if (strcmp(command_at(i)->name, name) == 0) return command_at(i);
    }
    return NULL;
}

/* Each line of text behind two blanks. */
static void print_indented(const char *text, FILE *out) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        fprintf(out, "  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

void command_print_help(const command *c, FILE *out) {
    fprintf(out, "carina %s: %s\n\nUsage: carina %s [options]%s%s\n\n%s\n", c->name, c->summary, c->name,
            *c->arguments ? " " : "", c->arguments, c->description);
    options_print(c->options, out);
    fputs("\nExamples:\n", out);
    print_indented(c->examples, out);
}

int command_print_group(const char *word, FILE *out) {
    int members = 0;
    size_t length = strlen(word);
    for (int i = 0; command_at(i); i++) {
        const command *c = command_at(i);
        if (strncmp(c->name, word, length) != 0 || c->name[length] != ' ') continue;
        if (out && members == 0) fprintf(out, "carina %s is a group of commands:\n", word);
        if (out) fprintf(out, "  carina %-18s %s\n", c->name, c->summary);
        members++;
    }
    return members;
}

int command_fail(const carina_error *error) {
    fflush(stdout);
    fprintf(stderr, "carina: %s\n", error->message);
    return COMMAND_FAILED;
}

int command_usage(const char *format, ...) {
    carina_error error; /* replaces control characters */
    char text[sizeof error.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&error, CARINA_ERROR_ARGUMENT, "%s", text);
    fflush(stdout);
    fprintf(stderr, "carina: %s\n", error.message);
    return COMMAND_USAGE;
}
