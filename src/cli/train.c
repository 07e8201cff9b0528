/* `carina train`: runs a training configuration to its end, or until interrupted, and resumes it. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/configuration.h"
#include "cli/film_run.h"
#include "format/json_writer.h"
#include "train/run_log.h"
#include "train/trainer.h"

typedef struct train_values {
    bool resume, overwrite, quiet, json;
    int64_t threads, stop_after;
    const char *check_losses;
    double tolerance;
} train_values;

static const train_values defaults = {.tolerance = 0.01};

static const option options[] = {
    {"resume", 'r', OPTION_FLAG, NULL, "continue from the run's checkpoint", offsetof(train_values, resume), 0, 0},
    {"overwrite", 0, OPTION_FLAG, NULL, "begin anew although the run exists", offsetof(train_values, overwrite), 0, 0},
    {"stop-after", 0, OPTION_INTEGER, "STEPS", "pause after so many steps of this session",
     offsetof(train_values, stop_after), 0, 1e9},
    {"check-losses", 0, OPTION_FILE, "FILE",
     "compare the run's first losses with FILE (a run's first_losses.txt), at its end; --stop-after 50 to stop when "
     "they are there",
     offsetof(train_values, check_losses), 0, 0},
    {"tolerance", 0, OPTION_NUMBER, "FRACTION", "relative difference that --check-losses accepts",
     offsetof(train_values, tolerance), 0, 1},
    {"quiet", 'q', OPTION_FLAG, NULL, "no progress line", offsetof(train_values, quiet), 0, 0},
    OPTION_THREADS(train_values, threads),
    {"json", 0, OPTION_FLAG, NULL, "print the result as JSON", offsetof(train_values, json), 0, 0},
    {0},
};

/* What --check-losses found. */
typedef struct comparison {
    bool made;
    double difference;
    int count;
} comparison;

static const char *state_of(const trainer_result *r) {
    return r->finished_before ? "finished already"
           : r->finished      ? "finished"
           : r->interrupted   ? "interrupted, saved"
                              : "paused";
}

static void print_result(const trainer_result *r, uint64_t steps, const train_values *v, const comparison *c) {
    printf("%s at step %llu of %llu", state_of(r), (unsigned long long)r->step, (unsigned long long)steps);
    if (!isnan(r->loss)) printf(", loss %.4f", r->loss);
    if (r->best >= 0)
        printf(", best validation %s %.4f at step %llu", r->score, r->best, (unsigned long long)r->best_step);
    if (r->monitor >= 0) printf(", monitor %s %.4f (only watched)", r->score, r->monitor);
    printf("\n%s\n", r->folder);
    if (c->made)
        printf("first %d losses: largest relative difference to %s is %.3g%s\n", c->count, v->check_losses,
               c->difference, c->difference == 0 ? " (identical)" : "");
}

/* What there is no figure of is null. */
static void put_score(json_writer *w, const char *key, double score) {
    json_key(w, key);
    if (score >= 0)
        json_put_number(w, score);
    else
        json_put_null(w);
}

static void print_json(const trainer_result *r, uint64_t steps, const train_values *v, const comparison *c) {
    json_writer w = json_writer_make(stdout, JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "folder", r->folder);
    json_field_text(&w, "state", state_of(r));
    json_field_whole(&w, "step", (int64_t)r->step);
    json_field_whole(&w, "steps", (int64_t)steps);
    json_field_number(&w, "loss", r->loss);
    json_field_text(&w, "score", r->score);
    put_score(&w, "best", r->best);
    json_field_whole(&w, "best_step", (int64_t)r->best_step);
    put_score(&w, "monitor", r->monitor);
    if (c->made) {
        json_key(&w, "first_losses");
        json_begin_inline(&w, true);
        json_field_text(&w, "file", v->check_losses);
        json_field_whole(&w, "count", c->count);
        json_field_number(&w, "relative_difference", c->difference);
        json_end(&w);
    }
    json_end(&w);
}

