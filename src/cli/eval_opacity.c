/* `carina eval opacity`: whether the sentences that the lungs retrieve tell films with lung opacity, by radiologists'
 * readings of real films. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/data_word.h"
#include "cli/output.h"
#include "cli/ranking_option.h"
#include "eval/opacity_report.h"
#include "eval/opacity_run.h"
#include "pipeline/interpret.h"

typedef struct opacity_values {
    const char *model, *database, *images, *predictions, *from, *json;
    int64_t limit, threads, resamples, seed;
    int dtype;
    bool cosine, quiet;
} opacity_values;

static const opacity_values defaults = {.resamples = 1000, .seed = 1};

static const option options[] = {
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model to evaluate", offsetof(opacity_values, model), 0, 0},
    {"database", 'd', OPTION_FILE, "FILE", "its sentence database (carina index build)",
     offsetof(opacity_values, database), 0, 0},
    {"images", 0, OPTION_FOLDER, "FOLDER", "films, when they lie elsewhere than the annotations",
     offsetof(opacity_values, images), 0, 0},
    OPTION_COSINE(opacity_values, cosine),
    {"limit", 0, OPTION_INTEGER, "N", "only the first N films, read or not (0: all)", offsetof(opacity_values, limit),
     0, 1e9},
    {"predictions", 0, OPTION_FILE, "FILE", "keep what was retrieved for every film, one JSON object a line",
     offsetof(opacity_values, predictions), 0, 0},
    {"from", 0, OPTION_FILE, "FILE", "print the figures of such a file instead of running a model",
     offsetof(opacity_values, from), 0, 0},
    {"json", 0, OPTION_FILE, "FILE", "write all figures to FILE", offsetof(opacity_values, json), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "type of activations", offsetof(opacity_values, dtype), 0, 0},
    {"resamples", 0, OPTION_INTEGER, "N", "of the bootstrap (0: no intervals)", offsetof(opacity_values, resamples), 0,
     1e5},
    {"seed", 0, OPTION_INTEGER, "N", "of the bootstrap", offsetof(opacity_values, seed), 0, 1e15},
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress line", offsetof(opacity_values, quiet), 0, 0},
    OPTION_THREADS(opacity_values, threads),
    {0},
};

/* ---- figures ---- */

static carina_status report(const opacity_values *v, const opacity_table *table, const opacity_origin *origin,
                            carina_error *error) {
    opacity_report r;
    file_writer *file;
    TRY(opacity_report_make(&r, table, origin, (int)v->resamples, (uint64_t)v->seed, error));
    if (v->json) {
        TRY(file_writer_open(&file, v->json, error));
        json_writer w = json_writer_make(file_writer_stream(file), JSON_PRETTY);
        opacity_report_json(&r, &w);
        TRY(file_writer_commit(file, error));
    }
    opacity_report_print(&r, stdout);
    return CARINA_OK;
}

static carina_status evaluate_file(const opacity_values *v, carina_error *error) {
    opacity_predictions p;
    carina_status status = opacity_predictions_read(&p, v->from, error);
    if (status == CARINA_OK) status = report(v, &p.table, &p.origin, error);
    opacity_predictions_free(&p);
    return status;
}

/* ---- a model, its database, and a set ---- */

typedef struct run {
    const opacity_values *v;
    locator *locator;
    interpreter *interpreter;
    opacity_database *database;
    char print[FINGERPRINT_TEXT]; /* of the database */
    dataset *set;
    opacity_table table;
} run;

static carina_status open_model(run *r, carina_error *error) {
    const locator_options o = {.threads = (int)r->v->threads, .bf16 = r->v->dtype == 1};
    TRY(locator_open(&r->locator, r->v->model, &o, error));
    TRY(interpreter_open(&r->interpreter, r->locator, &(interpreter_options){r->v->database, 1, r->v->cosine}, error));
    const sentence_index *index = interpreter_database(r->interpreter);
    fingerprint_text(r->print, sentence_index_fingerprint(index));
    const sentence_ranking *ranking = interpreter_ranking(r->interpreter);
    ranking_warn(ranking);
    return opacity_database_create(&r->database, index, ranking->weight, locator_regions(r->locator), r->v->database,
                                   error);
}

