/* Base64 (RFC 4648, with padding, without line breaks): pictures inside pages. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdint.h>
#include <stdio.h>

/* Stream errors stay in the stream. */
void base64_write(FILE *out, const void *data, uint64_t size);

#endif
