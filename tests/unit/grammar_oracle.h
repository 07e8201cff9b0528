/* The grammar notation once more, the slow way: the text of a grammar is read again for every match, and what is
 * carried along is the set of places in the input that it may have come to. Knows no states, no bytes of classes, no
 * stacks. For grammars without errors and inputs of up to ORACLE_MOST bytes. */
#ifndef GRAMMAR_ORACLE_H
#define GRAMMAR_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

#define ORACLE_MOST 255

typedef struct oracle_places {
    bool at[ORACLE_MOST + 1];
} oracle_places;

typedef struct oracle {
    const char *grammar;
    const char *input;
    int size;
    bool more; /* something was about to be matched at the end of the input: it is the beginning of an answer */
} oracle;

static inline bool oracle_none(const oracle_places *p) {
    for (int i = 0; i <= ORACLE_MOST; i++)
        if (p->at[i]) return false;
    return true;
}

static inline void oracle_space(const char **p, bool lines) {
    for (;; ++*p) {
        if (**p == '#') *p += strcspn(*p, "\n");
        if (**p != ' ' && **p != '\t' && **p != '\r' && !(lines && **p == '\n')) return;
    }
}

static inline uint32_t oracle_character(const char **p) {
    uint32_t code;
    if (**p != '\\') {
        *p += unicode_decode(*p, strlen(*p), &code);
        return code;
    }
    char c = (*p)[1];
    *p += 2;
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits) {
        char number[9] = "";
        memcpy(number, *p, (size_t)digits);
        *p += digits;
        return (uint32_t)strtoul(number, NULL, 16);
    }
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : (uint8_t)c;
}

/* A class or a dot at *p, moved behind it. */
static inline bool oracle_class(const char **p, uint32_t code) {
    if (**p == '.') return ++*p, true;
    bool inverted = (*p)[1] == '^', found = false;
    for (*p += 1 + inverted; **p != ']';) {
        uint32_t low = oracle_character(p), high = low;
        if ((*p)[0] == '-' && (*p)[1] != ']') ++*p, high = oracle_character(p);
        found |= code >= low && code <= high;
    }
    ++*p;
    return found != inverted;
}

/* May input[at ..], too short for a character, become one of the class? Tries every character, but for those that are
 * far from all that a class without ^ names. */
static inline bool oracle_becomes(const oracle *o, int at, const char *class) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)o->input[at];
    int whole = lead > 0xf4 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1, there = o->size - at;
    if (there >= whole) return false;
    uint32_t code = lead & (0x7fu >> whole), highest = 0x10ffff;
    for (int i = 1; i < there; i++) code = code << 6 | ((uint8_t)o->input[at + i] & 0x3f);
    int missing = 6 * (whole - there);
    code <<= missing;
    uint32_t end = code + (1u << missing);
    if (code < least[whole]) code = least[whole];
    if (*class == '[' && class[1] != '^') highest = 0;
    for (const char *p = class + 1; *class == '[' && class[1] != '^' && *p != ']';) {
        uint32_t named = oracle_character(&p);
        if (named > highest) highest = named;
    }
    for (; code < end && code <= highest; code++) {
        char text[4];
        const char *p = class;
        if (code >= 0xd800 && code <= 0xdfff) continue;
        unicode_encode(code, text);
        if (memcmp(text, o->input + at, (size_t)there) == 0 && oracle_class(&p, code)) return true;
    }
    return false;
}

static inline oracle_places oracle_match_class(oracle *o, const char **p, const oracle_places *in) {
    oracle_places out = {0};
    const char *class = *p, *behind = *p;
    oracle_class(&behind, 0);
    for (int at = 0; at <= o->size; at++) {
        if (!in->at[at]) continue;
        uint32_t code;
        const char *q = class;
        if (at == o->size) {
            o->more = true;
            continue;
        }
        int size = unicode_decode(o->input + at, (uint64_t)(o->size - at), &code);
        bool wrong = code == 0xfffd && size == 1;
        if (!wrong && oracle_class(&q, code)) out.at[at + size] = true;
        if (wrong && oracle_becomes(o, at, class)) o->more = true;
    }
    *p = behind;
    return out;
}

