/* The run of a command over films; see film_run.h. */
#include "cli/film_run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/output.h"

/* ---- what output has in common ---- */

void film_put_name(const char *name, FILE *out) {
    for (const char *c = name; *c; c++) putc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, out);
}

void film_put_warnings(const film_job *job, const carina_location *found) {
    for (int i = 0; i < found->warning_count; i++) {
        fputs("carina: ", stderr);
        film_put_name(job->path, stderr);
        fprintf(stderr, ": warning: %s\n", found->warnings[i]);
    }
}

static void put_texts(json_writer *w, const char *key, char *const *texts, int count) {
    json_key(w, key);
    json_begin_array(w);
    for (int i = 0; i < count; i++) json_put_text(w, texts[i]);
    json_end(w);
}

void film_put_json(json_writer *w, const char *path, const carina_location *found) {
    const carina_transform *t = &found->transform;
    json_field_text(w, "file", path);
    json_field_whole(w, "width", found->width);
    json_field_whole(w, "height", found->height);
    json_key(w, "transform");
    json_begin_object(w);
    json_field_whole(w, "film_width", t->film_width);
    json_field_whole(w, "film_height", t->film_height);
    json_field_whole(w, "left", t->left);
    json_field_whole(w, "top", t->top);
    json_field_whole(w, "side", t->side);
    json_field_whole(w, "size", t->size);
    json_end(w);
    put_texts(w, "steps", found->steps, found->step_count);
    if (found->warning_count) put_texts(w, "warnings", found->warnings, found->warning_count);
}

/* ---- names of what is written ---- */

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

/* NAME.ENDING after the film's own name. The films of that name before it in the list, of other folders or endings,
 * give it a number, NAME-2; should a film be called that itself, NAME-2_. Malloc'ed, NULL when out of memory. */
static char *result_name(const study_list *list, int index, const char *ending) {
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
    if (asprintf(&longer, "%s.%s", name, ending) < 0) longer = NULL;
    free(name);
    return longer;
}

/* What is written must never replace a film: DIR may be the folder that the films are in. */
static bool is_a_film(const char *path, const study_list *list) {
    struct stat target, source;
    if (stat(path, &target) != 0) return false;
    for (int i = 0; i < list->count; i++)
        if (strcmp(path_name(list->path[i]), path_name(path)) == 0 && stat(list->path[i], &source) == 0 &&
            source.st_dev == target.st_dev && source.st_ino == target.st_ino)
            return true;
    return false;
}

carina_status film_result_path(char **out, const char *folder, const film_job *job, const char *ending,
                               const char *chosen_by, carina_error *error) {
    char *name = result_name(job->list, job->index, ending);
    *out = name ? path_join(folder, name) : NULL;
    free(name);
    if (!*out) return error_memory(error, "the path of a result", strlen(folder));
    const output_file file = {
        .option = chosen_by, .path = *out, .kind = strcmp(ending, "html") == 0 ? OUTPUT_PAGE : OUTPUT_PICTURE};
    carina_status status;
    if (is_a_film(*out, job->list))
        status = error_set(error, CARINA_ERROR_ARGUMENT,
                           "%s: is one of the films and is not replaced by its picture; choose another folder for %s",
                           *out, chosen_by);
    else
        status = output_check(&file, 1, &(output_reading){0}, error);
    if (status == CARINA_OK) return CARINA_OK;
    free(*out);
    *out = NULL;
    return status;
}

/* ---- the run ---- */

static void read_film(void *context, int shard, int worker) {
    (void)worker;
    film_job *j = (film_job *)context + shard;
    j->status = study_open(&j->study, j->path, j->film_options, &j->error);
    if (j->status == CARINA_OK) j->status = study_check_size(&j->study, &j->error);
}

/* Reads the films side by side, works on the good ones together, and reports in the order of the command line. */
static int run_batch(const film_command *c, locator *l, film_job *jobs, int count) {
    const study *good[FILM_RUN_BATCH];
    int good_count = 0, status = COMMAND_OK;
    thread_pool_run(locator_threads(l), count, read_film, jobs);
    for (int i = 0; i < count; i++) {
        if (jobs[i].status == CARINA_OK) good[good_count++] = &jobs[i].study;
    }
    carina_error error;
    carina_status worked = good_count ? c->work(c->context, l, good, good_count, &error) : CARINA_OK;
    for (int i = 0, at = 0; i < count; i++) {
        if (jobs[i].status != CARINA_OK) {
            status = command_fail(&jobs[i].error);
        } else if (worked != CARINA_OK) {
            error_set(&jobs[i].error, worked, "%s: %s", jobs[i].path, error.message);
            status = command_fail(&jobs[i].error);
        } else {
            int shown = c->show(c->context, l, &jobs[i], at++);
            if (shown != COMMAND_OK) status = shown;
        }
        study_close(&jobs[i].study);
    }
    return status;
}

static int run_all(const film_command *c, locator *l, const study_list *list) {
    film_job *jobs = calloc(FILM_RUN_BATCH, sizeof *jobs);
    carina_error error;
    if (!jobs) {
        error_memory(&error, "a batch of films", FILM_RUN_BATCH * sizeof *jobs);
        return command_fail(&error);
    }
    const film_options reading = {.frame = c->frame};
    int batch = locator_batch(l) < FILM_RUN_BATCH ? locator_batch(l) : FILM_RUN_BATCH, status = COMMAND_OK;
    progress *p = list->count > 2 * batch ? progress_start(c->title, "films", 0, (uint64_t)list->count) : NULL;
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
        if (run_batch(c, l, jobs, count) != COMMAND_OK) status = COMMAND_FAILED;
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

static carina_status prepare(const film_command *c, locator **l, const study_list *list, carina_error *error) {
    for (int i = 0; i < c->folder_count; i++)
        if (c->folders[i]) {
            TRY(file_make_folders(c->folders[i], error));
            TRY(file_check_folder(c->folders[i], error));
        }
    if (!list->count) return CARINA_OK;
    TRY(locator_open(l, c->model, &c->options, error));
    return c->open ? c->open(c->context, *l, error) : CARINA_OK;
}

int film_run(const film_command *c, int count, char *const *arguments) {
    carina_error error;
    int status = COMMAND_OK;
    study_list list = {0};
    progress_catch_interrupts();
    for (int i = 0; i < count; i++) {
        if (study_list_add(&list, arguments[i], &error) != CARINA_OK) status = command_fail(&error);
    }
    for (int i = 0; i < list.note_count; i++) fprintf(stderr, "carina: %s\n", list.note[i]);
    if (list.unread_count) status = COMMAND_FAILED;
    locator *l = NULL;
    if (prepare(c, &l, &list, &error) != CARINA_OK) {
        status = command_fail(&error);
    } else if (list.count) {
        int ran = run_all(c, l, &list);
        if (ran != COMMAND_OK) status = ran;
    }
    locator_close(l);
    study_list_free(&list);
    return status;
}
