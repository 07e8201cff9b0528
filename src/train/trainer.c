/* The training loop; see trainer.h. */
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "base/file.h"
#include "base/progress.h"
#include "format/safetensors.h"
#include "image/box.h"
#include "model/model_file.h"
#include "train/checkpoint.h"
#include "train/locate_task.h"
#include "train/run_log.h"

#define MAX_SKIPPED_IN_A_ROW 20

typedef struct trainer {
    const train_config *config;
    const trainer_options *options;
    thread_pool *pool;
    dataset *train[TRAIN_CONFIG_TRAIN_SETS], *validation, *monitor;
    int train_count;
    schedule rate;
    loader *batches, *validation_batches, *monitor_batches;
    locate_task *task;
    optimizer *optimizer;
    checkpoint_state state;
    run_log *log;
    progress *bar;
    char *checkpoint_path, *best_path, *last_path;
    double session_start, session_base, last_save;
    int skipped_in_a_row;
    struct {
        locate_losses losses;
        double norm;
        uint64_t steps, films;
        double since;
    } window;     /* since the last line of the log */
    double speed; /* films a second */
} trainer;

/* ---- setting up ---- */

static carina_status open_set(const trainer *t, dataset **out, const train_config_set *set, const char *key,
                              carina_error *error) {
    dataset_config wanted = train_config_dataset(set);
    if (!wanted.type) return CARINA_OK;
    carina_status status = dataset_open(out, &wanted, t->config->regions, error);
    return status == CARINA_OK ? CARINA_OK : error_prefix(error, "%s: %s", t->config->path, key);
}

static carina_status open_sets(trainer *t, carina_error *error) {
    const train_config *c = t->config;
    uint64_t hash = DATASET_HASH_START;
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) {
        TRY(open_set(t, &t->train[t->train_count], &c->train_sets[i], train_config_train_keys[i], error));
        if (!t->train[t->train_count]) continue;
        uint64_t one = dataset_fingerprint(t->train[t->train_count++]);
        hash = dataset_hash(hash, &one, sizeof one);
    }
    TRY(open_set(t, &t->validation, &c->validation_set, "data.validation", error));
    TRY(open_set(t, &t->monitor, &c->monitor_set, "data.monitor", error));
    if (t->options->resume && t->state.data_fingerprint != hash)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: made with other training data (fingerprint %016" PRIx64 ", now %016" PRIx64
                         "); restore the data or begin a new run",
                         t->checkpoint_path, t->state.data_fingerprint, hash);
    t->state.data_fingerprint = hash;
    return CARINA_OK;
}

/* The configuration's choice 0, 1 or mask. */
static float label_target(int choice) { return choice == 2 ? NAN : (float)choice; }

static carina_status open_loaders(trainer *t, carina_error *error) {
    const train_config *c = t->config;
    loader_options o = {.seed = (uint64_t)c->seed,
                        .batch_size = c->batch_size,
                        .image_size = c->model.image_height,
                        .shuffle = true,
                        .cache = c->cache,
                        .cache_size = c->cache_size,
                        .thread_count = c->loader_threads,
                        .batches_ahead = 3,
                        .uncertain = label_target(c->uncertain),
                        .not_mentioned = label_target(c->not_mentioned),
                        .augment = c->augment};
    uint64_t films = 0;
    for (int i = 0; i < t->train_count; i++) films += dataset_count(t->train[i]);
    if (films < (uint64_t)c->batch_size)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "%s: training.batch_size: %" PRIu64 " films do not fill one batch of %d; make it smaller",
                         c->path, films, c->batch_size);
    TRY(loader_create(&t->batches, (const dataset *const *)t->train, t->train_count, &o, t->state.batch, error));
    /* What is measured is seen as it is. */
    o.shuffle = false;
    o.cache_size = 0;
    o.batches_ahead = 1;
    o.augment = augment_none();
    if (t->validation)
        TRY(loader_create(&t->validation_batches, (const dataset *const *)&t->validation, 1, &o, 0, error));
    if (t->monitor) TRY(loader_create(&t->monitor_batches, (const dataset *const *)&t->monitor, 1, &o, 0, error));
    return CARINA_OK;
}

