/* The training loop; see trainer.h. */
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "base/file.h"
#include "base/folder_lock.h"
#include "base/progress.h"
#include "format/safetensors.h"
#include "train/checkpoint.h"
#include "train/resume_check.h"
#include "train/run_log.h"
#include "train/train_task.h"

#define MAX_SKIPPED_IN_A_ROW 20

typedef struct trainer {
    const train_config *config;
    const trainer_options *options;
    thread_pool *pool;
    schedule rate;
    train_task *task;
    optimizer *optimizer;
    checkpoint_state state;
    run_log *log;
    progress *bar;
    resume_changes changes; /* since the checkpoint was made */
    folder_lock *lock;      /* of the run's folder, from the moment that it is there */
    char *checkpoint_path, *best_path, *last_path;
    char *best_weights, *last_weights; /* the file itself, also where a model is a folder */
    double session_start, session_base, last_save;
    int skipped_in_a_row;
    struct {
        uint64_t samples;
        double since;
    } window;          /* of this session, since the last line of the log; what the line averages is state.unlogged */
    double shown_loss; /* of the last line of the log, as the class wants it */
    double speed;      /* samples a second */
} trainer;

/* ---- setting up ---- */

static carina_status open_data(trainer *t, carina_error *error) {
    uint64_t hash;
    TRY(t->task->type->open_data(t->task, &hash, error));
    if (t->options->resume && t->state.data_fingerprint != hash)
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: made with other training data (fingerprint %016" PRIx64 ", now %016" PRIx64
                         "); restore the data or begin a new run",
                         t->checkpoint_path, t->state.data_fingerprint, hash);
    t->state.data_fingerprint = hash;
    return t->task->type->start_data(t->task, t->state.batch, error);
}

/* runs/NAME/best or last as the task names it, and the file that holds the weights. */
static bool model_paths(char **path, char **weights, const char *folder, const char *name,
                        const train_task_class *type) {
    char text[64];
    snprintf(text, sizeof text, "%s%s", name, type->model_ending);
    *path = path_join(folder, text);
    if (*path) *weights = type->weights_file ? path_join(*path, type->weights_file) : strdup(*path);
    return *path && *weights;
}

static carina_status check_checkpoint(const trainer *t, carina_error *error) {
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

/* A finished run's checkpoint may have been deleted; its models are what it was for. (One that was killed before its
 * first checkpoint may have a best model, but no last one: it begins anew.) */
static carina_status check_models(const trainer *t, carina_error *error) {
    if (t->options->resume || t->options->overwrite || !file_exists(t->last_weights)) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT,
                     "%s: a finished run's model, without its checkpoint; begin anew with --overwrite, or give another "
                     "name=",
                     t->last_weights);
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
        return resume_check(&t->changes, t->state.configuration, c, t->checkpoint_path, error);
    }
    t->state = (checkpoint_state){.seed = (uint64_t)c->seed, .best = -1};
    return CARINA_OK;
}

/* A run that begins anew removes what is in its folder: not what it begins with. */
static carina_status check_start(const trainer *t, carina_error *error) {
    const char *start = t->config->start;
    const char *written[] = {t->best_weights, t->last_weights, t->checkpoint_path, t->best_path, t->last_path};
    for (int i = 0; i < 5 && !t->options->resume && start; i++)
        if (file_is_same(start, written[i]))
            return error_set(error, CARINA_ERROR_ARGUMENT,
                             "%s: start: %s is a file of this run, which writes over it; give the run another name=",
                             t->config->path, start);
    return CARINA_OK;
}

