/* Alignment in training: the gradient of the whole loss against its differences; several batches as one; nothing moves
 * that must not; threads, interruptions and the model's file; what is measured; what is refused. */
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
#include "data/phantom/writer.h"
#include "format/safetensors.h"
#include "model/model_file.h"
#include "train/alignment.h"
#include "train/resume_check.h"
#include "train/text_embedder.h"
#include "train/train_task.h"
#include "train/trainer.h"

#include "assert_ok.h"

static char folder[400], configuration[500];
static carina_error error;

static int set_up(void **state) {
    (void)state;
    char text[2000];
    phantom_writer_result result;
    snprintf(folder, sizeof folder, "%s/alignment-XXXXXX", TEST_TMP);
    if (!mkdtemp(folder)) return -1;
    phantom_writer_options films = {
        .folder = folder, .seed = 5, .count = 18, .width = 64, .height = 64, .split = {0.6, 0.4, 0}, .masks = true};
    if (phantom_writer_run(&films, &result, &error) != CARINA_OK) return -1;
    snprintf(configuration, sizeof configuration, "%s/config.yaml", folder);
    snprintf(text, sizeof text,
             "name: full\nruns: %s/runs\nseed: 7\n"
             "model: {resnet_depth: 18, resnet_width: 0.0625, resnet_norm: group, model_width: 32, heads: 2,\n"
             "        encoder_layers: 1, decoder_layers: 2, ffn_width: 64, image_size: 64, dropout: 0}\n"
             "data:\n  train: {type: chest_imagenome, annotations: %s, limit: 8, own_split_only: true}\n"
             "  validation: {type: chest_imagenome, annotations: %s, split: valid, own_split_only: true}\n"
             "alignment: {text_encoder: %s/bert, tau: 0.2, target_tau: 0.1}\n"
             "training: {steps: 6, batch_size: 8, validate_every: 3, log_every: 3}\n"
             "optimizer: {rate: 3e-3, clip_norm: 1, ema_decay: 0.9, warmup_steps: 2}\n"
             "augment: {rotation: 0, translation: 0, scale: 0, flip_probability: 0}\n",
             folder, folder, folder, TEST_DATA);
    return file_write(configuration, text, strlen(text), &error) == CARINA_OK ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[500];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

/* ---- single steps ---- */

typedef struct run {
    train_config config;
    train_task *task;
    uint64_t batch;
} run;

#define MOST_WORDS 8

static void start_run(run *r, const char *const words[MOST_WORDS]) {
    uint64_t print;
    int count = 0;
    while (count < MOST_WORDS && words && words[count]) count++;
    *r = (run){0};
    assert_ok(train_config_read(&r->config, configuration, words, count, &error));
    assert_ok(train_task_create(&r->task, &r->config, NULL, &error));
    assert_ok(r->task->type->open_data(r->task, &print, &error));
    assert_ok(r->task->type->start_data(r->task, 0, &error));
}
#define START(r, ...) start_run(r, (const char *const[MOST_WORDS]){__VA_ARGS__})

static void end_run(run *r) {
    train_task_free(r->task);
    train_config_free(&r->config);
}

/* One step's mean losses and its gradients. */
static void step(run *r, double losses[TRAIN_TASK_LOSSES]) {
    memset(losses, 0, TRAIN_TASK_LOSSES * sizeof *losses);
    parameters_zero_gradients(r->task->parameters);
    assert_ok(r->task->type->gather(r->task, r->batch, 0, &error));
    for (int i = 0; i < r->config.accumulate; i++) {
        train_task_losses one = {0};
        assert_ok(r->task->type->step(r->task, r->batch++, 0, &one, &error));
        for (int k = 0; k < TRAIN_TASK_LOSSES; k++) losses[k] += one.value[k] / r->config.accumulate;
    }
}

/* The first step's loss with one parameter moved by pace x direction; its gradient when `gradient` is given
 * (malloc'ed).
 */
static double first_loss(const char *const words[MOST_WORDS], const char *name, double pace, const float *direction,
                         float **gradient, int64_t *count) {
    run r;
    double losses[TRAIN_TASK_LOSSES];
    start_run(&r, words);
    parameter *p = parameters_find(r.task->parameters, name);
    assert_non_null(p);
    for (int64_t i = 0; direction && i < p->count; i++) p->value[i] += (float)(pace * (double)direction[i]);
    parameters_changed(r.task->parameters);
    step(&r, losses);
    if (gradient) {
        *count = p->count;
        *gradient = malloc((size_t)p->count * sizeof **gradient);
        memcpy(*gradient, p->gradient, (size_t)p->count * sizeof **gradient);
    }
    end_run(&r);
    return losses[0];
}

/* Along the gradient of one parameter, the loss must change by its square. */
static void check_slope(const char *const words[MOST_WORDS], const char *name) {
    float *gradient;
    int64_t count;
    double length = 0;
    first_loss(words, name, 0, NULL, &gradient, &count);
    for (int64_t i = 0; i < count; i++) length += (double)gradient[i] * (double)gradient[i];
    assert_true(length > 0);
    double pace = 5e-4 / length; /* a change of the loss that f32 shows, and that is still straight */
    double change =
        first_loss(words, name, pace, gradient, NULL, NULL) - first_loss(words, name, -pace, gradient, NULL, NULL);
    if (fabs(change / (2 * pace) - length) > 0.02 * length)
        fail_msg("%s, %s: slope %g, gradient %g", words[0], name, change / (2 * pace), length);
    free(gradient);
}

/* In the last case the features of the first pass must be those of the second, dropout and all. */
static void gradients_are_the_losses_slopes(void **state) {
    (void)state;
    const char *const cases[][MOST_WORDS] = {
        {"loss.labels=0.5"},
        {"alignment.weight=0.7", "alignment.loss=clip", "model.features=decoder"},
        {"alignment.weight=3", "training.accumulate=4", "training.batch_size=2", "model.dropout=0.2"},
        {"alignment.findings_weight=0.6", "training.accumulate=2", "training.batch_size=4"},
        {"alignment.findings_weight=2", "alignment.patch_findings=true"},
        {"alignment.findings_weight=1", "alignment.masks_weight=30", "training.accumulate=2", "training.batch_size=4"},
    };
    for (int c = 0; c < 6; c++) {
        check_slope(cases[c], "text_model.project_head.proj.0.weight");
        check_slope(cases[c], "anat_obj_embs.linear.weight");
        check_slope(cases[c], "query_embed.weight");
    }
    check_slope(cases[0], "backbone.0.body.layer4.1.conv2.weight");
    check_slope(cases[3], "finding_head.weight");
    check_slope(cases[3], "anat_obj_embs.mha.in_proj_weight");
    check_slope(cases[4], "patch_finding_head.weight");
    check_slope(cases[4], "transformer.cls_token");
    check_slope(cases[5], "patch_mask_head.weight");
}

static void losses_add_up(void **state) {
    (void)state;
    run r[2];
    double soft[TRAIN_TASK_LOSSES], clip[TRAIN_TASK_LOSSES];
    START(&r[0], "alignment.weight=0.25", "loss.auxiliary=false");
    START(&r[1], "alignment.loss=clip", "loss.auxiliary=false");
    step(&r[0], soft);
    step(&r[1], clip);
    assert_true(fabs(soft[0] - (soft[1] + 2 * soft[2] + 0.25 * soft[3])) < 1e-5 * soft[0]);
    assert_true(fabs(clip[0] - (clip[1] + 2 * clip[2] + clip[3])) < 1e-5 * clip[0]);
    assert_true(soft[1] == clip[1] && soft[2] == clip[2]);
    assert_true(soft[3] > 0.1 &&
                clip[3] > soft[3] + 0.1); /* the identity is far from how sentences resemble each other */
    assert_string_equal(r[0].task->type->loss_names[3], "alignment_loss");
    end_run(&r[0]);
    end_run(&r[1]);
    double found[TRAIN_TASK_LOSSES];
    START(&r[0], "alignment.weight=0.25", "loss.auxiliary=false", "alignment.findings_weight=3");
    step(&r[0], found);
    assert_true(found[1] == soft[1] && found[2] == soft[2] && found[3] == soft[3] && found[4] > 0);
    assert_true(fabs(found[0] - (soft[0] + 3 * found[4])) < 1e-5 * found[0]);
    assert_string_equal(r[0].task->type->loss_names[4], "finding_loss");
    assert_null(r[0].task->type->loss_names[5]);
    end_run(&r[0]);
    double shown[TRAIN_TASK_LOSSES];
    START(&r[0], "alignment.weight=0.25", "loss.auxiliary=false", "alignment.findings_weight=3",
          "alignment.masks_weight=7");
    step(&r[0], shown);
    assert_true(shown[1] == soft[1] && shown[4] == found[4] && shown[5] > 0);
    assert_true(fabs(shown[0] - (found[0] + 7 * shown[5])) < 1e-5 * shown[0]);
    assert_string_equal(r[0].task->type->loss_names[5], "mask_loss");
    end_run(&r[0]);
    START(&r[0], "alignment.text_encoder=");
    assert_null(r[0].task->type->loss_names[3]);
    assert_null(parameters_find(r[0].task->parameters, "text_model.project_head.proj.0.weight"));
    end_run(&r[0]);
}

/* One training set with masks is enough; none is a mistake. */
static void masks_are_asked_for(void **state) {
    (void)state;
    char bare[500], word[600], other[600];
    phantom_writer_result result;
    snprintf(bare, sizeof bare, "%s/bare", folder);
    phantom_writer_options films = {
        .folder = bare, .seed = 6, .count = 8, .width = 64, .height = 64, .split = {1, 0, 0}};
    assert_ok(phantom_writer_run(&films, &result, &error));
    snprintf(word, sizeof word, "data.train.annotations=%s", bare);
    snprintf(other, sizeof other, "data.train2.annotations=%s", folder);
    const char *words[] = {"alignment.findings_weight=1",      "alignment.masks_weight=9",        word,
                           "data.train2.type=chest_imagenome", "data.train2.own_split_only=true", other};
    for (int mixed = 0; mixed < 2; mixed++) {
        run r = {0};
        uint64_t print;
        assert_ok(train_config_read(&r.config, configuration, words, mixed ? 6 : 3, &error));
        assert_ok(train_task_create(&r.task, &r.config, NULL, &error));
        carina_status status = r.task->type->open_data(r.task, &print, &error);
        if (mixed) assert_ok(status);
        if (!mixed) {
            assert_int_equal(status, CARINA_ERROR_ARGUMENT);
            assert_non_null(strstr(error.message, "alignment.masks_weight: no training set has a folder masks/"));
        }
        end_run(&r);
    }
}

/* Each film's regions are told the findings that its scene graph affirms of them, and nothing of regions without a box.
 */
static void finding_targets_are_the_scene_graphs(void **state) {
    (void)state;
    run r;
    START(&r, "alignment.findings_weight=1");
    const atlas *regions = r.config.regions;
    dataset_config c = train_config_dataset(&r.config.train_sets[0]);
    c.sentences = true;
    dataset *films;
    finding_head *head;
    random_state random = random_seed(1);
    assert_ok(dataset_open(&films, &c, regions, &error));
    assert_ok(finding_head_create(&head, regions, 32, false, false, &random, &error));
    sentence_vectors v;
    assert_ok(sentence_vectors_read(&v, &films, 1, regions, NULL, false, &error));
    assert_ok(finding_head_read(head, &v, &error));
    float *targets = malloc((size_t)(regions->region_count * head->count) * sizeof *targets);
    int affirmed = 0;
    for (uint64_t film = 0; film < v.films; film++) {
        const uint32_t *number = sentence_vectors_of(&v, film);
        finding_head_targets(head, number, regions->region_count, targets);
        for (int i = 0; i < regions->region_count; i++) {
            const char *text = number[i] == SENTENCE_VECTORS_NONE ? NULL : v.texts[number[i]];
            for (int k = 0; k < head->count; k++) {
                float target = targets[i * head->count + k];
                if (!text) {
                    assert_true(isnan(target));
                    continue;
                }
                char shown[200], joined[200];
                snprintf(shown, sizeof shown, " shows %s", head->names[k]);
                snprintf(joined, sizeof joined, " and %s", head->names[k]);
                if (target > 0) assert_true(strstr(text, shown) || strstr(text, joined));
                affirmed += target > 0;
            }
            if (text && v.healthy[number[i]])
                for (int k = 0; k < head->count; k++) assert_true(targets[i * head->count + k] == 0);
            else if (text) { /* something is told of it */
                float sum = 0;
                for (int k = 0; k < head->count; k++) sum += targets[i * head->count + k];
                assert_true(sum >= 1);
            }
        }
    }
    assert_true(affirmed > 10);
    free(targets);
    sentence_vectors_free(&v);
    finding_head_free(head);
    dataset_free(films);
    end_run(&r);
}

/* Films are cut at random, so that batches have different numbers of regions. */
static void several_batches_are_one(void **state) {
    (void)state;
    for (int norm = 0; norm < 2; norm++) {
        const char *norm_word = norm ? "model.resnet_norm=frozen" : "model.resnet_norm=group";
        run one, two;
        double a[TRAIN_TASK_LOSSES], b[TRAIN_TASK_LOSSES];
        START(&one, norm_word, "augment.crop=0.4", "augment.translation=0.3", "training.batch_size=8",
              "alignment.findings_weight=1", "alignment.masks_weight=9");
        START(&two, norm_word, "augment.crop=0.4", "augment.translation=0.3", "training.batch_size=4",
              "training.accumulate=2", "alignment.findings_weight=1", "alignment.masks_weight=9");
        step(&one, a);
        step(&two, b);
        for (int k = 0; k < TRAIN_TASK_LOSSES; k++) assert_true(fabs(a[k] - b[k]) <= 2e-6 * fabs(a[k]));
        for (int i = 0; i < one.task->parameters->count; i++) {
            const parameter *p = one.task->parameters->items[i], *q = two.task->parameters->items[i];
            double most = 0, difference = 0;
            for (int64_t k = 0; p->gradient && k < p->count; k++) {
                most = fmax(most, fabs((double)p->gradient[k]));
                difference = fmax(difference, fabs((double)p->gradient[k] - (double)q->gradient[k]));
            }
            if (difference > 2e-4 * most + 1e-7) fail_msg("%s: %g of %g", p->name, difference, most);
        }
        end_run(&one);
        end_run(&two);
    }
}

/* The first of the two passes leaves the running statistics alone. */
static void statistics_move_once(void **state) {
    (void)state;
    run with, without;
    double losses[TRAIN_TASK_LOSSES];
    const char *norm = "model.resnet_norm=batch", *batch = "training.batch_size=4", *twice = "training.accumulate=2";
    START(&with, norm, batch, twice, "model.dropout=0.2");
    START(&without, norm, batch, twice, "model.dropout=0.2", "alignment.text_encoder=");
    step(&with, losses);
    step(&without, losses);
    for (int i = 0; i < without.task->parameters->count; i++) {
        const parameter *p = without.task->parameters->items[i], *q = with.task->parameters->items[i];
        assert_string_equal(p->name, q->name);
        if (p->kind == PARAMETER_BUFFER) assert_memory_equal(p->value, q->value, (size_t)p->count * sizeof(float));
    }
    end_run(&with);
    end_run(&without);
}

/* ---- whole runs ---- */

static void train(const char *name, trainer_options o, const char *word) {
    char name_word[100];
    snprintf(name_word, sizeof name_word, "name=%s", name);
    const char *words[] = {name_word,
                           "model.resnet_norm=batch",
                           "model.dropout=0.1",
                           "augment.crop=0.2",
                           "training.accumulate=2",
                           "training.batch_size=4",
                           word};
    train_config config;
    trainer_result result;
    assert_ok(train_config_read(&config, configuration, words, word ? 7 : 6, &error));
    assert_ok(trainer_run(&config, &o, &result, &error));
    train_config_free(&config);
}

static void run_path(char out[600], const char *name, const char *file) {
    snprintf(out, 600, "%s/runs/%s/%s", folder, name, file);
}

static void assert_same_tensors(const char *a, const char *b) {
    tensor_file files[2];
    assert_ok(safetensors_read(&files[0], a, &error));
    assert_ok(safetensors_read(&files[1], b, &error));
    assert_int_equal(files[0].count, files[1].count);
    for (uint64_t i = 0; i < files[0].count; i++) {
        const named_tensor *t = &files[0].tensors[i], *u = &files[1].tensors[i];
        assert_string_equal(t->name, u->name);
        assert_int_equal(t->byte_count, u->byte_count);
        if (memcmp(t->data, u->data, (size_t)t->byte_count) != 0) fail_msg("%s differs", t->name);
    }
    for (int i = 0; i < 2; i++) tensor_file_free(&files[i]);
}

static void threads_and_interruptions_change_nothing(void **state) {
    (void)state;
    char full[600], other[600];
    train("full", (trainer_options){.threads = 2}, NULL);
    train("one", (trainer_options){.threads = 1}, NULL);
    train("cut", (trainer_options){.threads = 1, .stop_after = 2}, NULL);
    train("cut", (trainer_options){.threads = 2, .stop_after = 3, .resume = true}, NULL);
    train("cut", (trainer_options){.threads = 1, .resume = true}, NULL);
    const char *files[] = {"checkpoint.safetensors", "best.safetensors", "last.safetensors"};
    for (int i = 0; i < 3; i++) {
        run_path(full, "full", files[i]);
        run_path(other, "one", files[i]);
        assert_same_tensors(full, other);
        run_path(other, "cut", files[i]);
        assert_same_tensors(full, other);
    }
}

/* Sentences by another encoder are other training data. */
static void another_encoder_does_not_resume(void **state) {
    (void)state;
    char command[1100], word[600];
    const char *words[] = {
        "name=cut", "training.accumulate=2", "training.batch_size=4", "model.resnet_norm=batch", "model.dropout=0.1",
        word};
    snprintf(command, sizeof command, "cp -r %s/bert %s/other && sed -i '$s/$/x/' %s/other/vocab.txt", TEST_DATA,
             folder, folder);
    assert_int_equal(system(command), 0);
    snprintf(word, sizeof word, "alignment.text_encoder=%s/other", folder);
    train_config config;
    trainer_result result;
    trainer_options o = {.threads = 1, .resume = true};
    run_path(command, "cut", "last.safetensors");
    assert_int_equal(remove(command), 0); /* not finished any more */
    assert_ok(train_config_read(&config, configuration, words, 6, &error));
    assert_int_equal(trainer_run(&config, &o, &result, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "other training data"));
    train_config_free(&config);
}

/* A checkpoint's classifiers of findings are taken along, averaged; what a patch shows begins as what it tells. */
static void classifiers_go_on(void **state) {
    (void)state;
    char path[600];
    train_config config;
    trainer_result result;
    trainer_options o = {.threads = 1, .stop_after = 2};
    const char *words[] = {"name=told", "alignment.findings_weight=2", "alignment.patch_findings=true"};
    assert_ok(train_config_read(&config, configuration, words, 3, &error));
    assert_ok(trainer_run(&config, &o, &result, &error));
    finding_head *head;
    random_state random = random_seed(1);
    assert_ok(finding_head_create(&head, config.regions, 32, true, true, &random, &error));
    int64_t count = head->layer.weight->count;
    run_path(path, "full", "last.safetensors");
    assert_ok(finding_head_load(head, path, &error)); /* a model has none */
    for (int64_t i = 0; i < count; i++) assert_true(head->layer.weight->value[i] == 0);
    run_path(path, "told", "checkpoint.safetensors");
    assert_ok(finding_head_load(head, path, &error));
    tensor_file file;
    assert_ok(safetensors_read(&file, path, &error));
    const struct {
        const linear_layer *layer;
        const char *name;
    } cases[] = {{&head->layer, "average.finding_head.weight"},
                 {&head->patch_layer, "average.patch_finding_head.weight"},
                 {&head->mask_layer, "average.patch_finding_head.weight"}};
    for (int i = 0; i < 3; i++) {
        const named_tensor *kept = tensor_file_find(&file, cases[i].name);
        assert_non_null(kept);
        assert_memory_equal(cases[i].layer->weight->value, kept->data, (size_t)count * sizeof(float));
        double sum = 0;
        for (int64_t k = 0; k < count; k++) sum += fabs((double)cases[i].layer->weight->value[k]);
        assert_true(sum > 0);
    }
    tensor_file_free(&file);
    finding_head_free(head);
    train_config_free(&config);
}

/* Layers that are there in training only are told by name when they come or go; their weights may change. */
static void layers_of_training_do_not_come_and_go(void **state) {
    (void)state;
    static const struct {
        const char *before[3], *after[3], *refused;
    } cases[] = {
        {{"alignment.findings_weight=2"}, {"alignment.findings_weight=3"}, NULL},
        {{NULL}, {"alignment.findings_weight=2"}, "made with alignment.findings_weight: 0, which is 2 now"},
        {{"alignment.findings_weight=2"}, {NULL}, "made with alignment.findings_weight: 2, which is 0 now"},
        {{"alignment.findings_weight=2"},
         {"alignment.findings_weight=2", "alignment.patch_findings=true"},
         "made with alignment.patch_findings: false, which is true now"},
        {{"alignment.findings_weight=2", "alignment.masks_weight=9"},
         {"alignment.findings_weight=2"},
         "made with alignment.masks_weight: 9, which is 0 now"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        train_config before, after;
        resume_changes changes;
        int counts[2] = {0};
        while (cases[i].before[counts[0]]) counts[0]++;
        while (cases[i].after[counts[1]]) counts[1]++;
        assert_ok(train_config_read(&before, configuration, cases[i].before, counts[0], &error));
        assert_ok(train_config_read(&after, configuration, cases[i].after, counts[1], &error));
        carina_status status = resume_check(&changes, before.text, &after, "x", &error);
        if (!cases[i].refused) {
            assert_ok(status);
            assert_int_equal(changes.count, 1);
            resume_changes_free(&changes);
        } else {
            assert_int_equal(status, CARINA_ERROR_MISMATCH);
            if (!strstr(error.message, cases[i].refused)) fail_msg("%s", error.message);
        }
        train_config_free(&before);
        train_config_free(&after);
    }
}

static bool file_says(const char *path, const char *text) {
    uint8_t *bytes;
    uint64_t size;
    assert_ok(file_read(path, 1 << 20, &bytes, &size, &error));
    bool found = strstr((const char *)bytes, text) != NULL;
    free(bytes);
    return found;
}

static void runs_tell_of_alignment(void **state) {
    (void)state;
    char path[600];
    run_path(path, "full", "metrics.jsonl");
    assert_true(file_says(path, "\"alignment_loss\": "));
    assert_true(file_says(path, "\"validation_recall_at_1\": "));
    run_path(path, "full", "log.txt");
    assert_true(file_says(path, "recall@1 "));
}

/* The projector goes with the model, through bf16 and back into training; not into training with another encoder. */
static void models_keep_their_projector(void **state) {
    (void)state;
    char path[600], copy[600], word[700];
    model_file m, short_one;
    run r;
    text_encoder encoder;
    char print[FINGERPRINT_TEXT];
    run_path(path, "full", "last.safetensors");
    run_path(copy, "full", "short.safetensors");
    assert_ok(model_file_load(&m, path, &error));
    assert_non_null(m.projector);
    assert_int_equal(m.projector->hidden, 512);
    assert_ok(text_encoder_load(&encoder, TEST_DATA "/bert", &(text_encoder_options){0}, &error));
    assert_int_equal(m.projector->width, encoder.model->config.width);
    assert_string_equal(m.projector->encoder, fingerprint_text(print, text_encoder_bare_fingerprint(&encoder)));
    text_encoder_free(&encoder);
    assert_ok(model_file_save(copy, m.model, m.projector, m.regions, MODEL_FILE_BF16, NULL, 0, &error));
    assert_ok(model_file_load(&short_one, copy, &error));
    assert_string_equal(short_one.projector->encoder, m.projector->encoder);
    const char *name = "text_model.project_head.proj.2.bias";
    assert_memory_equal(parameters_find(short_one.projector->parameters, name)->value,
                        parameters_find(m.projector->parameters, name)->value, 16 * sizeof(float));
    model_file_free(&short_one);

    for (int other = 0; other < 2; other++) {
        snprintf(word, sizeof word, "seed=%d", 8 + other);
        START(&r, word);
        if (other) strcpy(m.projector->encoder, "0123456789abcdef");
        assert_ok(model_file_save(copy, m.model, m.projector, m.regions, MODEL_FILE_F32, NULL, 0, &error));
        assert_ok(r.task->type->load_weights(r.task, copy, &error));
        const parameter *p = parameters_find(r.task->parameters, "text_model.project_head.proj.0.weight");
        const parameter *q = parameters_find(m.projector->parameters, p->name);
        assert_int_equal(memcmp(p->value, q->value, (size_t)p->count * sizeof(float)) == 0, !other);
        end_run(&r);
    }
    model_file_free(&m);
}

static void spoiled_projectors_are_named(void **state) {
    (void)state;
    char path[600], copy[600];
    model_file m, other;
    text_projector *narrow;
    run_path(path, "full", "last.safetensors");
    run_path(copy, "full", "spoiled.safetensors");
    assert_ok(model_file_load(&m, path, &error));
    assert_ok(text_projector_create(&narrow, 32, 512, 8, NULL, &error));
    assert_ok(model_file_save(copy, m.model, narrow, m.regions, MODEL_FILE_F32, NULL, 0, &error));
    assert_int_equal(model_file_load(&other, copy, &error), CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "proj.2.weight has 8 rows, the model's region features have 16 numbers"));
    text_projector_free(narrow);
    const parameters all = *m.projector->parameters;
    for (int left = 1; left < all.count; left++) { /* the last ones are missing */
        m.projector->parameters->count = left;
        assert_ok(model_file_save(copy, m.model, m.projector, m.regions, MODEL_FILE_F32, NULL, 0, &error));
        assert_int_equal(model_file_load(&other, copy, &error), CARINA_ERROR_MISMATCH);
        assert_non_null(strstr(error.message, "spoiled.safetensors: "));
        assert_non_null(strstr(error.message, "text_model.project_head.proj."));
    }
    m.projector->parameters->count = all.count;
    model_file_free(&m);
}

/* What `carina index build` embeds with: the model's projector behind its own encoder, and no other. */
static void databases_use_the_models_projector(void **state) {
    (void)state;
    char path[600];
    model_file m;
    sentence_embedder embedder;
    text_encoder encoder;
    const char *const text[1] = {"Left lung is healthy."};
    float pooled[64], embedded[16];
    run_path(path, "full", "last.safetensors");
    assert_ok(model_file_load(&m, path, &error));
    assert_ok(text_embedder_open(&embedder, TEST_DATA "/bert", &(text_encoder_options){0}, m.projector, &error));
    assert_int_equal(embedder.width, 16);
    assert_ok(embedder.embed(embedder.context, text, 1, embedded, &error));
    text_embedder_close(&embedder);

    assert_ok(text_encoder_load(&encoder, TEST_DATA "/bert", &(text_encoder_options){0}, &error));
    assert_ok(
        text_encoder_encode(&encoder, &(text_span){text[0], strlen(text[0])}, 1, pooled, NULL, NULL, NULL, &error));
    const linear_layer *layers = m.projector->layers;
    for (int o = 0; o < 16; o++) {
        double sum = (double)layers[1].bias->value[o];
        for (int h = 0; h < 512; h++) {
            double hidden = (double)layers[0].bias->value[h];
            for (int i = 0; i < 32; i++) hidden += (double)layers[0].weight->value[h * 32 + i] * (double)pooled[i];
            if (hidden > 0) sum += hidden * (double)layers[1].weight->value[o * 512 + h];
        }
        assert_true(fabs(sum - (double)embedded[o]) < 1e-4);
    }
    text_encoder_free(&encoder);

    m.projector->encoder[0] ^= 1;
    assert_int_equal(text_embedder_open(&embedder, TEST_DATA "/bert", &(text_encoder_options){0}, m.projector, &error),
                     CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "the model was trained with text encoder"));
    text_embedder_close(&embedder);
    m.projector->encoder[0] = 0; /* not known, as in a checkpoint from elsewhere: only sizes can differ */
    m.projector->width = 31;
    assert_int_equal(text_embedder_open(&embedder, TEST_DATA "/bert", &(text_encoder_options){0}, m.projector, &error),
                     CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "vectors of 31 numbers, the text encoder's have 32"));
    text_embedder_close(&embedder);
    model_file_free(&m);
}

