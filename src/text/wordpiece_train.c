/* Counting words, and joining the neighbours that gain most; see wordpiece_train.h. */
#include "text/wordpiece_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/text_table.h"
#include "text/token_pairs.h"
#include "text/unicode.h"

/* ---- the trainer ---- */

/* A word as the tokens that it is cut into by now. */
typedef struct spelling {
    int32_t tokens[WORDPIECE_MAX_WORD];
    int length;
    int64_t count;
} spelling;

struct wordpiece_trainer {
    wordpiece_train_options options;
    text_table words, tokens;
    list spellings; /* of spelling */
    token_pairs pairs;
    bool out_of_memory;
};

wordpiece_train_options wordpiece_train_defaults(void) {
    return (wordpiece_train_options){
        .text = wordpiece_defaults(), .vocabulary_size = 8000, .min_frequency = 2, .alphabet_limit = 1000};
}

carina_status wordpiece_trainer_create(wordpiece_trainer **out, const wordpiece_train_options *options,
                                       carina_error *error) {
    *out = NULL;
    if (options->vocabulary_size < VOCABULARY_SPECIAL_COUNT || options->vocabulary_size > VOCABULARY_MAX_TOKENS)
        return error_set(error, CARINA_ERROR_ARGUMENT, "vocabulary size: %d is not within %d to %d",
                         options->vocabulary_size, VOCABULARY_SPECIAL_COUNT, VOCABULARY_MAX_TOKENS);
    if (options->alphabet_limit < 1 || options->min_frequency < 1)
        return error_set(error, CARINA_ERROR_ARGUMENT, "alphabet limit and least frequency must be at least 1");
    *out = calloc(1, sizeof **out);
    if (!*out) return error_memory(error, "vocabulary", sizeof **out);
    (*out)->options = *options;
    return CARINA_OK;
}

void wordpiece_trainer_free(wordpiece_trainer *t) {
    if (!t) return;
    text_table_free(&t->words);
    text_table_free(&t->tokens);
    token_pairs_free(&t->pairs);
    free(t->spellings.items);
    free(t);
}

static bool count_word(void *context, const char *word, int size) {
    wordpiece_trainer *t = context;
    int64_t index = text_table_add(&t->words, word, (uint64_t)size);
    if (index < 0)
        t->out_of_memory = true;
    else
        text_table_at(&t->words, (uint64_t)index)->count++;
    return index >= 0 && t->words.entries.count <= WORDPIECE_TRAIN_MAX_WORDS;
}

