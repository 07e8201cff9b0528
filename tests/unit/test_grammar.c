/* Grammars: what they accept and refuse, masks beside a look at every token by an independent matcher
 * (grammar_oracle.h), texts drawn at random from masks, limits, and the message of every error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/random.h"
#include "grammar_oracle.h"
#include "text/grammar.h"
#include "text/grammar_matcher.h"
#include "text/sampler.h"

static carina_error error;

/* ---- a small vocabulary ---- */

#define MOST_TOKENS 512

static uint8_t single[256];
static token_text texts[MOST_TOKENS];
static token_table table = {.texts = texts};
static token_trie trie;
static const int ends[2] = {0, 1};

static void add(const char *bytes, size_t size) {
    assert_true(table.count < MOST_TOKENS);
    texts[table.count++] = (token_text){(const uint8_t *)bytes, (uint32_t)size};
}

static int make_vocabulary(void **state) {
    (void)state;
    static const char *const words[] = {"a",        "ab",      "abc",      "abcabcabcabc",
                                        "b",        "ba",      " a",       " the",
                                        "the",      "  ",      "   ",      "x",
                                        "yes",      "no",      "Yes",      "1",
                                        "12",       "1023",    "10",       "0",
                                        "00",       "9",       "<box>",    "</box>",
                                        "<ref>",    "</ref>",  "),(",      ")</box>",
                                        "<",        "<b",      "(1",       ",",
                                        ", ",       "\"",      "\",",      "\":",
                                        "{\"",      "}",       "]",        "[",
                                        "[[",       "]]",      "[1,",      "true",
                                        "\\",       "\\n",     "\n",       "é",
                                        " é",       "é\xc3",   "\xc3",     "\xa9",
                                        "\xa9",     "\xe2",    "\xe2\x82", "€",
                                        "€a",       "日",      "日本",     "\xe6\x97",
                                        "\xa5",     "\xf0",    "\xf0\x9f", "\xf0\x9f\xa9\xbb",
                                        "\x9f\xa9", "\xbb",    "\xff",     "\xed\xa0",
                                        "end",      "A1 b2",   "-",        "--",
                                        "a-",       "finding", "aé日 9",   "z日z日z"};
    add("<end_of_turn>", 13);
    add("<eos>", 5);
    add(NULL, 0); /* a control token */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) add(words[i], strlen(words[i]));
    for (int i = 0; i < 256; i++) {
        single[i] = (uint8_t)i;
        add((const char *)&single[i], 1);
    }
    table.ends = ends;
    table.end_count = 2;
    assert_ok(token_trie_make(&trie, &table, &error));
    return 0;
}

static int free_vocabulary(void **state) {
    (void)state;
    token_trie_free(&trie);
    return 0;
}

static bool has(const uint64_t *mask, int token) { return mask[token / 64] >> token % 64 & 1; }

static grammar *parse(const char *text) {
    grammar *g;
    assert_ok(grammar_parse(&g, "g", text, strlen(text), &error));
    return g;
}

static grammar_matcher *match(const grammar *g) {
    grammar_matcher *m;
    assert_ok(grammar_matcher_make(&m, g, &trie, &error));
    return m;
}

/* ---- accepted and refused ---- */

static bool accepts(const char *grammar_text, const char *input) {
    grammar *g = parse(grammar_text);
    grammar_matcher *m = match(g);
    bool yes = true;
    for (size_t i = 0; input[i] && yes; i++) yes = grammar_matcher_accept_text(m, input + i, 1, &error) == CARINA_OK;
    yes = yes && grammar_matcher_can_end(m);
    assert_int_equal(yes, oracle_accepts(grammar_text, input, (int)strlen(input), NULL));
    grammar_matcher_free(m);
    grammar_free(g);
    return yes;
}

