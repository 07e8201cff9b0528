/* A bounded read cursor over bytes that come from outside: every parser of a binary format reads through it.
 *
 * A read past the end never touches memory: it returns zero and sets `failed`, which stays set. A parser may therefore
 * read a whole header and test `failed` once. All sizes are 64-bit, so lengths from a file cannot wrap.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cursor {
    const uint8_t *data; /* borrowed */
    uint64_t size;
    uint64_t offset; /* <= size always */
    bool failed;
} cursor;

cursor cursor_make(const void *data, uint64_t size);
uint64_t cursor_remaining(const cursor *c);
bool cursor_seek(cursor *c, uint64_t offset); /* absolute; false and failed when past the end */
bool cursor_skip(cursor *c, uint64_t count);
const uint8_t *cursor_take(cursor *c, uint64_t count); /* borrowed bytes, or NULL and failed */
bool cursor_read(cursor *c, void *out, uint64_t count);
uint8_t cursor_u8(cursor *c);
uint16_t cursor_u16le(cursor *c);
uint32_t cursor_u32le(cursor *c);
uint64_t cursor_u64le(cursor *c);
uint16_t cursor_u16be(cursor *c);
uint32_t cursor_u32be(cursor *c);
uint64_t cursor_u64be(cursor *c);
double cursor_f64be(cursor *c);

/* a * b and a + b that say when they do not fit: false leaves *out untouched. */
bool size_multiply(uint64_t a, uint64_t b, uint64_t *out);
bool size_add(uint64_t a, uint64_t b, uint64_t *out);

#endif
