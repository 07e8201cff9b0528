/* Temperature and prior exponent against made-up truths that were drawn with known ones; probabilities by them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "eval/sentence_fit.h"
#include "eval/worth_fit.h"

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (double)(tolerance))
#define WIDTH                        8
#define SENTENCES                    12

static void draw_vector(float *out, random_state *random) {
    for (int d = 0; d < WIDTH; d++) out[d] = (float)random_normal(random);
}

/* Two lungs of SENTENCES sentences each, "is healthy" the most usual. */
static sentence_index *make_index(void) {
    const sentence_index_info origin = {.encoder_fingerprint = "an encoder"};
    const atlas *regions = atlas_anatomix36();
    static const char *const lungs[2] = {"right lung", "left lung"};
    sentence_index *index;
    carina_error error;
    random_state random = random_seed(1);
    assert_int_equal(sentence_index_create(&index, regions, &origin, WIDTH, &error), CARINA_OK);
    for (int lung = 0; lung < 2; lung++) {
        int region = atlas_find(regions, lungs[lung]);
        const char *display = regions->regions[region].display_name;
        for (int i = 0; i < SENTENCES; i++) {
            char text[80];
            float vector[WIDTH];
            snprintf(text, sizeof text, i ? "%s shows %s." : "%s is healthy.", display,
                     regions->regions[region].findings[i]);
            draw_vector(vector, &random);
            const sentence_entry e = {text, i ? (uint64_t)(i * i) : 900, "train/a"};
            assert_int_equal(sentence_index_add(index, region, &e, vector, &error), CARINA_OK);
        }
    }
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    return index;
}

/* Cases whose truths are drawn from softmax(cosine / temperature + exponent * log prior). */
static sentence_cases draw_cases(const sentence_index *index, int count, double temperature, double exponent) {
    sentence_cases cases = {.index = index, .regions = atlas_anatomix36()};
    random_state random = random_seed(2);
    carina_error error;
    for (int n = 0; n < count; n++) {
        int region = atlas_find(cases.regions, n % 2 ? "left lung" : "right lung"), row = 0;
        const sentence_region *r = sentence_index_region(index, region);
        float feature[WIDTH], cosines[SENTENCES];
        double weights[SENTENCES], sum = 0;
        draw_vector(feature, &random);
        assert_int_equal(sentence_index_similarities(index, region, feature, cosines, &error), CARINA_OK);
        for (int i = 0; i < SENTENCES; i++) {
            weights[i] = exp((double)cosines[i] / temperature + exponent * (double)r->log_priors[i]);
            sum += weights[i];
        }
        for (sum *= random_uniform(&random); row < SENTENCES - 1 && sum >= weights[row]; row++) sum -= weights[row];
        assert_int_equal(sentence_cases_add(&cases, region, feature, r->entries[row].text, &error), CARINA_OK);
    }
    return cases;
}

static sentence_fit fit_of(const sentence_cases *cases, thread_pool *pool, uint64_t least) {
    sentence_fit fit;
    carina_error error;
    if (sentence_fit_make(&fit, cases, pool, least, &error) != CARINA_OK) fail_msg("%s", error.message);
    return fit;
}

