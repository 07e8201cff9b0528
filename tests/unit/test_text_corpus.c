/* What a text encoder learns from: three films with scene graphs and a report, and a plain file, written here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "train/text_corpus.h"

#include "assert_ok.h"

static char folder[400];
static carina_error error;

static void write_text(const char *name, const char *text) {
    char path[800];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    assert_ok(file_make_folders(path, &error));
    *slash = '/';
    assert_ok(file_write(path, text, strlen(text), &error));
}

/* Film dN of study 5N of patient 1N, with boxes for both lungs. `attributes`: the scene graph's list. */
static void write_film(int number, const char *attributes) {
    char name[100], text[2000];
    snprintf(name, sizeof name, "silver_dataset/scene_graph/d%d_SceneGraph.json", number);
    snprintf(text, sizeof text,
             "{\"image_id\": \"d%d\", \"patient_id\": 1%d, \"study_id\": 5%d, \"objects\": ["
             "{\"bbox_name\": \"right lung\", \"name\": \"Right lung\", \"original_x1\": 10, \"original_y1\": 10, "
             "\"original_x2\": 90, \"original_y2\": 180},"
             "{\"bbox_name\": \"left lung\", \"name\": \"Left lung\", \"original_x1\": 110, \"original_y1\": 10, "
             "\"original_x2\": 190, \"original_y2\": 180}], \"attributes\": [%s]}",
             number, number, number, attributes);
    write_text(name, text);
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/corpus-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder)) return -1;
    const char *head = "dicom_id,subject_id,study_id\n";
    char rows[200];
    snprintf(rows, sizeof rows, "%sd1,11,51\nd2,12,52\n", head);
    write_text("silver_dataset/splits/train.csv", rows);
    snprintf(rows, sizeof rows, "%sd3,13,53\n", head);
    write_text("silver_dataset/splits/valid.csv", rows);
    write_text("mimic-cxr-2.0.0-metadata.csv", "dicom_id,Rows,Columns\nd1,200,200\nd2,200,200\nd3,200,200\n");
    write_film(1,
               "{\"bbox_name\": \"right lung\", \"name\": \"Right lung\","
               " \"phrases\": [\"Opacity on the right.\", \"No effusion.\"],"
               " \"attributes\": [[\"anatomicalfinding|yes|lung opacity\", \"severity|yes|mild\"],"
               "                  [\"anatomicalfinding|no|pleural effusion\"]]},"
               "{\"bbox_name\": \"left lung\", \"name\": \"Left lung\", \"phrases\": [\"No effusion.\"],"
               " \"attributes\": [[\"anatomicalfinding|no|pleural effusion\"]]}");
    write_film(2,
               "{\"bbox_name\": \"right lung\", \"name\": \"Right lung\", \"phrases\": [\"No effusion.\"],"
               " \"attributes\": [[\"anatomicalfinding|yes|pleural effusion\"]]}");
    write_film(3,
               "{\"bbox_name\": \"left lung\", \"name\": \"Left lung\", \"phrases\": [\"Haze on the left.\"],"
               " \"attributes\": [[\"anatomicalfinding|yes|atelectasis\"]]}");
    write_text("files/p11/p11/s51.txt", "FINAL REPORT\n FINDINGS:  Opacity on the right.  Heart is\n normal.\n");
    write_text("more.txt", "Heart is normal.\n\n   \nTab\there\r\nRight lung shows lung opacity.\r\nno end");
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[500];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

/* data: the lines below "data:". */
static carina_status read_corpus(text_corpus *out, train_config *config, const char *data) {
    char path[500], text[3000];
    snprintf(path, sizeof path, "%s/config.yaml", folder);
    snprintf(text, sizeof text, "task: text\nname: x\nsimilarity: {region_weight: 0.5}\ndata:\n%s", data);
    *config = (train_config){0};
    assert_ok(file_write(path, text, strlen(text), &error));
    assert_ok(train_config_read(config, path, NULL, 0, &error));
    return text_corpus_read(out, config, &error);
}

static carina_status read_all(text_corpus *out, train_config *config) {
    char data[2000];
    snprintf(data, sizeof data,
             "  train: {type: chest_imagenome, annotations: %s, own_split_only: true}\n"
             "  validation: {type: chest_imagenome, annotations: %s, split: valid, own_split_only: true}\n"
             "  reports: true\n  texts: [%s/more.txt]\n",
             folder, folder, folder);
    return read_corpus(out, config, data);
}

static void sentences_in_order(void **state) {
    (void)state;
    static const char *const expected[] = {
        "Left lung is healthy.", "Right lung shows lung opacity.", "Opacity on the right.", "No effusion.",
        "Heart is normal.", "Right lung shows pleural effusion.", "Tab here", "no end",
        /* of validation, what training does not have */
        "Left lung shows atelectasis.", "Right lung is healthy.", "Haze on the left."};
    text_corpus c;
    train_config config;
    assert_ok(read_all(&c, &config));
    assert_int_equal(c.count, sizeof expected / sizeof *expected);
    for (uint32_t i = 0; i < c.count; i++) assert_string_equal(c.sentences[i].text, expected[i]);
    assert_true(c.train.begin == 0 && c.train.end == 8 && c.validation.begin == 8 && c.validation.end == 11);
    text_corpus_free(&c);
    train_config_free(&config);
}

