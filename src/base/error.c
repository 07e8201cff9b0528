/* The error record: formatting, prefixes, errno. Bottom of everything. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *carina_status_name(carina_status status) {
    switch (status) {
        case CARINA_OK: return "ok";
        case CARINA_ERROR_ARGUMENT: return "argument";
        case CARINA_ERROR_IO: return "io";
        case CARINA_ERROR_FORMAT: return "format";
        case CARINA_ERROR_LIMIT: return "limit";
        case CARINA_ERROR_UNSUPPORTED: return "unsupported";
        case CARINA_ERROR_MEMORY: return "memory";
        case CARINA_ERROR_MISMATCH: return "mismatch";
        case CARINA_ERROR_CANCELLED: return "cancelled";
    }
    return "unknown";
}

/* Names from outside (paths, keys, tensor names) end up in messages: one line, no terminal escapes. */
static void replace_control_characters(char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = '?';
    }
}

/* A text that is too long is cut in its middle: the head names the file, the tail gives the reason. */
static void put_message(carina_error *error, const char *text) {
    size_t room = sizeof error->message - 1, length = strlen(text);
    if (length <= room) {
        memmove(error->message, text, length + 1);
    } else {
        static const char gap[] = " ... ";
        size_t tail = room / 2, head = room - tail - (sizeof gap - 1);
        memcpy(error->message, text, head);
        memcpy(error->message + head, gap, sizeof gap - 1);
        memcpy(error->message + room - tail, text + length - tail, tail + 1);
    }
    replace_control_characters(error->message);
}

/* What the format gives, then ": REASON" when there is one. Without memory for the whole text its head must do. */
static void compose(carina_error *error, const char *reason, const char *format, va_list arguments) {
    char *text = NULL, *whole = NULL;
    va_list again;
    va_copy(again, arguments);
    if (vasprintf(&text, format, arguments) < 0) {
        vsnprintf(error->message, sizeof error->message, format, again);
        replace_control_characters(error->message);
    } else if (!reason || asprintf(&whole, "%s: %s", text, reason) < 0) {
        put_message(error, text);
        free(text);
    } else {
        put_message(error, whole);
        free(whole);
        free(text);
    }
    va_end(again);
}

carina_status error_set(carina_error *error, carina_status status, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        compose(error, NULL, format, arguments);
        va_end(arguments);
    }
    return status;
}

carina_status error_prefix(carina_error *error, const char *format, ...) {
    if (!error) return CARINA_ERROR_ARGUMENT; /* nothing to prefix; callers pass the status on themselves */
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    compose(error, old, format, arguments);
    va_end(arguments);
    return error->status;
}

carina_status error_errno(carina_error *error, const char *format, ...) {
    int code = errno;
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = CARINA_ERROR_IO;
        compose(error, strerror(code), format, arguments);
        va_end(arguments);
    }
    errno = code;
    return CARINA_ERROR_IO;
}

carina_status error_memory(carina_error *error, const char *what, unsigned long long bytes) {
    return error_set(error, CARINA_ERROR_MEMORY, "out of memory: %llu bytes for %s", bytes, what);
}
