/* The known word nearest to a mistyped one: "unknown key widht (did you mean width?)". */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

/* Of words[0 .. count - 1] the one with the smallest edit distance (insert, delete, replace, swap of neighbours; case
 * ignored) to `word`, when it is near enough to be a plausible slip: at most a third of the word's length, rounded up.
 * Borrowed; NULL when none is near. NULL entries in words are passed over. */
const char *nearest_word(const char *word, const char *const *words, int count);

/* The edit distance itself; words longer than 63 characters are compared by their first 63. */
int nearest_distance(const char *a, const char *b);

#endif
