/* Masks of findings: from files to cells, from cells to what patches show, wherever the square was moved; what is
 * refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/file.h"
#include "data/finding_masks.h"
#include "format/png.h"
#include "train/mask_targets.h"

#define WIDTH   96 /* of the film: 16 black pixels above and below in the square */
#define HEIGHT  64
#define PATCHES 6

static char folder[400];
static carina_error error;
static const char *names[SENTENCE_FINDING_NAMES];
static int name_count;

static int number_of(const char *name) {
    int number = sentence_finding_find(names, name_count, name, strlen(name));
    assert_true(number >= 0);
    return number;
}

static void write_mask(const char *name, int width, int height, int x1, int x2, int y1, int y2) {
    static uint8_t grey[4 * WIDTH * HEIGHT];
    char path[500];
    memset(grey, 0, sizeof grey);
    for (int y = y1; y < y2; y++) memset(grey + y * width + x1, 255, (size_t)(x2 - x1));
    snprintf(path, sizeof path, "%s/%s.png", folder, name);
    assert_ok(png_save_grey8(path, grey, width, height, &error));
}

static void write_index(const char *text) {
    char path[500];
    snprintf(path, sizeof path, "%s/masks.json", folder);
    assert_ok(file_write(path, text, strlen(text), &error));
}

static carina_status read_film(finding_masks *out) {
    return finding_masks_read(out, folder, WIDTH, HEIGHT, atlas_anatomix36(), &error);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/masks-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder)) return -1;
    name_count = sentence_finding_names(names, atlas_anatomix36());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[500];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

/* A nodule in the film's patch (1, 2) of 6 x 6, a line through the whole of column 4. */
static void write_film(void) {
    write_index(
        "{\"described\": [\"mass/nodule (not otherwise specified)\", \"picc\", \"hernia\", \"unheard of\"],\n"
        " \"masks\": [{\"name\": \"heart\", \"region\": \"cardiac silhouette\"},\n"
        "  {\"name\": \"lesion_00_nodule\", \"attributes\": [\"mass/nodule (not otherwise specified)\",\n"
        "   \"lung lesion\"]},\n"
        "  {\"name\": \"device_00_leads\", \"attributes\": []},\n"
        "  {\"name\": \"device_01_picc\", \"attributes\": [\"picc\"]}]}");
    write_mask("lesion_00_nodule", WIDTH, HEIGHT, 20, 28, 20, 28);
    write_mask("device_01_picc", WIDTH, HEIGHT, 71, 73, 0, HEIGHT);
}

static augment_map still(void) { return (augment_map){1, 0, 0, 1, 0, 0, {0, 0, 1, 1}}; }

static void patches_show_what_masks_do(void **state) {
    (void)state;
    finding_masks masks;
    write_film();
    assert_ok(read_film(&masks));
    assert_int_equal(masks.count, 2); /* organs and leads are none of the set's findings */
    int nodule = number_of("mass/nodule (not otherwise specified)"), lesion = number_of("lung lesion"),
        picc = number_of("picc"), hernia = number_of("hernia");
    float *told = malloc((size_t)(PATCHES * PATCHES * name_count) * sizeof *told);
    for (int flipped = 0; flipped < 2; flipped++) {
        augment_map map = still();
        if (flipped) map.xx = -1, map.x = 1;
        mask_targets_fill(told, &masks, &map, PATCHES, PATCHES, name_count);
        for (int row = 0; row < PATCHES; row++)
            for (int column = 0; column < PATCHES; column++) {
                const float *t = told + (row * PATCHES + column) * name_count;
                int film = flipped ? PATCHES - 1 - column : column;
                bool here = row == 2 && film == 1;
                assert_true(t[nodule] == (here ? 1 : 0));
                if (here)
                    assert_true(t[lesion] == 1);
                else
                    assert_true(isnan(t[lesion])); /* not described: unknown where no mask is */
                assert_true(t[picc] == (film == 4 && row >= 1 && row < 5 ? 1 : 0));
                assert_true(t[hernia] == 0);
                assert_true(isnan(t[number_of("consolidation")]));
            }
    }
    free(told);
    finding_masks_free(&masks);
}

/* Grown twofold about the corner the nodule lies in patches (2..3, 4..5), half of the film is gone, and what was
 * painted over shows nothing. */
static void patches_follow_the_square(void **state) {
    (void)state;
    finding_masks masks;
    write_film();
    assert_ok(read_film(&masks));
    int nodule = number_of("mass/nodule (not otherwise specified)"), picc = number_of("picc");
    float *told = malloc((size_t)(PATCHES * PATCHES * name_count) * sizeof *told);
    for (int painted = 0; painted < 2; painted++) {
        augment_map map = {0.5, 0, 0, 0.5, 0, 0, {0, 0, 1, painted ? 0.8f : 1}};
        mask_targets_fill(told, &masks, &map, PATCHES, PATCHES, name_count);
        for (int i = 0; i < PATCHES * PATCHES; i++) {
            int row = i / PATCHES, column = i % PATCHES;
            bool here = (column == 2 || column == 3) && (row == 4 || (row == 5 && !painted));
            assert_true(told[i * name_count + nodule] == (here ? 1 : 0));
            assert_true(told[i * name_count + picc] == 0);
        }
    }
    free(told);
    finding_masks_free(&masks);
}

