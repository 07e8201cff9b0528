/* The lanes of a fingerprint; see fingerprint.h. Constants: the odd 64-bit primes of xxHash (Collet), same purpose. */
#include "base/fingerprint.h"

#include <stdio.h>
#include <string.h>

#define PRIME_1 0x9e3779b185ebca87ULL
#define PRIME_2 0xc2b2ae3d27d4eb4fULL
#define PRIME_3 0x165667b19e3779f9ULL

static uint64_t rotate(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

static uint64_t load(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint64_t mix(uint64_t lane, uint64_t word) { return rotate(lane + word * PRIME_2, 31) * PRIME_1; }

/* Every bit of the result depends on every bit of x. */
static uint64_t spread(uint64_t x) {
    x = (x ^ (x >> 33)) * PRIME_2;
    x = (x ^ (x >> 29)) * PRIME_3;
    return x ^ (x >> 32);
}

fingerprint fingerprint_start(void) { return (fingerprint){{PRIME_1, PRIME_2, PRIME_3, 0}}; }

void fingerprint_add_number(fingerprint *f, uint64_t number) {
    f->lane[0] = mix(f->lane[0], number);
    f->lane[3] = mix(f->lane[3], f->lane[0]); /* the order of short pieces counts in two lanes */
}

void fingerprint_add_blocks(fingerprint *f, const void *data, uint64_t size) {
    const uint8_t *bytes = data;
    for (; size >= 32; size -= 32, bytes += 32)
        for (int i = 0; i < 4; i++) f->lane[i] = mix(f->lane[i], load(bytes + 8 * i));
}

void fingerprint_add_rest(fingerprint *f, const void *data, uint64_t size, uint64_t total) {
    uint64_t whole = size / 32 * 32, left = size - whole;
    fingerprint_add_blocks(f, data, whole);
    const uint8_t *bytes = size ? (const uint8_t *)data + whole : NULL;
    for (int i = 0; left >= 8; i++, left -= 8, bytes += 8) f->lane[i] = mix(f->lane[i], load(bytes));
    uint8_t rest[8] = {0};
    if (left) memcpy(rest, bytes, (size_t)left);
    f->lane[1] = mix(f->lane[1], load(rest));
    fingerprint_add_number(f, total);
}

void fingerprint_add(fingerprint *f, const void *data, uint64_t size) { fingerprint_add_rest(f, data, size, size); }

void fingerprint_add_text(fingerprint *f, const char *text) { fingerprint_add(f, text, strlen(text)); }

uint64_t fingerprint_value(const fingerprint *f) {
    uint64_t value = 0;
    for (int i = 0; i < 4; i++) value = mix(value, spread(f->lane[i]));
    return spread(value);
}

char *fingerprint_text(char out[FINGERPRINT_TEXT], uint64_t value) {
    snprintf(out, FINGERPRINT_TEXT, "%016llx", (unsigned long long)value);
    return out;
}
