/* `carina eval labels` and `carina eval calibrate`: how well a model tells the image labels of a set, and fitting the
 * temperatures and thresholds that turn its logits into probabilities and yes or no, and its cosines into probabilities
 * of sentences. */
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/fingerprint.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/data_word.h"
#include "cli/output.h"
#include "data/dataset.h"
#include "eval/label_report.h"
#include "eval/label_run.h"
#include "model/model_file.h"
#include "model/model_fingerprint.h"
#include "pipeline/interpret.h"

typedef struct label_values {
    const char *model, *database, *out, *images, *split, *allow_split, *json, *predictions, *from;
    int64_t limit, least, threads, resamples, seed;
    int dtype, uncertain, not_mentioned;
    bool own_split_only, quiet;
} label_values;

static const label_values label_defaults = {.split = "test", .resamples = 1000, .seed = 1};
static const label_values calibrate_defaults = {
    .split = "valid", .least = CALIBRATE_LEAST, .resamples = 1000, .seed = 1};

/* ---- one set ---- */

typedef struct measured {
    locator *locator;
    char print[FINGERPRINT_TEXT];
    calibration calibration; /* the model's own, or what is fitted */
    label_table table;
    interpreter *interpreter; /* of the database; NULL: none was given */
    sentence_cases cases;
    sentence_fit sentences;
} measured;

static carina_status open_model(measured *m, const label_values *v, carina_error *error) {
    const locator_options o = {.threads = (int)v->threads, .bf16 = v->dtype == 1};
    TRY(locator_open(&m->locator, v->model, &o, error));
    fingerprint_text(m->print, model_fingerprint(locator_model(m->locator)->model->parameters));
    TRY(calibration_read(&m->calibration, locator_model(m->locator), locator_path(m->locator), error));
    if (!v->database) return CARINA_OK;
    const interpreter_options with = {.database = v->database, .top = 1};
    TRY(interpreter_open(&m->interpreter, m->locator, &with, error));
    m->cases.index = interpreter_database(m->interpreter);
    m->cases.regions = locator_regions(m->locator);
    return CARINA_OK;
}

static void close_measured(measured *m) {
    label_table_free(&m->table);
    sentence_cases_free(&m->cases);
    interpreter_close(m->interpreter);
    locator_close(m->locator);
    free(m);
}

static carina_status keep_sentences(void *context, uint64_t index, const sample *s, const locator_reading *reading,
                                    carina_error *error) {
    sentence_cases *cases = context;
    int width = sentence_index_width(cases->index);
    (void)index;
    for (int r = 0; r < cases->regions->region_count; r++)
        if (s->sentences[r] &&
            sentence_cases_add(cases, r, reading->features + r * width, s->sentences[r], error) != CARINA_OK)
            return error_prefix(error, "%s", s->id);
    return CARINA_OK;
}

static carina_status run_set(measured *m, const char *word, const label_values *v, FILE *predictions,
                             carina_error *error) {
    static const label_meaning uncertain[] = {LABEL_UNKNOWN, LABEL_ABSENT, LABEL_PRESENT};
    static const label_meaning not_mentioned[] = {LABEL_ABSENT, LABEL_UNKNOWN};
    dataset_config config;
    dataset *set = NULL;
    char *type = NULL;
    TRY(data_word_parse(&config, &type, word, error));
    config.images = v->images;
    config.split = v->split;
    config.limit = (uint64_t)v->limit;
    config.own_split_only = v->own_split_only;
    config.sentences = m->interpreter != NULL;
    const label_run_options o = {.uncertain = uncertain[v->uncertain],
                                 .not_mentioned = not_mentioned[v->not_mentioned],
                                 .progress = v->quiet ? NULL : "reading",
                                 .predictions = predictions,
                                 .also = m->interpreter ? keep_sentences : NULL,
                                 .also_context = &m->cases};
    carina_status status = dataset_open(&set, &config, locator_regions(m->locator), error);
    if (status == CARINA_OK) status = label_run(&m->table, m->locator, set, &o, error);
    dataset_free(set);
    free(type);
    return status;
}

