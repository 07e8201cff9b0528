/* The walk of the vocabulary's tree through the automaton, and the masks that it leaves; see grammar_matcher.h. */
#include "text/grammar_matcher.h"

#include <stdlib.h>
#include <string.h>

#include "text/grammar_automaton.h"
#include "text/grammar_internal.h"

#define MASKS 64

struct grammar_matcher {
    grammar_automaton automaton;
    const grammar *g;
    const token_trie *trie;
    uint32_t now; /* configuration */
    bool ended;
    uint64_t accepted;      /* bytes, for messages */
    uint64_t *masks[MASKS]; /* made when first used */
    uint32_t owners[MASKS]; /* the configuration of each */
    int next_mask, mask_count;
    uint64_t words; /* of a mask */
    uint32_t *path; /* [depth of the trie + 1]: the configuration at each depth of the walk */
};

carina_status grammar_matcher_make(grammar_matcher **out, const grammar *g, const token_trie *trie,
                                   carina_error *error) {
    *out = NULL;
    grammar_matcher *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, g->name, sizeof *m);
    m->g = g;
    m->trie = trie;
    m->words = ((uint64_t)trie->table.count + 63) / 64;
    m->path = malloc(((size_t)trie->depth + 1) * sizeof *m->path);
    carina_status status = m->path ? grammar_automaton_make(&m->automaton, g, error)
                                   : error_memory(error, g->name, trie->depth * sizeof *m->path);
    if (status == CARINA_OK) status = grammar_matcher_reset(m, error);
    if (status == CARINA_OK)
        *out = m;
    else
        grammar_matcher_free(m);
    return status;
}

void grammar_matcher_free(grammar_matcher *m) {
    if (!m) return;
    for (int i = 0; i < MASKS; i++) free(m->masks[i]);
    free(m->path);
    grammar_automaton_free(&m->automaton);
    free(m);
}

/* Before anything that may take many steps: half of the automaton's room is free then. */
static carina_status make_room(grammar_matcher *m, carina_error *error) {
    bool trimmed = false;
    TRY(grammar_automaton_trim(&m->automaton, &m->now, &trimmed, error));
    if (trimmed) m->mask_count = m->next_mask = 0; /* their owners are gone */
    return CARINA_OK;
}

carina_status grammar_matcher_reset(grammar_matcher *m, carina_error *error) {
    TRY(make_room(m, error));
    uint32_t start = 0;
    TRY(grammar_automaton_start(&m->automaton, &start, error));
    m->now = start;
    m->ended = false;
    m->accepted = 0;
    return CARINA_OK;
}

bool grammar_matcher_can_end(const grammar_matcher *m) {
    return !m->ended && m->automaton.configurations[m->now].can_end;
}

bool grammar_matcher_ended(const grammar_matcher *m) { return m->ended; }

/* ---- masks ---- */

static void allow(uint64_t *mask, uint32_t token) { mask[token / 64] |= UINT64_C(1) << token % 64; }

/* The nodes first .. end: one kind of tokens. */
static carina_status walk(grammar_matcher *m, uint32_t first, uint32_t end, uint64_t *mask, carina_error *error) {
    grammar_automaton *a = &m->automaton;
    const token_trie *trie = m->trie;
    uint32_t *path = m->path;
    path[0] = m->now;
    for (uint32_t i = first; i < end;) {
        uint32_t label = trie->labels[i], depth = trie->depths[i], from = path[depth - 1];
        uint32_t next = a->steps[(size_t)from * a->class_count + a->classes[label & 0xff]];
        if (next == GRAMMAR_AUTOMATON_UNKNOWN) TRY(grammar_automaton_step(a, from, (uint8_t)label, &next, error));
        if (next == GRAMMAR_AUTOMATON_DEAD) {
            i = trie->after[i];
            continue;
        }
        path[depth] = next;
        if (label >> 8 != TOKEN_TRIE_NO_TOKEN) allow(mask, label >> 8);
        i++;
    }
    return CARINA_OK;
}

/* ---- places that take all words alike ---- */

/* Notes that one more character leads to `next`; false when another led elsewhere, or nowhere. */
static bool agree(uint32_t *all, uint32_t next) {
    if (*all == GRAMMAR_AUTOMATON_UNKNOWN) *all = next;
    return *all == next && next != GRAMMAR_AUTOMATON_DEAD;
}