static void finds_what_truths_were_drawn_with(void **state) {
    (void)state;
    static const double known[][2] = {{0.1, 1}, {0.02, 0.6}, {0.5, 0.2}, {0.25, 2}};
    sentence_index *index = make_index();
    carina_error error;
    thread_pool *pool;
    int spent = 0;
    assert_int_equal(thread_pool_create(&pool, 3, &error), CARINA_OK);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        sentence_cases cases = draw_cases(index, 6000, known[i][0], known[i][1]);
        sentence_fit fit = fit_of(&cases, NULL, 10), again = fit_of(&cases, pool, 10);
        assert_int_equal(fit.outcome, SENTENCE_FIT_FITTED);
        assert_true(fit.fitted.fitted && fit.regions == 6000 && fit.known == 6000);
        if (fabs((double)fit.fitted.temperature / known[i][0] - 1) > 0.08 ||
            fabs((double)fit.fitted.prior_exponent - known[i][1]) > 0.08)
            fail_msg("%g, %g: fitted %g, %g", known[i][0], known[i][1], (double)fit.fitted.temperature,
                     (double)fit.fitted.prior_exponent);
        assert_string_equal(fit.fitted.encoder, "an encoder");
        assert_true(fit.nll < fit.nll_prior);
        assert_true(fit.likeliest.all > fit.cosine.all && fit.likeliest.all >= fit.healthy.all - 0.01);
        /* What sentences are worth spends at most two thirds of what is won, on findings. */
        double won = fit.likeliest.all - fit.healthy.all;
        assert_true(worth_fit_gain(&fit.calibrated) >= worth_fit_gain(&fit.likeliest));
        assert_true(fit.calibrated.all >= fit.healthy.all + WORTH_FIT_KEPT * won - 1e-12 || won <= 0);
        if (won <= 0)
            assert_true(fit.fitted.healthy_discount == 0 && fit.fitted.finding_worth == 0 &&
                        fit.calibrated.all == fit.likeliest.all);
        spent += worth_fit_gain(&fit.calibrated) > worth_fit_gain(&fit.likeliest);
        assert_near(fit.healthy.all, 1 - (double)fit.with_finding / 6000, 1e-12);
        assert_true(again.fitted.temperature == fit.fitted.temperature && again.nll == fit.nll &&
                    again.fitted.prior_exponent == fit.fitted.prior_exponent &&
                    again.fitted.healthy_discount == fit.fitted.healthy_discount &&
                    again.calibrated.f1 == fit.calibrated.f1);
        sentence_cases_free(&cases);
    }
    assert_true(spent > 0);
    thread_pool_free(pool);
    sentence_index_free(index);
}

static void counts_what_the_database_lacks(void **state) {
    (void)state;
    sentence_index *index = make_index();
    sentence_cases cases = draw_cases(index, 1000, 0.1, 1);
    int region = atlas_find(cases.regions, "left lung");
    carina_error error;
    sentence_fit before = fit_of(&cases, NULL, 10);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sentence_cases_add(&cases, region, (float[WIDTH]){1}, "Left lung shows hernia.", &error),
                         CARINA_OK);
    sentence_fit fit = fit_of(&cases, NULL, 10);
    assert_true(fit.regions == 2000 && fit.known == 1000 && fit.with_finding == before.with_finding + 1000);
    assert_true(fit.fitted.temperature == before.fitted.temperature && fit.nll == before.nll);
    assert_near(fit.likeliest.all, before.likeliest.all / 2, 1e-12);
    assert_int_equal(sentence_cases_add(&cases, region, (float[WIDTH]){1}, "Right lung is healthy.", &error),
                     CARINA_ERROR_FORMAT);
    sentence_cases_free(&cases);
    sentence_index_free(index);
}

/* Truths that are always the nearest (sign 1) or the farthest (-1) sentence. */
static sentence_cases pick_cases(const sentence_index *index, float sign) {
    sentence_cases cases = {.index = index, .regions = atlas_anatomix36()};
    random_state random = random_seed(3);
    carina_error error;
    for (int n = 0; n < 400; n++) {
        int region = atlas_find(cases.regions, "left lung"), count;
        float feature[WIDTH], turned[WIDTH];
        similarity_hit hit;
        draw_vector(feature, &random);
        for (int d = 0; d < WIDTH; d++) turned[d] = sign * feature[d];
        assert_int_equal(sentence_index_search(index, NULL, region, turned, 0, 1, &hit, &count, &error), CARINA_OK);
        const char *text = sentence_index_region(index, region)->entries[hit.row].text;
        assert_int_equal(sentence_cases_add(&cases, region, feature, text, &error), CARINA_OK);
    }
    return cases;
}

static void says_why_nothing_is_fitted(void **state) {
    (void)state;
    sentence_index *index = make_index();
    sentence_cases cases = draw_cases(index, 500, 0.1, 1);
    sentence_fit fit = fit_of(&cases, NULL, 500);
    assert_int_equal(fit.outcome, SENTENCE_FIT_FEW);
    assert_true(!fit.fitted.fitted && isnan(fit.calibrated.all) && isnan(fit.nll) && fit.nll_prior > 0);
    sentence_cases_free(&cases);
    cases = draw_cases(index, 0, 1, 1);
    fit = fit_of(&cases, NULL, 1);
    assert_true(fit.outcome == SENTENCE_FIT_FEW && isnan(fit.cosine.all));

    cases = pick_cases(index, 1);
    assert_int_equal(fit_of(&cases, NULL, 10).outcome, SENTENCE_FIT_SEPARATED);
    sentence_cases_free(&cases);
    cases = pick_cases(index, -1);
    assert_int_equal(fit_of(&cases, NULL, 10).outcome, SENTENCE_FIT_UNTOLD);
    sentence_cases_free(&cases);
    cases = draw_cases(index, 20000, 0.05, 6);
    fit = fit_of(&cases, NULL, 1);
    assert_int_equal(fit.outcome, SENTENCE_FIT_USUAL);
    assert_non_null(strstr(sentence_fit_reason(fit.outcome), "usual"));
    sentence_cases_free(&cases);
    sentence_index_free(index);
}

