/* Edit distance (optimal string alignment) for near-miss suggestions; see nearest.h. */
#include "base/nearest.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define LONGEST 63

static int lower(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c; }

static int smaller(int a, int b) { return a < b ? a : b; }

int nearest_distance(const char *a, const char *b) {
    int rows = (int)strnlen(a, LONGEST), columns = (int)strnlen(b, LONGEST);
    int table[LONGEST + 1][LONGEST + 1];
    for (int i = 0; i <= rows; i++) table[i][0] = i;
    for (int j = 0; j <= columns; j++) table[0][j] = j;
    for (int i = 1; i <= rows; i++) {
        for (int j = 1; j <= columns; j++) {
            int replace = lower(a[i - 1]) != lower(b[j - 1]);
            int best = smaller(smaller(table[i - 1][j] + 1, table[i][j - 1] + 1), table[i - 1][j - 1] + replace);
            const bool swapped =
                i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped) best = smaller(best, table[i - 2][j - 2] + 1);
            table[i][j] = best;
        }
    }
    return table[rows][columns];
}

const char *nearest_word(const char *word, const char *const *words, int count) {
    int limit = ((int)strnlen(word, LONGEST) + 2) / 3, best = limit + 1;
    const char *found = NULL;
    for (int i = 0; i < count; i++) {
        if (!words[i]) continue;
        int distance = nearest_distance(word, words[i]);
        if (distance < best) {
            best = distance;
            found = words[i];
        }
    }
    return found;
}
