/* Every stop string has a Knuth-Morris-Pratt automaton; the longest prefix that any of them has found is what is held
 * back. See stop_text.h. */
#include "text/stop_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define ROOM (STOP_TEXT_MAX_STRING + 256)

typedef struct stop_string {
    uint8_t *bytes;
    uint16_t *border; /* [size]: the longest proper prefix of bytes[0 .. i] that also ends it */
    int size;
    int found; /* how much of it the text ends with */
} stop_string;

struct stop_text {
    stop_string strings[STOP_TEXT_MAX_STRINGS];
    int count;
    int which; /* the string that ended the text, -1 */
    bool cancelled;
    stop_text_emit *emit;
    void *context;
    uint8_t held[ROOM]; /* not yet emitted */
    uint64_t held_size;
};

static carina_status add_string(stop_text *s, const char *text, carina_error *error) {
    size_t size = strlen(text);
    int number = s->count + 1;
    if (size == 0) return error_set(error, CARINA_ERROR_ARGUMENT, "stop string %d is empty", number);
    if (size > STOP_TEXT_MAX_STRING)
        return error_set(error, CARINA_ERROR_LIMIT, "stop string %d has %zu bytes, at most %d", number, size,
                         STOP_TEXT_MAX_STRING);
    if (!utf8_valid(text, size))
        return error_set(error, CARINA_ERROR_ARGUMENT, "stop string %d is not UTF-8: it could never be found", number);
    stop_string *string = &s->strings[s->count];
    *string = (stop_string){.bytes = malloc(size), .border = calloc(size, sizeof *string->border), .size = (int)size};
    s->count++;
    if (!string->bytes || !string->border) return error_memory(error, "a stop string", size);
    memcpy(string->bytes, text, size);
    for (int i = 1, border = 0; i < string->size; i++) {
        while (border > 0 && string->bytes[i] != string->bytes[border]) border = string->border[border - 1];
        border += string->bytes[i] == string->bytes[border];
        string->border[i] = (uint16_t)border;
    }
    return CARINA_OK;
}

carina_status stop_text_make(stop_text **out, const char *const *strings, int count, stop_text_emit *emit,
                             void *context, carina_error *error) {
    *out = NULL;
    if (count < 0 || count > STOP_TEXT_MAX_STRINGS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%d stop strings, at most %d", count, STOP_TEXT_MAX_STRINGS);
    stop_text *s = calloc(1, sizeof *s);
    if (!s) return error_memory(error, "stop strings", sizeof *s);
    s->which = -1;
    s->emit = emit;
    s->context = context;
    for (int i = 0; i < count; i++) {
        carina_status status = add_string(s, strings[i], error);
        if (status == CARINA_OK) continue;
        stop_text_free(s);
        return status;
    }
    *out = s;
    return CARINA_OK;
}

void stop_text_free(stop_text *s) {
    if (!s) return;
    for (int i = 0; i < s->count; i++) {
        free(s->strings[i].bytes);
        free(s->strings[i].border);
    }
    free(s);
}

int stop_text_found(const stop_text *s) { return s->which; }

/* Bytes at the end that may become a character when more arrive: fewer than it needs, and none of them wrong. */
static uint64_t unfinished(const uint8_t *text, uint64_t size) {
    for (uint64_t count = 1; count <= 3 && count <= size; count++) {
        uint8_t lead = text[size - count];
        if ((lead & 0xc0) == 0x80) continue;
        uint64_t whole = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
        if (whole <= count) return 0;
        /* what may follow is decided by the first two bytes: try the lowest and the highest of all */
        uint8_t low[4] = {0x80, 0x80, 0x80, 0x80}, high[4] = {0xbf, 0xbf, 0xbf, 0xbf};
        memcpy(low, text + size - count, (size_t)count);
        memcpy(high, text + size - count, (size_t)count);
        return utf8_character(low, whole) || utf8_character(high, whole) ? count : 0;
    }
    return 0;
}

/* Emits the first `size` bytes held, less an unfinished character at their end when more may come. */
static carina_status emit(stop_text *s, uint64_t size, bool more, carina_error *error) {
    if (more) size -= unfinished(s->held, size);
    uint64_t at = 0;
    while (at < size && !s->cancelled) {
        uint64_t end = at;
        for (int length; end < size && (length = utf8_character(s->held + end, size - end)) > 0;)
            end += (uint64_t)length;
        if (end > at) s->cancelled = !s->emit(s->context, (const char *)s->held + at, end - at);
        if (end < size && !s->cancelled) s->cancelled = !s->emit(s->context, "\xef\xbf\xbd", 3);
        at = end + (end < size);
    }
    s->held_size -= size;
    memmove(s->held, s->held + size, (size_t)s->held_size);
    return s->cancelled ? error_set(error, CARINA_ERROR_CANCELLED, "cancelled: the receiver of the text wants no more")
                        : CARINA_OK;
}

/* Moves every string's automaton on; the longest string that is now complete, or -1. */
static int advance(stop_text *s, uint8_t byte) {
    int complete = -1;
    for (int i = 0; i < s->count; i++) {
        stop_string *string = &s->strings[i];
        while (string->found > 0 && string->bytes[string->found] != byte)
            string->found = string->border[string->found - 1];
        string->found += string->bytes[string->found] == byte;
        if (string->found == string->size && (complete < 0 || string->size > s->strings[complete].size)) complete = i;
    }
    return complete;
}

static uint64_t longest_found(const stop_text *s) {
    int longest = 0;
    for (int i = 0; i < s->count; i++)
        if (s->strings[i].found > longest) longest = s->strings[i].found;
    return (uint64_t)longest;
}

carina_status stop_text_push(stop_text *s, const void *bytes, uint64_t size, carina_error *error) {
    const uint8_t *text = bytes;
    for (uint64_t i = 0; i < size && s->which < 0; i++) {
        s->held[s->held_size++] = text[i];
        s->which = advance(s, text[i]);
        if (s->which >= 0) {
            uint64_t before = s->held_size - (uint64_t)s->strings[s->which].size;
            TRY(emit(s, before, false, error));
        } else if (s->held_size == ROOM || i == size - 1) {
            TRY(emit(s, s->held_size - longest_found(s), true, error));
        }
    }
    return CARINA_OK;
}

carina_status stop_text_finish(stop_text *s, carina_error *error) {
    return emit(s, s->which < 0 ? s->held_size : 0, false, error);
}
