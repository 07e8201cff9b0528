/* Byte pair encoding of one piece of text: the pair whose merge has the lowest rank is joined, the leftmost of equals,
 * until no neighbours have a merge (Sennrich et al. 2016; https://arxiv.org/abs/1508.07909).
 *
 * A Gemma text is one single piece, since its blanks have become letters, and may be megabytes long. So a piece is
 * first cut where no merge can join: between two characters such that no merge has the one at the end of its left and
 * the other at the beginning of its right side. What happens on one side of such a place changes nothing on the other;
 * the ids are those of the whole piece. Most cuts come out as words, and the short ones are remembered.
 *
 * Between cuts the candidates lie in a heap: n log n, whatever comes. Symbols and heap of n characters take 32 n bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "text/bpe_internal.h"

#define NONE UINT32_MAX

typedef struct symbol {
    int32_t id;
    uint32_t previous, next; /* NONE at the ends */
    uint32_t rank;           /* of the merge with the next one, BPE_NO_RANK: there is none, or it was joined itself */
} symbol;

/* A word and its ids. */
#define WORD_BYTES 30
#define WORD_IDS   8
#define WORD_SLOTS (1 << 14)
typedef struct known_word {
    uint8_t size, count; /* size 0: empty */
    char text[WORD_BYTES];
    int32_t ids[WORD_IDS];
} known_word;

struct bpe_merger {
    const bpe *tokenizer;
    symbol *symbols;
    uint64_t symbol_count, symbol_room;
    uint64_t *heap; /* rank << 32 | index of the left symbol, the least on top */
    uint64_t heap_count, heap_room;
    known_word *words; /* [WORD_SLOTS] by hash, the latest stays */
};

carina_status bpe_merger_create(bpe_merger **out, const bpe *b, carina_error *error) {
    bpe_merger *m = calloc(1, sizeof *m);
    *out = m;
    if (m) m->words = calloc(WORD_SLOTS, sizeof *m->words);
    if (!m || !m->words) {
        bpe_merger_free(m);
        *out = NULL;
        return error_memory(error, "a tokenizer", WORD_SLOTS * sizeof(known_word));
    }
    m->tokenizer = b;
    return CARINA_OK;
}

void bpe_merger_free(bpe_merger *m) {
    if (!m) return;
    free(m->symbols);
    free(m->heap);
    free(m->words);
    free(m);
}

/* ---- the heap ---- */

static void sink(uint64_t *heap, uint64_t count, uint64_t at) {
    uint64_t item = heap[at];
    for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1] < heap[child];
        if (item <= heap[child]) break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static uint64_t pop(bpe_merger *m) {
    uint64_t top = m->heap[0];
    m->heap[0] = m->heap[--m->heap_count];
    if (m->heap_count) sink(m->heap, m->heap_count, 0);
    return top;
}

/* There is room: each join takes one away and brings two at most. */
static void push(bpe_merger *m, uint64_t item) {
    uint64_t at = m->heap_count++;
    for (; at > 0 && item < m->heap[(at - 1) / 2]; at = (at - 1) / 2) m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = item;
}

/* ---- symbols ---- */

static carina_status add_symbol(bpe_merger *m, int32_t id, carina_error *error) {
    if (m->symbol_count == m->symbol_room)
        TRY(bpe_grow(&m->symbols, &m->symbol_room, m->symbol_count + 1, sizeof *m->symbols, error));
    uint32_t at = (uint32_t)m->symbol_count++;
    m->symbols[at] = (symbol){.id = id, .previous = at - 1, .next = at + 1, .rank = BPE_NO_RANK};
    return CARINA_OK;
}

static int32_t character_id(const bpe *b, const char *text, int size) {
    if (size == 1) return b->ascii[(uint8_t)text[0]];
    int32_t id = bpe_find(b, text, (uint64_t)size);
    return id >= 0 && (b->tokens[id].flags & BPE_IN_MODEL) ? id : -1;
}

static bool has_bytes(const bpe *b, const char *text, int size) {
    bool all = b->settings.byte_fallback;
    for (int i = 0; all && i < size; i++) all = b->bytes[(uint8_t)text[i]] >= 0;
    return all;
}

/* The text as characters; those that are no token as their bytes, or else as the unknown token (of which fuse_unk makes
 * one of many), or not at all. */
static carina_status spell(bpe_merger *m, const char *text, uint64_t size, carina_error *error) {
    const bpe *b = m->tokenizer;
    bool unknown = false; /* one waits */
    m->symbol_count = 0;
    for (uint64_t at = 0; at < size;) {
        uint32_t code;
        int length = bpe_character(text + at, &code);
        int32_t id = character_id(b, text + at, length);
        if (id >= 0) {
            if (unknown) TRY(add_symbol(m, b->unk, error));
            unknown = false;
            TRY(add_symbol(m, id, error));
        } else if (has_bytes(b, text + at, length)) { /* goes before an unknown one that waits, as in the reference */
            for (int i = 0; i < length; i++) TRY(add_symbol(m, b->bytes[(uint8_t)text[at + (uint64_t)i]], error));
        } else if (b->unk >= 0) {
            if (unknown && !b->settings.fuse_unk) TRY(add_symbol(m, b->unk, error));
            unknown = true;
        }
        at += (uint64_t)length;
    }
    return unknown ? add_symbol(m, b->unk, error) : CARINA_OK;
}

