/* Parsing and describing option tables; see options.h. */
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/number.h"

#define MAX_OPTIONS 64

bool options_choice(const char *words, int index, char *out, size_t size) {
    const char *at = words;
    for (; index > 0; index--) {
        at = strchr(at, '|');
        if (!at) return false;
        at++;
    }
    snprintf(out, size, "%.*s", (int)strcspn(at, "|"), at);
    return true;
}

static carina_status parse_choice(const option *o, const char *text, int *out, carina_error *error) {
    char word[64];
    for (int i = 0; options_choice(o->argument, i, word, sizeof word); i++) {
        if (strcmp(word, text) == 0) {
            *out = i;
            return CARINA_OK;
        }
    }
    return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: '%s' is not one of %s", o->name, text, o->argument);
}

static carina_status check_bounds(const option *o, double value, const char *text, carina_error *error) {
    bool bounded = o->low != 0 || o->high != 0;
    if (bounded && !(value >= o->low && value <= o->high))
        return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: %s is outside %.15g to %.15g", o->name, text, o->low,
                         o->high);
    return CARINA_OK;
}

static carina_status set_value(const option *o, const char *text, void *values, carina_error *error) {
    void *target = (char *)values + o->offset;
    switch (o->kind) {
        case OPTION_FLAG: return CARINA_OK; /* takes no value */
        case OPTION_TEXT:
        case OPTION_FILE:
        case OPTION_FOLDER:
            if (!*text) return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: empty %s", o->name, o->argument);
            *(const char **)target = text;
            return CARINA_OK;
        case OPTION_INTEGER: {
            int64_t value;
            if (!number_parse_integer(text, &value))
                return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: '%s' is not a whole number", o->name, text);
            TRY(check_bounds(o, (double)value, text, error));
            *(int64_t *)target = value;
            return CARINA_OK;
        }
        case OPTION_NUMBER: {
            double value;
            if (!number_parse(text, &value))
                return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: '%s' is not a number", o->name, text);
            TRY(check_bounds(o, value, text, error));
            *(double *)target = value;
            return CARINA_OK;
        }
        case OPTION_CHOICE: return parse_choice(o, text, target, error);
    }
    return CARINA_OK;
}

static const option *find_long(const option *table, const char *name, size_t length) {
    for (const option *o = table; o && o->name; o++) {
        if (strlen(o->name) == length && strncmp(o->name, name, length) == 0) return o;
    }
    return NULL;
}

static const option *find_short(const option *table, char letter) {
    for (const option *o = table; o && o->name; o++) {
        if (letter && o->letter == letter) return o;
    }
    return NULL;
}

static carina_status unknown(const option *table, const char *name, size_t length, carina_error *error) {
    const char *names[MAX_OPTIONS + 1] = {"help"};
    int count = 1;
    for (const option *o = table; o && o->name && count <= MAX_OPTIONS; o++) names[count++] = o->name;
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), name);
    const char *near = nearest_word(word, names, count);
    if (near) return error_set(error, CARINA_ERROR_ARGUMENT, "unknown option --%s (did you mean --%s?)", word, near);
    return error_set(error, CARINA_ERROR_ARGUMENT, "unknown option --%s", word);
}

/* One option at arguments[*at]; steps over its value when that is an argument of its own. */
static carina_status parse_one(const option *table, void *values, int count, char **arguments, int *at,
                               carina_error *error) {
    const char *text = arguments[*at], *value = NULL;
    const option *o;
    if (text[1] == '-') {
        const char *name = text + 2;
        size_t length = strcspn(name, "=");
        o = find_long(table, name, length);
        if (!o && strncmp(name, "no-", 3) == 0 && !name[length]) {
            const option *flag = find_long(table, name + 3, length - 3);
            if (flag && flag->kind == OPTION_FLAG) {
                *(bool *)((char *)values + flag->offset) = false;
                return CARINA_OK;
            }
        }
        if (!o) return unknown(table, name, length, error);
        if (name[length] == '=') value = name + length + 1;
    } else {
        o = find_short(table, text[1]);
        if (!o) return error_set(error, CARINA_ERROR_ARGUMENT, "unknown option %s", text);
        if (text[2]) value = text + 2;
    }
    if (o->kind == OPTION_FLAG) {
        if (value) return error_set(error, CARINA_ERROR_ARGUMENT, "--%s takes no value", o->name);
        *(bool *)((char *)values + o->offset) = true;
        return CARINA_OK;
    }
    if (!value) {
        if (*at + 1 >= count)
            return error_set(error, CARINA_ERROR_ARGUMENT, "--%s needs a value: %s", o->name, o->argument);
        value = arguments[++*at];
    }
    return set_value(o, value, values, error);
}

carina_status options_parse(const option *table, void *values, int *count, char **arguments, bool *help,
                            carina_error *error) {
    int kept = 0, total = *count;
    bool ended = false;
    *help = false;
    for (int i = 0; i < total; i++) {
        char *text = arguments[i];
        if (ended || text[0] != '-' || !text[1]) { /* a lone "-" is an argument */
            arguments[kept++] = text;
        } else if (strcmp(text, "--") == 0) {
            ended = true;
        } else if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            *help = true;
            return CARINA_OK;
        } else {
            TRY(parse_one(table, values, total, arguments, &i, error));
        }
    }
    *count = kept;
    return CARINA_OK;
}

void options_print(const option *table, FILE *out) {
    fputs("Options:\n", out);
    for (const option *o = table; o && o->name; o++) {
        char left[80];
        char letter[4] = "   ";
        if (o->letter) snprintf(letter, sizeof letter, "-%c,", o->letter);
        snprintf(left, sizeof left, "%s --%s%s%s", letter, o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
        fprintf(out, "  %-28s  %s\n", left, o->help);
    }
    fprintf(out, "  %-28s  %s\n", "-h, --help", "show this text");
}
