/* Fingerprints: 64 bits that tell contents apart (models, text encoders, parts of files). Not a cryptographic hash: it
 * finds mix-ups and damage, not forgery.
 *
 * Four lanes of eight bytes each, multiplied and rotated, so that hundreds of megabytes cost little; the same on every
 * machine (bytes are taken as little-endian). Each piece that is added counts with its length: "ab" + "c" differs from
 * "a" + "bc".
 */
#ifndef BASE_FINGERPRINT_H
#define BASE_FINGERPRINT_H

#include <stdint.h>

typedef struct fingerprint {
    uint64_t lane[4];
} fingerprint;

fingerprint fingerprint_start(void);
void fingerprint_add(fingerprint *f, const void *data, uint64_t size);
/* The same piece in parts: multiples of 32 bytes, then the rest (which may be longer, or nothing) with the size of all.
 */
void fingerprint_add_blocks(fingerprint *f, const void *data, uint64_t size);
void fingerprint_add_rest(fingerprint *f, const void *data, uint64_t size, uint64_t total);
void fingerprint_add_text(fingerprint *f, const char *text);
void fingerprint_add_number(fingerprint *f, uint64_t number);
uint64_t fingerprint_value(const fingerprint *f);

#define FINGERPRINT_TEXT 17                                         /* 16 hexadecimal digits and the NUL */
char *fingerprint_text(char out[FINGERPRINT_TEXT], uint64_t value); /* returns out */

#endif
