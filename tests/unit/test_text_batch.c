/* What a text encoder is fed with: how many words are hidden and how, rows and pairs that follow from (seed, batch)
 * alone, and how reports are cut into sentences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "data/report_sentences.h"
#include "train/text_batch.h"

enum { PAD, UNK, CLS, SEP, MASK, ORDINARY, VOCABULARY = 500 };
static const masking masks = {.share = 0.15,
                              .single = 0.5,
                              .cls = CLS,
                              .sep = SEP,
                              .pad = PAD,
                              .mask = MASK,
                              .ordinary = ORDINARY,
                              .vocabulary = VOCABULARY};

static void hidden_words_keep_their_shares(void **state) {
    (void)state;
    enum { ROW = 64, ROWS = 2000 };
    uint64_t chosen = 0, masked = 0, same = 0, other = 0;
    for (int r = 0; r < ROWS; r++) {
        random_state random = random_stream(5, (uint64_t)r);
        float ids[ROW], targets[ROW], true_ids[ROW];
        for (int i = 0; i < ROW; i++) true_ids[i] = ids[i] = (float)(i == 0 ? CLS : i == ROW - 1 ? SEP : 5 + i);
        text_batch_hide(&masks, ids, targets, ROW, &random);
        assert_true(targets[0] == -1 && targets[ROW - 1] == -1);
        for (int i = 0; i < ROW; i++) {
            if (targets[i] < 0) {
                assert_true(ids[i] == true_ids[i]);
                continue;
            }
            assert_true(targets[i] == true_ids[i]);
            chosen++;
            if (ids[i] == (float)MASK)
                masked++;
            else if (ids[i] == true_ids[i])
                same++;
            else
                other++;
            assert_true(ids[i] == (float)MASK || (ids[i] >= ORDINARY && ids[i] < VOCABULARY));
        }
    }
    double n = (double)chosen, all = (double)ROWS * (ROW - 2); /* four deviations */
    assert_true(fabs(n / all - 0.15) < 4 * sqrt(0.15 * 0.85 / all));
    assert_true(fabs((double)masked / n - 0.8) < 4 * sqrt(0.8 * 0.2 / n));
    assert_true(fabs((double)same / n - 0.1) < 4 * sqrt(0.1 * 0.9 / n));
    assert_true(fabs((double)other / n - 0.1) < 4 * sqrt(0.1 * 0.9 / n));
}

/* Sentence i: i + 1 tokens, all 10 + i. */
static void make_corpus(text_corpus *c, text_sentence sentences[6], int tokens[6][8]) {
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 8; j++) tokens[i][j] = 10 + i;
        sentences[i] = (text_sentence){.tokens = tokens[i], .token_count = i + 1};
    }
    *c = (text_corpus){.sentences = sentences, .count = 6, .train = {.begin = 0, .end = 6}};
}

static void rows_follow_from_seed_and_batch(void **state) {
    (void)state;
    enum { ROWS = 32, TOKENS = 12, N = ROWS * TOKENS };
    text_corpus c;
    text_sentence sentences[6];
    int tokens[6][8];
    static float ids[3][N], mask[3][N], targets[3][N];
    make_corpus(&c, sentences, tokens);
    text_batch_masked(&masks, &c, 9, 4, ROWS, TOKENS, ids[0], mask[0], targets[0]);
    text_batch_masked(&masks, &c, 9, 4, ROWS, TOKENS, ids[1], mask[1], targets[1]);
    text_batch_masked(&masks, &c, 9, 5, ROWS, TOKENS, ids[2], mask[2], targets[2]);
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_memory_equal(targets[0], targets[1], sizeof targets[0]);
    assert_memory_not_equal(ids[0], ids[2], sizeof ids[0]);
    bool single = false, several = false;
    for (int r = 0; r < ROWS; r++) {
        const float *row = ids[0] + r * TOKENS, *wanted = targets[0] + r * TOKENS, *used = mask[0] + r * TOKENS;
        int length = 0, kinds = 0;
        while (length < TOKENS && used[length] > 0) length++;
        assert_true(row[0] == (float)CLS && row[length - 1] == (float)SEP);
        for (int i = length; i < TOKENS; i++) assert_true(row[i] == (float)PAD && wanted[i] == -1 && !(used[i] > 0));
        for (int i = 1; i + 1 < length; i++) { /* the sentences as they were before words were hidden */
            float before = i > 1 ? (wanted[i - 1] >= 0 ? wanted[i - 1] : row[i - 1]) : -1;
            kinds += (wanted[i] >= 0 ? wanted[i] : row[i]) != before;
        }
        single |= kinds == 1, several |= kinds > 1;
    }
    assert_true(single && several);
    float row[4], used[4]; /* too long: cut between [CLS] and [SEP] */
    assert_int_equal(text_batch_sentence(&masks, &sentences[5], 4, row, used), 4);
    assert_true(row[0] == (float)CLS && row[1] == 15 && row[2] == 15 && row[3] == (float)SEP && used[3] > 0);
}

