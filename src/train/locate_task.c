/* The APM's training step and prediction as two graphs over the same weights; see locate_task.h. */
#include "train/locate_task.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/box.h"
#include "model/model_file.h"
#include "model/vit_file.h"
#include "train/alignment.h"
#include "train/step_batches.h"

typedef struct locate_task {
    train_task task; /* first: the trainer sees only this */
    train_task_class type;
    apm *model;
    alignment *alignment; /* NULL: boxes and labels only */
    parameters joined;    /* the model's and the projector's, which stay theirs */
    graph *training, *prediction;
    struct {
        tensor *films, *targets, *present, *labels;
        tensor *box_share, *label_share, *mask_share;
        tensor *slope; /* [B, N, R]: the alignment's gradient with respect to the features; NULL without */
        tensor *findings, *finding_loss; /* [B, N, F] targets of the finding head; NULL without */
        tensor *masks, *mask_loss;       /* [B, P, F] what patches show; NULL without masks */
        int mask_rows, mask_columns;
        tensor *features, *total;
        apm_losses losses;
    } train;
    struct {
        tensor *films, *boxes, *features; /* features: NULL without alignment */
    } predict;
    dataset *train_sets[TRAIN_CONFIG_TRAIN_SETS], *validation, *monitor;
    int train_count;
    loader *batches, *validation_batches, *monitor_batches;
    step_batches *kept;    /* of the step */
    uint64_t first;        /* number of the first of them */
    int forwarded;         /* the one whose values the training graph holds; -1: none */
    double alignment_loss; /* of the step */
    float *buffers;        /* the model's buffers, while a forward pass must not move them */
} locate_task;

/* box: of the last decoder layer */
enum { LOSS_TOTAL, LOSS_BOX, LOSS_LABEL, LOSS_ALIGNMENT, LOSS_FINDINGS, LOSS_MASKS };

static bool trains_with_masks(const train_config *c) {
    return *c->alignment.text_encoder && c->alignment.findings_weight > 0 && c->alignment.masks_weight > 0;
}

/* ---- the graphs ---- */

/* total + weight * share * loss */
static tensor *add_share(graph *g, tensor *total, tensor *loss, tensor *share, double weight) {
    return op_sum_scalars(g, 2, (tensor *[]){total, op_multiply(g, loss, share)}, (float[]){1, (float)weight});
}

/* What the finding head tells of regions and patches; the regions are those with a box, but for the few without a
 * sentence: the boxes' share is theirs. */
static void record_findings(locate_task *t, graph *g, const apm_outputs *out) {
    const train_config *c = t->task.config;
    const finding_head *head = t->alignment ? alignment_finding_head(t->alignment) : NULL;
    int64_t batch = c->batch_size, patches = out->patch_rows * out->patch_columns, one = 1;
    if (!head) return;
    t->train.findings = graph_input(g, "findings", 3, (int64_t[]){batch, c->model.region_count, head->count});
    t->train.finding_loss = finding_head_record(g, head, out, t->train.targets, t->train.findings);
    graph_output(g, t->train.finding_loss);
    t->train.total =
        add_share(g, t->train.total, t->train.finding_loss, t->train.box_share, c->alignment.findings_weight);
    if (!head->mask_layer.weight) return;
    t->train.mask_rows = (int)out->patch_rows;
    t->train.mask_columns = (int)out->patch_columns;
    t->train.masks = graph_input(g, "masks", 3, (int64_t[]){batch, patches, head->count});
    t->train.mask_share = graph_input(g, "mask share", 1, &one);
    t->train.mask_loss = finding_head_record_masks(g, head, out, t->train.masks);
    graph_output(g, t->train.mask_loss);
    t->train.total = add_share(g, t->train.total, t->train.mask_loss, t->train.mask_share, c->alignment.masks_weight);
}

