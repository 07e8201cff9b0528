/* Reading annotations side by side, a chunk at a time; see film_scan.h. */
#include "data/film_scan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/progress.h"

#define CHUNK 64 /* films in memory at once */

typedef struct reading {
    const dataset *set;
    uint64_t first;
    sample *samples;
    carina_status status[CHUNK];
    carina_error errors[CHUNK];
} reading;

static void read_one(void *context, int shard, int worker) {
    (void)worker;
    reading *r = context;
    r->status[shard] = dataset_read(r->set, r->first + (uint64_t)shard, false, &r->samples[shard], &r->errors[shard]);
}

static carina_status read_chunk(reading *r, int films, thread_pool *pool, film_scan_each *each, void *context,
                                carina_error *error) {
    carina_status status = CARINA_OK;
    thread_pool_run(pool, films, read_one, r);
    for (int i = 0; i < films; i++) {
        if (status == CARINA_OK && r->status[i] != CARINA_OK) {
            status = r->status[i];
            if (error) *error = r->errors[i];
        }
        if (status == CARINA_OK) status = each(context, r->first + (uint64_t)i, &r->samples[i], error);
        if (r->status[i] == CARINA_OK) sample_free(&r->samples[i]);
    }
    return status;
}

carina_status film_scan(const dataset *set, thread_pool *pool, const char *title, film_scan_each *each, void *context,
                        carina_error *error) {
    uint64_t count = dataset_count(set);
    reading *r = calloc(1, sizeof *r);
    sample *samples = calloc(CHUNK, sizeof *samples);
    carina_status status = CARINA_OK;
    if (!r || !samples) status = error_memory(error, "films", CHUNK * sizeof *samples);
    progress *line = title ? progress_start(title, "films", 0, count) : NULL;
    for (uint64_t first = 0; first < count && status == CARINA_OK; first += CHUNK) {
        uint64_t films = count - first < CHUNK ? count - first : CHUNK;
        r->set = set;
        r->samples = samples;
        r->first = first;
        status = read_chunk(r, (int)films, pool, each, context, error);
        progress_update(line, first + films, NULL);
        if (status == CARINA_OK && progress_interrupted())
            status = error_set(error, CARINA_ERROR_CANCELLED,
                               "interrupted after %" PRIu64 " films: nothing was written", first + films);
    }
    progress_finish(line);
    free(samples);
    free(r);
    return status;
}
