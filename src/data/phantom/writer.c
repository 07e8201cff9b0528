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
#include "data/phantom/finding_truth.h"
#include "data/phantom/parameters.h"
#include "data/phantom/report.h"
#include "data/phantom/scene_graph_write.h"
#include "data/phantom/writer_tables.h"
#include "format/dicom.h"
#include "format/jpeg.h"
#include "format/json.h"
#include "format/json_writer.h"
#include "format/png.h"

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

static carina_status write_mask(const film_job *job, const char *folder, const char *name, const uint8_t *mask,
                                uint8_t *scratch, carina_error *error) {
    char path[MAX_PATH_TEXT];
    TRY(format_path(path, error, "%s/%s.png", folder, name));
    size_t count = (size_t)job->options->width * (size_t)job->options->height;
    for (size_t i = 0; i < count; i++) scratch[i] = mask[i] ? 255 : 0;
    return png_save_grey8(path, scratch, job->options->width, job->options->height, error);
}

/* "lesion_03_nodule", "device_00_chest_tube" */
static void mask_name(char out[80], const char *what, int index, const char *kind) {
    int length = snprintf(out, 80, "%s_%02d_%s", what, index, kind);
    for (int i = 0; i < length && i < 79; i++)
        if (out[i] == ' ' || out[i] == '-') out[i] = '_';
}

static void put_finding(json_writer *w, const finding_entry *entry) {
    json_put_text(w, entry->attribute);
    for (int i = 0; i < 3 && entry->implied[i]; i++) json_put_text(w, entry->implied[i]);
}

static void put_box(json_writer *w, box extent) {
    json_field_numbers(w, "box", (float[]){extent.x1, extent.y1, extent.x2, extent.y2}, 4, 1);
}

/* What masks tell of wherever it is: without one of these on the film there is no mask of it. */
static void put_described(json_writer *w) {
    const char *names[4 * FINDING_KIND_COUNT + FINDING_DEVICE_COUNT];
    int count = 0;
    for (int kind = 0; kind < FINDING_KIND_COUNT; kind++) {
        const finding_entry *entry = &finding_table[kind];
        if (!finding_film_paints((finding_kind)kind)) continue;
        names[count++] = entry->attribute;
        for (int i = 0; i < 3 && entry->implied[i]; i++) names[count++] = entry->implied[i];
    }
    for (int i = 0; i < FINDING_DEVICE_COUNT; i++)
        if (finding_devices[i].attribute) names[count++] = finding_devices[i].attribute;
    json_key(w, "described");
    json_begin_inline(w, false);
    for (int i = 0; i < count; i++) {
        bool before = false;
        for (int k = 0; k < i; k++) before |= strcmp(names[k], names[i]) == 0;
        if (!before) json_put_text(w, names[i]);
    }
    json_end(w);
}

static void put_organs(json_writer *w) {
    static const char *const organs[3] = {"right_lung", "left_lung", "heart"};
    static const char *const regions[3] = {"right lung", "left lung", "cardiac silhouette"};
    for (int i = 0; i < 3; i++) {
        json_begin_inline(w, true);
        json_field_text(w, "name", organs[i]);
        json_field_text(w, "region", regions[i]);
        json_end(w);
    }
}

static void put_lesions(json_writer *w, const film_job *job) {
    const phantom_scene *scene = &job->result.scene;
    char name[80];
    for (int i = 0; i < scene->lesion_count; i++) {
        const phantom_lesion *lesion = &scene->lesions[i];
        mask_name(name, "lesion", i, lesion->name);
        json_begin_inline(w, true);
        json_field_text(w, "name", name);
        json_field_text(w, "finding", lesion->name);
        json_key(w, "attributes");
        json_begin_inline(w, false);
        put_finding(w, &finding_table[job->film.list.items[job->film.lesion_finding[i]].kind]);
        json_end(w);
        put_box(w, lesion->extent);
        json_end(w);
    }
}

static void put_devices(json_writer *w, const phantom_scene *scene) {
    char name[80];
    for (int i = 0; i < scene->device_count; i++) {
        const phantom_device *device = &scene->devices[i];
        const finding_device *words = finding_device_find(device->name);
        mask_name(name, "device", i, device->name);
        json_begin_inline(w, true);
        json_field_text(w, "name", name);
        json_field_text(w, "device", device->name);
        json_key(w, "attributes");
        json_begin_inline(w, false);
        if (words && words->attribute) json_put_text(w, words->attribute);
        json_end(w);
        put_box(w, device->extent);
        json_end(w);
    }
}

static carina_status write_mask_index(const film_job *job, const char *folder, carina_error *error) {
    char path[MAX_PATH_TEXT];
    TRY(format_path(path, error, "%s/masks.json", folder));
    file_writer *writer;
    TRY(file_writer_open(&writer, path, error));
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "image_id", job->names.id);
    put_described(&w);
    json_key(&w, "masks");
    json_begin_array(&w);
    put_organs(&w);
    put_lesions(&w, job);
    put_devices(&w, &job->result.scene);
    json_end(&w);
    json_end(&w);
    return file_writer_commit(writer, error);
}

static carina_status write_masks(const film_job *job, uint8_t *scratch, carina_error *error) {
    char folder[MAX_PATH_TEXT], name[80];
    const phantom_scene *scene = &job->result.scene;
    TRY(format_path(folder, error, "%s/masks/%s", job->options->folder, job->names.id));
    TRY(file_make_folders(folder, error));
    file_remove_unfinished(folder);
    TRY(write_mask(job, folder, "right_lung", scene->lung_mask[0], scratch, error));
    TRY(write_mask(job, folder, "left_lung", scene->lung_mask[1], scratch, error));
    TRY(write_mask(job, folder, "heart", scene->heart_mask, scratch, error));
    for (int i = 0; i < scene->lesion_count; i++) {
        mask_name(name, "lesion", i, scene->lesions[i].name);
        TRY(write_mask(job, folder, name, scene->lesions[i].mask, scratch, error));
    }
    for (int i = 0; i < scene->device_count; i++) {
        mask_name(name, "device", i, scene->devices[i].name);
        TRY(write_mask(job, folder, name, scene->devices[i].mask, scratch, error));
    }
    return write_mask_index(job, folder, error);
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
        uint8_t *scratch = malloc((size_t)job->options->width * (size_t)job->options->height);
        if (!scratch) return error_memory(error, "mask", (unsigned long long)job->options->width);
        carina_status status = write_masks(job, scratch, error);
        free(scratch);
        if (status != CARINA_OK) return status;
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
