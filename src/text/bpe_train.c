/* Counting words, and joining the most frequent neighbours; see bpe_train.h. */
#include "text/bpe_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/bpe_internal.h"
#include "text/text_table.h"
#include "text/token_pairs.h"
#include "text/unicode.h"

#define WORD_CHARACTERS 32 /* longer words are cut */
#define BLANK           0x2581

static const struct {
    const char *text;
    bool special;
} first_tokens[] = {{"<pad>", true},   {"<eos>", true},           {"<bos>", true},        {"<unk>", true},
                    {"<mask>", false}, {"<start_of_turn>", true}, {"<end_of_turn>", true}};

enum { FIRST_TOKENS = sizeof first_tokens / sizeof *first_tokens, FIXED_TOKENS = FIRST_TOKENS + 256 };

/* What Gemma's file says; <bos> has id 2. */
static const char *const parts[BPE_PART_COUNT] = {
    [BPE_PART_NORMALIZER] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}",
    [BPE_PART_PRE_TOKENIZER] =
        "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},"
        "\"behavior\":\"MergedWithPrevious\",\"invert\":false}",
    [BPE_PART_POST_PROCESSOR] =
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<bos>\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"SpecialToken\":{\"id\":\"<bos>\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"<bos>\",\"type_id\":1}},"
        "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{\"<bos>\":{\"id\":\"<bos>\",\"ids\":[2],"
        "\"tokens\":[\"<bos>\"]}}}",
    [BPE_PART_DECODER] =
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
        "\"\xe2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}"};

/* A word as the tokens that it is cut into by now. */
typedef struct spelling {
    int32_t tokens[WORD_CHARACTERS];
    int length;
    int64_t count;
} spelling;

/* A pair with the count that it had when it was put in. */
typedef struct candidate {
    int64_t count;
    uint32_t pair;
} candidate;

struct bpe_trainer {
    bpe_train_options options;
    text_table words, tokens; /* tokens behind the fixed ones */
    list spellings;           /* of spelling */
    token_pairs pairs;
    list heap;    /* of candidate, the best on top */
    list touched; /* of uint32_t: pairs with the token that was just made */
    list merges;  /* of bpe_merge, of tokens' numbers without the fixed ones */
};

bpe_train_options bpe_train_defaults(void) {
    return (bpe_train_options){.vocabulary_size = 8000, .min_frequency = 2, .alphabet_limit = 1000};
}

carina_status bpe_trainer_create(bpe_trainer **out, const bpe_train_options *options, carina_error *error) {
    *out = NULL;
    if (options->vocabulary_size < FIXED_TOKENS || options->vocabulary_size > BPE_MAX_TOKENS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "vocabulary size: %d is not within %d to %d",
                         options->vocabulary_size, FIXED_TOKENS, BPE_MAX_TOKENS);
    if (options->alphabet_limit < 1 || options->min_frequency < 1)
        return error_set(error, CARINA_ERROR_ARGUMENT, "alphabet limit and least frequency must be at least 1");
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(error, "a tokenizer", sizeof **out);
    (*out)->options = *options;
    return CARINA_OK;
}

void bpe_trainer_free(bpe_trainer *t) {
    if (!t) return;
    text_table_free(&t->words);
    text_table_free(&t->tokens);
    token_pairs_free(&t->pairs);
    free(t->spellings.items);
    free(t->heap.items);
    free(t->touched.items);
    free(t->merges.items);
    free(t);
}

/* ---- words ---- */

typedef enum kind { KIND_LETTER, KIND_PUNCTUATION, KIND_BLANK, KIND_ALONE } kind;

static kind kind_of(uint32_t code) {
    if (code == BLANK || code == ' ') return KIND_BLANK;
    if (code >= '0' && code <= '9') return KIND_ALONE;
    switch (unicode_kind_of(code)) {
        case UNICODE_CONTROL:
        case UNICODE_SPACE: return KIND_ALONE;
        case UNICODE_PUNCTUATION: return KIND_PUNCTUATION;
        case UNICODE_OTHER:
        case UNICODE_MARK:
        case UNICODE_MARK_STARTER: break;
    }
    return KIND_LETTER;
}

/* A word that grows. */
typedef struct word {
    char text[4 * WORD_CHARACTERS];
    int size, characters;
    kind kind; /* of its last character */
} word;