static carina_status record_training(locate_task *t, thread_pool *pool, carina_error *error) {
    const train_config *c = t->task.config;
    int64_t batch = c->batch_size, size = c->model.image_height, regions = c->model.region_count, one = 1;
    graph_options o = {.pool = pool, .training = true, .type = (tensor_type)c->type, .seed = (uint64_t)c->seed};
    TRY(graph_create(&t->training, &o, error));
    graph *g = t->training;
    t->train.films = graph_input(g, "films", 4, (int64_t[]){batch, size, size, 1});
    t->train.targets = graph_input(g, "targets", 3, (int64_t[]){batch, regions, 4});
    t->train.present = graph_input(g, "present", 2, (int64_t[]){batch, regions});
    t->train.labels = graph_input(g, "labels", 2, (int64_t[]){batch, ATLAS_LABEL_COUNT});
    t->train.box_share = graph_input(g, "box share", 1, &one);
    t->train.label_share = graph_input(g, "label share", 1, &one);
    apm_outputs out = apm_record(g, t->model, t->train.films);
    apm_targets targets = {t->train.targets, t->train.present, t->train.labels};
    apm_loss_options loss = {c->box_loss, (float)c->label_weight, c->auxiliary, t->train.box_share,
                             t->train.label_share};
    t->train.losses = apm_record_loss(g, &out, &targets, &loss);
    t->train.total = t->train.losses.total;
    graph_output(g, t->train.losses.box);
    graph_output(g, t->train.losses.labels);
    if (t->alignment) {
        t->train.features = out.region_features;
        graph_output(g, out.region_features);
        t->train.slope = graph_input(g, "slope", 3, (int64_t[]){batch, regions, c->model.feature_size});
        t->train.total = op_sum_scalars(
            g, 2, (tensor *[]){t->train.losses.total, op_dot(g, out.region_features, t->train.slope)}, (float[]){1, 1});
    }
    record_findings(t, g, &out);
    graph_output(g, t->train.total);
    graph_loss(g, t->train.total);
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
    if (t->alignment) {
        t->predict.features = out.region_features;
        graph_output(t->prediction, out.region_features);
    }
    return graph_plan(t->prediction, error);
}

/* ---- data ---- */

static carina_status open_set(const locate_task *t, dataset **out, const train_config_set *set, const char *key,
                              bool aligned, bool masks, carina_error *error) {
    dataset_config wanted = train_config_dataset(set);
    if (!wanted.type) return CARINA_OK;
    wanted.sentences = aligned && dataset_has_sentences(wanted.type);
    wanted.masks = masks && dataset_has_masks(wanted.type);
    carina_status status = dataset_open(out, &wanted, t->task.config->regions, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s: %s", t->task.config->path, key);
}

static carina_status open_data(train_task *task, uint64_t *print, carina_error *error) {
    locate_task *t = (locate_task *)task;
    const train_config *c = t->task.config;
    uint64_t hash = DATASET_HASH_START;
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) {
        TRY(open_set(t, &t->train_sets[t->train_count], &c->train_sets[i], train_config_train_keys[i], t->alignment,
                     trains_with_masks(c), error));
        if (!t->train_sets[t->train_count]) continue;
        uint64_t one = dataset_fingerprint(t->train_sets[t->train_count++]);
        hash = dataset_hash(hash, &one, sizeof one);
    }
    bool any = !trains_with_masks(c);
    for (int i = 0; i < t->train_count; i++) any |= t->train_sets[i]->has_masks;
    if (!any)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "%s: alignment.masks_weight: no training set has a folder masks/ (carina data phantom writes "
                         "them)",
                         c->path);
    TRY(open_set(t, &t->validation, &c->validation_set, "data.validation", t->alignment, false, error));
    TRY(open_set(t, &t->monitor, &c->monitor_set, "data.monitor", false, false, error));
    if (t->alignment) { /* what it makes of the sentences is training data too */
        const char *encoder = alignment_projector(t->alignment)->encoder;
        hash = dataset_hash(hash, encoder, strlen(encoder));
    }
    *print = hash;
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
                        .augment = c->augment,
                        .mask_rows = t->train.mask_rows,
                        .mask_columns = t->train.mask_columns,
                        .mask_findings = t->train.masks ? (int)tensor_size(t->train.masks, 2) : 0};
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
    o.mask_findings = 0;
    if (t->validation)
        TRY(loader_create(&t->validation_batches, (const dataset *const *)&t->validation, 1, &o, 0, error));
    if (t->monitor) TRY(loader_create(&t->monitor_batches, (const dataset *const *)&t->monitor, 1, &o, 0, error));
    if (!t->alignment) return CARINA_OK;
    return alignment_open(t->alignment, t->train_sets, t->train_count, t->validation, task->show_progress, error);
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

