/* What the benchmark programs share: key=value words, and the order of times. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <string.h>

/* The value of the word "key=value", or `otherwise`. */
static inline const char *option(int count, char **arguments, const char *key, const char *otherwise) {
    size_t length = strlen(key);
    for (int i = 1; i < count; i++)
        if (strncmp(arguments[i], key, length) == 0 && arguments[i][length] == '=') return arguments[i] + length + 1;
    return otherwise;
}

/* For qsort. */
static inline int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#endif