/* One sample of a patch is not enough to say either: a dot of one cell, and samples a cell and a half apart. */
static void a_graze_is_unknown(void **state) {
    (void)state;
    finding_masks masks;
    write_index("{\"described\": [\"hernia\"], \"masks\": [{\"name\": \"dot\", \"attributes\": [\"hernia\"]}]}");
    write_mask("dot", WIDTH, HEIGHT, 0, 1, 0, 1);
    assert_ok(read_film(&masks));
    memset(masks.items[0].cells, 0, sizeof masks.items[0].cells);
    masks.items[0].cells[(30 * FINDING_MASKS_SIDE + 30) / 8] = 1 << (30 * FINDING_MASKS_SIDE + 30) % 8;
    float *told = malloc((size_t)(4 * name_count) * sizeof *told);
    int hernia = number_of("hernia"), seen = 0, times = 100;
    for (int i = 0; i < times; i++) {
        augment_map map = {1.5, 0, 0, 1.5, i * 0.0005, 0, {0, 0, 1, 1}};
        mask_targets_fill(told, &masks, &map, 2, 2, name_count);
        assert_true(told[hernia] == 0 || isnan(told[hernia])); /* never met twice */
        seen += isnan(told[hernia]);
        for (int k = 1; k < 4; k++) assert_true(told[k * name_count + hernia] == 0);
    }
    assert_in_range(seen, times / 5, times * 4 / 5);
    free(told);
    finding_masks_free(&masks);
}

/* Patches as fine as cells: one sample each, which then is enough. */
static void fine_patches_show_cells(void **state) {
    (void)state;
    enum { FINE = 2 * FINDING_MASKS_SIDE };
    finding_masks masks;
    write_film();
    assert_ok(read_film(&masks));
    float *told = malloc((size_t)FINE * FINE * (size_t)name_count * sizeof *told);
    int picc = number_of("picc"), shown = 0;
    augment_map map = still();
    mask_targets_fill(told, &masks, &map, FINE, FINE, name_count);
    for (int i = 0; i < FINE * FINE; i++) {
        float t = told[(size_t)i * (size_t)name_count + (size_t)picc];
        assert_true(t == 0 || t == 1);
        shown += t == 1;
    }
    assert_in_range(shown, 2 * 2 * 80, 2 * 2 * 86 * 4); /* 2 pixels of 96 are 3 or 4 cells wide, 64 of them 86 high */
    free(told);
    finding_masks_free(&masks);
}

static void no_folder_tells_nothing(void **state) {
    (void)state;
    finding_masks masks;
    assert_ok(finding_masks_read(&masks, "/nowhere", WIDTH, HEIGHT, atlas_anatomix36(), &error));
    assert_int_equal(masks.count, 0);
    augment_map map = still();
    float *told = malloc((size_t)name_count * sizeof *told);
    mask_targets_fill(told, &masks, &map, 1, 1, name_count);
    for (int f = 0; f < name_count; f++) assert_true(isnan(told[f]));
    free(told);
    finding_masks_free(&masks);
}

static void what_is_no_mask_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"masks\": []}", "described"},
        {"{\"described\": [7], \"masks\": []}", "a finding is not a text"},
        {"{\"described\": [], \"masks\": 1}", "masks"},
        {"{\"described\": [], \"masks\": [{\"attributes\": [\"picc\"]}]}", "masks[0].name"},
        {"{\"described\": [], \"masks\": [{\"name\": \"../dot\", \"attributes\": [\"picc\"]}]}", "is not a file name"},
        {"{\"described\": [], \"masks\": [{\"name\": \"none\", \"attributes\": [\"picc\"]}]}", "none.png"},
        {"{\"described\": [], \"masks\": [{\"name\": \"large\", \"attributes\": [\"picc\"]}]}",
         "large.png: a mask of 100 x 64 pixels for a film of 96 x 64"},
        {"{\"described\": [], \"masks\": [", "masks.json"},
    };
    write_mask("large", 100, HEIGHT, 0, 4, 0, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        finding_masks masks;
        write_index(cases[i].text);
        assert_int_not_equal(read_film(&masks), CARINA_OK);
        if (!strstr(error.message, cases[i].message)) fail_msg("%s: %s", cases[i].text, error.message);
        assert_null(masks.items);
    }
    char *text = malloc(20000);
    int length = sprintf(text, "{\"described\": [], \"masks\": [{}");
    for (int i = 0; i < FINDING_MASKS_MOST; i++) length += sprintf(text + length, ", {}");
    sprintf(text + length, "]}");
    write_index(text);
    finding_masks masks;
    assert_int_equal(read_film(&masks), CARINA_ERROR_LIMIT);
    assert_non_null(strstr(error.message, "257 masks"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_show_what_masks_do), cmocka_unit_test(patches_follow_the_square),
        cmocka_unit_test(a_graze_is_unknown),         cmocka_unit_test(fine_patches_show_cells),
        cmocka_unit_test(no_folder_tells_nothing),    cmocka_unit_test(what_is_no_mask_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
