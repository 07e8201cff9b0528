/* format/config: defaults, file, words, validation with the nearest key, dump and hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/config.h"

typedef enum norm { NORM_FROZEN, NORM_BATCH, NORM_GROUP } norm;
typedef struct model_settings {
    int64_t width;
    norm normalisation;
    float dropout;
    char *weights;
    config_ints sizes;
} model_settings;
typedef struct train_settings {
    char *data;
    int epochs, threads;
    double learning_rate;
    bool mirror;
    config_floats betas;
    config_texts sets;
} train_settings;

static const char *const norms[] = {"frozen", "batch", "group", NULL};
static const config_field model_fields[] = {
    CONFIG_FIELD(model_settings, width, "128", 8, 4096, "channels of the transformer"),
    CONFIG_CHOICE(model_settings, normalisation, "frozen", norms, "normalisation of the backbone"),
    CONFIG_FIELD(model_settings, dropout, "0.1", 0, 0.99, "dropout"),
    CONFIG_FIELD(model_settings, weights, "", CONFIG_ANY, "file to start from"),
    CONFIG_KEY(model_settings, sizes, "image.sizes", "[320, 512]", 32, 4096, "pixels", 0),
};
static const config_field train_fields[] = {
    CONFIG_FIELD(train_settings, data, NULL, CONFIG_ANY, "folder of the training set"),
    CONFIG_FIELD(train_settings, epochs, "10", 1, 1e6, "passes over the set"),
    CONFIG_KEY(train_settings, threads, "threads", "0", 0, 256, "0: all processors", CONFIG_NOT_HASHED),
    CONFIG_KEY(train_settings, learning_rate, "optimizer.learning_rate", "1e-4", 0, INFINITY, "of all but the backbone",
               0),
    CONFIG_FIELD(train_settings, mirror, "yes", CONFIG_ANY, "mirror half of the films"),
    CONFIG_KEY(train_settings, betas, "optimizer.betas", "[0.9, 0.999]", 0, 1, "AdamW", 0),
    CONFIG_FIELD(train_settings, sets, "[]", CONFIG_ANY, "names"),
};
static const config_schema model_schema = {model_fields, sizeof model_fields / sizeof *model_fields};
static const config_schema train_schema = {train_fields, sizeof train_fields / sizeof *train_fields};

static model_settings model;
static train_settings train;
static const config_part parts[] = {{"model", &model_schema, &model}, {"train", &train_schema, &train}};

static carina_status load(const char *text, const char *const *words, uint32_t count, carina_error *error) {
    return config_load_text(parts, 2, "c.yaml", text, strlen(text), words, count, error);
}

static void defaults_file_and_words(void **state) {
    (void)state;
    static const char text[] =
        "model:\n  width: 64\n  normalisation: group\n  image:\n    sizes: [64, 1e3]\ntrain:\n  data: ../set A\n"
        "  mirror: no\n  optimizer.learning_rate: 3e-4\n";
    const char *const words[] = {"train.epochs=20", "model.weights=a=b #c", "train.optimizer.betas=0.8,0.9",
                                 "train.sets=[x, \"y z\"]", "train.epochs=30"};
    carina_error error = {0};
    carina_status status = load(text, words, 5, &error);
    if (status != CARINA_OK) print_error("%s\n", error.message);
    assert_int_equal(status, CARINA_OK);
    assert_int_equal(model.width, 64);
    assert_int_equal(model.normalisation, NORM_GROUP);
    assert_true(model.dropout == 0.1f);
    assert_string_equal(model.weights, "a=b #c");
    assert_int_equal(model.sizes.count, 2);
    assert_int_equal(model.sizes.items[1], 1000);
    assert_string_equal(train.data, "../set A");
    assert_int_equal(train.epochs, 30);
    assert_true(train.learning_rate == 3e-4);
    assert_false(train.mirror);
    assert_int_equal(train.betas.count, 2);
    assert_true(train.betas.items[0] == 0.8);
    assert_int_equal(train.sets.count, 2);
    assert_string_equal(train.sets.items[1], "y z");

    /* What was resolved, written and loaded again, is the same; the order of tables does not matter to the hash. */
    char *dump, *again;
    uint64_t hash = config_hash(parts, 2);
    const config_part turned[] = {parts[1], parts[0]};
    assert_true(hash == config_hash(turned, 2));
    assert_int_equal(config_dump(&dump, parts, 2, &error), CARINA_OK);
    assert_string_equal(
        dump,
        "model:\n  width: 64\n  normalisation: group\n  dropout: 0.1\n  weights: \"a=b #c\"\n  image:\n"
        "    sizes: [64, 1000]\ntrain:\n  data: \"../set A\"\n  epochs: 30\n  threads: 0\n  optimizer:\n"
        "    learning_rate: 0.0003\n    betas: [0.8, 0.9]\n  mirror: false\n  sets: [x, \"y z\"]\n");
    config_free(parts, 2);
    config_free(parts, 2); /* zeroed: nothing to free */
    assert_int_equal(load(dump, NULL, 0, &error), CARINA_OK);
    assert_true(config_hash(parts, 2) == hash);
    assert_int_equal(config_dump(&again, parts, 2, &error), CARINA_OK);
    assert_string_equal(dump, again);
    config_free(parts, 2);
    free(again);

    const char *const threads[] = {"train.threads=7"}, *const epochs[] = {"train.epochs=31"};
    assert_int_equal(load(dump, threads, 1, &error), CARINA_OK);
    assert_int_equal(train.threads, 7);
    assert_true(config_hash(parts, 2) == hash);
    config_free(parts, 2);
    assert_int_equal(load(dump, epochs, 1, &error), CARINA_OK);
    assert_true(config_hash(parts, 2) != hash);
    config_free(parts, 2);
    assert_int_equal(file_write(TEST_TMP "/c.yaml", dump, strlen(dump), &error), CARINA_OK);
    assert_int_equal(config_load(parts, 2, TEST_TMP "/c.yaml", NULL, 0, &error), CARINA_OK);
    assert_true(config_hash(parts, 2) == hash);
    config_free(parts, 2);
    free(dump);
}

