/* The tokenizer's one pass over a text: characters to words, words to ids; see wordpiece.h. */
#include "text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "text/unicode.h"

/* ---- characters to words ---- */

/* The word that is being gathered, and who takes it when it ends. */
typedef struct splitter {
    const wordpiece_options *options;
    uint32_t word[WORDPIECE_MAX_WORD];
    uint8_t class[WORDPIECE_MAX_WORD]; /* combining classes; few are not 0 */
    int length;                        /* may be past the end: then the word is too long and its tail is not kept */
    int run;                           /* where the last run of characters that combine begins */
    bool (*take_word)(struct splitter *s, const char *word, int size, bool too_long);
    bool (*take_special)(struct splitter *s, vocabulary_special special);
    void *context;
} splitter;

static bool end_word(splitter *s) {
    if (s->length == 0) return true;
    char text[4 * WORDPIECE_MAX_WORD];
    int size = 0;
    bool too_long = s->length > WORDPIECE_MAX_WORD;
    for (int i = 0; i < s->length && !too_long; i++) size += unicode_encode(s->word[i], text + size);
    s->length = s->run = 0;
    return s->take_word(s, text, size, too_long);
}

/* Canonical order: within a run of characters with combining classes, those of lower class come first. */
static void append(splitter *s, uint32_t code, int class) {
    if (s->length >= WORDPIECE_MAX_WORD) {
        s->length = WORDPIECE_MAX_WORD + 1;
        return;
    }
    int at = s->length++;
    if (class == 0) s->run = s->length;
    for (; class && at > s->run && s->class[at - 1] > class; at--) {
        s->word[at] = s->word[at - 1];
        s->class[at] = s->class[at - 1];
    }
    s->word[at] = code;
    s->class[at] = (uint8_t) class;
}

static bool put(splitter *s, uint32_t code) {
    if (unicode_kind_of(code) != UNICODE_PUNCTUATION) {
        append(s, code, s->options->strip_accents ? unicode_spacing_class(code) : 0);
        return true;
    }
    if (!end_word(s)) return false;
    append(s, code, 0);
    return end_word(s);
}

static bool put_character(splitter *s, uint32_t code) {
    uint32_t lower[UNICODE_MOST] = {code}, bare[UNICODE_MOST];
    int lower_count = s->options->lower_case ? unicode_lower(code, lower) : 1;
    for (int i = 0; i < lower_count; i++) {
        bare[0] = lower[i];
        int count = s->options->strip_accents ? unicode_bare(lower[i], bare) : 1;
        /* a mark of class 0 is dropped like the others, but nothing is ordered across it */
        if (count == 0 && unicode_kind_of(lower[i]) == UNICODE_MARK_STARTER && s->length <= WORDPIECE_MAX_WORD)
            s->run = s->length;
        for (int j = 0; j < count; j++)
            if (!put(s, bare[j])) return false;
    }
    return true;
}

/* A special token written out in the text; its length, or 0. */
static int special_at(const char *text, uint64_t size, vocabulary_special *special) {
    for (int i = 0; i < VOCABULARY_SPECIAL_COUNT; i++) {
        const char *name = vocabulary_special_text((vocabulary_special)i);
        size_t length = strlen(name);
        if (length > size || memcmp(text, name, length) != 0) continue;
        *special = (vocabulary_special)i;
        return (int)length;
    }
    return 0;
}

/* False when a taker had enough. */
static bool split(splitter *s, const char *text, uint64_t size) {
    for (uint64_t at = 0; at < size;) {
        vocabulary_special special;
        int taken = text[at] == '[' ? special_at(text + at, size - at, &special) : 0;
        if (taken) {
            if (!end_word(s) || !s->take_special(s, special)) return false;
            at += (uint64_t)taken;
            continue;
        }
        uint32_t code;
        at += (uint64_t)unicode_decode(text + at, size - at, &code);
        unicode_kind kind = unicode_kind_of(code);
        if (kind == UNICODE_CONTROL || code == 0xfffd) continue;
        if (kind == UNICODE_SPACE) {
            if (!end_word(s)) return false;
        } else if (s->options->split_cjk && unicode_is_cjk(code)) {
            if (!end_word(s) || !put_character(s, code) || !end_word(s)) return false;
        } else if (!put_character(s, code)) {
            return false;
        }
    }
    return end_word(s);
}

