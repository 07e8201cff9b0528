/* Binary searches over the Unicode tables, and UTF-8 to codes and back; see unicode.h. */
#include "text/unicode.h"

#include <stddef.h>

#include "base/utf8.h"
#include "text/unicode_tables.h"

/* Rows begin with their first code: the last row that begins at or below `code`, or -1. */
static ptrdiff_t row_below(const void *rows, size_t count, size_t row_bytes, uint32_t code) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (*(const uint32_t *)((const uint8_t *)rows + middle * row_bytes) <= code)
            low = middle + 1;
        else
            high = middle;
    }
    return (ptrdiff_t)low - 1;
}
#define ROW_BELOW(table, code) row_below(table, sizeof(table) / sizeof(table)[0], sizeof(table)[0], code)

unicode_kind unicode_kind_of(uint32_t code) {
    if (code == '\t' || code == '\n' || code == '\r') return UNICODE_SPACE;
    ptrdiff_t i = ROW_BELOW(kind_ranges, code);
    return i >= 0 && code <= kind_ranges[i].last ? (unicode_kind)kind_ranges[i].kind : UNICODE_OTHER;
}

bool unicode_is_cjk(uint32_t code) {
    static const uint32_t blocks[][2] = {
        {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
        {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b820, 0x2ceaf}, {0x2f800, 0x2fa1f},
    };
    ptrdiff_t i = ROW_BELOW(blocks, code);
    return i >= 0 && code <= blocks[i][1];
}

int unicode_lower(uint32_t code, uint32_t out[UNICODE_MOST]) {
    out[0] = code;
    if (code == 0x130) { /* dotted capital I: the only character whose lower case is two */
        out[0] = 'i', out[1] = 0x307;
        return 2;
    }
    ptrdiff_t i = ROW_BELOW(lower_runs, code);
    if (i >= 0 && code <= lower_runs[i].last && (code - lower_runs[i].first) % (uint32_t)lower_runs[i].step == 0)
        out[0] = (uint32_t)((int32_t)code + lower_runs[i].distance);
    return 1;
}

/* Hangul syllables are decomposed by arithmetic: chapter 3.12 of the Unicode standard. */
static int hangul(uint32_t code, uint32_t out[UNICODE_MOST]) {
    uint32_t index = code - 0xac00;
    out[0] = 0x1100 + index / 588;
    out[1] = 0x1161 + index % 588 / 28;
    out[2] = 0x11a7 + index % 28;
    return index % 28 ? 3 : 2;
}

int unicode_bare(uint32_t code, uint32_t out[UNICODE_MOST]) {
    if (code >= 0xac00 && code <= 0xd7a3) return hangul(code, out);
    out[0] = code;
    if (code < 0xc0) return 1;
    unicode_kind kind = unicode_kind_of(code);
    if (kind == UNICODE_MARK || kind == UNICODE_MARK_STARTER) return 0;
    ptrdiff_t i = ROW_BELOW(bare_characters, code);
    if (i >= 0 && bare_characters[i][0] == code) {
        out[0] = bare_characters[i][1];
        return 1;
    }
    i = ROW_BELOW(bare_sequences, code);
    if (i < 0 || bare_sequences[i][0] != code) return 1;
    int count = 0;
    while (count < UNICODE_MOST && bare_sequences[i][1 + count]) out[count] = bare_sequences[i][1 + count], count++;
    return count;
}

int unicode_spacing_class(uint32_t code) {
    ptrdiff_t i = code < 0x300 ? -1 : ROW_BELOW(spacing_classes, code);
    return i >= 0 && code <= spacing_classes[i].last ? spacing_classes[i].class : 0;
}

int unicode_decode(const char *text, uint64_t size, uint32_t *code) {
    const uint8_t *s = (const uint8_t *)text;
    int length = utf8_character(s, size);
    if (length == 0) {
        *code = 0xfffd;
        return 1;
    }
    static const uint8_t first_bits[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *code = s[0] & first_bits[length];
    for (int i = 1; i < length; i++) *code = *code << 6 | (s[i] & 0x3fu);
    return length;
}

int unicode_encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    static const uint8_t marks[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(marks[length] | code);
    return length;
}
