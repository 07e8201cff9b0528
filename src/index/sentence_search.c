/* Searching a sentence database. Regions are cut into shards by their size alone; each shard finds its own best rows,
 * which are merged in shard order: the same hits for any number of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "index/sentence_index_internal.h"

#define SHARD_BYTES (4u << 20)
#define ALONE_BYTES (256u << 10) /* below this, waking other threads costs more than they save */

typedef struct search_shard {
    int region;
    int64_t first_row, row_count;
    similarity_top top;
} search_shard;

typedef struct search_work {
    const sentence_index *index;
    const float *queries; /* of length 1, [width] for each region in turn from first_region */
    int first_region;
    float weight; /* of the log priors */
    search_shard *shards;
} search_work;

static void run_shard(void *context, int number, int worker) {
    (void)worker;
    search_work *work = context;
    search_shard *s = &work->shards[number];
    int width = work->index->width;
    const float *query = work->queries + (int64_t)(s->region - work->first_region) * width;
    const index_region *region = &work->index->regions[s->region];
    const similarity_rows rows = {.blocks = region->matrix + s->first_row * width,
                                  .first_row = s->first_row,
                                  .row_count = s->row_count,
                                  .width = width,
                                  .log_priors = work->weight > 0 ? region->log_priors + s->first_row : NULL,
                                  .weight = work->weight};
    work->index->kernels->search(&s->top, &rows, query);
}

static int64_t shard_rows(const sentence_index *index) {
    int64_t rows = (int64_t)(SHARD_BYTES / sizeof(float)) / index->width / SIMILARITY_GROUP * SIMILARITY_GROUP;
    return rows > 0 ? rows : SIMILARITY_GROUP;
}

static int shards_of(const sentence_index *index, int region) {
    int64_t count = (int64_t)index->regions[region].shown.count, rows = shard_rows(index);
    return (int)((count + rows - 1) / rows);
}

/* The best of several shards of one region, in row order, into hits [k]. */
static int merge(const search_shard *shards, int count, int k, similarity_hit *hits) {
    similarity_top top = {.wanted = k, .hits = hits};
    for (int i = 0; i < count; i++)
        for (int h = 0; h < shards[i].top.count; h++) similarity_offer(&top, shards[i].top.hits[h]);
    return top.count;
}

/* Cuts the regions into shards; a region's only shard writes to the caller's hits, others to `spare`. */
static int make_shards(const search_work *work, int regions, int k, similarity_hit *hits, similarity_hit *spare,
                       search_shard *shards) {
    int count = 0;
    int64_t rows = shard_rows(work->index);
    for (int i = 0; i < regions; i++) {
        int region = work->first_region + i, parts = shards_of(work->index, region);
        int64_t left = (int64_t)work->index->regions[region].shown.count;
        for (int p = 0; p < parts; p++, left -= rows, count++) {
            similarity_hit *place = parts == 1 ? hits + (int64_t)i * k : spare + (int64_t)count * k;
            shards[count] = (search_shard){region, p * rows, left < rows ? left : rows, {k, 0, place}};
        }
    }
    return count;
}

/* Regions first .. first + regions - 1, a query each. */
static carina_status search(const sentence_index *index, thread_pool *pool, int first, int regions,
                            const float *queries, float weight, int k, similarity_hit *hits, int *counts,
                            carina_error *error) {
    int width = index->width, shard_count = 0;
    bool parted = false;
    uint64_t bytes = 0;
    if (k < 1 || k > SENTENCE_INDEX_MAX_K)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%d results: 1 to %d are possible", k, SENTENCE_INDEX_MAX_K);
    if (!(weight >= 0 && isfinite(weight)))
        return error_set(error, CARINA_ERROR_ARGUMENT, "weight %g of the log priors: 0 or more is possible",
                         (double)weight);
    for (int i = 0; i < regions; i++) {
        int parts = shards_of(index, first + i);
        parted |= parts > 1;
        shard_count += parts;
        bytes += index->regions[first + i].shown.count * (uint64_t)width * sizeof(float);
    }
    size_t spare_count = parted ? (size_t)shard_count * (size_t)k : 0;
    size_t room = (size_t)shard_count * sizeof(search_shard) + spare_count * sizeof(similarity_hit) +
                  (size_t)regions * (size_t)width * sizeof(float);
    search_shard *shards = malloc(room);
    if (!shards) return error_memory(error, "search", room);
    similarity_hit *spare = (similarity_hit *)(shards + shard_count);
    float *units = (float *)(spare + spare_count);
    for (int i = 0; i < regions; i++) {
        if (index_normalise(units + (int64_t)i * width, queries + (int64_t)i * width, width)) continue;
        free(shards);
        return error_set(error, CARINA_ERROR_ARGUMENT, "the query for %s is zero or not finite",
                         index->regions[first + i].shown.name);
    }
    search_work work = {index, units, first, weight, shards};
    make_shards(&work, regions, k, hits, spare, shards);
    unsigned denormals = cpu_flush_denormals(); /* as the pool's threads do */
    thread_pool_run(bytes > ALONE_BYTES ? pool : NULL, shard_count, run_shard, &work);
    cpu_restore_denormals(denormals);
    for (int i = 0, shard = 0; i < regions; i++) {
        int parts = shards_of(index, first + i);
        counts[i] =
            parts > 1 ? merge(shards + shard, parts, k, hits + (int64_t)i * k) : (parts ? shards[shard].top.count : 0);
        shard += parts;
    }
    free(shards);
    return CARINA_OK;
}

carina_status sentence_index_search(const sentence_index *index, thread_pool *pool, int region, const float *query,
                                    float weight, int k, similarity_hit *hits, int *count, carina_error *error) {
    if (region < 0 || region >= index->region_count)
        return error_set(error, CARINA_ERROR_ARGUMENT, "region %d of %d", region, index->region_count);
    return search(index, pool, region, 1, query, weight, k, hits, count, error);
}

carina_status sentence_index_search_all(const sentence_index *index, thread_pool *pool, const float *queries,
                                        float weight, int k, similarity_hit *hits, int *counts, carina_error *error) {
    return search(index, pool, 0, index->region_count, queries, weight, k, hits, counts, error);
}

carina_status sentence_index_similarities(const sentence_index *index, int region, const float *query, float *out,
                                          carina_error *error) {
    if (region < 0 || region >= index->region_count)
        return error_set(error, CARINA_ERROR_ARGUMENT, "region %d of %d", region, index->region_count);
    const index_region *r = &index->regions[region];
    float *unit = malloc((size_t)index->width * sizeof *unit);
    if (!unit) return error_memory(error, "search", (uint64_t)index->width * sizeof *unit);
    if (!index_normalise(unit, query, index->width)) {
        free(unit);
        return error_set(error, CARINA_ERROR_ARGUMENT, "the query for %s is zero or not finite", r->shown.name);
    }
    unsigned denormals = cpu_flush_denormals();
    index->kernels->all(out, r->matrix, (int64_t)r->shown.count, unit, index->width);
    cpu_restore_denormals(denormals);
    free(unit);
    return CARINA_OK;
}

void sentence_index_scores(const sentence_index *index, int region, const float *similarities, float weight,
                           float *out) {
    const index_region *r = &index->regions[region];
    if (weight > 0)
        index->kernels->weigh(out, similarities, r->log_priors, weight, (int64_t)r->shown.count);
    else if (out != similarities && r->shown.count)
        memcpy(out, similarities, (size_t)r->shown.count * sizeof *out);
}
