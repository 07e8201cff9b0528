/* How fast the sentence database is: one JSON line per run.
 *
 *     bench_index MODE [key=value ...]
 *     regions   one query for each of 36 regions of 2,000 sentences of width 16
 *     million   one query on 1,000,000 sentences of width 16 in one region, and the time of only reading those bytes
 *               with the same threads, alternating in the same run ("read_seconds_min", "ratio" of the minima)
 *     load      opening a file of 1,000,000 sentences in 36 regions (in the page cache), checks included
 *     keys: threads=2 runs=... k=1 weight=0 (of the log priors, regions and million) file=build/bench.sentences (load)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory_speed.h"
#include "base/progress.h"
#include "base/random.h"
#include "bench.h"
#include "index/index_file.h"

#define WIDTH 16

static void check(carina_status status, const carina_error *error) {
    if (status == CARINA_OK) return;
    fprintf(stderr, "bench_index: %s\n", error->message);
    exit(1);
}

/* `total` sentences of about 90 bytes, spread over the first `regions` regions. */
static sentence_index *make(uint64_t total, int regions) {
    static const char *const findings[8] = {
        "atelectasis", "lung opacity", "pleural effusion", "consolidation", "enlarged cardiac silhouette",
        "picc",        "chest tube",   "pneumothorax"};
    sentence_index *index;
    carina_error error;
    random_state random = random_seed(1);
    const atlas *set = atlas_anatomix36();
    check(sentence_index_create(&index, set, NULL, WIDTH, &error), &error);
    for (uint64_t i = 0; i < total; i++) {
        int region = (int)(i % (uint64_t)regions);
        float vector[WIDTH];
        char text[256], place[64];
        snprintf(text, sizeof text, "%s shows %s and %s and finding %08llu.", set->regions[region].display_name,
                 findings[random_below(&random, 8)], findings[random_below(&random, 8)], (unsigned long long)i);
        snprintf(place, sizeof place, "train/%08llx-%08llx-00000000-11111111-22222222", (unsigned long long)i,
                 (unsigned long long)i * 7);
        for (int d = 0; d < WIDTH; d++) vector[d] = (float)random_normal(&random);
        const sentence_entry e = {text, 1 + i % 50, place};
        check(sentence_index_add(index, region, &e, vector, &error), &error);
    }
    check(sentence_index_finish(index, &error), &error);
    return index;
}

static void print(const char *name, double *seconds, int runs, const char *more) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(seconds, (size_t)runs, sizeof *seconds, compare_doubles);
    printf(
        "{\"name\": \"carina index %s\", \"seconds_min\": %.7f, \"seconds_median\": %.7f%s, \"peak_rss_bytes\": "
        "%lld}\n",
        name, seconds[0], seconds[runs / 2], more, (long long)usage.ru_maxrss * 1024);
}

static float queries[36 * WIDTH];
static similarity_hit hits[36 * SENTENCE_INDEX_MAX_K];
static int counts[36];

static double search_regions(const sentence_index *index, thread_pool *pool, float weight, int k) {
    carina_error error;
    double start = clock_seconds();
    check(sentence_index_search_all(index, pool, queries, weight, k, hits, counts, &error), &error);
    return clock_seconds() - start;
}

static double search_one(const sentence_index *index, thread_pool *pool, float weight, int k) {
    carina_error error;
    double start = clock_seconds();
    check(sentence_index_search(index, pool, 0, queries, weight, k, hits, counts, &error), &error);
    return clock_seconds() - start;
}

/* ---- reading alone: every byte of the matrix into a register, as fast as it comes ---- */

static double read_all(const sentence_index *index, thread_pool *pool) {
    const sentence_region *region = sentence_index_region(index, 0);
    double start = clock_seconds();
    memory_read(pool, region->blocks, (region->count + 15) / 16 * 16 * WIDTH * sizeof(float));
    return clock_seconds() - start;
}

int main(int count, char **arguments) {
    const char *mode = count > 1 ? arguments[1] : "";
    const char *file = option(count, arguments, "file", "build/bench.sentences");
    bool regions = strcmp(mode, "regions") == 0, million = strcmp(mode, "million") == 0;
    bool load = strcmp(mode, "load") == 0;
    int runs = atoi(option(count, arguments, "runs", regions ? "2000" : load ? "5" : "60"));
    int k = atoi(option(count, arguments, "k", "1"));
    float weight = (float)atof(option(count, arguments, "weight", "0"));
    carina_error error;
    thread_pool *pool;
    if ((!regions && !million && !load) || runs < 1 || k < 1 || k > SENTENCE_INDEX_MAX_K) {
        fputs("usage: bench_index regions|million|load [threads=2] [runs=N] [k=1] [weight=0] [file=PATH]\n", stderr);
        return 2;
    }
    double *seconds = calloc((size_t)runs, sizeof *seconds), *reads = calloc((size_t)runs, sizeof *reads);
    if (!seconds || !reads) return 1;
    check(thread_pool_create(&pool, atoi(option(count, arguments, "threads", "2")), &error), &error);
    random_state random = random_seed(2);
    for (int i = 0; i < 36 * WIDTH; i++) queries[i] = (float)random_normal(&random);
    if (load) {
        sentence_index *index = make(1000000, 36);
        check(index_file_write(file, index, &error), &error);
        sentence_index_free(index);
        for (int i = 0; i < runs; i++) {
            double start = clock_seconds();
            check(index_file_read(&index, file, NULL, &error), &error);
            seconds[i] = clock_seconds() - start;
            sentence_index_free(index);
        }
        unlink(file);
        print("load 1000000", seconds, runs, "");
    } else {
        char more[128] = "";
        sentence_index *index = regions ? make(36 * 2000, 36) : make(1000000, 1);
        for (int i = 0; i < runs; i++) {
            seconds[i] = regions ? search_regions(index, pool, weight, k) : search_one(index, pool, weight, k);
            if (million) reads[i] = read_all(index, pool);
        }
        if (million) {
            qsort(reads, (size_t)runs, sizeof *reads, compare_doubles);
            qsort(seconds, (size_t)runs, sizeof *seconds, compare_doubles);
            snprintf(more, sizeof more, ", \"read_seconds_min\": %.7f, \"read_seconds_median\": %.7f, \"ratio\": %.3f",
                     reads[0], reads[runs / 2], seconds[0] / reads[0]);
        }
        print(regions ? "36 x 2000 x 16" : "1000000 x 16", seconds, runs, more);
        sentence_index_free(index);
    }
    thread_pool_free(pool);
    free(seconds);
    free(reads);
    return 0;
}