/* Mean IoU over every box that is present in the set behind `batches`; how often the sentences of the validation set
 * are found, when asked. */
static carina_status measure_set(locate_task *t, loader *batches, double *out, alignment_recall *recall,
                                 carina_error *error) {
    int count = t->task.config->regions->region_count, size = t->task.config->model.feature_size;
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
        for (int64_t i = 0; recall && i < batch->count; i++)
            alignment_measure_film(t->alignment, batch->samples[i], tensor_data(t->predict.features) + i * count * size,
                                   recall);
    }
    *out = boxes ? sum / (double)boxes : -1;
    return CARINA_OK;
}

/* The model's buffers to memory, or back: batch norm's running statistics move with every forward pass. */
static void copy_buffers(locate_task *t, bool back) {
    float *place = t->buffers;
    for (int i = 0; i < t->model->parameters->count; i++) {
        parameter *p = t->model->parameters->items[i];
        if (p->kind != PARAMETER_BUFFER) continue;
        size_t bytes = (size_t)p->count * sizeof *place;
        memcpy(back ? p->value : place, back ? place : p->value, bytes);
        place += p->count;
    }
}

static void forward(locate_task *t, int place) {
    const step_batch *kept = &t->kept->items[place];
    if (t->forwarded == place) return;
    fill(t->train.films, kept->batch.films);
    fill(t->train.targets, kept->batch.targets);
    fill(t->train.present, kept->batch.present);
    fill(t->train.labels, kept->batch.labels);
    *tensor_data(t->train.box_share) = (float)kept->box_share;
    *tensor_data(t->train.label_share) = (float)kept->label_share;
    if (t->alignment) memset(tensor_data(t->train.slope), 0, (size_t)tensor_count(t->train.slope) * sizeof(float));
    if (t->train.findings)
        alignment_finding_targets(t->alignment, kept->batch.samples, kept->batch.present,
                                  tensor_data(t->train.findings));
    if (t->train.masks) {
        fill(t->train.masks, kept->batch.masks);
        *tensor_data(t->train.mask_share) = (float)kept->mask_share;
    }
    graph_set_step(t->training, t->first + (uint64_t)place);
    graph_forward(t->training);
    t->forwarded = place;
}

/* The features of all batches, then the contrastive loss over them. The forward passes are made again for the gradient,
 * with the same noise of dropout; the values of one batch alone are still there. */
static void align(locate_task *t) {
    int count = t->task.config->accumulate;
    if (count > 1) copy_buffers(t, false);
    for (int k = 0; k < count; k++) {
        forward(t, k);
        const loader_batch *b = &t->kept->items[k].batch;
        alignment_place(t->alignment, k, b->samples, b->present, tensor_data(t->train.features));
    }
    t->alignment_loss = alignment_run(t->alignment);
    if (count == 1) return;
    copy_buffers(t, true);
    t->forwarded = -1;
}

static carina_status gather(train_task *task, uint64_t number, uint64_t step_number, carina_error *error) {
    (void)step_number;
    locate_task *t = (locate_task *)task;
    t->first = number;
    t->forwarded = -1;
    TRY(step_batches_next(t->kept, t->batches, error));
    if (t->alignment) align(t);
    return CARINA_OK;
}