static void check_inputs(const char *grammar_text, const char *const *yes, const char *const *no) {
    for (; *yes; yes++)
        if (!accepts(grammar_text, *yes)) fail_msg("\"%s\" is refused by %s", *yes, grammar_text);
    for (; *no; no++)
        if (accepts(grammar_text, *no)) fail_msg("\"%s\" is accepted by %s", *no, grammar_text);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void notation(void **state) {
    (void)state;
    check_inputs("root ::= \"a\" | \"b\" \"c\" | \"\"", LIST("a", "bc", ""), LIST("b", "ac", "abc"));
    check_inputs("root ::= [a-c] [^a-c] . [\\]x-]", LIST("adq]", "c\n\n-", "a€日x"), LIST("aaa]", "adqy", "dda]"));
    check_inputs("root ::= \"a\"* \"b\"+ \"c\"?", LIST("b", "aabbc", "bc"), LIST("", "a", "ac", "bcc"));
    check_inputs("root ::= \"a\"{2} | \"b\"{2,} | \"c\"{1,3} \"d\" {0} \"e\"{ 1 , 2 }",
                 LIST("aa", "bb", "bbbbb", "ce", "cccee"), LIST("a", "aaa", "b", "ccc", "cde", "cccce", "ceee"));
    check_inputs("root ::= (\"a\" | (\n  # a comment | with ) marks\n \"b\" )\n)+ # and one more\n", LIST("a", "abba"),
                 LIST("", "c"));
    check_inputs("\n# first\nroot ::= word (\",\" word)*\r\nword ::=\n  [a-z]+\n  | \"-\"\n\n  | [0-9] |\n  \"!\"",
                 LIST("a", "abc,-,7,!"), LIST("", "a,", "!!", "77"));
    check_inputs("root ::= \"\\x41\\u00e9\\U0001FA7B\\\"\\\\\\n\\t\\r\\[\\]\"", LIST("Aé\xf0\x9f\xa9\xbb\"\\\n\t\r[]"),
                 LIST("Aé"));
    check_inputs("root ::= [\\x41-\\x43é日-\\U0001FA7B]", LIST("A", "C", "é", "日", "本", "\xf0\x9f\xa9\xbb"),
                 LIST("D", "è", "\xf0\x9f\xa9\xbc", "\xc3"));
    check_inputs("root ::= ( | \"a\" | \"b\") (\"c\" | )", LIST("", "a", "bc", "c"), LIST("ab"));
    check_inputs("root ::= Rule_1-b\nRule_1-b ::= \"x\"", LIST("x"), LIST("y"));
}

static void recursion(void **state) {
    (void)state;
    const char *nested = "root ::= \"(\" root \")\" root | \"x\"?";
    check_inputs(nested, LIST("", "x", "()", "(x)x", "((x)(x))"), LIST("(", "(x", "x)", ")(", "xx"));
    const char *json =
        "root ::= value\n"
        "value ::= array | object | \"\\\"\" [^\"\\\\]* \"\\\"\" | \"-\"? [0-9]+\n"
        "array ::= \"[\" (value (\",\" value)*)? \"]\"\n"
        "object ::= \"{\" (pair (\",\" pair)*)? \"}\"\n"
        "pair ::= \"\\\"\" [a-z]+ \"\\\":\" value\n";
    check_inputs(json, LIST("[]", "[1,[\"a\",{\"b\":-2}],{}]", "\"日\""),
                 LIST("[1,]", "{\"b\":}", "]", "[[1]", "{b:1}"));
    /* empty rules in front, and loops round nothing */
    check_inputs("root ::= e e \"a\" tail\ne ::= \"\" | \" \"\ntail ::= (e*)* \"b\" | e", LIST("a", "  a", " a   b"),
                 LIST("", "   a", "abb"));
    check_inputs("root ::= one | two\none ::= \"a\" two\ntwo ::= \"b\" one | \"c\"", LIST("c", "ac", "bac", "abac"),
                 LIST("a", "ab", "ba"));
}

/* ---- masks ---- */

static const char *const grammars[] = {
    "root ::= \"abc\" \"abc\"? | \"yes\" | \"no\" \".\"",
    "root ::= .*",
    "root ::= .{1,7}",
    "root ::= [^\"\\\\\\x00-\\x1f]* \"\\\"\"",
    "root ::= [a-z ]+ | [0-9A-Z]",
    "root ::= [a-zA-Z0-9 ]{2,9} \"end\"",
    "root ::= [^é]* \"é\"",
    "root ::= [^日]{3,40}",
    "root ::= [\\u0080-\\U0010ffff]{1,3} \"a\"*",
    "root ::= [a-zA-Z0-9 \\u0080-\\ufffe\\U00010000-\\U0010ffff]+",
    "root ::= [^\\u0800-\\uffff]*",
    ("root ::= (\"<ref>\" [^<>]+ \"</ref>\")? \"<box>(\" n \",\" n \"),(\" n \",\" n \")</box>\"\n"
     "n ::= [0-9] | [1-9] [0-9]{1,2} | \"10\" ([01] [0-9] | \"2\" [0-3])"),
    "root ::= \"[\" (root (\",\" root)*)? \"]\" | [0-9]+",
    "root ::= \"a\" root \"b\" | \"a\" root \"-\" | \"x\"?", /* ambiguous until its end */
    "root ::= l (\", \" l){0,3}\nl ::= \"finding\" | \"the\" \" a\"? | \"é€\" | \"ab\"",
    "root ::= w+\nw ::= \" \"? c c?\nc ::= [a-c] | [b-d] | \"€\" | \"日本\"",
};

typedef struct written {
    char text[ORACLE_MOST + 1];
    int size;
} written;

static void check_mask(const char *grammar_text, const uint64_t *mask, const written *w) {
    bool end = oracle_accepts(grammar_text, w->text, w->size, NULL);
    for (int i = 0; i < table.count; i++) {
        bool expected = end;
        if (i >= 2) {
            char text[ORACLE_MOST + 1];
            int size = (int)texts[i].size;
            if (w->size + size > ORACLE_MOST) continue;
            memcpy(text, w->text, (size_t)w->size);
            if (size) memcpy(text + w->size, texts[i].bytes, (size_t)size);
            expected = false;
            if (size) oracle_accepts(grammar_text, text, w->size + size, &expected);
        }
        if (has(mask, i) != expected)
            fail_msg("token %d (\"%.*s\") is %s behind \"%.*s\" in %s", i, (int)texts[i].size,
                     (const char *)texts[i].bytes, expected ? "forbidden" : "allowed", w->size, w->text, grammar_text);
    }
}

/* Ends an answer one time in four where that is allowed, so that texts stay short. */
static int choose(random_state *random, const uint64_t *mask) {
    if (has(mask, 1) && random_chance(random, 0.25)) return 1;
    int token;
    do token = (int)random_below(random, (uint64_t)table.count);
    while (!has(mask, token));
    return token;
}

static void write_one(grammar_matcher *m, const char *grammar_text, random_state *random, int check_every) {
    written w = {.size = 0};
    for (int step = 0; step < 40 && w.size < 60; step++) {
        const uint64_t *mask;
        assert_ok(grammar_matcher_mask(m, &mask, &error));
        if (check_every && (step + w.size) % check_every == 0) check_mask(grammar_text, mask, &w);
        int token = choose(random, mask);
        assert_ok(grammar_matcher_accept(m, token, &error));
        if (grammar_matcher_ended(m)) {
            if (!oracle_accepts(grammar_text, w.text, w.size, NULL))
                fail_msg("\"%.*s\" is no answer of %s", w.size, w.text, grammar_text);
            return;
        }
        memcpy(w.text + w.size, texts[token].bytes, texts[token].size);
        w.size += (int)texts[token].size;
    }
}

static void masks_are_what_each_token_says(void **state) {
    (void)state;
    random_state random = random_seed(11);
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        grammar *g = parse(grammars[i]);
        grammar_matcher *m = match(g);
        for (int run = 0; run < 4; run++) {
            assert_ok(grammar_matcher_reset(m, &error));
            write_one(m, grammars[i], &random, 3);
        }
        grammar_matcher_free(m);
        grammar_free(g);
    }
}