static void pairs_say_the_same(void **state) {
    (void)state;
    uint32_t members[] = {7, 3, 9, 20}, begin[] = {0, 3, 4}, z[200], t[200], again[2][200];
    const text_part part = {.members = members, .group_begin = begin, .group_count = 2, .member_count = 4};
    const text_pairs from = {.part = &part};
    text_batch_pairs(&from, 1, 0, 200, z, t);
    text_batch_pairs(&from, 1, 0, 200, again[0], again[1]);
    assert_memory_equal(z, again[0], sizeof z);
    assert_memory_equal(t, again[1], sizeof t);
    int alone = 0;
    for (int p = 0; p < 200; p++) {
        assert_int_equal(z[p] == 20, t[p] == 20); /* of one group */
        if (z[p] == 20)
            alone++;
        else
            assert_int_not_equal(z[p], t[p]); /* in other words, where there are any */
    }
    assert_in_range(alone, 60, 140); /* groups are drawn, not sentences */
}

/* Findings 0 and 1 are denied by few groups and affirmed by others; 2 is never affirmed. Half of the pairs must be
 * couples of a denial and its affirmation, and of both findings as often. */
enum { YES_0, NO_0, YES_1, NO_1, NO_2, FEATURES };
static uint32_t said[][2] = {{NO_0, NO_0}, {NO_1, NO_1},   {YES_0, YES_0}, {YES_0, NO_1}, {YES_1, YES_1},
                             {NO_2, NO_2}, {YES_0, YES_1}, {YES_1, YES_1}, {YES_0, YES_0}};
enum { SAID = sizeof said / sizeof *said };

static void make_contrast(text_contrast *out, text_part *part) {
    static char kind[FEATURES + 1] = "ynynn";
    static uint32_t opposite[FEATURES] = {NO_0, YES_0, NO_1, YES_1, UINT32_MAX}, members[SAID], begin[SAID + 1];
    static text_sentence sentences[SAID];
    carina_error error;
    for (uint32_t i = 0; i < SAID; i++) {
        sentences[i] = (text_sentence){.features = said[i], .feature_count = said[i][0] == said[i][1] ? 1 : 2};
        members[i] = begin[i] = i;
    }
    begin[SAID] = SAID;
    *part = (text_part){.members = members, .group_begin = begin, .group_count = SAID, .member_count = SAID};
    const text_corpus c = {.sentences = sentences, .feature_count = FEATURES, .kind = kind, .opposite = opposite};
    assert_int_equal(text_contrast_create(out, &c, part, &error), CARINA_OK);
}

static void denials_meet_what_they_deny(void **state) {
    (void)state;
    enum { PAIRS = 1000 };
    static uint32_t z[PAIRS], t[PAIRS];
    text_contrast c;
    text_part part;
    int couples[2] = {0};
    make_contrast(&c, &part);
    assert_int_equal(c.count, 2);
    const text_pairs from = {&part, &c, 0.8};
    text_batch_pairs(&from, 3, 0, PAIRS, z, t);
    for (int p = 0; p + 1 < PAIRS; p++)
        for (uint32_t finding = 0; finding < 2; finding++) {
            if (said[z[p]][0] != NO_0 + 2 * finding && said[z[p]][1] != NO_0 + 2 * finding) continue;
            bool affirmed = said[z[p + 1]][0] == 2 * finding || said[z[p + 1]][1] == 2 * finding;
            couples[finding] += affirmed;
        }
    assert_in_range(couples[0], 150, 280); /* 400 couples, and a few by chance */
    assert_in_range(couples[1], 150, 280);
    text_contrast_free(&c);
}

/* ---- reports ---- */

typedef struct heard {
    char text[4096];
    int count, limit;
} heard;

static bool hear(void *context, const char *sentence) {
    heard *h = context;
    size_t length = strlen(h->text);
    snprintf(h->text + length, sizeof h->text - length, "%s|", sentence);
    return ++h->count != h->limit;
}

static void check_report(const char *report, const char *expected) {
    heard h = {0};
    assert_true(report_sentences(report, strlen(report), hear, &h));
    assert_string_equal(h.text, expected);
}

static void reports_are_cut_into_sentences(void **state) {
    (void)state;
    check_report(
        "                     FINAL REPORT\n EXAMINATION:  CHEST (PA)\n \n FINDINGS: \n\n There is a small\n"
        " left  effusion of 1.4 cm. No pneumothorax?\r\n Heart size\tis normal\n \n IMPRESSION:\n\n"
        " 1. Small effusion.\n 2. No change!",
        "CHEST (PA)|There is a small left effusion of 1.4 cm.|No pneumothorax?|Heart size is normal|"
        "Small effusion.|No change!|");
    check_report("", "");
    check_report("___ \n : \n 1. 2. 3.\n-\n", "");
    check_report("no heading here: just text", "no heading here: just text|");
    heard h = {.limit = 1};
    assert_false(report_sentences("One two. Three four.", 20, hear, &h));
    assert_string_equal(h.text, "One two.|");
    static char endless[3 * REPORT_SENTENCE_MAX];
    memset(endless, 'a', sizeof endless);
    static heard pieces;
    assert_true(report_sentences(endless, sizeof endless, hear, &pieces));
    assert_true(pieces.count >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hidden_words_keep_their_shares),
        cmocka_unit_test(rows_follow_from_seed_and_batch),
        cmocka_unit_test(pairs_say_the_same),
        cmocka_unit_test(denials_meet_what_they_deny),
        cmocka_unit_test(reports_are_cut_into_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