/* ---- the parts alone ---- */

/* Features of regions that have no box, or nothing said of them, have no say and get no gradient. */
static void absent_regions_take_no_part(void **state) {
    (void)state;
    train_config c;
    alignment *a;
    const char *words[] = {"training.batch_size=2", "training.accumulate=2"};
    assert_ok(train_config_read(&c, configuration, words, 2, &error));
    assert_ok(alignment_create(&a, &c, NULL, &error));
    dataset *set;
    dataset_config wanted = train_config_dataset(&c.train_sets[0]);
    wanted.sentences = true;
    assert_ok(dataset_open(&set, &wanted, c.regions, &error));
    assert_ok(alignment_open(a, &set, 1, NULL, false, &error));
    sentence_vectors v;
    assert_ok(sentence_vectors_read(&v, &set, 1, c.regions, NULL, false, &error));
    static float features[2][72 * 16], present[2][72];
    static bool counts[2][72];
    const uint64_t films[2][2] = {{3, 1}, {0, UINT64_MAX}}; /* the last only fills the batch */
    random_state random = random_seed(1);
    double loss[3];
    for (int change = 0; change < 3; change++) { /* 1: of features that do not count; 2: of one that does */
        for (int place = 0; place < 2; place++) {
            for (int i = 0; i < 72; i++) {
                present[place][i] = i % 3 ? 1 : 0;
                uint64_t film = films[place][i / 36];
                counts[place][i] = present[place][i] > 0 && film < v.films &&
                                   sentence_vectors_of(&v, film)[i % 36] != SENTENCE_VECTORS_NONE;
                for (int k = 0; k < 16 && (change == 0 || (change == 1 && !counts[place][i])); k++)
                    features[place][16 * i + k] = (float)random_normal(&random);
            }
            if (change == 2 && place == 1) features[1][16 * 11] += 1; /* the left lung */
            alignment_place(a, place, films[place], present[place], features[place]);
        }
        loss[change] = alignment_run(a);
        for (int place = 0; place < 2; place++)
            for (int i = 0; i < 72; i++) {
                double length = 0;
                for (int k = 0; k < 16; k++) length += fabs((double)alignment_slope(a, place)[16 * i + k]);
                assert_int_equal(length > 0, counts[place][i]);
            }
    }
    assert_true(counts[1][11] && loss[0] > 0 && loss[1] == loss[0] && loss[2] != loss[0]);
    sentence_vectors_free(&v);
    dataset_free(set);
    alignment_free(a);
    train_config_free(&c);
}

