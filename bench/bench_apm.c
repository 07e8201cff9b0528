/* How long the APM takes on this machine: one JSON line per run.
 * train is one step on `batch` films: forward, losses, backward, clipping, AdamW; no dropout.
 *
 *     bench_apm MODE [key=value ...]     MODE: forward | train
 *     keys: type=f32|bf16 batch=1 size=1024 depth=50 width=1 norm=frozen|batch|group d=256 ffn=1024 layers=4
 *           threads=0 (all) runs=5 warm=1 profile=0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/progress.h"
#include "base/threads.h"
#include "bench.h"
#include "model/apm.h"
#include "train/optimizer.h"

typedef struct bench_run {
    apm *model;
    graph *g;
    thread_pool *pool;
    optimizer *updates; /* training only: a step ends with clipping and AdamW */
    tensor *films, *boxes, *present, *labels, *loss;
} bench_run;

static carina_status record(bench_run *r, bool training, tensor_type type, int64_t batch, carina_error *error) {
    const apm_config *c = &r->model->config;
    graph_options options = {.pool = r->pool, .training = training, .type = type};
    TRY(graph_create(&r->g, &options, error));
    if (training) {
        optimizer_options update = optimizer_defaults();
        update.clip_norm = 0.1;
        update.groups[1].rate_factor = 0.1;
        TRY(optimizer_create(&r->updates, r->model->parameters, &update, r->pool, error));
    }
    r->films = graph_input(r->g, "films", 4, (int64_t[]){batch, c->image_height, c->image_width, 1});
    apm_outputs outputs = apm_record(r->g, r->model, r->films);
    graph_output(r->g, outputs.boxes);
    if (training) {
        r->boxes = graph_input(r->g, "boxes", 3, (int64_t[]){batch, c->region_count, 4});
        r->present = graph_input(r->g, "present", 2, (int64_t[]){batch, c->region_count});
        r->labels = graph_input(r->g, "labels", 2, (int64_t[]){batch, c->label_count});
        apm_targets targets = {r->boxes, r->present, r->labels};
        apm_loss_options loss = {.box = {5, 2}, .label_weight = 2};
        r->loss = apm_record_loss(r->g, &outputs, &targets, &loss).total;
        graph_loss(r->g, r->loss);
    }
    return graph_plan(r->g, error);
}

static void fill_inputs(bench_run *r) {
    random_state random = random_seed(1);
    for (int64_t i = 0; i < tensor_count(r->films); i++) tensor_data(r->films)[i] = (float)random_uniform(&random);
    if (!r->boxes) return;
    for (int64_t i = 0; i < tensor_count(r->boxes); i++)
        tensor_data(r->boxes)[i] = (float)random_range(&random, 0.3, 0.6);
    for (int64_t i = 0; i < tensor_count(r->present); i++) tensor_data(r->present)[i] = 1;
    for (int64_t i = 0; i < tensor_count(r->labels); i++) tensor_data(r->labels)[i] = (float)(i % 2);
}

static double step(bench_run *r, bool training) {
    fill_inputs(r);
    double start = clock_seconds();
    graph_forward(r->g);
    if (training) {
        parameters_zero_gradients(r->model->parameters);
        graph_backward(r->g);
        optimizer_step(r->updates, 1e-4, NULL);
    }
    return clock_seconds() - start;
}

int main(int count, char **arguments) {
    if (count < 2 || (strcmp(arguments[1], "forward") != 0 && strcmp(arguments[1], "train") != 0)) {
        fprintf(stderr, "usage: bench_apm forward|train [key=value ...]\n");
        return 2;
    }
    bool training = strcmp(arguments[1], "train") == 0;
    const char *type = option(count, arguments, "type", "f32"), *norm = option(count, arguments, "norm", "frozen");
    int64_t batch = atoi(option(count, arguments, "batch", training ? "2" : "1"));
    int runs = atoi(option(count, arguments, "runs", "5")), warm = atoi(option(count, arguments, "warm", "1"));
    apm_config config = apm_config_published();
    config.backbone.depth = atoi(option(count, arguments, "depth", "50"));
    config.backbone.width = atof(option(count, arguments, "width", "1"));
    config.backbone.norm = norm[0] == 'b' ? RESNET_BATCH : norm[0] == 'g' ? RESNET_GROUP : RESNET_FROZEN;
    config.image_height = config.image_width = atoi(option(count, arguments, "size", "1024"));
    config.model_width = atoi(option(count, arguments, "d", "256"));
    config.ffn_width = atoi(option(count, arguments, "ffn", "1024"));
    config.encoder_layers = config.decoder_layers = atoi(option(count, arguments, "layers", "4"));
    config.dropout = 0;
    carina_error error = {0};
    bench_run r = {0};
    double seconds[100];
    if (runs < 1 || runs > 100) runs = 5;
    if (apm_create(&r.model, &config, 1, &error) != CARINA_OK ||
        thread_pool_create(&r.pool, atoi(option(count, arguments, "threads", "0")), &error) != CARINA_OK ||
        record(&r, training, type[0] == 'b' ? TENSOR_BF16 : TENSOR_F32, batch, &error) != CARINA_OK) {
        fprintf(stderr, "bench_apm: %s\n", error.message);
        return 1;
    }
    for (int i = 0; i < warm; i++) step(&r, training);
    graph_profile(r.g, atoi(option(count, arguments, "profile", "0")) != 0);
    for (int i = 0; i < runs; i++) seconds[i] = step(&r, training);
    graph_profile_print(r.g, stderr);
    qsort(seconds, (size_t)runs, sizeof *seconds, compare_doubles);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf(
        "{\"name\": \"carina %s %s %dx%d batch %d\", \"seconds_min\": %.4f, \"seconds_median\": %.4f, "
        "\"planned_bytes\": %llu, "
        "\"peak_rss_bytes\": %lld}\n",
        arguments[1], type, config.image_height, config.image_width, (int)batch, seconds[0], seconds[runs / 2],
        (unsigned long long)graph_planned_bytes(r.g), (long long)usage.ru_maxrss * 1024);
    graph_free(r.g);
    optimizer_free(r.updates);
    thread_pool_free(r.pool);
    apm_free(r.model);
    return 0;
}
