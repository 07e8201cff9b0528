/* Which regions share a colour, and what the legend calls it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/finding_colours.h"

static const char *sentences[ATLAS_MAX_REGIONS];

static int set(const char *region, const char *sentence) {
    int r = atlas_find(atlas_anatomix36(), region);
    assert_true(r >= 0);
    sentences[r] = sentence;
    return r;
}

static finding_colours choose(void) {
    finding_colours c;
    carina_error error;
    if (finding_colours_choose(&c, sentences, atlas_anatomix36(), &error) != CARINA_OK) fail_msg("%s", error.message);
    return c;
}

static void regions_share_what_most_show(void **state) {
    (void)state;
    memset(sentences, 0, sizeof sentences);
    int left = set("left lung", "Left lung shows atelectasis and lung opacity and pleural effusion."),
        right = set("right lung", "Right lung shows lung opacity and pneumonia."),
        angle = set("left costophrenic angle", "Left costodiaphragmatic recess shows pleural effusion."),
        zone = set("left lower lung zone", "Left lower lung zone shows lung opacity."),
        heart =
            set("cardiac silhouette", "Cardiac shadow viewed radiologically or Heart shows cardiac pacer and wires."),
        odd = set("svc", "no sentence of the usual form");
    finding_colours c = choose();
    static const char *const names[] = {"pleural effusion", "cardiac pacer and wires", "lung opacity", "pneumonia",
                                        "other findings"};
    assert_int_equal(c.count, 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(c.name[i], names[i]);
        for (int k = 0; k < i; k++) assert_int_not_equal(c.colour[i], c.colour[k]);
    }
    assert_true(c.of_region[left] == 0 && c.of_region[angle] == 0);
    assert_int_equal(c.of_region[heart], 1);
    assert_int_equal(c.of_region[zone], 2); /* nothing but that */
    assert_int_equal(c.of_region[right], 3);
    assert_int_equal(c.of_region[odd], 4);
    assert_int_equal(c.of_region[atlas_find(atlas_anatomix36(), "spine")], -1);
    finding_colours_free(&c);
    memset(sentences, 0, sizeof sentences);
    c = choose();
    assert_int_equal(c.count, 0);
    finding_colours_free(&c);
}

static void too_many_are_others(void **state) {
    (void)state;
    static char texts[36][80];
    for (int r = 0; r < 36; r++) {
        snprintf(texts[r], sizeof texts[r], "%.50s shows finding %02d.", atlas_anatomix36()->regions[r].display_name,
                 r);
        sentences[r] = texts[r];
    }
    finding_colours c = choose();
    assert_int_equal(c.count, FINDING_COLOURS);
    assert_string_equal(c.name[0], "finding 00");
    assert_string_equal(c.name[FINDING_COLOURS - 1], "other findings");
    for (int r = 0; r < 36; r++) assert_int_equal(c.of_region[r], r < FINDING_COLOURS - 1 ? r : FINDING_COLOURS - 1);
    finding_colours_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_share_what_most_show),
        cmocka_unit_test(too_many_are_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