static dataset *open_validation(const train_config *c) {
    dataset *set;
    dataset_config wanted = train_config_dataset(&c->validation_set);
    wanted.sentences = true;
    assert_ok(dataset_open(&set, &wanted, c->regions, &error));
    return set;
}

/* Features that are the projected sentences themselves are all found; those of the usual sentences find the usual. */
static void recall_counts_what_is_nearest(void **state) {
    (void)state;
    train_config c;
    alignment *a;
    assert_ok(train_config_read(&c, configuration, NULL, 0, &error));
    assert_ok(alignment_create(&a, &c, NULL, &error));
    dataset *set = open_validation(&c);
    assert_ok(alignment_open(a, &set, 1, set, false, &error));
    sentence_vectors v;
    sentence_embedder embedder;
    assert_ok(sentence_vectors_read(&v, &set, 1, c.regions, NULL, false, &error));
    assert_ok(text_embedder_open(&embedder, c.alignment.text_encoder, &(text_encoder_options){0},
                                 alignment_projector(a), &error));
    float *projected = malloc((size_t)v.count * 16 * sizeof *projected);
    assert_ok(embedder.embed(embedder.context, (const char *const *)v.texts, v.count, projected, &error));

    uint32_t usual[36] = {0};
    uint64_t regions = 0, usual_right = 0, found = 0;
    for (int r = 0; r < 36; r++) {
        int most = 0;
        for (uint64_t film = 0; film < v.films; film++) {
            uint32_t number = sentence_vectors_of(&v, film)[r];
            int said = 0;
            for (uint64_t k = 0; k < v.films; k++) said += sentence_vectors_of(&v, k)[r] == number;
            if (number == SENTENCE_VECTORS_NONE) continue;
            if (said > most || (said == most && number < usual[r])) most = said, usual[r] = number;
            regions++;
            found += strstr(v.texts[number], " is healthy.") == NULL;
        }
        usual_right += (uint64_t)most;
    }
    alignment_recall own, same;
    float features[36 * 16];
    alignment_measure_begin(a, &own);
    same = own;
    for (uint64_t film = 0; film < v.films; film++)
        for (int pass = 0; pass < 2; pass++) {
            for (int r = 0; r < 36; r++) {
                uint32_t number = pass ? usual[r] : sentence_vectors_of(&v, film)[r];
                if (number == SENTENCE_VECTORS_NONE) continue;
                memcpy(features + 16 * r, projected + 16 * number, 16 * sizeof *features);
            }
            alignment_measure_film(a, film, features, pass ? &same : &own);
        }
    assert_true(regions > 100 && found > 0 && found < regions);
    assert_int_equal(own.regions, regions);
    assert_int_equal(own.right, regions);
    assert_int_equal(own.found_regions, found);
    assert_int_equal(own.found_right, found);
    assert_int_equal(own.usual, usual_right);
    assert_int_equal(same.right, usual_right);
    alignment_measure_film(a, UINT64_MAX, features, &own); /* a place that only fills the batch */
    assert_int_equal(own.regions, regions);
    free(projected);
    text_embedder_close(&embedder);
    sentence_vectors_free(&v);
    dataset_free(set);
    alignment_free(a);
    train_config_free(&c);
}

