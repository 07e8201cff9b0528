/* The text task as a whole: its gradients against differences of its loss in both stages, all types and lengths of
 * rows; and that a few sentences are learned by heart, in f32 and bf16, which an encoder stuck at the most usual word
 * does not do. */
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
#include "data/phantom/writer.h"
#include "tensor/kernels.h"
#include "train/text_task.h"

#define FILMS 6
#define SIDE  96

static char folder[400], configuration[500];
static carina_error error;
#include "assert_ok.h"
#include "task_check.h"

static int set_up(void **state) {
    (void)state;
    char text[2000], films[500];
    snprintf(folder, sizeof folder, "%s/text-task-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder)) return -1;
    snprintf(films, sizeof films, "%s/films", folder);
    phantom_writer_options options = {
        .folder = films, .seed = 5, .count = FILMS, .width = SIDE, .height = SIDE, .split = {1, 0, 0}};
    phantom_writer_result written;
    if (phantom_writer_run(&options, &written, &error) != CARINA_OK) return -1;
    snprintf(configuration, sizeof configuration, "%s/config.yaml", folder);
    snprintf(text, sizeof text,
             "task: text\nname: x\nruns: %s/runs\nseed: 3\n"
             "model: {width: 32, heads: 2, layers: 2, ffn_width: 48, positions: 32, dropout: 0}\n"
             "vocabulary: {size: 200}\n"
             "data: {train: {type: chest_imagenome, annotations: %s}}\n"
             "similarity: {from_step: 1, pairs: 6, tokens: 24, masked_weight: 0.5}\n"
             "training: {steps: 2, batch_size: 6, dtype: f32}\n",
             folder, films);
    return file_write(configuration, text, strlen(text), &error) == CARINA_OK ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[500];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

typedef struct work {
    train_config config;
    train_task *task;
} work;

static void begin(work *w, const char *const *words, int count) {
    assert_ok(train_config_read(&w->config, configuration, words, count, &error));
    assert_ok(text_task_create(&w->task, &w->config, NULL, &error));
}

static void end(work *w) {
    w->task->type->free(w->task);
    train_config_free(&w->config);
}

/* ---- gradients ---- */

/* Also a check of what only the task puts together: the table of words, which is embedding and head at once and is met
 * twice in stage 2, the head, rows cut out of the pooled sentences, and both losses' weights. */
static void gradients_match_differences(void **state) {
    (void)state;
    work w;
    begin(&w, NULL, 0);
    for (uint64_t step = 0; step < 2; step++) task_check_gradients(w.task, step); /* stage 1, stage 2 */
    end(&w);
}

/* ---- learning ---- */

/* Sixteen sentences of four words; no word is in two, so every hidden word can be told from its neighbours, while the
 * most usual word is right once in 64 times. */
static void write_sentences(const char *path) {
    char text[2000] = "";
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++) {
            size_t length = strlen(text);
            snprintf(text + length, sizeof text - length, "%c%c%s", 'a' + i, 'a' + j, j < 3 ? " " : "\n");
        }
    assert_ok(file_write(path, text, strlen(text), &error));
}

static void sentences_are_learned(void **state) {
    (void)state;
    char texts[700], path[500];
    snprintf(path, sizeof path, "%s/sixteen.txt", folder);
    snprintf(texts, sizeof texts, "data.texts=[%s]", path);
    write_sentences(path);
    for (int type = 0; type < 2; type++) {
        const char *words[] = {texts,
                               "data.train.type=",
                               type ? "training.dtype=bf16" : "training.dtype=f32",
                               "vocabulary.size=200",
                               "vocabulary.min_frequency=1",
                               "model.positions=8",
                               "masked.single=1",
                               "masked.share=0.3",
                               "training.batch_size=16",
                               "training.steps=400",
                               "similarity.tokens=8",
                               "optimizer.rate=4e-3",
                               "optimizer.warmup_steps=60",
                               "optimizer.clip_norm=1"};
        work w;
        begin(&w, words, (int)(sizeof words / sizeof *words));
        double loss = task_learn(w.task, 400);
        if (!(loss < 2)) fail_msg("%s: loss %g; the most usual word alone costs 4.2", words[2], loss);
        end(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(sentences_are_learned),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
