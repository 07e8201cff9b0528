/* The hooks that carry a film's findings through the phantom; see finding_film.h. */
#include "data/phantom/finding_film.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Streams apart from the phantom's own: findings of a film do not change when its anatomy's draws do. */
#define DRAW_SALT  0x66696e64696e6773ULL /* "findings" */
#define ALTER_SALT 0x616c746572000000ULL
#define PAINT_SALT 0x7061696e74000000ULL

#define COVER_SEEN 0.35f /* where a finding covers at least so much, its mask is 1 */

void finding_film_draw(finding_film *film, const phantom_parameters *parameters) {
    film->list.count = film->lesion_count = 0;
    if (film->healthy) return;
    finding_patient patient = {.age = parameters->age, .sex = parameters->sex, .ap = parameters->ap};
    random_state random = random_stream(parameters->seed ^ DRAW_SALT, parameters->index);
    finding_draw(&film->list, &patient, &random);
}

static bool is_fracture(finding_kind kind) { return kind == FINDING_RIB_FRACTURE || kind == FINDING_CLAVICLE_FRACTURE; }

static int fractures_before(const finding_list *list, int index) {
    int count = 0;
    for (int i = 0; i < index && i < list->count; i++) count += is_fracture(list->items[i].kind);
    return count;
}

static carina_status alter(void *context, phantom_parameters *parameters, carina_error *error) {
    (void)error;
    finding_film *film = context;
    finding_film_draw(film, parameters);
    random_state random = random_stream(parameters->seed ^ ALTER_SALT, parameters->index);
    finding_alter(&film->list, parameters, &random);
    int fracture = fractures_before(&film->list, film->left_out - 1);
    if (film->left_out && is_fracture(film->list.items[film->left_out - 1].kind) && fracture < PHANTOM_MAX_FRACTURES)
        parameters->fractures[fracture].mended = true;
    return CARINA_OK;
}

typedef void painter(const finding *f, phantom_scene *scene, float *cover, random_state *random);

/* Which kinds paint something; broken bones have a painter of their own. */
static painter *const painters[FINDING_KIND_COUNT] = {
    [FINDING_OPACITY] = finding_paint_airspace,
    [FINDING_CONSOLIDATION] = finding_paint_airspace,
    [FINDING_PNEUMONIA] = finding_paint_airspace,
    [FINDING_EDEMA] = finding_paint_diffuse,
    [FINDING_ATELECTASIS] = finding_paint_lines,
    [FINDING_SCARRING] = finding_paint_lines,
    [FINDING_NODULE] = finding_paint_round,
    [FINDING_CALCIFIED_NODULE] = finding_paint_round,
    [FINDING_MASS] = finding_paint_round,
    [FINDING_ENLARGED_HILUM] = finding_paint_round,
    [FINDING_LOBAR_COLLAPSE] = finding_paint_collapse,
    [FINDING_EFFUSION] = finding_paint_effusion,
    [FINDING_PNEUMOTHORAX] = finding_paint_pneumothorax,
    [FINDING_PLEURAL_THICKENING] = finding_paint_thickening,
    [FINDING_HERNIA] = finding_paint_hernia,
};

bool finding_film_paints(finding_kind kind) { return painters[kind] != NULL || is_fracture(kind); }

static void paint(const finding *f, int fracture, phantom_scene *scene, float *cover, random_state *random) {
    if (is_fracture(f->kind))
        finding_paint_fracture(f, fracture, scene, cover, random);
    else if (painters[f->kind])
        painters[f->kind](f, scene, cover, random);
}

#define PAINTED_MAPS 4

/* Exchanges the maps that findings paint on with copies of them (pixels > 0: made first), so that painting has no
 * effect. */
static void swap_maps(phantom_scene *scene, float *spare[PAINTED_MAPS], size_t pixels) {
    float **map[PAINTED_MAPS] = {&scene->extra, &scene->extra_bone, &scene->vessel_keep, &scene->hidden};
    for (int k = 0; k < PAINTED_MAPS; k++) {
        if (pixels) memcpy(spare[k], *map[k], pixels * sizeof(float));
        float *other = *map[k];
        *map[k] = spare[k];
        spare[k] = other;
    }
}

static carina_status hand_over(finding_film *film, int index, phantom_scene *scene, carina_error *error) {
    size_t count = (size_t)scene->width * (size_t)scene->height, seen = 0;
    uint8_t *mask = malloc(count);
    if (!mask) return error_memory(error, "lesion mask", count);
    for (size_t i = 0; i < count; i++) {
        mask[i] = film->cover[i] >= COVER_SEEN && scene->field_mask[i];
        seen += mask[i];
    }
    /* A lesion outside the film or hidden altogether has no mask; its finding is then not told either. */
    if (seen == 0 || scene->lesion_count >= PHANTOM_MAX_LESIONS || film->lesion_count >= PHANTOM_MAX_LESIONS) {
        free(mask);
        film->list.items[index].told = film->list.items[index].told && seen > 0;
        return CARINA_OK;
    }
    const finding_entry *entry = &finding_table[film->list.items[index].kind];
    TRY(phantom_scene_add_lesion(scene, entry->name, -1, mask, error));
    film->lesion_finding[film->lesion_count++] = index;
    return CARINA_OK;
}

static carina_status add(void *context, phantom_scene *scene, carina_error *error) {
    finding_film *film = context;
    size_t count = (size_t)scene->width * (size_t)scene->height;
    random_state random = random_stream(scene->parameters.seed ^ PAINT_SALT, scene->parameters.index);
    film->cover = malloc(count * sizeof *film->cover);
    float *spare[PAINTED_MAPS] = {0};
    bool complete = film->cover != NULL;
    for (int k = 0; k < PAINTED_MAPS && film->left_out; k++)
        complete &= (spare[k] = malloc(count * sizeof *spare[k])) != NULL;
    if (!complete) {
        for (int k = 0; k < PAINTED_MAPS; k++) free(spare[k]);
        free(film->cover);
        film->cover = NULL;
        return error_memory(error, "finding cover", count * sizeof *film->cover);
    }
    carina_status status = CARINA_OK;
    for (int i = 0; status == CARINA_OK && i < film->list.count; i++) {
        const finding *f = &film->list.items[i];
        memset(film->cover, 0, count * sizeof *film->cover);
        bool left_out = i + 1 == film->left_out;
        if (left_out) swap_maps(scene, spare, count);
        paint(f, fractures_before(&film->list, i), scene, film->cover, &random);
        if (left_out) swap_maps(scene, spare, 0);
        if (finding_film_paints(f->kind)) status = hand_over(film, i, scene, error);
    }
    for (int k = 0; k < PAINTED_MAPS; k++) free(spare[k]);
    free(film->cover);
    film->cover = NULL;
    return status;
}

phantom_hooks finding_film_hooks(finding_film *film) {
    memset(film, 0, sizeof *film);
    return (phantom_hooks){.context = film, .alter = alter, .add = add};
}
