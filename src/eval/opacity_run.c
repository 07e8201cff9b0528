/* A data set through a locator, for what the lungs' sentences say; see opacity_run.h. */
#include "eval/opacity_run.h"

#include <stdlib.h>

#include "eval/film_loop.h"

typedef struct runner {
    const opacity_run_options *options;
    opacity_database *database;
    opacity_table *table;
} runner;

static carina_status keep_film(void *context, uint64_t index, const sample *s, const locator_reading *reading,
                               carina_error *error) {
    (void)index;
    runner *r = context;
    opacity_answer answers[OPACITY_REGIONS];
    const char *patient = sample_patient(s);
    if (opacity_database_ask(r->database, reading->features, answers, error) != CARINA_OK)
        return error_prefix(error, "%s", s->id);
    if (r->options->predictions)
        opacity_put_film(r->options->predictions, r->table, s->id, patient, s->opacity == 1, answers);
    return opacity_table_add(r->table, patient, s->opacity == 1, answers, error);
}

/* Which films were read, malloc'ed. */
static carina_status list_read(uint64_t **out, uint64_t *count, const dataset *set, carina_error *error) {
    uint64_t all = dataset_count(set);
    *count = 0;
    *out = malloc(((size_t)all + 1) * sizeof **out);
    if (!*out) return error_memory(error, "films", all * sizeof **out);
    for (uint64_t i = 0; i < all; i++) {
        sample s;
        TRY(dataset_read(set, i, false, &s, error));
        if (s.opacity >= 0) (*out)[(*count)++] = i;
        sample_free(&s);
    }
    if (*count) return CARINA_OK;
    return error_set(error, CARINA_ERROR_MISMATCH, "nobody has read any of these %llu films for lung opacity",
                     (unsigned long long)all);
}

static carina_status run_films(runner *r, film_loop *loop, carina_error *error) {
    r->table->not_read = dataset_count(loop->set) - loop->count;
    if (r->options->predictions) opacity_put_origin(r->options->predictions, &r->options->origin, r->table);
    return film_loop_run(loop, error);
}

carina_status opacity_run(opacity_table *out, locator *l, opacity_database *database, const dataset *set,
                          const opacity_run_options *options, carina_error *error) {
    uint64_t *films = NULL;
    runner r = {options, database, out};
    film_loop loop = {.locator = l, .set = set, .progress = options->progress, .take = keep_film, .context = &r};
    carina_status status = opacity_table_create(out, opacity_database_answers(database), error);
    if (status == CARINA_OK) status = list_read(&films, &loop.count, set, error);
    loop.films = films;
    if (status == CARINA_OK) status = run_films(&r, &loop, error);
    if (status != CARINA_OK) opacity_table_free(out);
    free(films);
    return status;
}