static void hash_is_the_same_on_every_machine(void **state) {
    (void)state;
    carina_error error;
    assert_int_equal(load("train.data: d\n", NULL, 0, &error), CARINA_OK);
    assert_true(config_hash(parts, 2) == 0xaf3e39eb4e2b6785u);
    config_free(parts, 2);
}

static void refuse(const char *text, const char *word, const char *message) {
    carina_error error = {0};
    assert_int_not_equal(load(text, &word, word ? 1 : 0, &error), CARINA_OK);
    assert_string_equal(error.message, message);
    assert_null(train.data); /* nothing is left to free */
    assert_null(train.betas.items);
}

static void mistakes_are_named(void **state) {
    (void)state;
    refuse("modle:\n  width: 3\n", NULL, "c.yaml:1: unknown key 'modle' (did you mean 'model'?)");
    refuse("train:\n  optimiser:\n    learning_rate: 1\n", NULL,
           "c.yaml:2: unknown key 'train.optimiser' (did you mean 'train.optimizer'?)");
    refuse("model:\n  widht: 3\n", NULL, "c.yaml:2: unknown key 'model.widht' (did you mean 'model.width'?)");
    refuse("learning_rate: 3\n", NULL,
           "c.yaml:1: unknown key 'learning_rate' (did you mean 'train.optimizer.learning_rate'?)");
    refuse("zebra: 3\n", NULL, "c.yaml:1: unknown key 'zebra'");
    refuse("trian:\n  data: 3\n", NULL, "c.yaml:1: unknown key 'trian' (did you mean 'train'?)");
    refuse("model:\n  width: 4\n", NULL, "c.yaml:2: model.width: must lie in 8 .. 4096, not '4'");
    refuse("model:\n  width: 64.5\n", NULL, "c.yaml:2: model.width: expects a whole number, not '64.5'");
    refuse("model:\n  width: [1]\n", NULL, "c.yaml:2: model.width: expects a whole number, not a sequence");
    refuse("model:\n  width:\n", NULL, "c.yaml:2: model.width: has no value (remove the key to take its default)");
    refuse("model:\n  normalisation: layer\n", NULL,
           "c.yaml:2: model.normalisation: expects one of frozen, batch, group; not 'layer'");
    refuse("model: 3\n", NULL, "c.yaml:1: model: is a section: keys with values are expected below it");
    refuse("model:\n  image.sizes: [64,\n    9]\n", NULL,
           "c.yaml:3: model.image.sizes: must lie in 32 .. 4096, not '9'");
    refuse("model:\n  image.sizes: 64\n", NULL,
           "c.yaml:2: model.image.sizes: expects a list of integers, not a scalar");
    refuse("train:\n  mirror: maybe\n", NULL, "c.yaml:2: train.mirror: expects true or false, not 'maybe'");
    refuse("train:\n  optimizer:\n    learning_rate: nan\n", NULL,
           "c.yaml:3: train.optimizer.learning_rate: expects a number, not 'nan'");
    refuse("train:\n  data: a\n  optimizer:\n    betas: [0.9, 2]\n", NULL,
           "c.yaml:4: train.optimizer.betas: must lie in 0 .. 1, not '2'");
    refuse("train:\n  data: a\ntrain.data: b\n", NULL, "c.yaml:3: train.data: is given twice");
    refuse("model:\n  width: 64\n", NULL, "c.yaml: required key 'train.data' is missing (folder of the training set)");
    refuse("- a\n", NULL, "c.yaml:1: keys with values are expected");
    refuse("", "epochs", "'epochs' is not of the form key=value");
    refuse("", "train.epoch=3", "command line: unknown key 'train.epoch' (did you mean 'train.epochs'?)");
    refuse("", "train=3", "command line: train: is a section: name a key below it");
    refuse("", "train.epochs=0", "command line: train.epochs: must lie in 1 .. 1000000, not '0'");
    refuse("", "train.optimizer.betas=[0.1", "command line: train.optimizer.betas: cannot be understood: '[0.1'");
    refuse("", "train.optimizer.learning_rate=-1",
           "command line: train.optimizer.learning_rate: must be at least 0, not '-1'");
    carina_error error;
    assert_int_equal(config_load(parts, 2, TEST_TMP "/absent.yaml", NULL, 0, &error), CARINA_ERROR_IO);
    assert_null(train.data);
}