static sentence_ranking open_ranking(const sentence_calibration *c, const sentence_index *index, bool cosine) {
    sentence_ranking ranking;
    carina_error error;
    assert_int_equal(sentence_ranking_open(&ranking, c, index, atlas_anatomix36(), cosine, &error), CARINA_OK);
    return ranking;
}

static void gives_probabilities(void **state) {
    (void)state;
    sentence_index *index = make_index();
    carina_error error;
    sentence_calibration c = {.fitted = true, .temperature = 0.2f, .prior_exponent = 0.7f, .encoder = "an encoder"};
    int region = atlas_find(atlas_anatomix36(), "left lung"), count;
    const float query[WIDTH] = {1, -1, 0.5f};
    similarity_hit hits[SENTENCES];
    float probabilities[SENTENCES], cosines[SENTENCES];
    double sum = 0, brute = 0;
    sentence_ranking ranking = open_ranking(&c, index, false);
    assert_true(ranking.calibrated && ranking.order.prior_weight == 0.2f * 0.7f);
    const sentence_region *r = sentence_index_region(index, region);
    assert_int_equal(sentence_ranking_search(&ranking, region, query, SENTENCES, hits, probabilities, &count, &error),
                     CARINA_OK);
    assert_int_equal(sentence_index_similarities(index, region, query, cosines, &error), CARINA_OK);
    for (int i = 0; i < SENTENCES; i++) brute += exp((double)cosines[i] / 0.2 + 0.7 * (double)r->log_priors[i]);
    for (int h = 0; h < count; h++) {
        uint32_t row = hits[h].row;
        assert_near(probabilities[h], exp((double)cosines[row] / 0.2 + 0.7 * (double)r->log_priors[row]) / brute, 1e-5);
        assert_true(h == 0 || probabilities[h] <= probabilities[h - 1]);
        sum += (double)probabilities[h];
    }
    assert_near(sum, 1, 1e-6);

    /* "is healthy" behind: another place, the same probabilities. */
    float healthy = 0;
    int healthy_place = 0, place = 0;
    for (int h = 0; h < count; h++)
        if (sentence_says_healthy(r->entries[hits[h].row].text, r->display)) healthy = probabilities[healthy_place = h];
    double next = (double)probabilities[healthy_place + 1];
    c.healthy_discount = (float)(log((double)healthy / next) + 0.1); /* a little more than its lead */
    ranking = open_ranking(&c, index, false);
    assert_int_equal(sentence_ranking_search(&ranking, region, query, SENTENCES, hits, probabilities, &count, &error),
                     CARINA_OK);
    for (int h = 0; h < count; h++)
        if (sentence_says_healthy(r->entries[hits[h].row].text, r->display)) place = h;
    assert_int_equal(place, healthy_place + 1);
    assert_near(probabilities[place], healthy, 1e-6);
    assert_near(probabilities[place - 1], next, 1e-6);
    sentence_ranking_close(&ranking);

    /* Asked for cosines, not calibrated, calibrated for another text encoder: no probabilities, weight 0. */
    ranking = open_ranking(&c, index, true);
    assert_true(!ranking.calibrated && ranking.order.prior_weight == 0 && !*ranking.why_not);
    snprintf(c.encoder, sizeof c.encoder, "another");
    ranking = open_ranking(&c, index, false);
    assert_true(!ranking.calibrated && ranking.order.prior_weight == 0 &&
                strstr(ranking.why_not, "another text encoder"));
    c.fitted = false;
    ranking = open_ranking(&c, index, false);
    assert_true(!ranking.calibrated && ranking.order.prior_weight == 0 && strstr(ranking.why_not, "not calibrated"));
    assert_int_equal(sentence_ranking_search(&ranking, region, query, 1, hits, probabilities, &count, &error),
                     CARINA_OK);
    assert_true(count == 1 && isnan(probabilities[0]));
    char text[200];
    assert_string_equal(sentence_order_text(text, sizeof text, (sentence_order){0}), "cosine");
    assert_string_equal(sentence_order_text(text, sizeof text, (sentence_order){0.00902f, 0.5f, 0}),
                        "cosine + 0.00902 log prior, \"is healthy\" 0.5 nats behind");
    assert_non_null(strstr(sentence_order_text(text, sizeof text, (sentence_order){0.00902f, 0.5f, 2}),
                           "by what they are worth (findings 2, "));
    sentence_index_free(index);
}

