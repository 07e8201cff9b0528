/* What choosing a token costs beside the language model: one JSON line per run, over a made vocabulary of Gemma 3's
 * size (262,208 tokens: syllables into words with and without a blank, other scripts, single digits, runs of blanks and
 * marks, marks before words, 256 single bytes).
 *
 *     bench_decoding MODE [key=value ...]
 *     trie       the prefix tree of the vocabulary, once per program
 *     box, schema, text, length
 *                an answer of random allowed tokens; the time of each mask that was not remembered, and how many
 *                there were among how many steps ("fresh", "steps")
 *     sampler    one draw: temperature 1, top_k=64, top_p=0.95; key alternatives=0
 *     keys: runs=20 steps=300
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/random.h"
#include "bench.h"
#include "text/grammar_matcher.h"
#include "text/sampler.h"
#include "text/unicode.h"

#define TOKENS 262208
#define ROOM   64 /* bytes of a token */

static uint8_t bytes[TOKENS][ROOM];
static token_text texts[TOKENS];
static uint64_t slots[1 << 20]; /* hashes of the tokens that are there */
static int count;

static void check(carina_status status, const carina_error *error) {
    if (status == CARINA_OK) return;
    fprintf(stderr, "bench_decoding: %s\n", error->message);
    exit(1);
}

/* ---- the vocabulary ---- */

static void add(const char *text, size_t size) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    hash |= 1;
    uint64_t slot = hash >> 44;
    for (; slots[slot]; slot = (slot + 1) % (1 << 20))
        if (slots[slot] == hash) return;
    if (count == TOKENS || size > ROOM) return;
    slots[slot] = hash;
    memcpy(bytes[count], text, size);
    texts[count] = (token_text){bytes[count], (uint32_t)size};
    count++;
}

static void add_word(random_state *random) {
    static const char *const onsets[20] = {"b",  "c",  "d", "f", "g",  "h", "l",  "m", "n",  "p",
                                           "pr", "qu", "r", "s", "st", "t", "tr", "v", "th", ""};
    static const char *const rests[16] = {"a",  "e",  "i",  "o",  "u",  "al", "an", "ar",
                                          "en", "er", "es", "in", "on", "or", "is", "ea"};
    char text[ROOM] = "";
    if (random_chance(random, 0.5)) strcat(text, " ");
    int syllables = 1 + (int)random_below(random, 4);
    for (int i = 0; i < syllables; i++) {
        strcat(text, onsets[random_below(random, 20)]);
        strcat(text, rests[random_below(random, 16)]);
    }
    if (random_chance(random, 0.2) && text[0] >= 'a') text[0] = (char)(text[0] - 32);
    add(text, strlen(text));
}

static void add_foreign(random_state *random) {
    static const uint32_t firsts[5] = {0x430, 0x4e00, 0xac00, 0x905, 0x627}, sizes[5] = {32, 6000, 3000, 40, 36};
    char text[ROOM];
    int script = (int)random_below(random, 5), size = 0,
        characters = 1 + (int)random_below(random, script == 1 || script == 2 ? 3 : 6);
    if (random_chance(random, 0.3)) text[size++] = ' ';
    for (int i = 0; i < characters; i++)
        size += unicode_encode(firsts[script] + (uint32_t)random_below(random, sizes[script]), text + size);
    add(text, (size_t)size);
}

static void add_marks(random_state *random) {
    static const char marks[] = "\"{}[](),:;.<>/=-_\\ \n\t'!?#*+&|";
    char text[8];
    int size = 1 + (int)random_below(random, 6);
    for (int i = 0; i < size; i++) text[i] = marks[random_below(random, sizeof marks - 1)];
    bool word = random_chance(random, 0.8); /* one mark and a word: ".get", "(self", "-term" */
    for (int i = 1; i < size && word; i++) text[i] = (char)('a' + random_below(random, 26));
    add(text, (size_t)size);
}

static void make_vocabulary(void) {
    random_state random = random_seed(1);
    add("<end_of_turn>", 13);
    for (int i = 0; i < 256; i++) add(&(char){(char)i}, 1);
    for (size_t size = 1; size <= 31; size++) add("                               ", size);
    static const char *const words[6] = {"<box>", "</box>", "<ref>", "</ref>", ")</", "),("};
    for (int i = 0; i < 6; i++) add(words[i], strlen(words[i]));
    while (count < TOKENS) {
        double kind = random_uniform(&random);
        if (kind < 0.55)
            add_word(&random);
        else if (kind < 0.88)
            add_foreign(&random);
        else
            add_marks(&random);
    }
}

/* ---- figures ---- */

/* Of this thread alone: what else runs on the machine does not count. */
static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void print(const char *name, double *seconds, int runs, const char *more) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(seconds, (size_t)runs, sizeof *seconds, compare_doubles);
    printf(
        "{\"name\": \"carina decoding %s\", \"seconds_min\": %.7f, \"seconds_median\": %.7f, \"seconds_max\": %.7f%s, "
        "\"peak_rss_bytes\": %lld}\n",
        name, seconds[0], seconds[runs / 2], seconds[runs - 1], more, (long long)usage.ru_maxrss * 1024);
}

