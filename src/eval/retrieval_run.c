/* A data set through a locator, for what its regions retrieve; see retrieval_run.h. */
#include "eval/retrieval_run.h"

#include "eval/film_loop.h"

typedef struct runner {
    retrieval_predictions *out;
    const atlas *regions;
    int width; /* of a region's feature */
    FILE *predictions;
} runner;

static carina_status keep_region(runner *r, const sample *s, int region, const float *feature, carina_error *error) {
    const char *patient = sample_patient(s), *truth = s->sentences[region];
    retrieval_answer answer;
    TRY(retrieval_collector_ask(r->out->collector, region, feature, truth, &answer, error));
    TRY(retrieval_collector_add_ranked(r->out->collector, patient, region, truth, &answer, error));
    if (r->predictions)
        retrieval_put_item(r->predictions, s->id, patient, r->regions->regions[region].name, truth, &answer);
    return CARINA_OK;
}

static carina_status keep_film(void *context, uint64_t index, const sample *s, const locator_reading *reading,
                               carina_error *error) {
    (void)index;
    runner *r = context;
    bool any = false;
    for (int i = 0; i < r->regions->region_count; i++) {
        if (!s->sentences[i]) continue;
        any = true;
        if (keep_region(r, s, i, reading->features + i * r->width, error) != CARINA_OK)
            return error_prefix(error, "%s", s->id);
    }
    r->out->films += any;
    return CARINA_OK;
}

carina_status retrieval_run(retrieval_predictions *out, locator *l, const dataset *set,
                            const retrieval_run_options *options, carina_error *error) {
    runner r = {out, locator_regions(l), locator_model(l)->model->config.feature_size, options->predictions};
    const film_loop loop = {.locator = l,
                            .set = set,
                            .count = dataset_count(set),
                            .progress = options->progress,
                            .take = keep_film,
                            .context = &r};
    if (options->predictions) retrieval_put_origin(options->predictions, &options->origin);
    return film_loop_run(&loop, error);
}