/* ---- words to ids ---- */

typedef struct encoding {
    const wordpiece *tokens;
    int *ids;
    int count, room; /* ids so far; how many may stand before [SEP] */
    bool cut;
} encoding;

static bool add_ids(encoding *e, const int *ids, int count) {
    int fit = count < e->room - e->count ? count : e->room - e->count;
    memcpy(e->ids + e->count, ids, (size_t)fit * sizeof *ids);
    e->count += fit;
    e->cut = fit < count;
    return !e->cut;
}

/* Greedy, longest first. Returns how many pieces, 0 when the word cannot be cut into tokens. */
static int pieces_of(const vocabulary *v, const char *word, int size, int pieces[WORDPIECE_MAX_WORD]) {
    char key[2 + 4 * WORDPIECE_MAX_WORD] = "##";
    memcpy(key + 2, word, (size_t)size);
    int count = 0;
    for (int begin = 0; begin < size;) {
        int mark = begin ? 2 : 0, end = size, id = -1;
        char *from = key + 2 + begin - mark; /* the mark overwrites what was already cut off */
        memcpy(from, "##", (size_t)mark);
        if (end - begin + mark > v->longest) end = begin + v->longest - mark;
        for (; end > begin; end--) {
            if (end < size && ((uint8_t)word[end] & 0xc0) == 0x80) continue; /* inside a character */
            id = vocabulary_find(v, from, (uint64_t)(end - begin + mark));
            if (id >= 0) break;
        }
        if (id < 0) return 0;
        pieces[count++] = id;
        begin = end;
    }
    return count;
}

static bool encode_word(splitter *s, const char *word, int size, bool too_long) {
    encoding *e = s->context;
    int pieces[WORDPIECE_MAX_WORD];
    int count = too_long ? 0 : pieces_of(&e->tokens->words, word, size, pieces);
    return add_ids(e, count ? pieces : &e->tokens->words.special[VOCABULARY_UNK], count ? count : 1);
}

static bool encode_special(splitter *s, vocabulary_special special) {
    encoding *e = s->context;
    int id = e->tokens->words.special[special];
    return add_ids(e, id >= 0 ? &id : &e->tokens->words.special[VOCABULARY_UNK], 1);
}

int wordpiece_encode(const wordpiece *w, const char *text, uint64_t size, int *ids, int limit, bool *cut) {
    encoding e = {.tokens = w, .ids = ids, .count = 1, .room = limit - 1};
    splitter s = {.options = &w->options, .take_word = encode_word, .take_special = encode_special, .context = &e};
    ids[0] = w->words.special[VOCABULARY_CLS];
    split(&s, text, size);
    ids[e.count++] = w->words.special[VOCABULARY_SEP];
    if (cut) *cut = e.cut;
    return e.count;
}

/* ---- words alone ---- */

typedef struct visit {
    wordpiece_each *each;
    void *context;
} visit;

static bool visit_word(splitter *s, const char *word, int size, bool too_long) {
    visit *v = s->context;
    return too_long || v->each(v->context, word, size);
}

static bool pass_special(splitter *s, vocabulary_special special) {
    (void)s;
    (void)special;
    return true;
}

bool wordpiece_split(const wordpiece_options *options, const char *text, uint64_t size, wordpiece_each *each,
                     void *context) {
    visit v = {each, context};
    splitter s = {.options = options, .take_word = visit_word, .take_special = pass_special, .context = &v};
    return split(&s, text, size);
}

/* ---- files ---- */