/* ---- refused ---- */

static void what_makes_no_alignment_is_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"alignment.text_encoder=/nowhere", "config.yaml: alignment.text_encoder: /nowhere/vocab.txt: "},
        {"alignment.tua=1", "unknown key 'alignment.tua' (did you mean 'alignment.tau'?)"},
        {"alignment.tau=0", "command line: alignment.tau: must lie in 0.001 .. 10"},
        {"alignment.weight=0", "command line: alignment.weight: must lie in"},
        {"alignment.loss=hard", "command line: alignment.loss: "},
        {"alignment.patch_findings=true",
         "command line: alignment.patch_findings: has no effect: alignment.findings_weight is 0"},
        {"alignment.masks_weight=2",
         "command line: alignment.masks_weight: has no effect: alignment.findings_weight is 0"},
        {"model.features=encoder", "command line: model.features: "},
        {"data.train.type=nih_boxes", "alignment.text_encoder: no training set says anything of its regions"},
        {"training.accumulate=100", "config.yaml: training.batch_size, training.accumulate: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        train_config c;
        train_task *task = NULL;
        error.message[0] = 0;
        carina_status status = train_config_read(&c, configuration, &cases[i][0], 1, &error);
        if (status == CARINA_OK) status = train_task_create(&task, &c, NULL, &error);
        assert_true(status != CARINA_OK);
        if (!strstr(error.message, cases[i][1])) fail_msg("%s", error.message);
        train_config_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_losses_slopes),
        cmocka_unit_test(losses_add_up),
        cmocka_unit_test(finding_targets_are_the_scene_graphs),
        cmocka_unit_test(several_batches_are_one),
        cmocka_unit_test(statistics_move_once),
        cmocka_unit_test(threads_and_interruptions_change_nothing),
        cmocka_unit_test(another_encoder_does_not_resume),
        cmocka_unit_test(layers_of_training_do_not_come_and_go),
        cmocka_unit_test(classifiers_go_on),
        cmocka_unit_test(masks_are_asked_for),
        cmocka_unit_test(runs_tell_of_alignment),
        cmocka_unit_test(models_keep_their_projector),
        cmocka_unit_test(spoiled_projectors_are_named),
        cmocka_unit_test(databases_use_the_models_projector),
        cmocka_unit_test(absent_regions_take_no_part),
        cmocka_unit_test(recall_counts_what_is_nearest),
        cmocka_unit_test(what_makes_no_alignment_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
