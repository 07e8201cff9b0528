/* What a terminal is given of a model's text: no control characters but line breaks and tabs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/terminal_text.h"

static void show(const char *text, size_t size, const char *wanted) {
    char *shown;
    size_t shown_size;
    FILE *out = open_memstream(&shown, &shown_size);
    assert_non_null(out);
    terminal_text_write(out, text, size);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(shown, wanted);
    assert_int_equal(shown_size, strlen(wanted));
    free(shown);
}

#define SHOW(text, wanted) show(text, sizeof(text) - 1, wanted)

static void text_stays(void **state) {
    (void)state;
    SHOW("", "");
    SHOW("The heart\tis\nlarge. ~^", "The heart\tis\nlarge. ~^");
    SHOW("\u00a0\u00e4\u2192\U0001fac0", "\u00a0\u00e4\u2192\U0001fac0");
}

static void controls_are_shown(void **state) {
    (void)state;
    SHOW("a\033[31mb\ac\rd\177", "a^[[31mb^Gc^Md^?");
    SHOW("\0\001\037", "^@^A^_");
    SHOW(
        "\xc2\x80\xc2\x9b"
        "31m\xc2\x9f",
        "<U+0080><U+009B>31m<U+009F>");
    SHOW(
        "a\x9b"
        "31m\xff\xc2",
        "a<9B>31m<FF><C2>");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_stays), cmocka_unit_test(controls_are_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