/* A finding that many sentences name, each of them unlikely: likelier than health together. Two directions: health lies
 * at cosine 1, three sentences with a catheter at 0.99, one with a nodule at 0.995. */
static void says_what_is_worth_most(void **state) {
    (void)state;
    const sentence_index_info origin = {.encoder_fingerprint = "an encoder"};
    static const char *const texts[] = {"Left lung is healthy.", "Left lung shows picc and a.",
                                        "Left lung shows picc and b.", "Left lung shows picc.",
                                        "Left lung shows nodule."};
    static const double cosines[] = {1, 0.99, 0.99, 0.99, 0.995};
    const atlas *regions = atlas_anatomix36();
    int region = atlas_find(regions, "left lung"), count;
    sentence_index *index;
    carina_error error;
    assert_int_equal(sentence_index_create(&index, regions, &origin, 2, &error), CARINA_OK);
    for (int i = 0; i < 5; i++) {
        const sentence_entry e = {texts[i], 1, "train/a"};
        const float vector[2] = {(float)cosines[i], (float)sqrt(1 - cosines[i] * cosines[i])};
        assert_int_equal(sentence_index_add(index, region, &e, vector, &error), CARINA_OK);
    }
    assert_int_equal(sentence_index_finish(index, &error), CARINA_OK);
    sentence_calibration c = {.fitted = true,
                              .temperature = 0.02f,
                              .prior_exponent = 1,
                              .finding_worth = 1,
                              .finding_count = 2,
                              .findings = {{"nodule", 0.3f, 1}, {"picc", 0.3f, 1}},
                              .encoder = "an encoder"};
    const float query[2] = {1, 0};
    float cosine[5], p[5], worth[5], of_finding[2];
    similarity_hit hits[5];
    sentence_ranking ranking = open_ranking(&c, index, false);
    assert_int_equal(sentence_ranking_rate(&ranking, region, query, cosine, p, worth, &error), CARINA_OK);
    const sentence_entry *entries = sentence_index_region(index, region)->entries; /* in the order of their bytes */
    assert_string_equal(entries[0].text, texts[0]);
    assert_string_equal(entries[4].text, texts[3]);
    double e = exp(-0.5), n = exp(-0.25), sum = 1 + 3 * e + n, picc = 3 * e / sum, nodule = n / sum;
    sentence_ranking_findings(&ranking, region, p, of_finding);
    assert_near(of_finding[0], nodule, 1e-5);
    assert_near(of_finding[1], picc, 1e-5);
    assert_near(worth[0], 1 / sum, 1e-5);
    assert_near(worth[1], n / sum + nodule - 0.3, 1e-5);
    for (int i = 2; i < 5; i++) assert_near(worth[i], e / sum + picc - 0.3, 1e-5);
    assert_int_equal(sentence_ranking_search(&ranking, region, query, 5, hits, p, &count, &error), CARINA_OK);
    assert_int_equal(count, 5);
    assert_string_equal(entries[hits[0].row].text, "Left lung shows picc and a."); /* worth the same: by row */
    assert_near(p[0], e / sum, 1e-5);
    assert_near(hits[0].similarity, 0.99, 1e-6);
    sentence_ranking_close(&ranking);
    c.findings[1].weight = 0; /* nothing is gained by naming it: the likeliest */
    ranking = open_ranking(&c, index, false);
    assert_int_equal(sentence_ranking_search(&ranking, region, query, 1, hits, p, &count, &error), CARINA_OK);
    assert_string_equal(entries[hits[0].row].text, texts[0]);
    sentence_ranking_close(&ranking);
    sentence_index_free(index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_truths_were_drawn_with), cmocka_unit_test(counts_what_the_database_lacks),
        cmocka_unit_test(says_why_nothing_is_fitted),        cmocka_unit_test(gives_probabilities),
        cmocka_unit_test(says_what_is_worth_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