static void random_texts_are_answers(void **state) {
    (void)state;
    random_state random = random_seed(12);
    for (size_t i = 0; i < sizeof grammars / sizeof *grammars; i++) {
        grammar *g = parse(grammars[i]);
        grammar_matcher *m = match(g);
        for (int run = 0; run < 60; run++) {
            assert_ok(grammar_matcher_reset(m, &error));
            write_one(m, grammars[i], &random, 0);
        }
        grammar_matcher_free(m);
        grammar_free(g);
    }
}

/* The sampler draws from masks as well: an answer whose logits prefer what is forbidden. */
static void a_sampler_keeps_to_the_mask(void **state) {
    (void)state;
    grammar *g = parse("root ::= [0-9]{2,4}");
    grammar_matcher *m = match(g);
    sampler_options o = sampler_defaults();
    o.temperature = 1;
    for (uint64_t seed = 0; seed < 30; seed++) {
        float logits[MOST_TOKENS];
        for (int i = 0; i < table.count; i++) logits[i] = i % 7 == 3 ? 8 : (float)(i % 5);
        sampler *s;
        o.seed = seed;
        assert_ok(sampler_make(&s, table.count, &o, &error));
        assert_ok(grammar_matcher_reset(m, &error));
        uint32_t digits = 0;
        while (!grammar_matcher_ended(m)) {
            const uint64_t *mask;
            sampler_draw drawn;
            assert_ok(grammar_matcher_mask(m, &mask, &error));
            assert_ok(sampler_next(&drawn, s, logits, mask, &error));
            assert_ok(grammar_matcher_accept(m, drawn.token, &error));
            assert_ok(sampler_accept(s, drawn.token, &error));
            if (drawn.token >= 2) digits += texts[drawn.token].size;
        }
        assert_in_range(digits, 2, 4);
        sampler_free(s);
    }
    grammar_matcher_free(m);
    grammar_free(g);
}