static carina_status report(const measured *m, const char *word, const label_values *v,
                            const calibrate_outcome *outcomes, json_writer *json, carina_error *error) {
    const label_report_options o = {.set = word,
                                    .model = locator_name(m->locator),
                                    .model_fingerprint = m->print,
                                    .resamples = (int)v->resamples,
                                    .seed = (uint64_t)v->seed,
                                    .outcomes = outcomes,
                                    .sentences = m->interpreter ? &m->sentences : NULL};
    label_report *r;
    TRY(label_report_create(&r, &m->table, &m->calibration, &o, error));
    label_report_print(r, stdout);
    if (json) label_report_json(r, json);
    label_report_free(r);
    return CARINA_OK;
}

/* The same, with every film's logits kept where that is asked for. */
static carina_status run_and_keep(measured *m, const char *word, const label_values *v, carina_error *error) {
    file_writer *file;
    if (!v->predictions) return run_set(m, word, v, NULL, error);
    const label_origin origin = {locator_name(m->locator), m->print, word};
    TRY(file_writer_open(&file, v->predictions, error));
    carina_status status = label_put_origin(file_writer_stream(file), &origin, &m->calibration, error);
    if (status == CARINA_OK) status = run_set(m, word, v, file_writer_stream(file), error);
    if (status == CARINA_OK) return file_writer_commit(file, error);
    file_writer_abort(file);
    return status;
}

static int check_words(const char *name, const label_values *v, int count, char *const *words) {
    carina_error error = {0};
    carina_status status = dataset_check_split(v->split, &error);
    for (int i = 0; i < count && status == CARINA_OK; i++) {
        dataset_config config;
        char *type;
        status = data_word_parse(&config, &type, words[i], &error);
        if (status == CARINA_OK) status = dataset_check_type(type, &error);
        free(type);
    }
    return status == CARINA_OK ? COMMAND_OK : command_usage("%s: %s", name, error.message);
}

static carina_status check_outputs(const label_values *v, int count, char *const *words, carina_error *error) {
    const output_file files[] = {
        {.option = "--out", .path = v->out, .kind = OUTPUT_MODEL, .onto_model = true},
        {.option = "--predictions", .path = v->predictions, .kind = OUTPUT_JSON},
        {.option = "--json", .path = v->json, .kind = OUTPUT_JSON},
    };
    const output_reading reading = {.paths = (const char *const[]){v->images, v->from, v->database},
                                    .path_count = 3,
                                    .words = words,
                                    .word_count = count,
                                    .with_model = !v->from,
                                    .model = v->model};
    return output_check(files, 3, &reading, error);
}

/* ---- labels ---- */

static carina_status run_sets(const label_values *v, int count, char *const *words, json_writer *json,
                              carina_error *error) {
    measured *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, "labels", sizeof *m);
    carina_status status = open_model(m, v, error);
    for (int i = 0; i < count && status == CARINA_OK; i++) {
        if (i) putchar('\n');
        status = run_and_keep(m, words[i], v, error);
        if (status == CARINA_OK) status = report(m, words[i], v, NULL, json, error);
        label_table_free(&m->table);
    }
    close_measured(m);
    return status;
}

static carina_status run_file(const label_values *v, json_writer *json, carina_error *error) {
    label_predictions *p = calloc(1, sizeof *p);
    label_report *r = NULL;
    if (!p) return error_memory(error, v->from, sizeof *p);
    carina_status status = label_predictions_read(p, v->from, error);
    const label_report_options o = {.set = p->set,
                                    .model = p->model,
                                    .model_fingerprint = p->model_fingerprint,
                                    .resamples = (int)v->resamples,
                                    .seed = (uint64_t)v->seed};
    if (status == CARINA_OK) status = label_report_create(&r, &p->table, &p->calibration, &o, error);
    if (status == CARINA_OK) {
        label_report_print(r, stdout);
        if (json) label_report_json(r, json);
    }
    label_report_free(r);
    label_predictions_free(p);
    free(p);
    return status;
}

static carina_status run_any(const label_values *v, int count, char *const *words, json_writer *json,
                             carina_error *error) {
    return v->from ? run_file(v, json, error) : run_sets(v, count, words, json, error);
}

