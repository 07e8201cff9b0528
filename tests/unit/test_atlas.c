/* Region sets: the built-in tables, the YAML files they come from, and files that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "atlas/atlas.h"
#include "atlas/atlas_file.h"

static void test_order(void **state) {
    (void)state;
    const atlas *a = atlas_anatomix36();
    assert_int_equal(a->region_count, 36);
    assert_string_equal(a->regions[0].name, "abdomen");
    assert_string_equal(a->regions[11].name, "left lung");
    assert_string_equal(a->regions[23].name, "carina");
    assert_string_equal(a->regions[29].concept_name, "Trachea&&Main Bronchus");
    assert_string_equal(a->regions[35].display_name, "Right costodiaphragmatic recess");
    /* the order of the set is the ASCII order of the concept names */
    for (int i = 1; i < 36; i++) assert_true(strcmp(a->regions[i - 1].concept_name, a->regions[i].concept_name) < 0);

    const atlas *b = atlas_imagenome29();
    assert_int_equal(b->region_count, 29);
    assert_string_equal(b->regions[0].name, "right lung");
    assert_string_equal(b->regions[8].name, "left lung");
    assert_string_equal(b->regions[28].name, "abdomen");
    for (int i = 0; i < 29; i++) {
        int j = atlas_find(a, b->regions[i].name);
        assert_true(j >= 0);
        assert_string_equal(a->regions[j].concept_name, b->regions[i].concept_name);
        assert_int_equal(a->regions[j].colour, b->regions[i].colour);
    }
}

static void test_links(void **state) {
    (void)state;
    for (int s = 0; atlas_builtin_at(s); s++) {
        const atlas *a = atlas_builtin_at(s);
        assert_ptr_equal(atlas_builtin(a->name), a);
        for (int i = 0; i < a->region_count; i++) {
            const atlas_region *r = &a->regions[i], *p = &a->regions[r->partner];
            assert_int_equal(p->partner, i);
            bool right = strncmp(r->name, "right ", 6) == 0 && r->partner != i;
            bool left = strncmp(r->name, "left ", 5) == 0;
            if (right) assert_string_equal(r->name + 6, p->name + 5);
            if (left) assert_string_equal(r->name + 5, p->name + 6);
            if (!right && !left) assert_int_equal(r->partner, i);
            assert_true(r->finding_count > 0);
            for (int j = 0; j < i; j++) assert_int_not_equal(a->regions[j].colour, r->colour);
        }
    }
    const atlas *a = atlas_anatomix36();
    assert_int_equal(a->regions[atlas_find(a, "right atrium")].partner, atlas_find(a, "Right Atrium"));
    assert_int_equal(a->regions[atlas_find(a, "left cardiac silhouette")].parent, atlas_find(a, "cardiac silhouette"));
    assert_int_equal(atlas_find(a, "nose"), -1);
    assert_int_equal(atlas_find_concept(a, "cavoatrial"), 31);
    assert_int_equal(atlas_find_concept(a, "Cavoatrial"), -1);
    assert_null(atlas_builtin("anatomix"));
    assert_null(atlas_builtin_at(-1));
}

static void test_files_match(void **state) {
    (void)state;
    for (int s = 0; atlas_builtin_at(s); s++) {
        const atlas *a = atlas_builtin_at(s);
        char path[512];
        snprintf(path, sizeof path, "%s/configs/atlas/%s.yaml", PROJECT_ROOT, a->name);
        atlas *b;
        carina_error error;
        assert_int_equal(atlas_load(&b, path, &error), CARINA_OK);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->region_count, b->region_count);
        for (int i = 0; i < a->region_count; i++) {
            const atlas_region *r = &a->regions[i], *q = &b->regions[i];
            assert_string_equal(r->name, q->name);
            assert_string_equal(r->display_name, q->display_name);
            assert_string_equal(r->concept_name, q->concept_name);
            assert_int_equal(r->partner, q->partner);
            assert_int_equal(r->parent, q->parent);
            assert_int_equal(r->colour, q->colour);
            assert_int_equal(r->finding_count, q->finding_count);
            for (int j = 0; j < r->finding_count; j++) assert_string_equal(r->findings[j], q->findings[j]);
        }
        atlas_free(b);
    }
}

static void refused(const char *text, carina_status status, const char *message) {
    atlas *a = NULL;
    carina_error error = {0};
    assert_int_equal(atlas_parse(&a, "set.yaml", text, strlen(text), &error), status);
    if (!strstr(error.message, message)) fail_msg("'%s' lacks '%s'", error.message, message);
    assert_null(a);
}

#define HAND "  - {name: left hand, colour: \"00ff00\""

static void test_refusals(void **state) {
    (void)state;
    refused("", CARINA_ERROR_FORMAT, "regions");
    refused("name: a\nregions: []\n", CARINA_ERROR_FORMAT, "regions");
    refused("regions:\n" HAND "}\n", CARINA_ERROR_FORMAT, "'name' is missing");
    refused("name: a\nregion:\n" HAND "}\n", CARINA_ERROR_FORMAT,
            "set.yaml:2: unknown key 'region' (did you mean 'regions'?)");
    refused("name: a\nregions:\n" HAND ", patner: x}\n", CARINA_ERROR_FORMAT, "(did you mean 'partner'?)");
    refused("name: a\nregions:\n" HAND ", partner: left hnd}\n", CARINA_ERROR_FORMAT, "(did you mean 'left hand'?)");
    refused("name: a\nregions:\n" HAND "}\n" HAND "}\n", CARINA_ERROR_FORMAT, "occurs twice");
    refused("name: a\nregions:\n" HAND ", parent: left hand}\n", CARINA_ERROR_FORMAT, "circle");
    refused("name: a\nregions:\n" HAND "}\n  - {name: right hand, partner: left hand, colour: \"00ff01\"}\n",
            CARINA_ERROR_FORMAT, "does not name it back");
    refused("name: a\nregions:\n  - {name: x, colour: green}\n", CARINA_ERROR_FORMAT, "RRGGBB");
    refused("name: a\nregions:\n  - {name: x, colour: \" +0x12\"}\n", CARINA_ERROR_FORMAT, "RRGGBB");
    refused("name: a\nregions:\n  - {name: x}\n", CARINA_ERROR_FORMAT, "'colour' is missing");
    refused("name: a\nregions:\n  - x\n", CARINA_ERROR_FORMAT, "expected a mapping");
    refused("name: a\nregions:\n" HAND ", findings: [[x]]}\n", CARINA_ERROR_FORMAT, "a finding must be a text");
    refused("name: a\nregions:\n" HAND ", findings: [\"x\\e[31m\"]}\n", CARINA_ERROR_FORMAT,
            "a finding has a control character");
    refused("name: \"a\\n\"\nregions:\n" HAND "}\n", CARINA_ERROR_FORMAT, "'name' has a control character");
    carina_error error;
    atlas *a;
    assert_int_equal(atlas_load(&a, "/nonexistent/set.yaml", &error), CARINA_ERROR_IO);
}

static void test_too_many(void **state) {
    (void)state;
    size_t size = (ATLAS_MAX_REGIONS + 1) * 64;
    char *text = malloc(size);
    int length = snprintf(text, size, "name: a\nregions:\n");
    for (int i = 0; i <= ATLAS_MAX_REGIONS; i++)
        length += snprintf(text + length, size - (size_t)length, "  - {name: r%d, colour: \"%06x\"}\n", i, i);
    refused(text, CARINA_ERROR_LIMIT, "257 regions");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),    cmocka_unit_test(test_links),    cmocka_unit_test(test_files_match),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
