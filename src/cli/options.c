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
        return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: %s is outside %.16g to %.16g", o->name, text, o->low,
                         o->high);
    return CARINA_OK;
}

static carina_status add_text(const option *o, const char *text, option_list *list, carina_error *error) {
    if (!*text) return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: empty %s", o->name, o->argument);
    if (list->count == OPTION_LIST_MAX)
        return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: given more than %d times", o->name, OPTION_LIST_MAX);
    list->items[list->count++] = text;
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
            if (!number_parse_integer(text, &value)) {
                bool digits = *text && strspn(text, "0123456789") == strlen(text);
                return error_set(error, CARINA_ERROR_ARGUMENT, "--%s: '%.40s' is %s", o->name, text,
                                 digits ? "too large a number" : "not a whole number");
            }
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
        case OPTION_LIST: return add_text(o, text, target, error);
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

/* What parsing goes along: the words, and which one is looked at. */
typedef struct parse {
    const option *table;
    void *values;
    int count, at;
    char **arguments;
    carina_error *error;
} parse;

/* value: what stands behind the option in its own word, NULL when nothing does: then the next word is taken. */
static carina_status take(parse *p, const option *o, const char *value) {
    if (o->kind == OPTION_FLAG) {
        if (value) return error_set(p->error, CARINA_ERROR_ARGUMENT, "--%s takes no value", o->name);
        *(bool *)((char *)p->values + o->offset) = true;
        return CARINA_OK;
    }
    if (!value) {
        if (p->at + 1 >= p->count)
            return error_set(p->error, CARINA_ERROR_ARGUMENT, "--%s needs a value: %s", o->name, o->argument);
        value = p->arguments[++p->at];
    }
    return set_value(o, value, p->values, p->error);
}

static carina_status parse_long(parse *p, const char *name) {
    size_t length = strcspn(name, "=");
    const option *o = find_long(p->table, name, length);
    if (!o && strncmp(name, "no-", 3) == 0 && !name[length]) {
        const option *flag = find_long(p->table, name + 3, length - 3);
        if (flag && flag->kind == OPTION_FLAG) {
            *(bool *)((char *)p->values + flag->offset) = false;
            return CARINA_OK;
        }
    }
    if (!o) return unknown(p->table, name, length, p->error);
    return take(p, o, name[length] == '=' ? name + length + 1 : NULL);
}

/* "-q", "-t3", "-qr", "-qt3": flags may stand together, and before one option with a value. */
static carina_status parse_short(parse *p, const char *letters, bool *help) {
    for (const char *letter = letters; *letter; letter++) {
        const option *o = find_short(p->table, *letter);
        if (!o && *letter == 'h') {
            *help = true;
            return CARINA_OK;
        }
        if (!o)
            return error_set(p->error, CARINA_ERROR_ARGUMENT,
                             letters[1] ? "unknown option -%c in -%s" : "unknown option -%c", *letter, letters);
        if (o->kind != OPTION_FLAG) return take(p, o, letter[1] ? letter + 1 : NULL);
        TRY(take(p, o, NULL));
    }
    return CARINA_OK;
}

carina_status options_parse(const option *table, void *values, int *count, char **arguments, bool *help,
                            carina_error *error) {
    int kept = 0;
    parse p = {table, values, *count, 0, arguments, error};
    *help = false;
    for (bool ended = false; p.at < p.count && !*help; p.at++) {
        char *text = arguments[p.at];
        if (ended || text[0] != '-' || !text[1]) { /* a lone "-" is an argument */
            arguments[kept++] = text;
        } else if (strcmp(text, "--") == 0) {
            ended = true;
        } else if (strcmp(text, "--help") == 0) {
            *help = true;
        } else if (text[1] == '-') {
            TRY(parse_long(&p, text + 2));
        } else {
            TRY(parse_short(&p, text + 1, help));
        }
    }
    if (!*help) *count = kept;
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
