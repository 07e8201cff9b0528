/* Studies: lists from files, folders and DICOMDIRs, and the map back to the file's own pixels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "pipeline/study.h"

#define MEDIUM TEST_DATA "/dicom/medium"

static void directory_in_its_order(void **state) {
    (void)state;
    study_list list = {0};
    carina_error error;
    assert_int_equal(study_list_add(&list, MEDIUM "/DICOMDIR", &error), CARINA_OK);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.path[0], MEDIUM "/FILMS/F2");
    assert_string_equal(list.path[1], MEDIUM "/FILMS/F1");
    assert_int_equal(list.note_count, 1);
    assert_non_null(strstr(list.note[0], "FILMS/GONE: skipped, named in the DICOMDIR but not there"));
    assert_int_equal(list.unread_count, 1);
    study_list_free(&list);
}

static bool has_note(const study_list *list, const char *name, const char *reason) {
    for (int i = 0; i < list->note_count; i++)
        if (strstr(list->note[i], name) && strstr(list->note[i], reason)) return true;
    return false;
}

static void folder_sorted_with_notes(void **state) {
    (void)state;
    const char *folder = TEST_TMP "/study_folder";
    carina_error error;
    assert_int_equal(file_make_folders(TEST_TMP "/study_folder/b/deep", &error), CARINA_OK);
    assert_int_equal(file_make_folders(TEST_TMP "/study_folder/.hidden", &error), CARINA_OK);
    static const char *const copies[][2] = {{"pictures/grey8.png", "b/deep/misnamed.jpg"},
                                            {"dicom/u8_explicit.dcm", "b/film"},
                                            {"pictures/grey.jpg", "a.jpg"},
                                            {"pictures/grey.jpg", ".hidden/x.jpg"},
                                            {"dicom/bad_report.dcm", "c_report"},
                                            {"dicom/medium/DICOMDIR", "DICOMDIR"}};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        char from[512], to[512];
        uint8_t *bytes;
        uint64_t size;
        snprintf(from, sizeof from, TEST_DATA "/%s", copies[i][0]);
        snprintf(to, sizeof to, "%s/%s", folder, copies[i][1]);
        assert_int_equal(file_read(from, 1 << 20, &bytes, &size, &error), CARINA_OK);
        assert_int_equal(file_write(to, bytes, size, &error), CARINA_OK);
        free(bytes);
    }
    assert_int_equal(file_write(TEST_TMP "/study_folder/notes.txt", "hello", 5, &error), CARINA_OK);
    assert_int_equal(file_write(TEST_TMP "/study_folder/empty", "", 0, &error), CARINA_OK);
    unlink(TEST_TMP "/study_folder/b/loop");
    assert_int_equal(symlink("..", TEST_TMP "/study_folder/b/loop"), 0);
    unlink(TEST_TMP "/study_folder/pipe");
    assert_int_equal(mkfifo(TEST_TMP "/study_folder/pipe", 0600), 0);

    study_list list = {0};
    if (study_list_add(&list, folder, &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.path[0], TEST_TMP "/study_folder/a.jpg");
    assert_string_equal(list.path[1], TEST_TMP "/study_folder/b/deep/misnamed.jpg");
    assert_string_equal(list.path[2], TEST_TMP "/study_folder/b/film");
    assert_int_equal(list.note_count, 6);
    assert_true(has_note(&list, "notes.txt", "neither"));
    assert_true(has_note(&list, "empty", "empty"));
    assert_true(has_note(&list, "loop", "a link to a folder"));
    assert_true(has_note(&list, "pipe", "not a regular file"));
    assert_true(has_note(&list, "c_report", "a DICOM report"));
    assert_true(has_note(&list, "DICOMDIR", "a DICOMDIR"));
    for (int i = 0; i < list.count; i++) {
        study s;
        if (study_open(&s, list.path[i], NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
        assert_string_equal(s.path, list.path[i]);
        study_close(&s);
    }
    study_list_free(&list);
}

/* What cannot be read, and what is named as a film but holds none, is for study_open to refuse. */
static void damaged_films_are_listed(void **state) {
    (void)state;
    carina_error error;
    static const char *const films[] = {"a.DCM", "b.png", "c.jpeg", "gone"};
    assert_int_equal(file_make_folders(TEST_TMP "/study_damaged", &error), CARINA_OK);
    assert_int_equal(file_write(TEST_TMP "/study_damaged/a.DCM", "no film", 7, &error), CARINA_OK);
    assert_int_equal(file_write(TEST_TMP "/study_damaged/b.png", "", 0, &error), CARINA_OK);
    assert_int_equal(file_write(TEST_TMP "/study_damaged/c.jpeg", "hello", 5, &error), CARINA_OK);
    assert_int_equal(file_write(TEST_TMP "/study_damaged/d.csv", "1,2", 3, &error), CARINA_OK);
    unlink(TEST_TMP "/study_damaged/gone");
    assert_int_equal(symlink("nowhere", TEST_TMP "/study_damaged/gone"), 0);
    study_list list = {0};
    assert_int_equal(study_list_add(&list, TEST_TMP "/study_damaged", &error), CARINA_OK);
    assert_int_equal(list.count, 4);
    for (int i = 0; i < 4; i++) {
        study s;
        assert_string_equal(path_name(list.path[i]), films[i]);
        assert_int_not_equal(study_open(&s, list.path[i], NULL, &error), CARINA_OK);
        assert_non_null(strstr(error.message, films[i]));
    }
    assert_int_equal(list.note_count, 1);
    assert_true(has_note(&list, "d.csv", "neither"));
    assert_int_equal(list.unread_count, 0);
    study_list_free(&list);
}

