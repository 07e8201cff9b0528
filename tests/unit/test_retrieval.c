/* Figures of retrieval against values worked out by hand, and items made from a small database. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/retrieval.h"

#define FINDINGS(bits_)   \
    {                     \
        .bits = { bits_ } \
    }

static const retrieval_item items[8] = {
    {.patient = 0, .region = 0, .sentence = 0, .rank = 1, .healthy = true},
    {.patient = 0, .region = 0, .sentence = 0, .rank = 1, .healthy = true},
    {.patient = 1, .region = 0, .sentence = 1, .rank = 2, .truth = FINDINGS(1)},
    {.patient = 1, .region = 1, .sentence = 2, .rank = 1, .truth = FINDINGS(3), .retrieved = FINDINGS(3)},
    {.patient = 2, .region = 1, .sentence = 2, .rank = 0, .truth = FINDINGS(3), .retrieved = FINDINGS(6)},
    {.patient = 2, .region = 1, .sentence = 3, .rank = 6, .healthy = true, .retrieved = FINDINGS(4)},
    {.patient = 0, .region = 0, .sentence = 0, .rank = 1, .healthy = true},
    {.patient = 0, .region = 0, .sentence = 0, .rank = 1, .healthy = true},
};
static const retrieval_set set = {items, 8, 2, 4, 3};

static void expect_metric(const retrieval_scores *s, int metric, double wanted) {
    char name[64];
    if (!(fabs(s->value[metric] - wanted) < 1e-9))
        fail_msg("%s: %.9f, not %.9f", retrieval_metric_name(name, sizeof name, metric), s->value[metric], wanted);
}

static void scores_by_hand(void **state) {
    (void)state;
    retrieval_scores s;
    carina_error error;
    assert_int_equal(retrieval_score(&s, &set, NULL, -1, &error), CARINA_OK);
    assert_int_equal(s.items, 8);
    const double overall[7] = {5. / 8, 6. / 8, 7. / 8, 5. / 8, 6. / 40, 7. / 80, (5 + 0.5 + 1. / 6) / 8};
    const double region[7] = {(4. / 5 + 1. / 3) / 2,           (1 + 1. / 3) / 2,     (1 + 2. / 3) / 2,
                              (4. / 5 + 1. / 3) / 2,           (1 + 1. / 3) / 2 / 5, (1 + 2. / 3) / 2 / 10,
                              (4.5 / 5 + (1 + 1. / 6) / 3) / 2};
    const double group[7] = {1.5 / 4, 2.5 / 4, 3.5 / 4, 1.5 / 4, 2.5 / 20, 3.5 / 40, (1 + 0.5 + 0.5 + 1. / 6) / 4};
    for (int i = 0; i < 7; i++) {
        expect_metric(&s, i, overall[i]);
        expect_metric(&s, RETRIEVAL_BY_REGION + i, region[i]);
        expect_metric(&s, RETRIEVAL_BY_GROUP + i, group[i]);
    }
    expect_metric(&s, RETRIEVAL_KNOWN, 7. / 8);
    expect_metric(&s, RETRIEVAL_EXACT_HEALTHY, 4. / 5);
    expect_metric(&s, RETRIEVAL_EXACT_FINDING, 1. / 3);
    expect_metric(&s, RETRIEVAL_ALWAYS_HEALTHY, 5. / 8);
    expect_metric(&s, RETRIEVAL_MARGIN, 0);
    expect_metric(&s, RETRIEVAL_FINDING_F1, (0.5 + 1 + 0) / 3);
    retrieval_finding_score f[3];
    retrieval_score_findings(f, &set);
    assert_int_equal(f[0].truths, 3);
    assert_int_equal(f[0].retrieved, 1);
    assert_int_equal(f[0].hits, 1);
    assert_true(f[0].f1 == 0.5 && f[1].f1 == 1 && f[2].f1 == 0);
}

static void scores_one_region_and_weights(void **state) {
    (void)state;
    retrieval_scores s;
    carina_error error;
    assert_int_equal(retrieval_score(&s, &set, NULL, 1, &error), CARINA_OK);
    assert_int_equal(s.items, 3);
    expect_metric(&s, RETRIEVAL_RECALL, 1. / 3);
    expect_metric(&s, RETRIEVAL_BY_REGION, 1. / 3);
    expect_metric(&s, RETRIEVAL_BY_GROUP, 1. / 4);
    expect_metric(&s, RETRIEVAL_KNOWN, 2. / 3);
    const double weights[8] = {0, 0, 2, 1, 0, 0, 0, 0};
    assert_int_equal(retrieval_score(&s, &set, weights, -1, &error), CARINA_OK);
    expect_metric(&s, RETRIEVAL_RECALL, 1. / 3);
    expect_metric(&s, RETRIEVAL_MRR, 2. / 3);
    expect_metric(&s, RETRIEVAL_BY_REGION, 1. / 2);
    expect_metric(&s, RETRIEVAL_FINDING_F1, (2. / 4 + 1) / 2);
    assert_true(isnan(s.value[RETRIEVAL_EXACT_HEALTHY]));
    retrieval_set none = set;
    none.count = 0;
    assert_int_equal(retrieval_score(&s, &none, NULL, -1, &error), CARINA_OK);
    for (int i = 0; i < RETRIEVAL_METRIC_COUNT; i++) assert_true(isnan(s.value[i]));
}

static void resamples_patients(void **state) {
    (void)state;
    metrics_interval all[RETRIEVAL_METRIC_COUNT], again[RETRIEVAL_METRIC_COUNT], one[RETRIEVAL_METRIC_COUNT];
    carina_error error;
    assert_int_equal(retrieval_bootstrap(all, &set, -1, 400, 7, &error), CARINA_OK);
    assert_int_equal(retrieval_bootstrap(again, &set, -1, 400, 7, &error), CARINA_OK);
    assert_memory_equal(all, again, sizeof all);
    /* the three patients' Recall@1 is 1, 1/2 and 0; all three drawn alike has a chance of 1/9 together */
    assert_true(all[RETRIEVAL_RECALL].low == 0 && all[RETRIEVAL_RECALL].high == 1);
    /* region 0: one patient is always right, the other never */
    assert_int_equal(retrieval_bootstrap(one, &set, 0, 400, 7, &error), CARINA_OK);
    assert_true(one[RETRIEVAL_RECALL].low == 0 && one[RETRIEVAL_RECALL].high == 1);
    retrieval_item same[8];
    memcpy(same, items, sizeof same);
    for (int i = 0; i < 8; i++) same[i].patient = 3;
    const retrieval_set single = {same, 8, 2, 4, 3};
    assert_int_equal(retrieval_bootstrap(one, &single, -1, 20, 7, &error), CARINA_OK);
    retrieval_scores s;
    assert_int_equal(retrieval_score(&s, &single, NULL, -1, &error), CARINA_OK);
    for (int i = 0; i < RETRIEVAL_METRIC_COUNT; i++) {
        assert_true(fabs(one[i].low - s.value[i]) < 1e-12);
        assert_true(fabs(one[i].high - s.value[i]) < 1e-12);
    }
}

