/* A data set through a locator, for its labels; see label_run.h. */
#include "eval/label_run.h"

#include <math.h>

#include "data/string_index.h"

typedef struct runner {
    const label_run_options *options;
    label_table *table;
    string_index *patients;
} runner;

static float truth_of(float label, const label_run_options *o) {
    static const float meant[] = {[LABEL_UNKNOWN] = NAN, [LABEL_ABSENT] = 0, [LABEL_PRESENT] = 1};
    if (isnan(label)) return meant[o->not_mentioned];
    if (label < 0) return meant[o->uncertain];
    return label > 0.5f ? 1 : 0;
}

static carina_status keep_film(void *context, uint64_t index, const sample *s, const locator_reading *reading,
                               carina_error *error) {
    runner *r = context;
    uint64_t row = index * (uint64_t)r->table->label_count;
    const char *patient = sample_patient(s);
    for (int k = 0; k < r->table->label_count; k++) {
        r->table->logits[row + (uint64_t)k] = reading->image_logits[k];
        r->table->truths[row + (uint64_t)k] = truth_of(s->labels[k], r->options);
    }
    TRY(string_index_number(r->patients, patient, &r->table->patients[index], NULL, error));
    if (r->options->predictions)
        label_put_film(r->options->predictions, s->id, patient, r->table->logits + row, r->table->truths + row,
                       r->table->label_count);
    return r->options->also ? r->options->also(r->options->also_context, index, s, reading, error) : CARINA_OK;
}

carina_status label_run(label_table *out, locator *l, const dataset *set, const label_run_options *options,
                        carina_error *error) {
    int labels = locator_model(l)->model->config.label_count;
    *out = (label_table){0};
    if (labels != ATLAS_LABEL_COUNT)
        return error_set(error, CARINA_ERROR_MISMATCH, "model %s has %d image labels, data sets have %d",
                         locator_name(l), labels, ATLAS_LABEL_COUNT);
    runner r = {.options = options, .table = out};
    const film_loop loop = {.locator = l,
                            .set = set,
                            .count = dataset_count(set),
                            .progress = options->progress,
                            .take = keep_film,
                            .context = &r};
    carina_status status = label_table_create(out, dataset_count(set), labels, error);
    if (status == CARINA_OK) status = string_index_create(&r.patients, error);
    if (status == CARINA_OK) status = film_loop_run(&loop, error);
    if (status == CARINA_OK) out->patient_count = string_index_count(r.patients);
    string_index_free(r.patients);
    if (status != CARINA_OK) label_table_free(out);
    return status;
}
