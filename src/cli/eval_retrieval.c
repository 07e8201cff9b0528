/* `carina eval retrieval`: how well a model's region features find the true sentences in a database. */
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
#include "cli/ranking_option.h"
#include "eval/retrieval_report.h"
#include "image/letterbox.h"
#include "index/index_file.h"
#include "model/model_file.h"
#include "model/model_fingerprint.h"
#include "pipeline/model_path.h"

typedef struct retrieval_values {
    const char *model, *database, *images, *split, *predictions, *from, *json;
    int64_t limit, batch, threads, resamples, seed;
    int dtype;
    bool own_split_only, cosine, quiet;
} retrieval_values;

static const retrieval_values defaults = {.split = "test", .batch = 4, .resamples = 1000, .seed = 1};

static const option options[] = {
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model to evaluate", offsetof(retrieval_values, model), 0, 0},
    {"database", 'd', OPTION_FILE, "FILE", "its sentence database (carina index build)",
     offsetof(retrieval_values, database), 0, 0},
    {"split", 0, OPTION_TEXT, "NAME", "train, valid, test or all (default test)", offsetof(retrieval_values, split), 0,
     0},
    {"images", 0, OPTION_FOLDER, "FOLDER", "films, when they lie elsewhere than the annotations",
     offsetof(retrieval_values, images), 0, 0},
    {"own-split-only", 0, OPTION_FLAG, NULL, "do not ask that MIMIC-CXR's split agrees",
     offsetof(retrieval_values, own_split_only), 0, 0},
    OPTION_COSINE(retrieval_values, cosine),
    {"limit", 0, OPTION_INTEGER, "N", "only the first N films (0: all)", offsetof(retrieval_values, limit), 0, 1e9},
    {"predictions", 0, OPTION_FILE, "FILE", "write what was retrieved to FILE, one JSON object a line",
     offsetof(retrieval_values, predictions), 0, 0},
    {"from", 0, OPTION_FILE, "FILE", "print the figures of such a file instead of running a model",
     offsetof(retrieval_values, from), 0, 0},
    {"json", 0, OPTION_FILE, "FILE", "write all figures to FILE", offsetof(retrieval_values, json), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "type of activations", offsetof(retrieval_values, dtype), 0, 0},
    {"batch", 0, OPTION_INTEGER, "N", "films computed at once", offsetof(retrieval_values, batch), 1, 256},
    {"resamples", 0, OPTION_INTEGER, "N", "of the bootstrap (0: no intervals)", offsetof(retrieval_values, resamples),
     0, 1e5},
    {"seed", 0, OPTION_INTEGER, "N", "of the bootstrap", offsetof(retrieval_values, seed), 0, 1e15},
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress line", offsetof(retrieval_values, quiet), 0, 0},
    OPTION_THREADS(retrieval_values, threads),
    {0},
};

/* ---- a model, its database, and a set ---- */

typedef struct run {
    const retrieval_values *v;
    thread_pool *pool;
    model_file file;
    sentence_calibration calibration;
    sentence_ranking ranking;
    char print[FINGERPRINT_TEXT];
    graph *graph;
    tensor *films, *features;
    sentence_index *index;
    retrieval_collector *collector;
    dataset *set;
    sample *samples; /* [batch] */
    carina_status *statuses;
    carina_error *errors;
    uint64_t first;      /* film of samples[0] */
    FILE *predictions;   /* NULL: not kept */
    uint64_t film_count; /* with at least one region */
} run;

static carina_status open_model(run *r, carina_error *error) {
    char *path;
    TRY(model_path_find(&path, r->v->model, error));
    carina_status status = model_file_load(&r->file, path, error);
    if (status == CARINA_OK) status = calibration_read_sentences(&r->calibration, &r->file, path, error);
    free(path);
    TRY(status);
    const apm_config *c = &r->file.model->config;
    if (c->image_width != c->image_height)
        return error_set(error, CARINA_ERROR_UNSUPPORTED, "the model's picture is not square");
    TRY(thread_pool_create(&r->pool, (int)r->v->threads, error));
    graph_options o = {.pool = r->pool, .type = r->v->dtype ? TENSOR_BF16 : TENSOR_F32};
    TRY(graph_create(&r->graph, &o, error));
    r->films = graph_input(r->graph, "films", 4, (int64_t[]){r->v->batch, c->image_height, c->image_width, 1});
    r->features = apm_record(r->graph, r->file.model, r->films).region_features;
    graph_output(r->graph, r->features);
    TRY(graph_plan(r->graph, error));
    fingerprint_text(r->print, model_fingerprint(r->file.model->parameters));
    return CARINA_OK;
}

