/* Texts to numbers; see string_index.h. */
#include "data/string_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

typedef struct slot {
    char *text; /* NULL: free */
    uint64_t hash;
    uint32_t number;
} slot;

struct string_index {
    slot *slots;
    uint64_t capacity; /* a power of two */
    uint64_t count;
};

#define FIRST_CAPACITY 1024

static uint64_t hash_text(const char *text) {
    uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */
    for (const char *c = text; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3ULL;
    return hash ^ (hash >> 29);
}

carina_status string_index_create(string_index **out, carina_error *error) {
    *out = NULL;
    string_index *index = calloc(1, sizeof *index);
    if (!index) return error_memory(error, "index of names", sizeof *index);
    index->slots = calloc(FIRST_CAPACITY, sizeof *index->slots);
    if (!index->slots) {
        free(index);
        return error_memory(error, "index of names", FIRST_CAPACITY * sizeof(slot));
    }
    index->capacity = FIRST_CAPACITY;
    *out = index;
    return CARINA_OK;
}

void string_index_free(string_index *index) {
    if (!index) return;
    for (uint64_t i = 0; i < index->capacity; i++) free(index->slots[i].text);
    free(index->slots);
    free(index);
}

static slot *locate(slot *slots, uint64_t capacity, const char *text, uint64_t hash) {
    uint64_t i = hash & (capacity - 1);
    while (slots[i].text && (slots[i].hash != hash || strcmp(slots[i].text, text) != 0)) i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static carina_status grow(string_index *index, carina_error *error) {
    uint64_t capacity = index->capacity * 2;
    uint64_t bytes;
    if (!size_multiply(capacity, sizeof(slot), &bytes)) return error_memory(error, "index of names", UINT64_MAX);
    slot *slots = calloc((size_t)capacity, sizeof *slots);
    if (!slots) return error_memory(error, "index of names", bytes);
    for (uint64_t i = 0; i < index->capacity; i++) {
        const slot *old = &index->slots[i];
        if (old->text) *locate(slots, capacity, old->text, old->hash) = *old;
    }
    free(index->slots);
    index->slots = slots;
    index->capacity = capacity;
    return CARINA_OK;
}

carina_status string_index_add(string_index *index, const char *text, uint32_t number, const char **stored, bool *added,
                               carina_error *error) {
    if ((index->count + 1) * 2 > index->capacity) TRY(grow(index, error));
    uint64_t hash = hash_text(text);
    slot *place = locate(index->slots, index->capacity, text, hash);
    bool fresh = !place->text;
    if (fresh) {
        char *copy = strdup(text);
        if (!copy) return error_memory(error, "index of names", strlen(text) + 1);
        *place = (slot){copy, hash, number};
        index->count++;
    }
    if (stored) *stored = place->text;
    if (added) *added = fresh;
    return CARINA_OK;
}

bool string_index_find(const string_index *index, const char *text, uint32_t *number) {
    const slot *place = locate(index->slots, index->capacity, text, hash_text(text));
    if (!place->text) return false;
    if (number) *number = place->number;
    return true;
}

carina_status string_index_number(string_index *index, const char *text, uint32_t *number, const char **stored,
                                  carina_error *error) {
    *number = (uint32_t)index->count;
    if (string_index_find(index, text, number)) return CARINA_OK;
    return string_index_add(index, text, *number, stored, NULL, error);
}

uint64_t string_index_count(const string_index *index) { return index->count; }
