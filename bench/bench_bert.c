/* How long a BERT text encoder takes on this machine: one JSON line per run. Random ids, no padding, pooled and
 * projected.
 *
 *     bench_bert [key=value ...]
 *     keys: type=f32|bf16 batch=36 tokens=32 layers=12 d=768 heads=12 ffn=3072 vocabulary=30522 threads=0 (all)
 *           runs=5 warm=1 profile=0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/progress.h"
#include "base/threads.h"
#include "bench.h"
#include "model/bert.h"

typedef struct bench_run {
    bert *model;
    graph *g;
    thread_pool *pool;
    tensor *ids, *mask;
} bench_run;

static carina_status record(bench_run *r, tensor_type type, int64_t batch, int64_t tokens, carina_error *error) {
    graph_options options = {.pool = r->pool, .type = type};
    TRY(graph_create(&r->g, &options, error));
    r->ids = graph_input(r->g, "ids", 2, (int64_t[]){batch, tokens});
    r->mask = graph_input(r->g, "mask", 2, (int64_t[]){batch, tokens});
    bert_outputs outputs = bert_record(r->g, r->model, r->ids, r->mask);
    graph_output(r->g, outputs.pooled);
    graph_output(r->g, outputs.projected);
    return graph_plan(r->g, error);
}

static double step(bench_run *r) {
    random_state random = random_seed(1);
    for (int64_t i = 0; i < tensor_count(r->ids); i++) {
        tensor_data(r->ids)[i] = (float)random_below(&random, (uint64_t)r->model->config.vocabulary);
        tensor_data(r->mask)[i] = 1;
    }
    double start = clock_seconds();
    graph_forward(r->g);
    return clock_seconds() - start;
}

int main(int count, char **arguments) {
    const char *type = option(count, arguments, "type", "f32");
    int64_t batch = atoi(option(count, arguments, "batch", "36")),
            tokens = atoi(option(count, arguments, "tokens", "32"));
    int runs = atoi(option(count, arguments, "runs", "5")), warm = atoi(option(count, arguments, "warm", "1"));
    bert_config config = bert_config_base();
    config.layers = atoi(option(count, arguments, "layers", "12"));
    config.width = atoi(option(count, arguments, "d", "768"));
    config.heads = atoi(option(count, arguments, "heads", "12"));
    config.ffn_width = atoi(option(count, arguments, "ffn", "3072"));
    config.vocabulary = atoi(option(count, arguments, "vocabulary", "30522"));
    carina_error error = {0};
    bench_run r = {0};
    double seconds[100];
    if (runs < 1 || runs > 100) runs = 5;
    if (bert_create(&r.model, &config, 1, &error) != CARINA_OK ||
        thread_pool_create(&r.pool, atoi(option(count, arguments, "threads", "0")), &error) != CARINA_OK ||
        record(&r, type[0] == 'b' ? TENSOR_BF16 : TENSOR_F32, batch, tokens, &error) != CARINA_OK) {
        fprintf(stderr, "bench_bert: %s\n", error.message);
        return 1;
    }
    for (int i = 0; i < warm; i++) step(&r);
    graph_profile(r.g, atoi(option(count, arguments, "profile", "0")) != 0);
    for (int i = 0; i < runs; i++) seconds[i] = step(&r);
    graph_profile_print(r.g, stderr);
    qsort(seconds, (size_t)runs, sizeof *seconds, compare_doubles);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf(
        "{\"name\": \"carina bert %s %dx%d\", \"seconds_min\": %.4f, \"seconds_median\": %.4f, \"planned_bytes\": "
        "%llu, "
        "\"peak_rss_bytes\": %lld}\n",
        type, (int)batch, (int)tokens, seconds[0], seconds[runs / 2], (unsigned long long)graph_planned_bytes(r.g),
        (long long)usage.ru_maxrss * 1024);
    graph_free(r.g);
    thread_pool_free(r.pool);
    bert_free(r.model);
    return 0;
}