/* Every patient has four regions with the common sentence, found, and one with a sentence of its own, missed: whoever
 * is drawn, the 20 rare sentences and the common one weigh the same. */
static void rare_sentences_keep_their_weight(void **state) {
    (void)state;
    retrieval_item drawn[100] = {0};
    for (uint32_t i = 0; i < 100; i++) {
        bool rare = i % 5 == 4;
        drawn[i] =
            (retrieval_item){.patient = i / 5, .sentence = rare ? 1 + i / 5 : 0, .rank = !rare, .healthy = !rare};
    }
    const retrieval_set twenty = {drawn, 100, 1, 21, 0};
    metrics_interval all[RETRIEVAL_METRIC_COUNT];
    retrieval_scores s;
    carina_error error;
    assert_int_equal(retrieval_score(&s, &twenty, NULL, -1, &error), CARINA_OK);
    expect_metric(&s, RETRIEVAL_BY_GROUP, 1. / 21);
    assert_int_equal(retrieval_bootstrap(all, &twenty, -1, 100, 7, &error), CARINA_OK);
    assert_true(fabs(all[RETRIEVAL_BY_GROUP].low - 1. / 21) < 1e-9);
    assert_true(fabs(all[RETRIEVAL_BY_GROUP].high - 1. / 21) < 1e-9);
}