/* More places than masks are kept for, gone through twice, beside a matcher that has nothing in memory. */
static void remembered_masks_stay_right(void **state) {
    (void)state;
    grammar *g = parse("root ::= ([0-9]{150} \"a\")* \"end\"");
    grammar_matcher *kept = match(g);
    for (int i = 0; i < 450; i++) {
        const uint64_t *mask, *fresh;
        if (i % 150 == 0) assert_ok(grammar_matcher_reset(kept, &error));
        assert_ok(grammar_matcher_mask(kept, &mask, &error));
        assert_ok(grammar_matcher_mask(kept, &mask, &error)); /* now from memory */
        if (i % 7 == 0) {
            grammar_matcher *m = match(g);
            for (int j = 0; j < i % 150; j++) assert_ok(grammar_matcher_accept_text(m, "1", 1, &error));
            assert_ok(grammar_matcher_mask(m, &fresh, &error));
            assert_memory_equal(mask, fresh, (size_t)(table.count + 63) / 64 * 8);
            grammar_matcher_free(m);
        }
        assert_ok(grammar_matcher_accept_text(kept, "7", 1, &error));
    }
    grammar_matcher_free(kept);
    grammar_free(g);
}

/* ---- limits at work ---- */

/* Thrice as many configurations as there is room for; each forgetting must leave the place, and the return, as it was.
 */