/* Do all the bytes low .. high, and `rest` continuations behind them, lead to *all? */
static carina_status bytes_agree(grammar_matcher *m, uint32_t from, int low, int high, int rest, uint32_t *all,
                                 bool *yes, carina_error *error) {
    uint32_t before = GRAMMAR_AUTOMATON_UNKNOWN;
    for (int byte = low; byte <= high && *yes; byte++) {
        uint32_t next = 0;
        TRY(grammar_automaton_step(&m->automaton, from, (uint8_t)byte, &next, error));
        if (next == before) continue;
        before = next;
        if (rest == 0)
            *yes = agree(all, next);
        else
            TRY(bytes_agree(m, next, 0x80, 0xbf, rest - 1, all, yes, error));
    }
    return CARINA_OK;
}

static carina_status words_agree(grammar_matcher *m, uint32_t from, uint32_t *all, bool *yes, carina_error *error) {
    for (int byte = ' '; byte <= 'z' && *yes; byte++)
        if (token_trie_is_plain((uint8_t)byte)) TRY(bytes_agree(m, from, byte, byte, 0, all, yes, error));
    return CARINA_OK;
}

/* Every well-formed character beyond ASCII (table 3-7 of the Unicode standard). */
static carina_status characters_agree(grammar_matcher *m, uint32_t from, uint32_t *all, bool *yes,
                                      carina_error *error) {
    static const struct {
        uint8_t lead_low, lead_high, low, high;
        int rest;
    } forms[8] = {{0xc2, 0xdf, 0x80, 0xbf, 0}, {0xe0, 0xe0, 0xa0, 0xbf, 1}, {0xe1, 0xec, 0x80, 0xbf, 1},
                  {0xed, 0xed, 0x80, 0x9f, 1}, {0xee, 0xef, 0x80, 0xbf, 1}, {0xf0, 0xf0, 0x90, 0xbf, 2},
                  {0xf1, 0xf3, 0x80, 0xbf, 2}, {0xf4, 0xf4, 0x80, 0x8f, 2}};
    for (int i = 0; i < 8 && *yes; i++) {
        uint32_t before = GRAMMAR_AUTOMATON_UNKNOWN;
        for (int lead = forms[i].lead_low; lead <= forms[i].lead_high && *yes; lead++) {
            uint32_t next = 0;
            TRY(grammar_automaton_step(&m->automaton, from, (uint8_t)lead, &next, error));
            if (next == before) continue;
            before = next;
            TRY(bytes_agree(m, next, forms[i].low, forms[i].high, forms[i].rest, all, yes, error));
        }
    }
    return CARINA_OK;
}

/* The one configuration that every character of the kind leads to from here, or DEAD when there is none such. */
static carina_status find_uniform(grammar_matcher *m, uint32_t from, token_trie_kind kind, uint32_t *out,
                                  carina_error *error) {
    *out = m->automaton.configurations[from].uniform[kind];
    if (*out != GRAMMAR_AUTOMATON_UNKNOWN) return CARINA_OK;
    bool yes = true;
    TRY(words_agree(m, from, out, &yes, error));
    if (kind == TOKEN_TRIE_CHARACTERS) TRY(characters_agree(m, from, out, &yes, error));
    if (!yes) *out = GRAMMAR_AUTOMATON_DEAD;
    m->automaton.configurations[from].uniform[kind] = *out;
    return CARINA_OK;
}

/* Whether all tokens of the kind are allowed here, as far as can be seen without a look at each. */
static carina_status takes_all(grammar_matcher *m, token_trie_kind kind, bool *yes, carina_error *error) {
    uint32_t at = m->now, next = 0;
    *yes = false;
    for (uint32_t i = 0; i < m->trie->longest[kind]; i++, at = next) {
        TRY(find_uniform(m, at, kind, &next, error));
        if (next == GRAMMAR_AUTOMATON_DEAD) return CARINA_OK;
        if (next == at) break; /* and so on for ever */
    }
    *yes = true;
    return CARINA_OK;
}

static carina_status fill_kind(grammar_matcher *m, token_trie_kind kind, uint64_t *mask, carina_error *error) {
    bool all = false;
    if (kind != TOKEN_TRIE_REST) TRY(takes_all(m, kind, &all, error));
    if (!all) return walk(m, kind ? m->trie->ends[kind - 1] : 0, m->trie->ends[kind], mask, error);
    for (uint64_t i = 0; i < m->words; i++) mask[i] |= m->trie->masks[kind][i];
    return CARINA_OK;
}

