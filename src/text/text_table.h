/* Texts by number, with how often each was met: what the makers of vocabularies count words and tokens in. */
#ifndef TEXT_TEXT_TABLE_H
#define TEXT_TEXT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An array that grows; all zero is an empty one. */
typedef struct list {
    void *items; /* owned */
    uint64_t count, room;
} list;

void *list_add(list *l, size_t item_bytes); /* room for one more at the end; NULL when out of memory */

typedef struct text_entry {
    char *text; /* owned, NUL-terminated */
    int64_t count;
} text_entry;

/* All zero is an empty one. */
typedef struct text_table {
    list entries;    /* of text_entry */
    uint32_t *slots; /* hash table: index + 1; 0 empty */
    uint64_t slot_count;
} text_table;

text_entry *text_table_at(const text_table *t, uint64_t index);
/* Its number, new (then with count 0) or known; -1 when out of memory. No NUL inside. */
int64_t text_table_add(text_table *t, const char *text, uint64_t size);
int64_t text_table_find(const text_table *t, const char *text, uint64_t size); /* -1: not there */
/* By their bytes; numbers change, and text_table_find works no more. */
void text_table_sort(text_table *t);
void text_table_free(text_table *t);

uint64_t hash_bytes(const void *data, uint64_t size);

#endif