static void what_is_forgotten_is_found_again(void **state) {
    (void)state;
    grammar *g = parse(
        "root ::= \"[\" body \"]\"+\nbody ::= (\"a\"{2000} | \"ab\"{50}) m{2000} m{2000} m{2000} m{2000} m{2000} "
        "\"b\"\nm ::= [a]");
    grammar_matcher *m = match(g);
    const uint64_t *mask;
    assert_ok(grammar_matcher_accept_text(m, "[", 1, &error));
    for (int i = 0; i < 12000; i++) {
        if (i % 500 == 0) assert_ok(grammar_matcher_mask(m, &mask, &error));
        assert_false(grammar_matcher_can_end(m));
        assert_ok(grammar_matcher_accept_text(m, "a", 1, &error));
    }
    assert_int_equal(grammar_matcher_accept_text(m, "a", 1, &error), CARINA_ERROR_ARGUMENT);
    assert_int_equal(grammar_matcher_accept_text(m, "]", 1, &error), CARINA_ERROR_ARGUMENT);
    assert_ok(grammar_matcher_accept_text(m, "b]", 2, &error));
    assert_true(grammar_matcher_can_end(m));
    assert_ok(grammar_matcher_mask(m, &mask, &error));
    assert_true(has(mask, 0));
    grammar_matcher_free(m);
    grammar_free(g);
}

static void lists_take_no_room_and_nesting_has_an_end(void **state) {
    (void)state;
    grammar *g = parse("root ::= \"x\" root | \"(\" root \")\" | \"y\"");
    grammar_matcher *m = match(g);
    const uint64_t *mask;
    for (int i = 0; i < 5000; i++) assert_ok(grammar_matcher_accept_text(m, "x", 1, &error));
    for (int i = 0; i < 1000; i++) assert_ok(grammar_matcher_accept_text(m, "(", 1, &error));
    assert_int_equal(grammar_matcher_accept_text(m, "(", 1, &error), CARINA_ERROR_ARGUMENT);
    assert_ok(grammar_matcher_mask(m, &mask, &error));
    assert_ok(grammar_matcher_accept_text(m, "xy", 2, &error));
    for (int i = 0; i < 1000; i++) assert_ok(grammar_matcher_accept_text(m, ")", 1, &error));
    assert_true(grammar_matcher_can_end(m));
    grammar_matcher_free(m);
    grammar_free(g);
    /* here nothing but deeper nesting could go on */
    g = parse("root ::= \"(\" more \")\"\nmore ::= \"[\" root \"]\" | \"[\" \"[\" \"x\"");
    m = match(g);
    for (int i = 0; i < 500; i++) assert_ok(grammar_matcher_accept_text(m, i % 2 ? "[" : "(", 1, &error));
    grammar_matcher_free(m);
    grammar_free(g);
}

static void expect_error(carina_status status, carina_status expected, const char *words) {
    if (status != expected || !strstr(error.message, words))
        fail_msg("status %d, \"%s\"; expected %d, \"%s\"", (int)status, error.message, (int)expected, words);
}

static void a_place_without_a_token_is_an_error(void **state) {
    (void)state;
    const token_text few[3] = {{NULL, 0}, {(const uint8_t *)"a", 1}, {(const uint8_t *)"b", 1}};
    const token_table small = {few, 3, ends, 1};
    token_trie t;
    assert_ok(token_trie_make(&t, &small, &error));
    grammar *g = parse("root ::= \"ab\" \"c\"");
    grammar_matcher *m;
    const uint64_t *mask;
    assert_ok(grammar_matcher_make(&m, g, &t, &error));
    assert_ok(grammar_matcher_mask(m, &mask, &error));
    assert_int_equal(mask[0], 2);
    assert_ok(grammar_matcher_accept(m, 1, &error));
    expect_error(grammar_matcher_accept(m, 1, &error), CARINA_ERROR_ARGUMENT, "token 1 is not allowed after 1 bytes");
    expect_error(grammar_matcher_accept(m, 0, &error), CARINA_ERROR_ARGUMENT, "token 0 is not allowed after 1 bytes");
    expect_error(grammar_matcher_accept(m, 3, &error), CARINA_ERROR_ARGUMENT, "outside the vocabulary of 3");
    assert_ok(grammar_matcher_accept(m, 2, &error));
    expect_error(grammar_matcher_mask(m, &mask, &error), CARINA_ERROR_LIMIT,
                 "g: after 2 bytes no token can go on: the vocabulary lacks what is expected");
    assert_ok(grammar_matcher_accept_text(m, "c", 1, &error));
    assert_ok(grammar_matcher_mask(m, &mask, &error));
    assert_int_equal(mask[0], 1);
    assert_ok(grammar_matcher_accept(m, 0, &error));
    assert_true(grammar_matcher_ended(m));
    expect_error(grammar_matcher_mask(m, &mask, &error), CARINA_ERROR_ARGUMENT, "the answer has ended");
    expect_error(grammar_matcher_accept(m, 0, &error), CARINA_ERROR_ARGUMENT, "the answer has ended");
    grammar_matcher_free(m);
    grammar_free(g);
    token_trie_free(&t);
}

