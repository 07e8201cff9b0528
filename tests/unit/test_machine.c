/* Processor levels and their cap, near-miss words, and the search for models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/build.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/nearest.h"
#include "pipeline/model_path.h"

static void test_levels(void **state) {
    (void)state;
    cpu_features f = {.avx2 = true, .fma = true, .f16c = true};
    assert_int_equal(cpu_level_of(&f), CPU_AVX2);
    f.avx512f = f.avx512bw = f.avx512dq = f.avx512vl = true;
    assert_int_equal(cpu_level_of(&f), CPU_AVX512);
    f.amx_tile = f.amx_bf16 = f.amx_int8 = true;
    assert_int_equal(cpu_level_of(&f), CPU_AVX512); /* not allowed by the operating system */
    f.amx_allowed = true;
    assert_int_equal(cpu_level_of(&f), CPU_AMX);
    f.fma = false;
    assert_int_equal(cpu_level_of(&f), CPU_GENERIC);
}

static void test_cap(void **state) {
    (void)state;
    const char *old = getenv("CARINA_MAX_ISA");
    char *kept = old ? strdup(old) : NULL;
    cpu_level best = cpu_level_best(), level;
    for (int i = 0; i < CPU_LEVEL_COUNT; i++) {
        setenv("CARINA_MAX_ISA", cpu_level_name((cpu_level)i), 1);
        assert_int_equal(cpu_level_effective(), (int)best < i ? (int)best : i);
        assert_true(cpu_level_parse(cpu_level_name((cpu_level)i), &level));
        assert_int_equal(level, i);
    }
    unsetenv("CARINA_MAX_ISA");
    assert_int_equal(cpu_level_effective(), best);
    assert_false(cpu_level_parse("AVX2", &level));
    if (kept) setenv("CARINA_MAX_ISA", kept, 1);
    free(kept);
}

static void test_nearest(void **state) {
    (void)state;
    const char *words[] = {"width", "height", NULL, "learning_rate"};
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("ab", "BA"), 1);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_string_equal(nearest_word("widht", words, 4), "width");
    assert_string_equal(nearest_word("learning-rate", words, 4), "learning_rate");
    assert_null(nearest_word("colour", words, 4));
    assert_null(nearest_word("x", words, 0));
    char huge[5000];
    memset(huge, 'w', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    assert_null(nearest_word(huge, words, 2));
}

static void make(const char *folder, const char *name) {
    carina_error error;
    char *path = path_join(folder, name);
    assert_int_equal(file_write(path, "x", 1, &error), CARINA_OK);
    free(path);
}

static void count_model(void *context, const char *name, const char *path) {
    (void)path;
    if (strncmp(name, "lung-", 5) == 0) ++*(int *)context;
}

static void test_model_search(void **state) {
    (void)state;
    carina_error error;
    char folder[] = TEST_TMP "/models-XXXXXX", text[600], *path;
    assert_non_null(mkdtemp(folder));
    snprintf(text, sizeof text, "%s/second/lung-b", folder);
    assert_int_equal(file_make_folders(text, &error), CARINA_OK);
    make(folder, "lung-a.safetensors");
    make(text, "model.safetensors");
    snprintf(text, sizeof text, "/nonexistent::%s:%s/second", folder, folder);
    setenv("CARINA_MODELS", text, 1);

    assert_int_equal(model_path_find(&path, "lung-a", &error), CARINA_OK);
    snprintf(text, sizeof text, "%s/lung-a.safetensors", folder);
    assert_string_equal(path, text);
    free(path);
    assert_int_equal(model_path_find(&path, "lung-b", &error), CARINA_OK);
    snprintf(text, sizeof text, "%s/second/lung-b/model.safetensors", folder);
    assert_string_equal(path, text);
    free(path);
    snprintf(text, sizeof text, "%s/second/lung-b", folder);
    assert_int_equal(model_path_find(&path, text, &error), CARINA_OK); /* a folder stands for the model in it */
    assert_non_null(strstr(path, "lung-b/model.safetensors"));
    free(path);
    assert_int_equal(model_path_find(&path, "x.safetensors", &error), CARINA_OK); /* a path, not searched for */
    assert_string_equal(path, "x.safetensors");
    free(path);

    assert_int_equal(model_path_find_encoder(&path, "lung-b", &error), CARINA_ERROR_IO); /* no words in it */
    assert_non_null(strstr(error.message, "no text encoder 'lung-b' in /nonexistent"));
    assert_null(path);
    snprintf(text, sizeof text, "%s/second/lung-b", folder);
    make(text, "vocab.txt");
    assert_int_equal(model_path_find_encoder(&path, "lung-b", &error), CARINA_OK);
    assert_string_equal(path, text);
    free(path);
    assert_int_equal(model_path_find_encoder(&path, folder, &error), CARINA_OK); /* a path, whatever is in it */
    assert_string_equal(path, folder);
    free(path);

    assert_int_equal(model_path_find(&path, "lung-c", &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "did you mean 'lung-a'?"));
    assert_non_null(strstr(error.message, "/nonexistent"));
    assert_null(path);
    int count = 0;
    assert_int_equal(model_path_each(count_model, &count, &error), CARINA_OK);
    assert_int_equal(count, 2);
    unsetenv("CARINA_MODELS");

    snprintf(text, sizeof text, "rm -r '%s'", folder);
    assert_int_equal(system(text), 0);
}

static void test_build(void **state) {
    (void)state;
    assert_true(strlen(build_commit()) > 0);
    assert_true(strlen(build_compiler()) > 4);
    int count = 0;
    for (; build_library_at(count); count++) assert_true(strlen(build_library_at(count)->version) > 0);
    assert_true(count > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),       cmocka_unit_test(test_cap),   cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_model_search), cmocka_unit_test(test_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
