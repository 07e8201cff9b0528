/* The tree is read off the sorted tokens: each adds the bytes that it does not share with the one before. */
#include "text/token_trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define MAX_NODES (1u << 28)

typedef struct entry {
    const uint8_t *bytes;
    uint32_t size, token;
    token_trie_kind kind;
} entry;

bool token_trie_is_plain(uint8_t byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == ' ';
}

static token_trie_kind kind_of(const token_text *text, uint32_t *characters) {
    token_trie_kind kind = TOKEN_TRIE_WORDS;
    *characters = 0;
    for (uint32_t at = 0; at < text->size; ++*characters) {
        int length = utf8_character(text->bytes + at, text->size - at);
        if (length == 0 || (length == 1 && !token_trie_is_plain(text->bytes[at]))) return TOKEN_TRIE_REST;
        if (length > 1) kind = TOKEN_TRIE_CHARACTERS;
        at += (uint32_t)length;
    }
    return kind;
}

static int compare(const void *left, const void *right) {
    const entry *a = left, *b = right;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    if (order) return order;
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return a->token < b->token ? -1 : 1;
}

/* Bytes that a token shares with the one before it; of two equal ones the last byte counts as its own. */
static uint32_t shared(const entry *before, const entry *e) {
    if (before->kind != e->kind) return 0;
    uint32_t size = 0, most = before->size < e->size ? before->size : e->size;
    while (size < most && before->bytes[size] == e->bytes[size]) size++;
    return size == e->size ? size - 1 : size;
}

static carina_status check(const token_table *table, carina_error *error) {
    if (table->count < 1 || table->count >= TOKEN_TRIE_MAX_TOKENS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "a vocabulary of %d tokens is not 1 .. %d", table->count,
                         TOKEN_TRIE_MAX_TOKENS - 1);
    if (table->end_count < 1)
        return error_set(error, CARINA_ERROR_ARGUMENT, "a vocabulary without a token that ends an answer");
    for (int i = 0; i < table->end_count; i++)
        if (table->ends[i] < 0 || table->ends[i] >= table->count)
            return error_set(error, CARINA_ERROR_ARGUMENT, "the end token %d is outside the vocabulary of %d",
                             table->ends[i], table->count);
    for (int i = 0; i < table->count; i++)
        if (table->texts[i].size > TOKEN_TRIE_MAX_TOKEN)
            return error_set(error, CARINA_ERROR_LIMIT, "token %d has %u bytes, at most %d", i, table->texts[i].size,
                             TOKEN_TRIE_MAX_TOKEN);
    return CARINA_OK;
}

static bool is_end(const token_table *table, int token) {
    for (int i = 0; i < table->end_count; i++)
        if (table->ends[i] == token) return true;
    return false;
}

/* The tokens that have bytes, but for the ends, in order. */
static uint32_t sort(token_trie *t, entry *entries, const token_table *table) {
    uint32_t count = 0;
    for (int i = 0; i < table->count; i++) {
        if (table->texts[i].size == 0 || is_end(table, i)) continue;
        uint32_t characters;
        token_trie_kind kind = kind_of(&table->texts[i], &characters);
        entries[count++] = (entry){table->texts[i].bytes, table->texts[i].size, (uint32_t)i, kind};
        if (kind == TOKEN_TRIE_REST) continue;
        t->masks[kind][i / 64] |= UINT64_C(1) << i % 64;
        if (characters > t->longest[kind]) t->longest[kind] = characters;
    }
    qsort(entries, count, sizeof *entries, compare);
    return count;
}

static carina_status allocate(token_trie *t, uint64_t nodes, carina_error *error) {
    if (nodes > MAX_NODES)
        return error_set(error, CARINA_ERROR_LIMIT, "a vocabulary of %llu different beginnings, at most %u",
                         (unsigned long long)nodes, MAX_NODES);
    size_t room = nodes ? (size_t)nodes : 1;
    t->labels = malloc(room * sizeof *t->labels);
    t->depths = malloc(room * sizeof *t->depths);
    t->after = malloc(room * sizeof *t->after);
    return t->labels && t->depths && t->after ? CARINA_OK : error_memory(error, "a vocabulary", room * 10);
}

/* The nodes whose continuations are complete, from `depth` on. */
static void close_nodes(token_trie *t, uint32_t *open, uint32_t *open_count, uint32_t depth) {
    while (*open_count > depth) t->after[open[--*open_count]] = t->node_count;
}

static void fill(token_trie *t, const entry *entries, uint32_t count) {
    uint32_t open[TOKEN_TRIE_MAX_TOKEN], open_count = 0; /* the node of each depth of the last token */
    for (uint32_t i = 0; i < count; i++) {
        const entry *e = &entries[i];
        close_nodes(t, open, &open_count, i ? shared(&entries[i - 1], e) : 0);
        while (open_count < e->size) {
            uint32_t node = t->node_count++, byte = e->bytes[open_count];
            bool last = open_count + 1 == e->size;
            t->labels[node] = byte | (last ? e->token : TOKEN_TRIE_NO_TOKEN) << 8;
            open[open_count++] = node;
            t->depths[node] = (uint16_t)open_count;
        }
        if (e->size > t->depth) t->depth = e->size;
        for (int kind = (int)e->kind; kind < TOKEN_TRIE_KINDS; kind++) t->ends[kind] = t->node_count;
    }
    close_nodes(t, open, &open_count, 0);
}

static carina_status build(token_trie *t, entry *entries, carina_error *error) {
    uint32_t count = sort(t, entries, &t->table);
    uint64_t nodes = 0;
    for (uint32_t i = 0; i < count; i++) nodes += entries[i].size - (i ? shared(&entries[i - 1], &entries[i]) : 0);
    TRY(allocate(t, nodes, error));
    fill(t, entries, count);
    return CARINA_OK;
}

carina_status token_trie_make(token_trie *out, const token_table *table, carina_error *error) {
    *out = (token_trie){0};
    TRY(check(table, error));
    size_t tokens = (size_t)table->count;
    entry *entries = malloc(tokens * sizeof *entries);
    out->table = *table;
    for (int i = 0; i < TOKEN_TRIE_REST; i++) out->masks[i] = calloc((tokens + 63) / 64, sizeof *out->masks[i]);
    carina_status status = entries && out->masks[0] && out->masks[1]
                               ? build(out, entries, error)
                               : error_memory(error, "a vocabulary", tokens * sizeof *entries);
    free(entries);
    if (status != CARINA_OK) token_trie_free(out);
    return status;
}

void token_trie_free(token_trie *trie) {
    if (!trie) return;
    free(trie->labels);
    free(trie->depths);
    free(trie->after);
    for (int i = 0; i < TOKEN_TRIE_REST; i++) free(trie->masks[i]);
    *trie = (token_trie){0};
}