static void bad_vocabularies_are_errors(void **state) {
    (void)state;
    const token_text long_token = {(const uint8_t *)"", TOKEN_TRIE_MAX_TOKEN + 1};
    token_trie t;
    token_table bad = {&long_token, 1, ends, 0};
    expect_error(token_trie_make(&t, &bad, &error), CARINA_ERROR_ARGUMENT, "without a token that ends");
    bad.end_count = 2;
    expect_error(token_trie_make(&t, &bad, &error), CARINA_ERROR_ARGUMENT, "the end token 1 is outside");
    bad.end_count = 1;
    expect_error(token_trie_make(&t, &bad, &error), CARINA_ERROR_LIMIT, "token 0 has 1025 bytes");
    bad.count = 0;
    expect_error(token_trie_make(&t, &bad, &error), CARINA_ERROR_ARGUMENT, "a vocabulary of 0 tokens");
    grammar_matcher_free(NULL);
    grammar_free(NULL);
    token_trie_free(NULL);
}

static void check_ambiguous(const char *text) {
    grammar *g = parse(text);
    grammar_matcher *m = match(g);
    const uint64_t *mask;
    expect_error(grammar_matcher_mask(m, &mask, &error), CARINA_ERROR_LIMIT, "g: too ambiguous");
    expect_error(grammar_matcher_accept_text(m, "x", 1, &error), CARINA_ERROR_LIMIT, "g: too ambiguous");
    grammar_matcher_free(m);
    grammar_free(g);
}

static void ambiguity_without_end_is_an_error(void **state) {
    (void)state;
    /* too many returns, and too many places within the few that there are */
    check_ambiguous("root ::= \"x\" a{1000}\na ::= b{0,100} \"a\"?\nb ::= [a]{0,1000}");
    check_ambiguous("root ::= \"x\" a{50}\na ::= (\"a\"?){1000}");
}

/* The last of one kind of tokens and the first of the next begin alike, but are of different trees. */
static void kinds_of_tokens_share_nothing(void **state) {
    (void)state;
    const token_text few[4] = {
        {NULL, 0}, {(const uint8_t *)"ab", 2}, {(const uint8_t *)"a\xc3\xa9", 3}, {(const uint8_t *)"a-", 2}};
    const token_table small = {few, 4, ends, 1};
    token_trie t;
    assert_ok(token_trie_make(&t, &small, &error));
    assert_int_equal(t.node_count, 7);
    grammar *g = parse("root ::= [a-zA-Z0-9 ]* \"é\"");
    grammar_matcher *m;
    const uint64_t *mask;
    assert_ok(grammar_matcher_make(&m, g, &t, &error));
    assert_ok(grammar_matcher_mask(m, &mask, &error));
    assert_int_equal(mask[0], 1 << 1 | 1 << 2);
    grammar_matcher_free(m);
    grammar_free(g);
    token_trie_free(&t);
}

/* ---- what is no grammar ---- */