static carina_status open_database(run *r, carina_error *error) {
    const sentence_index_use use = {
        .regions = r->file.regions, .model_fingerprint = r->print, .width = r->file.model->config.feature_size};
    TRY(index_file_read(&r->index, r->v->database, &use, error));
    r->ranking = sentence_ranking_choose(&r->calibration, r->index, r->v->cosine);
    return retrieval_collector_create(&r->collector, r->index, sentence_ranking_order(&r->ranking), r->file.regions,
                                      error);
}

static carina_status open_set(run *r, const char *word, carina_error *error) {
    dataset_config config;
    char *type;
    TRY(data_word_parse(&config, &type, word, error));
    config.images = r->v->images;
    config.split = r->v->split;
    config.limit = (uint64_t)r->v->limit;
    config.own_split_only = r->v->own_split_only;
    config.sentences = true;
    carina_status status = dataset_open(&r->set, &config, r->file.regions, error);
    free(type);
    return status;
}

static void close_run(run *r) {
    free(r->samples);
    free(r->statuses);
    free(r->errors);
    dataset_free(r->set);
    retrieval_collector_free(r->collector);
    sentence_index_free(r->index);
    graph_free(r->graph);
    thread_pool_free(r->pool);
    model_file_free(&r->file);
}

/* ---- films ---- */

/* Film and annotation of one place of the batch, letterboxed into the graph's input. */
static void prepare(void *context, int place, int worker) {
    (void)worker;
    run *r = context;
    int size = r->file.model->config.image_height;
    sample *s = &r->samples[place];
    carina_error *error = &r->errors[place];
    r->statuses[place] = dataset_read(r->set, r->first + (uint64_t)place, true, s, error);
    if (r->statuses[place] != CARINA_OK) return;
    float *input = (float *)tensor_data(r->films) + (int64_t)place * size * size;
    r->statuses[place] = letterbox_apply(input, size, &s->film, error);
    image_free(&s->film);
    if (r->statuses[place] != CARINA_OK) sample_free(s);
}

static carina_status count_film(run *r, const sample *s, const float *features, carina_error *error) {
    const atlas *regions = r->file.regions;
    const char *patient = sample_patient(s);
    bool any = false;
    for (int i = 0; i < regions->region_count; i++) {
        retrieval_answer answer;
        if (!s->sentences[i]) continue;
        any = true;
        TRY(retrieval_collector_ask(r->collector, i, features + i * sentence_index_width(r->index), s->sentences[i],
                                    &answer, error));
        TRY(retrieval_collector_add_ranked(r->collector, patient, i, s->sentences[i], &answer, error));
        if (r->predictions)
            retrieval_put_item(r->predictions, s->id, patient, regions->regions[i].name, s->sentences[i], &answer);
    }
    r->film_count += any;
    return CARINA_OK;
}

static carina_status run_batch(run *r, int count, carina_error *error) {
    carina_status status = CARINA_OK;
    int64_t pixels = (int64_t)r->file.model->config.image_height * r->file.model->config.image_width;
    int64_t width = (int64_t)r->file.regions->region_count * sentence_index_width(r->index);
    float *input = tensor_data(r->films);
    thread_pool_run(r->pool, count, prepare, r);
    memset(input + count * pixels, 0, (size_t)((r->v->batch - count) * pixels) * sizeof *input);
    for (int i = 0; i < count && status == CARINA_OK; i++) {
        status = r->statuses[i];
        if (status != CARINA_OK) *error = r->errors[i];
    }
    if (status == CARINA_OK) graph_forward(r->graph);
    for (int i = 0; i < count; i++) {
        if (status == CARINA_OK)
            status = count_film(r, &r->samples[i], (const float *)tensor_data(r->features) + i * width, error);
        if (r->statuses[i] == CARINA_OK) sample_free(&r->samples[i]);
    }
    return status;
}

