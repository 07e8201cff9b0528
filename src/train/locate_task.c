/* The APM's training step and prediction as two graphs over the same weights; see locate_task.h. */
#include "train/locate_task.h"

#include <stdlib.h>
#include <string.h>

static carina_status record_training(locate_task *t, thread_pool *pool, carina_error *error) {
    const train_config *c = t->config;
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
    const train_config *c = t->config;
    int64_t size = c->model.image_height;
    graph_options o = {.pool = pool, .type = (tensor_type)c->type};
    TRY(graph_create(&t->prediction, &o, error));
    t->predict.films = graph_input(t->prediction, "films", 4, (int64_t[]){c->batch_size, size, size, 1});
    apm_outputs out = apm_record(t->prediction, t->model, t->predict.films);
    t->predict.boxes = out.boxes;
    graph_output(t->prediction, t->predict.boxes);
    return graph_plan(t->prediction, error);
}

carina_status locate_task_create(locate_task **out, const train_config *config, thread_pool *pool,
                                 carina_error *error) {
    *out = NULL;
    locate_task *t = calloc(1, sizeof *t);
    if (!t) return error_memory(error, "training", sizeof *t);
    t->config = config;
    carina_status status = apm_create(&t->model, &config->model, (uint64_t)config->seed, error);
    if (status == CARINA_OK) {
        t->parameters = t->model->parameters;
        status = parameters_allocate_gradients(t->parameters, error);
    }
    if (status == CARINA_OK) status = record_training(t, pool, error);
    if (status == CARINA_OK) status = record_prediction(t, pool, error);
    if (status != CARINA_OK) {
        locate_task_free(t);
        return status;
    }
    *out = t;
    return CARINA_OK;
}

void locate_task_free(locate_task *t) {
    if (!t) return;
    graph_free(t->training);
    graph_free(t->prediction);
    apm_free(t->model);
    free(t);
}

static void fill(tensor *input, const float *values) {
    memcpy(tensor_data(input), values, (size_t)tensor_count(input) * sizeof(float));
}

void locate_task_step(locate_task *t, const loader_batch *batch, uint64_t noise, locate_losses *losses) {
    fill(t->train.films, batch->films);
    fill(t->train.targets, batch->targets);
    fill(t->train.present, batch->present);
    fill(t->train.labels, batch->labels);
    graph_set_step(t->training, noise);
    graph_forward(t->training);
    losses->total = (double)tensor_data(t->train.losses.total)[0];
    losses->box = (double)tensor_data(t->train.losses.box)[0];
    losses->label = (double)tensor_data(t->train.losses.labels)[0];
    graph_backward(t->training);
}

const float *locate_task_predict(locate_task *t, const loader_batch *batch) {
    fill(t->predict.films, batch->films);
    graph_forward(t->prediction);
    return tensor_data(t->predict.boxes);
}
