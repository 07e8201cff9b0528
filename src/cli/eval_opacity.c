/* `carina eval opacity`: whether the sentences that the lungs retrieve tell films with lung opacity, by radiologists'
 * readings of real films. */
#include <stddef.h>

#include "cli/command.h"
#include "cli/sentence_eval.h"
#include "eval/opacity_report.h"
#include "eval/opacity_run.h"

static const sentence_eval_values defaults = {.resamples = 1000, .seed = 1};

static const option options[] = {
    SENTENCE_EVAL_OPTIONS_FIRST,
    SENTENCE_EVAL_OPTION("limit", 0, OPTION_INTEGER, "N", "only the first N films, read or not (0: all)", limit, 0,
                         1e9),
    SENTENCE_EVAL_OPTIONS_LAST,
    {0},
};

/* Kept predictions own the origin's texts, those of a run are the run's. */
static carina_status measure(void *result, const sentence_eval_run *r, FILE *predictions, carina_error *error) {
    opacity_predictions *p = result;
    const sentence_ranking *ranking = interpreter_ranking(r->interpreter);
    opacity_database *database;
    p->origin = (opacity_origin){locator_name(r->locator),
                                 interpreter_fingerprint(r->interpreter),
                                 r->database,
                                 r->database_print,
                                 r->word,
                                 ranking->order};
    const opacity_run_options o = {r->v->quiet ? NULL : "retrieving", predictions, p->origin};
    TRY(opacity_database_create(&database, ranking, locator_regions(r->locator), r->database, error));
    carina_status status = opacity_run(&p->table, r->locator, database, r->set, &o, error);
    opacity_database_free(database);
    return status;
}

static carina_status read_kept(void *result, const char *path, carina_error *error) {
    return opacity_predictions_read(result, path, error);
}

static carina_status report(const void *result, const sentence_eval_values *v, json_writer *json, carina_error *error) {
    const opacity_predictions *p = result;
    opacity_report r;
    TRY(opacity_report_make(&r, &p->table, &p->origin, (int)v->resamples, (uint64_t)v->seed, error));
    if (json) opacity_report_json(&r, json);
    opacity_report_print(&r, stdout);
    return CARINA_OK;
}

static void free_result(void *result) { opacity_predictions_free(result); }

static carina_status check(const sentence_eval_values *v, const char *type, carina_error *error) {
    (void)v;
    if (dataset_has_opacity(type)) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT,
                     "nobody has read films of type %s for lung opacity; those of nih_films and nih_boxes are", type);
}

static int run_command(const void *values, int count, char *const *words) {
    static const sentence_eval e = {.name = "eval opacity",
                                    .result_size = sizeof(opacity_predictions),
                                    .check = check,
                                    .measure = measure,
                                    .read = read_kept,
                                    .report = report,
                                    .free = free_result};
    return sentence_eval_main(&e, values, count, words);
}

const command command_eval_opacity = {
    .name = "eval opacity",
    .summary = "measure whether the lungs' sentences tell real films with lung opacity",
    .arguments = "TYPE=PATH",
    .description =
        "Reads the films of a set that radiologists read for lung opacity (RSNA 2018; nih_films and nih_boxes), and\n"
        "takes for each lung and lung zone how much nearer its feature lies to a sentence that shows an opacity than\n"
        "to \"is healthy\"; the largest is the film's score. Prints its AUC, and the sensitivity and specificity of\n"
        "what the first sentences say, with 95 % intervals from resampling patients, for the film and for each\n"
        "region alone. Films that nobody read are left out, and counted. src/eval/opacity.h defines every figure.\n"
        "The first sentence is that of the model's calibration (carina eval calibrate --database), the nearest where "
        "it\n"
        "has none or with --cosine; scores, and so the AUC, are differences of cosines always.\n",
    .examples =
        "carina eval opacity -m best.safetensors -d best.sentences nih_films=../shared/data/nih\n"
        "carina eval opacity -d phantom.sentences --predictions nih.jsonl nih_films=../shared/data/nih\n"
        "carina eval opacity --from nih.jsonl --json figures.json\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 1,
    .run = run_command,
};
