/* The APM's training step and prediction as two graphs over the same weights; see locate_task.h. */
#include "train/locate_task.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/box.h"
#include "model/model_file.h"

typedef struct locate_task {
    train_task task; /* first: the trainer sees only this */
    apm *model;
    graph *training, *prediction;
    struct {
        tensor *films, *targets, *present, *labels;
        apm_losses losses;
    } train;
    struct {
        tensor *films, *boxes;
    } predict;
    dataset *train_sets[TRAIN_CONFIG_TRAIN_SETS], *validation, *monitor;
    int train_count;
    loader *batches, *validation_batches, *monitor_batches;
} locate_task;

enum { LOSS_TOTAL, LOSS_BOX, LOSS_LABEL }; /* box: of the last decoder layer */

/* ---- the graphs ---- */

static carina_status record_training(locate_task *t, thread_pool *pool, carina_error *error) {
    const train_config *c = t->task.config;
    int64_t batch = c->batch_size, size = c->model.image_height, regions = c->model.region_count;
    graph_options o = {.pool = pool, .training = true, .type = (tensor_type)c->type, .seed = (uint64_t)c->seed};
    TRY(graph_create(&t->training, &o, error));
    graph *g = t->training;
    t->train.films = graph_input(g, "films", 4, (int64_t[]){batch, size, size, 1});
    t->train.targets = graph_input(g, "targets", 3, (int64_t[]){batch, regions, 4});
    t->train.present = graph_input(g, "present", 2, (int64_t[]){batch, regions});
    t->train.labels = graph_input(g, "labels", 2, (int64_t[]){batch, ATLAS_LABEL_COUNT});
    apm_outputs out = apm_record(g, t->model, t->train.films);
    apm_targets targets = {t->train.targets, t->train.present, t->train.labels};
    apm_loss_options loss = {c->box_loss, (float)c->label_weight, c->auxiliary};
    t->train.losses = apm_record_loss(g, &out, &targets, &loss);
    graph_output(g, t->train.losses.total);
    graph_output(g, t->train.losses.box);
    graph_output(g, t->train.losses.labels);
    /* Gradients of accumulated batches add up, so each batch brings its share. */
    graph_loss(
        g, c->accumulate > 1 ? op_scale(g, t->train.losses.total, 1.0f / (float)c->accumulate) : t->train.losses.total);
    return graph_plan(g, error);
}

static carina_status record_prediction(locate_task *t, thread_pool *pool, carina_error *error) {
    const train_config *c = t->task.config;
    int64_t size = c->model.image_height;
    graph_options o = {.pool = pool, .type = (tensor_type)c->type};
    TRY(graph_create(&t->prediction, &o, error));
    t->predict.films = graph_input(t->prediction, "films", 4, (int64_t[]){c->batch_size, size, size, 1});
    apm_outputs out = apm_record(t->prediction, t->model, t->predict.films);
    t->predict.boxes = out.boxes;
    graph_output(t->prediction, t->predict.boxes);
    return graph_plan(t->prediction, error);
}

/* ---- data ---- */

static carina_status open_set(const locate_task *t, dataset **out, const train_config_set *set, const char *key,
                              carina_error *error) {
    dataset_config wanted = train_config_dataset(set);
    if (!wanted.type) return CARINA_OK;
    carina_status status = dataset_open(out, &wanted, t->task.config->regions, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s: %s", t->task.config->path, key);
}

static carina_status open_data(train_task *task, uint64_t *fingerprint, carina_error *error) {
    locate_task *t = (locate_task *)task;
    const train_config *c = t->task.config;
    uint64_t hash = DATASET_HASH_START;
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) {
        TRY(open_set(t, &t->train_sets[t->train_count], &c->train_sets[i], train_config_train_keys[i], error));
        if (!t->train_sets[t->train_count]) continue;
        uint64_t one = dataset_fingerprint(t->train_sets[t->train_count++]);
        hash = dataset_hash(hash, &one, sizeof one);
    }
    TRY(open_set(t, &t->validation, &c->validation_set, "data.validation", error));
    TRY(open_set(t, &t->monitor, &c->monitor_set, "data.monitor", error));
    *fingerprint = hash;
    return CARINA_OK;
}

/* The configuration's choice 0, 1 or mask. */
static float label_target(int choice) { return choice == 2 ? NAN : (float)choice; }

static carina_status start_data(train_task *task, uint64_t first, carina_error *error) {
    locate_task *t = (locate_task *)task;
    const train_config *c = t->task.config;
    loader_options o = {.seed = (uint64_t)c->seed,
                        .batch_size = c->batch_size,
                        .image_size = c->model.image_height,
                        .shuffle = true,
                        .cache = c->cache,
                        .cache_size = c->cache_size,
                        .thread_count = c->loader_threads,
                        .batches_ahead = 3,
                        .uncertain = label_target(c->uncertain),
                        .not_mentioned = label_target(c->not_mentioned),
                        .augment = c->augment};
    uint64_t films = 0;
    for (int i = 0; i < t->train_count; i++) films += dataset_count(t->train_sets[i]);
    if (films < (uint64_t)c->batch_size)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "%s: training.batch_size: %" PRIu64 " films do not fill one batch of %d; make it smaller",
                         c->path, films, c->batch_size);
    TRY(loader_create(&t->batches, (const dataset *const *)t->train_sets, t->train_count, &o, first, error));
    /* What is measured is seen as it is. */
    o.shuffle = false;
    o.cache_size = 0;
    o.batches_ahead = 1;
    o.augment = augment_none();
    if (t->validation)
        TRY(loader_create(&t->validation_batches, (const dataset *const *)&t->validation, 1, &o, 0, error));
    if (t->monitor) TRY(loader_create(&t->monitor_batches, (const dataset *const *)&t->monitor, 1, &o, 0, error));
    return CARINA_OK;
}

