/* The language task as a whole: its gradients against differences of its loss; a step of two batches is the step of one
 * large one; sentences are learned by heart and told again by the engine that runs models; stopped, resumed, on other
 * threads it is the same; what does not fit is named. */
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
#include "format/safetensors.h"
#include "model/gemma3_file.h"
#include "model/gemma3_session.h"
#include "text/bpe_train.h"
#include "train/language_task.h"
#include "train/muon.h"
#include "train/trainer.h"

static carina_error error;
#include "assert_ok.h"
#include "task_check.h"

static char folder[400], configuration[500], tokenizer_path[500];

static const char *const sentences[] = {"No pleural effusion is seen.",         "The heart is of normal size.",
                                        "A catheter ends in the right atrium.", "Both lungs are clear.",
                                        "There is a nodule on the left.",       "Ribs show no break.",
                                        "Free air lies below the diaphragm.",   "The trachea is in the mid line."};
#define SENTENCES (int)(sizeof sentences / sizeof *sentences)

static carina_status write_tokenizer(void) {
    bpe_train_options options = bpe_train_defaults();
    bpe_trainer *trainer;
    bpe *tokenizer = NULL;
    options.vocabulary_size = 360;
    options.min_frequency = 1;
    TRY(bpe_trainer_create(&trainer, &options, &error));
    carina_status status = CARINA_OK;
    for (int i = 0; i < SENTENCES && status == CARINA_OK; i++)
        status = bpe_trainer_add(trainer, sentences[i], strlen(sentences[i]), &error);
    if (status == CARINA_OK) status = bpe_trainer_finish(trainer, &tokenizer, &error);
    if (status == CARINA_OK) status = bpe_write(tokenizer, tokenizer_path, &error);
    bpe_free(tokenizer);
    bpe_trainer_free(trainer);
    return status;
}

static int set_up(void **state) {
    (void)state;
    char text[4000] = "", path[500];
    snprintf(folder, sizeof folder, "%s/language-task-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder)) return -1;
    snprintf(tokenizer_path, sizeof tokenizer_path, "%s/tokenizer.json", folder);
    if (write_tokenizer() != CARINA_OK) return -1;
    for (int i = 0; i < SENTENCES; i++) strcat(strcat(text, sentences[i]), "\n");
    snprintf(path, sizeof path, "%s/train.txt", folder);
    if (file_write(path, text, strlen(text), &error) != CARINA_OK) return -1;
    snprintf(path, sizeof path, "%s/held.txt", folder);
    if (file_write(path, "The lungs are normal.\nNo nodule.\n", 33, &error) != CARINA_OK) return -1;
    snprintf(configuration, sizeof configuration, "%s/config.yaml", folder);
    snprintf(text, sizeof text,
             "task: language\nname: x\nruns: %s/runs\nseed: 3\ntokenizer: %s\n"
             "model: {width: 32, layers: 3, heads: 4, key_heads: 2, head_width: 8, ffn_width: 48, window: 6,\n"
             "        global_every: 3, global_scale: 2}\n"
             "data: {texts: [%s/train.txt], validation_texts: [%s/held.txt], document: line, context: 12}\n"
             "training: {steps: 8, batch_size: 4, dtype: f32, validate_every: 4}\n"
             "optimizer: {rate: 5e-3, clip_norm: 1}\noutput: {dtype: f32}\n",
             folder, tokenizer_path, folder, folder);
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

static void begin(work *w, thread_pool *pool, const char *const *words, int count) {
    assert_ok(train_config_read(&w->config, configuration, words, count, &error));
    assert_ok(train_task_create(&w->task, &w->config, pool, &error));
}
#define BEGIN(w, pool, ...) \
    begin(w, pool, (const char *const[]){__VA_ARGS__}, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)))

static void end(work *w) {
    train_task_free(w->task);
    train_config_free(&w->config);
}

/* ---- gradients ---- */

/* Every parameter: the table, which is embedding and head at once, or the two apart; all norms; windows and not. Far
 * from where random weights begin, so that no gradient is small. */
