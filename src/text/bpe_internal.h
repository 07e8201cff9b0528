/* What the files bpe*.c share: a tokenizer's tables.
 *
 * First come tokens, merges and settings, by bpe_put_token, bpe_put_merge and the file's parts; whoever brings them (a
 * tokenizer.json, a cache, the trainer) is believed nothing: every id is held against the others here. bpe_finish
 * derives the rest from them.
 */
#ifndef TEXT_BPE_INTERNAL_H
#define TEXT_BPE_INTERNAL_H

#include <stddef.h>

#include "text/bpe.h"
#include "text/bpe_settings.h"

enum {                   /* bpe_token_entry.flags; 0: no token has this id */
       BPE_IN_MODEL = 1, /* stands in model.vocab */
       BPE_ADDED = 2,
       BPE_SPECIAL = 4,
       BPE_LSTRIP = 8,
       BPE_RSTRIP = 16,
       BPE_SINGLE_WORD = 32,
       BPE_NORMALIZED = 64,
       BPE_FLAGS = 127,
};

typedef struct bpe_token_entry {
    uint32_t begin; /* in text */
    uint16_t size;
    uint8_t flags;
} bpe_token_entry;

typedef struct bpe_merge {
    int32_t left, right, result;
} bpe_merge;

#define BPE_NO_RANK UINT32_MAX

typedef struct bpe_merge_slot {
    int32_t left, right;
    uint32_t rank; /* BPE_NO_RANK: empty */
} bpe_merge_slot;

/* Added tokens in the order of their bytes, to find the longest that begins at a place. */
typedef struct bpe_matcher {
    int32_t *ids;
    bpe_pattern *texts; /* NULL: the tokens' own texts; else normalised ones */
    uint32_t count;
    uint32_t first[257]; /* those that begin with byte c: first[c] .. first[c + 1] */
} bpe_matcher;

#define BPE_CROSSING_BITS 20

struct bpe {
    char *name;
    bpe_token_entry *tokens; /* [count] by id */
    uint32_t count, room;
    char *text; /* of all tokens */
    uint64_t text_size, text_room;
    uint64_t *slots; /* hash table: upper half the hash, lower half id + 1; 0 empty */
    uint64_t slot_count, used_slots;
    bpe_merge *merges; /* [merge_count] by rank */
    uint32_t merge_count, merge_room;
    bpe_settings settings;

    /* derived */
    bpe_merge_slot *merge_slots;
    uint64_t merge_slot_count;
    uint64_t *crossing; /* a bit for every hash of two characters that some merge joins across */
    bool joins_unknown; /* a merge or fuse_unk may join across a character that is no token */
    int32_t ascii[128]; /* a character's token, -1: none */
    int32_t bytes[256]; /* <0x00> .. <0xFF>, -1: none */
    int32_t unk;        /* -1: none */
    uint32_t longest;   /* bytes of the longest token of the model */
    bpe_matcher raw, normalized;
};

carina_status bpe_make(bpe **out, const char *name, carina_error *error);
/* Room beforehand, when it is known how much comes. */
carina_status bpe_reserve(bpe *b, uint64_t tokens, uint64_t text_bytes, uint64_t merges, carina_error *error);
/* An id that is taken, a text that another id has and sizes beyond the limits are errors, without the file's name. */
carina_status bpe_put_token(bpe *b, int64_t id, const char *text, uint64_t size, unsigned flags, carina_error *error);
carina_status bpe_put_merge(bpe *b, int32_t left, int32_t right, int32_t result, carina_error *error);
carina_status bpe_finish(bpe *b, carina_error *error);
/* Again after tokens were added. */
carina_status bpe_build_matchers(bpe *b, carina_error *error);

static inline const char *bpe_text_of(const bpe *b, int32_t id) { return b->text + b->tokens[id].begin; }

/* The merge of two neighbours, BPE_NO_RANK when there is none. */
static inline uint32_t bpe_rank_of(const bpe *b, int32_t left, int32_t right) {
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    for (uint64_t slot = (hash ^ hash >> 32) & (b->merge_slot_count - 1);;
         slot = (slot + 1) & (b->merge_slot_count - 1)) {
        const bpe_merge_slot *s = &b->merge_slots[slot];
        if (s->rank == BPE_NO_RANK || (s->left == left && s->right == right)) return s->rank;
    }
}

/* The bit of two characters. */
static inline uint32_t bpe_crossing_bit(uint32_t left, uint32_t right) {
    uint32_t hash = left * 0x9e3779b1u ^ (right + 0x7f4a7c15u) * 0x85ebca6bu;
    return hash >> (32 - BPE_CROSSING_BITS);
}
static inline bool bpe_may_cross(const bpe *b, uint32_t left, uint32_t right) {
    uint32_t bit = bpe_crossing_bit(left, right);
    return b->crossing[bit / 64] >> bit % 64 & 1;
}

/* A character of well-formed UTF-8; returns its bytes. */
static inline int bpe_character(const char *text, uint32_t *code) {
    const uint8_t *s = (const uint8_t *)text;
    if (s[0] < 0x80) return *code = s[0], 1;
    if (s[0] < 0xe0) return *code = (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f), 2;
    if (s[0] < 0xf0) return *code = (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f), 3;
    *code = (uint32_t)(s[0] & 7) << 18 | (uint32_t)(s[1] & 0x3f) << 12 | (uint32_t)(s[2] & 0x3f) << 6 | (s[3] & 0x3f);
    return 4;
}

/* Room for `wanted` items in *items, *room of them so far; doubles. */
carina_status bpe_grow(void *items, uint64_t *room, uint64_t wanted, size_t item_bytes, carina_error *error);

/* Every pattern of the rule in text replaced, into *out, which grows (*room). */
carina_status bpe_apply(const bpe_rule *rule, const char *text, uint64_t size, char **out, uint64_t *out_size,
                        uint64_t *room, carina_error *error);

/* ---- text/bpe_match.c ---- */

typedef struct bpe_match {
    int32_t id;         /* -1: none is left */
    uint64_t text_end;  /* where the text before it ends: where it begins, or earlier where it takes blanks */
    uint64_t end;       /* where the text behind it begins: where it ends, or later where it takes blanks */
    uint64_t search_at; /* where it ends; the next one may begin among the blanks that it takes, as in the reference */
} bpe_match;

/* The next added token behind `before`, the match before it ({0}: from the text's beginning). */
bpe_match bpe_match_next(const bpe *b, const bpe_matcher *m, const char *text, uint64_t size, const bpe_match *before);

/* ---- text/bpe_merge.c ---- */

typedef struct bpe_merger bpe_merger;

/* Ids of one text after another. */
typedef struct bpe_ids {
    int32_t *items;
    uint64_t count, room;
} bpe_ids;

carina_status bpe_merger_create(bpe_merger **out, const bpe *b, carina_error *error);
void bpe_merger_free(bpe_merger *m); /* accepts NULL */
/* The ids of one piece of well-formed, normalised text, behind those that are there. */
carina_status bpe_merge_piece(bpe_merger *m, const char *text, uint64_t size, bpe_ids *out, carina_error *error);

#endif
