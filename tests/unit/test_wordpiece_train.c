/* Building vocabularies: a small case worked out by hand, independence of order, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "text/wordpiece_train.h"

static carina_status train(vocabulary *out, const wordpiece_train_options *options, const char *const *sentences,
                           const uint32_t *order, int count, carina_error *error) {
    wordpiece_trainer *t;
    assert_int_equal(wordpiece_trainer_create(&t, options, NULL), CARINA_OK);
    for (int i = 0; i < count; i++) {
        const char *text = sentences[order ? order[i] : (uint32_t)i];
        assert_int_equal(wordpiece_trainer_add(t, text, strlen(text), NULL), CARINA_OK);
    }
    carina_status status = wordpiece_trainer_finish(t, out, error);
    wordpiece_trainer_free(t);
    return status;
}

static void joined(const vocabulary *v, char *out, size_t size) {
    out[0] = 0;
    for (int i = VOCABULARY_SPECIAL_COUNT; i < v->count; i++) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s", i > VOCABULARY_SPECIAL_COUNT ? " " : "", vocabulary_token(v, i));
    }
}

/* Words: hug 10, pug 5, pun 12, bun 4, hugs 5. The first pair is ##g ##s: 5 / (20 5), where ##u ##g has 20 / (36 20).
 * Then p ##u, h ##u and b ##u all have 1 / 36: the most frequent comes first. And so on. */
static void a_case_by_hand(void **state) {
    (void)state;
    static const char *const sentences[] = {"hug hug hug hug hug hug hug hug hug hug", "pug pug pug pug pug",
                                            "pun pun pun pun pun pun pun pun pun pun pun pun", "bun bun bun bun",
                                            "hugs hugs hugs hugs hugs"};
    wordpiece_train_options options = wordpiece_train_defaults();
    static const char alphabet[] = "b g h n p s u ##b ##g ##h ##n ##p ##s ##u";
    static const struct {
        int size;
        const char *tokens;
    } cases[] = {{19, ""},
                 {20, " ##gs"},
                 {21, " ##gs pu"},
                 {24, " ##gs pu hu bu hugs"},
                 {1000, " ##gs pu hu bu hugs hug bun pun pug"}}; /* until nothing is left to join */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vocabulary v;
        char text[512], wanted[512];
        options.vocabulary_size = cases[i].size;
        assert_int_equal(train(&v, &options, sentences, NULL, 5, NULL), CARINA_OK);
        joined(&v, text, sizeof text);
        snprintf(wanted, sizeof wanted, "%s%s", alphabet, cases[i].tokens);
        assert_string_equal(text, wanted);
        vocabulary_free(&v);
    }
    vocabulary v;
    options.min_frequency = 13; /* four pairs are as frequent, all with 1 / 36: ##u ##g is the most frequent */
    assert_int_equal(train(&v, &options, sentences, NULL, 5, NULL), CARINA_OK);
    char text[512];
    joined(&v, text, sizeof text);
    assert_string_equal(text + strlen(alphabet), " ##ug ##un hug");
    vocabulary_free(&v);
}

static const char *const report[] = {
    "The left lower lung zone shows opacity and pleural effusion.",
    "The right lung is healthy.",
    "Cardiomegaly; the cardiac silhouette is enlarged, cardiothoracic ratio 0.6.",
    "No pneumothorax. Café naïve 肺部 肺",
    "Pleural thickening at the left costodiaphragmatic recess, pleural plaques.",
    "aaaaaaaa aaaa aaaaaaaaaaaa",
};

static void order_and_case_do_not_matter(void **state) {
    (void)state;
    wordpiece_train_options options = wordpiece_train_defaults();
    options.vocabulary_size = 150;
    options.min_frequency = 1;
    char first[4096], text[4096];
    random_state random = random_seed(3);
    for (int trial = 0; trial < 6; trial++) {
        uint32_t order[6] = {0, 1, 2, 3, 4, 5};
        if (trial) random_shuffle(&random, order, 6);
        vocabulary v;
        assert_int_equal(train(&v, &options, report, order, 6, NULL), CARINA_OK);
        assert_int_equal(v.count, 150);
        joined(&v, text, sizeof text);
        if (trial == 0) memcpy(first, text, sizeof first);
        assert_string_equal(text, first);
        assert_int_equal(v.special[VOCABULARY_PAD], 0);
        assert_int_equal(v.special[VOCABULARY_MASK], 4);
        assert_true(vocabulary_find(&v, "\xe8\x82\xba", 3) > 0); /* an ideograph is a word, and never goes on */
        assert_int_equal(vocabulary_find(&v, "##\xe8\x82\xba", 5), -1);
        assert_true(vocabulary_find(&v, ".", 1) > 0);
        assert_int_equal(vocabulary_find(&v, "##.", 3), -1);
        assert_int_equal(vocabulary_find(&v, "T", 1), -1);
        vocabulary_free(&v);
    }
}

static void every_word_can_be_spelled(void **state) {
    (void)state;
    wordpiece_train_options options = wordpiece_train_defaults();
    wordpiece w = {.options = options.text};
    options.vocabulary_size = 400;
    assert_int_equal(train(&w.words, &options, report, NULL, 6, NULL), CARINA_OK);
    int ids[64], count = wordpiece_encode(&w, report[0], strlen(report[0]), ids, 64, NULL);
    assert_in_range(count, 13, 40);
    static const char strange[] = "unlisted words of known letters";
    count = wordpiece_encode(&w, strange, strlen(strange), ids, 64, NULL);
    for (int i = 0; i < count; i++) assert_int_not_equal(ids[i], w.words.special[VOCABULARY_UNK]);
    wordpiece_free(&w);
}

static void limits_are_kept(void **state) {
    (void)state;
    wordpiece_train_options options = wordpiece_train_defaults();
    vocabulary v;
    carina_error error = {0};
    options.vocabulary_size = 30;
    assert_int_equal(train(&v, &options, report, NULL, 6, &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "characters alone"));
    options.alphabet_limit = 10;
    assert_int_equal(train(&v, &options, report, NULL, 6, &error), CARINA_OK);
    assert_in_range(v.count, VOCABULARY_SPECIAL_COUNT + 10, 30);
    vocabulary_free(&v);
    assert_int_equal(train(&v, &options, NULL, NULL, 0, &error), CARINA_OK);
    assert_int_equal(v.count, VOCABULARY_SPECIAL_COUNT);
    vocabulary_free(&v);
    wordpiece_trainer *t;
    options.vocabulary_size = 2;
    assert_int_equal(wordpiece_trainer_create(&t, &options, &error), CARINA_ERROR_ARGUMENT);
    assert_null(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_case_by_hand),
        cmocka_unit_test(order_and_case_do_not_matter),
        cmocka_unit_test(every_word_can_be_spelled),
        cmocka_unit_test(limits_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