static carina_status measure(const label_values *v, int count, char *const *words, carina_error *error) {
    file_writer *file;
    TRY(check_outputs(v, count, words, error));
    if (!v->json) return run_any(v, count, words, NULL, error);
    TRY(file_writer_open(&file, v->json, error));
    json_writer json = json_writer_make(file_writer_stream(file), JSON_PRETTY);
    json_begin_object(&json);
    json_key(&json, "sets");
    json_begin_array(&json);
    carina_status status = run_any(v, count, words, &json, error);
    if (status != CARINA_OK) {
        file_writer_abort(file);
        return status;
    }
    json_end(&json);
    json_end(&json);
    return file_writer_commit(file, error);
}

static int run_labels(const void *values, int count, char *const *words) {
    carina_error error = {0};
    const label_values *v = values;
    int usage = check_words("eval labels", v, count, words);
    if (usage != COMMAND_OK) return usage;
    if (v->from && (count || v->predictions || v->model || v->images))
        return command_usage(
            "eval labels: --from reads a file alone: no TYPE=PATH, --predictions, --model or --images");
    if (!v->from && count < 1) return command_usage("eval labels: needs TYPE=PATH, or --from FILE");
    if (v->predictions && count > 1) return command_usage("eval labels: --predictions keeps those of one TYPE=PATH");
    progress_catch_interrupts();
    return measure(v, count, words, &error) == CARINA_OK ? COMMAND_OK : command_fail(&error);
}

/* ---- calibrate ---- */

static carina_status fit(measured *m, calibrate_outcome *outcomes, const char *word, const label_values *v,
                         carina_error *error) {
    calibration *c = &m->calibration;
    const sentence_calibration before = c->sentences;
    calibration_clear(c, m->table.label_count);
    snprintf(c->fitted_on, sizeof c->fitted_on, "%s %s, %" PRIu64 " films", word, v->split, m->table.film_count);
    c->sentences = before; /* without a database the model keeps what it has */
    if (m->interpreter) {
        TRY(sentence_fit_make(&m->sentences, &m->cases, locator_threads(m->locator), (uint64_t)v->least, error));
        c->sentences = m->sentences.fitted;
        memcpy(c->sentences.fitted_on, c->fitted_on, sizeof c->fitted_on);
    }
    for (int k = 0; k < m->table.label_count; k++) {
        label_column column;
        TRY(label_column_create(&column, &m->table, k, error));
        outcomes[k] = calibrate_label(c, k, &column, (uint64_t)v->least);
        label_column_free(&column);
    }
    return CARINA_OK;
}

static carina_status write_model(const measured *m, const label_values *v, carina_error *error) {
    if (!m->calibration.fitted && !m->sentences.fitted.fitted)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "no label %scould be fitted on these films: %s is not written; --least N asks for fewer films",
                         m->interpreter ? "and no sentence " : "", v->out);
    char *text;
    TRY(calibration_text(&text, &m->calibration, error));
    const model_file_note note = {CALIBRATION_KEY, text};
    carina_status status = model_file_annotate(v->out, locator_path(m->locator), note, error);
    free(text);
    return status;
}

static carina_status write_json(const measured *m, const char *word, const label_values *v,
                                const calibrate_outcome *outcomes, carina_error *error) {
    file_writer *file = NULL;
    json_writer json;
    if (v->json) {
        TRY(file_writer_open(&file, v->json, error));
        json = json_writer_make(file_writer_stream(file), JSON_PRETTY);
    }
    carina_status status = report(m, word, v, outcomes, file ? &json : NULL, error);
    if (status == CARINA_OK && file) return file_writer_commit(file, error);
    file_writer_abort(file);
    return status;
}

static carina_status calibrate(const label_values *v, char *const *words, carina_error *error) {
    calibrate_outcome outcomes[ATLAS_LABEL_COUNT];
    TRY(check_outputs(v, 1, words, error));
    measured *m = calloc(1, sizeof *m);
    if (!m) return error_memory(error, "labels", sizeof *m);
    carina_status status = open_model(m, v, error);
    if (status == CARINA_OK) status = run_set(m, words[0], v, NULL, error);
    if (status == CARINA_OK) status = fit(m, outcomes, words[0], v, error);
    if (status == CARINA_OK) status = write_json(m, words[0], v, outcomes, error);
    if (status == CARINA_OK) status = write_model(m, v, error);
    close_measured(m);
    return status;
}

