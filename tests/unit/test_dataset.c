/* Data sets read from disk: a hand-made Chest ImaGenome folder with all its oddities, and the real NIH films. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/chest_imagenome.h"
#include "data/dataset.h"
#include "format/jpeg.h"

static char root[512];

static void put(const char *name, const char *text) {
    char path[1024];
    carina_error error;
    snprintf(path, sizeof path, "%s/%s", root, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_int_equal(file_make_folders(path, &error), CARINA_OK);
    *slash = '/';
    assert_int_equal(file_write(path, text, strlen(text), &error), CARINA_OK);
}

static void put_film(const char *name, int width, int height) {
    char path[1024];
    carina_error error;
    put(name, "");
    snprintf(path, sizeof path, "%s/%s", root, name);
    uint8_t *grey = malloc((size_t)(width * height));
    assert_non_null(grey);
    memset(grey, 128, (size_t)(width * height));
    assert_int_equal(jpeg_save_grey8(path, grey, width, height, 95, &error), CARINA_OK);
    free(grey);
}

#define SPLIT_HEADER ",subject_id,study_id,dicom_id,path,ViewPosition\n"
#define LABEL_HEADER                                                                                        \
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture," \
    "Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices\n"

static int make_folder(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s/dataset-%d", TEST_TMP, (int)getpid());
    put("silver_dataset/splits/train.csv", SPLIT_HEADER
        "0,10000001,50000001,aaa-1,files/x.dcm,PA\n"
        "1,10000001,50000001,aaa-2,files/x.dcm,\n"
        "2,10000002,50000002,avoid-1,files/x.dcm,AP\n"
        "3,10000003,50000003,other-1,files/x.dcm,AP\n"
        "4,10000004,50000004,small-1,files/x.dcm,AP\n");
    put("silver_dataset/splits/images_to_avoid.csv",
        "subject_id,study_id,dicom_id,path,ViewPosition\n"
        "10000002,50000002,avoid-1,files/x.dcm,AP\n");
    put("mimic-cxr-2.0.0-split.csv",
        "dicom_id,study_id,subject_id,split\naaa-1,50000001,10000001,train\n"
        "other-1,50000003,10000003,test\n");
    put("mimic-cxr-2.0.0-metadata.csv",
        "dicom_id,subject_id,ViewPosition,Rows,Columns\n"
        "aaa-2,10000001,AP,40,60\nsmall-1,10000004,AP,80,120\n");
    put("mimic-cxr-2.0.0-chexpert.csv", LABEL_HEADER "10000001,50000001,1.0,,-1.0,0.0,,,,,,,,,,1.0\n");
    /* original coordinates; a box partly and one wholly off the film; one region twice; an unknown region */
    put("silver_dataset/scene_graph/aaa-1_SceneGraph.json",
        "{\"image_id\":\"aaa-1\",\"gender\":\"F\",\"age_decile\":\"60-70\",\"study_id\":50000001,\"objects\":["
        "{\"bbox_name\":\"right lung\",\"original_x1\":-5,\"original_y1\":4,\"original_x2\":20,\"original_y2\":30},"
        "{\"bbox_name\":\"right lung\",\"original_x1\":6,\"original_y1\":2,\"original_x2\":25,\"original_y2\":28},"
        "{\"bbox_name\":\"left lung\",\"original_x1\":70,\"original_y1\":4,\"original_x2\":90,\"original_y2\":30},"
        "{\"bbox_name\":\"neck\",\"original_x1\":1,\"original_y1\":4,\"original_x2\":9,\"original_y2\":30},"
        "{\"bbox_name\":\"spine\",\"original_x1\":null,\"original_y1\":4,\"original_x2\":9,\"original_y2\":30}],"
        "\"attributes\":[{\"bbox_name\":\"right lung\",\"right lung\":true,\"phrases\":[\"a line.\",\"ett\"],"
        "\"attributes\":[[\"anatomicalfinding|no|lung opacity\"],[\"tubesandlines|yes|endotracheal tube\"]]}]}");
    /* only the 224 frame: a film 60 x 40 is padded by 10 above and below, s = 60 / 224 */
    put("silver_dataset/scene_graph/aaa-2_SceneGraph.json",
        "{\"objects\":[{\"bbox_name\":\"Right Lung\",\"x1\":56,\"y1\":112,\"x2\":112,\"y2\":224}]}");
    put("silver_dataset/scene_graph/small-1_SceneGraph.json",
        "{\"objects\":[{\"bbox_name\":\"right lung\",\"original_x1\":20,\"original_y1\":10,\"original_x2\":60,"
        "\"original_y2\":40}]}");
    put_film("files/p10/p10000001/s50000001/aaa-1.jpg", 60, 40);
    put_film("files/p10/p10000001/s50000001/aaa-2.jpg", 60, 40);
    put_film("files/p10/p10000004/s50000004/small-1.jpg", 60, 40);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static dataset *open_set(const char *split) {
    dataset_config config = {.type = "chest_imagenome", .annotations = root, .split = split};
    dataset *set;
    carina_error error;
    if (dataset_open(&set, &config, atlas_anatomix36(), &error) != CARINA_OK) fail_msg("%s", error.message);
    return set;
}

