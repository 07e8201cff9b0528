/* Reading lines of bounded length; see text_lines.h. */
#include "cli/text_lines.h"

#include <stdlib.h>

static carina_status put(text_lines *l, char byte, carina_error *error) {
    if (l->size == TEXT_LINES_MAX)
        return error_set(error, CARINA_ERROR_LIMIT, "standard input: line %llu has more than %u bytes",
                         (unsigned long long)l->number, TEXT_LINES_MAX);
    if (l->size == l->room) {
        uint64_t room = l->room ? 2 * l->room : 4096;
        char *line = realloc(l->line, (size_t)room);
        if (!line) return error_memory(error, "a line", room);
        l->line = line;
        l->room = room;
    }
    l->line[l->size++] = byte;
    return CARINA_OK;
}

carina_status text_lines_next(text_lines *l, bool *more, carina_error *error) {
    l->size = 0;
    l->number++;
    int c = getc(l->stream);
    *more = c != EOF;
    for (; c != EOF && c != '\n'; c = getc(l->stream)) TRY(put(l, (char)c, error));
    if (ferror(l->stream)) return error_errno(error, "standard input: line %llu", (unsigned long long)l->number);
    if (c == '\n' && l->size && l->line[l->size - 1] == '\r') l->size--;
    return CARINA_OK;
}

void text_lines_free(text_lines *l) {
    free(l->line);
    *l = (text_lines){0};
}