/* The trainer takes the mean over the batches, so each gives its share as often as there are batches. */
static carina_status step(train_task *task, uint64_t number, uint64_t step_number, train_task_losses *out,
                          carina_error *error) {
    (void)step_number, (void)error;
    locate_task *t = (locate_task *)task;
    const train_config *c = task->config;
    int place = (int)(number - t->first);
    const step_batch *kept = &t->kept->items[place];
    forward(t, place);
    /* The slope was zero: the total is that of boxes and labels. */
    out->value[LOSS_TOTAL] = c->accumulate * (double)*tensor_data(t->train.total);
    out->value[LOSS_BOX] = c->accumulate * kept->box_share * (double)*tensor_data(t->train.losses.box);
    out->value[LOSS_LABEL] = c->accumulate * kept->label_share * (double)*tensor_data(t->train.losses.labels);
    out->samples = kept->batch.count;
    if (t->alignment) {
        out->value[LOSS_TOTAL] += c->alignment.weight * t->alignment_loss;
        out->value[LOSS_ALIGNMENT] = t->alignment_loss;
        if (t->train.findings)
            out->value[LOSS_FINDINGS] = c->accumulate * kept->box_share * (double)*tensor_data(t->train.finding_loss);
        if (t->train.masks)
            out->value[LOSS_MASKS] = c->accumulate * kept->mask_share * (double)*tensor_data(t->train.mask_loss);
        fill(t->train.slope, alignment_slope(t->alignment, place)); /* backward alone reads it */
    }
    graph_backward(t->training);
    return CARINA_OK;
}

static double part(uint64_t some, uint64_t all) { return all ? (double)some / (double)all : 0; }

static void tell_recall(const alignment_recall *r, train_task_measures *out) {
    const run_log_value values[] = {
        {"validation_recall_at_1", part(r->right, r->regions)},
        {"validation_recall_at_1_found", part(r->found_right, r->found_regions)},
        {"validation_usual_sentence", part(r->usual, r->regions)},
    };
    out->value_count = (int)(sizeof values / sizeof *values);
    memcpy(out->values, values, sizeof values);
    snprintf(out->note, sizeof out->note,
             "recall@1 %.4f of %" PRIu64 " regions (%.4f by always saying the usual), %.4f of the %" PRIu64
             " that are not healthy",
             values[0].value, r->regions, values[2].value, values[1].value, r->found_regions);
}

static carina_status measure(train_task *task, uint64_t step_number, train_task_measures *out, carina_error *error) {
    (void)step_number;
    locate_task *t = (locate_task *)task;
    alignment_recall recall;
    out->validated = t->validation_batches;
    out->watched = t->monitor_batches;
    if (t->alignment) alignment_measure_begin(t->alignment, &recall);
    if (out->validated) {
        TRY(measure_set(t, t->validation_batches, &out->score, t->alignment ? &recall : NULL, error));
        if (t->alignment) tell_recall(&recall, out);
    }
    if (out->watched) TRY(measure_set(t, t->monitor_batches, &out->monitor, NULL, error));
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
    const locate_task *t = (locate_task *)task;
    const text_projector *projector = t->alignment ? alignment_projector(t->alignment) : NULL;
    return model_file_save(path, t->model, projector, c->regions, MODEL_FILE_F32, notes, count, error);
}

static carina_status load_weights(train_task *task, const char *path, carina_error *error) {
    locate_task *t = (locate_task *)task;
    TRY(model_file_load_weights(t->model, path, error));
    if (!t->alignment) return CARINA_OK;
    TRY(model_file_load_projector(alignment_projector(t->alignment), path, error));
    finding_head *head = alignment_finding_head(t->alignment);
    return head ? finding_head_load(head, path, error) : CARINA_OK;
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
    step_batches_free(t->kept);
    free(t->buffers);
    free(t->joined.items);
    alignment_free(t->alignment);
    apm_free(t->model);
    free(t);
}

