/* `carina eval locate`: how well a model finds the regions of annotated sets. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/data_word.h"
#include "cli/output.h"
#include "data/dataset.h"
#include "eval/report.h"
#include "pipeline/locate.h"
#include "pipeline/model_path.h"

typedef struct eval_values {
    const char *model, *images, *split, *constant, *json;
    int64_t limit, batch, threads, resamples, seed;
    int dtype;
    bool mirrored, own_split_only, quiet;
} eval_values;

static const eval_values defaults = {.batch = 4, .resamples = 1000, .seed = 1};

static const option options[] = {
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model to evaluate", offsetof(eval_values, model), 0, 0},
    {"mirrored", 0, OPTION_FLAG, NULL, "evaluate every film flipped left to right as well",
     offsetof(eval_values, mirrored), 0, 0},
    {"split", 0, OPTION_TEXT, "NAME", "train, valid, test or all (chest_imagenome; default test)",
     offsetof(eval_values, split), 0, 0},
    {"images", 0, OPTION_FOLDER, "FOLDER", "films, when they lie elsewhere than the annotations",
     offsetof(eval_values, images), 0, 0},
    {"own-split-only", 0, OPTION_FLAG, NULL, "do not ask that MIMIC-CXR's split agrees",
     offsetof(eval_values, own_split_only), 0, 0},
    {"limit", 0, OPTION_INTEGER, "N", "only the first N films of each set (0: all)", offsetof(eval_values, limit), 0,
     1e9},
    {"constant", 0, OPTION_TEXT, "TYPE=PATH",
     "set whose mean boxes are the constant guess (its train split; default: "
     "each evaluated set itself, the strongest such guess)",
     offsetof(eval_values, constant), 0, 0},
    {"json", 0, OPTION_FILE, "FILE", "write all figures to FILE", offsetof(eval_values, json), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "type of activations", offsetof(eval_values, dtype), 0, 0},
    {"batch", 0, OPTION_INTEGER, "N", "films computed at once", offsetof(eval_values, batch), 1, 256},
    {"resamples", 0, OPTION_INTEGER, "N", "of the bootstrap (0: no intervals)", offsetof(eval_values, resamples), 0,
     1e5},
    {"seed", 0, OPTION_INTEGER, "N", "of the bootstrap", offsetof(eval_values, seed), 0, 1e15},
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress line", offsetof(eval_values, quiet), 0, 0},
    OPTION_THREADS(eval_values, threads),
    {0},
};

/* What is measured is what `carina locate` gives. The model gives every box, so `found` stays as it is. */
static carina_status predict(void *context, const image *films, int count, float *boxes, bool *found,
                             carina_error *error) {
    const image *pictures[LOCATOR_MOST_FILMS];
    (void)found;
    for (int i = 0; i < count; i++) pictures[i] = &films[i];
    return locator_boxes(context, pictures, count, boxes, error);
}

/* ---- one set ---- */

/* "TYPE=PATH" to a configuration; *type is malloc'ed. */
static carina_status set_of_word(dataset_config *out, char **type, const char *word, const eval_values *v,
                                 carina_error *error) {
    TRY(data_word_parse(out, type, word, error));
    out->images = v->images;
    out->split = v->split ? v->split : "test";
    out->limit = (uint64_t)v->limit;
    out->own_split_only = v->own_split_only;
    return CARINA_OK;
}

static carina_status fit_constant(eval_constant *out, const eval_values *v, const dataset *set, const atlas *regions,
                                  carina_error *error) {
    if (!v->constant) return eval_constant_fit(out, set, error);
    dataset_config config;
    dataset *other = NULL;
    char *type = NULL;
    carina_status status = set_of_word(&config, &type, v->constant, v, error);
    if (status == CARINA_OK) {
        config.split = "train";
        config.limit = 0;
        config.images = NULL;
        status = dataset_open(&other, &config, regions, error);
    }
    if (status == CARINA_OK) status = eval_constant_fit(out, other, error);
    dataset_free(other);
    free(type);
    return status;
}