carina_status wordpiece_trainer_add(wordpiece_trainer *t, const char *text, uint64_t size, carina_error *error) {
    if (wordpiece_split(&t->options.text, text, size, count_word, t)) return CARINA_OK;
    if (t->out_of_memory) return error_memory(error, "words", t->words.entries.count * sizeof(text_entry));
    return error_set(error, CARINA_ERROR_LIMIT, "more than %d distinct words", WORDPIECE_TRAIN_MAX_WORDS);
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

/* Punctuation and single ideographs are words of their own: they never go on. */
static bool can_continue(const wordpiece_trainer *t, uint32_t code) {
    return unicode_kind_of(code) != UNICODE_PUNCTUATION && !(t->options.text.split_cjk && unicode_is_cjk(code));
}

static bool add_letter_token(wordpiece_trainer *t, uint32_t code, bool goes_on) {
    char text[8] = "##";
    int size = goes_on ? 2 : 0;
    size += unicode_encode(code, text + size);
    return text_table_add(&t->tokens, text, (uint64_t)size) >= 0;
}

/* Kept characters into the token table, both ways. */
static bool add_alphabet(wordpiece_trainer *t, letter *letters, uint64_t count) {
    qsort(letters, (size_t)count, sizeof *letters, frequent_first);
    if (count > (uint64_t)t->options.alphabet_limit) count = (uint64_t)t->options.alphabet_limit;
    qsort(letters, (size_t)count, sizeof *letters, by_code);
    for (int goes_on = 0; goes_on < 2; goes_on++)
        for (uint64_t i = 0; i < count; i++)
            if ((!goes_on || can_continue(t, letters[i].code)) && !add_letter_token(t, letters[i].code, goes_on))
                return false;
    return true;
}

static bool find_alphabet(wordpiece_trainer *t) {
    enum { CODES = 0x110000 };
    int64_t *counts = calloc(CODES, sizeof *counts);
    list letters = {0};
    bool done = counts != NULL;
    for (uint64_t i = 0; done && i < t->words.entries.count; i++) {
        const text_entry *word = text_table_at(&t->words, i);
        uint64_t size = strlen(word->text);
        for (uint64_t at = 0; at < size;) {
            uint32_t code;
            at += (uint64_t)unicode_decode(word->text + at, size - at, &code);
            counts[code] += word->count;
        }
    }
    for (uint32_t code = 0; done && code < CODES; code++) {
        if (!counts[code]) continue;
        letter *l = list_add(&letters, sizeof *l);
        if (l) *l = (letter){code, counts[code]};
        done = l != NULL;
    }
    done = done && (letters.count == 0 || add_alphabet(t, letters.items, letters.count));
    free(letters.items);
    free(counts);
    return done;
}

/* ---- spellings and their pairs ---- */

/* Adds (sign 1) or takes away (-1) what a word contributes to the counts. Pairs with token `joined` (-1: all) are told
 * that they stand in it. */
static bool count_spelling(wordpiece_trainer *t, uint32_t index, int sign, int32_t joined) {
    const spelling *s = (const spelling *)t->spellings.items + index;
    for (int i = 0; i < s->length; i++) {
        text_table_at(&t->tokens, (uint64_t)s->tokens[i])->count += sign * s->count;
        if (i + 1 == s->length) break;
        token_pair *p = token_pairs_of(&t->pairs, s->tokens[i], s->tokens[i + 1]);
        if (!p) return false;
        p->count += sign * s->count;
        if (sign < 0 || (joined >= 0 && p->left != joined && p->right != joined)) continue;
        uint32_t *place = list_add(&p->words, sizeof *place);
        if (!place) return false;
        *place = index;
    }
    return true;
}

/* The word as characters; false when out of memory. Words with a character outside the alphabet are left out. */
static bool spell(wordpiece_trainer *t, const text_entry *word) {
    spelling s = {.count = word->count};
    uint64_t size = strlen(word->text);
    for (uint64_t at = 0; at < size;) {
        char text[8] = "##";
        uint32_t code;
        int begin = at ? 2 : 0, length = unicode_decode(word->text + at, size - at, &code);
        memcpy(text + begin, word->text + at, (size_t)length);
        int64_t token = text_table_find(&t->tokens, text, (uint64_t)(begin + length));
        if (token < 0) return true;
        s.tokens[s.length++] = (int32_t)token;
        at += (uint64_t)length;
    }
    spelling *kept = list_add(&t->spellings, sizeof *kept);
    if (!kept) return false;
    *kept = s;
    return count_spelling(t, (uint32_t)t->spellings.count - 1, 1, -1);
}

/* ---- joining ---- */

/* The pair that gains most; ties go to the more frequent, then to the older tokens. NULL: none is frequent enough. */
static token_pair *best_pair(const wordpiece_trainer *t) {
    token_pair *best = NULL;
    double best_score = 0;
    for (uint64_t i = 0; i < t->pairs.all.count; i++) {
        token_pair *p = token_pairs_at(&t->pairs, i);
        if (p->count < t->options.min_frequency) continue;
        double score = (double)p->count / ((double)text_table_at(&t->tokens, (uint64_t)p->left)->count *
                                           (double)text_table_at(&t->tokens, (uint64_t)p->right)->count);
        bool better = !best || score > best_score;
        if (!better && !(score < best_score))
            better = p->count != best->count
                         ? p->count > best->count
                         : p->left < best->left || (p->left == best->left && p->right < best->right);
        if (better) best = p, best_score = score;
    }
    return best;
}

static bool join(wordpiece_trainer *t, const token_pair *chosen) {
    char text[2 * VOCABULARY_MAX_TOKEN];
    int32_t left = chosen->left, right = chosen->right;
    int size = snprintf(text, sizeof text, "%s%s", text_table_at(&t->tokens, (uint64_t)left)->text,
                        text_table_at(&t->tokens, (uint64_t)right)->text + 2); /* without its ## */
    int64_t joined = text_table_add(&t->tokens, text, (uint64_t)size);
    if (joined < 0) return false;
    uint64_t index = (uint64_t)(chosen - token_pairs_at(&t->pairs, 0));
    for (uint64_t i = 0; i < token_pairs_at(&t->pairs, index)->words.count;
         i++) { /* the table of pairs may move meanwhile */
        uint32_t word = ((const uint32_t *)token_pairs_at(&t->pairs, index)->words.items)[i];
        spelling *s = (spelling *)t->spellings.items + word;
        int at = 0;
        while (at + 1 < s->length && !(s->tokens[at] == left && s->tokens[at + 1] == right)) at++;
        if (at + 1 >= s->length) continue; /* stood there once */
        if (!count_spelling(t, word, -1, -1)) return false;
        int kept = at;
        for (; at < s->length; at++, kept++) {
            bool here = at + 1 < s->length && s->tokens[at] == left && s->tokens[at + 1] == right;
            s->tokens[kept] = here ? (int32_t)joined : s->tokens[at];
            at += here;
        }
        s->length = kept;
        if (!count_spelling(t, word, 1, (int32_t)joined)) return false;
    }
    return true;
}

static carina_status build(wordpiece_trainer *t, carina_error *error) {
    text_table_sort(&t->words);
    if (!find_alphabet(t)) return error_memory(error, "alphabet", 0x110000 * sizeof(int64_t));
    uint64_t wanted = (uint64_t)t->options.vocabulary_size - VOCABULARY_SPECIAL_COUNT;
    if (t->tokens.entries.count > wanted)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "vocabulary size: %d tokens are fewer than the characters alone, %llu with the special ones",
                         t->options.vocabulary_size,
                         (unsigned long long)t->tokens.entries.count + VOCABULARY_SPECIAL_COUNT);
    bool done = true;
    for (uint64_t i = 0; done && i < t->words.entries.count; i++) done = spell(t, text_table_at(&t->words, i));
    for (token_pair *p; done && t->tokens.entries.count < wanted && (p = best_pair(t));) done = join(t, p);
    return done ? CARINA_OK : error_memory(error, "pairs of tokens", t->pairs.all.count * sizeof(token_pair));
}

carina_status wordpiece_trainer_finish(wordpiece_trainer *t, vocabulary *out, carina_error *error) {
    *out = (vocabulary){0};
    TRY(build(t, error));
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return error_memory(error, "vocabulary", 4096);
    for (int i = 0; i < VOCABULARY_SPECIAL_COUNT; i++)
        fprintf(stream, "%s\n", vocabulary_special_text((vocabulary_special)i));
    for (uint64_t i = 0; i < t->tokens.entries.count; i++) fprintf(stream, "%s\n", text_table_at(&t->tokens, i)->text);
    carina_status status = fclose(stream) == 0 ? CARINA_OK : error_memory(error, "vocabulary", size);
    if (status == CARINA_OK) status = vocabulary_parse(out, "new vocabulary", text, size, error);
    free(text);
    return status;
}
