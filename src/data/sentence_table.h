/* The distinct sentences of data sets: for each region, what films say of it, how many say it, and which was the first.
 * What a sentence database is built from (index/sentence_index.h).
 */
#ifndef DATA_SENTENCE_TABLE_H
#define DATA_SENTENCE_TABLE_H

#include "base/threads.h"
#include "data/dataset.h"

typedef struct sentence_row {
    int region;
    const char *text;
    uint64_t seen;     /* films that say it */
    const char *place; /* "SPLIT/FILM" of the first, in the order of the sets */
} sentence_row;

typedef struct sentence_table sentence_table;

carina_status sentence_table_create(sentence_table **out, carina_error *error);
void sentence_table_free(sentence_table *table); /* accepts NULL */

/* Reads the annotations of a whole set that was opened with sentences. `split` names the part in place. title: of a
 * progress line, NULL: silent. An interrupt is CARINA_ERROR_CANCELLED. The same table for any number of threads. */
carina_status sentence_table_read(sentence_table *table, const dataset *set, const char *split, thread_pool *pool,
                                  const char *title, carina_error *error);

/* In order of region, then of text (bytes). Valid until the table changes. */
carina_status sentence_table_sort(sentence_table *table, carina_error *error);
const sentence_row *sentence_table_rows(const sentence_table *table, uint64_t *count);
uint64_t sentence_table_films(const sentence_table *table);

#endif