static carina_status evaluate(locator *l, const char *word, const eval_values *v, json_writer *json,
                              carina_error *error) {
    dataset_config config;
    char *type = NULL;
    dataset *set = NULL;
    eval_constant *constant = calloc(1, sizeof *constant);
    eval_run runs[2] = {0};
    eval_report *report = NULL;
    carina_status status = constant ? CARINA_OK : error_memory(error, word, sizeof *constant);
    if (status == CARINA_OK) status = set_of_word(&config, &type, word, v, error);
    if (status == CARINA_OK) status = dataset_open(&set, &config, locator_regions(l), error);
    if (status == CARINA_OK) status = fit_constant(constant, v, set, locator_regions(l), error);
    for (int i = 0; i < (v->mirrored ? 2 : 1) && status == CARINA_OK; i++) {
        eval_run_options o = {.mirrored = i == 1,
                              .batch = locator_batch(l),
                              .constant = constant,
                              .progress = v->quiet ? NULL
                                          : i      ? "mirrored"
                                                   : "locating"};
        status = eval_run_locate(&runs[i], set, predict, l, &o, error);
    }
    eval_report_options o = {.set = word,
                             .constant_from = v->constant ? v->constant : "the evaluated set itself",
                             .resamples = (int)v->resamples,
                             .seed = (uint64_t)v->seed};
    if (status == CARINA_OK) status = eval_report_create(&report, &runs[0], v->mirrored ? &runs[1] : NULL, &o, error);
    if (status == CARINA_OK) {
        eval_report_print(report, stdout);
        if (json) eval_report_json(report, json);
    }
    eval_report_free(report);
    eval_run_free(&runs[0]);
    eval_run_free(&runs[1]);
    dataset_free(set);
    free(constant);
    free(type);
    return status;
}

/* Everything that the command line alone tells: known before a model is loaded. */
static carina_status check_word(const char *word, const eval_values *v, carina_error *error) {
    dataset_config config;
    char *type = NULL;
    TRY(set_of_word(&config, &type, word, v, error));
    carina_status status = dataset_check_type(type, error);
    free(type);
    return status;
}

static carina_status check_words(const eval_values *v, int count, char *const *words, carina_error *error) {
    for (int i = 0; i < count; i++) TRY(check_word(words[i], v, error));
    if (v->constant && check_word(v->constant, v, error) != CARINA_OK) return error_prefix(error, "--constant");
    if (v->split && dataset_check_split(v->split, error) != CARINA_OK) return error_prefix(error, "--split");
    return CARINA_OK;
}

static carina_status check_output(const eval_values *v, int count, char *const *words, carina_error *error) {
    const output_file file = {.option = "--json", .path = v->json, .kind = OUTPUT_JSON};
    const char *constant = v->constant ? strchr(v->constant, '=') + 1 : NULL; /* check_words has seen it */
    const output_reading reading = {.paths = (const char *const[]){v->images, constant},
                                    .path_count = 2,
                                    .words = words,
                                    .word_count = count,
                                    .with_model = true,
                                    .model = v->model};
    return output_check(&file, 1, &reading, error);
}

static carina_status run_all(const eval_values *v, int count, char *const *words, carina_error *error) {
    locator *l = NULL;
    const locator_options how = {.threads = (int)v->threads, .bf16 = v->dtype == 1, .batch = (int)v->batch};
    file_writer *file = NULL;
    json_writer json;
    carina_status status = check_output(v, count, words, error);
    if (status == CARINA_OK) status = locator_open(&l, v->model, &how, error);
    if (status == CARINA_OK && v->json) status = file_writer_open(&file, v->json, error);
    if (status == CARINA_OK && file) {
        json = json_writer_make(file_writer_stream(file), JSON_PRETTY);
        json_begin_object(&json);
        json_field_text(&json, "model", v->model ? v->model : MODEL_PATH_DEFAULT);
        json_key(&json, "sets");
        json_begin_array(&json);
    }
    for (int i = 0; i < count && status == CARINA_OK; i++) {
        if (i) putchar('\n');
        status = evaluate(l, words[i], v, file ? &json : NULL, error);
    }
    if (status == CARINA_OK && file) {
        json_end(&json);
        json_end(&json);
        status = file_writer_commit(file, error);
    } else {
        file_writer_abort(file);
    }
    locator_close(l);
    return status;
}

static int run(const void *values, int count, char *const *arguments) {
    carina_error error = {0};
    const eval_values *v = values;
    if (check_words(v, count, arguments, &error) != CARINA_OK)
        return command_usage("eval locate: %s; see `carina eval locate --help`", error.message);
    progress_catch_interrupts();
    return run_all(v, count, arguments, &error) == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

const command command_eval_locate = {
    .name = "eval locate",
    .summary = "measure how well a model finds the regions of annotated films",
    .arguments = "TYPE=PATH...",
    .description =
        "Each TYPE=PATH names a data set: chest_imagenome=FOLDER (real, or made by `carina data phantom`) or\n"
        "nih_boxes=FOLDER. Prints boxes, IoU and mAP for every region, for left and right together, over all\n"
        "regions, and by sex, age, view and equipment, with 95 % intervals from resampling patients, and beside\n"
        "each figure what a constant guess reaches. Boxes marked unsure are scored with and without.\n",
    .examples =
        "carina eval locate --model best.safetensors --mirrored chest_imagenome=data/phantom\n"
        "carina eval locate --constant chest_imagenome=data/phantom --json nih.json nih_boxes=../shared/data/nih\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run,
};
