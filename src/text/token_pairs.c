/* Pairs of tokens in a hash table; see token_pairs.h. */
#include "text/token_pairs.h"

#include <stdlib.h>

token_pair *token_pairs_at(const token_pairs *t, uint64_t index) { return (token_pair *)t->all.items + index; }

void token_pairs_free(token_pairs *t) {
    for (uint64_t i = 0; i < t->all.count; i++) free(token_pairs_at(t, i)->words.items);
    free(t->all.items);
    free(t->slots);
    *t = (token_pairs){0};
}

static uint64_t slot_of(const token_pairs *t, int32_t left, int32_t right) {
    int32_t key[2] = {left, right};
    uint64_t slot = hash_bytes(key, sizeof key) & (t->slot_count - 1);
    for (; t->slots[slot]; slot = (slot + 1) & (t->slot_count - 1)) {
        const token_pair *p = token_pairs_at(t, t->slots[slot] - 1);
        if (p->left == left && p->right == right) break;
    }
    return slot;
}

static bool grow(token_pairs *t) {
    uint64_t count = t->slot_count ? 2 * t->slot_count : 1024;
    uint32_t *slots = calloc((size_t)count, sizeof *slots);
    if (!slots) return false;
    free(t->slots);
    t->slots = slots;
    t->slot_count = count;
    for (uint64_t i = 0; i < t->all.count; i++)
        slots[slot_of(t, token_pairs_at(t, i)->left, token_pairs_at(t, i)->right)] = (uint32_t)i + 1;
    return true;
}

token_pair *token_pairs_of(token_pairs *t, int32_t left, int32_t right) {
    if (2 * t->all.count >= t->slot_count && !grow(t)) return NULL;
    uint64_t slot = slot_of(t, left, right);
    if (t->slots[slot]) return token_pairs_at(t, t->slots[slot] - 1);
    token_pair *p = list_add(&t->all, sizeof *p);
    if (!p) return NULL;
    *p = (token_pair){.left = left, .right = right};
    t->slots[slot] = (uint32_t)t->all.count;
    return p;
}
