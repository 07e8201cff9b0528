/* Filling packed matrices; see gemma3_rows.h. */
#include "model/gemma3_rows.h"

#include <stdlib.h>

#include "base/memory_speed.h"
#include "base/progress.h"

#define SHARD_ROWS 64

typedef struct fill_job {
    quantized_matrix *matrix;
    gemma3_set_row *set_row;
    void *context;
    carina_status *status; /* [shard] */
    carina_error *errors;  /* [shard] */
} fill_job;

static void fill_shard(void *context, int shard, int worker) {
    fill_job *job = context;
    quantized_matrix *m = job->matrix;
    (void)worker;
    float *scratch = malloc((size_t)m->inputs * sizeof *scratch);
    if (!scratch) {
        job->status[shard] = error_memory(&job->errors[shard], "a row", (uint64_t)m->inputs * sizeof *scratch);
        return;
    }
    int64_t first = (int64_t)shard * SHARD_ROWS,
            end = first + SHARD_ROWS < m->outputs ? first + SHARD_ROWS : m->outputs;
    for (int64_t row = first; row < end && job->status[shard] == CARINA_OK; row++)
        job->status[shard] = job->set_row(job->context, m, row, scratch, &job->errors[shard]);
    free(scratch);
}

carina_status gemma3_fill_slot(const gemma3_slot *slot, quantized_kind kind, gemma3_set_row *set_row, void *context,
                               thread_pool *pool, carina_error *error) {
    if (progress_interrupted()) return error_set(error, CARINA_ERROR_CANCELLED, "interrupted");
    int shards = (int)((slot->outputs + SHARD_ROWS - 1) / SHARD_ROWS);
    carina_status status = quantized_matrix_create(&slot->matrix->packed, kind, slot->outputs, slot->inputs, error);
    if (status != CARINA_OK) return error_prefix(error, "%s", slot->name);
    fill_job job = {.matrix = slot->matrix->packed, .set_row = set_row, .context = context};
    job.status = calloc((size_t)shards, sizeof *job.status);
    job.errors = calloc((size_t)shards, sizeof *job.errors);
    if (job.status && job.errors)
        thread_pool_run(pool, shards, fill_shard, &job);
    else
        status = error_memory(error, slot->name, (uint64_t)shards * sizeof *job.errors);
    for (int i = 0; job.status && job.errors && i < shards && status == CARINA_OK; i++)
        if (job.status[i] != CARINA_OK) {
            if (error) *error = job.errors[i];
            status = error_prefix(error, "%s", slot->name);
        }
    free(job.status);
    free(job.errors);
    return status;
}

carina_status gemma3_check_memory(const char *path, uint64_t bytes, carina_error *error) {
    uint64_t available = memory_available(), wanted = bytes + (1ull << 30);
    if (!available || wanted <= available) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MEMORY,
                     "%s: %.1f GB are wanted for its weights, %.1f GB are available; choose weights of fewer bits",
                     path, 1e-9 * (double)wanted, 1e-9 * (double)available);
}