static carina_status open_set(run *r, const char *word, carina_error *error) {
    dataset_config config;
    char *type;
    TRY(data_word_parse(&config, &type, word, error));
    config.images = r->v->images;
    config.limit = (uint64_t)r->v->limit;
    carina_status status = dataset_open(&r->set, &config, locator_regions(r->locator), error);
    free(type);
    return status;
}

static void close_run(run *r) {
    opacity_table_free(&r->table);
    dataset_free(r->set);
    opacity_database_free(r->database);
    interpreter_close(r->interpreter);
    locator_close(r->locator);
}

/* With every film's answers kept where that is asked for. */
static carina_status run_set(run *r, const opacity_origin *origin, carina_error *error) {
    file_writer *file = NULL;
    opacity_run_options o = {.progress = r->v->quiet ? NULL : "retrieving", .origin = *origin};
    if (r->v->predictions) {
        TRY(file_writer_open(&file, r->v->predictions, error));
        o.predictions = file_writer_stream(file);
    }
    carina_status status = opacity_run(&r->table, r->locator, r->database, r->set, &o, error);
    if (status == CARINA_OK && file) return file_writer_commit(file, error);
    file_writer_abort(file);
    return status;
}

static carina_status evaluate(const opacity_values *v, const char *word, carina_error *error) {
    run r = {.v = v};
    carina_status status = open_model(&r, error);
    if (status == CARINA_OK) status = open_set(&r, word, error);
    if (status == CARINA_OK) {
        const opacity_origin origin = {locator_name(r.locator),
                                       interpreter_fingerprint(r.interpreter),
                                       v->database,
                                       r.print,
                                       word,
                                       sentence_ranking_order(interpreter_ranking(r.interpreter))};
        status = run_set(&r, &origin, error);
        if (status == CARINA_OK) status = report(v, &r.table, &origin, error);
    }
    close_run(&r);
    return status;
}

/* ---- the command line ---- */

static carina_status check_outputs(const opacity_values *v, int count, char *const *words, carina_error *error) {
    const output_file files[] = {{.option = "--predictions", .path = v->predictions, .kind = OUTPUT_JSON},
                                 {.option = "--json", .path = v->json, .kind = OUTPUT_JSON}};
    const output_reading reading = {.paths = (const char *const[]){v->database, v->images, v->from},
                                    .path_count = 3,
                                    .words = words,
                                    .word_count = count,
                                    .with_model = !v->from,
                                    .model = v->model};
    return output_check(files, 2, &reading, error);
}

static carina_status check_word(const char *word, carina_error *error) {
    dataset_config config;
    char *type;
    carina_status status = data_word_parse(&config, &type, word, error);
    if (status == CARINA_OK) status = dataset_check_type(type, error);
    if (status == CARINA_OK && !dataset_has_opacity(type))
        status =
            error_set(error, CARINA_ERROR_ARGUMENT,
                      "nobody has read films of type %s for lung opacity; those of nih_films and nih_boxes are", type);
    free(type);
    return status;
}

static int run_command(const void *values, int count, char *const *words) {
    const opacity_values *v = values;
    carina_error error = {0};
    if (v->from && (count || v->database || v->predictions || v->model || v->images || v->cosine))
        return command_usage(
            "eval opacity: --from reads a file alone: no TYPE=PATH, --database, --predictions, --model, --images or "
            "--cosine");
    if (!v->from && (count != 1 || !v->database))
        return command_usage("eval opacity: needs --database FILE and one TYPE=PATH, or --from FILE");
    if (!v->from && check_word(words[0], &error) != CARINA_OK) return command_usage("eval opacity: %s", error.message);
    progress_catch_interrupts();
    carina_status status = check_outputs(v, count, words, &error);
    if (status == CARINA_OK) status = v->from ? evaluate_file(v, &error) : evaluate(v, words[0], &error);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
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
