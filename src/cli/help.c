/* `carina help`: the list of commands, one command's text, and the manual page. */
#include <string.h>

#include "base/build.h"
#include "cli/command.h"

typedef struct help_values {
    bool man;
} help_values;

static const option help_options[] = {
    {"man", 0, OPTION_FLAG, NULL, "print everything as a manual page (troff)", offsetof(help_values, man), 0, 0},
    {0},
};

static const help_values help_defaults = {false};

static void print_list(void) {
    printf(
        "carina %s reads chest X-rays region by region.\n"
        "Research software, not a medical device.\n\n"
        "Usage: carina COMMAND [options] [arguments]\n\nCommands:\n",
        build_version());
    for (int i = 0; command_at(i); i++) printf("  %-18s %s\n", command_at(i)->name, command_at(i)->summary);
    fputs(
        "\n`carina COMMAND --help` shows a command's options with examples.\n"
        "Results go to standard output, messages to standard error.\n"
        "Exit status: 0 all well, 1 some input failed, 2 the command line makes no sense.\n\n"
        "Environment:\n"
        "  CARINA_MODELS      folders that hold models, separated by ':'\n"
        "  CARINA_CACHE       folder for compact forms of large tokenizers; empty: none are kept\n"
        "  CARINA_MAX_ISA     use no more than generic, avx2, avx512 or amx\n",
        stdout);
}

/* troff text: a leading '.' or ''' would be a request, a backslash an escape, a '-' a hyphen. */
static void print_troff(const char *text) {
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        line_start = *text == '\n';
    }
}

static void print_man_option(const option *o) {
    fputs(".TP\n.B ", stdout);
    if (o->letter) printf("\\-%c, ", o->letter);
    fputs("\\-\\-", stdout);
    print_troff(o->name);
    if (o->argument) {
        putchar(' ');
        print_troff(o->argument);
    }
    putchar('\n');
    print_troff(o->help);
    putchar('\n');
}

static void print_man(void) {
    printf(
        ".TH CARINA 1 \"\" \"carina %s\" \"User Commands\"\n.SH NAME\ncarina \\- reads chest X\\-rays region by "
        "region\n",
        build_version());
    fputs(
        ".SH SYNOPSIS\n.B carina\nCOMMAND [options] [arguments]\n.SH DESCRIPTION\n"
        "Research software, not a medical device. Results go to standard output, messages to standard error.\n",
        stdout);
    for (int i = 0; command_at(i); i++) {
        const command *c = command_at(i);
        printf(".SH CARINA ");
        for (const char *at = c->name; *at; at++) putchar(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
        printf("\n.B carina %s\n[options] ", c->name);
        print_troff(c->arguments);
        fputs("\n.PP\n", stdout);
        print_troff(c->description);
        for (const option *o = c->options; o && o->name; o++) print_man_option(o);
        fputs(".PP\n.nf\n", stdout);
        print_troff(c->examples);
        fputs(".fi\n", stdout);
    }
    fputs(
        ".SH ENVIRONMENT\n.TP\n.B CARINA_MODELS\nfolders that hold models, separated by colons\n"
        ".TP\n.B CARINA_CACHE\nfolder for compact forms of large tokenizers; empty: none are kept\n"
        ".TP\n.B CARINA_MAX_ISA\nuse no more than generic, avx2, avx512 or amx\n"
        ".SH EXIT STATUS\n0 all well, 1 some input failed, 2 the command line makes no sense.\n",
        stdout);
}

static int run(const void *values, int count, char *const *arguments) {
    const help_values *v = values;
    if (v->man) {
        print_man();
        return COMMAND_OK;
    }
    if (count == 0) {
        print_list();
        return COMMAND_OK;
    }
    char name[128];
    snprintf(name, sizeof name, "%s%s%s", arguments[0], count > 1 ? " " : "", count > 1 ? arguments[1] : "");
    const command *c = command_find(name);
    if (!c && count == 1 && command_print_group(name, stdout)) return COMMAND_OK;
    if (!c) return command_usage("help: there is no command '%s'; `carina help` lists them", name);
    command_print_help(c, stdout);
    return COMMAND_OK;
}

const command command_help = {
    .name = "help",
    .summary = "list the commands, or explain one",
    .arguments = "[COMMAND]",
    .description =
        "Without a command: all commands, one line each. With one: its options and examples, as\n"
        "`carina COMMAND --help` prints them. With the first word of several, such as data: those.\n",
    .examples = "carina help\ncarina help doctor\ncarina help model\ncarina help --man | man -l -\n",
    .options = help_options,
    .defaults = &help_defaults,
    .values_size = sizeof(help_values),
    .least = 0,
    .most = 2,
    .run = run,
};
