/* The error record: formatting, prefixes, errno. Bottom of everything. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
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

carina_status error_set(carina_error *error, carina_status status, const char *format, ...) {
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        replace_control_characters(error->message);
    }
    return status;
}

carina_status error_prefix(carina_error *error, const char *format, ...) {
    if (!error) return CARINA_ERROR_ARGUMENT; /* nothing to prefix; callers pass the status on themselves */
    char old[sizeof error->message];
    memcpy(old, error->message, sizeof old);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof error->message)
        snprintf(error->message + length, sizeof error->message - (size_t)length, ": %s", old);
    replace_control_characters(error->message);
    return error->status;
}

carina_status error_errno(carina_error *error, const char *format, ...) {
    int code = errno;
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = CARINA_ERROR_IO;
        int length = vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        if (length >= 0 && (size_t)length < sizeof error->message)
            snprintf(error->message + length, sizeof error->message - (size_t)length, ": %s", strerror(code));
        replace_control_characters(error->message);
    }
    errno = code;
    return CARINA_ERROR_IO;
}

carina_status error_memory(carina_error *error, const char *what, unsigned long long bytes) {
    return error_set(error, CARINA_ERROR_MEMORY, "out of memory: %llu bytes for %s", bytes, what);
}