/* What the configuration alone gives, and the checkpoint. */
static carina_status set_up(trainer *t, const char *folder, carina_error *error) {
    const train_config *c = t->config;
    t->checkpoint_path = path_join(folder, "checkpoint.safetensors");
    if (!t->checkpoint_path) return error_memory(error, folder, 1024);
    if (file_is_folder(folder)) TRY(folder_lock_take(&t->lock, folder, error));
    TRY(check_checkpoint(t, error));
    if (file_check_folder(folder, error) != CARINA_OK) return error_prefix(error, "%s: runs", c->path);
    TRY(thread_pool_create(&t->pool, t->options->threads, error));
    TRY(train_task_create(&t->task, c, t->pool, error));
    t->task->show_progress = t->options->show_progress;
    if (!model_paths(&t->best_path, &t->best_weights, folder, "best", t->task->type) ||
        !model_paths(&t->last_path, &t->last_weights, folder, "last", t->task->type))
        return error_memory(error, folder, 1024);
    TRY(check_models(t, error));
    TRY(check_start(t, error));
    bool begins = !t->options->resume; /* a checkpoint has all weights, and `start` may be gone by then */
    if (begins && c->start && *c->start && t->task->type->load_weights(t->task, c->start, error) != CARINA_OK)
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
    if (safetensors_read(&last, t->last_weights, NULL) != CARINA_OK) return false;
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
    TRY(open_data(t, error));
    free(t->state.configuration);
    t->state.configuration = strdup(c->text);
    if (!t->state.configuration) return error_memory(error, "configuration", strlen(c->text));
    if (file_make_folders(folder, error) != CARINA_OK) return error_prefix(error, "%s: runs", c->path);
    if (!t->lock) { /* it was not there: another run may have begun in it meanwhile, or be over */
        TRY(folder_lock_take(&t->lock, folder, error));
        TRY(check_checkpoint(t, error));
        TRY(check_models(t, error));
    }
    file_remove_unfinished(folder); /* a checkpoint's worth each time that a run is killed while it saves */
    if (!t->options->resume) {      /* of the run that is overwritten */
        remove(t->best_weights);
        remove(t->last_weights);
    }
    TRY(write_configuration(t, folder, error));
    TRY(run_log_open(&t->log, folder, t->state.step, error));
    run_log_text(t->log,
                 "%s at step %" PRIu64 " of %" PRIu64 ": Carina %s, commit %s, %d threads, %" PRIu64
                 " training %s, %" PRId64 " weights, data fingerprint %016" PRIx64,
                 t->options->resume ? "resumed" : "started", t->state.step, (uint64_t)c->steps, build_version(),
                 build_commit(), thread_pool_count(t->pool), t->task->type->sample_count(t->task),
                 t->task->type->samples, parameters_total(t->task->parameters), t->state.data_fingerprint);
    for (uint32_t i = 0; i < t->changes.count; i++) {
        run_log_text(t->log, "%s", t->changes.lines[i]);
        if (t->options->note) t->options->note(t->changes.lines[i]);
    }
    if (*t->task->note) {
        run_log_text(t->log, "%s", t->task->note);
        if (t->options->note) t->options->note(t->task->note);
    }
    return CARINA_OK;
}

static void tear_down(trainer *t) {
    progress_finish(t->bar);
    optimizer_free(t->optimizer);
    train_task_free(t->task);
    thread_pool_free(t->pool);
    checkpoint_state_free(&t->state);
    resume_changes_free(&t->changes);
    folder_lock_release(t->lock);
    free(t->checkpoint_path);
    free(t->best_path);
    free(t->last_path);
    free(t->best_weights);
    free(t->last_weights);
}

/* ---- measuring and saving ---- */

static double seconds_used(const trainer *t) { return t->session_base + clock_seconds() - t->session_start; }

static carina_status save(trainer *t, carina_error *error) {
    t->state.seconds = seconds_used(t);
    t->last_save = clock_seconds();
    return checkpoint_save(t->checkpoint_path, t->optimizer, &t->state, error);
}

static carina_status save_model(trainer *t, const char *path, double score, carina_error *error) {
    train_task_origin origin = {t->state.step, t->state.data_fingerprint, score};
    return t->task->type->save(t->task, path, &origin, error);
}

static void log_measures(trainer *t, const train_task_measures *m) {
    const train_task_class *type = t->task->type;
    char names[2][64];
    run_log_value values[2 + sizeof m->values / sizeof *m->values];
    int count = 0;
    snprintf(names[0], sizeof names[0], "validation_%s", type->score_key);
    snprintf(names[1], sizeof names[1], "monitor_%s", type->score_key);
    if (m->validated) values[count++] = (run_log_value){names[0], m->score};
    if (m->watched) values[count++] = (run_log_value){names[1], m->monitor};
    for (int i = 0; i < m->value_count; i++) values[count++] = m->values[i];
    if (count) run_log_values(t->log, t->state.step, values, count);
    if (m->validated)
        run_log_text(t->log, "step %" PRIu64 ": validation %s %.4f (best %.4f at step %" PRIu64 ")", t->state.step,
                     type->score, m->score, t->state.best, t->state.best_step);
    if (m->watched)
        run_log_text(t->log, "step %" PRIu64 ": monitor %s %.4f (only watched, chooses nothing)", t->state.step,
                     type->score, m->monitor);
    if (*m->note) run_log_text(t->log, "step %" PRIu64 ": %s", t->state.step, m->note);
}

/* Measures the weights that would be shipped, keeps the best. */
static carina_status validate(trainer *t, trainer_result *result, carina_error *error) {
    train_task_measures m = {.score = -1, .monitor = -1};
    optimizer_use_average(t->optimizer, true);
    carina_status status = t->task->type->measure(t->task, t->state.step, &m, error);
    if (status == CARINA_OK && m.score > t->state.best) {
        t->state.best = m.score;
        t->state.best_step = t->state.step;
        status = save_model(t, t->best_path, m.score, error);
    }
    optimizer_use_average(t->optimizer, false);
    TRY(status);
    result->monitor = m.monitor;
    log_measures(t, &m);
    return CARINA_OK;
}

/* ---- one step ---- */