static carina_status make_paths(trainer *t, const char *folder, carina_error *error) {
    t->checkpoint_path = path_join(folder, "checkpoint.safetensors");
    t->best_path = path_join(folder, "best.safetensors");
    t->last_path = path_join(folder, "last.safetensors");
    if (!t->checkpoint_path || !t->best_path || !t->last_path) return error_memory(error, folder, 1024);
    bool there = file_exists(t->checkpoint_path);
    if (t->options->resume && !there)
        return error_set(error, CARINA_ERROR_IO, "%s: no such checkpoint to resume from", t->checkpoint_path);
    if (!t->options->resume && !t->options->overwrite && there)
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "%s: this run exists already; continue it with --resume, begin anew with --overwrite, or give "
                         "another name=",
                         t->checkpoint_path);
    return CARINA_OK;
}

static carina_status write_configuration(const trainer *t, const char *folder, carina_error *error) {
    char *path = path_join(folder, "config.yaml");
    if (!path) return error_memory(error, folder, 64);
    carina_status status = file_write(path, t->config->text, strlen(t->config->text), error);
    free(path);
    return status;
}

static carina_status load_start(trainer *t, carina_error *error) {
    const train_config *c = t->config;
    if (t->options->resume) {
        TRY(checkpoint_load(t->checkpoint_path, t->optimizer, &t->state, error));
        if (t->state.seed != (uint64_t)c->seed)
            return error_set(error, CARINA_ERROR_MISMATCH, "%s: made with seed %" PRIu64 ", now %" PRId64,
                             t->checkpoint_path, t->state.seed, c->seed);
        return CARINA_OK;
    }
    t->state = (checkpoint_state){.seed = (uint64_t)c->seed, .best = -1};
    return CARINA_OK;
}

/* What the configuration alone gives, and the checkpoint. */
static carina_status set_up(trainer *t, const char *folder, carina_error *error) {
    const train_config *c = t->config;
    TRY(make_paths(t, folder, error));
    TRY(thread_pool_create(&t->pool, t->options->threads, error));
    if (locate_task_create(&t->task, c, t->pool, error) != CARINA_OK)
        return error_prefix(error, "%s: model, training.batch_size", c->path);
    if (*c->start && model_file_load_weights(t->task->model, c->start, error) != CARINA_OK)
        return error_prefix(error, "%s: start", c->path);
    optimizer_options settings = train_config_optimizer(c);
    TRY(optimizer_create(&t->optimizer, t->task->parameters, &settings, t->pool, error));
    return load_start(t, error);
}

static bool time_is_up(const trainer *t, double seconds) {
    return t->config->minutes > 0 && seconds >= t->config->minutes * 60;
}

/* last.safetensors is the last thing that a run writes, and says after which step. */
static bool finished_before(const trainer *t) {
    tensor_file last = {0};
    if (!t->options->resume || (t->state.step < (uint64_t)t->config->steps && !time_is_up(t, t->state.seconds)))
        return false;
    if (safetensors_read(&last, t->last_path, NULL) != CARINA_OK) return false;
    const char *step = tensor_file_metadata(&last, "training_step");
    char now[32];
    snprintf(now, sizeof now, "%" PRIu64, t->state.step);
    bool same = step && strcmp(step, now) == 0;
    tensor_file_free(&last);
    return same;
}

