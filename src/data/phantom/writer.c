/* Writing sets of phantoms; see writer.h. */
#include "data/phantom/writer.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/phantom/film_names.h"
#include "data/phantom/finding_film.h"
#include "data/phantom/parameters.h"
#include "data/phantom/report.h"
#include "data/phantom/scene_graph_write.h"
#include "data/phantom/writer_masks.h"
#include "data/phantom/writer_tables.h"
#include "format/dicom.h"
#include "format/jpeg.h"
#include "format/json.h"

#define MAX_PATH_TEXT 4096
#define REPORT_BYTES  16384
#define REPORT_SALT   0x7265706f72740000ULL
#define JPEG_QUALITY  95 /* as MIMIC-CXR-JPG */

static carina_status format_path(char out[MAX_PATH_TEXT], carina_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static carina_status format_path(char out[MAX_PATH_TEXT], carina_error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, MAX_PATH_TEXT, format, arguments);
    va_end(arguments);
    if (length >= 0 && length < MAX_PATH_TEXT) return CARINA_OK;
    return error_set(error, CARINA_ERROR_LIMIT, "%.80s...: path too long", out);
}

/* One film on its way to disk. */
typedef struct film_job {
    const phantom_writer_options *options;
    film_names names;
    bool returning; /* the patient has an earlier film in the set */
    film_names prior_names;
    finding_film prior; /* its findings, drawn again */
    finding_film film;
    phantom_hooks findings;
    phantom_result result;
    report text;
    uint8_t *grey; /* [height, width] */
} film_job;

static carina_status alter(void *context, phantom_parameters *parameters, carina_error *error) {
    film_job *job = context;
    film_names_same_patient(parameters);
    return job->findings.alter(job->findings.context, parameters, error);
}

static carina_status add(void *context, phantom_scene *scene, carina_error *error) {
    film_job *job = context;
    return job->findings.add(job->findings.context, scene, error);
}

/* The patient's film before: its findings follow from its parameters, nothing need be rendered. */
static void draw_prior(film_job *job, uint64_t index) {
    phantom_parameters parameters;
    parameters_draw(&parameters, job->options->seed, index, NULL);
    film_names_same_patient(&parameters);
    film_names_make(&job->prior_names, job->options->seed, index, job->options->split);
    job->prior.healthy = job->options->healthy;
    finding_film_draw(&job->prior, &parameters);
}

static carina_status render(film_job *job, uint64_t index, carina_error *error) {
    const phantom_writer_options *o = job->options;
    job->findings = finding_film_hooks(&job->film);
    job->film.healthy = o->healthy;
    phantom_hooks hooks = {.context = job, .alter = alter, .add = add};
    phantom_options options = {.width = o->width, .height = o->height, .hooks = &hooks, .device_masks = o->masks};
    TRY(phantom_render(o->seed, index, &options, &job->result, error));
    random_state random = random_stream(o->seed ^ REPORT_SALT, index);
    if (job->returning) draw_prior(job, index - 1);
    report_make(&job->text, &job->film, &job->result.scene, job->returning ? &job->prior.list : NULL, &random);
    size_t count = (size_t)o->width * (size_t)o->height;
    job->grey = malloc(count);
    if (!job->grey) return error_memory(error, "film", count);
    for (size_t i = 0; i < count; i++) {
        float value = fminf(fmaxf(job->result.film.value[i], 0), 1);
        job->grey[i] = (uint8_t)lrintf(255 * value);
    }
    return CARINA_OK;
}

static carina_status write_dicom(const film_job *job, const char *path, carina_error *error) {
    size_t count = (size_t)job->options->width * (size_t)job->options->height;
    uint16_t *sample = malloc(count * sizeof *sample);
    if (!sample) return error_memory(error, "DICOM film", count * sizeof *sample);
    for (size_t i = 0; i < count; i++) {
        float value = fminf(fmaxf(job->result.film.value[i], 0), 1);
        sample[i] = (uint16_t)lrintf(4095 * value);
    }
    const phantom_parameters *p = &job->result.scene.parameters;
    char name[64];
    snprintf(name, sizeof name, "SYNTHETIC^PHANTOM%llu", (unsigned long long)job->names.first);
    dicom_film_attributes attributes = {.bits_stored = 12,
                                        .window_centre = 2048,
                                        .window_width = 4096,
                                        .patient_id = job->names.patient,
                                        .patient_name = name,
                                        .sex = p->sex,
                                        .age_years = p->age,
                                        .view_position = p->ap ? "AP" : "PA",
                                        .study_date = job->names.date,
                                        .series_description = "SYNTHETIC, Carina phantom, no patient"};
    carina_status status =
        dicom_write_film(path, sample, job->options->width, job->options->height, &attributes, error);
    free(sample);
    return status;
}

static carina_status write_film_files(film_job *job, carina_error *error) {
    const char *root = job->options->folder;
    const film_names *n = &job->names;
    char folder[MAX_PATH_TEXT], path[MAX_PATH_TEXT], text[REPORT_BYTES];
    TRY(format_path(folder, error, "%s/files/p%.2s/p%s", root, n->patient, n->patient));
    file_remove_unfinished(folder); /* a killed run's; it is this film's, which it did not finish */
    TRY(format_path(folder, error, "%s/files/p%.2s/p%s/s%s", root, n->patient, n->patient, n->study));
    TRY(file_make_folders(folder, error));
    file_remove_unfinished(folder);
    if (job->options->masks) {
        TRY(format_path(path, error, "%s/masks/%s", root, n->id));
        TRY(writer_masks_write(path, n->id, &job->film, &job->result.scene, error));
    }
    if (job->options->dicom) {
        TRY(format_path(path, error, "%.3900s/%s.dcm", folder, n->id));
        TRY(write_dicom(job, path, error));
    }
    TRY(format_path(path, error, "%.3900s.txt", folder));
    TRY(file_write(path, text, report_text(text, sizeof text, &job->text), error));
    TRY(format_path(path, error, "%.3900s/%s.jpg", folder, n->id));
    TRY(jpeg_save_grey8(path, job->grey, job->options->width, job->options->height, JPEG_QUALITY, error));
    TRY(format_path(path, error, "%s/silver_dataset/scene_graph/%s_SceneGraph.json", root, n->id));
    const char *prior_id = job->returning ? job->prior_names.id : NULL;
    return scene_graph_write(path, n, prior_id, &job->film, &job->result.scene, &job->text, error);
}

