/* The program: finds the command that the first words name, parses its options, runs it. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/file_guard.h"
#include "base/nearest.h"
#include "cli/command.h"
#include "cli/standard_output.h"

#define MAX_COMMANDS 64

/* "data phantom" before "data": two words are tried first. *used: how many words the name took. */
static const command *find(int count, char **words, int *used) {
    char name[128];
    if (count > 1) {
        snprintf(name, sizeof name, "%s %s", words[0], words[1]);
        *used = 2;
        const command *c = command_find(name);
        if (c) return c;
    }
    *used = 1;
    return command_find(words[0]);
}

static int unknown_command(int count, char **words) {
    if (command_print_group(words[0], NULL)) {
        bool asks_help = count > 1 && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0);
        if (asks_help || count == 1) {
            command_print_group(words[0], asks_help ? stdout : stderr);
            return asks_help ? COMMAND_OK : COMMAND_USAGE;
        }
    }
    const char *names[MAX_COMMANDS];
    char wanted[128];
    bool two = count > 1 && command_print_group(words[0], NULL) > 0;
    snprintf(wanted, sizeof wanted, "%s%s%s", words[0], two ? " " : "", two ? words[1] : "");
    int known = 0;
    for (; command_at(known) && known < MAX_COMMANDS; known++) names[known] = command_at(known)->name;
    const char *near = nearest_word(wanted, names, known);
    if (near) return command_usage("unknown command '%s' (did you mean '%s'?)", wanted, near);
    return command_usage("unknown command '%s'; `carina help` lists the commands", wanted);
}

static int run(const command *c, int count, char **arguments) {
    void *values = calloc(1, c->values_size + 1);
    if (!values) return command_usage("out of memory");
    if (c->values_size) memcpy(values, c->defaults, c->values_size);
    carina_error error;
    bool help;
    int status;
    if (options_parse(c->options, values, &count, arguments, &help, &error) != CARINA_OK) {
        status = command_usage("%s: %s; see `carina %s --help`", c->name, error.message, c->name);
    } else if (help) {
        command_print_help(c, stdout);
        status = COMMAND_OK;
    } else if (count < c->least) {
        status = command_usage("%s needs %s; see `carina %s --help`", c->name, c->arguments, c->name);
    } else if (c->most >= 0 && count > c->most) {
        status =
            command_usage("%s: unexpected argument '%s'; see `carina %s --help`", c->name, arguments[c->most], c->name);
    } else {
        status = c->run(values, count, arguments);
    }
    free(values);
    return status;
}

/* A cap that nobody understands would silently test the wrong kernels. */
static int check_environment(void) {
    const char *cap = getenv("CARINA_MAX_ISA");
    cpu_level level;
    if (cap && *cap && !cpu_level_parse(cap, &level))
        return command_usage("CARINA_MAX_ISA is '%s'; it must be generic, avx2, avx512 or amx", cap);
    return COMMAND_OK;
}

/* A standard stream that the caller closed would be given to the next file we open, and our messages would be written
 * into that file. Opened for the wrong direction, so that using it is still the error that it was. */
static void keep_standard_streams(void) {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        if (fcntl(stream, F_GETFD) >= 0) continue;
        int opened = open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        if (opened >= 0 && opened != stream) close(opened);
    }
}

/* A file that may not grow further, and a reader that went away, are errors of writing like others: whoever writes
 * removes what is unfinished and says why. Left alone, the signals would end the program in the midst of it. */
static void ignore_write_signals(void) {
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv) {
    keep_standard_streams();
    ignore_write_signals();
    file_guard_install();
    setlocale(LC_CTYPE, ""); /* numbers keep the point of the C locale */
    int status = check_environment();
    if (status != COMMAND_OK) return status;
    if (argc < 2) {
        fputs("carina: which command? `carina help` lists them\n", stderr);
        return COMMAND_USAGE;
    }
    char version[] = "version", help[] = "help";
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) argv[1] = version;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) argv[1] = help;
    int used;
    const command *c = find(argc - 1, argv + 1, &used);
    status = c ? run(c, argc - 1 - used, argv + 1 + used) : unknown_command(argc - 1, argv + 1);
    return standard_output_finish(status);
}