/* ---- the task ---- */

static void fill(tensor *input, const float *values) {
    memcpy(tensor_data(input), values, (size_t)tensor_count(input) * sizeof(float));
}

static const float *predict(locate_task *t, const loader_batch *batch) {
    fill(t->predict.films, batch->films);
    graph_forward(t->prediction);
    return tensor_data(t->predict.boxes); /* [B, N, 4] of the last decoder layer, normalised; until the next call */
}

/* Mean IoU over every box that is present in the set behind `batches`. */
static carina_status measure_set(locate_task *t, loader *batches, double *out, carina_error *error) {
    int count = t->task.config->regions->region_count;
    double sum = 0;
    uint64_t boxes = 0;
    for (uint64_t b = 0; b < loader_batches_per_epoch(batches); b++) {
        const loader_batch *batch;
        TRY(loader_next(batches, &batch, error));
        const float *predicted = predict(t, batch);
        for (int64_t i = 0; i < (int64_t)batch->count * count; i++) {
            if (batch->present[i] <= 0) continue;
            sum += box_iou(box_from_normalised(predicted + 4 * i, 1, 1),
                           box_from_normalised(batch->targets + 4 * i, 1, 1));
            boxes++;
        }
    }
    *out = boxes ? sum / (double)boxes : -1;
    return CARINA_OK;
}

static carina_status step(train_task *task, uint64_t number, uint64_t step_number, train_task_losses *out,
                          carina_error *error) {
    (void)step_number;
    locate_task *t = (locate_task *)task;
    const loader_batch *batch;
    TRY(loader_next(t->batches, &batch, error));
    fill(t->train.films, batch->films);
    fill(t->train.targets, batch->targets);
    fill(t->train.present, batch->present);
    fill(t->train.labels, batch->labels);
    graph_set_step(t->training, number);
    graph_forward(t->training);
    out->value[LOSS_TOTAL] = (double)tensor_data(t->train.losses.total)[0];
    out->value[LOSS_BOX] = (double)tensor_data(t->train.losses.box)[0];
    out->value[LOSS_LABEL] = (double)tensor_data(t->train.losses.labels)[0];
    out->samples = batch->count;
    graph_backward(t->training);
    return CARINA_OK;
}

static carina_status measure(train_task *task, uint64_t step_number, train_task_measures *out, carina_error *error) {
    (void)step_number;
    locate_task *t = (locate_task *)task;
    out->validated = t->validation_batches;
    out->watched = t->monitor_batches;
    if (out->validated) TRY(measure_set(t, t->validation_batches, &out->score, error));
    if (out->watched) TRY(measure_set(t, t->monitor_batches, &out->monitor, error));
    return CARINA_OK;
}

static carina_status save(train_task *task, const char *path, const train_task_origin *origin, carina_error *error) {
    const train_config *c = task->config;
    char text[3][64];
    snprintf(text[0], sizeof text[0], "%" PRIu64, origin->step);
    snprintf(text[1], sizeof text[1], "%.6f", origin->score);
    snprintf(text[2], sizeof text[2], "%016" PRIx64, origin->data_fingerprint);
    model_file_note notes[] = {
        {"training_configuration", c->text},
        {"training_step", text[0]},
        {"validation_iou", text[1]},
        {"data_fingerprint", text[2]},
    };
    int count = (int)(sizeof notes / sizeof notes[0]);
    return model_file_save(path, ((locate_task *)task)->model, c->regions, MODEL_FILE_F32, notes, count, error);
}

static carina_status load_weights(train_task *task, const char *path, carina_error *error) {
    return model_file_load_weights(((locate_task *)task)->model, path, error);
}
static uint64_t sample_count(const train_task *task) {
    return loader_sample_count(((const locate_task *)task)->batches);
}
static double batches_per_epoch(const train_task *task) {
    return (double)loader_batches_per_epoch(((const locate_task *)task)->batches);
}

static void free_task(train_task *task) {
    locate_task *t = (locate_task *)task;
    loader_free(t->batches);
    loader_free(t->validation_batches);
    loader_free(t->monitor_batches);
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) dataset_free(t->train_sets[i]);
    dataset_free(t->validation);
    dataset_free(t->monitor);
    graph_free(t->training);
    graph_free(t->prediction);
    apm_free(t->model);
    free(t);
}

static const train_task_class locate_class = {
    .loss_names = {"loss", "box_loss", "label_loss"},
    .samples = "films",
    .score = "IoU",
    .score_key = "iou",
    .model_ending = ".safetensors",
    .load_weights = load_weights,
    .open_data = open_data,
    .start_data = start_data,
    .sample_count = sample_count,
    .batches_per_epoch = batches_per_epoch,
    .step = step,
    .measure = measure,
    .save = save,
    .free = free_task,
};

carina_status locate_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error) {
    *out = NULL;
    locate_task *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error, "training", sizeof *t);
    t->task = (train_task){.type = &locate_class, .config = config};
    carina_status status = apm_create(&t->model, &config->model, (uint64_t)config->seed, error);
    if (status == CARINA_OK) {
        t->task.parameters = t->model->parameters;
        status = parameters_allocate_gradients(t->task.parameters, error);
    }
    if (status == CARINA_OK) status = record_training(t, pool, error);
    if (status == CARINA_OK) status = record_prediction(t, pool, error);
    if (status != CARINA_OK) {
        free_task(&t->task);
        return status;
    }
    *out = &t->task;
    return CARINA_OK;
}
