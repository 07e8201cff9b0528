/* `carina completion`: a completion script for bash, zsh or fish, made from the command table. */
#include <string.h>

#include "cli/command.h"

/* The words that may follow "carina": names of commands, first words of two-word ones once. */
static bool first_of_its_group(int index) {
    const char *name = command_at(index)->name;
    size_t length = strcspn(name, " ");
    for (int i = 0; i < index; i++) {
        const char *other = command_at(i)->name;
        if (strcspn(other, " ") == length && strncmp(name, other, length) == 0) return false;
    }
    return true;
}

static void print_first_words(void) {
    for (int i = 0; command_at(i); i++) {
        const char *name = command_at(i)->name;
        if (first_of_its_group(i)) printf("%.*s ", (int)strcspn(name, " "), name);
    }
    fputs("--help --version", stdout);
}

static void print_second_words(const char *word, size_t length) {
    for (int i = 0; command_at(i); i++) {
        const char *name = command_at(i)->name;
        if (strncmp(name, word, length) == 0 && name[length] == ' ') printf("%s ", name + length + 1);
    }
}

/* The values of a choice, "f32|bf16" as "f32 bf16". */
static void print_choices(const char *words) {
    for (; *words; words++) putchar(*words == '|' ? ' ' : *words);
}

static void print_bash_command(const command *c) {
    printf("        '%s')\n            case \"$previous\" in\n", c->name);
    for (const option *o = c->options; o && o->name; o++) {
        if (o->kind == OPTION_FLAG) continue;
        printf("            --%s) ", o->name);
        if (o->kind == OPTION_CHOICE) {
            fputs("COMPREPLY=($(compgen -W '", stdout);
            print_choices(o->argument);
            fputs("' -- \"$word\")); return ;;\n", stdout);
        } else if (o->kind == OPTION_FOLDER) {
            fputs("COMPREPLY=($(compgen -d -- \"$word\")); return ;;\n", stdout);
        } else if (o->kind == OPTION_FILE) {
            fputs("COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", stdout);
        } else {
            fputs("return ;;\n", stdout);
        }
    }
    fputs("            esac\n            options='--help", stdout);
    for (const option *o = c->options; o && o->name; o++) printf(" --%s", o->name);
    fputs("' ;;\n", stdout);
}

static void print_bash(void) {
    fputs(
        "# bash completion for carina; made by `carina completion bash`\n"
        "_carina() {\n"
        "    local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" name options=\n"
        "    COMPREPLY=()\n"
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
        "        COMPREPLY=($(compgen -W '",
        stdout);
    print_first_words();
    fputs("' -- \"$word\")); return\n    fi\n    name=\"${COMP_WORDS[1]}\"\n    case \"$name\" in\n", stdout);
    for (int i = 0; command_at(i); i++) {
        const char *name = command_at(i)->name;
        size_t length = strcspn(name, " ");
        if (!name[length] || !first_of_its_group(i)) continue;
        printf("    %.*s)\n        if [ \"$COMP_CWORD\" -eq 2 ]; then\n            COMPREPLY=($(compgen -W '",
               (int)length, name);
        print_second_words(name, length);
        fputs("' -- \"$word\")); return\n        fi\n        name=\"$name ${COMP_WORDS[2]}\" ;;\n", stdout);
    }
    fputs("    esac\n    case \"$name\" in\n", stdout);
    for (int i = 0; command_at(i); i++) print_bash_command(command_at(i));
    fputs(
        "    esac\n"
        "    case \"$word\" in\n"
        "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
        "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
        "    esac\n"
        "}\n"
        "complete -o filenames -F _carina carina\n",
        stdout);
}

/* In single quotes, as all three shells read it. */
static void print_quoted(const char *text) {
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    }
    putchar('\'');
}

/* zsh runs the bash script through its own bridge: one description to keep right. */
static void print_zsh(void) {
    fputs(
        "#compdef carina\n# zsh completion for carina; made by `carina completion zsh`\n"
        "autoload -U +X bashcompinit && bashcompinit\n",
        stdout);
    print_bash();
}

static void print_fish_option(const command *c, const option *o) {
    fputs("complete -c carina -n ", stdout);
    char condition[160];
    const char *second = strchr(c->name, ' ');
    snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %.*s%s%s", (int)strcspn(c->name, " "), c->name,
             second ? "; and __fish_seen_subcommand_from" : "", second ? second : "");
    print_quoted(condition);
    printf(" -l %s", o->name);
    if (o->letter) printf(" -s %c", o->letter);
    if (o->kind == OPTION_CHOICE) {
        fputs(" -x -a '", stdout);
        print_choices(o->argument);
        putchar('\'');
    } else if (o->kind == OPTION_FOLDER) {
        fputs(" -x -a '(__fish_complete_directories)'", stdout);
    } else if (o->kind != OPTION_FLAG) {
        fputs(" -r", stdout);
    }
    fputs(" -d ", stdout);
    print_quoted(o->help);
    putchar('\n');
}

static void print_fish(void) {
    fputs("# fish completion for carina; made by `carina completion fish`\n", stdout);
    for (int i = 0; command_at(i); i++) {
        const command *c = command_at(i);
        size_t length = strcspn(c->name, " ");
        if (first_of_its_group(i)) {
            printf("complete -c carina -f -n __fish_use_subcommand -a %.*s -d ", (int)length, c->name);
            print_quoted(c->summary);
            putchar('\n');
        }
        if (c->name[length]) {
            printf("complete -c carina -f -n '__fish_seen_subcommand_from %.*s' -a %s -d ", (int)length, c->name,
                   c->name + length + 1);
            print_quoted(c->summary);
            putchar('\n');
        }
        for (const option *o = c->options; o && o->name; o++) print_fish_option(c, o);
    }
}

static int run(const void *values, int count, char *const *arguments) {
    (void)values, (void)count;
    if (strcmp(arguments[0], "bash") == 0)
        print_bash();
    else if (strcmp(arguments[0], "zsh") == 0)
        print_zsh();
    else if (strcmp(arguments[0], "fish") == 0)
        print_fish();
    else
        return command_usage("completion: '%s' is not one of bash, zsh, fish", arguments[0]);
    return COMMAND_OK;
}

const command command_completion = {
    .name = "completion",
    .summary = "print a completion script for a shell",
    .arguments = "bash|zsh|fish",
    .description =
        "The script completes commands, options, their values and file names. `make install` puts the three\n"
        "scripts where the shells look for them.\n",
    .examples =
        "source <(carina completion bash)\n"
        "carina completion fish > ~/.config/fish/completions/carina.fish\n",
    .least = 1,
    .most = 1,
    .run = run,
};
