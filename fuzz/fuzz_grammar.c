/* Any bytes as a grammar, or as a JSON schema when they begin with {; what follows the first zero byte chooses tokens.
 * A token of the mask must be accepted, and any other refused. */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/grammar.h"
#include "text/grammar_matcher.h"
#include "text/grammar_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKENS 272

static const char *const words[] = {
    "a", "ab", "abc", "the", " the", "\": ", "<box>(", "),(", "\xc3\xa9", "\xe2\x82", "1023", "}}"};

static void make_vocabulary(token_text *texts, uint8_t *bytes) {
    memset(texts, 0, TOKENS * sizeof *texts);
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
        texts[i] = (token_text){&bytes[i], 1};
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        texts[256 + i] = (token_text){(const uint8_t *)words[i], (uint32_t)strlen(words[i])};
}

static void write(grammar_matcher *m, const uint8_t *choices, size_t count) {
    carina_error error;
    const uint64_t *mask;
    for (size_t i = 0; i < count && i < 48; i++) {
        if (grammar_matcher_mask(m, &mask, &error) != CARINA_OK) return;
        uint64_t copy[(TOKENS + 63) / 64];
        memcpy(copy, mask, sizeof copy);
        int start = (choices[i] * 257 + (int)i) % TOKENS, chosen = -1;
        for (int j = 0; j < TOKENS; j++) {
            int token = (start + j) % TOKENS;
            if (copy[token / 64] >> token % 64 & 1)
                chosen = token;
            else
                assert(grammar_matcher_accept(m, token, &error) != CARINA_OK);
            if (chosen >= 0) break;
        }
        assert(chosen >= 0 && grammar_matcher_accept(m, chosen, &error) == CARINA_OK);
        if (grammar_matcher_ended(m)) return;
    }
}

static void run(const char *text, size_t size, const uint8_t *choices, size_t count) {
    static uint8_t bytes[256];
    token_text texts[TOKENS];
    const int end = TOKENS - 1;
    make_vocabulary(texts, bytes);
    const token_table table = {texts, TOKENS, &end, 1};
    token_trie trie;
    grammar *g;
    grammar_matcher *m;
    carina_error error;
    if (grammar_parse(&g, "fuzz", text, size, &error) != CARINA_OK) return;
    if (token_trie_make(&trie, &table, &error) != CARINA_OK) abort();
    if (grammar_matcher_make(&m, g, &trie, &error) == CARINA_OK) {
        write(m, choices, count);
        if (grammar_matcher_reset(m, &error) == CARINA_OK) write(m, choices + count / 2, count - count / 2);
        grammar_matcher_free(m);
    }
    token_trie_free(&trie);
    grammar_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t text_size = zero ? (size_t)(zero - data) : size, count = zero ? size - text_size - 1 : 0;
    const uint8_t *choices = data + (size - count);
    carina_error error;
    char *text;
    if (text_size == 0 || data[0] != '{') {
        run((const char *)data, text_size, choices, count);
    } else if (grammar_schema_text(&text, "fuzz", data, text_size, &error) == CARINA_OK) {
        run(text, strlen(text), choices, count);
        free(text);
    }
    return 0;
}
