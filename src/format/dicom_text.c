/* Cleaning text; see dicom_text.h. */
#include "format/dicom_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

/* A value cut at 260 bytes may end inside a character: that alone does not make it Latin-1. */
static bool is_utf8(const uint8_t *s, size_t length, size_t capacity) {
    size_t i = 0;
    while (i < length) {
        size_t step = (size_t)utf8_character(s + i, length - i);
        if (step == 0) return length + 1 >= capacity && length - i < 4;
        i += step;
    }
    return true;
}

static size_t append(char *out, size_t filled, size_t capacity, const uint8_t *bytes, size_t length) {
    if (filled + length >= capacity) return filled;
    memcpy(out + filled, bytes, length);
    return filled + length;
}

void dicom_text_clean(char *text, size_t capacity) {
    uint8_t copy[512] = {0};
    char out[1024];
    size_t length = strlen(text), filled = 0, room = capacity < sizeof out ? capacity : sizeof out;
    if (length > sizeof copy - 8) length = sizeof copy - 8;
    memcpy(copy, text, length);
    bool utf8 = is_utf8(copy, length, capacity);
    for (size_t i = 0, step; i < length; i += step) {
        uint8_t latin[2] = {(uint8_t)(0xc0 | copy[i] >> 6), (uint8_t)(0x80 | (copy[i] & 0x3f))};
        step = utf8 ? (size_t)utf8_character(copy + i, length - i) : 1;
        if (step == 0) break;
        bool control = copy[i] < 0x20 || copy[i] == 0x7f || (utf8 && copy[i] == 0xc2 && copy[i + 1] < 0xa0) ||
                       (!utf8 && copy[i] >= 0x80 && copy[i] < 0xa0);
        size_t before = filled;
        if (control)
            filled = append(out, filled, room, (const uint8_t *)" ", 1);
        else if (!utf8 && copy[i] >= 0x80)
            filled = append(out, filled, room, latin, 2);
        else
            filled = append(out, filled, room, copy + i, step);
        if (filled == before) break;
    }
    while (filled > 0 && out[filled - 1] == ' ') filled--;
    size_t start = 0;
    while (start < filled && out[start] == ' ') start++;
    memcpy(text, out + start, filled - start);
    text[filled - start] = 0;
}
