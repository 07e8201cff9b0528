/* Pictures of an interpretation: boxes with what they show, and what each region attends to; see interpret_output.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/finding_colours.h"
#include "cli/interpret_output.h"
#include "image/draw.h"
#include "image/resize.h"

#define COLOUR_HEALTHY 0x4FB477u

/* "left lung: pneumonia and edema"; a healthy region has only its name. Malloc'ed, NULL when out of memory. */
static char *label_of(const interpret_view *v, int r) {
    const interpreted_region *said = &v->made->regions[r];
    const char *name = v->made->location.regions[r].name;
    if (!said->count || said->healthy) return strdup(name);
    char *what = interpret_said(said->sentences[0].text, locator_regions(v->locator)->regions[r].display_name), *label;
    if (!what || asprintf(&label, "%s: %s", name, what) < 0) label = NULL;
    free(what);
    return label;
}

/* The legend: what each colour means, then healthy regions where there are any. Returns how many keys. */
static int make_keys(draw_key *keys, const interpret_view *v, const finding_colours *colours) {
    const interpretation *m = v->made;
    int count = 0, healthy = 0;
    for (; count < colours->count; count++)
        keys[count] = (draw_key){colours->name[count], colours->colour[count], DRAW_SOLID};
    for (int r = 0; r < m->location.region_count; r++) healthy += m->regions[r].count && m->regions[r].healthy;
    if (healthy) keys[count++] = (draw_key){"healthy", COLOUR_HEALTHY, DRAW_DOTTED};
    return count;
}

static draw_box make_box(const interpret_view *v, int r, const finding_colours *colours, char *label) {
    const carina_region *at = &v->made->location.regions[r];
    draw_box b = {.frame = {at->x1, at->y1, at->x2, at->y2}, .label = label, .line = DRAW_SOLID};
    if (colours->of_region[r] >= 0) {
        b.colour = colours->colour[colours->of_region[r]];
    } else if (v->made->regions[r].count) {
        b.colour = COLOUR_HEALTHY;
        b.line = DRAW_DOTTED;
    } else {
        b.colour = locator_regions(v->locator)->regions[r].colour;
    }
    return b;
}

/* Boxes of regions that are not healthy come last, over the others. Labels are the caller's to free, also after an
 * error. */
static carina_status make_boxes(draw_box *boxes, const interpret_view *v, const finding_colours *colours,
                                const char *path, carina_error *error) {
    int count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int r = 0; r < v->made->location.region_count; r++) {
            if ((colours->of_region[r] >= 0) != (pass == 1)) continue;
            char *label = label_of(v, r);
            if (!label) return error_memory(error, path, 0);
            boxes[count++] = make_box(v, r, colours, label);
        }
    return CARINA_OK;
}

static carina_status draw(const interpret_view *v, const char *path, draw_box *boxes, finding_colours *colours,
                          carina_error *error) {
    const interpretation *m = v->made;
    const char *sentences[ATLAS_MAX_REGIONS] = {0};
    draw_key keys[FINDING_COLOURS + 1];
    char caption[400];
    for (int r = 0; r < m->location.region_count; r++)
        if (m->regions[r].count && !m->regions[r].healthy) sentences[r] = m->regions[r].sentences[0].text;
    TRY(finding_colours_choose(colours, sentences, locator_regions(v->locator), error));
    TRY(make_boxes(boxes, v, colours, path, error));
    snprintf(caption, sizeof caption, "%s, model %s%s", path_name(v->job->path), locator_name(v->locator),
             m->check.mirrored[0] ? "; seems mirrored" : "");
    const draw_film drawing = {.picture = &v->job->study.film.picture,
                               .file_width = m->location.width,
                               .file_height = m->location.height,
                               .boxes = boxes,
                               .box_count = m->location.region_count,
                               .keys = keys,
                               .key_count = make_keys(keys, v, colours),
                               .caption = caption};
    return draw_overlay(path, &drawing, 0, error);
}