static carina_status fill(grammar_matcher *m, uint64_t *mask, carina_error *error) {
    memset(mask, 0, (size_t)m->words * sizeof *mask);
    m->automaton.too_deep = false;
    for (int kind = 0; kind < TOKEN_TRIE_KINDS; kind++) TRY(fill_kind(m, (token_trie_kind)kind, mask, error));
    const token_table *table = &m->trie->table;
    for (int i = 0; i < table->end_count && grammar_matcher_can_end(m); i++) allow(mask, (uint32_t)table->ends[i]);
    for (uint64_t i = 0; i < m->words; i++)
        if (mask[i]) return CARINA_OK;
    return error_set(error, CARINA_ERROR_LIMIT, "%s: after %llu bytes no token can go on: %s", m->g->name,
                     (unsigned long long)m->accepted,
                     m->automaton.too_deep ? "rules are nested too deep" : "the vocabulary lacks what is expected");
}

/* A place for a mask, that of the oldest one when there are too many. */
static carina_status take_place(grammar_matcher *m, int *out, carina_error *error) {
    int place = m->next_mask;
    if (!m->masks[place] && !(m->masks[place] = malloc((size_t)m->words * sizeof *m->masks[place])))
        return error_memory(error, m->g->name, m->words * sizeof *m->masks[place]);
    if (m->mask_count == MASKS)
        m->automaton.configurations[m->owners[place]].mask = -1;
    else
        m->mask_count++;
    m->next_mask = (place + 1) % MASKS;
    *out = place;
    return CARINA_OK;
}

static carina_status already_ended(const grammar_matcher *m, carina_error *error) {
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: the answer has ended", m->g->name);
}

carina_status grammar_matcher_mask(grammar_matcher *m, const uint64_t **mask, carina_error *error) {
    *mask = NULL;
    if (m->ended) return already_ended(m, error);
    int place = m->automaton.configurations[m->now].mask;
    if (place < 0) {
        TRY(make_room(m, error));
        TRY(take_place(m, &place, error));
        m->owners[place] = GRAMMAR_AUTOMATON_DEAD; /* whose mask nobody asks for, should the walk fail */
        TRY(fill(m, m->masks[place], error));
        m->owners[place] = m->now;
        m->automaton.configurations[m->now].mask = place;
    }
    *mask = m->masks[place];
    return CARINA_OK;
}

/* ---- going on ---- */

static carina_status go_on(grammar_matcher *m, const uint8_t *bytes, uint64_t size, bool *allowed,
                           carina_error *error) {
    TRY(make_room(m, error));
    uint32_t at = m->now;
    for (uint64_t i = 0; i < size && at != GRAMMAR_AUTOMATON_DEAD; i++)
        TRY(grammar_automaton_step(&m->automaton, at, bytes[i], &at, error));
    *allowed = at != GRAMMAR_AUTOMATON_DEAD;
    if (!*allowed) return CARINA_OK;
    m->now = at;
    m->accepted += size;
    return CARINA_OK;
}

static bool is_end(const token_table *table, int token) {
    for (int i = 0; i < table->end_count; i++)
        if (table->ends[i] == token) return true;
    return false;
}

carina_status grammar_matcher_accept(grammar_matcher *m, int token, carina_error *error) {
    const token_table *table = &m->trie->table;
    if (m->ended) return already_ended(m, error);
    if (token < 0 || token >= table->count)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%s: token %d is outside the vocabulary of %d", m->g->name,
                         token, table->count);
    bool allowed = false;
    if (is_end(table, token))
        allowed = m->ended = grammar_matcher_can_end(m);
    else if (table->texts[token].size > 0)
        TRY(go_on(m, table->texts[token].bytes, table->texts[token].size, &allowed, error));
    if (allowed) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: token %d is not allowed after %llu bytes", m->g->name, token,
                     (unsigned long long)m->accepted);
}

carina_status grammar_matcher_accept_text(grammar_matcher *m, const void *bytes, uint64_t size, carina_error *error) {
    if (m->ended) return already_ended(m, error);
    if (size > GRAMMAR_MATCHER_MAX_TEXT)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: a text of %llu bytes at once, at most %d", m->g->name,
                         (unsigned long long)size, GRAMMAR_MATCHER_MAX_TEXT);
    bool allowed = false;
    TRY(go_on(m, bytes, size, &allowed, error));
    if (allowed) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "%s: this text is not allowed after %llu bytes", m->g->name,
                     (unsigned long long)m->accepted);
}