/* The data, and then the run's folder: a run that cannot begin leaves nothing behind. */
static carina_status begin(trainer *t, const char *folder, carina_error *error) {
    const train_config *c = t->config;
    TRY(open_sets(t, error));
    TRY(open_loaders(t, error));
    free(t->state.configuration);
    t->state.configuration = strdup(c->text);
    if (!t->state.configuration) return error_memory(error, "configuration", strlen(c->text));
    if (file_make_folders(folder, error) != CARINA_OK) return error_prefix(error, "%s: runs", c->path);
    if (!t->options->resume) { /* of the run that is overwritten */
        remove(t->best_path);
        remove(t->last_path);
    }
    TRY(write_configuration(t, folder, error));
    TRY(run_log_open(&t->log, folder, t->state.step, error));
    run_log_text(t->log,
                 "%s at step %" PRIu64 " of %" PRIu64 ": Carina %s, commit %s, %d threads, %" PRIu64
                 " training films, %" PRId64 " weights, data fingerprint %016" PRIx64,
                 t->options->resume ? "resumed" : "started", t->state.step, (uint64_t)c->steps, build_version(),
                 build_commit(), thread_pool_count(t->pool), loader_sample_count(t->batches),
                 parameters_total(t->task->parameters), t->state.data_fingerprint);
    return CARINA_OK;
}

static void tear_down(trainer *t) {
    progress_finish(t->bar);
    loader_free(t->batches);
    loader_free(t->validation_batches);
    loader_free(t->monitor_batches);
    for (int i = 0; i < TRAIN_CONFIG_TRAIN_SETS; i++) dataset_free(t->train[i]);
    dataset_free(t->validation);
    dataset_free(t->monitor);
    optimizer_free(t->optimizer);
    locate_task_free(t->task);
    thread_pool_free(t->pool);
    checkpoint_state_free(&t->state);
    free(t->checkpoint_path);
    free(t->best_path);
    free(t->last_path);
}

/* ---- measuring and saving ---- */

/* Mean IoU over every box that is present in the set behind `batches`. */
static carina_status measure(trainer *t, loader *batches, double *out, carina_error *error) {
    int count = t->config->regions->region_count;
    double sum = 0;
    uint64_t boxes = 0;
    for (uint64_t b = 0; b < loader_batches_per_epoch(batches); b++) {
        const loader_batch *batch;
        TRY(loader_next(batches, &batch, error));
        const float *predicted = locate_task_predict(t->task, batch);
        for (int64_t i = 0; i < (int64_t)batch->count * count; i++) {
            if (batch->present[i] <= 0) continue;
            sum += box_iou(box_from_normalised(predicted + 4 * i, 1, 1),
                           box_from_normalised(batch->targets + 4 * i, 1, 1));
            boxes++;
        }
    }
    *out = boxes ? sum / (double)boxes : -1;
    return CARINA_OK;
}

static double seconds_used(const trainer *t) { return t->session_base + clock_seconds() - t->session_start; }

static carina_status save(trainer *t, carina_error *error) {
    t->state.seconds = seconds_used(t);
    t->last_save = clock_seconds();
    return checkpoint_save(t->checkpoint_path, t->optimizer, &t->state, error);
}

static carina_status save_model(trainer *t, const char *path, double iou, carina_error *error) {
    char text[3][64];
    snprintf(text[0], sizeof text[0], "%" PRIu64, t->state.step);
    snprintf(text[1], sizeof text[1], "%.6f", iou);
    snprintf(text[2], sizeof text[2], "%016" PRIx64, t->state.data_fingerprint);
    model_file_note notes[] = {
        {"training_configuration", t->config->text},
        {"training_step", text[0]},
        {"validation_iou", text[1]},
        {"data_fingerprint", text[2]},
    };
    int count = (int)(sizeof notes / sizeof notes[0]);
    return model_file_save(path, t->task->model, t->config->regions, MODEL_FILE_F32, notes, count, error);
}

