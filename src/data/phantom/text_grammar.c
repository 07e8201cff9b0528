/* Expanding sentence patterns; see text_grammar.h. */
#include "data/phantom/text_grammar.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define MAX_DEPTH 8

typedef struct expansion {
    char *out;
    size_t size, length;
    const text_slot *slots;
    int slot_count;
    random_state *random;
} expansion;

static void put(expansion *e, char c) {
    if (e->length + 1 < e->size) e->out[e->length++] = c;
}

/* The end of the alternative that starts at p: at its '|' or ']' on the same level, or at the text's end. */
static const char *alternative_end(const char *p, const char *end) {
    int depth = 0;
    for (; p < end; p++) {
        if (*p == '[') depth++;
        if (depth == 0 && (*p == '|' || *p == ']')) return p;
        if (*p == ']') depth--;
    }
    return end;
}

static void expand(expansion *e, const char *p, const char *end, int depth);

/* p is behind '['; returns the place behind the matching ']'. */
static const char *expand_choice(expansion *e, const char *p, const char *end, int depth) {
    const char *first = p;
    uint64_t count = 1;
    for (p = alternative_end(p, end); p < end && *p == '|'; p = alternative_end(p + 1, end)) count++;
    const char *behind = p < end ? p + 1 : end;
    uint64_t chosen = random_below(e->random, count);
    p = first;
    for (uint64_t i = 0; i < chosen; i++) p = alternative_end(p, end) + 1;
    expand(e, p, alternative_end(p, end), depth + 1);
    return behind;
}

static const char *expand_slot(expansion *e, const char *p, const char *end, int depth) {
    const char *close = memchr(p, '}', (size_t)(end - p));
    if (!close) return end;
    size_t length = (size_t)(close - p);
    for (int i = 0; i < e->slot_count; i++) {
        const text_slot *slot = &e->slots[i];
        if (strlen(slot->name) != length || strncmp(slot->name, p, length) != 0) continue;
        if (slot->value) expand(e, slot->value, slot->value + strlen(slot->value), depth + 1);
        break;
    }
    return close + 1;
}

static void expand(expansion *e, const char *p, const char *end, int depth) {
    if (depth > MAX_DEPTH) return;
    while (p < end) {
        if (*p == '[') {
            p = expand_choice(e, p + 1, end, depth);
        } else if (*p == '{') {
            p = expand_slot(e, p + 1, end, depth);
        } else {
            put(e, *p++);
        }
    }
}

static bool is_vowel(char c) { return c && strchr("aeiouAEIOU", c) != NULL; }

/* In place; "an" can make the text one longer, so it is written into the same room only when it fits. */
static void tidy(char *text, size_t size) {
    size_t length = 0;
    for (size_t i = 0; text[i]; i++) {
        bool blank_before_mark = text[i] == ' ' && text[i + 1] && strchr(".,;:", text[i + 1]);
        bool double_blank = text[i] == ' ' && (length == 0 || text[length - 1] == ' ');
        if (!blank_before_mark && !double_blank) text[length++] = text[i];
    }
    while (length > 0 && text[length - 1] == ' ') length--;
    text[length] = 0;
    for (size_t i = 0; i + 2 < length && length + 2 < size; i++) {
        bool word = (i == 0 || text[i - 1] == ' ') && (text[i] == 'a' || text[i] == 'A') && text[i + 1] == ' ';
        if (!word || !is_vowel(text[i + 2])) continue;
        memmove(text + i + 2, text + i + 1, length - i);
        text[i + 1] = 'n';
        length++;
    }
    text[0] = (char)toupper((unsigned char)text[0]);
}

void text_grammar_expand(char *out, size_t size, const char *pattern, const text_slot *slots, int slot_count,
                         random_state *random) {
    if (size == 0) return;
    expansion e = {.out = out, .size = size, .slots = slots, .slot_count = slot_count, .random = random};
    expand(&e, pattern, pattern + strlen(pattern), 0);
    out[e.length] = 0;
    tidy(out, size);
}
