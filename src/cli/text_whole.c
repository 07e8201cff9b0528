/* Whole texts; see text_whole.h. */
#include "cli/text_whole.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"

const char *text_whole_name(const char *path) { return strcmp(path, "-") == 0 ? "standard input" : path; }

/* Room for one byte more than is there, for the NUL; doubles. */
static carina_status grow(char **text, size_t *room, const char *name, carina_error *error) {
    size_t more = *room ? 2 * *room : 4096;
    char *grown = realloc(*text, more);
    if (!grown) return error_memory(error, name, more);
    *text = grown;
    *room = more;
    return CARINA_OK;
}

/* Reads once, up to what there is room for. A terminal's end is asked for once: behind it nothing is read any more. */
static carina_status read_some(char *to, size_t room, size_t *got, FILE *stream, const char *name,
                               carina_error *error) {
    errno = 0;
    *got = fread(to, 1, room, stream);
    int reason = errno;
    if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    errno = reason;
    return ferror(stream) ? error_errno(error, "%s: cannot read", name) : CARINA_OK;
}

carina_status text_whole_read_stream(char **out, uint64_t *size, FILE *stream, const char *name, uint64_t most,
                                     carina_error *error) {
    char *text = NULL;
    size_t room = 0, got;
    uint64_t length = 0;
    carina_status status = CARINA_OK;
    *out = NULL;
    do {
        if (length + 1 >= room) status = grow(&text, &room, name, error);
        if (status == CARINA_OK)
            status = read_some(text + length, room - 1 - (size_t)length, &got, stream, name, error);
        if (status == CARINA_OK && (length += got) > most)
            status = error_set(error, CARINA_ERROR_LIMIT, "%s: more than %llu bytes of text", name,
                               (unsigned long long)most);
    } while (status == CARINA_OK && !feof(stream));
    if (status != CARINA_OK) {
        free(text);
        return status;
    }
    text[length] = 0;
    *out = text;
    *size = length;
    return CARINA_OK;
}

carina_status text_whole_read(char **out, uint64_t *size, const char *path, carina_error *error) {
    if (strcmp(path, "-") == 0)
        return text_whole_read_stream(out, size, stdin, text_whole_name(path), TEXT_WHOLE_MAX, error);
    uint8_t *bytes;
    *out = NULL;
    TRY(file_read(path, TEXT_WHOLE_MAX, &bytes, size, error));
    *out = (char *)bytes;
    return CARINA_OK;
}
