/* Base64 to a stream; see base64.h. */
#include "base/base64.h"

void base64_write(FILE *out, const void *data, uint64_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *byte = data;
    for (uint64_t i = 0; i < size; i += 3) {
        uint64_t left = size - i;
        uint32_t bits = (uint32_t)byte[i] << 16;
        if (left > 1) bits |= (uint32_t)byte[i + 1] << 8;
        if (left > 2) bits |= byte[i + 2];
        putc(digits[bits >> 18], out);
        putc(digits[bits >> 12 & 63], out);
        putc(left > 1 ? digits[bits >> 6 & 63] : '=', out);
        putc(left > 2 ? digits[bits & 63] : '=', out);
    }
}