static int region(const char *name) { return atlas_find(atlas_anatomix36(), name); }

static void assert_box(box got, float x1, float y1, float x2, float y2) {
    if (fabsf(got.x1 - x1) > 0.01f || fabsf(got.y1 - y1) > 0.01f || fabsf(got.x2 - x2) > 0.01f ||
        fabsf(got.y2 - y2) > 0.01f) {
        fail_msg("box %g %g %g %g", (double)got.x1, (double)got.y1, (double)got.x2, (double)got.y2);
    }
}

static void keeps_the_right_films(void **state) {
    (void)state;
    dataset *set = open_set("train");
    assert_int_equal(dataset_count(set), 3); /* avoid-1 and other-1 are out */
    dataset_free(set);
    dataset_config config = {
        .type = "chest_imagenome", .annotations = root, .split = "train", .keep_avoided = true, .own_split_only = true};
    carina_error error;
    assert_int_equal(dataset_open(&set, &config, atlas_anatomix36(), &error), CARINA_ERROR_IO); /* avoid-1: no graph */
}

static void reads_boxes_and_labels(void **state) {
    (void)state;
    dataset *set = open_set("train");
    sample s;
    carina_error error;
    assert_int_equal(dataset_read(set, 0, true, &s, &error), CARINA_OK);
    assert_string_equal(s.id, "aaa-1");
    assert_string_equal(s.view, "PA");
    assert_int_equal(s.sex, 'F');
    assert_int_equal(s.age, 65);
    assert_int_equal(s.equipment, 1);
    assert_int_equal(s.width, 60);
    assert_box(s.boxes[region("right lung")], 0, 2, 25, 30); /* clipped, and the union of two */
    assert_false(s.present[region("left lung")]);
    assert_false(s.present[region("spine")]);
    assert_true(s.labels[0] == 1 && isnan(s.labels[1]) && s.labels[2] == -1 && s.labels[3] == 0 && s.labels[13] == 1);
    sample_free(&s);
    assert_int_equal(dataset_read(set, 1, true, &s, &error), CARINA_OK);
    assert_string_equal(s.view, "AP"); /* from the metadata */
    assert_box(s.boxes[region("right lung")], 15, 20, 30, 40);
    sample_free(&s);
    assert_int_equal(dataset_read(set, 2, true, &s, &error), CARINA_OK);
    assert_box(s.boxes[region("right lung")], 10, 5, 30, 20); /* stored at half its size */
    sample_free(&s);
    assert_int_equal(dataset_read(set, 2, false, &s, &error), CARINA_OK);
    assert_box(s.boxes[region("right lung")], 20, 10, 60, 40);
    assert_null(s.film.value);
    sample_free(&s);
    scene_graph graph;
    assert_int_equal(chest_imagenome_graph(set, 0, &graph, &error), CARINA_OK);
    assert_int_equal(graph.mention_count, 1);
    assert_true(graph.mentions[0].named);
    assert_string_equal(graph.mentions[0].phrases[1].attributes[0], "tubesandlines|yes|endotracheal tube");
    scene_graph_free(&graph);
    dataset_free(set);
}

static void expect_failure(const char *split, const char *words) {
    dataset_config config = {.type = "chest_imagenome", .annotations = root, .split = split};
    dataset *set = NULL;
    carina_error error = {0};
    sample s;
    carina_status status = dataset_open(&set, &config, atlas_anatomix36(), &error);
    if (status == CARINA_OK) status = dataset_read(set, 0, true, &s, &error);
    assert_int_not_equal(status, CARINA_OK);
    dataset_free(set);
    if (!strstr(error.message, words)) fail_msg("\"%s\" lacks \"%s\"", error.message, words);
    assert_null(strchr(error.message, '\n'));
}

static void names_what_is_wrong(void **state) {
    (void)state;
    expect_failure("valid", "valid.csv");
    expect_failure("trial", "unknown split");
    put("silver_dataset/splits/valid.csv", ",subject_id,study_id,path\n0,1,2,3\n");
    expect_failure("valid", "dicom_id");
    put("silver_dataset/splits/valid.csv", SPLIT_HEADER "0,1,2,../../etc/passwd,x,PA\n");
    expect_failure("valid", "no film id");
    put("silver_dataset/splits/valid.csv", SPLIT_HEADER);
    expect_failure("valid", "no film is left");
    put("silver_dataset/splits/test.csv", SPLIT_HEADER "0,10000009,50000009,bad-1,x,PA\n");
    put("silver_dataset/scene_graph/bad-1_SceneGraph.json", "{\"objects\":[{\"bbox_name\":\"right l");
    expect_failure("test", "bad-1_SceneGraph.json");
    put("silver_dataset/scene_graph/bad-1_SceneGraph.json", "[1]");
    expect_failure("test", "must be a JSON object");
    put("silver_dataset/scene_graph/bad-1_SceneGraph.json", "{}");
    expect_failure("test", "files/p10/p10000009/s50000009/bad-1.jpg");
    put("files/p10/p10000009/s50000009/bad-1.jpg", "not a picture");
    expect_failure("test", "neither PNG nor JPEG");
    dataset_config config = {.type = "chest_imagnome", .annotations = root};
    dataset *set;
    carina_error error;
    assert_int_equal(dataset_open(&set, &config, atlas_anatomix36(), &error), CARINA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "chest_imagnome"));
}

