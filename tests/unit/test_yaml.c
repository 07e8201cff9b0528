/* format/yaml: the tree with its lines, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/yaml.h"

static yaml_tree *parse(const char *text) {
    yaml_tree *tree;
    carina_error error = {0};
    carina_status status = yaml_parse(&tree, "x.yaml", text, strlen(text), &error);
    if (status != CARINA_OK) print_error("%s\n", error.message);
    assert_int_equal(status, CARINA_OK);
    return tree;
}

static void refuse(const char *text, carina_status expected, const char *part) {
    yaml_tree *tree;
    carina_error error = {0};
    assert_int_equal(yaml_parse(&tree, "x.yaml", text, strlen(text), &error), expected);
    assert_null(tree);
    if (!strstr(error.message, part)) fail_msg("'%s' lacks '%s'", error.message, part);
}

static void tree_has_lines(void **state) {
    (void)state;
    yaml_tree *tree = parse("# comment\nmodel:\n  name: \"a b\"\n  sizes: [1, 2.5,\n    null]\nlast: ~\n");
    const yaml_value *root = yaml_root(tree);
    assert_int_equal(root->kind, YAML_MAPPING);
    assert_int_equal(root->count, 2);
    assert_int_equal(root->key_lines[1], 6);
    const yaml_value *model = yaml_get(root, "model");
    const yaml_value *name = yaml_get(model, "name");
    assert_string_equal(name->text, "a b");
    assert_true(name->quoted);
    assert_int_equal(name->line, 3);
    assert_int_equal(name->column, 9);
    const yaml_value *sizes = yaml_get(model, "sizes");
    assert_int_equal(sizes->kind, YAML_SEQUENCE);
    assert_int_equal(sizes->count, 3);
    assert_string_equal(sizes->children[1]->text, "2.5");
    assert_true(yaml_is_null(sizes->children[2]));
    assert_int_equal(sizes->children[2]->line, 5);
    assert_true(yaml_is_null(yaml_get(root, "last")));
    assert_null(yaml_get(root, "absent"));
    assert_null(yaml_get(name, "absent"));
    yaml_free(tree);
    tree = parse("\xef\xbb\xbfname: x\r\nseed: 3\r\n"); /* a byte order mark, from other systems' editors */
    assert_string_equal(yaml_get(yaml_root(tree), "name")->text, "x");
    assert_string_equal(yaml_get(yaml_root(tree), "seed")->text, "3");
    yaml_free(tree);
    const char *const empty[] = {"", "# only a comment\n", "---\n", "---\n...\n"};
    for (int i = 0; i < 4; i++) {
        tree = parse(empty[i]);
        assert_int_equal(yaml_root(tree)->kind, YAML_MAPPING);
        assert_int_equal(yaml_root(tree)->count, 0);
        yaml_free(tree);
    }
}

static void bad_documents_are_refused(void **state) {
    (void)state;
    refuse("a: 1\nb: 2\na: 3\n", CARINA_ERROR_FORMAT, "x.yaml:3: key 'a' is given twice (first on line 1)");
    refuse("a: &x [1]\nb: *x\n", CARINA_ERROR_UNSUPPORTED, "x.yaml:2: aliases");
    refuse("a: !!python/object:os.system x\n", CARINA_ERROR_UNSUPPORTED, "x.yaml:1: tag");
    refuse("a: 1\n---\nb: 2\n", CARINA_ERROR_UNSUPPORTED, "second document");
    refuse("[1]: 2\n", CARINA_ERROR_FORMAT, "key must be plain text");
    refuse("a: [1, 2\n", CARINA_ERROR_FORMAT, "not valid YAML");
    refuse("a: \"\\0\"\n", CARINA_ERROR_FORMAT, "NUL");
    refuse("a: \xff\xfe\n", CARINA_ERROR_FORMAT, "not valid YAML");
    char deep[200];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = 0;
    refuse(deep, CARINA_ERROR_LIMIT, "nested too deeply");
    carina_error error;
    yaml_tree *tree;
    assert_int_equal(yaml_parse(&tree, "big", "", (uint64_t)YAML_MAX_BYTES + 1, &error), CARINA_ERROR_LIMIT);
    assert_int_equal(yaml_read(&tree, TEST_TMP "/absent.yaml", &error), CARINA_ERROR_IO);
    size_t size = 2 * YAML_MAX_NODES + 4;
    char *many = malloc(size);
    for (size_t i = 0; i < size; i++) many[i] = i % 2 ? ',' : '1';
    many[0] = '[';
    many[1] = '1';
    assert_int_equal(yaml_parse(&tree, "many", many, size, &error), CARINA_ERROR_LIMIT);
    free(many);
}

static void quoted_text_reads_back(void **state) {
    (void)state;
    const char *const texts[] = {
        "plain", "",   "no",          "1e-4",          "a: b", "say \"hi\" \\ back", "tab\tnew\nline\x7f", "null",
        "~",     "-x", "caf\xc3\xa9", "runs/x-1.yaml", "@at",  "\xc2\x85\xc2\x9b",   "\xf0\x9f\xab\x81"};
    for (size_t i = 0; i <= sizeof texts / sizeof *texts; i++) {
        bool bad = i == sizeof texts / sizeof *texts;
        char *line = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&line, &size);
        fputs("k: ", stream);
        yaml_put_text(stream, bad ? "a\xff\xc3\xef\xbf\xbe" : texts[i]);
        fclose(stream);
        yaml_tree *tree = parse(line);
        const yaml_value *value = yaml_get(yaml_root(tree), "k");
        assert_string_equal(value->text, bad ? "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" : texts[i]);
        assert_false(yaml_is_null(value));
        assert_int_equal(value->quoted, i != 0 && i != 11);
        yaml_free(tree);
        free(line);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_has_lines),
        cmocka_unit_test(bad_documents_are_refused),
        cmocka_unit_test(quoted_text_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