/* With a database, films must say something of their regions. */
static int check_sentences(const label_values *v, const char *word) {
    char type[64];
    snprintf(type, sizeof type, "%.*s", (int)strcspn(word, "="), word);
    if (!v->database || dataset_has_sentences(type)) return COMMAND_OK;
    return command_usage("eval calibrate: --database is for films whose reports say something of their regions, not %s",
                         type);
}

/* Weights were moved by the training films, and models are measured on the test films: neither is for fitting. */
static int check_split(const label_values *v, const char *word) {
    size_t type_length = strcspn(word, "=");
    char type[64];
    snprintf(type, sizeof type, "%.*s", (int)type_length, word);
    if (!dataset_has_splits(type)) {
        if (v->allow_split && strcmp(v->allow_split, "all") == 0 && strcmp(v->split, "all") == 0) return COMMAND_OK;
        return command_usage(
            "eval calibrate: %s has no validation split, and models are measured on its films; "
            "--split all --allow-split all takes them all the same",
            type);
    }
    if (strncmp(v->split, "valid", 5) == 0) return COMMAND_OK;
    if (v->allow_split && strcmp(v->allow_split, v->split) == 0) return COMMAND_OK;
    return command_usage(
        "eval calibrate: --split %s: models are trained or measured on these films, and what is fitted "
        "on them would look better than it is; --split %s --allow-split %s takes them all the same",
        v->split, v->split, v->split);
}

static int run_calibrate(const void *values, int count, char *const *words) {
    carina_error error = {0};
    const label_values *v = values;
    int usage = check_words("eval calibrate", v, count, words);
    if (usage == COMMAND_OK) usage = check_split(v, words[0]);
    if (usage == COMMAND_OK) usage = check_sentences(v, words[0]);
    if (usage != COMMAND_OK) return usage;
    if (!v->out) return command_usage("eval calibrate: --out FILE is required");
    progress_catch_interrupts();
    if (calibrate(v, words, &error) != CARINA_OK) return command_fail(&error);
    printf("%s\n", v->out);
    return COMMAND_OK;
}

/* ---- options ---- */

/* What both commands have. */
/* clang-format off */
#define LABEL_OPTIONS                                                                                                \
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model to run", offsetof(label_values, model), 0, 0},                   \
    {"images", 0, OPTION_FOLDER, "FOLDER", "films, when they lie elsewhere than the annotations",                    \
     offsetof(label_values, images), 0, 0},                                                                          \
    {"own-split-only", 0, OPTION_FLAG, NULL, "do not ask that MIMIC-CXR's split agrees",                             \
     offsetof(label_values, own_split_only), 0, 0},                                                                  \
    {"limit", 0, OPTION_INTEGER, "N", "only the first N films of each set (0: all)", offsetof(label_values, limit),  \
     0, 1e9},                                                                                                        \
    {"uncertain", 0, OPTION_CHOICE, "mask|0|1", "what a label marked uncertain counts as (mask: left out)",          \
     offsetof(label_values, uncertain), 0, 0},                                                                       \
    {"not-mentioned", 0, OPTION_CHOICE, "0|mask", "what a label that the report is silent on counts as",             \
     offsetof(label_values, not_mentioned), 0, 0},                                                                   \
    {"json", 0, OPTION_FILE, "FILE", "write all figures to FILE", offsetof(label_values, json), 0, 0},               \
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "type of activations", offsetof(label_values, dtype), 0, 0},             \
    {"resamples", 0, OPTION_INTEGER, "N", "of the bootstrap (0: no intervals)", offsetof(label_values, resamples),   \
     0, 1e5},                                                                                                        \
    {"seed", 0, OPTION_INTEGER, "N", "of the bootstrap", offsetof(label_values, seed), 0, 1e15},                     \
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress line", offsetof(label_values, quiet), 0, 0},                      \
    OPTION_THREADS(label_values, threads)
