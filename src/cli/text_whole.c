/* Whole texts; see text_whole.h. */
#include "cli/text_whole.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

const char *text_whole_name(const char *path) { return strcmp(path, "-") == 0 ? "standard input" : path; }

static carina_status read_stream(char **out, uint64_t *size, FILE *stream, carina_error *error) {
    size_t room = 0;
    *size = 0;
    for (;;) {
        if (*size + 1 >= room) {
            room = room ? 2 * room : 1 << 16;
            char *grown = realloc(*out, room);
            if (!grown) return error_memory(error, "standard input", room);
            *out = grown;
        }
        size_t count = fread(*out + *size, 1, room - 1 - (size_t)*size, stream);
        *size += count;
        if (*size > TEXT_WHOLE_MAX)
            return error_set(error, CARINA_ERROR_LIMIT, "standard input: more than %u MB of text",
                             TEXT_WHOLE_MAX >> 20);
        if (count == 0) break;
    }
    (*out)[*size] = 0;
    return ferror(stream) ? error_set(error, CARINA_ERROR_IO, "standard input: cannot be read") : CARINA_OK;
}

carina_status text_whole_read(char **out, uint64_t *size, const char *path, carina_error *error) {
    *out = NULL;
    if (strcmp(path, "-") != 0) {
        uint8_t *bytes;
        TRY(file_read(path, TEXT_WHOLE_MAX, &bytes, size, error));
        *out = (char *)bytes;
        return CARINA_OK;
    }
    carina_status status = read_stream(out, size, stdin, error);
    if (status == CARINA_OK) return status;
    free(*out);
    *out = NULL;
    return status;
}
