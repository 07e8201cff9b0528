/* `carina locate`: the regions of chest films, as a table, as JSON, as pictures. */
#include <limits.h>
#include <stdlib.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/film_run.h"
#include "image/draw.h"
#include "pipeline/model_path.h"

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
    {"dtype", 0, OPTION_CHOICE, "f32|bf16", "arithmetic: bf16 is faster on AMX or AVX-512 BF16",
     offsetof(locate_values, dtype), 0, 0},
    {"frame", 0, OPTION_INTEGER, "N", "frame of multi-frame DICOM files, from 1", offsetof(locate_values, frame), 1,
     INT_MAX},
    OPTION_THREADS(locate_values, threads),
    {0},
};

static const locate_values locate_defaults = {0};

static void print_table(const char *path, const locator *l, const carina_location *found) {
    film_put_name(path, stdout);
    printf("  %d x %d pixels  (", found->width, found->height);
    film_put_name(locator_name(l), stdout);
    puts(")");
    printf("%3s  %-26s %8s %8s %8s %8s\n", "id", "region", "x1", "y1", "x2", "y2");
    for (int i = 0; i < found->region_count; i++) {
        const carina_region *r = &found->regions[i];
        printf("%3d  %-26s %8.1f %8.1f %8.1f %8.1f\n", r->id, r->name, (double)r->x1, (double)r->y1, (double)r->x2,
               (double)r->y2);
    }
    putchar('\n');
}

/* One line per film, so that results can be read while others are still being made. */
static void print_json(const char *path, const locator *l, const carina_location *found) {
    json_writer w = json_writer_make(stdout, JSON_ONE_LINE);
    json_begin_object(&w);
    film_put_json(&w, path, found);
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

static carina_status write_overlay(const char *folder, const locator *l, const film_job *j,
                                   const carina_location *found, carina_error *error) {
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
    TRY(film_result_path(&path, folder, j, "png", "--overlay", error));
    carina_status status = draw_overlay(path, &drawing, 0, error);
    free(path);
    return status;
}

typedef struct locate_run {
    const locate_values *v;
    carina_location found[FILM_RUN_BATCH];
} locate_run;

static carina_status work(void *context, locator *l, const study *const *films, int count, carina_error *error) {
    locate_run *r = context;
    return locator_run(l, films, count, r->found, error);
}

static int show(void *context, const locator *l, const film_job *j, int at) {
    locate_run *r = context;
    carina_location *found = &r->found[at];
    film_put_warnings(j, found);
    if (r->v->json)
        print_json(j->path, l, found);
    else
        print_table(j->path, l, found);
    carina_error error;
    int status = COMMAND_OK;
    if (r->v->overlay && write_overlay(r->v->overlay, l, j, found, &error) != CARINA_OK) status = command_fail(&error);
    carina_location_free(found);
    return status;
}

static int run(const void *values, int count, char *const *arguments) {
    const locate_values *v = values;
    locate_run r = {.v = v};
    const film_command c = {.title = "locate",
                            .model = v->model,
                            .options = {.threads = (int)v->threads, .bf16 = v->dtype == 1},
                            .frame = (int)v->frame,
                            .folders = &v->overlay,
                            .folder_count = 1,
                            .context = &r,
                            .work = work,
                            .show = show};
    return film_run(&c, count, arguments);
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
