/* How fast quantised products are (src/tensor/quantized.h), beside what this machine can do at all: one JSON line per
 * shape, kind and number of tokens. All figures of a line come from the same run, in turn.
 *
 *     bench_quantized [key=value ...]
 *     keys: threads=2 runs=5 m=1,512 (numbers of tokens) kind=Q4 shape=10240x2560 (default: all kinds; Gemma 3 4B's)
 *           clock=wall|cpu (cpu: processor time divided by the threads, for a machine that has other work)
 *
 *     gb_s      packed bytes a second, through copies of the matrix that together fit no cache, as a model's layers are
 *     read_gb_s the same bytes only read by the same threads
 *     gop_s     2 M outputs inputs / s; of register_gop_s in registers alone (tensor/register_speed.h)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory_speed.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/threads.h"
#include "bench.h"
#include "tensor/quantized.h"
#include "tensor/register_speed.h"

#define FIT_NO_CACHE        (256ull << 20)
#define PRODUCT_SHARD_BYTES (1u << 20)
#define MOST_COPIES         512

static void check(carina_status status, const carina_error *error) {
    if (status == CARINA_OK) return;
    fprintf(stderr, "bench_quantized: %s\n", error->message);
    exit(1);
}

typedef struct bench_clock {
    bool cpu;
    int threads;
} bench_clock;

static double now(const bench_clock *c) {
    if (!c->cpu) return clock_seconds();
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / c->threads;
}

/* Most operations a second of a loop in registers on all threads. */
static double peak(const register_loop *loop, thread_pool *pool, const bench_clock *c, int runs) {
    double most = 0;
    for (int i = 0; i < runs; i++) {
        double start = now(c), operations = register_loop_run(loop, pool), speed = operations / (now(c) - start);
        if (speed > most) most = speed;
    }
    return most;
}

/* ---- products ---- */

typedef struct bench_run {
    const quantized_kernels *kernels;
    quantized_matrix *copies[MOST_COPIES];
    uint8_t *bytes; /* of all copies */
    int copy_count, shard_count;
    int64_t shard_blocks;
    quantized_rows rows;
    float *x, *y;
    int64_t outputs, inputs, m;
} bench_run;

/* The first block is quantised, the others repeat it: what is in them does not change the time. */
static void make_copies(bench_run *r, quantized_kind kind) {
    carina_error error;
    random_state random = random_seed(1);
    quantized_matrix *block;
    uint64_t bytes;
    float *row = malloc((size_t)r->inputs * sizeof *row);
    check(quantized_matrix_create(&block, kind, QUANTIZED_BLOCK, r->inputs, &error), &error);
    for (int64_t n = 0; n < QUANTIZED_BLOCK; n++) {
        for (int64_t k = 0; k < r->inputs; k++) row[k] = (float)(0.02 * random_normal(&random));
        check(quantized_set_row(block, n, row, &error), &error);
    }
    check(quantized_bytes(&bytes, kind, r->outputs, r->inputs, &error), &error);
    r->copy_count = (int)((FIT_NO_CACHE + bytes - 1) / bytes);
    if (r->copy_count > MOST_COPIES) r->copy_count = MOST_COPIES;
    uint64_t whole = bytes * (uint64_t)r->copy_count;
    check(
        quantized_matrix_create(&r->copies[0], kind,
                                (r->outputs + QUANTIZED_BLOCK - 1) / QUANTIZED_BLOCK * QUANTIZED_BLOCK * r->copy_count,
                                r->inputs, &error),
        &error);
    quantized_matrix *all = r->copies[0];
    r->bytes = all->owned;
    for (uint64_t at = 0; at < whole; at += block->bytes) memcpy(r->bytes + at, block->packed, (size_t)block->bytes);
    all->owned = NULL;
    quantized_matrix_free(all);
    for (int i = 0; i < r->copy_count; i++)
        check(quantized_matrix_borrow(&r->copies[i], kind, r->outputs, r->inputs, r->bytes + (uint64_t)i * bytes, bytes,
                                      &error),
              &error);
    quantized_matrix_free(block);
    free(row);
}

typedef struct product_job {
    const bench_run *run;
    int copy;
} product_job;

static void product_shard(void *context, int shard, int worker) {
    const product_job *job = context;
    const bench_run *r = job->run;
    const quantized_matrix *m = r->copies[job->copy];
    int64_t first = shard * r->shard_blocks, count = r->shard_blocks;
    (void)worker;
    if (count > m->blocks - first) count = m->blocks - first;
    quantized_product_run(r->kernels, m, &r->rows, first, count, r->y, r->outputs);
}

static void prepare_shard(void *context, int shard, int worker) {
    const bench_run *r = context;
    (void)worker;
    quantized_rows_prepare(r->kernels, &r->rows, r->x, r->inputs, shard, 1);
}

static double product_seconds(bench_run *r, thread_pool *pool, const bench_clock *c, int copies) {
    double start = now(c);
    thread_pool_run(pool, (int)quantized_rows_panels(&r->rows), prepare_shard, r);
    for (int i = 0; i < copies; i++) {
        product_job job = {r, i};
        thread_pool_run(pool, r->shard_count, product_shard, &job);
    }
    return now(c) - start;
}