/* Measures the weights that would be shipped, keeps the best. */
static carina_status validate(trainer *t, trainer_result *result, carina_error *error) {
    carina_status status = CARINA_OK;
    double iou = -1, watched = -1;
    optimizer_use_average(t->optimizer, true);
    if (t->validation_batches) status = measure(t, t->validation_batches, &iou, error);
    if (status == CARINA_OK && t->monitor_batches) status = measure(t, t->monitor_batches, &watched, error);
    if (status == CARINA_OK && iou > t->state.best) {
        t->state.best = iou;
        t->state.best_step = t->state.step;
        status = save_model(t, t->best_path, iou, error);
    }
    optimizer_use_average(t->optimizer, false);
    TRY(status);
    result->monitor = watched;
    run_log_value values[2];
    int count = 0;
    if (t->validation_batches) values[count++] = (run_log_value){"validation_iou", iou};
    if (t->monitor_batches) values[count++] = (run_log_value){"monitor_iou", watched};
    if (count) run_log_values(t->log, t->state.step, values, count);
    if (t->validation_batches)
        run_log_text(t->log, "step %" PRIu64 ": validation IoU %.4f (best %.4f at step %" PRIu64 ")", t->state.step,
                     iou, t->state.best, t->state.best_step);
    if (t->monitor_batches)
        run_log_text(t->log, "step %" PRIu64 ": monitor IoU %.4f (only watched, chooses nothing)", t->state.step,
                     watched);
    return CARINA_OK;
}

/* ---- one step ---- */

static carina_status step(trainer *t, carina_error *error) {
    const train_config *c = t->config;
    locate_losses sum = {0};
    parameters_zero_gradients(t->task->parameters);
    for (int i = 0; i < c->accumulate; i++) {
        const loader_batch *batch;
        locate_losses one;
        TRY(loader_next(t->batches, &batch, error));
        locate_task_step(t->task, batch, t->state.batch, &one);
        t->state.batch++;
        sum.total += one.total / c->accumulate;
        sum.box += one.box / c->accumulate;
        sum.label += one.label / c->accumulate;
        t->window.films += (uint64_t)batch->count;
    }
    double norm;
    bool taken = isfinite(sum.total) && optimizer_step(t->optimizer, schedule_rate(&t->rate, t->state.step), &norm);
    t->state.step++;
    run_log_first_loss(t->log, t->state.step, sum.total);
    if (!taken) {
        t->state.skipped++;
        run_log_text(t->log, "step %" PRIu64 ": loss or gradient is not finite, weights left as they are",
                     t->state.step);
        if (++t->skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW)
            return error_set(error, CARINA_ERROR_FORMAT,
                             "training: loss or gradient was not finite in %d steps running (step %" PRIu64
                             "); lower optimizer.rate and resume",
                             MAX_SKIPPED_IN_A_ROW, t->state.step);
        return CARINA_OK;
    }
    t->skipped_in_a_row = 0;
    t->window.losses.total += sum.total;
    t->window.losses.box += sum.box;
    t->window.losses.label += sum.label;
    t->window.norm += norm;
    t->window.steps++;
    return CARINA_OK;
}

static void log_window(trainer *t, trainer_result *result) {
    double count = t->window.steps ? (double)t->window.steps : 1, now = clock_seconds();
    t->speed = now > t->window.since ? (double)t->window.films / (now - t->window.since) : 0;
    result->loss = t->window.losses.total / count;
    run_log_value values[] = {
        {"loss", result->loss},
        {"box_loss", t->window.losses.box / count},
        {"label_loss", t->window.losses.label / count},
        {"gradient_norm", t->window.norm / count},
        {"rate", schedule_rate(&t->rate, t->state.step - 1)},
        {"epoch", (double)t->state.batch / (double)loader_batches_per_epoch(t->batches)},
        {"films_per_second", t->speed},
    };
    run_log_values(t->log, t->state.step, values, (int)(sizeof values / sizeof values[0]));
    memset(&t->window, 0, sizeof t->window);
    t->window.since = now;
}

