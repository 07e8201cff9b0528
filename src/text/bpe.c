/* A tokenizer's tables: tokens by id and by text, merges by their two sides; see bpe_internal.h. */
#include "text/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/utf8.h"
#include "text/bpe_internal.h"

carina_status bpe_grow(void *items, uint64_t *room, uint64_t wanted, size_t item_bytes, carina_error *error) {
    void **memory = items;
    if (wanted <= *room) return CARINA_OK;
    uint64_t count = wanted > 2 * *room ? wanted : 2 * *room, bytes;
    if (count < 64) count = 64;
    void *grown = size_multiply(count, item_bytes, &bytes) ? realloc(*memory, (size_t)bytes) : NULL;
    if (!grown) return error_memory(error, "a tokenizer", count * item_bytes);
    *memory = grown;
    *room = count;
    return CARINA_OK;
}

carina_status bpe_make(bpe **out, const char *name, carina_error *error) {
    bpe *b = calloc(1, sizeof *b);
    *out = b;
    if (!b || !(b->name = strdup(name))) {
        bpe_free(b);
        *out = NULL;
        return error_memory(error, name, sizeof *b);
    }
    return CARINA_OK;
}

static void matcher_free(bpe_matcher *m) {
    free(m->ids);
    free(m->texts);
    *m = (bpe_matcher){0};
}

void bpe_free(bpe *b) {
    if (!b) return;
    bpe_settings_free(&b->settings);
    matcher_free(&b->raw);
    matcher_free(&b->normalized);
    free(b->name);
    free(b->tokens);
    free(b->text);
    free(b->slots);
    free(b->merges);
    free(b->merge_slots);
    free(b->crossing);
    free(b);
}

/* ---- tokens by text ---- */