static carina_status step(trainer *t, carina_error *error) {
    const train_config *c = t->config;
    double sum[TRAIN_TASK_LOSSES] = {0};
    parameters_zero_gradients(t->task->parameters);
    if (t->task->type->gather) TRY(t->task->type->gather(t->task, t->state.batch, t->state.step, error));
    for (int i = 0; i < c->accumulate; i++) {
        train_task_losses one = {0};
        TRY(t->task->type->step(t->task, t->state.batch, t->state.step, &one, error));
        t->state.batch++;
        for (int k = 0; k < TRAIN_TASK_LOSSES; k++) sum[k] += one.value[k] / c->accumulate;
        t->window.samples += (uint64_t)one.samples;
    }
    double norm;
    bool taken = isfinite(sum[0]) && optimizer_step(t->optimizer, schedule_rate(&t->rate, t->state.step), &norm);
    t->state.step++;
    run_log_first_loss(t->log, t->state.step, sum[0]);
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
    for (int k = 0; k < TRAIN_TASK_LOSSES; k++) t->state.unlogged.losses[k] += sum[k];
    t->state.unlogged.norm += norm;
    t->state.unlogged.steps++;
    return CARINA_OK;
}

/* Where every step of the window was skipped there is no mean: NAN, which the log writes as null. */
static void log_window(trainer *t, trainer_result *result) {
    checkpoint_unlogged *u = &t->state.unlogged;
    double count = u->steps ? (double)u->steps : NAN, now = clock_seconds();
    const train_task_class *type = t->task->type;
    char speed_name[64];
    run_log_value values[TRAIN_TASK_LOSSES + 4];
    int value_count = 0;
    t->speed = now > t->window.since ? (double)t->window.samples / (now - t->window.since) : 0;
    result->loss = u->losses[0] / count;
    t->shown_loss = u->losses[type->shown_loss] / count;
    for (int k = 0; k < TRAIN_TASK_LOSSES && type->loss_names[k]; k++)
        values[value_count++] = (run_log_value){type->loss_names[k], u->losses[k] / count};
    snprintf(speed_name, sizeof speed_name, "%s_per_second", type->samples);
    values[value_count++] = (run_log_value){"gradient_norm", u->norm / count};
    values[value_count++] = (run_log_value){"rate", schedule_rate(&t->rate, t->state.step - 1)};
    values[value_count++] = (run_log_value){"epoch", (double)t->state.batch / type->batches_per_epoch(t->task)};
    values[value_count++] = (run_log_value){speed_name, t->speed};
    run_log_values(t->log, t->state.step, values, value_count);
    *u = (checkpoint_unlogged){0};
    t->window.samples = 0;
    t->window.since = now;
}

/* Over the steps since the last line of the log; NAN when there are none. */
static double window_loss(const trainer *t) {
    const checkpoint_unlogged *u = &t->state.unlogged;
    return u->steps ? u->losses[0] / (double)u->steps : NAN;
}

static void show(const trainer *t, const trainer_result *result) {
    const train_task_class *type = t->task->type;
    char note[128] = "";
    double loss = isnan(result->loss) ? window_loss(t) : result->loss; /* NAN: every step was skipped */
    if (!isnan(loss)) snprintf(note, sizeof note, "loss %.4f  ", loss);
    size_t length = strlen(note);
    if (!isnan(result->loss) && type->shown_loss && type->loss_names[type->shown_loss])
        snprintf(note + length, sizeof note - length, "%s %.4f  ", type->loss_names[type->shown_loss], t->shown_loss);
    length = strlen(note);
    if (t->speed > 0) snprintf(note + length, sizeof note - length, "%.1f %s/s  ", t->speed, type->samples);
    length = strlen(note);
    if (t->state.best >= 0) snprintf(note + length, sizeof note - length, "best %s %.4f", type->score, t->state.best);
    progress_update(t->bar, t->state.step, note);
}

/* A run whose steps were all skipped has learned nothing, and no model of it is to be taken for a result. */
static carina_status check_skipped(const trainer *t, carina_error *error) {
    char line[160];
    if (!t->state.skipped) return CARINA_OK;
    if (t->state.skipped == t->state.step)
        return error_set(error, CARINA_ERROR_FORMAT,
                         "training: loss or gradient was not finite in any of the %" PRIu64
                         " steps, nothing was learned; look at the data and the weights it starts with, or lower "
                         "optimizer.rate",
                         t->state.step);
    snprintf(line, sizeof line,
             "training: %" PRIu64 " of %" PRIu64 " steps were skipped, their loss or gradient was not finite",
             t->state.skipped, t->state.step);
    run_log_text(t->log, "%s", line);
    if (t->options->note) t->options->note(line);
    return CARINA_OK;
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
    TRY(check_skipped(t, error));
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
    result->score = t.task ? t.task->type->score : "score";
    result->step = t.state.step;
    result->best = t.state.best;
    result->best_step = t.state.best_step;
    carina_status closed = run_log_close(t.log, status == CARINA_OK ? error : NULL);
    tear_down(&t);
    return status != CARINA_OK ? status : closed;
}