static carina_status end_word(bpe_trainer *t, word *w, carina_error *error) {
    if (w->characters == 0) return CARINA_OK;
    int64_t index = text_table_add(&t->words, w->text, (uint64_t)w->size);
    if (index < 0) return error_memory(error, "words", t->words.entries.count * sizeof(text_entry));
    text_table_at(&t->words, (uint64_t)index)->count++;
    w->size = w->characters = 0;
    if (t->words.entries.count <= BPE_TRAIN_MAX_WORDS) return CARINA_OK;
    return error_set(error, CARINA_ERROR_LIMIT, "more than %d distinct words", BPE_TRAIN_MAX_WORDS);
}

/* Before a character that does not go on with the word. The last of several blanks begins the next one. */
static carina_status cut(bpe_trainer *t, word *w, kind next, carina_error *error) {
    bool lends = w->kind == KIND_BLANK && (next == KIND_LETTER || next == KIND_PUNCTUATION);
    if (!lends) return end_word(t, w, error);
    if (w->characters == 1) return CARINA_OK;
    w->size -= 3;
    w->characters--;
    TRY(end_word(t, w, error));
    w->size = unicode_encode(BLANK, w->text);
    w->characters = 1;
    return CARINA_OK;
}

carina_status bpe_trainer_add(bpe_trainer *t, const char *line, uint64_t size, carina_error *error) {
    word w = {0};
    for (uint64_t at = 0; at < size;) {
        uint32_t code = 0;
        bool good = utf8_character(line + at, size - at) > 0 && line[at];
        at += (uint64_t)unicode_decode(line + at, size - at, &code);
        kind next = kind_of(code);
        if (!good || w.characters == WORD_CHARACTERS) TRY(end_word(t, &w, error));
        if (!good) continue;
        if (w.characters && (next != w.kind || next == KIND_ALONE)) TRY(cut(t, &w, next, error));
        w.size += unicode_encode(next == KIND_BLANK ? BLANK : code, w.text + w.size);
        w.characters++;
        w.kind = next;
    }
    return end_word(t, &w, error);
}

/* ---- the alphabet ---- */

typedef struct letter {
    uint32_t code;
    int64_t count;
} letter;

static int frequent_first(const void *left, const void *right) {
    const letter *a = left, *b = right;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return (a->code > b->code) - (a->code < b->code);
}
static int by_code(const void *left, const void *right) {
    const letter *a = left, *b = right;
    return (a->code > b->code) - (a->code < b->code);
}

/* Blanks, tabs and line breaks are always kept: prompts have them, lines of text do not. */
static bool find_alphabet(bpe_trainer *t) {
    enum { CODES = 0x110000 };
    int64_t *counts = calloc(CODES, sizeof *counts);
    list letters = {0};
    bool done = counts != NULL;
    for (uint64_t i = 0; done && i < t->words.entries.count; i++) {
        const text_entry *e = text_table_at(&t->words, i);
        uint32_t code;
        for (const char *at = e->text; *at; counts[code] += e->count) at += bpe_character(at, &code);
    }
    if (done) counts['\n'] = counts['\t'] = counts[BLANK] = INT64_MAX;
    for (uint32_t code = 0; done && code < CODES; code++) {
        if (!counts[code]) continue;
        letter *l = list_add(&letters, sizeof *l);
        if (l) *l = (letter){code, counts[code]};
        done = l != NULL;
    }
    if (done) qsort(letters.items, (size_t)letters.count, sizeof(letter), frequent_first);
    uint64_t limit = (uint64_t)t->options.alphabet_limit, kept = letters.count < limit ? letters.count : limit;
    if (done) qsort(letters.items, (size_t)kept, sizeof(letter), by_code);
    for (uint64_t i = 0; done && i < kept; i++) {
        char text[4];
        int size = unicode_encode(((letter *)letters.items)[i].code, text);
        done = text_table_add(&t->tokens, text, (uint64_t)size) >= 0;
    }
    free(letters.items);
    free(counts);
    return done;
}

/* ---- pairs ---- */

static bool add_number(list *l, uint32_t number) {
    uint32_t *place = list_add(l, sizeof *place);
    if (place) *place = number;
    return place != NULL;
}

/* Adds (sign 1) or takes away (-1) what a word contributes to the counts. Pairs with token `joined` (-1: all) are told
 * that they stand in it, and are touched. */
