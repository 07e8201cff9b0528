/* Batches of films through a locator; see film_loop.h. */
#include "eval/film_loop.h"

#include <stdlib.h>

#include "base/progress.h"

typedef struct runner {
    const film_loop *loop;
    int batch;
    uint64_t first; /* place in the loop of samples[0] */
    /* [batch] each */
    sample *samples;
    carina_status *statuses;
    carina_error *errors;
    study *studies; /* pictures borrowed from the samples */
    const study **pointers;
    carina_location *locations;
    locator_reading *readings;
} runner;

static carina_status runner_open(runner *r, carina_error *error) {
    size_t batch = (size_t)r->batch;
    r->samples = calloc(batch, sizeof *r->samples);
    r->statuses = calloc(batch, sizeof *r->statuses);
    r->errors = calloc(batch, sizeof *r->errors);
    r->studies = calloc(batch, sizeof *r->studies);
    r->pointers = calloc(batch, sizeof *r->pointers);
    r->locations = calloc(batch, sizeof *r->locations);
    r->readings = calloc(batch, sizeof *r->readings);
    if (!r->samples || !r->statuses || !r->errors || !r->studies || !r->pointers || !r->locations || !r->readings)
        return error_memory(error, "films", batch * (sizeof(sample) + sizeof(study)));
    return CARINA_OK;
}

static void runner_close(runner *r) {
    free(r->samples);
    free(r->statuses);
    free(r->errors);
    free(r->studies);
    free(r->pointers);
    free(r->locations);
    free(r->readings);
}

static void read_film(void *context, int place, int worker) {
    (void)worker;
    runner *r = context;
    sample *s = &r->samples[place];
    uint64_t index = r->first + (uint64_t)place;
    if (r->loop->films) index = r->loop->films[index];
    r->statuses[place] = dataset_read(r->loop->set, index, true, s, &r->errors[place]);
    if (r->statuses[place] != CARINA_OK) return;
    int width = s->film.width, height = s->film.height;
    r->studies[place] = (study){.film = {.picture = s->film, .file_width = width, .file_height = height},
                                .transform = letterbox_make(width, height, width, height)};
    r->pointers[place] = &r->studies[place];
}

static carina_status run_batch(runner *r, int count, carina_error *error) {
    const film_loop *loop = r->loop;
    carina_status status = CARINA_OK;
    thread_pool_run(locator_threads(loop->locator), count, read_film, r);
    for (int i = 0; i < count && status == CARINA_OK; i++) {
        status = r->statuses[i];
        if (status != CARINA_OK) *error = r->errors[i];
    }
    if (status == CARINA_OK) status = locator_read(loop->locator, r->pointers, count, r->locations, r->readings, error);
    bool read = status == CARINA_OK;
    for (int i = 0; i < count; i++) {
        if (status == CARINA_OK)
            status = loop->take(loop->context, r->first + (uint64_t)i, &r->samples[i], &r->readings[i], error);
        if (read) carina_location_free(&r->locations[i]);
        if (read) locator_reading_free(&r->readings[i]);
        if (r->statuses[i] == CARINA_OK) sample_free(&r->samples[i]);
    }
    return status;
}

static carina_status run_all(runner *r, carina_error *error) {
    uint64_t count = r->loop->count, batch = (uint64_t)r->batch;
    carina_status status = CARINA_OK;
    progress *line = r->loop->progress ? progress_start(r->loop->progress, "films", 0, count) : NULL;
    for (r->first = 0; r->first < count && status == CARINA_OK; r->first += batch) {
        uint64_t films = count - r->first < batch ? count - r->first : batch;
        status = run_batch(r, (int)films, error);
        progress_update(line, r->first + films, NULL);
        if (status == CARINA_OK && progress_interrupted())
            status = error_set(error, CARINA_ERROR_CANCELLED, "evaluation interrupted");
    }
    progress_finish(line);
    return status;
}

carina_status film_loop_run(const film_loop *loop, carina_error *error) {
    runner r = {.loop = loop, .batch = locator_batch(loop->locator)};
    carina_status status = runner_open(&r, error);
    if (status == CARINA_OK) status = run_all(&r, error);
    runner_close(&r);
    return status;
}