static void nothing_to_list(void **state) {
    (void)state;
    study_list list = {0};
    carina_error error;
    assert_int_equal(study_list_add(&list, TEST_DATA "/none", &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, "/none: cannot open"));
    assert_int_equal(file_make_folders(TEST_TMP "/study_empty", &error), CARINA_OK);
    assert_int_equal(study_list_add(&list, TEST_TMP "/study_empty", &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "no film in this folder"));
    assert_int_equal(list.count, 0);
    /* A file that is named is the user's word: it is listed, and opening it says what is wrong. */
    assert_int_equal(study_list_add(&list, TEST_DATA "/dicom/bad_report.dcm", &error), CARINA_OK);
    assert_int_equal(list.count, 1);
    study s;
    assert_int_equal(study_open(&s, list.path[0], NULL, &error), CARINA_ERROR_UNSUPPORTED);
    assert_true(strstr(error.message, list.path[0]) == error.message);
    assert_null(s.path);
    study_list_free(&list);
}

static void boxes_return_to_the_files_pixels(void **state) {
    (void)state;
    study s;
    carina_error error;
    if (study_open(&s, TEST_DATA "/dicom/grey_spacing.dcm", NULL, &error) != CARINA_OK) fail_msg("%s", error.message);
    /* 24 x 20 pixels, twice as high as wide: a 24 x 40 film in a square of 40, padded by 8. */
    assert_int_equal(s.transform.side, 40);
    assert_int_equal(s.transform.left, 8);
    box whole = letterbox_to_file(&s.transform, (const float[4]){0.5f, 0.5f, 0.6f, 1});
    assert_true(fabsf(whole.x1) < 1e-3f && fabsf(whole.y1) < 1e-3f);
    assert_true(fabsf(whole.x2 - 24) < 1e-3f && fabsf(whole.y2 - 20) < 1e-3f);
    study_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directory_in_its_order),           cmocka_unit_test(folder_sorted_with_notes),
        cmocka_unit_test(damaged_films_are_listed),         cmocka_unit_test(nothing_to_list),
        cmocka_unit_test(boxes_return_to_the_files_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