static bool count_spelling(bpe_trainer *t, uint32_t index, int sign, int32_t joined) {
    const spelling *s = (const spelling *)t->spellings.items + index;
    for (int i = 0; i + 1 < s->length; i++) {
        token_pair *p = token_pairs_of(&t->pairs, s->tokens[i], s->tokens[i + 1]);
        if (!p) return false;
        p->count += sign * s->count;
        if (sign < 0 || (joined >= 0 && p->left != joined && p->right != joined)) continue;
        if (!add_number(&p->words, index) || !add_number(&t->touched, (uint32_t)(p - token_pairs_at(&t->pairs, 0))))
            return false;
    }
    return true;
}

/* The word as tokens, in parts between characters that are not kept. */
static bool spell(bpe_trainer *t, const text_entry *e) {
    spelling s = {.count = e->count};
    for (const char *at = e->text;;) {
        uint32_t code;
        int length = *at ? bpe_character(at, &code) : 0;
        int64_t token = length ? text_table_find(&t->tokens, at, (uint64_t)length) : -1;
        if (token >= 0) s.tokens[s.length++] = (int32_t)token;
        at += length;
        if (token >= 0) continue;
        if (s.length > 1) {
            spelling *kept = list_add(&t->spellings, sizeof *kept);
            if (!kept) return false;
            *kept = s;
            if (!count_spelling(t, (uint32_t)t->spellings.count - 1, 1, -1)) return false;
        }
        s.length = 0;
        if (length == 0) return true;
    }
}

/* ---- the heap ---- */

/* Whether a is to be joined before b: more frequent, or of older tokens. */
static bool before(const bpe_trainer *t, const candidate *a, const candidate *b) {
    if (a->count != b->count) return a->count > b->count;
    const token_pair *p = token_pairs_at(&t->pairs, a->pair), *q = token_pairs_at(&t->pairs, b->pair);
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static bool heap_push(bpe_trainer *t, uint32_t index) {
    candidate item = {token_pairs_at(&t->pairs, index)->count, index};
    if (item.count < t->options.min_frequency) return true;
    if (!list_add(&t->heap, sizeof item)) return false;
    candidate *heap = t->heap.items;
    uint64_t at = t->heap.count - 1;
    for (; at > 0 && before(t, &item, &heap[(at - 1) / 2]); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
    return true;
}

static candidate heap_pop(bpe_trainer *t) {
    candidate *heap = t->heap.items, top = heap[0], item = heap[--t->heap.count];
    uint64_t at = 0, count = t->heap.count;
    for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && before(t, &heap[child + 1], &heap[child]);
        if (!before(t, &heap[child], &item)) break;
        heap[at] = heap[child];
    }
    if (count) heap[at] = item;
    return top;
}

/* The most frequent pair; its index or -1. Counts that have sunk since are put in again. */
static int64_t best_pair(bpe_trainer *t, bool *done) {
    while (*done && t->heap.count) {
        candidate top = heap_pop(t);
        int64_t count = token_pairs_at(&t->pairs, top.pair)->count;
        if (count == top.count) return top.pair;
        if (count < top.count) *done = heap_push(t, top.pair); /* a higher one was put in when it rose */
    }
    return -1;
}

/* ---- joining ---- */

static bool join_in(bpe_trainer *t, uint32_t index, int32_t left, int32_t right, int32_t joined) {
    spelling *s = (spelling *)t->spellings.items + index;
    int at = 0;
    while (at + 1 < s->length && !(s->tokens[at] == left && s->tokens[at + 1] == right)) at++;
    if (at + 1 >= s->length) return true; /* stood there once */
    if (!count_spelling(t, index, -1, -1)) return false;
    int kept = at;
    for (; at < s->length; at++, kept++) {
        bool here = at + 1 < s->length && s->tokens[at] == left && s->tokens[at + 1] == right;
        s->tokens[kept] = here ? joined : s->tokens[at];
        at += here;
    }
    s->length = kept;
    return count_spelling(t, index, 1, joined);
}

static bool join(bpe_trainer *t, uint32_t chosen) {
    char text[8 * WORD_CHARACTERS + 1];
    int32_t left = token_pairs_at(&t->pairs, chosen)->left, right = token_pairs_at(&t->pairs, chosen)->right;
    int size = snprintf(text, sizeof text, "%s%s", text_table_at(&t->tokens, (uint64_t)left)->text,
                        text_table_at(&t->tokens, (uint64_t)right)->text);
    int32_t joined = (int32_t)text_table_add(&t->tokens, text, (uint64_t)size);
    bpe_merge *merge = joined < 0 ? NULL : list_add(&t->merges, sizeof *merge);
    if (!merge) return false;
    *merge = (bpe_merge){left, right, joined};
    t->touched.count = 0;
    for (uint64_t i = 0; i < token_pairs_at(&t->pairs, chosen)->words.count;
         i++) /* the table of pairs may move meanwhile */
        if (!join_in(t, ((const uint32_t *)token_pairs_at(&t->pairs, chosen)->words.items)[i], left, right, joined))
            return false;
    bool done = true;
    for (uint64_t i = 0; done && i < t->touched.count; i++) done = heap_push(t, ((uint32_t *)t->touched.items)[i]);
    return done;
}

static carina_status join_all(bpe_trainer *t, carina_error *error) {
    if (!find_alphabet(t)) return error_memory(error, "an alphabet", 0x110000 * sizeof(int64_t));
    uint64_t wanted = (uint64_t)t->options.vocabulary_size - FIXED_TOKENS;
    if (t->tokens.entries.count > wanted)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "vocabulary size: %d tokens are fewer than bytes and characters alone, which are %llu",
                         t->options.vocabulary_size, (unsigned long long)t->tokens.entries.count + FIXED_TOKENS);
    bool done = true;
    for (uint64_t i = 0; done && i < t->words.entries.count; i++) done = spell(t, text_table_at(&t->words, i));
    for (uint64_t i = 0; done && i < t->pairs.all.count; i++) done = heap_push(t, (uint32_t)i);
    while (done && t->tokens.entries.count < wanted) {
        int64_t chosen = best_pair(t, &done);
        if (chosen < 0) break;
        done = join(t, (uint32_t)chosen);
    }
    return done ? CARINA_OK : error_memory(error, "pairs of tokens", t->pairs.all.count * sizeof(token_pair));
}