static inline oracle_places oracle_match_literal(oracle *o, const char **p, const oracle_places *in) {
    char text[1024];
    int size = 0;
    for (++*p; **p != '"';) size += unicode_encode(oracle_character(p), text + size);
    ++*p;
    oracle_places out = {0};
    for (int at = 0; at <= o->size; at++) {
        if (!in->at[at]) continue;
        int there = o->size - at < size ? o->size - at : size;
        if (memcmp(o->input + at, text, (size_t)there) != 0) continue;
        if (there < size)
            o->more = true;
        else
            out.at[at + size] = true;
    }
    return out;
}

static inline oracle_places oracle_choice(oracle *o, const char **p, const oracle_places *in, bool lines);

static inline oracle_places oracle_rule(oracle *o, const char **p, const oracle_places *in) {
    static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const char *name = *p;
    size_t size = strspn(name, name_bytes);
    *p += size;
    if (size == 0) abort(); /* no grammar, or a part of the notation that is not known here */
    if (oracle_none(in)) return *in;
    for (const char *line = o->grammar; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *q = line + strspn(line, " ");
        if (strspn(q, name_bytes) != size || memcmp(q, name, size) != 0) continue;
        q += size;
        q += strspn(q, " ");
        if (strncmp(q, "::=", 3) != 0) continue;
        q += 3;
        oracle_space(&q, true);
        return oracle_choice(o, &q, in, false);
    }
    abort();
}

static inline oracle_places oracle_item(oracle *o, const char **p, const oracle_places *in) {
    if (**p == '"') return oracle_match_literal(o, p, in);
    if (**p == '[' || **p == '.') return oracle_match_class(o, p, in);
    if (**p != '(') return oracle_rule(o, p, in);
    ++*p;
    oracle_space(p, true);
    oracle_places out = oracle_choice(o, p, in, true);
    oracle_space(p, true);
    ++*p; /* ) */
    return out;
}

static inline void oracle_times(const char **p, bool lines, long *least, long *most) {
    oracle_space(p, lines);
    *least = *most = 1;
    char c = **p;
    if (!strchr("*+?{", c) || !c) return;
    ++*p;
    if (c == '*' || c == '?') *least = 0;
    if (c == '*' || c == '+') *most = 1000;
    if (c != '{') return;
    char *end;
    *least = *most = strtol(*p, &end, 10);
    *p = end + strspn(end, " ");
    if (**p == ',') {
        ++*p;
        *p += strspn(*p, " ");
        *most = 1000;
        if (**p != '}') *most = strtol(*p, &end, 10), *p = end + strspn(end, " ");
    }
    ++*p;
}

static inline oracle_places oracle_repeated(oracle *o, const char **p, const oracle_places *in, bool lines) {
    const char *item = *p, *behind = *p;
    long least, most;
    oracle_places nothing = {0}, now = *in, out = {0};
    oracle scratch = *o;
    oracle_item(&scratch, &behind, &nothing); /* to see where it ends */
    oracle_times(&behind, lines, &least, &most);
    for (long times = 0; times <= most; times++) {
        bool grown = false;
        for (int i = 0; i <= o->size && times >= least; i++) {
            grown |= now.at[i] && !out.at[i];
            out.at[i] |= now.at[i];
        }
        if ((times >= least && !grown) || times == most) break;
        const char *q = item;
        now = oracle_item(o, &q, &now);
    }
    *p = behind;
    return out;
}

static inline oracle_places oracle_choice(oracle *o, const char **p, const oracle_places *in, bool lines) {
    oracle_places out = {0};
    for (;;) {
        oracle_places now = *in;
        oracle_space(p, lines);
        while (**p && **p != '|' && **p != '\n' && **p != ')') {
            now = oracle_repeated(o, p, &now, lines);
            oracle_space(p, lines);
        }
        for (int i = 0; i <= o->size; i++) out.at[i] |= now.at[i];
        const char *q = *p;
        oracle_space(&q, true);
        if (*q != '|') return out;
        *p = q + 1;
        oracle_space(p, true);
    }
}

/* Is the input an answer, and (may be NULL) is it the beginning of one, or one itself? */
static inline bool oracle_accepts(const char *grammar, const char *input, int size, bool *begins) {
    oracle o = {.grammar = grammar, .input = input, .size = size};
    oracle_places start = {.at = {true}};
    const char *root = "root";
    oracle_places ends = oracle_rule(&o, &root, &start);
    if (begins) *begins = o.more || ends.at[size];
    return ends.at[size];
}

#endif
