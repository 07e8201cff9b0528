/* Locale-free numbers; see number.h. */
#include "base/number.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* glibc's "C" locale is a constant of the library: this takes no memory and cannot fail. */
static locale_t c_locale(void) { return newlocale(LC_ALL_MASK, "C", (locale_t)0); }

bool number_parse(const char *text, double *out) {
    if (text[0] == 0 || strspn(text, "0123456789+-.eE") != strlen(text)) return false;
    char *end;
    errno = 0;
    double value = strtod_l(text, &end, c_locale());
    if (end == text || *end != 0 || !isfinite(value)) return false;
    *out = value;
    return true;
}

bool number_parse_integer(const char *text, int64_t *out) {
    if (text[0] == 0 || strspn(text, "0123456789+-") != strlen(text)) return false;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != 0 || errno == ERANGE) return false;
    *out = value;
    return true;
}

static int format_shortest(char out[NUMBER_TEXT], double value, int low, int high, bool as_float) {
    if (isnan(value)) return snprintf(out, NUMBER_TEXT, "nan");
    if (isinf(value)) return snprintf(out, NUMBER_TEXT, value < 0 ? "-inf" : "inf");
    locale_t before = uselocale(c_locale()); /* of this thread only */
    int length = 0;
    for (int digits = low; digits <= high; digits++) {
        length = snprintf(out, NUMBER_TEXT, "%.*g", digits, value);
        double back = strtod(out, NULL);
        if (as_float ? strtof(out, NULL) == (float)value : back == value) break;
    }
    uselocale(before);
    return length;
}

int number_format(char out[NUMBER_TEXT], double value) { return format_shortest(out, value, 15, 17, false); }
int number_format_f32(char out[NUMBER_TEXT], float value) { return format_shortest(out, (double)value, 6, 9, true); }
