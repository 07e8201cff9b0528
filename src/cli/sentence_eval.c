/* The run of a measurement of sentences; see sentence_eval.h. */
#include "cli/sentence_eval.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/data_word.h"
#include "cli/output.h"

/* ---- a model, its database, and a set ---- */

static carina_status open_model(sentence_eval_run *r, carina_error *error) {
    const sentence_eval_values *v = r->v;
    const locator_options o = {.threads = (int)v->threads, .bf16 = v->dtype == 1, .batch = (int)v->batch};
    TRY(locator_open(&r->locator, v->model, &o, error));
    TRY(interpreter_open(&r->interpreter, r->locator, &(interpreter_options){v->database, 1, v->cosine}, error));
    if (!interpreter_database(r->interpreter))
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "%s: no sentence database lies beside it; give one with --database (carina index build)",
                         locator_path(r->locator));
    r->database = interpreter_database_path(r->interpreter);
    fingerprint_text(r->database_print, sentence_index_fingerprint(interpreter_database(r->interpreter)));
    return CARINA_OK;
}

static carina_status open_set(sentence_eval_run *r, bool sentences, carina_error *error) {
    const sentence_eval_values *v = r->v;
    dataset_config config;
    char *type;
    TRY(data_word_parse(&config, &type, r->word, error));
    config.images = v->images;
    config.split = v->split;
    config.limit = (uint64_t)v->limit;
    config.own_split_only = v->own_split_only;
    config.sentences = sentences;
    carina_status status = dataset_open(&r->set, &config, locator_regions(r->locator), error);
    free(type);
    return status;
}

static void close_run(sentence_eval_run *r) {
    dataset_free(r->set);
    interpreter_close(r->interpreter);
    locator_close(r->locator);
}

/* With what was retrieved kept where that is asked for. */
static carina_status measure_set(const sentence_eval *e, const sentence_eval_run *r, void *result,
                                 carina_error *error) {
    file_writer *file = NULL;
    if (!r->v->predictions) return e->measure(result, r, NULL, error);
    TRY(file_writer_open(&file, r->v->predictions, error));
    carina_status status = e->measure(result, r, file_writer_stream(file), error);
    if (status == CARINA_OK) return file_writer_commit(file, error);
    file_writer_abort(file);
    return status;
}

/* ---- figures ---- */

static carina_status report(const sentence_eval *e, const sentence_eval_values *v, const void *result,
                            carina_error *error) {
    file_writer *file;
    if (!v->json) return e->report(result, v, NULL, error);
    TRY(file_writer_open(&file, v->json, error));
    json_writer json = json_writer_make(file_writer_stream(file), JSON_PRETTY);
    carina_status status = e->report(result, v, &json, error);
    if (status == CARINA_OK) return file_writer_commit(file, error);
    file_writer_abort(file);
    return status;
}

/* What was measured keeps to the run's texts: it is reported before the run is closed. */
static carina_status evaluate_set(const sentence_eval *e, const sentence_eval_values *v, const char *word, void *result,
                                  carina_error *error) {
    sentence_eval_run r = {.v = v, .word = word};
    carina_status status = open_model(&r, error);
    if (status == CARINA_OK) status = open_set(&r, e->sentences, error);
    if (status == CARINA_OK) ranking_warn(interpreter_ranking(r.interpreter));
    if (status == CARINA_OK) status = measure_set(e, &r, result, error);
    if (status == CARINA_OK) status = report(e, v, result, error);
    e->free(result);
    close_run(&r);
    return status;
}

static carina_status evaluate_file(const sentence_eval *e, const sentence_eval_values *v, void *result,
                                   carina_error *error) {
    carina_status status = e->read(result, v->from, error);
    if (status == CARINA_OK) status = report(e, v, result, error);
    e->free(result);
    return status;
}

static carina_status evaluate(const sentence_eval *e, const sentence_eval_values *v, char *const *words,
                              carina_error *error) {
    void *result = calloc(1, e->result_size);
    if (!result) return error_memory(error, "figures", e->result_size);
    carina_status status = v->from ? evaluate_file(e, v, result, error) : evaluate_set(e, v, words[0], result, error);
    free(result);
    return status;
}

/* ---- the command line ---- */

static carina_status check_word(const sentence_eval *e, const sentence_eval_values *v, const char *word,
                                carina_error *error) {
    dataset_config config;
    char *type;
    carina_status status = data_word_parse(&config, &type, word, error);
    if (status == CARINA_OK) status = dataset_check_type(type, error);
    if (status == CARINA_OK) status = e->check(v, type, error);
    free(type);
    return status;
}

static carina_status check_outputs(const sentence_eval_values *v, int count, char *const *words, carina_error *error) {
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

int sentence_eval_main(const sentence_eval *e, const sentence_eval_values *v, int count, char *const *words) {
    carina_error error = {0};
    if (v->from && (count || v->database || v->predictions || v->model || v->images || v->cosine))
        return command_usage(
            "%s: --from reads a file alone: no TYPE=PATH, --database, --predictions, --model, --images or --cosine",
            e->name);
    if (!v->from && count != 1) return command_usage("%s: needs one TYPE=PATH, or --from FILE", e->name);
    if (!v->from && check_word(e, v, words[0], &error) != CARINA_OK)
        return command_usage("%s: %s", e->name, error.message);
    progress_catch_interrupts();
    carina_status status = check_outputs(v, count, words, &error);
    if (status == CARINA_OK) status = evaluate(e, v, words, &error);
    return status == CARINA_OK ? COMMAND_OK : command_fail(&error);
}