static void gradients_match_differences(void **state) {
    (void)state;
    static const char *const kinds[] = {"model.tied=true", "model.tied=false"};
    for (int kind = 0; kind < 2; kind++) {
        work w;
        BEGIN(&w, NULL, kinds[kind], "data.packed=false");
        random_state random = random_seed(9);
        for (int i = 0; i < w.task->parameters->count; i++)
            parameter_fill_normal(w.task->parameters->items[i], &random, 0.2);
        task_check_gradients(w.task, 0);
        end(&w);
    }
}

static void run_step(work *w, train_task_losses *sum) {
    parameters_zero_gradients(w->task->parameters);
    assert_ok(w->task->type->gather(w->task, 0, 0, &error));
    for (int i = 0; i < w->config.accumulate; i++) {
        train_task_losses one = {0};
        assert_ok(w->task->type->step(w->task, (uint64_t)i, 0, &one, &error));
        sum->value[0] += one.value[0] / w->config.accumulate;
        sum->samples += one.samples;
    }
}

/* Rows have different numbers of tokens: the mean is over the tokens of the whole step, not of each batch. */
static void accumulated_batches_are_one_large_one(void **state) {
    (void)state;
    work one, two;
    train_task_losses a = {0}, b = {0};
    BEGIN(&one, NULL, "data.packed=false", "training.batch_size=6");
    BEGIN(&two, NULL, "data.packed=false", "training.batch_size=2", "training.accumulate=3");
    run_step(&one, &a), run_step(&two, &b);
    assert_int_equal(a.samples, b.samples);
    assert_true(fabs(a.value[0] - b.value[0]) < 1e-5);
    for (int i = 0; i < one.task->parameters->count; i++) {
        const parameter *p = one.task->parameters->items[i], *q = two.task->parameters->items[i];
        for (int64_t k = 0; k < p->count; k++)
            if (fabsf(p->gradient[k] - q->gradient[k]) > 1e-6f) fail_msg("%s: gradients differ", p->name);
    }
    end(&one), end(&two);
}

static void threads_do_not_change_gradients(void **state) {
    (void)state;
    static const char *const types[] = {"training.dtype=f32", "training.dtype=bf16"};
    thread_pool *pool;
    assert_ok(thread_pool_create(&pool, 3, &error));
    for (int type = 0; type < 2; type++) {
        work one, many;
        train_task_losses a = {0}, b = {0};
        BEGIN(&one, NULL, types[type]);
        BEGIN(&many, pool, types[type]);
        run_step(&one, &a), run_step(&many, &b);
        assert_true(a.value[0] == b.value[0]);
        for (int i = 0; i < one.task->parameters->count; i++)
            assert_memory_equal(one.task->parameters->items[i]->gradient, many.task->parameters->items[i]->gradient,
                                (size_t)one.task->parameters->items[i]->count * sizeof(float));
        end(&one), end(&many);
    }
    thread_pool_free(pool);
}

/* Muon makes directions of a matrix equal; rows of a table of words are no directions. */
static void tables_of_words_stay_with_adamw(void **state) {
    (void)state;
    work w;
    int matrices = 0;
    BEGIN(&w, NULL, "model.tied=false", "optimizer.type=muon");
    for (int i = 0; i < w.task->parameters->count; i++) {
        const parameter *p = w.task->parameters->items[i];
        bool table = strcmp(p->name, "model.embed_tokens.weight") == 0 || strcmp(p->name, "lm_head.weight") == 0;
        assert_true(muon_takes(p) == (p->rank == 2 && !table));
        assert_true(p->decay == (p->rank == 2)); /* norms do not decay */
        matrices += muon_takes(p);
    }
    assert_int_equal(matrices, 3 * 7);
    end(&w);
}

/* ---- learning ---- */