static const train_task_class locate_class = {
    .loss_names = {"loss", "box_loss", "label_loss", "alignment_loss", "finding_loss", "mask_loss"},
    .shown_loss = LOSS_ALIGNMENT,
    .samples = "films",
    .score = "IoU",
    .score_key = "iou",
    .model_ending = ".safetensors",
    .load_weights = load_weights,
    .open_data = open_data,
    .start_data = start_data,
    .sample_count = sample_count,
    .batches_per_epoch = batches_per_epoch,
    .gather = gather,
    .step = step,
    .measure = measure,
    .save = save,
    .free = free_task,
};

/* What the optimizer moves: the model's parameters, and the projector's and the finding head's behind them. */
static carina_status join_parameters(locate_task *t, carina_error *error) {
    const finding_head *head = t->alignment ? alignment_finding_head(t->alignment) : NULL;
    const parameters *sets[] = {t->model->parameters,
                                t->alignment ? alignment_projector(t->alignment)->parameters : NULL,
                                head ? head->parameters : NULL};
    const int set_count = sizeof sets / sizeof *sets;
    size_t count = 0;
    for (int k = 0; k < set_count; k++) count += sets[k] ? (size_t)sets[k]->count : 0;
    t->joined.items = malloc((count + 1) * sizeof *t->joined.items);
    if (!t->joined.items) return error_memory(error, "parameters", count * sizeof *t->joined.items);
    for (int k = 0; k < set_count; k++)
        for (int i = 0; sets[k] && i < sets[k]->count; i++) t->joined.items[t->joined.count++] = sets[k]->items[i];
    t->task.parameters = &t->joined;
    return parameters_allocate_gradients(&t->joined, error);
}

static carina_status create(locate_task *t, thread_pool *pool, carina_error *error) {
    const train_config *c = t->task.config;
    if (*c->alignment.text_encoder) TRY(alignment_create(&t->alignment, c, pool, error));
    carina_status status = apm_create(&t->model, &c->model, (uint64_t)c->seed, error);
    if (status == CARINA_OK && *c->encoder_weights &&
        vit_file_load(&t->model->transformer, c->encoder_weights, error) != CARINA_OK)
        return error_prefix(error, "%s: model.encoder_weights", c->path);
    if (status == CARINA_OK) status = join_parameters(t, error);
    if (status == CARINA_OK) status = record_training(t, pool, error);
    if (status == CARINA_OK) status = record_prediction(t, pool, error);
    if (status == CARINA_OK)
        status =
            step_batches_create(&t->kept, c->accumulate, c->batch_size, c->model.image_height, c->model.region_count,
                                t->train.masks ? tensor_count(t->train.masks) / c->batch_size : 0, error);
    if (status == CARINA_OK && t->alignment && c->accumulate > 1) {
        size_t bytes = (size_t)parameters_total(t->model->parameters) * sizeof *t->buffers;
        t->buffers = malloc(bytes);
        if (!t->buffers) status = error_memory(error, "running statistics", bytes);
    }
    return status == CARINA_OK ? status : error_prefix(error, "%s: model, training.batch_size", c->path);
}

carina_status locate_task_create(train_task **out, const train_config *config, thread_pool *pool, carina_error *error) {
    *out = NULL;
    locate_task *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error, "training", sizeof *t);
    t->type = locate_class;
    if (!*config->alignment.text_encoder) t->type.loss_names[LOSS_ALIGNMENT] = NULL;
    if (config->alignment.findings_weight <= 0) t->type.loss_names[LOSS_FINDINGS] = NULL;
    if (!trains_with_masks(config)) t->type.loss_names[LOSS_MASKS] = NULL;
    t->task = (train_task){.type = &t->type, .config = config};
    carina_status status = create(t, pool, error);
    if (status != CARINA_OK) {
        free_task(&t->task);
        return status;
    }
    *out = &t->task;
    return CARINA_OK;
}