/* "No effusion." of the second film says the opposite: the first place decides. */
static void meanings(void **state) {
    (void)state;
    text_corpus c;
    train_config config;
    assert_ok(read_all(&c, &config));
    static const uint32_t groups[] = {0, 1, 1, 2, UINT32_MAX, 3, UINT32_MAX, UINT32_MAX, 4, 5, 4};
    for (uint32_t i = 0; i < c.count; i++) assert_int_equal(c.sentences[i].group, groups[i]);
    assert_int_equal(c.train.group_count, 4);
    assert_int_equal(c.train.member_count, 5);
    assert_memory_equal(c.train.members, ((uint32_t[]){0, 1, 2, 3, 5}), 5 * sizeof(uint32_t));
    assert_memory_equal(c.train.group_begin, ((uint32_t[]){0, 1, 3, 4, 5}), 5 * sizeof(uint32_t));
    assert_int_equal(c.validation.group_count, 2);
    assert_memory_equal(c.validation.members, ((uint32_t[]){8, 10, 9}), 3 * sizeof(uint32_t));

    /* lung opacity, both lungs, healthy, effusion denied and affirmed, atelectasis */
    assert_int_equal(c.feature_count, 7);
    float row[3][7];
    for (uint32_t i = 0; i < 3; i++) text_corpus_meaning(&c, (uint32_t[]){1, 3, 4}[i], row[i]);
    double squares[3] = {0}, shared = 0;
    for (int k = 0; k < 7; k++) {
        for (int i = 0; i < 3; i++) squares[i] += (double)row[i][k] * (double)row[i][k];
        shared += (double)row[0][k] * (double)row[1][k];
    }
    assert_true(fabs(squares[0] - (1 + 0.25)) < 1e-6); /* one finding, one region of weight 0.5 */
    assert_true(fabs(squares[1] - (1 + 0.25)) < 1e-6); /* one denied, two regions that share the 0.5 */
    assert_true(fabs(shared - 0.5 * 0.5 / sqrt(2)) < 1e-6);
    assert_true(squares[2] < 1e-12);
    text_corpus_free(&c);
    train_config_free(&config);
}

static void words_and_tokens(void **state) {
    (void)state;
    text_corpus c;
    train_config config;
    wordpiece words = {.options = wordpiece_defaults()};
    assert_ok(read_all(&c, &config));
    assert_ok(text_corpus_vocabulary(&c, 300, 1, &words.words, &error));
    assert_true(vocabulary_find(&words.words, "lung", 4) >= 0);
    assert_int_equal(vocabulary_find(&words.words, "atelectasis", 11), -1); /* said in validation alone */
    assert_ok(text_corpus_tokenise(&c, &words, 3, &error));
    assert_int_equal(c.sentences[1].token_count, 3);
    assert_int_equal(c.sentences[1].tokens[1], vocabulary_find(&words.words, "lung", 4));
    assert_ok(text_corpus_tokenise(&c, &words, 30, &error)); /* again, longer */
    assert_int_equal(c.sentences[1].token_count, 6);         /* five words and a full stop */
    vocabulary_free(&words.words);
    text_corpus_free(&c);
    train_config_free(&config);
}

static void the_fingerprint_is_of_training_data(void **state) {
    (void)state;
    text_corpus c;
    train_config config;
    uint64_t print[3];
    for (int i = 0; i < 3; i++) {
        if (i == 1) write_film(3, "");
        if (i == 2) write_text("more.txt", "Heart is normal.\n");
        assert_ok(read_all(&c, &config));
        print[i] = c.fingerprint;
        text_corpus_free(&c);
        train_config_free(&config);
    }
    assert_true(print[0] == print[1] && print[1] != print[2]);
}

static void what_teaches_nothing_is_refused(void **state) {
    (void)state;
    char data[2][1000];
    write_text("blank.txt", "\n  \n\t\r\n");
    snprintf(data[0], sizeof data[0], "  texts: [%s/blank.txt]\n", folder);
    snprintf(data[1], sizeof data[1], "  texts: [%s/missing.txt]\n", folder);
    const char *const cases[][2] = {
        {data[0], "config.yaml: data.train: no sentences to train on"},
        {data[1], "missing.txt"},
        {"  train: {type: nih_boxes, annotations: x}\n", "data.train.type: nih_boxes has no sentences"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_corpus c;
        train_config config;
        assert_true(read_corpus(&c, &config, cases[i][0]) != CARINA_OK);
        if (!strstr(error.message, cases[i][1])) fail_msg("%s", error.message);
        assert_non_null(strstr(error.message, "config.yaml: data."));
        assert_true(c.count == 0 && !c.sentences);
        train_config_free(&config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_in_order),
        cmocka_unit_test(meanings),
        cmocka_unit_test(words_and_tokens),
        cmocka_unit_test(the_fingerprint_is_of_training_data),
        cmocka_unit_test(what_teaches_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
