/* A set of texts, each with a number: films by id, studies by patient and study. Open addressing, texts owned. */
#ifndef DATA_STRING_INDEX_H
#define DATA_STRING_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct string_index string_index;

carina_status string_index_create(string_index **out, carina_error *error);
void string_index_free(string_index *index); /* accepts NULL */

/* Stores `number` under a copy of `text`, if nothing is there yet; *stored (may be NULL) is what the index now holds,
 * borrowed for the index's life. `added` (may be NULL) tells whether the text is new. */
carina_status string_index_add(string_index *index, const char *text, uint32_t number, const char **stored, bool *added,
                               carina_error *error);

/* The number of a text in the order of their coming: the one it has, or, for a new text, how many there were before it;
 * *stored (may be NULL) is set for a new text only. */
carina_status string_index_number(string_index *index, const char *text, uint32_t *number, const char **stored,
                                  carina_error *error);

/* False when the text is not there. */
bool string_index_find(const string_index *index, const char *text, uint32_t *number);
uint64_t string_index_count(const string_index *index);

#endif