static void everything_is_described(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    config_describe(parts, 2, stream);
    fclose(stream);
    assert_non_null(strstr(text, "  model.normalisation          frozen|batch|group, default frozen\n"));
    assert_non_null(strstr(text, "  train.optimizer.learning_rate number >= 0, default 1e-4\n"));
    assert_non_null(strstr(text, "  train.data                   text, required\n"));
    free(text);
}

/* A table that comes back to a section it had left is still written in one piece. */
static void sections_stay_together(void **state) {
    (void)state;
    static struct { int a, b, c, d; } values;
    static const config_field fields[] = {
        {"x.y.a", CONFIG_INT, 0, "1", 0, 9, NULL, "", 0},
        {"z", CONFIG_INT, sizeof(int), "2", 0, 9, NULL, "", 0},
        {"x.b", CONFIG_INT, 2 * sizeof(int), "3", 0, 9, NULL, "", 0},
        {"x.y.c", CONFIG_INT, 3 * sizeof(int), "4", 0, 9, NULL, "", 0},
    };
    const config_schema schema = {fields, 4};
    const config_part part = {"", &schema, &values};
    carina_error error;
    char *dump;
    assert_int_equal(config_load(&part, 1, NULL, NULL, 0, &error), CARINA_OK);
    assert_int_equal(config_dump(&dump, &part, 1, &error), CARINA_OK);
    assert_string_equal(dump, "x:\n  y:\n    a: 1\n    c: 4\n  b: 3\nz: 2\n");
    free(dump);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_file_and_words), cmocka_unit_test(hash_is_the_same_on_every_machine),
        cmocka_unit_test(mistakes_are_named),      cmocka_unit_test(everything_is_described),
        cmocka_unit_test(sections_stay_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