/* clang-format on */

static const option labels_options[] = {
    {"split", 0, OPTION_TEXT, "NAME", "train, valid, test or all (chest_imagenome; default test)",
     offsetof(label_values, split), 0, 0},
    {"predictions", 0, OPTION_FILE, "FILE", "keep what the model says of every film, one JSON object a line",
     offsetof(label_values, predictions), 0, 0},
    {"from", 0, OPTION_FILE, "FILE", "print the figures of such a file instead of running a model",
     offsetof(label_values, from), 0, 0},
    LABEL_OPTIONS,
    {0},
};

static const option calibrate_options[] = {
    {"out", 'o', OPTION_FILE, "FILE", "model file to write (required)", offsetof(label_values, out), 0, 0},
    {"database", 'd', OPTION_FILE, "FILE", "the model's sentence database: fit how its sentences are ranked too",
     offsetof(label_values, database), 0, 0},
    {"split", 0, OPTION_TEXT, "NAME", "part of the set to fit on (default valid)", offsetof(label_values, split), 0, 0},
    {"allow-split", 0, OPTION_TEXT, "NAME",
     "with --split NAME: fit on it although models are trained or measured on it", offsetof(label_values, allow_split),
     0, 0},
    {"least", 0, OPTION_INTEGER, "N",
     "films with and without a label, or regions with findings, below which nothing is fitted",
     offsetof(label_values, least), 1, 1e9},
    LABEL_OPTIONS,
    {0},
};

const command command_eval_labels = {
    .name = "eval labels",
    .summary = "measure how well a model tells the findings of whole films",
    .arguments = "[TYPE=PATH...]",
    .description =
        "Prints, for each of the 14 image labels, its AUC with 95 % intervals from resampling patients, their mean,\n"
        "how far the probabilities are from the truth (negative log-likelihood, expected calibration error) as they\n"
        "come out of the network and by the model's calibration, and what its thresholds find and rule out.\n",
    .examples =
        "carina eval labels chest_imagenome=data/phantom\n"
        "carina eval labels -m best.safetensors --json nih.json nih_films=../shared/data/nih\n"
        "carina eval labels --predictions test.jsonl chest_imagenome=data/phantom\n"
        "carina eval labels --from test.jsonl\n",
    .options = labels_options,
    .defaults = &label_defaults,
    .values_size = sizeof label_defaults,
    .least = 0,
    .most = -1,
    .run = run_labels,
};

const command command_eval_calibrate = {
    .name = "eval calibrate",
    .summary = "fit temperatures and thresholds of labels, and the sentences' ranking, and keep them in the model",
    .arguments = "TYPE=PATH",
    .description =
        "Fits on the validation films of a set, for each image label, the temperature that makes its probabilities\n"
        "most likely, and the threshold where sensitivity + specificity is greatest. Writes the model with them to\n"
        "--out; its weights stay as they are, and so does the sentence database that fits it. Labels with too few\n"
        "films stay uncalibrated, by name. The figures are those of `carina eval labels`, on the films fitted on.\n"
        "\n"
        "With --database it also fits the temperature and the prior's exponent that make the regions' true sentences\n"
        "most likely; from then on `interpret`, `index query`, `eval retrieval` and `eval opacity` rank this model's\n"
        "sentences by them. It prints how many regions are exactly right before and after, beside always saying\n"
        "\"healthy\". Without --database the model keeps what it has of this.\n"
        "\n"
        "Training and test films are not read unless --allow-split names them.\n",
    .examples =
        "carina eval calibrate -m best.safetensors --out calibrated.safetensors chest_imagenome=data/phantom\n"
        "carina eval calibrate -m best.safetensors --out best.safetensors --least 20 chest_imagenome=data/phantom\n"
        "carina eval calibrate -m best.safetensors -d best.sentences --out best.safetensors "
        "chest_imagenome=data/phantom\n",
    .options = calibrate_options,
    .defaults = &calibrate_defaults,
    .values_size = sizeof calibrate_defaults,
    .least = 1,
    .most = 1,
    .run = run_calibrate,
};