/* ---- the tokenizer ---- */

static carina_status put_settings(bpe *b, carina_error *error) {
    bpe_settings *s = &b->settings;
    s->byte_fallback = s->fuse_unk = true;
    s->unk_token = strdup("<unk>");
    bool done = s->unk_token != NULL;
    for (int i = 0; i < BPE_PART_COUNT; i++) done &= (s->parts[i] = strdup(parts[i])) != NULL;
    return done ? CARINA_OK : error_memory(error, "a tokenizer", 2048);
}

static carina_status fill(const bpe_trainer *t, bpe *b, carina_error *error) {
    TRY(put_settings(b, error));
    for (int i = 0; i < FIRST_TOKENS; i++)
        TRY(bpe_put_token(b, i, first_tokens[i].text, strlen(first_tokens[i].text),
                          BPE_IN_MODEL | BPE_ADDED | (first_tokens[i].special ? BPE_SPECIAL : 0), error));
    for (int i = 0; i < 256; i++) {
        char text[8];
        int size = snprintf(text, sizeof text, "<0x%02X>", i);
        TRY(bpe_put_token(b, FIRST_TOKENS + i, text, (uint64_t)size, BPE_IN_MODEL, error));
    }
    for (uint64_t i = 0; i < t->tokens.entries.count; i++) {
        const char *text = text_table_at(&t->tokens, i)->text;
        TRY(bpe_put_token(b, FIXED_TOKENS + (int64_t)i, text, strlen(text), BPE_IN_MODEL, error));
    }
    for (uint64_t i = 0; i < t->merges.count; i++) {
        const bpe_merge *m = (const bpe_merge *)t->merges.items + i;
        TRY(bpe_put_merge(b, FIXED_TOKENS + m->left, FIXED_TOKENS + m->right, FIXED_TOKENS + m->result, error));
    }
    return bpe_finish(b, error);
}

carina_status bpe_trainer_finish(bpe_trainer *t, bpe **out, carina_error *error) {
    *out = NULL;
    TRY(join_all(t, error));
    TRY(bpe_make(out, "new tokenizer", error));
    carina_status status = fill(t, *out, error);
    if (status == CARINA_OK) return CARINA_OK;
    bpe_free(*out);
    *out = NULL;
    return status;
}
