/* `carina eval retrieval`: how well a model's region features find the true sentences in its database. */
#include <stddef.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/sentence_eval.h"
#include "eval/retrieval_report.h"
#include "eval/retrieval_run.h"

static const sentence_eval_values defaults = {.split = "test", .batch = 4, .resamples = 1000, .seed = 1};

static const option options[] = {
    SENTENCE_EVAL_OPTIONS_FIRST,
    SENTENCE_EVAL_OPTION("split", 0, OPTION_TEXT, "NAME", "train, valid, test or all (default test)", split, 0, 0),
    SENTENCE_EVAL_OPTION("own-split-only", 0, OPTION_FLAG, NULL, "do not ask that MIMIC-CXR's split agrees",
                         own_split_only, 0, 0),
    SENTENCE_EVAL_OPTION("limit", 0, OPTION_INTEGER, "N", "only the first N films (0: all)", limit, 0, 1e9),
    SENTENCE_EVAL_OPTION("batch", 0, OPTION_INTEGER, "N", "films computed at once", batch, 1, 256),
    SENTENCE_EVAL_OPTIONS_LAST,
    {0},
};

typedef struct retrieval_result {
    const char *title;
    retrieval_predictions made;
} retrieval_result;

static carina_status measure(void *result, const sentence_eval_run *r, FILE *predictions, carina_error *error) {
    retrieval_result *out = result;
    const sentence_ranking *ranking = interpreter_ranking(r->interpreter);
    out->title = r->word;
    out->made.regions = locator_regions(r->locator);
    const retrieval_run_options o = {
        .progress = r->v->quiet ? NULL : "retrieving",
        .predictions = predictions,
        .origin = {out->made.regions->name, locator_name(r->locator), interpreter_fingerprint(r->interpreter),
                   r->database, r->word, ranking->order}};
    TRY(retrieval_collector_create(&out->made.collector, ranking, ranking->order, out->made.regions, error));
    return retrieval_run(&out->made, r->locator, r->set, &o, error);
}

static carina_status read_kept(void *result, const char *path, carina_error *error) {
    retrieval_result *out = result;
    out->title = path;
    return retrieval_predictions_read(&out->made, path, error);
}

static carina_status report(const void *result, const sentence_eval_values *v, json_writer *json, carina_error *error) {
    const retrieval_result *from = result;
    retrieval_report *r;
    TRY(retrieval_report_create(&r, from->title, &from->made, (int)v->resamples, (uint64_t)v->seed, error));
    if (json) retrieval_report_json(r, json);
    retrieval_report_print(r, stdout);
    free(r);
    return CARINA_OK;
}

static void free_result(void *result) { retrieval_predictions_free(&((retrieval_result *)result)->made); }

static carina_status check(const sentence_eval_values *v, const char *type, carina_error *error) {
    (void)type;
    return dataset_check_split(v->split, error);
}

static int run_command(const void *values, int count, char *const *words) {
    static const sentence_eval e = {.name = "eval retrieval",
                                    .sentences = true,
                                    .result_size = sizeof(retrieval_result),
                                    .check = check,
                                    .measure = measure,
                                    .read = read_kept,
                                    .report = report,
                                    .free = free_result};
    return sentence_eval_main(&e, values, count, words);
}

const command command_eval_retrieval = {
    .name = "eval retrieval",
    .summary = "measure how well a model's regions find their true sentences",
    .arguments = "TYPE=PATH",
    .description =
        "Retrieves a sentence for every region with a box of a data set's films, and prints Recall@1, 5 and 10,\n"
        "Precision@k and MRR (overall, by region, by sentence), how many are exactly right where a region is healthy\n"
        "and where it is not, beside what always saying \"healthy\" gets right, and the F1 of every finding, with\n"
        "95 % intervals from resampling patients. A true sentence that the database lacks counts as missed.\n"
        "Sentences are ranked by the model's calibration (carina eval calibrate --database), by cosine where it has\n"
        "none or with --cosine.\n",
    .examples =
        "carina eval retrieval -m best.safetensors -d phantom.sentences chest_imagenome=data/phantom\n"
        "carina eval retrieval -d phantom.sentences --predictions test.jsonl chest_imagenome=data/phantom\n"
        "carina eval retrieval --from test.jsonl --json figures.json\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 0,
    .most = 1,
    .run = run_command,
};
