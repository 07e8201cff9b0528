/* Control characters made visible; see terminal_text.h. */
#include "cli/terminal_text.h"

#include <stdbool.h>

#include "base/utf8.h"

/* Whether it was one that is not written as it is; then what stands for it has been written. */
static bool write_control(FILE *out, const unsigned char *at, int length) {
    if (length == 0) {
        fprintf(out, "<%02X>", at[0]);
    } else if (length == 1 && (at[0] < 0x20 || at[0] == 0x7f) && at[0] != '\n' && at[0] != '\t') {
        fprintf(out, "^%c", at[0] ^ 0x40);
    } else if (length == 2 && at[0] == 0xc2 && at[1] < 0xa0) { /* U+0080 .. U+009F */
        fprintf(out, "<U+00%02X>", at[1]);
    } else {
        return false;
    }
    return true;
}

void terminal_text_write(FILE *out, const char *text, uint64_t size) {
    for (uint64_t at = 0; at < size;) {
        int length = utf8_character(text + at, size - at);
        if (!write_control(out, (const unsigned char *)text + at, length)) fwrite(text + at, 1, (size_t)length, out);
        at += length ? (uint64_t)length : 1;
    }
}