/* A run's own losses are the same as themselves, whatever they are. */
static carina_status check_losses_apart(const train_values *v, const train_config *config, carina_error *error) {
    char *path = NULL;
    if (!v->check_losses) return CARINA_OK;
    if (asprintf(&path, "%s/%s/first_losses.txt", config->runs, config->name) < 0)
        return error_memory(error, "a path", strlen(config->runs));
    bool same = file_is_same(path, v->check_losses);
    free(path);
    if (!same) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT,
                     "%s: is written by this run itself; give --check-losses another run's", v->check_losses);
}

/* The result, and how far the first losses are from those of --check-losses. */
static int report(const train_values *v, const trainer_result *result, uint64_t steps) {
    carina_error error = {0};
    carina_status status = CARINA_OK;
    char path[600];
    comparison c = {0};
    if (v->check_losses && !result->interrupted) {
        snprintf(path, sizeof path, "%s/first_losses.txt", result->folder);
        status = run_log_compare_losses(path, v->check_losses, &c.difference, &c.count, &error);
        c.made = status == CARINA_OK;
    }
    (v->json ? print_json : print_result)(result, steps, v, &c);
    if (c.made && c.difference > v->tolerance)
        status = error_set(&error, CARINA_ERROR_MISMATCH, "%s: losses differ by %.3g, more than the %.3g accepted",
                           v->check_losses, c.difference, v->tolerance);
    if (status != CARINA_OK) return command_fail(&error);
    return result->interrupted ? COMMAND_FAILED : COMMAND_OK;
}

static void print_note(const char *line) {
    fputs("carina: ", stderr);
    film_put_name(line, stderr);
    fputc('\n', stderr);
}

static int run(const void *values, int count, char *const *arguments) {
    const train_values *v = values;
    carina_error error = {0};
    train_config config;
    trainer_result result;
    if (v->resume && v->overwrite)
        return command_usage("train: --resume and --overwrite contradict each other; see `carina train --help`");
    double difference; /* hours of training are not for finding out that a file holds none */
    int losses;
    if (v->check_losses &&
        run_log_compare_losses(v->check_losses, v->check_losses, &difference, &losses, &error) != CARINA_OK)
        return command_fail(&error);
    int read = configuration_read(&config, "train", count, arguments);
    if (read != COMMAND_OK) return read;
    if (check_losses_apart(v, &config, &error) != CARINA_OK) {
        train_config_free(&config);
        return command_fail(&error);
    }
    trainer_options o = {.resume = v->resume,
                         .overwrite = v->overwrite,
                         .threads = (int)v->threads,
                         .show_progress = !v->quiet,
                         .stop_after = (uint64_t)v->stop_after,
                         .note = print_note};
    progress_catch_interrupts();
    carina_status status = trainer_run(&config, &o, &result, &error);
    int exit_status = status == CARINA_OK ? report(v, &result, (uint64_t)config.steps) : command_fail(&error);
    train_config_free(&config);
    return exit_status;
}

const command command_train = {
    .name = "train",
    .summary = "train a model from a YAML configuration",
    .arguments = "CONFIG.yaml [KEY=VALUE...]",
    .description =
        "Runs the configuration to its end. Everything goes to the folder runs/NAME: config.yaml (all keys\n"
        "that have an effect), checkpoint.safetensors, best.safetensors (the model with the best validation IoU),\n"
        "last.safetensors, metrics.jsonl, first_losses.txt, log.txt and TensorBoard events. A text encoder and a\n"
        "language model (task: text, language) are Hugging Face folders instead: best and last.\n"
        "\n"
        "KEY=VALUE changes a key of the configuration, for example training.steps=500. Ctrl-C saves and stops;\n"
        "--resume continues, to the same numbers as if nothing had happened. Keys that are something else than in the\n"
        "checkpoint are named; those that decide on the network, its regions and the batches must not be. Two "
        "processes\n"
        "never share a folder.\n"
        "data.monitor is measured and logged, but never used to choose a model.\n",
    .examples =
        "carina train configs/default-model.yaml\n"
        "carina train configs/default-model.yaml --resume\n"
        "carina train configs/default-model.yaml name=short training.steps=500 optimizer.rate=1e-3\n",
    .options = options,
    .defaults = &defaults,
    .values_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run,
};