static void names_every_metric(void **state) {
    (void)state;
    char a[64], b[64];
    for (int i = 0; i < RETRIEVAL_METRIC_COUNT; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(retrieval_metric_name(a, sizeof a, i), retrieval_metric_name(b, sizeof b, k));
    assert_string_equal(retrieval_metric_name(a, sizeof a, RETRIEVAL_BY_REGION + RETRIEVAL_PRECISION + 1),
                        "Precision@5 by region");
    assert_string_equal(retrieval_metric_name(a, sizeof a, RETRIEVAL_MARGIN), "exact above always healthy");
}

/* ---- items ---- */

static void put(sentence_index *index, int region, const char *text, float x, float y) {
    carina_error error;
    const sentence_entry e = {text, 1, "train/a"};
    if (sentence_index_add(index, region, &e, (float[]){x, y}, &error) != CARINA_OK) fail_msg("%s", error.message);
}

static void makes_items(void **state) {
    (void)state;
    sentence_index *index;
    retrieval_collector *c;
    carina_error error;
    const atlas *regions = atlas_anatomix36();
    int left = atlas_find(regions, "left lung"), heart = atlas_find(regions, "cardiac silhouette");
    assert_int_equal(sentence_index_create(&index, regions, NULL, 2, &error), CARINA_OK);
    put(index, left, "Left lung is healthy.", 1, 0);
    put(index, left, "Left lung shows pneumothorax.", 0, 1);
    put(index, left, "Left lung shows chest tube and pneumothorax.", 0, 2); /* the same direction: a tie */
    const char *paced =
        "Cardiac shadow viewed radiologically or Heart shows cardiac pacer and wires and prosthetic valve.";
    put(index, heart, paced, 1, 1);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    assert_int_equal(
        retrieval_collector_create(&c, &(sentence_ranking){.index = index}, (sentence_order){0}, regions, &error),
        CARINA_OK);
    const float up[2] = {0.1f, 3};
    assert_int_equal(retrieval_collector_add(c, "p1", left, up, "Left lung shows pneumothorax.", &error), CARINA_OK);
    assert_int_equal(retrieval_collector_add(c, "p2", left, up, "Left lung is healthy.", &error), CARINA_OK);
    assert_int_equal(retrieval_collector_add(c, "p1", left, up, "Left lung shows hernia.", &error), CARINA_OK);
    assert_int_equal(retrieval_collector_add(c, "p2", heart, up, paced, &error), CARINA_OK);
    assert_int_equal(retrieval_collector_add(c, "p3", 0, up, "Abdominal cavity is healthy.", &error), CARINA_OK);
    assert_int_equal(retrieval_collector_add(c, "p3", left, up, "Right lung is healthy.", &error), CARINA_ERROR_FORMAT);
    assert_int_equal(retrieval_collector_add(c, "p3", 36, up, "x", &error), CARINA_ERROR_ARGUMENT);
    retrieval_set made = retrieval_collector_set(c);
    assert_int_equal(made.count, 5);
    assert_int_equal(made.sentence_count, 5);
    assert_int_equal(made.finding_count, 5); /* pneumothorax, chest tube, hernia, cardiac pacer and wires, valve */
    const uint32_t patients[5] = {0, 1, 0, 1, 2}, ranks[5] = {2, 3, 0, 1, 0};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(made.items[i].patient, patients[i]);
        assert_int_equal(made.items[i].rank, ranks[i]);
    }
    assert_true(made.items[1].healthy && !made.items[2].healthy && made.items[4].healthy);
    assert_string_equal(retrieval_collector_finding(c, 0), "pneumothorax");
    assert_int_equal(made.items[0].truth.bits[0], 1);
    assert_int_equal(made.items[0].retrieved.bits[0], 3); /* the tie goes to the sentence that sorts first */
    assert_int_equal(made.items[3].truth.bits[0], made.items[3].retrieved.bits[0]);
    assert_int_equal(made.items[4].retrieved.bits[0], 0);
    retrieval_collector_free(c);
    sentence_index_free(index);
}

/* What the prior brings to the front; the similarity that is told stays the cosine. */
static void ranks_by_weight(void **state) {
    (void)state;
    sentence_index *index;
    retrieval_collector *c;
    retrieval_answer answer;
    carina_error error;
    const atlas *regions = atlas_anatomix36();
    int left = atlas_find(regions, "left lung");
    const sentence_entry healthy = {"Left lung is healthy.", 99, "train/a"};
    assert_int_equal(sentence_index_create(&index, regions, NULL, 2, &error), CARINA_OK);
    assert_int_equal(sentence_index_add(index, left, &healthy, (float[]){1, 0}, &error), CARINA_OK);
    put(index, left, "Left lung shows pneumothorax.", 0.6f, 0.8f);
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    for (int weighted = 0; weighted < 2;
         weighted++) { /* cosines 0.8 and 0.96; the prior is worth 4.6 times its weight */
        const sentence_ranking ranking = {.index = index, .order = {.prior_weight = weighted ? 0.04f : 0}};
        assert_int_equal(retrieval_collector_create(&c, &ranking, (sentence_order){0}, regions, &error), CARINA_OK);
        assert_int_equal(retrieval_collector_ask(c, left, (float[]){4, 3}, healthy.text, &answer, &error), CARINA_OK);
        assert_int_equal(answer.rank, weighted ? 1 : 2);
        assert_string_equal(answer.retrieved, weighted ? healthy.text : "Left lung shows pneumothorax.");
        assert_true(fabs((double)answer.similarity - (weighted ? 0.8 : 0.96)) < 1e-6);
        assert_true(retrieval_collector_order(c).prior_weight == (weighted ? 0.04f : 0));
        retrieval_collector_free(c);
    }
    sentence_index_free(index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_by_hand),
        cmocka_unit_test(scores_one_region_and_weights),
        cmocka_unit_test(resamples_patients),
        cmocka_unit_test(names_every_metric),
        cmocka_unit_test(rare_sentences_keep_their_weight),
        cmocka_unit_test(makes_items),
        cmocka_unit_test(ranks_by_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