/* Over the steps since the last line of the log; NAN when there are none. */
static double window_loss(const trainer *t) {
    return t->window.steps ? t->window.losses.total / (double)t->window.steps : NAN;
}

static void show(const trainer *t, const trainer_result *result) {
    char note[96] = "";
    double loss = isnan(result->loss) ? window_loss(t) : result->loss; /* NAN: every step was skipped */
    if (!isnan(loss)) snprintf(note, sizeof note, "loss %.4f  ", loss);
    size_t length = strlen(note);
    if (t->speed > 0) snprintf(note + length, sizeof note - length, "%.1f films/s  ", t->speed);
    length = strlen(note);
    if (t->state.best >= 0) snprintf(note + length, sizeof note - length, "best IoU %.4f", t->state.best);
    progress_update(t->bar, t->state.step, note);
}

static bool every(uint64_t step, int64_t interval) { return interval > 0 && step % (uint64_t)interval == 0; }

static carina_status loop(trainer *t, trainer_result *result, carina_error *error) {
    const train_config *c = t->config;
    uint64_t total = (uint64_t)c->steps, begun = t->state.step, validated = UINT64_MAX;
    while (t->state.step < total) {
        if (time_is_up(t, seconds_used(t))) break;
        if (t->options->stop_after && t->state.step - begun >= t->options->stop_after) goto stopped;
        if (progress_interrupted()) {
            result->interrupted = true;
            goto stopped;
        }
        TRY(step(t, error));
        if (every(t->state.step, c->log_every) || t->state.step == total) log_window(t, result);
        show(t, result);
        if (every(t->state.step, c->validate_every)) {
            TRY(validate(t, result, error));
            validated = t->state.step;
        }
        if (every(t->state.step, c->save_every) ||
            (c->save_seconds > 0 && clock_seconds() - t->last_save > c->save_seconds))
            TRY(save(t, error));
    }
    result->finished = true;
    if (validated != t->state.step) TRY(validate(t, result, error));
    TRY(save(t, error));
    optimizer_use_average(t->optimizer, true);
    carina_status status = save_model(t, t->last_path, -1, error);
    optimizer_use_average(t->optimizer, false);
    return status;
stopped:
    if (isnan(result->loss)) result->loss = window_loss(t);
    return save(t, error);
}

carina_status trainer_run(const train_config *config, const trainer_options *options, trainer_result *result,
                          carina_error *error) {
    memset(result, 0, sizeof *result);
    result->best = result->monitor = -1;
    result->loss = NAN;
    int length = snprintf(result->folder, sizeof result->folder, "%s/%s", config->runs, config->name);
    if (length >= (int)sizeof result->folder)
        return error_set(error, CARINA_ERROR_ARGUMENT, "runs: the folder's name is too long");
    trainer t = {.config = config, .options = options, .rate = train_config_schedule(config)};
    carina_status status = set_up(&t, result->folder, error);
    if (status == CARINA_OK) {
        result->finished = result->finished_before = finished_before(&t);
        if (!result->finished) status = begin(&t, result->folder, error);
    }
    t.session_start = t.last_save = t.window.since = clock_seconds();
    t.session_base = t.state.seconds;
    if (status == CARINA_OK && !result->finished_before) {
        t.bar =
            options->show_progress ? progress_start("training", "steps", t.state.step, (uint64_t)config->steps) : NULL;
        status = loop(&t, result, error);
        if (status != CARINA_OK && error)
            run_log_text(t.log, "stopped: %s", error->message);
        else
            run_log_text(t.log, "%s at step %" PRIu64 " after %.0f s", result->finished ? "finished" : "paused",
                         t.state.step, t.state.seconds);
    }
    result->step = t.state.step;
    result->best = t.state.best;
    result->best_step = t.state.best_step;
    carina_status closed = run_log_close(t.log, status == CARINA_OK ? error : NULL);
    tear_down(&t);
    return status != CARINA_OK ? status : closed;
}