static carina_status run_films(run *r, carina_error *error) {
    uint64_t count = dataset_count(r->set), batch = (uint64_t)r->v->batch;
    carina_status status = CARINA_OK;
    r->samples = calloc((size_t)batch, sizeof *r->samples);
    r->statuses = calloc((size_t)batch, sizeof *r->statuses);
    r->errors = calloc((size_t)batch, sizeof *r->errors);
    if (!r->samples || !r->statuses || !r->errors) return error_memory(error, "films", batch * sizeof *r->samples);
    progress *line = r->v->quiet ? NULL : progress_start("retrieving", "films", 0, count);
    for (r->first = 0; r->first < count && status == CARINA_OK; r->first += batch) {
        uint64_t films = count - r->first < batch ? count - r->first : batch;
        status = run_batch(r, (int)films, error);
        progress_update(line, r->first + films, NULL);
        if (status == CARINA_OK && progress_interrupted())
            status = error_set(error, CARINA_ERROR_CANCELLED, "interrupted after %" PRIu64 " of %" PRIu64 " films",
                               r->first + films, count);
    }
    progress_finish(line);
    return status;
}

/* ---- figures ---- */

static carina_status report(const retrieval_values *v, const char *title, const retrieval_collector *c,
                            const atlas *regions, uint64_t films, carina_error *error) {
    retrieval_report *r;
    file_writer *file;
    TRY(retrieval_report_create(&r, title, c, regions, films, (int)v->resamples, (uint64_t)v->seed, error));
    carina_status status = CARINA_OK;
    if (v->json && (status = file_writer_open(&file, v->json, error)) == CARINA_OK) {
        json_writer w = json_writer_make(file_writer_stream(file), JSON_PRETTY);
        retrieval_report_json(r, &w);
        status = file_writer_commit(file, error);
    }
    if (status == CARINA_OK) retrieval_report_print(r, stdout);
    free(r);
    return status;
}

static carina_status evaluate(const retrieval_values *v, const char *word, carina_error *error) {
    run r = {.v = v};
    file_writer *kept = NULL;
    carina_status status = open_model(&r, error);
    if (status == CARINA_OK) status = open_database(&r, error);
    if (status == CARINA_OK) status = open_set(&r, word, error);
    if (status == CARINA_OK && v->predictions) status = file_writer_open(&kept, v->predictions, error);
    if (status == CARINA_OK && kept) {
        const retrieval_origin origin = {r.file.regions->name,
                                         v->model ? v->model : MODEL_PATH_DEFAULT,
                                         r.print,
                                         v->database,
                                         word,
                                         sentence_ranking_order(&r.ranking)};
        r.predictions = file_writer_stream(kept);
        retrieval_put_origin(r.predictions, &origin);
    }
    if (status == CARINA_OK) ranking_warn(&r.ranking);
    if (status == CARINA_OK) status = run_films(&r, error);
    if (status == CARINA_OK && kept) {
        status = file_writer_commit(kept, error);
        kept = NULL;
    }
    file_writer_abort(kept);
    if (status == CARINA_OK) status = report(v, word, r.collector, r.file.regions, r.film_count, error);
    close_run(&r);
    return status;
}

static carina_status evaluate_file(const retrieval_values *v, carina_error *error) {
    retrieval_collector *c;
    const atlas *regions;
    uint64_t films;
    TRY(retrieval_read_predictions(&c, &regions, &films, v->from, error));
    carina_status status = report(v, v->from, c, regions, films, error);
    retrieval_collector_free(c);
    return status;
}

static carina_status check_outputs(const retrieval_values *v, int count, char *const *words, carina_error *error) {
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

static int run_command(const void *values, int count, char *const *words) {
    const retrieval_values *v = values;
    carina_error error = {0};
    progress_catch_interrupts();
    if (v->from) {
        if (count || v->database || v->predictions || v->model || v->images || v->cosine)
            return command_usage(
                "eval retrieval: --from reads a file alone: no TYPE=PATH, --database, --predictions, --model, --images "
                "or --cosine");
        carina_status status = check_outputs(v, 0, words, &error);
        if (status == CARINA_OK) status = evaluate_file(v, &error);
        return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
    }
    if (count != 1 || !v->database)
        return command_usage("eval retrieval: needs --database FILE and one TYPE=PATH, or --from FILE");
    dataset_config config;
    char *type;
    carina_status status = data_word_parse(&config, &type, words[0], &error);
    if (status == CARINA_OK) status = dataset_check_type(type, &error);
    if (status == CARINA_OK) status = dataset_check_split(v->split, &error);
    free(type);
    if (status != CARINA_OK) return command_usage("eval retrieval: %s", error.message);
    status = check_outputs(v, count, words, &error);
    if (status == CARINA_OK) status = evaluate(v, words[0], &error);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
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
