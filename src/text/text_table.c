/* A hash table over texts; see text_table.h. */
#include "text/text_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

void *list_add(list *l, size_t item_bytes) {
    if (l->count == l->room) {
        uint64_t room = l->room ? 2 * l->room : 16, bytes;
        void *items = size_multiply(room, item_bytes, &bytes) ? realloc(l->items, (size_t)bytes) : NULL;
        if (!items) return NULL;
        l->items = items;
        l->room = room;
    }
    return (uint8_t *)l->items + item_bytes * l->count++;
}

text_entry *text_table_at(const text_table *t, uint64_t index) { return (text_entry *)t->entries.items + index; }

uint64_t hash_bytes(const void *data, uint64_t size) {
    const uint8_t *bytes = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

/* The slot that holds the text, or the empty one where it would go. */
static uint64_t slot_of(const text_table *t, const char *text, uint64_t size) {
    uint64_t slot = hash_bytes(text, size) & (t->slot_count - 1);
    for (; t->slots[slot]; slot = (slot + 1) & (t->slot_count - 1)) {
        const char *held = text_table_at(t, t->slots[slot] - 1)->text;
        if (strncmp(held, text, (size_t)size) == 0 && held[size] == 0) break;
    }
    return slot;
}

static bool grow(text_table *t) {
    uint64_t count = t->slot_count ? 2 * t->slot_count : 1024;
    uint32_t *slots = calloc((size_t)count, sizeof *slots);
    if (!slots) return false;
    free(t->slots);
    t->slots = slots;
    t->slot_count = count;
    for (uint64_t i = 0; i < t->entries.count; i++) {
        const char *text = text_table_at(t, i)->text;
        slots[slot_of(t, text, strlen(text))] = (uint32_t)i + 1;
    }
    return true;
}

int64_t text_table_find(const text_table *t, const char *text, uint64_t size) {
    return t->slot_count ? (int64_t)t->slots[slot_of(t, text, size)] - 1 : -1;
}

int64_t text_table_add(text_table *t, const char *text, uint64_t size) {
    if (2 * t->entries.count >= t->slot_count && !grow(t)) return -1;
    uint64_t slot = slot_of(t, text, size);
    if (t->slots[slot]) return (int64_t)t->slots[slot] - 1;
    char *copy = strndup(text, (size_t)size);
    text_entry *e = copy ? list_add(&t->entries, sizeof *e) : NULL;
    if (!e) {
        free(copy);
        return -1;
    }
    *e = (text_entry){.text = copy};
    t->slots[slot] = (uint32_t)t->entries.count;
    return (int64_t)t->entries.count - 1;
}

static int by_text(const void *left, const void *right) {
    return strcmp(((const text_entry *)left)->text, ((const text_entry *)right)->text);
}

void text_table_sort(text_table *t) {
    if (t->entries.count) qsort(t->entries.items, (size_t)t->entries.count, sizeof(text_entry), by_text);
}

void text_table_free(text_table *t) {
    for (uint64_t i = 0; i < t->entries.count; i++) free(text_table_at(t, i)->text);
    free(t->entries.items);
    free(t->slots);
}
