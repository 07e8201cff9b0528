/* `carina interpret`: what each region of a chest film shows, and the findings of the whole film. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/interpret_output.h"
#include "cli/ranking_option.h"
#include "pipeline/model_path.h"

typedef struct interpret_values {
    const char *model, *database, *folders[3]; /* overlay, html, attention */
    bool json, force, cosine;
    int dtype; /* 0 f32, 1 bf16 */
    int64_t threads, frame, top;
} interpret_values;

static const option interpret_options[] = {
    {"model", 'm', OPTION_TEXT, "NAME|PATH", "model to use (default: " MODEL_PATH_DEFAULT ")",
     offsetof(interpret_values, model), 0, 0},
    {"database", 'd', OPTION_FILE, "FILE", "sentence database (default: NAME.sentences.sqlite beside the model)",
     offsetof(interpret_values, database), 0, 0},
    {"top", 'k', OPTION_INTEGER, "K", "sentences to give for each region, the best first (default 1)",
     offsetof(interpret_values, top), 1, SENTENCE_INDEX_MAX_K},
    OPTION_COSINE(interpret_values, cosine),
    OPTION_JSON(interpret_values, json),
    {"overlay", 'o', OPTION_FOLDER, "DIR", "write each film with boxes coloured by finding to DIR as PNG",
     offsetof(interpret_values, folders[0]), 0, 0},
    {"html", 0, OPTION_FOLDER, "DIR", "write a page for each film to DIR, complete in itself",
     offsetof(interpret_values, folders[1]), 0, 0},
    {"attention", 0, OPTION_FOLDER, "DIR", "write what each region's token attends to over the film to DIR as PNG",
     offsetof(interpret_values, folders[2]), 0, 0},
    {"force", 'f', OPTION_FLAG, NULL, "interpret what does not look like a frontal chest film too",
     offsetof(interpret_values, force), 0, 0},
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "arithmetic: bf16 is faster on AMX or AVX-512 BF16",
     offsetof(interpret_values, dtype), 0, 0},
    {"frame", 0, OPTION_INTEGER, "N", "frame of multi-frame DICOM files, from 1", offsetof(interpret_values, frame), 1,
     INT_MAX},
    OPTION_THREADS(interpret_values, threads),
    {0},
};

static const interpret_values interpret_defaults = {.top = 1};

typedef struct interpret_run {
    const interpret_values *v;
    interpreter *interpreter;
    interpretation made[FILM_RUN_BATCH];
} interpret_run;

static carina_status open_run(void *context, locator *l, carina_error *error) {
    interpret_run *r = context;
    const interpreter_options options = {r->v->database, (int)r->v->top, r->v->cosine};
    TRY(interpreter_open(&r->interpreter, l, &options, error));
    if (!interpreter_database(r->interpreter))
        fputs(
            "carina: no sentence database for this model: boxes and image findings only (--database FILE, or a file "
            "MODEL.sentences.sqlite beside the model)\n",
            stderr);
    return CARINA_OK;
}

static carina_status work(void *context, locator *l, const study *const *films, int count, carina_error *error) {
    interpret_run *r = context;
    (void)l;
    return interpreter_run(r->interpreter, films, count, r->made, error);
}

static int refuse(const interpret_view *view) {
    const film_check *c = &view->made->check;
    carina_error error;
    error_set(&error, CARINA_ERROR_UNSUPPORTED,
              "%s: does not look like a frontal chest film: %s (score %.2f of %.2f wanted); --force interprets it all "
              "the same",
              view->job->path, film_measure_reason(c->reason), (double)c->score, (double)FILM_CHECK_LEAST);
    return command_fail(&error);
}

static int write_pictures(const interpret_view *view, const interpret_values *v) {
    typedef carina_status writer(const interpret_view *, const char *, carina_error *);
    static writer *const writers[] = {interpret_write_overlay, interpret_write_html, interpret_write_attention};
    int status = COMMAND_OK;
    carina_error error;
    for (int i = 0; i < 3; i++)
        if (v->folders[i] && writers[i](view, v->folders[i], &error) != CARINA_OK) status = command_fail(&error);
    return status;
}

static int show(void *context, const locator *l, const film_job *job, int at) {
    interpret_run *r = context;
    interpretation *made = &r->made[at];
    const interpret_view view = {.locator = l,
                                 .interpreter = r->interpreter,
                                 .job = job,
                                 .made = made,
                                 .refused = made->check.refused && !r->v->force};
    film_put_warnings(job, &made->location);
    if (made->check.mirrored[0]) {
        fputs("carina: ", stderr);
        film_put_name(job->path, stderr);
        fprintf(stderr, ": warning: %s\n", made->check.mirrored);
    }
    if (r->v->json)
        interpret_print_json(&view);
    else
        interpret_print_table(&view);
    int status = view.refused ? refuse(&view) : write_pictures(&view, r->v);
    interpretation_free(made);
    return status;
}

static int run(const void *values, int count, char *const *arguments) {
    const interpret_values *v = values;
    interpret_run r = {.v = v};
    const film_command c = {
        .title = "interpret",
        .model = v->model,
        .options = {.threads = (int)v->threads, .bf16 = v->dtype == 1, .attention = v->folders[2] != NULL},
        .frame = (int)v->frame,
        .folders = v->folders,
        .folder_count = 3,
        .context = &r,
        .open = open_run,
        .work = work,
        .show = show};
    int status = film_run(&c, count, arguments);
    interpreter_close(r.interpreter);
    return status;
}

const command command_interpret = {
    .name = "interpret",
    .summary = "say what each region of chest films shows",
    .arguments = "FILE...",
    .description =
        "Reads frontal chest films as `carina locate` does and gives for each region its box, the sentence of the\n"
        "model's sentence database that fits it best, and for the whole film the 14 findings\n"
        "with a probability. The database is a file NAME.sentences.sqlite beside the model NAME.safetensors, or\n"
        "--database; one that was made with another model is an error. Without any there are boxes and findings only.\n"
        "\n"
        "Sentences come with their cosine and, where the model's file holds a calibration of them (carina eval\n"
        "calibrate --database), with a probability. They are ranked by what saying them is worth where the\n"
        "calibration knows that (then a finding can stand before a likelier \"is healthy\"), else by probability,\n"
        "else by cosine; the output says by which.\n"
        "\n"
        "A picture that does not look like a frontal chest film is refused with the reason and a score (0 to 1, 0.5 "
        "is\n"
        "wanted); the exit status is then 1. --force interprets it all the same. One that seems mirrored is only\n"
        "warned of. Probabilities of a model whose file holds no calibration are not calibrated, and say so.\n"
        "\n"
        "--json prints one object a film, each on a line of its own: what `carina locate --json` has, and model,\n"
        "database, sentence_ranking, frontal_chest_film (score, reason, measures, side_marker, mirrored), refused,\n"
        "calibrated, findings, and regions with healthy, sentence, similarity, probability, seen and runners_up.\n"
        "--html writes pages that need nothing beside them.\n"
        "Research software, not a medical device.\n",
    .examples =
        "carina interpret film.dcm\n"
        "carina interpret --top 3 --html pages films/*.png\n"
        "carina interpret --json study/ | jq '.regions[] | select(.healthy == false) | .sentence'\n"
        "carina interpret --database mine.sentences.sqlite --attention pictures film.png\n",
    .options = interpret_options,
    .defaults = &interpret_defaults,
    .values_size = sizeof(interpret_values),
    .least = 1,
    .most = -1,
    .run = run,
};
