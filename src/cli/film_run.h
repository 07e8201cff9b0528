/* What the commands that look at films share: files, folders and DICOMDIRs from the command line, read side by side,
 * batch after batch through a locator, reported in the order of the command line; and what their output has in common.
 *
 * Files that cannot be read are reported, the others go on, and the exit status is 1. An interrupt ends the run between
 * batches: no line of results and no picture is cut in two.
 */
#ifndef CLI_FILM_RUN_H
#define CLI_FILM_RUN_H

#include <stdio.h>

#include "format/json_writer.h"
#include "pipeline/locate.h"
#include "pipeline/study.h"

#define FILM_RUN_BATCH 64

/* One film of a batch, on its way from path to result. */
typedef struct film_job {
    const char *path;       /* list->path[index] */
    const study_list *list; /* all films of this run */
    int index;
    const film_options *film_options;
    study study;
    carina_status status;
    carina_error error;
} film_job;

/* A command over films. */
typedef struct film_command {
    const char *title; /* of the progress line */
    const char *model; /* as in model_path.h */
    locator_options options;
    int frame;                  /* of multi-frame files, from 1; 0 not given */
    const char *const *folders; /* [folder_count] made before the first film; NULL entries are passed over */
    int folder_count;
    void *context;
    /* Once, when the model is open; NULL: nothing to do. */
    carina_status (*open)(void *context, locator *l, carina_error *error);
    /* Results 0 .. count - 1 (at most FILM_RUN_BATCH) for these films; on error none is made. */
    carina_status (*work)(void *context, locator *l, const study *const *films, int count, carina_error *error);
    /* Prints and frees result `at`; returns an exit status, errors have been printed by then. */
    int (*show)(void *context, const locator *l, const film_job *job, int at);
} film_command;

/* The whole run; returns an exit status. */
int film_run(const film_command *command, int count, char *const *arguments);

/* FOLDER/NAME.ENDING after the film's own name, malloc'ed. The films of that name before it in the list, of other
 * folders or endings, give it a number, NAME-2. A path that is one of the films themselves is refused, and
 * a file that is not Carina's (cli/output.h). chosen_by: what chose the folder ("--overlay"), for the message. */
carina_status film_result_path(char **out, const char *folder, const film_job *job, const char *ending,
                               const char *chosen_by, carina_error *error);

/* Names of files may hold line breaks and terminal escapes; shown to people they become '?', as in error messages. */
void film_put_name(const char *name, FILE *out);
void film_put_warnings(const film_job *job, const carina_location *found); /* to standard error */
/* file, width, height, transform, steps and warnings, in an object that is open. */
void film_put_json(json_writer *w, const char *path, const carina_location *found);

#endif