/* The work of one run, shared by its threads. */
typedef struct run_state {
    const phantom_writer_options *options;
    pthread_mutex_t lock;
    uint64_t done, found;
    uint64_t failed_at; /* the lowest film that failed: its message is the same for any number of threads */
    carina_status status;
    carina_error error;
} run_state;

static carina_status make_film(const phantom_writer_options *options, uint64_t index, bool *found,
                               carina_error *error) {
    film_job *job = calloc(1, sizeof *job);
    if (!job) return error_memory(error, "film", sizeof *job);
    job->options = options;
    film_names_make(&job->names, options->seed, index, options->split);
    job->returning = job->names.first != index;
    char path[MAX_PATH_TEXT];
    carina_status status =
        format_path(path, error, "%s/silver_dataset/scene_graph/%s_SceneGraph.json", options->folder, job->names.id);
    *found = status == CARINA_OK && file_exists(path);
    if (*found) { /* written last; but a picture that was lost since is made again */
        const film_names *n = &job->names;
        status = format_path(path, error, "%s/files/p%.2s/p%s/s%s/%s.jpg", options->folder, n->patient, n->patient,
                             n->study, n->id);
        *found = file_exists(path);
    }
    if (status == CARINA_OK && !*found) {
        status = render(job, index, error);
        if (status == CARINA_OK) status = write_film_files(job, error);
        if (status != CARINA_OK) error_prefix(error, "film %llu", (unsigned long long)index);
    }
    phantom_result_free(&job->result);
    free(job->grey);
    free(job);
    return status;
}

static void film_shard(void *context, int shard, int worker) {
    (void)worker;
    run_state *state = context;
    pthread_mutex_lock(&state->lock);
    bool stop = state->status != CARINA_OK || progress_interrupted();
    pthread_mutex_unlock(&state->lock);
    if (stop) return;
    carina_error error = {0};
    bool found = false;
    uint64_t index = state->options->start + (uint64_t)shard;
    carina_status status = make_film(state->options, index, &found, &error);
    pthread_mutex_lock(&state->lock);
    if (status != CARINA_OK && index < state->failed_at) {
        state->failed_at = index;
        state->status = status;
        state->error = error;
    }
    if (status == CARINA_OK) {
        state->done++;
        state->found += found;
        if (found) progress_skip(state->options->progress, 1);
        progress_update(state->options->progress, state->done, NULL);
    }
    pthread_mutex_unlock(&state->lock);
}

static carina_status check_options(const phantom_writer_options *o, carina_error *error) {
    if (!o->folder || !*o->folder) return error_set(error, CARINA_ERROR_ARGUMENT, "a folder to write to is needed");
    if (o->count == 0 || o->count > PHANTOM_WRITER_MAX_FILMS || o->start > PHANTOM_WRITER_MAX_FILMS) {
        return error_set(error, CARINA_ERROR_ARGUMENT, "films %llu to %llu: choose 1 to %u films",
                         (unsigned long long)o->start, (unsigned long long)(o->start + o->count),
                         PHANTOM_WRITER_MAX_FILMS);
    }
    bool sides = o->width >= PHANTOM_MIN_SIDE && o->width <= PHANTOM_MAX_SIDE && o->height >= PHANTOM_MIN_SIDE &&
                 o->height <= PHANTOM_MAX_SIDE;
    if (!sides) {
        return error_set(error, CARINA_ERROR_ARGUMENT, "film size %d x %d: sides must be %d to %d pixels", o->width,
                         o->height, PHANTOM_MIN_SIDE, PHANTOM_MAX_SIDE);
    }
    double sum = o->split[0] + o->split[1] + o->split[2];
    if (o->split[0] >= 0 && o->split[1] >= 0 && o->split[2] >= 0 && sum > 0 && isfinite(sum)) return CARINA_OK;
    return error_set(error, CARINA_ERROR_ARGUMENT, "shares of train, valid and test must be 0 or more, not all 0");
}

carina_status phantom_writer_run(const phantom_writer_options *options, phantom_writer_result *out,
                                 carina_error *error) {
    *out = (phantom_writer_result){0};
    TRY(check_options(options, error));
    TRY(writer_tables_begin(options, error));
    run_state state = {.options = options, .failed_at = UINT64_MAX};
    pthread_mutex_init(&state.lock, NULL);
    thread_pool_run(options->pool, (int)options->count, film_shard, &state);
    pthread_mutex_destroy(&state.lock);
    out->rendered = state.done - state.found;
    out->found = state.found;
    if (state.status != CARINA_OK) {
        if (error) *error = state.error;
        return state.status;
    }
    if (state.done < options->count) {
        return error_set(error, CARINA_ERROR_CANCELLED,
                         "%s: stopped after %llu of %llu films; the same command goes on from there", options->folder,
                         (unsigned long long)state.done, (unsigned long long)options->count);
    }
    return writer_tables_finish(options, error);
}
