/* `carina locate`: the regions of chest films, as a table, as JSON, as pictures. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "format/json_writer.h"
#include "image/draw.h"
#include "pipeline/locate.h"
#include "pipeline/model_path.h"
#include "pipeline/study.h"

typedef struct locate_values {
    const char *model, *overlay;
    bool json;
    int dtype; /* 0 f32, 1 bf16 */
    int64_t threads, frame;
} locate_values;

static const option locate_options[] = {
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model to use (default: " MODEL_PATH_DEFAULT ")",
     offsetof(locate_values, model), 0, 0},
    OPTION_JSON(locate_values, json),
    {"overlay", 'o', OPTION_FOLDER, "DIR", "write each film with its named boxes to DIR as PNG",
     offsetof(locate_values, overlay), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "arithmetic: bf16 is faster with AMX", offsetof(locate_values, dtype), 0,
     0},
    {"frame", 0, OPTION_INTEGER, "N", "frame of multi-frame DICOM files, from 1", offsetof(locate_values, frame), 1,
     INT_MAX},
    OPTION_THREADS(locate_values, threads),
    {0},
};

static const locate_values locate_defaults = {0};

/* One film of a batch, on its way from path to result. */
typedef struct job {
    const char *path;       /* list->path[index] */
    const study_list *list; /* all films of this run */
    int index;
    const film_options *film_options;
    study study;
    carina_status status;
    carina_error error;
} job;

#define MAX_BATCH 64

static void read_film(void *context, int shard, int worker) {
    (void)worker;
    job *j = (job *)context + shard;
    j->status = study_open(&j->study, j->path, j->film_options, &j->error);
    if (j->status == CARINA_OK) j->status = study_check_size(&j->study, &j->error);
}

/* Names of files may hold line breaks and terminal escapes; shown to people they become '?', as in error messages. */
static void put_name(const char *name, FILE *out) {
    for (const char *c = name; *c; c++) putc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, out);
}

static void print_table(const char *path, const locator *l, const carina_location *found) {
    put_name(path, stdout);
    printf("  %d x %d pixels  (", found->width, found->height);
    put_name(locator_name(l), stdout);
    puts(")");
    printf("%3s  %-26s %8s %8s %8s %8s\n", "id", "region", "x1", "y1", "x2", "y2");
    for (int i = 0; i < found->region_count; i++) {
        const carina_region *r = &found->regions[i];
        printf("%3d  %-26s %8.1f %8.1f %8.1f %8.1f\n", r->id, r->name, (double)r->x1, (double)r->y1, (double)r->x2,
               (double)r->y2);
    }
    putchar('\n');
}

static void put_texts(json_writer *w, const char *key, char *const *texts, int count) {
    json_key(w, key);
    json_begin_array(w);
    for (int i = 0; i < count; i++) json_put_text(w, texts[i]);
    json_end(w);
}