static carina_status open_nih(dataset **set, const char *type, const char *folder, carina_error *error) {
    const dataset_config config = {.type = type, .annotations = folder};
    return dataset_open(set, &config, atlas_anatomix36(), error);
}

/* Films by what was read of them: seen, not seen, nobody looked. */
static void count_readings(const dataset *set, int counts[3]) {
    for (uint64_t i = 0; i < dataset_count(set); i++) {
        sample s;
        carina_error error;
        assert_int_equal(dataset_read(set, i, false, &s, &error), CARINA_OK);
        assert_in_range(s.opacity + 1, 0, 2);
        counts[s.opacity < 0 ? 2 : 1 - s.opacity]++;
        sample_free(&s);
    }
}

static void reads_opacity(void **state) {
    (void)state;
    char folder[600];
    dataset *set;
    carina_error error;
    int counts[3] = {0};
    snprintf(folder, sizeof folder, "%s/nih", root);
    put("nih/anatomy-boxes.json", "{\"frame\": 512, \"images\": []}");
    put("nih/annotations.json",
        "{\"images\": [{\"image\": \"a.png\", \"rsna_target\": 1},"
        "{\"image\": \"b.png\", \"rsna_target\": 0},{\"image\": \"e.png\", \"rsna_target\": 0},"
        "{\"image\": \"c.png\", \"rsna_target\": null}, {\"image\": \"d.png\"}]}");
    assert_int_equal(open_nih(&set, "nih_films", folder, &error), CARINA_OK);
    count_readings(set, counts);
    assert_memory_equal(counts, ((int[]){1, 2, 2}), sizeof counts);
    dataset_free(set);
    /* A box that leaves the frame would spoil every figure. */
    put("nih/anatomy-boxes.json",
        "{\"frame\": 512, \"images\": [{\"image\": \"a.png\", \"boxes\": {\"right lung\": [0, 0, 512.5, 9]}}]}");
    assert_int_equal(open_nih(&set, "nih_boxes", folder, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "images[0].boxes.right lung: edge 512.5 lies outside the frame of 512"));
    put("nih/annotations.json", "{\"images\": [{\"image\": \"a.png\", \"rsna_target\": 2}]}");
    assert_int_equal(open_nih(&set, "nih_films", folder, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "images[0].rsna_target: "));
}

static void reads_real_films(void **state) {
    (void)state;
    if (!file_exists(SHARED_DATA "/nih/anatomy-boxes.json")) {
        print_message("skipped: shared data not found\n");
        skip();
    }
    dataset *set;
    carina_error error;
    if (open_nih(&set, "nih_boxes", SHARED_DATA "/nih", &error) != CARINA_OK) fail_msg("%s", error.message);
    assert_int_equal(dataset_count(set), 40);
    int boxes = 0, unsure = 0;
    for (uint64_t i = 0; i < 40; i++) {
        sample s;
        assert_int_equal(dataset_read(set, i, i == 0, &s, &error), CARINA_OK);
        for (int r = 0; r < 36; r++) boxes += s.present[r], unsure += s.present[r] && s.unsure[r];
        if (i == 0) {
            assert_string_equal(s.id, "00000061_012");
            assert_int_equal(s.film.width, 512);
            assert_box(s.boxes[region("right lung")], 96, 83, 238, 400);
        }
        sample_free(&s);
    }
    assert_int_equal(boxes, 332);
    assert_int_equal(unsure, 150);
    int read[3] = {0}, others[3] = {0};
    count_readings(set, read);
    assert_memory_equal(read, ((int[]){7, 8, 25}), sizeof read);
    dataset_free(set);
    assert_int_equal(open_nih(&set, "nih_films", SHARED_DATA "/nih", &error), CARINA_OK);
    count_readings(set, others);
    assert_memory_equal(others, ((int[]){30, 65, 186}), sizeof others);
    uint64_t count = dataset_count(set);
    assert_true(count > 200 && count < 302); /* the 40 films' patients have others, which are left out too */
    sample s;
    assert_int_equal(dataset_read(set, count - 1, true, &s, &error), CARINA_OK);
    assert_false(s.present[region("right lung")]);
    sample_free(&s);
    dataset_free(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_right_films), cmocka_unit_test(reads_boxes_and_labels),
        cmocka_unit_test(names_what_is_wrong),   cmocka_unit_test(reads_opacity),
        cmocka_unit_test(reads_real_films),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
