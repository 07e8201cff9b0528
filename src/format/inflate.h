/* Decompression, the one place that knows zlib: raw deflate for zip entries, gzip files read as a stream. */
#ifndef FORMAT_INFLATE_H
#define FORMAT_INFLATE_H

#include <stdint.h>

#include "base/error.h"

/* Raw deflate data into exactly out_size bytes: fewer or more is CARINA_ERROR_FORMAT. name is used in messages. */
carina_status inflate_exactly(void *out, uint64_t out_size, const void *in, uint64_t in_size, const char *name,
                              carina_error *error);

/* Raw deflate data of unknown size, at most `limit` bytes of it (LIMIT beyond). *out is malloc'ed, the caller's. */
carina_status inflate_all(uint8_t **out, uint64_t *out_size, uint64_t limit, const void *in, uint64_t in_size,
                          const char *name, carina_error *error);

uint32_t inflate_crc32(const void *data, uint64_t size); /* CRC-32 of zip and gzip */

/* A regular file read as a stream, gunzipped on the way when it begins with gzip's mark. */
typedef struct inflate_stream inflate_stream;
carina_status inflate_open(inflate_stream **out, const char *path, carina_error *error);
/* Up to `size` bytes (at most 1 GiB a call); *count 0 is the end. A gzip file that is cut off or damaged is
 * CARINA_ERROR_FORMAT. */
carina_status inflate_read(inflate_stream *stream, void *out, uint64_t size, uint64_t *count, carina_error *error);
void inflate_close(inflate_stream *stream); /* accepts NULL */

#endif
