/* Filling carina_error. See include/carina/error.h for the contract. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "carina/error.h"

/* Formats the message (cut at the buffer's end, control characters replaced by '?') and returns `status`, so that a
 * failing function ends with `return error_set(error, CARINA_ERROR_FORMAT, "%s: ...", path);`. error may be NULL. */
carina_status error_set(carina_error *error, carina_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " in front of an existing message; keeps its status and returns it. */
carina_status error_prefix(carina_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* error_set for a failed system call: appends ": " and strerror(errno). */
carina_status error_errno(carina_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* error_set for a failed allocation of `bytes` bytes for `what`. */
carina_status error_memory(carina_error *error, const char *what, unsigned long long bytes);

/* Leaves the enclosing function (or goes to its cleanup label) when an expression is not CARINA_OK. */
#define TRY(expression)                                   \
    do {                                                  \
        carina_status try_status_ = (expression);         \
        if (try_status_ != CARINA_OK) return try_status_; \
    } while (0)
#define TRY_GOTO(status, label, expression)    \
    do {                                       \
        (status) = (expression);               \
        if ((status) != CARINA_OK) goto label; \
    } while (0)

#endif