static double read_seconds(const bench_run *r, thread_pool *pool, const bench_clock *c) {
    double start = now(c);
    memory_read(pool, r->bytes, r->copies[0]->bytes * (uint64_t)r->copy_count);
    return now(c) - start;
}

static void measure(bench_run *r, quantized_kind kind, thread_pool *pool, const bench_clock *c, int runs) {
    void *memory = aligned_alloc(QUANTIZED_ALIGN, (size_t)quantized_rows_bytes(kind, r->m, r->inputs));
    r->x = malloc((size_t)(r->m * r->inputs) * sizeof *r->x);
    r->y = malloc((size_t)(r->m * r->outputs) * sizeof *r->y);
    if (!memory || !r->x || !r->y) exit(1);
    random_state random = random_seed(2);
    for (int64_t i = 0; i < r->m * r->inputs; i++) r->x[i] = (float)random_normal(&random);
    quantized_rows_place(&r->rows, memory, kind, r->m, r->inputs);
    /* About a megabyte of weights a shard while memory is what counts, else a few shards a thread. */
    int64_t blocks = r->copies[0]->blocks, wanted = (int64_t)(PRODUCT_SHARD_BYTES / r->copies[0]->block_bytes) + 1;
    r->shard_blocks = r->m > 16 ? (blocks + 15) / 16 : wanted;
    r->shard_count = (int)((blocks + r->shard_blocks - 1) / r->shard_blocks);
    bool streams = r->m <= 16;
    int copies = streams ? r->copy_count : 1;
    double least = 1e9, reads = 1e9;
    for (int i = 0; i < runs; i++) {
        double seconds = product_seconds(r, pool, c, copies) / copies;
        if (seconds < least) least = seconds;
        if (streams) seconds = read_seconds(r, pool, c) / copies;
        if (streams && seconds < reads) reads = seconds;
    }
    double operations = 2.0 * (double)r->m * (double)r->outputs * (double)r->inputs / least;
    printf("{\"name\": \"quantized %s %lldx%lld M %lld\", \"kernels\": \"%s\", \"threads\": %d, \"seconds_min\": %.6f",
           quantized_kind_name(kind), (long long)r->outputs, (long long)r->inputs, (long long)r->m,
           quantized_kernels_name(r->kernels), c->threads, least);
    if (streams) {
        double bytes = (double)r->copies[0]->bytes * 1e-9;
        printf(", \"gb_s\": %.2f, \"read_gb_s\": %.2f, \"ratio\": %.3f}\n", bytes / least, bytes / reads,
               reads / least);
    } else {
        const register_loop *loop = register_loop_best(kind == QUANTIZED_BF16 ? REGISTER_BF16 : REGISTER_INT8);
        double most = peak(loop, pool, c, 20 * runs);
        printf(", \"gop_s\": %.1f, \"register_gop_s\": %.1f, \"register_instruction\": \"%s\", \"ratio\": %.3f}\n",
               operations * 1e-9, most * 1e-9, loop->instruction, operations / most);
    }
    fflush(stdout);
    free(memory), free(r->x), free(r->y);
}

static const struct {
    int64_t outputs, inputs;
} gemma[] = {{10240, 2560}, {2560, 10240}, {2048, 2560}, {2560, 2048}, {1024, 2560}};

int main(int count, char **arguments) {
    int runs = atoi(option(count, arguments, "runs", "5"));
    bench_clock c = {.threads = atoi(option(count, arguments, "threads", "2"))};
    c.cpu = strcmp(option(count, arguments, "clock", "wall"), "cpu") == 0;
    const char *kind_wanted = option(count, arguments, "kind", ""), *m = option(count, arguments, "m", "1,512");
    long long outputs = 0, inputs = 0;
    sscanf(option(count, arguments, "shape", ""), "%lldx%lld", &outputs, &inputs);
    carina_error error;
    thread_pool *pool;
    if (runs < 1 || c.threads < 1 || c.threads > 64) {
        fputs("usage: bench_quantized [threads=2] [runs=5] [m=1,512] [kind=Q4] [shape=NxK] [clock=wall|cpu]\n", stderr);
        return 2;
    }
    check(thread_pool_create(&pool, c.threads, &error), &error);
    for (int s = 0; s < (outputs ? 1 : (int)(sizeof gemma / sizeof *gemma)); s++)
        for (int kind = 0; kind < QUANTIZED_KINDS; kind++) {
            if (*kind_wanted && strcmp(kind_wanted, quantized_kind_name((quantized_kind)kind)) != 0) continue;
            bench_run r = {.kernels = quantized_kernels_best(),
                           .outputs = outputs ? outputs : gemma[s].outputs,
                           .inputs = outputs ? inputs : gemma[s].inputs};
            make_copies(&r, (quantized_kind)kind);
            for (const char *at = m; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
                if ((r.m = atoll(at)) > 0) measure(&r, (quantized_kind)kind, pool, &c, runs);
            for (int i = 0; i < r.copy_count; i++) quantized_matrix_free(r.copies[i]);
            free(r.bytes);
        }
    thread_pool_free(pool);
    return 0;
}