/* What the engine says after <bos> and `text`, the most likely token each time, up to <eos>. */
static void tell(char out[400], const char *path, const char *text) {
    gemma3 *m;
    bpe *tokenizer;
    bpe_encoder *encoder;
    gemma3_runner *runner;
    gemma3_session *session;
    const int32_t *ids;
    int32_t told[64];
    uint64_t count, length = 0;
    char file[700], *decoded;
    snprintf(file, sizeof file, "%s/tokenizer.json", path);
    assert_ok(gemma3_load(&m, path, &error));
    assert_ok(bpe_read(&tokenizer, file, NULL, &error));
    assert_ok(bpe_encoder_create(&encoder, tokenizer, &error));
    assert_ok(bpe_encode(encoder, text, strlen(text), true, &ids, &count, &error));
    const gemma3_runner_options options = {.type = TENSOR_F32, .chunk = 1, .tokens = 64};
    assert_ok(gemma3_runner_create(&runner, m, &options, &error));
    assert_ok(gemma3_session_create(&session, &m->config, TENSOR_F32, 64, 1, &error));
    int end = bpe_find(tokenizer, "<eos>", 5);
    for (uint64_t i = 0; i < 60; i++) {
        const float *logits;
        gemma3_row row = {.session = session, .id = i < count ? ids[i] : told[length - 1], .wants_logits = true};
        assert_ok(gemma3_runner_step(runner, &row, 1, &logits, &error));
        if (i + 1 < count) continue;
        told[length] = 0;
        for (int v = 1; v < m->config.vocabulary; v++)
            if (logits[v] > logits[told[length]]) told[length] = v;
        if (told[length++] == end) break;
    }
    assert_ok(bpe_decode(tokenizer, told, length, true, &decoded, &count, &error));
    snprintf(out, 400, "%s", decoded);
    free(decoded);
    gemma3_session_free(session), gemma3_runner_free(runner);
    bpe_encoder_free(encoder), bpe_free(tokenizer), gemma3_free(m);
}

/* Sentences with different beginnings: once they are known by heart, only the first words are left to guess. */
static void sentences_are_learned(void **state) {
    (void)state;
    static const char *const types[] = {"training.dtype=f32", "training.dtype=bf16"};
    char path[500], told[400];
    snprintf(path, sizeof path, "%s/learned", folder);
    for (int type = 0; type < 2; type++) {
        work w;
        BEGIN(&w, NULL, types[type], "data.packed=false", "data.context=32", "training.batch_size=8",
              "training.steps=120", "optimizer.warmup_steps=10", "model.layers=2", "model.global_every=2");
        double loss = task_learn(w.task, 120);
        if (!(loss < 0.3)) fail_msg("%s: loss %g", types[type], loss);
        const train_task_origin origin = {120, 0, -1};
        assert_ok(w.task->type->save(w.task, path, &origin, &error));
        end(&w);
        tell(told, path, "Free air");
        assert_string_equal(told, " lies below the diaphragm.");
        tell(told, path, "Ribs");
        assert_string_equal(told, " show no break.");
    }
}

/* ---- runs ---- */

static carina_status train_with(const trainer_options *o, trainer_result *result, const char *name, const char *word) {
    char name_word[100];
    snprintf(name_word, sizeof name_word, "name=%s", name);
    const char *words[] = {name_word, word};
    train_config config;
    TRY(train_config_read(&config, configuration, words, word ? 2 : 1, &error));
    carina_status status = trainer_run(&config, o, result, &error);
    train_config_free(&config);
    return status;
}

static void assert_same_tensors(const char *a, const char *b, const char *file) {
    char path[2][700];
    tensor_file files[2];
    snprintf(path[0], sizeof path[0], "%s/runs/%s/%s", folder, a, file);
    snprintf(path[1], sizeof path[1], "%s/runs/%s/%s", folder, b, file);
    for (int i = 0; i < 2; i++) assert_ok(safetensors_read(&files[i], path[i], &error));
    assert_int_equal(files[0].count, files[1].count);
    for (uint64_t i = 0; i < files[0].count; i++) {
        const named_tensor *t = &files[0].tensors[i], *u = &files[1].tensors[i];
        if (t->byte_count != u->byte_count || memcmp(t->data, u->data, (size_t)t->byte_count) != 0)
            fail_msg("%s: %s differs", file, t->name);
    }
    for (int i = 0; i < 2; i++) tensor_file_free(&files[i]);
}

static void resumed_on_other_threads_it_is_the_same(void **state) {
    (void)state;
    trainer_result result;
    const char *word = "training.accumulate=2";
    assert_ok(train_with(&(trainer_options){.threads = 2}, &result, "whole", word));
    assert_true(result.finished && result.best > 0 && result.best < 1);
    assert_ok(train_with(&(trainer_options){.threads = 1, .stop_after = 3}, &result, "cut", word));
    assert_ok(train_with(&(trainer_options){.threads = 3, .resume = true}, &result, "cut", word));
    assert_int_equal(result.step, 8);
    assert_same_tensors("whole", "cut", "checkpoint.safetensors");
    assert_same_tensors("whole", "cut", "last/model.safetensors");
    assert_same_tensors("whole", "cut", "best/model.safetensors");
}

