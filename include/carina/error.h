/* Status codes and the error record that every function which can fail fills in.
 *
 * A function that can fail returns carina_status. When it is not CARINA_OK, the caller's carina_error (which may be
 * NULL when the caller does not care) holds one line of text: what failed, in which file or key, why, what to do.
 * The library never exits and never prints.
 */
#ifndef CARINA_ERROR_H
#define CARINA_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(CARINA_BUILD) && defined(__GNUC__)
#define CARINA_API __attribute__((visibility("default")))
#else
#define CARINA_API
#endif

typedef enum carina_status {
    CARINA_OK = 0,
    CARINA_ERROR_ARGUMENT,    /* the caller passed something that makes no sense */
    CARINA_ERROR_IO,          /* the operating system refused: open, read, write, sync, rename */
    CARINA_ERROR_FORMAT,      /* bytes that are not what their format demands */
    CARINA_ERROR_LIMIT,       /* well-formed, but larger than we accept */
    CARINA_ERROR_UNSUPPORTED, /* well-formed, but a variant that Carina does not read or compute */
    CARINA_ERROR_MEMORY,      /* out of memory */
    CARINA_ERROR_MISMATCH,    /* two things that should fit do not: shapes, region sets, fingerprints */
    CARINA_ERROR_CANCELLED,   /* stopped on request */
} carina_status;

typedef struct carina_error {
    carina_status status;
    char message[512]; /* one line, NUL-terminated, no trailing newline; never contains control characters */
} carina_error;

/* The status' name in lower case ("format"), a string that is never freed. */
CARINA_API const char *carina_status_name(carina_status status);

#ifdef __cplusplus
}
#endif
#endif