/* One line per film, so that results can be read while others are still being made. */
static void print_json(const char *path, const locator *l, const carina_location *found) {
    json_writer w = json_writer_make(stdout, JSON_ONE_LINE);
    const carina_transform *t = &found->transform;
    json_begin_object(&w);
    json_field_text(&w, "file", path);
    json_field_whole(&w, "width", found->width);
    json_field_whole(&w, "height", found->height);
    json_key(&w, "transform");
    json_begin_object(&w);
    json_field_whole(&w, "film_width", t->film_width);
    json_field_whole(&w, "film_height", t->film_height);
    json_field_whole(&w, "left", t->left);
    json_field_whole(&w, "top", t->top);
    json_field_whole(&w, "side", t->side);
    json_field_whole(&w, "size", t->size);
    json_end(&w);
    put_texts(&w, "steps", found->steps, found->step_count);
    if (found->warning_count) put_texts(&w, "warnings", found->warnings, found->warning_count);
    json_field_text(&w, "model", locator_name(l));
    json_key(&w, "regions");
    json_begin_array(&w);
    for (int i = 0; i < found->region_count; i++) {
        const carina_region *r = &found->regions[i];
        json_begin_object(&w);
        json_field_whole(&w, "id", r->id);
        json_field_text(&w, "name", r->name);
        json_field_numbers(&w, "box", (float[]){r->x1, r->y1, r->x2, r->y2}, 4, 1);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
}

/* A film's name without folder and ending. */
static const char *stem_of(const char *path, int *length) {
    const char *name = path_name(path), *dot = strrchr(name, '.');
    *length = dot && dot > name ? (int)(dot - name) : (int)strlen(name);
    return name;
}

/* How many of the first `count` films have this stem. */
static int films_with_stem(const study_list *list, int count, const char *stem, int length) {
    int same = 0;
    for (int i = 0; i < count; i++) {
        int other_length;
        const char *other = stem_of(list->path[i], &other_length);
        same += other_length == length && strncmp(other, stem, (size_t)length) == 0;
    }
    return same;
}

/* NAME.png after the film's own name. The films of that name before it in the list, of other folders or endings, give
 * it a number, NAME-2; should a film be called that itself, NAME-2_. Malloc'ed, NULL when out of memory. */
static char *overlay_name(const study_list *list, int index) {
    int length;
    const char *stem = stem_of(list->path[index], &length);
    int before = films_with_stem(list, index, stem, length);
    char *name = NULL, *longer;
    if (asprintf(&name, before ? "%.*s-%d" : "%.*s", length, stem, before + 1) < 0) return NULL;
    while (before && films_with_stem(list, list->count, name, (int)strlen(name)) > 0) {
        if (asprintf(&longer, "%s_", name) < 0) longer = NULL;
        free(name);
        if (!longer) return NULL;
        name = longer;
    }
    if (asprintf(&longer, "%s.png", name) < 0) longer = NULL;
    free(name);
    return longer;
}

/* A picture must never replace a film: DIR may be the folder that the films are in. */
static bool is_a_film(const char *path, const study_list *list) {
    struct stat target, source;
    if (stat(path, &target) != 0) return false;
    for (int i = 0; i < list->count; i++)
        if (strcmp(path_name(list->path[i]), path_name(path)) == 0 && stat(list->path[i], &source) == 0 &&
            source.st_dev == target.st_dev && source.st_ino == target.st_ino)
            return true;
    return false;
}

static carina_status overlay_path(char **out, const char *folder, const study_list *list, int index,
                                  carina_error *error) {
    char *name = overlay_name(list, index);
    *out = name ? path_join(folder, name) : NULL;
    free(name);
    if (!*out) return error_memory(error, "the path of a picture", strlen(folder));
    if (!is_a_film(*out, list)) return CARINA_OK;
    carina_status status = error_set(
        error, CARINA_ERROR_ARGUMENT,
        "%s: is one of the films and is not replaced by its picture; choose another folder for --overlay", *out);
    free(*out);
    return status;
}

static carina_status write_overlay(const char *folder, const locator *l, const job *j, const carina_location *found,
                                   carina_error *error) {
    draw_box boxes[ATLAS_MAX_REGIONS];
    for (int i = 0; i < found->region_count; i++) {
        const carina_region *r = &found->regions[i];
        boxes[i] = (draw_box){
            .frame = {r->x1, r->y1, r->x2, r->y2}, .label = r->name, .colour = locator_regions(l)->regions[i].colour};
    }
    char caption[256];
    snprintf(caption, sizeof caption, "%s, model %s", path_name(j->path), locator_name(l));
    const draw_film drawing = {.picture = &j->study.film.picture,
                               .file_width = found->width,
                               .file_height = found->height,
                               .boxes = boxes,
                               .box_count = found->region_count,
                               .caption = caption};
    char *path;
    TRY(overlay_path(&path, folder, j->list, j->index, error));
    carina_status status = draw_overlay(path, &drawing, 0, error);
    free(path);
    return status;
}

static int show(const locate_values *v, const locator *l, const job *j, const carina_location *found) {
    for (int i = 0; i < found->warning_count; i++) {
        fputs("carina: ", stderr);
        put_name(j->path, stderr);
        fprintf(stderr, ": warning: %s\n", found->warnings[i]);
    }
    if (v->json)
        print_json(j->path, l, found);
    else
        print_table(j->path, l, found);
    carina_error error;
    if (v->overlay && write_overlay(v->overlay, l, j, found, &error) != CARINA_OK) return command_fail(&error);
    return COMMAND_OK;
}

/* Reads the films side by side, locates the good ones together, and reports in the order of the command line. */
static int run_batch(const locate_values *v, locator *l, job *jobs, int count) {
    const study *good[MAX_BATCH];
    carina_location found[MAX_BATCH];
    int good_count = 0, status = COMMAND_OK;
    thread_pool_run(locator_threads(l), count, read_film, jobs);
    for (int i = 0; i < count; i++) {
        if (jobs[i].status == CARINA_OK) good[good_count++] = &jobs[i].study;
    }
    carina_error error;
    carina_status located = locator_run(l, good, good_count, found, &error);
    for (int i = 0, at = 0; i < count; i++) {
        if (jobs[i].status != CARINA_OK) {
            status = command_fail(&jobs[i].error);
        } else if (located != CARINA_OK) {
            error_set(&jobs[i].error, located, "%s: %s", jobs[i].path, error.message);
            status = command_fail(&jobs[i].error);
        } else {
            int shown = show(v, l, &jobs[i], &found[at]);
            if (shown != COMMAND_OK) status = shown;
            carina_location_free(&found[at++]);
        }
        study_close(&jobs[i].study);
    }
    return status;
}

static int run_all(const locate_values *v, locator *l, const study_list *list) {
    job *jobs = calloc(MAX_BATCH, sizeof *jobs);
    carina_error error;
    if (!jobs) {
        error_memory(&error, "a batch of films", MAX_BATCH * sizeof *jobs);
        return command_fail(&error);
    }
    const film_options reading = {.frame = (int)v->frame};
    int batch = locator_batch(l) < MAX_BATCH ? locator_batch(l) : MAX_BATCH, status = COMMAND_OK;
    progress *p = list->count > 2 * batch ? progress_start("locate", "films", 0, (uint64_t)list->count) : NULL;
    int done = 0;
    while (done < list->count && !ferror(stdout) && !progress_interrupted()) {
        int count = list->count - done < batch ? list->count - done : batch;
        memset(jobs, 0, (size_t)count * sizeof *jobs);
        for (int i = 0; i < count; i++) {
            jobs[i].path = list->path[done + i];
            jobs[i].list = list;
            jobs[i].index = done + i;
            jobs[i].film_options = &reading;
        }
        if (run_batch(v, l, jobs, count) != COMMAND_OK) status = COMMAND_FAILED;
        done += count;
        progress_update(p, (uint64_t)done, NULL);
    }
    progress_finish(p);
    free(jobs);
    if (done < list->count && progress_interrupted()) {
        error_set(&error, CARINA_ERROR_CANCELLED, "interrupted after %d of %d films", done, list->count);
        return command_fail(&error);
    }
    return status;
}

static int run(const void *values, int count, char *const *arguments) {
    const locate_values *v = values;
    carina_error error;
    int status = COMMAND_OK;
    study_list list = {0};
    progress_catch_interrupts(); /* between batches: no line of results and no picture is cut in two */
    for (int i = 0; i < count; i++) {
        if (study_list_add(&list, arguments[i], &error) != CARINA_OK) status = command_fail(&error);
    }
    for (int i = 0; i < list.note_count; i++) fprintf(stderr, "carina: %s\n", list.note[i]);
    if (list.unread_count) status = COMMAND_FAILED;
    locator *l = NULL;
    const locator_options options = {(int)v->threads, v->dtype == 1};
    if (v->overlay && file_make_folders(v->overlay, &error) != CARINA_OK) {
        status = command_fail(&error);
    } else if (list.count && locator_open(&l, v->model, &options, &error) != CARINA_OK) {
        status = command_fail(&error);
    } else if (list.count) {
        int located = run_all(v, l, &list);
        if (located != COMMAND_OK) status = located;
    }
    locator_close(l);
    study_list_free(&list);
    return status;
}

const command command_locate = {
    .name = "locate",
    .summary = "find the anatomical regions on chest films",
    .arguments = "FILE...",
    .description =
        "Reads frontal chest films (DICOM, PNG, JPEG; a folder or DICOMDIR stands for its films) and gives one box\n"
        "for each region of the model's set, in the pixels of the file: x1 y1 is the top left corner, right and left\n"
        "are the patient's. A file that cannot be read is reported and the others go on; the exit status is then 1.\n"
        "So is, in a folder, what cannot be opened or is named .dcm, .png or .jpg and is none; other files there that\n"
        "are no films are only mentioned. A film has at least 64 pixels on its shorter side.\n"
        "\n"
        "--json prints one object a film, each on a line of its own: file, width, height, transform (how the\n"
        "network's square was made), steps (what was done to the grey levels), model, and regions with id, name and\n"
        "box. Bytes of a file's name that are not UTF-8 stand there as U+FFFD. Research software, not a medical "
        "device.\n",
    .examples =
        "carina locate film.dcm\n"
        "carina locate --overlay pictures films/*.png\n"
        "carina locate --json study/ | jq '.regions[] | select(.name == \"carina\")'\n"
        "carina locate --model ./runs/mine/best.safetensors --dtype bf16 film.png\n",
    .options = locate_options,
    .defaults = &locate_defaults,
    .values_size = sizeof(locate_values),
    .least = 1,
    .most = -1,
    .run = run,
};