/* Looks up the merge of a symbol with its next one. */
static uint32_t look(bpe_merger *m, uint32_t at) {
    symbol *s = &m->symbols[at];
    s->rank = s->next == NONE ? BPE_NO_RANK : bpe_rank_of(m->tokenizer, s->id, m->symbols[s->next].id);
    return s->rank;
}

static void join(bpe_merger *m, uint32_t left) {
    symbol *s = &m->symbols[left], *right = &m->symbols[s->next];
    s->id = m->tokenizer->merges[s->rank].result;
    right->rank = BPE_NO_RANK; /* its candidates are void */
    s->next = right->next;
    if (s->next != NONE) m->symbols[s->next].previous = left;
    if (look(m, left) != BPE_NO_RANK) push(m, (uint64_t)s->rank << 32 | left);
    if (s->previous != NONE && look(m, s->previous) != BPE_NO_RANK)
        push(m, (uint64_t)m->symbols[s->previous].rank << 32 | s->previous);
}

static carina_status join_all(bpe_merger *m, carina_error *error) {
    uint64_t count = m->symbol_count;
    if (count == 0) return CARINA_OK;
    TRY(bpe_grow(&m->heap, &m->heap_room, 2 * count, sizeof *m->heap, error));
    m->symbols[count - 1].next = NONE; /* the first one's previous is NONE by wrapping */
    m->heap_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (look(m, i) != BPE_NO_RANK) m->heap[m->heap_count++] = (uint64_t)m->symbols[i].rank << 32 | i;
    for (uint64_t i = m->heap_count / 2; i-- > 0;) sink(m->heap, m->heap_count, i);
    while (m->heap_count) {
        uint64_t top = pop(m);
        if (m->symbols[(uint32_t)top].rank == top >> 32) join(m, (uint32_t)top); /* else a neighbour has changed */
    }
    return CARINA_OK;
}

static carina_status merge_symbols(bpe_merger *m, const char *text, uint64_t size, bpe_ids *out, carina_error *error) {
    TRY(spell(m, text, size, error));
    TRY(join_all(m, error));
    TRY(bpe_grow(&out->items, &out->room, out->count + m->symbol_count, sizeof *out->items, error));
    for (uint32_t at = m->symbol_count ? 0 : NONE; at != NONE; at = m->symbols[at].next)
        out->items[out->count++] = m->symbols[at].id;
    return CARINA_OK;
}

/* ---- words ---- */

static uint64_t hash_of(const char *text, uint64_t size) {
    uint64_t hash = size, piece;
    for (; size >= 8; text += 8, size -= 8) {
        memcpy(&piece, text, 8);
        hash = (hash ^ piece) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    piece = 0;
    for (uint64_t i = 0; i < size; i++) piece = piece << 8 | (uint8_t)text[i];
    hash = (hash ^ piece) * 0x9e3779b97f4a7c15u;
    return hash >> 40;
}

static carina_status merge_word(bpe_merger *m, const char *text, uint64_t size, bpe_ids *out, carina_error *error) {
    if (size > WORD_BYTES) return merge_symbols(m, text, size, out, error);
    known_word *word = &m->words[hash_of(text, size) % WORD_SLOTS];
    if (word->size == size && memcmp(word->text, text, (size_t)size) == 0) {
        TRY(bpe_grow(&out->items, &out->room, out->count + word->count, sizeof *out->items, error));
        memcpy(out->items + out->count, word->ids, word->count * sizeof *word->ids);
        out->count += word->count;
        return CARINA_OK;
    }
    uint64_t before = out->count;
    TRY(merge_symbols(m, text, size, out, error));
    uint64_t count = out->count - before;
    if (count > WORD_IDS) return CARINA_OK;
    word->size = (uint8_t)size;
    word->count = (uint8_t)count;
    memcpy(word->text, text, (size_t)size);
    if (count) memcpy(word->ids, out->items + before, (size_t)count * sizeof *word->ids);
    return CARINA_OK;
}

/* Whether the character is a token of its own; asked only where it matters. */
static bool is_known(const bpe *b, const char *text, int size) {
    return !b->joins_unknown || character_id(b, text, size) >= 0;
}

carina_status bpe_merge_piece(bpe_merger *m, const char *text, uint64_t size, bpe_ids *out, carina_error *error) {
    const bpe *b = m->tokenizer;
    if (size == 0) return CARINA_OK;
    if (b->settings.ignore_merges && size <= b->longest) {
        int32_t id = bpe_find(b, text, size);
        if (id >= 0 && (b->tokens[id].flags & BPE_IN_MODEL)) {
            TRY(bpe_grow(&out->items, &out->room, out->count + 1, sizeof *out->items, error));
            out->items[out->count++] = id;
            return CARINA_OK;
        }
    }
    uint32_t code, next;
    uint64_t begin = 0, at = 0;
    int length = bpe_character(text, &code), next_length;
    bool known = is_known(b, text, length);
    for (at = (uint64_t)length; at < size; at += (uint64_t)next_length, code = next) {
        next_length = bpe_character(text + at, &next);
        bool next_known = is_known(b, text + at, next_length);
        if (known && next_known && !bpe_may_cross(b, code, next)) {
            TRY(merge_word(m, text + begin, at - begin, out, error));
            begin = at;
        }
        known = next_known;
    }
    return merge_word(m, text + begin, size - begin, out, error);
}