wordpiece_options wordpiece_defaults(void) { return (wordpiece_options){true, true, true}; }

static carina_status get_truth(const json_document *d, const char *key, bool *out, carina_error *error) {
    return json_has(json_root(d), key) ? json_get_truth(d, json_root(d), key, out, error) : CARINA_OK;
}

/* "unk_token": "[UNK]", or {"content": "[UNK]", ...} */
static carina_status check_special(const json_document *d, const char *key, const char *expected, carina_error *error) {
    const json_value *value = json_find(json_root(d), key);
    const char *text = json_text(json_kind_of(value) == JSON_KIND_OBJECT ? json_find(value, "content") : value);
    if (!json_has(json_root(d), key) || (text && strcmp(text, expected) == 0)) return CARINA_OK;
    return json_fail(d, json_root(d), key, CARINA_ERROR_UNSUPPORTED, error, "\"%.40s\", only %s is known here",
                     text ? text : "?", expected);
}

static carina_status parse_options(wordpiece_options *out, const json_document *d, carina_error *error) {
    const json_value *root = json_root(d);
    if (json_kind_of(root) != JSON_KIND_OBJECT)
        return json_fail(d, root, NULL, CARINA_ERROR_FORMAT, error, "an object is wanted");
    const char *class = json_text(json_find(root, "tokenizer_class"));
    if (class && strcmp(class, "BertTokenizer") != 0 && strcmp(class, "BertTokenizerFast") != 0)
        return json_fail(d, root, "tokenizer_class", CARINA_ERROR_UNSUPPORTED, error,
                         "\"%.60s\", only BertTokenizer is known here", class);
    bool basic = true;
    TRY(get_truth(d, "do_basic_tokenize", &basic, error));
    if (!basic)
        return json_fail(d, root, "do_basic_tokenize", CARINA_ERROR_UNSUPPORTED, error,
                         "false: words would not be cut at punctuation");
    static const char *const keys[] = {"pad_token", "unk_token", "cls_token", "sep_token", "mask_token"};
    for (int i = 0; i < VOCABULARY_SPECIAL_COUNT; i++)
        TRY(check_special(d, keys[i], vocabulary_special_text((vocabulary_special)i), error));
    TRY(get_truth(d, "do_lower_case", &out->lower_case, error));
    out->strip_accents = out->lower_case;
    TRY(get_truth(d, "strip_accents", &out->strip_accents, error));
    return get_truth(d, "tokenize_chinese_chars", &out->split_cjk, error);
}

carina_status wordpiece_options_parse(wordpiece_options *out, const char *name, const void *data, uint64_t size,
                                      carina_error *error) {
    *out = wordpiece_defaults();
    json_document *d;
    TRY(json_parse(&d, name, data, size, NULL, error));
    carina_status status = parse_options(out, d, error);
    json_free(d);
    return status;
}

static carina_status load_options(wordpiece_options *out, const char *path, carina_error *error) {
    *out = wordpiece_defaults();
    if (!file_exists(path)) return CARINA_OK;
    uint8_t *data;
    uint64_t size;
    TRY(file_read(path, 1 << 20, &data, &size, error));
    carina_status status = wordpiece_options_parse(out, path, data, size, error);
    free(data);
    return status;
}

carina_status wordpiece_load(wordpiece *out, const char *folder, carina_error *error) {
    *out = (wordpiece){0};
    char *words = path_join(folder, "vocab.txt"), *options = path_join(folder, "tokenizer_config.json");
    carina_status status = words && options ? CARINA_OK : error_memory(error, folder, 4096);
    if (status == CARINA_OK) status = load_options(&out->options, options, error);
    if (status == CARINA_OK) status = vocabulary_read(&out->words, words, error);
    free(words);
    free(options);
    if (status != CARINA_OK) wordpiece_free(out);
    return status;
}

void wordpiece_free(wordpiece *w) {
    if (!w) return;
    vocabulary_free(&w->words);
    *w = (wordpiece){0};
}
