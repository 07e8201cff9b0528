/* Denials against affirmations: triples are counted as defined, and misleading ones apart. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/text_negation.h"

enum { YES, NO, REGION, HEALTHY, FEATURES };

/* Sentences 0, 1: deny, with no word in common; 2: affirms in the words of 0; 3: affirms in others; 4: says both, which
 * is neither; 5: another's region, healthy. */
static uint32_t said[6][2] = {{NO, REGION}, {NO, REGION}, {YES, REGION}, {YES, REGION}, {YES, NO}, {REGION, HEALTHY}};
static int words[6][3] = {{10, 11, 12}, {20, 21, 22}, {10, 11, 13}, {30, 31, 32}, {10, 11, 12}, {10, 11, 12}};

static text_negation measure(const float vectors[6][2], uint32_t count) {
    char kind[FEATURES + 1] = "ynrh";
    uint32_t opposite[FEATURES] = {NO, YES, UINT32_MAX, UINT32_MAX}, sentences[6];
    text_sentence all[6];
    for (uint32_t i = 0; i < 6; i++) {
        all[i] = (text_sentence){.features = said[i], .feature_count = 2, .tokens = words[i], .token_count = 3};
        sentences[i] = i;
    }
    const text_corpus c = {.sentences = all, .count = 6, .feature_count = FEATURES, .kind = kind, .opposite = opposite};
    text_negation out;
    carina_error error;
    assert_int_equal(text_negation_measure(&out, &c, sentences, count, &vectors[0][0], 2, &error), CARINA_OK);
    return out;
}

static void triples_are_counted(void **state) {
    (void)state;
    /* What denies lies east, what affirms north. */
    const float apart[6][2] = {{1, 0}, {1, 0}, {0, 1}, {0, 1}, {1, 0}, {1, 0}};
    text_negation n = measure(apart, 6);
    assert_int_equal(n.denials, 2);
    assert_float_equal(n.right, 1, 1e-12);
    assert_int_equal(n.misleading, 1); /* 0 has words of 2; 1 has none of anybody's */
    assert_int_equal(n.misleading_right, 1);
    /* By words: 0 lies with 2. Wrong for (0, 1, 2); right for (0, 1, 3), (1, 0, 2) and (1, 0, 3) ... */
    const float by_words[6][2] = {{1, 0}, {0.6f, 0.8f}, {1, 0}, {-1, 0}, {0, 1}, {0, 1}};
    n = measure(by_words, 6);
    assert_int_equal(n.misleading_right, 0);
    /* ... but a tie, such as (1, 0, 2), is not right */
    assert_float_equal(n.right, (0.5 + 0.5) / 2, 1e-12);
}

static void nothing_to_compare_is_no_figure(void **state) {
    (void)state;
    const float vectors[6][2] = {{1, 0}, {1, 0}, {0, 1}};
    text_negation n = measure(vectors, 2); /* nobody affirms */
    assert_int_equal(n.denials, 0);
    assert_float_equal(n.right, 0, 0);
    n = measure(vectors, 0);
    assert_int_equal(n.denials, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(triples_are_counted),
        cmocka_unit_test(nothing_to_compare_is_no_figure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
