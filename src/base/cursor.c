/* Bounded reads over untrusted bytes; see cursor.h. */
#include "base/cursor.h"

#include <string.h>

cursor cursor_make(const void *data, uint64_t size) {
    return (cursor){.data = data, .size = size, .offset = 0, .failed = false};
}

uint64_t cursor_remaining(const cursor *c) { return c->size - c->offset; }

bool cursor_seek(cursor *c, uint64_t offset) {
    if (c->failed || offset > c->size) {
        c->failed = true;
        return false;
    }
    c->offset = offset;
    return true;
}

const uint8_t *cursor_take(cursor *c, uint64_t count) {
    if (c->failed || count > cursor_remaining(c)) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *bytes = c->data + c->offset;
    c->offset += count;
    return bytes;
}

bool cursor_skip(cursor *c, uint64_t count) {
    cursor_take(c, count);
    return !c->failed;
}

bool cursor_read(cursor *c, void *out, uint64_t count) {
    const uint8_t *bytes = cursor_take(c, count);
    if (bytes && count) memcpy(out, bytes, (size_t)count);
    if (!bytes && count) memset(out, 0, (size_t)count);
    return !c->failed;
}

static uint64_t read_unsigned(cursor *c, int byte_count, bool big_endian) {
    uint8_t bytes[8] = {0};
    if (!cursor_read(c, bytes, (uint64_t)byte_count)) return 0;
    uint64_t value = 0;
    for (int i = 0; i < byte_count; i++) {
        int from_top = big_endian ? i : byte_count - 1 - i;
        value = value << 8 | bytes[from_top];
    }
    return value;
}

uint8_t cursor_u8(cursor *c) { return (uint8_t)read_unsigned(c, 1, false); }
uint16_t cursor_u16le(cursor *c) { return (uint16_t)read_unsigned(c, 2, false); }
uint32_t cursor_u32le(cursor *c) { return (uint32_t)read_unsigned(c, 4, false); }
uint64_t cursor_u64le(cursor *c) { return read_unsigned(c, 8, false); }
uint16_t cursor_u16be(cursor *c) { return (uint16_t)read_unsigned(c, 2, true); }
uint32_t cursor_u32be(cursor *c) { return (uint32_t)read_unsigned(c, 4, true); }
uint64_t cursor_u64be(cursor *c) { return read_unsigned(c, 8, true); }

double cursor_f64be(cursor *c) {
    uint64_t bits = cursor_u64be(c);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool size_multiply(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

bool size_add(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}
