/* Added tokens in a text: the longest at the leftmost place, as the file's flags want them.
 *
 * The tokens lie sorted by their bytes. Those that begin with what has been read are neighbours, so that each further
 * byte narrows a range by two binary searches, and no tree is needed.
 */
#include <stdlib.h>
#include <string.h>

#include "text/bpe_internal.h"
#include "text/unicode.h"

static const char *text_at(const bpe *b, const bpe_matcher *m, uint32_t index, uint32_t *size) {
    if (m->texts) return *size = m->texts[index].size, m->texts[index].text;
    *size = b->tokens[m->ids[index]].size;
    return bpe_text_of(b, m->ids[index]);
}

/* ---- building ---- */

typedef struct sorted {
    const char *text;
    uint32_t size;
    int32_t id;
} sorted;

static int by_text(const void *left, const void *right) {
    const sorted *a = left, *b = right;
    uint32_t size = a->size < b->size ? a->size : b->size;
    int order = memcmp(a->text, b->text, size);
    if (order) return order;
    return a->size != b->size ? (a->size < b->size ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

/* The token's text as the normalizer leaves it. */
static carina_status normalize(const bpe *b, const char *text, uint64_t size, bpe_pattern *out, carina_error *error) {
    char *from = NULL, *to = NULL;
    uint64_t from_room = 0, to_room = 0, length = size;
    carina_status status = bpe_grow(&from, &from_room, size, 1, error);
    if (status == CARINA_OK) memcpy(from, text, (size_t)size);
    for (int i = 0; status == CARINA_OK && i < b->settings.rule_count; i++) {
        status = bpe_apply(&b->settings.rules[i], from, length, &to, &length, &to_room, error);
        char *swap = from;
        from = to, to = swap;
        uint64_t room = from_room;
        from_room = to_room, to_room = room;
    }
    if (status == CARINA_OK && length > BPE_MAX_PATTERN)
        status =
            error_set(error, CARINA_ERROR_LIMIT, "%s: added_tokens: \"%.60s\": a normalized one has at most %d bytes",
                      b->name, text, BPE_MAX_PATTERN);
    if (status == CARINA_OK) {
        memcpy(out->text, from, (size_t)length);
        out->size = (uint32_t)length;
    }
    free(from);
    free(to);
    return status;
}

static carina_status fill(const bpe *b, bpe_matcher *m, sorted *list, bpe_pattern *texts, bool normalized,
                          carina_error *error) {
    uint32_t count = 0;
    for (uint32_t id = 0; id < b->count; id++) {
        const bpe_token_entry *t = &b->tokens[id];
        if (!(t->flags & BPE_ADDED) || normalized != ((t->flags & BPE_NORMALIZED) != 0) || t->size == 0) continue;
        list[count] = (sorted){bpe_text_of(b, (int32_t)id), t->size, (int32_t)id};
        if (normalized) {
            TRY(normalize(b, list[count].text, t->size, &texts[count], error));
            list[count].text = texts[count].text;
            list[count].size = texts[count].size;
            if (texts[count].size == 0) continue;
        }
        count++;
    }
    if (count) qsort(list, count, sizeof *list, by_text);
    for (uint32_t i = 0; i < count; i++) {
        m->ids[i] = list[i].id;
        m->first[(uint8_t)list[i].text[0] + 1] = i + 1;
        if (!normalized) continue;
        memcpy(m->texts[i].text, list[i].text, list[i].size);
        m->texts[i].size = list[i].size;
    }
    for (int c = 0; c < 256; c++)
        if (m->first[c + 1] < m->first[c]) m->first[c + 1] = m->first[c];
    m->count = count;
    return CARINA_OK;
}

static carina_status build(const bpe *b, bpe_matcher *m, bool normalized, carina_error *error) {
    uint32_t count = 0;
    for (uint32_t id = 0; id < b->count; id++)
        count += (b->tokens[id].flags & BPE_ADDED) && normalized == ((b->tokens[id].flags & BPE_NORMALIZED) != 0);
    free(m->ids);
    free(m->texts);
    *m = (bpe_matcher){0};
    if (count == 0) return CARINA_OK;
    sorted *list = malloc(count * sizeof *list);
    bpe_pattern *texts = normalized ? malloc(count * sizeof *texts) : NULL;
    m->ids = malloc(count * sizeof *m->ids);
    m->texts = normalized ? malloc(count * sizeof *m->texts) : NULL;
    carina_status status = CARINA_OK;
    if (!list || !m->ids || (normalized && (!texts || !m->texts)))
        status = error_memory(error, b->name, count * sizeof *list);
    else
        status = fill(b, m, list, texts, normalized, error);
    free(list);
    free(texts);
    return status;
}

carina_status bpe_build_matchers(bpe *b, carina_error *error) {
    TRY(build(b, &b->raw, false, error));
    return build(b, &b->normalized, true, error);
}

/* ---- finding ---- */

/* First of [low, high) whose byte at `depth` is at least `byte`; shorter texts come first. */
static uint32_t first_at_least(const bpe *b, const bpe_matcher *m, uint32_t low, uint32_t high, uint32_t depth,
                               int byte) {
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, size;
        const char *text = text_at(b, m, middle, &size);
        if (size <= depth || (uint8_t)text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Index of the longest token that text begins with, -1: none. */
static int64_t longest_at(const bpe *b, const bpe_matcher *m, const char *text, uint64_t size) {
    int64_t found = -1;
    uint32_t low = m->first[(uint8_t)text[0]], high = m->first[(uint8_t)text[0] + 1];
    for (uint32_t depth = 1; low < high; depth++) {
        uint32_t length;
        text_at(b, m, low, &length);
        if (length == depth) found = low;
        if (depth >= size) break;
        int byte = (uint8_t)text[depth];
        low = first_at_least(b, m, low, high, depth, byte);
        high = first_at_least(b, m, low, high, depth, byte + 1);
    }
    return found;
}

static bool is_white(uint32_t code) {
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
           code == 0x3000;
}

/* The large blocks of symbols; those scattered elsewhere count as letters here. */
static bool is_symbol(uint32_t code) {
    static const uint32_t blocks[][2] = {{0x80, 0xa9},     {0xab, 0xb4},     {0xb6, 0xb9},       {0xbb, 0xbf},
                                         {0xd7, 0xd7},     {0xf7, 0xf7},     {0x2070, 0x2070},   {0x2074, 0x207e},
                                         {0x2080, 0x208e}, {0x20a0, 0x20cf}, {0x2150, 0x215f},   {0x2190, 0x24b5},
                                         {0x24ea, 0x2bff}, {0xfffc, 0xfffd}, {0x1f000, 0x1f12f}, {0x1f18a, 0x1faff}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (code >= blocks[i][0] && code <= blocks[i][1]) return true;
    return false;
}

/* The punctuation that joins words (general category Pc), and the two joiners: of the reference's \w, although
 * punctuation and control characters otherwise are not. */
static bool joins_words(uint32_t code) {
    return code == 0x200c || code == 0x200d || code == 0x203f || code == 0x2040 || code == 0x2054 || code == 0xfe33 ||
           code == 0xfe34 || (code >= 0xfe4d && code <= 0xfe4f) || code == 0xff3f;
}

/* Letters, digits and '_'; of what is not ASCII all but white space, punctuation, symbols and control characters. */
static bool is_word(uint32_t code) {
    if (code < 0x80) return code == '_' || (code - '0') < 10 || ((code | 32) - 'a') < 26;
    if (joins_words(code)) return true;
    unicode_kind kind = unicode_kind_of(code);
    return !is_white(code) && !is_symbol(code) && kind != UNICODE_PUNCTUATION && kind != UNICODE_CONTROL &&
           kind != UNICODE_SPACE;
}

/* The character that ends at `at` > 0; returns its bytes. */
static int character_before(const char *text, uint64_t at, uint32_t *code) {
    int length = 1;
    while (length < 4 && (uint64_t)length < at && (text[at - (uint64_t)length] & 0xc0) == 0x80) length++;
    bpe_character(text + at - length, code);
    return length;
}

static bool stands_alone(const char *text, uint64_t size, uint64_t begin, uint64_t end) {
    uint32_t code;
    if (begin > 0 && (character_before(text, begin, &code), is_word(code))) return false;
    return end == size || (bpe_character(text + end, &code), !is_word(code));
}

bpe_match bpe_match_next(const bpe *b, const bpe_matcher *m, const char *text, uint64_t size, const bpe_match *before) {
    if (m->count == 0) return (bpe_match){.id = -1};
    for (uint64_t at = before->search_at; at < size; at++) {
        uint8_t byte = (uint8_t)text[at];
        if (m->first[byte] == m->first[byte + 1]) continue;
        int64_t found = longest_at(b, m, text + at, size - at);
        if (found < 0) continue;
        uint32_t length, code;
        text_at(b, m, (uint32_t)found, &length);
        int32_t id = m->ids[found];
        unsigned flags = b->tokens[id].flags;
        bpe_match match = {.id = id, .text_end = at, .end = at + length, .search_at = at + length};
        if ((flags & BPE_SINGLE_WORD) && !stands_alone(text, size, at, match.end)) {
            at += length - 1; /* as in the reference: what lies in it is not looked at again */
            continue;
        }
        while ((flags & BPE_LSTRIP) && match.text_end > before->end) {
            int bytes = character_before(text, match.text_end, &code);
            if (!is_white(code)) break;
            match.text_end -= (uint64_t)bytes;
        }
        while ((flags & BPE_RSTRIP) && match.end < size) {
            int bytes = bpe_character(text + match.end, &code);
            if (!is_white(code)) break;
            match.end += (uint64_t)bytes;
        }
        return match;
    }
    return (bpe_match){.id = -1};
}