carina_status interpret_write_overlay(const interpret_view *v, const char *folder, carina_error *error) {
    char *path;
    finding_colours colours = {0};
    TRY(film_result_path(&path, folder, v->job, "png", "--overlay", error));
    draw_box *boxes = calloc(ATLAS_MAX_REGIONS, sizeof *boxes);
    carina_status status =
        boxes ? draw(v, path, boxes, &colours, error) : error_memory(error, path, ATLAS_MAX_REGIONS * sizeof *boxes);
    for (int r = 0; boxes && r < ATLAS_MAX_REGIONS; r++) free((char *)boxes[r].label);
    finding_colours_free(&colours);
    free(boxes);
    free(path);
    return status;
}

/* ---- attention ---- */

#define TILE    260 /* pixels of one region's film */
#define COLUMNS 6

/* One region's attention as a heat over the film: patches of the network's square, enlarged, and cut to the part of the
 * square that the film takes; from 0 where it is least to 1 where it is most. */
static carina_status make_heat(image *out, const interpret_view *v, int r, carina_error *error) {
    const locator_reading *reading = &v->made->reading;
    const carina_transform *t = &v->made->location.transform;
    int grid = reading->grid, width = (int)lround((double)TILE * t->film_width / t->side),
        height = (int)lround((double)TILE * t->film_height / t->side),
        left = (int)lround((double)TILE * t->left / t->side), top = (int)lround((double)TILE * t->top / t->side);
    if (width < 1) width = 1;
    if (height < 1) height = 1;
    float *row = reading->attention + (size_t)r * (size_t)grid * (size_t)grid;
    const image patches = {.width = grid, .height = grid, .value = row};
    image square;
    TRY(resize(&square, &patches, TILE, TILE, error));
    carina_status status = image_create(out, width, height, error);
    float most = 0, least = 1;
    for (int i = 0; i < grid * grid; i++) {
        most = fmaxf(most, row[i]);
        least = fminf(least, row[i]);
    }
    for (int y = 0; status == CARINA_OK && y < height; y++)
        for (int x = 0; x < width; x++) {
            int sy = y + top < TILE ? y + top : TILE - 1, sx = x + left < TILE ? x + left : TILE - 1;
            out->value[(size_t)y * (size_t)width + (size_t)x] =
                most > least ? (square.value[(size_t)sy * TILE + (size_t)sx] - least) / (most - least) : 0;
        }
    image_free(&square);
    return status;
}

static carina_status draw_attention(const interpret_view *v, const char *path, draw_film *films, image *heats,
                                    draw_box *boxes, carina_error *error) {
    const carina_location *found = &v->made->location;
    for (int r = 0; r < found->region_count; r++) {
        const carina_region *at = &found->regions[r];
        TRY(make_heat(&heats[r], v, r, error));
        boxes[r] = (draw_box){.frame = {at->x1, at->y1, at->x2, at->y2}, .colour = 0x7FD4FF};
        films[r] = (draw_film){.picture = &v->job->study.film.picture,
                               .file_width = found->width,
                               .file_height = found->height,
                               .heat = &heats[r],
                               .boxes = &boxes[r],
                               .box_count = 1,
                               .caption = at->name};
    }
    char title[400];
    snprintf(title, sizeof title,
             "%s, model %s: what each region's token attends to (clear: its least, yellow: its most)",
             path_name(v->job->path), locator_name(v->locator));
    return draw_sheet(path, films, found->region_count, COLUMNS, TILE, title, error);
}

carina_status interpret_write_attention(const interpret_view *v, const char *folder, carina_error *error) {
    char *path;
    TRY(film_result_path(&path, folder, v->job, "attention.png", "--attention", error));
    int count = v->made->location.region_count;
    draw_film *films = calloc((size_t)count, sizeof *films);
    image *heats = calloc((size_t)count, sizeof *heats);
    draw_box *boxes = calloc((size_t)count, sizeof *boxes);
    carina_status status = films && heats && boxes ? draw_attention(v, path, films, heats, boxes, error)
                                                   : error_memory(error, path, (size_t)count * sizeof *films);
    for (int r = 0; heats && r < count; r++) image_free(&heats[r]);
    free(films);
    free(heats);
    free(boxes);
    free(path);
    return status;
}
