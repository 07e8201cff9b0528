/* Grammars written line by line into memory; see grammar_answers.h. */
#include "text/grammar_answers.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* ---- parts ---- */

void grammar_answers_quote(FILE *stream, const char *text) {
    fputc('"', stream);
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        if (byte == '"' || byte == '\\')
            fprintf(stream, "\\%c", byte);
        else if (byte < 0x20 || byte == 0x7f)
            fprintf(stream, "\\x%02X", byte);
        else
            fputc(byte, stream);
    }
    fputc('"', stream);
}

static void put_digit(FILE *stream, uint64_t low, uint64_t high) {
    if (low == high)
        fprintf(stream, "\"%c\"", (char)('0' + low));
    else
        fprintf(stream, "[%c-%c]", (char)('0' + low), (char)('0' + high));
}

/* Numbers low .. high of exactly `count` digits, leading zeros included; unit = 10^(count - 1). A first digit behind
 * which not everything is possible is written with what is. */
static void put_digits(FILE *stream, uint64_t low, uint64_t high, int count, uint64_t unit) {
    uint64_t first = low / unit, last = high / unit, low_rest = low % unit, high_rest = high % unit;
    const char *separator = "";
    fputc('(', stream);
    if (count > 1 && first == last) {
        put_digit(stream, first, first);
        fputc(' ', stream);
        put_digits(stream, low_rest, high_rest, count - 1, unit / 10);
        fputc(')', stream);
        return;
    }
    if (low_rest > 0) {
        put_digit(stream, first, first);
        fputc(' ', stream);
        put_digits(stream, low_rest, unit - 1, count - 1, unit / 10);
        separator = " | ";
        first++;
    }
    bool high_whole = high_rest == unit - 1;
    if (first <= last && (high_whole || first < last)) {
        fputs(separator, stream);
        put_digit(stream, first, high_whole ? last : last - 1);
        if (count > 1) fprintf(stream, " [0-9]{%d}", count - 1);
        separator = " | ";
    }
    if (!high_whole) {
        fputs(separator, stream);
        put_digit(stream, last, last);
        fputc(' ', stream);
        put_digits(stream, 0, high_rest, count - 1, unit / 10);
    }
    fputc(')', stream);
}

/* 0 <= low <= high < 10^19 */
static void put_natural(FILE *stream, uint64_t low, uint64_t high) {
    const char *separator = "";
    uint64_t unit = 1;
    for (int count = 1; count <= 19; count++, unit *= 10) {
        uint64_t first = count == 1 ? 0 : unit, last = 9 * unit + (unit - 1);
        if (low > last) continue;
        fputs(separator, stream);
        separator = " | ";
        put_digits(stream, low > first ? low : first, high < last ? high : last, count, unit);
        if (high <= last) return;
    }
}

void grammar_answers_whole(FILE *stream, int64_t low, int64_t high) {
    fputc('(', stream);
    if (low < 0) {
        fputs("\"-\" (", stream);
        put_natural(stream, high < 0 ? 0 - (uint64_t)high : 1, 0 - (uint64_t)low);
        fputs(high < 0 ? ")" : ") | ", stream);
    }
    if (high >= 0) put_natural(stream, low > 0 ? (uint64_t)low : 0, (uint64_t)high);
    fputc(')', stream);
}

/* ---- answers ---- */

/* The stream's text, when all of it could be written. */
static carina_status close_text(char **out, FILE *stream, char **text, carina_error *error) {
    bool failed = ferror(stream);
    failed |= fclose(stream) != 0;
    if (failed) {
        free(*text);
        return error_memory(error, "a grammar", 0);
    }
    *out = *text;
    return CARINA_OK;
}

static carina_status check_boxes(const grammar_answers_box_options *o, carina_error *error) {
    if (o->in_text && o->most != 0)
        return error_set(error, CARINA_ERROR_ARGUMENT, "boxes in a text are not counted: most must be 0, it is %d",
                         o->most);
    if (!o->in_text && (o->most < 1 || o->most > GRAMMAR_ANSWERS_MAX_BOXES))
        return error_set(error, CARINA_ERROR_ARGUMENT, "at most %d boxes: not 1 .. %d", o->most,
                         GRAMMAR_ANSWERS_MAX_BOXES);
    return CARINA_OK;
}

