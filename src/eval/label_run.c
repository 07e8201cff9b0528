/* A data set through a locator, for its labels; see label_run.h. */
#include "eval/label_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "data/dataset.h"
#include "data/string_index.h"

typedef struct runner {
    locator *locator;
    const dataset *set;
    const label_run_options *options;
    label_table *table;
    string_index *patients;
    int batch;
    uint64_t first; /* film of samples[0] */
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
    return string_index_create(&r->patients, error);
}

static void runner_close(runner *r) {
    string_index_free(r->patients);
    free(r->samples);
    free(r->statuses);
    free(r->errors);
    free(r->studies);
    free(r->pointers);
    free(r->locations);
    free(r->readings);
}

static float truth_of(float label, const label_run_options *o) {
    static const float meant[] = {[LABEL_UNKNOWN] = NAN, [LABEL_ABSENT] = 0, [LABEL_PRESENT] = 1};
    if (isnan(label)) return meant[o->not_mentioned];
    if (label < 0) return meant[o->uncertain];
    return label > 0.5f ? 1 : 0;
}

static carina_status keep_film(runner *r, uint64_t index, const sample *s, const locator_reading *reading,
                               carina_error *error) {
    uint64_t row = index * (uint64_t)r->table->label_count;
    const char *patient = *s->patient ? s->patient : s->id;
    for (int k = 0; k < r->table->label_count; k++) {
        r->table->logits[row + (uint64_t)k] = reading->image_logits[k];
        r->table->truths[row + (uint64_t)k] = truth_of(s->labels[k], r->options);
    }
    uint32_t number = (uint32_t)string_index_count(r->patients);
    if (!string_index_find(r->patients, patient, &number))
        TRY(string_index_add(r->patients, patient, number, NULL, NULL, error));
    r->table->patients[index] = number;
    if (r->options->predictions)
        label_put_film(r->options->predictions, s->id, patient, r->table->logits + row, r->table->truths + row,
                       r->table->label_count);
    return CARINA_OK;
}

static void read_film(void *context, int place, int worker) {
    (void)worker;
    runner *r = context;
    sample *s = &r->samples[place];
    r->statuses[place] = dataset_read(r->set, r->first + (uint64_t)place, true, s, &r->errors[place]);
    if (r->statuses[place] != CARINA_OK) return;
    int width = s->film.width, height = s->film.height;
    r->studies[place] = (study){.film = {.picture = s->film, .file_width = width, .file_height = height},
                                .transform = letterbox_make(width, height, width, height)};
    r->pointers[place] = &r->studies[place];
}

static carina_status run_batch(runner *r, int count, carina_error *error) {
    carina_status status = CARINA_OK;
    thread_pool_run(locator_threads(r->locator), count, read_film, r);
    for (int i = 0; i < count && status == CARINA_OK; i++) {
        status = r->statuses[i];
        if (status != CARINA_OK) *error = r->errors[i];
    }
    if (status == CARINA_OK) status = locator_read(r->locator, r->pointers, count, r->locations, r->readings, error);
    bool read = status == CARINA_OK;
    for (int i = 0; i < count; i++) {
        if (status == CARINA_OK) status = keep_film(r, r->first + (uint64_t)i, &r->samples[i], &r->readings[i], error);
        if (read) carina_location_free(&r->locations[i]);
        if (read) locator_reading_free(&r->readings[i]);
        if (r->statuses[i] == CARINA_OK) sample_free(&r->samples[i]);
    }
    return status;
}

static carina_status run_all(runner *r, carina_error *error) {
    uint64_t count = r->table->film_count, batch = (uint64_t)r->batch;
    carina_status status = CARINA_OK;
    progress *line = r->options->progress ? progress_start(r->options->progress, "films", 0, count) : NULL;
    for (r->first = 0; r->first < count && status == CARINA_OK; r->first += batch) {
        uint64_t films = count - r->first < batch ? count - r->first : batch;
        status = run_batch(r, (int)films, error);
        progress_update(line, r->first + films, NULL);
        if (status == CARINA_OK && progress_interrupted())
            status = error_set(error, CARINA_ERROR_CANCELLED, "evaluation interrupted");
    }
    progress_finish(line);
    r->table->patient_count = string_index_count(r->patients);
    return status;
}

carina_status label_run(label_table *out, locator *l, const dataset *set, const label_run_options *options,
                        carina_error *error) {
    int labels = locator_model(l)->model->config.label_count;
    *out = (label_table){0};
    if (labels != ATLAS_LABEL_COUNT)
        return error_set(error, CARINA_ERROR_MISMATCH, "model %s has %d image labels, data sets have %d",
                         locator_name(l), labels, ATLAS_LABEL_COUNT);
    runner r = {.locator = l, .set = set, .options = options, .table = out, .batch = locator_batch(l)};
    carina_status status = label_table_create(out, dataset_count(set), labels, error);
    if (status == CARINA_OK) status = runner_open(&r, error);
    if (status == CARINA_OK) status = run_all(&r, error);
    runner_close(&r);
    if (status != CARINA_OK) label_table_free(out);
    return status;
}