/* Eight bytes at a time. */
static uint32_t hash_of(const char *text, uint64_t size) {
    uint64_t hash = size * 0x9e3779b97f4a7c15u, piece;
    for (; size >= 8; text += 8, size -= 8) {
        memcpy(&piece, text, 8);
        hash = (hash ^ piece) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    piece = 0;
    if (size) memcpy(&piece, text, (size_t)size);
    hash = (hash ^ piece) * 0xff51afd7ed558ccdu;
    return (uint32_t)(hash >> 32 ^ hash);
}

/* The slot that holds the text, or the empty one where it would go. */
static uint64_t slot_of(const bpe *b, const char *text, uint64_t size, uint32_t hash) {
    uint64_t slot = hash & (b->slot_count - 1);
    for (; b->slots[slot]; slot = (slot + 1) & (b->slot_count - 1)) {
        if (b->slots[slot] >> 32 != hash) continue;
        const bpe_token_entry *t = &b->tokens[(uint32_t)b->slots[slot] - 1];
        if (t->size == size && memcmp(b->text + t->begin, text, (size_t)size) == 0) break;
    }
    return slot;
}

static carina_status resize_slots(bpe *b, uint64_t count, carina_error *error) {
    uint64_t *slots = calloc((size_t)count, sizeof *slots);
    if (!slots) return error_memory(error, b->name, count * sizeof *slots);
    for (uint64_t i = 0; i < b->slot_count; i++) {
        if (!b->slots[i]) continue;
        uint64_t slot = b->slots[i] >> 32 & (count - 1);
        while (slots[slot]) slot = (slot + 1) & (count - 1);
        slots[slot] = b->slots[i];
    }
    free(b->slots);
    b->slots = slots;
    b->slot_count = count;
    return CARINA_OK;
}

int bpe_find(const bpe *b, const char *text, uint64_t size) {
    if (size > BPE_MAX_TOKEN || b->slot_count == 0) return -1;
    return (int)(uint32_t)b->slots[slot_of(b, text, size, hash_of(text, size))] - 1;
}

int bpe_count(const bpe *b) { return (int)b->count; }

const char *bpe_token(const bpe *b, int id, uint64_t *size) {
    if (id < 0 || (uint32_t)id >= b->count || !b->tokens[id].flags) return NULL;
    *size = b->tokens[id].size;
    return bpe_text_of(b, id);
}

bool bpe_is_special(const bpe *b, int id) {
    return id >= 0 && (uint32_t)id < b->count && (b->tokens[id].flags & BPE_SPECIAL);
}

carina_status bpe_reserve(bpe *b, uint64_t tokens, uint64_t text_bytes, uint64_t merges, carina_error *error) {
    uint64_t room = b->room, merge_room = b->merge_room, slots = 64;
    TRY(bpe_grow(&b->tokens, &room, tokens, sizeof *b->tokens, error));
    b->room = (uint32_t)room;
    TRY(bpe_grow(&b->merges, &merge_room, merges, sizeof *b->merges, error));
    b->merge_room = (uint32_t)merge_room;
    TRY(bpe_grow(&b->text, &b->text_room, text_bytes, 1, error));
    while (3 * slots <= 4 * tokens) slots *= 2;
    return slots > b->slot_count ? resize_slots(b, slots, error) : CARINA_OK;
}

static carina_status reserve_token(bpe *b, int64_t id, uint64_t size, carina_error *error) {
    uint64_t room = b->room;
    TRY(bpe_grow(&b->tokens, &room, (uint64_t)id + 1, sizeof *b->tokens, error));
    b->room = (uint32_t)room;
    TRY(bpe_grow(&b->text, &b->text_room, b->text_size + size + 1, 1, error));
    if (4 * b->used_slots >= 3 * b->slot_count) TRY(resize_slots(b, b->slot_count ? 2 * b->slot_count : 64, error));
    for (; b->count <= (uint64_t)id; b->count++) b->tokens[b->count] = (bpe_token_entry){0};
    return CARINA_OK;
}

carina_status bpe_put_token(bpe *b, int64_t id, const char *text, uint64_t size, unsigned flags, carina_error *error) {
    int shown = size < 60 ? (int)size : 60;
    if (id < 0 || id >= BPE_MAX_TOKENS)
        return error_set(error, CARINA_ERROR_LIMIT, "\"%.*s\" has id %lld, at most %d tokens are accepted", shown, text,
                         (long long)id, BPE_MAX_TOKENS);
    if (size > BPE_MAX_TOKEN || b->text_size > BPE_MAX_FILE)
        return error_set(error, CARINA_ERROR_LIMIT, "\"%.*s\" has %llu bytes, at most %d are accepted", shown, text,
                         (unsigned long long)size, BPE_MAX_TOKEN);
    if (!utf8_valid(text, size)) return error_set(error, CARINA_ERROR_FORMAT, "token %lld is not UTF-8", (long long)id);
    TRY(reserve_token(b, id, size, error));
    bpe_token_entry *t = &b->tokens[id];
    if (t->flags)
        return error_set(error, CARINA_ERROR_FORMAT, "\"%.*s\" has id %lld, as \"%.*s\" has", shown, text,
                         (long long)id, t->size < 60 ? t->size : 60, b->text + t->begin);
    uint32_t hash = hash_of(text, size);
    uint64_t slot = slot_of(b, text, size, hash);
    if (b->slots[slot])
        return error_set(error, CARINA_ERROR_FORMAT, "\"%.*s\" has two ids, %u and %lld", shown, text,
                         (uint32_t)b->slots[slot] - 1, (long long)id);
    b->slots[slot] = (uint64_t)hash << 32 | (uint64_t)(id + 1);
    b->used_slots++;
    *t = (bpe_token_entry){(uint32_t)b->text_size, (uint16_t)size, (uint8_t)flags};
    if (size) memcpy(b->text + b->text_size, text, (size_t)size);
    b->text_size += size;
    return CARINA_OK;
}

/* ---- merges ---- */

/* Whether the result is the two sides' text, all three tokens of the model. */
static bool merge_is_sound(const bpe *b, const bpe_merge *m) {
    const int32_t ids[] = {m->left, m->right, m->result};
    for (int i = 0; i < 3; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= b->count || !(b->tokens[ids[i]].flags & BPE_IN_MODEL)) return false;
    uint16_t left = b->tokens[m->left].size, right = b->tokens[m->right].size;
    return left && right && b->tokens[m->result].size == left + right &&
           memcmp(bpe_text_of(b, m->result), bpe_text_of(b, m->left), left) == 0 &&
           memcmp(bpe_text_of(b, m->result) + left, bpe_text_of(b, m->right), right) == 0;
}

carina_status bpe_put_merge(bpe *b, int32_t left, int32_t right, int32_t result, carina_error *error) {
    bpe_merge merge = {left, right, result};
    if (!merge_is_sound(b, &merge))
        return error_set(error, CARINA_ERROR_FORMAT, "%d and %d do not make token %d", left, right, result);
    if (b->merge_count == BPE_MAX_MERGES)
        return error_set(error, CARINA_ERROR_LIMIT, "more than %d merges", BPE_MAX_MERGES);
    uint64_t room = b->merge_room;
    TRY(bpe_grow(&b->merges, &room, (uint64_t)b->merge_count + 1, sizeof *b->merges, error));
    b->merge_room = (uint32_t)room;
    b->merges[b->merge_count++] = merge;
    return CARINA_OK;
}

static uint32_t last_character(const char *text, uint64_t size) {
    uint32_t code;
    uint64_t at = size - 1;
    while (at > 0 && (text[at] & 0xc0) == 0x80) at--;
    bpe_character(text + at, &code);
    return code;
}

/* A pair that is given twice counts where it stands last, as in the reference. */
static carina_status build_merges(bpe *b, carina_error *error) {
    enum { WORDS = (1 << BPE_CROSSING_BITS) / 64 };
    b->merge_slot_count = 64;
    while (b->merge_slot_count < b->merge_count + b->merge_count / 2 + 1) b->merge_slot_count *= 2;
    b->merge_slots = malloc((size_t)b->merge_slot_count * sizeof *b->merge_slots);
    b->crossing = calloc(WORDS, sizeof *b->crossing);
    if (!b->merge_slots || !b->crossing) return error_memory(error, b->name, b->merge_slot_count * 12);
    memset(b->merge_slots, 0xff, (size_t)b->merge_slot_count * sizeof *b->merge_slots); /* rank BPE_NO_RANK */
    for (uint32_t rank = 0; rank < b->merge_count; rank++) {
        const bpe_merge *m = &b->merges[rank];
        uint64_t hash = ((uint64_t)(uint32_t)m->left << 32 | (uint32_t)m->right) * 0x9e3779b97f4a7c15u;
        uint64_t slot = (hash ^ hash >> 32) & (b->merge_slot_count - 1);
        for (; b->merge_slots[slot].rank != BPE_NO_RANK; slot = (slot + 1) & (b->merge_slot_count - 1))
            if (b->merge_slots[slot].left == m->left && b->merge_slots[slot].right == m->right) break;
        b->merge_slots[slot] = (bpe_merge_slot){m->left, m->right, rank};
        uint32_t first;
        bpe_character(bpe_text_of(b, m->right), &first);
        uint32_t bit = bpe_crossing_bit(last_character(bpe_text_of(b, m->left), b->tokens[m->left].size), first);
        b->crossing[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    return CARINA_OK;
}

/* ---- the rest ---- */

static void find_characters(bpe *b) {
    for (int c = 0; c < 128; c++) {
        char text = (char)c;
        b->ascii[c] = bpe_find(b, &text, 1);
        if (b->ascii[c] >= 0 && !(b->tokens[b->ascii[c]].flags & BPE_IN_MODEL)) b->ascii[c] = -1;
    }
    for (int c = 0; c < 256; c++) {
        char text[8];
        int size = snprintf(text, sizeof text, "<0x%02X>", c);
        b->bytes[c] = bpe_find(b, text, (uint64_t)size);
        if (b->bytes[c] >= 0 && !(b->tokens[b->bytes[c]].flags & BPE_IN_MODEL)) b->bytes[c] = -1;
    }
    for (uint32_t i = 0; i < b->count; i++)
        if ((b->tokens[i].flags & BPE_IN_MODEL) && b->tokens[i].size > b->longest) b->longest = b->tokens[i].size;
}

/* Whether text may be cut beside a character that is no token, although cuts look at characters alone. */
static carina_status find_joins_of_unknown(bpe *b, carina_error *error) {
    uint8_t *stands_for_others = calloc(b->count ? b->count : 1, 1);
    if (!stands_for_others) return error_memory(error, b->name, b->count);
    bool all_bytes = b->settings.byte_fallback;
    for (int c = 0; c < 256; c++) {
        all_bytes &= b->bytes[c] >= 0;
        if (b->settings.byte_fallback && b->bytes[c] >= 0) stands_for_others[b->bytes[c]] = 1;
    }
    if (b->unk >= 0) stands_for_others[b->unk] = 1;
    b->joins_unknown = !all_bytes; /* without an unknown token they vanish, and their neighbours meet */
    for (uint32_t i = 0; i < b->merge_count; i++)
        b->joins_unknown |= stands_for_others[b->merges[i].left] || stands_for_others[b->merges[i].right];
    free(stands_for_others);
    return CARINA_OK;
}

static carina_status check_specials(const bpe *b, const int32_t *ids, int count, carina_error *error) {
    for (int i = 0; i < count; i++)
        if ((uint32_t)ids[i] >= b->count || !b->tokens[ids[i]].flags)
            return error_set(error, CARINA_ERROR_FORMAT, "%s: post_processor.special_tokens: no token has id %d",
                             b->name, ids[i]);
    return CARINA_OK;
}

carina_status bpe_finish(bpe *b, carina_error *error) {
    bpe_settings *s = &b->settings;
    TRY(bpe_settings_parse(s, b->name, error));
    TRY(check_specials(b, s->before, s->before_count, error));
    TRY(check_specials(b, s->after, s->after_count, error));
    b->unk = s->unk_token ? bpe_find(b, s->unk_token, strlen(s->unk_token)) : -1;
    if (s->unk_token && (b->unk < 0 || !(b->tokens[b->unk].flags & BPE_IN_MODEL)))
        return error_set(error, CARINA_ERROR_FORMAT, "%s: model.unk_token: \"%.60s\" is not in model.vocab", b->name,
                         s->unk_token);
    find_characters(b);
    TRY(build_merges(b, error));
    TRY(find_joins_of_unknown(b, error));
    return bpe_build_matchers(b, error);
}

static carina_status add_one(bpe *b, const char *text, unsigned flags, int32_t *id, carina_error *error) {
    uint64_t size = strlen(text);
    if (size == 0) return error_set(error, CARINA_ERROR_ARGUMENT, "%s: a token without text cannot be added", b->name);
    int32_t found = bpe_find(b, text, size);
    if (found < 0) {
        found = (int32_t)b->count;
        carina_status status = bpe_put_token(b, found, text, size, flags, error);
        if (status != CARINA_OK) return error_prefix(error, "%s", b->name), status;
    }
    b->tokens[found].flags |= (uint8_t)flags;
    if (id) *id = found;
    return CARINA_OK;
}

carina_status bpe_add(bpe *b, const char *const *texts, int count, bool special, int32_t *ids, carina_error *error) {
    carina_status status = CARINA_OK;
    for (int i = 0; status == CARINA_OK && i < count; i++)
        status = add_one(b, texts[i], BPE_ADDED | (special ? BPE_SPECIAL : 0u), ids ? ids + i : NULL, error);
    carina_status built = bpe_build_matchers(b, error); /* those before a refused one have been added */
    return status != CARINA_OK ? status : built;
}