carina_status grammar_answers_boxes(char **out, const grammar_answers_box_options *options, carina_error *error) {
    static const char *const references[3] = {"", "reference? ", "reference "};
    *out = NULL;
    TRY(check_boxes(options, error));
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return error_memory(error, "a grammar", 0);
    const char *reference = references[options->reference];
    if (options->in_text)
        fprintf(stream, "root ::= ([^<] | %sbox)+\n", reference);
    else
        fprintf(stream, "root ::= %sbox ([ \\n]? %sbox){0,%d}\n", reference, reference, options->most - 1);
    fputs(
        "reference ::= \"<ref>\" [^<>\\x00-\\x1F]+ \"</ref>\"\n"
        "box ::= \"<box>(\" pixel \",\" pixel \"),(\" pixel \",\" pixel \")</box>\"\n"
        "pixel ::= ",
        stream);
    grammar_answers_whole(stream, 0, GRAMMAR_ANSWERS_LARGEST);
    fputc('\n', stream);
    return close_text(out, stream, &text, error);
}

carina_status grammar_answers_yes_no(char **out, carina_error *error) {
    *out = strdup("root ::= ([Yy] \"es\" | [Nn] \"o\") \".\"?\n");
    return *out ? CARINA_OK : error_memory(error, "a grammar", 0);
}

static carina_status check_label(const char *label, bool listed, carina_error *error) {
    if (!*label) return error_set(error, CARINA_ERROR_ARGUMENT, "a label is empty");
    if (!utf8_valid(label, strlen(label)))
        return error_set(error, CARINA_ERROR_ARGUMENT, "the label \"%.80s\" is not UTF-8", label);
    if (listed && strchr(label, ','))
        return error_set(error, CARINA_ERROR_ARGUMENT, "the label \"%.80s\" has a comma, which parts labels", label);
    return CARINA_OK;
}

static int compare_texts(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static carina_status check_labels(const char *const *labels, int count, bool listed, carina_error *error) {
    if (count < 1 || count > GRAMMAR_ANSWERS_MAX_LABELS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%d labels: not 1 .. %d", count, GRAMMAR_ANSWERS_MAX_LABELS);
    for (int i = 0; i < count; i++) TRY(check_label(labels[i], listed, error));
    const char **sorted = malloc((size_t)count * sizeof *sorted);
    if (!sorted) return error_memory(error, "labels", (uint64_t)count * sizeof *sorted);
    memcpy(sorted, labels, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_texts);
    carina_status status = CARINA_OK;
    for (int i = 1; i < count && status == CARINA_OK; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            status = error_set(error, CARINA_ERROR_ARGUMENT, "the label \"%.80s\" is there twice", sorted[i]);
    free(sorted);
    return status;
}

static carina_status put_labels(char **out, const char *root, const char *const *labels, int count, const char *none,
                                carina_error *error) {
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return error_memory(error, "a grammar", 0);
    fprintf(stream, "root ::= ");
    if (none) {
        grammar_answers_quote(stream, none);
        fputs(" | ", stream);
    }
    fprintf(stream, root, count - 1);
    fputs("\nlabel ::= ", stream);
    for (int i = 0; i < count; i++) {
        if (i) fputs("\n  | ", stream);
        grammar_answers_quote(stream, labels[i]);
    }
    fputc('\n', stream);
    return close_text(out, stream, &text, error);
}

carina_status grammar_answers_label(char **out, const char *const *labels, int count, carina_error *error) {
    *out = NULL;
    TRY(check_labels(labels, count, false, error));
    return put_labels(out, "label", labels, count, NULL, error);
}

carina_status grammar_answers_labels(char **out, const char *const *labels, int count, const char *none,
                                     carina_error *error) {
    *out = NULL;
    TRY(check_labels(labels, count, true, error));
    if (none) TRY(check_label(none, false, error));
    return put_labels(out, "label (\", \" label){0,%d}", labels, count, none, error);
}