/* The weights of a folder are those that a run begins with; its own folder and another shape are refused. */
static void a_run_may_begin_with_a_folder(void **state) {
    (void)state;
    char start[700], best[600];
    trainer_result result;
    snprintf(best, sizeof best, "%s/runs/whole/best", folder);
    snprintf(start, sizeof start, "start=%s", best);
    gemma3 *m;
    assert_ok(gemma3_load(&m, best, &error));
    work w;
    BEGIN(&w, NULL, start);
    assert_ok(w.task->type->load_weights(w.task, w.config.start, &error));
    for (int i = 0; i < m->parameters->count; i++)
        assert_memory_equal(m->parameters->items[i]->value, w.task->parameters->items[i]->value,
                            (size_t)m->parameters->items[i]->count * sizeof(float));
    end(&w);
    gemma3_free(m);
    assert_true(train_with(&(trainer_options){.threads = 1, .overwrite = true}, &result, "whole", start) != CARINA_OK);
    assert_non_null(strstr(error.message, "is a file of this run"));
    BEGIN(&w, NULL, start, "model.width=40");
    assert_int_equal(w.task->type->load_weights(w.task, w.config.start, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "whole/best: its model.width would be 32, which is 40 here"));
    end(&w);
}

/* ---- what does not fit ---- */

static void assert_refused(const char *word, const char *message) {
    train_config config;
    train_task *task = NULL;
    carina_status status = train_config_read(&config, configuration, &word, 1, &error);
    if (status == CARINA_OK) {
        status = train_task_create(&task, &config, NULL, &error);
        train_config_free(&config);
    }
    assert_null(task);
    if (status == CARINA_OK) fail_msg("%s is accepted", word);
    if (!strstr(error.message, message) || strchr(error.message, '\n')) fail_msg("%s: %s", word, error.message);
}

static void bad_configurations_are_named(void **state) {
    (void)state;
    char word[700], path[600], message[700];
    assert_refused("tokenizer=", "command line: tokenizer: no tokenizer.json is given");
    assert_refused("tokenizer=/nowhere/t.json", "config.yaml: tokenizer: /nowhere/t.json");
    snprintf(word, sizeof word, "tokenizer=%s", configuration);
    assert_refused(word, "config.yaml: tokenizer: ");
    assert_refused("model.vocabulary=100", "model.vocabulary: 100 rows, but ");
    assert_refused("model.vocabulary=2000000", "model.vocabulary");
    assert_refused("data.end_token=<stop>", "tokenizer.json has no token \"<stop>\"");
    assert_refused("model.key_heads=3", "command line: model.key_heads: 3 heads of keys do not divide model.heads 4");
    assert_refused("model.head_width=7", "command line: model.head_width: 7 is odd");
    assert_refused("model.layers=65", "model.layers");
    assert_refused("data.texts=[]", "command line: data.texts: nothing to train on");
    assert_refused("data.document=word", "data.document");
    assert_refused("data.train.type=nih_boxes", "data.train");
    assert_refused("data.contxt=3", "data.context");
    assert_refused("masked.share=0.1", "masked.share");
    snprintf(path, sizeof path, "%s/empty.txt", folder);
    assert_ok(file_write(path, " \n\t\n", 4, &error));
    snprintf(word, sizeof word, "data.texts=[%s]", path);
    assert_refused(word, "config.yaml: data.texts: no document to train on");
    snprintf(word, sizeof word, "data.texts=[%s/none.txt]", folder);
    snprintf(message, sizeof message, "data.texts: %s/none.txt", folder);
    assert_refused(word, message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_match_differences),     cmocka_unit_test(accumulated_batches_are_one_large_one),
        cmocka_unit_test(threads_do_not_change_gradients), cmocka_unit_test(tables_of_words_stay_with_adamw),
        cmocka_unit_test(sentences_are_learned),           cmocka_unit_test(resumed_on_other_threads_it_is_the_same),
        cmocka_unit_test(a_run_may_begin_with_a_folder),   cmocka_unit_test(bad_configurations_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
