/* Well-formed UTF-8 after table 3-7 of the Unicode standard; see utf8.h. */
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

int utf8_character(const void *text, uint64_t size) {
    const uint8_t *s = text;
    if (size == 0) return 0;
    if (s[0] < 0x80) return 1;
    int length = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                 : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                : 0;
    if (length == 0 || (uint64_t)length > size) return 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

bool utf8_valid(const void *text, uint64_t size) {
    const uint8_t *s = text;
    for (uint64_t at = 0; at < size;) {
        int length = utf8_character(s + at, size - at);
        if (length == 0) return false;
        at += (uint64_t)length;
    }
    return true;
}

bool utf8_is_line(const char *text) {
    const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);
    while (at < end) {
        int length = utf8_character(at, (uint64_t)(end - at));
        if (length == 0 || at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0)) return false;
        at += length;
    }
    return true;
}

char *utf8_repair(const void *text, uint64_t size, uint64_t *out_size) {
    if (size > UINT64_MAX / 4) return NULL;
    const uint8_t *s = text;
    uint64_t bad = 0;
    for (uint64_t at = 0; at < size;) {
        int length = utf8_character(s + at, size - at);
        bad += length == 0;
        at += length ? (uint64_t)length : 1;
    }
    char *out = malloc((size_t)(size + 2 * bad + 1));
    if (!out) return NULL;
    uint64_t used = 0;
    for (uint64_t at = 0; at < size;) {
        int length = utf8_character(s + at, size - at);
        const void *from = length ? (const void *)(s + at) : "\xef\xbf\xbd";
        uint64_t count = length ? (uint64_t)length : 3;
        memcpy(out + used, from, (size_t)count);
        used += count;
        at += length ? (uint64_t)length : 1;
    }
    out[used] = 0;
    *out_size = used;
    return out;
}
