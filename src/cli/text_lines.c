/* Reading lines of bounded length; see text_lines.h. */
#include "cli/text_lines.h"

#include <stdlib.h>

#include "base/progress.h"

static const char *name_of(const text_lines *l) { return l->name ? l->name : "standard input"; }

static carina_status put(text_lines *l, char byte, carina_error *error) {
    uint64_t most = l->most ? l->most : TEXT_LINES_MAX;
    if (l->size == most)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: line %llu has more than %llu bytes", name_of(l),
                         (unsigned long long)l->number, (unsigned long long)most);
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
    int c = getc_unlocked(l->stream);
    *more = c != EOF;
    for (; c != EOF && c != '\n'; c = getc_unlocked(l->stream)) TRY(put(l, (char)c, error));
    if (ferror(l->stream) && progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    if (ferror(l->stream)) return error_errno(error, "%s: line %llu", name_of(l), (unsigned long long)l->number);
    if (c == '\n' && !l->keep_return && l->size && l->line[l->size - 1] == '\r') l->size--;
    return CARINA_OK;
}

void text_lines_free(text_lines *l) {
    free(l->line);
    *l = (text_lines){0};
}