static void bad_grammars_are_errors(void **state) {
    (void)state;
    const struct {
        const char *text, *words;
        carina_status status;
    } cases[] = {
        {"", "g: an empty grammar", CARINA_ERROR_FORMAT},
        {" \n# nothing\n", "g: an empty grammar", CARINA_ERROR_FORMAT},
        {"start ::= \"a\"", "g: no rule \"root\"", CARINA_ERROR_FORMAT},
        {"root ::= a\n\nb ::= \"b\"", "g:1:10: the rule \"a\" is not defined", CARINA_ERROR_FORMAT},
        {"root ::= \"a\"\nx ::= \"b\"\nroot ::= \"c\"", "g:3:1: the rule \"root\" is defined in line 1 already",
         CARINA_ERROR_FORMAT},
        {"root ::= \"a\" root", "g:1:1: the rule \"root\" can never end", CARINA_ERROR_FORMAT},
        {"root ::= \"a\"\na ::= \"x\" b\nb ::= [y] a", "g:2:1: the rule \"a\" can never end", CARINA_ERROR_FORMAT},
        {"root ::= root \"a\" | \"b\"", "g:1:1: the rule \"root\" begins with itself", CARINA_ERROR_FORMAT},
        {"root ::= \"x\" a\na ::= e? b \"y\" | \"z\"\nb ::= a | e\ne ::= \"-\"*", "the rule \"a\" begins with itself",
         CARINA_ERROR_FORMAT},
        {"root ::= e root | \"x\"\ne ::= \"\"", "the rule \"root\" begins with itself", CARINA_ERROR_FORMAT},
        {"root ::= \"\" (\"\" | \"\")*", "g:1:1: the rule \"root\" matches nothing but the empty text",
         CARINA_ERROR_FORMAT},
        {"root ::= e\ne ::= \"\"{0,3}\nf ::= \"f\"", "matches nothing but the empty text", CARINA_ERROR_FORMAT},
        {"root \"a\"", "g:1:6: expected ::=, found '\"'", CARINA_ERROR_FORMAT},
        {"root ::= \"a\n\"", "g:1:12: expected a closing quotation mark, found the end of the line",
         CARINA_ERROR_FORMAT},
        {"root ::= \"a", "g:1:12: expected a closing quotation mark, found the end of the text", CARINA_ERROR_FORMAT},
        {"root ::= [a-", "g:1:13: expected a closing ], found the end of the text", CARINA_ERROR_FORMAT},
        {"root ::= \"é\" [z-a]", "g:1:15: a range that ends before it begins", CARINA_ERROR_FORMAT},
        {"root ::= []", "g:1:10: expected a class of characters, this one has none", CARINA_ERROR_FORMAT},
        {"root ::= [^\\x00-\\uD7FF\\uE000-\\U0010FFFF]", "g:1:10: expected a class of characters", CARINA_ERROR_FORMAT},
        {"root ::= \"\\q\"", "g:1:12: expected n, r, t, \\, \", [, ], x, u or U after a backslash, found 'q'",
         CARINA_ERROR_FORMAT},
        {"root ::= \"\\x4g\"", "g:1:14: expected a hexadecimal digit, found 'g'", CARINA_ERROR_FORMAT},
        {"root ::= \"\\ud800\"", "g:1:13: expected a character's code, D800 is none", CARINA_ERROR_FORMAT},
        {"root ::= \"\\U00110000\"", "expected a character's code, 110000 is none", CARINA_ERROR_FORMAT},
        {"root ::= (\"a\"", "g:1:14: expected ')' or something to match, found the end of the text",
         CARINA_ERROR_FORMAT},
        {"root ::= \"a\" )", "g:1:14: expected something to match, '|' or the end of the line, found ')'",
         CARINA_ERROR_FORMAT},
        {"root ::= ()", "g:1:11: expected something to match (\"\" matches nothing), found ')'", CARINA_ERROR_FORMAT},
        {"root ::=\n", "expected something to match (\"\" matches nothing), found the end of the text",
         CARINA_ERROR_FORMAT},
        {"root ::= *", "g:1:10: expected something to match", CARINA_ERROR_FORMAT},
        {"root ::= \"a\"**", "g:1:14: expected something to match", CARINA_ERROR_FORMAT},
        {"root ::= \"a\"{,3}", "g:1:14: expected a number, found ','", CARINA_ERROR_FORMAT},
        {"root ::= \"a\"{2,3", "g:1:17: expected '}', found the end of the text", CARINA_ERROR_FORMAT},
        {"root ::= \"a\"{3,2}", "g:1:14: a repetition of at least 3 and at most 2 times", CARINA_ERROR_FORMAT},
        {"root ::= \"a\"{2001}", "g:1:14: a repetition of more than 2000 times", CARINA_ERROR_LIMIT},
        {"root ::= \"a\"{99999999999999999999}", "a repetition of more than 2000 times", CARINA_ERROR_LIMIT},
        {"root ::= ((\"a\"{500}){500}){500}", "g: too large: more than 131072 states", CARINA_ERROR_LIMIT},
        {"root ::= (((\"\"{2000}){2000}){2000}){2000}", "g: too large: more than 131072 states", CARINA_ERROR_LIMIT},
        {"root ::= \"a\" \x01", "found U+0001", CARINA_ERROR_FORMAT},
        {"root ::= \"\xff\"", "g: not UTF-8 text", CARINA_ERROR_FORMAT},
        {"ro\xc3\xb6t ::= \"a\"", "g:1:3: expected ::=, found '\xc3\xb6'", CARINA_ERROR_FORMAT},
        {"::= \"a\"", "g:1:1: expected the name of a rule, found ':'", CARINA_ERROR_FORMAT},
        {"root ::= aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "g:1:10: a name of 65 characters, at most 64", CARINA_ERROR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        grammar *g;
        expect_error(grammar_parse(&g, "g", cases[i].text, strlen(cases[i].text), &error), cases[i].status,
                     cases[i].words);
        assert_null(g);
    }
}

static void large_grammars_are_errors(void **state) {
    (void)state;
    grammar *g;
    size_t size = GRAMMAR_MAX_BYTES + 1;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '(', size);
    memcpy(text, "root ::= ", 9);
    expect_error(grammar_parse(&g, "g", text, size, &error), CARINA_ERROR_LIMIT, "a grammar of 1048577 bytes");
    expect_error(grammar_parse(&g, "g", text, 5000, &error), CARINA_ERROR_LIMIT,
                 "g:1:74: more than 64 groups within each other");
    int used = 0;
    for (int i = 0; i <= GRAMMAR_MAX_RULES; i++) used += sprintf(text + used, "r%d ::= \"x\"\n", i);
    expect_error(grammar_parse(&g, "g", text, (uint64_t)used, &error), CARINA_ERROR_LIMIT,
                 "g:4097:1: more than 4096 rules");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation),
        cmocka_unit_test(recursion),
        cmocka_unit_test(masks_are_what_each_token_says),
        cmocka_unit_test(random_texts_are_answers),
        cmocka_unit_test(a_sampler_keeps_to_the_mask),
        cmocka_unit_test(remembered_masks_stay_right),
        cmocka_unit_test(what_is_forgotten_is_found_again),
        cmocka_unit_test(lists_take_no_room_and_nesting_has_an_end),
        cmocka_unit_test(a_place_without_a_token_is_an_error),
        cmocka_unit_test(bad_vocabularies_are_errors),
        cmocka_unit_test(ambiguity_without_end_is_an_error),
        cmocka_unit_test(kinds_of_tokens_share_nothing),
        cmocka_unit_test(bad_grammars_are_errors),
        cmocka_unit_test(large_grammars_are_errors),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, free_vocabulary);
}
