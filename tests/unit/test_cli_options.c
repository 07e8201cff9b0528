/* The option parser: every kind of value, both forms, what is refused and which near miss is offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/options.h"

typedef struct values {
    bool json, quiet, resume;
    const char *model, *overlay;
    int64_t threads;
    double scale;
    int dtype;
    option_list stops;
} values;

static const option table[] = {
    OPTION_JSON(values, json),
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model", offsetof(values, model), 0, 0},
    {"overlay", 0, OPTION_FOLDER, "DIR", "folder", offsetof(values, overlay), 0, 0},
    OPTION_THREADS(values, threads),
    {"quiet", 'q', OPTION_FLAG, NULL, "say less", offsetof(values, quiet), 0, 0},
    {"resume", 'r', OPTION_FLAG, NULL, "go on", offsetof(values, resume), 0, 0},
    {"scale", 0, OPTION_NUMBER, "X", "scale", offsetof(values, scale), 0.5, 2},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "type", offsetof(values, dtype), 0, 0},
    {"stop", 0, OPTION_LIST, "TEXT", "end", offsetof(values, stops), 0, 0},
    {0},
};

static carina_error error;

/* Parses the words of a line; leaves what remains in `left`. */
static carina_status parse(const char *line, values *v, char left[256], bool *help) {
    char text[256], *words[32];
    int count = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) words[count++] = word;
    memset(v, 0, sizeof *v);
    carina_status status = options_parse(table, v, &count, words, help, &error);
    left[0] = 0;
    static char model[64]; /* v->model points into text, which ends with this function */
    if (v->model) v->model = strcpy(model, v->model);
    for (int i = 0; status == CARINA_OK && i < count; i++) {
        strcat(left, words[i]);
        strcat(left, ";");
    }
    return status;
}

static void test_values(void **state) {
    (void)state;
    values v;
    char left[256];
    bool help;
    assert_int_equal(parse("a.png --json --model small -t 3 --dtype=bf16 --scale 1.5 b.png", &v, left, &help),
                     CARINA_OK);
    assert_true(v.json);
    assert_string_equal(v.model, "small");
    assert_int_equal(v.threads, 3);
    assert_int_equal(v.dtype, 1);
    assert_true(v.scale == 1.5);
    assert_string_equal(left, "a.png;b.png;");
    assert_false(help);
    assert_int_equal(parse("-t8 -m x --model=y --json --no-json", &v, left, &help), CARINA_OK);
    assert_int_equal(v.threads, 8);
    assert_string_equal(v.model, "y");
    assert_false(v.json);
    assert_int_equal(parse("-qr a", &v, left, &help), CARINA_OK);
    assert_true(v.quiet && v.resume);
    assert_string_equal(left, "a;");
    assert_int_equal(parse("-qt3 -rm x", &v, left, &help), CARINA_OK);
    assert_true(v.quiet && v.resume && v.threads == 3);
    assert_string_equal(v.model, "x");
    assert_int_equal(parse("-qh --nonsense", &v, left, &help), CARINA_OK);
    assert_true(help);
    assert_int_equal(parse("- -- --json -x", &v, left, &help), CARINA_OK);
    assert_false(v.json);
    assert_string_equal(left, "-;--json;-x;");
    assert_int_equal(parse("a --help --nonsense", &v, left, &help), CARINA_OK);
    assert_true(help);
    assert_int_equal(parse("--stop a x --stop=b --stop -", &v, left, &help), CARINA_OK);
    assert_int_equal(v.stops.count, 3);
    assert_string_equal(left, "x;");
}

static void test_lists_are_bounded(void **state) {
    (void)state;
    values v = {0};
    char *words[2 * OPTION_LIST_MAX + 2];
    bool help;
    for (int more = 0; more < 2; more++) {
        int count = 2 * (OPTION_LIST_MAX + more);
        for (int i = 0; i < count; i++) words[i] = i % 2 ? "text" : "--stop";
        v.stops.count = 0;
        assert_int_equal(options_parse(table, &v, &count, words, &help, &error),
                         more ? CARINA_ERROR_ARGUMENT : CARINA_OK);
        assert_int_equal(v.stops.count, OPTION_LIST_MAX);
    }
}

static void refused(const char *line, const char *message) {
    values v;
    char left[256];
    bool help;
    memset(&error, 0, sizeof error);
    assert_int_equal(parse(line, &v, left, &help), CARINA_ERROR_ARGUMENT);
    if (!strstr(error.message, message)) fail_msg("'%s' lacks '%s'", error.message, message);
}

static void test_refusals(void **state) {
    (void)state;
    refused("--jsno", "unknown option --jsno (did you mean --json?)");
    refused("--hlep", "did you mean --help?");
    refused("--quite-another", "unknown option --quite-another");
    refused("--no-model", "unknown option --no-model");
    refused("-x", "unknown option -x");
    refused("-qx", "unknown option -x in -qx");
    refused("-qt", "--threads needs a value");
    refused("-q=1", "unknown option -= in -q=1");
    refused("--json=yes", "--json takes no value");
    refused("--model", "--model needs a value: NAME|PATH");
    refused("--model=", "empty");
    refused("--threads two", "'two' is not a whole number");
    refused("--threads 1.5", "not a whole number");
    refused("--threads 99999999999999999999", "99999999999999999999' is too large a number");
    refused("--threads -1", "outside 0 to 1024");
    refused("--threads 1025", "outside 0 to 1024");
    refused("--scale 1,5", "not a number");
    refused("--scale nan", "not a number");
    refused("--scale 3", "outside 0.5 to 2");
    refused("--dtype f16", "'f16' is not one of f32|bf16");
    refused("--dtype f3", "not one of");
    refused("--stop=", "--stop: empty TEXT");
}

/* Every command's table can be shown and parsed, and no two options or commands share a name. */
static void test_commands(void **state) {
    (void)state;
    for (int i = 0; command_at(i); i++) {
        const command *c = command_at(i);
        assert_ptr_equal(command_find(c->name), c);
        assert_non_null(c->run);
        assert_true(strlen(c->examples) > 0 && c->examples[strlen(c->examples) - 1] == '\n');
        assert_true(strlen(c->description) > 0 && c->description[strlen(c->description) - 1] == '\n');
        assert_true(c->values_size == 0 || c->defaults);
        for (const option *o = c->options; o && o->name; o++) {
            assert_true(o->offset < c->values_size);
            assert_true((o->kind == OPTION_FLAG) == (o->argument == NULL));
            assert_true(strlen(o->help) > 0);
            for (const option *p = c->options; p < o; p++) {
                assert_string_not_equal(p->name, o->name);
                assert_true(!o->letter || p->letter != o->letter);
            }
        }
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        command_print_help(c, stream);
        fclose(stream);
        assert_non_null(strstr(text, "Examples:\n  "));
        free(text);
    }
    assert_null(command_find("nonsense"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_lists_are_bounded),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