static int random_allowed(const uint64_t *mask, random_state *random) {
    for (;;) {
        uint64_t token = random_below(random, TOKENS);
        for (uint64_t i = 0; i < 4096; i++, token = (token + 1) % TOKENS) /* near enough to uniform */
            if (mask[token / 64] >> token % 64 & 1) return (int)token;
        for (token = 0; token < TOKENS; token++) /* few are allowed */
            if (mask[token / 64] >> token % 64 & 1) return (int)token;
    }
}

static void measure_grammar(const char *name, const char *text, const token_trie *trie, int steps) {
    grammar *g;
    grammar_matcher *m;
    carina_error error;
    check(grammar_parse(&g, name, text, strlen(text), &error), &error);
    check(grammar_matcher_make(&m, g, trie, &error), &error);
    random_state random = random_seed(3);
    double *fresh = malloc((size_t)steps * sizeof *fresh), all = 0;
    int fresh_count = 0;
    for (int i = 0; i < steps; i++) {
        const uint64_t *mask;
        double start = processor_seconds();
        check(grammar_matcher_mask(m, &mask, &error), &error);
        double seconds = processor_seconds() - start;
        all += seconds;
        if (seconds > 2e-6) fresh[fresh_count++] = seconds; /* a remembered mask is found in less */
        check(grammar_matcher_accept(m, random_allowed(mask, &random), &error), &error);
        if (grammar_matcher_ended(m)) check(grammar_matcher_reset(m, &error), &error);
    }
    char more[128];
    snprintf(more, sizeof more, ", \"seconds_mean_of_all\": %.7f, \"fresh\": %d, \"steps\": %d", all / steps,
             fresh_count, steps);
    print(name, fresh, fresh_count, more);
    free(fresh);
    grammar_matcher_free(m);
    grammar_free(g);
}

static void measure_sampler(int runs, int alternatives) {
    static float logits[TOKENS];
    random_state random = random_seed(5);
    for (int i = 0; i < TOKENS; i++) logits[i] = (float)(3 * random_normal(&random));
    sampler_options o = sampler_defaults();
    o.temperature = 1;
    o.top_k = 64;
    o.top_p = 0.95f;
    o.alternatives = alternatives;
    sampler *s;
    carina_error error;
    check(sampler_make(&s, TOKENS, &o, &error), &error);
    double *seconds = malloc((size_t)runs * sizeof *seconds);
    for (int i = 0; i < runs; i++) {
        sampler_draw drawn;
        double start = processor_seconds();
        check(sampler_next(&drawn, s, logits, NULL, &error), &error);
        seconds[i] = processor_seconds() - start;
        check(sampler_accept(s, drawn.token, &error), &error);
    }
    print("sampler", seconds, runs, "");
    free(seconds);
    sampler_free(s);
}

static void measure_trie(const token_table *table, int runs) {
    double *seconds = malloc((size_t)runs * sizeof *seconds);
    carina_error error;
    token_trie trie;
    char more[64] = "";
    for (int i = 0; i < runs; i++) {
        double start = processor_seconds();
        check(token_trie_make(&trie, table, &error), &error);
        seconds[i] = processor_seconds() - start;
        snprintf(more, sizeof more, ", \"nodes\": %u", trie.node_count);
        token_trie_free(&trie);
    }
    print("trie", seconds, runs, more);
    free(seconds);
}

static const char box[] =
    "root ::= (\"<ref>\" [^<>]+ \"</ref>\")? \"<box>(\" n \",\" n \"),(\" n \",\" n \")</box>\"\n"
    "n ::= [0-9] | [1-9] [0-9]{1,2} | \"10\" ([01] [0-9] | \"2\" [0-3])\n";
static const char schema[] =
    "root ::= \"{\\\"finding\\\": \" s \", \\\"severity\\\": \" (\"\\\"mild\\\"\" | \"\\\"severe\\\"\") \", "
    "\\\"boxes\\\": [\" n (\", \" n){3} \"]}\"\n"
    "s ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\/bfnrt])* \"\\\"\"\n"
    "n ::= \"0\" | [1-9] [0-9]{0,15}\n";

int main(int argument_count, char **arguments) {
    const char *mode = argument_count > 1 ? arguments[1] : "";
    int runs = atoi(option(argument_count, arguments, "runs", "20"));
    int steps = atoi(option(argument_count, arguments, "steps", "300"));
    const int ends[1] = {0};
    make_vocabulary();
    token_table table = {texts, TOKENS, ends, 1};
    token_trie trie;
    carina_error error;
    if (strcmp(mode, "sampler") == 0) {
        measure_sampler(runs, atoi(option(argument_count, arguments, "alternatives", "0")));
        return 0;
    }
    if (strcmp(mode, "trie") == 0) {
        measure_trie(&table, runs);
        return 0;
    }
    check(token_trie_make(&trie, &table, &error), &error);
    if (strcmp(mode, "box") == 0)
        measure_grammar("box", box, &trie, steps);
    else if (strcmp(mode, "schema") == 0)
        measure_grammar("schema", schema, &trie, steps);
    else if (strcmp(mode, "text") == 0)
        measure_grammar("text", "root ::= .*", &trie, steps);
    else if (strcmp(mode, "length") == 0)
        measure_grammar("length", "root ::= [^<]{1,200}", &trie, steps);
    else
        fprintf(stderr, "usage: bench_decoding trie|box|schema|text|length|sampler [key=value ...]\n");
    token_trie_free(&trie);
    return 0;
}
