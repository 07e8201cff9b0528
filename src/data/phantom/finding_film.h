/* One film's findings on their way through the phantom: the hooks that draw them, change the body and paint them.
 *
 *     finding_film film;
 *     phantom_hooks hooks = finding_film_hooks(&film);
 *     phantom_options options = {.hooks = &hooks};
 *     TRY(phantom_render(seed, index, &options, &result, error));
 *     ... film.list holds the findings, result.scene.lesions their masks; film.lesion_finding says whose they are
 */
#ifndef DATA_PHANTOM_FINDING_FILM_H
#define DATA_PHANTOM_FINDING_FILM_H

#include "data/phantom/finding.h"
#include "data/phantom/phantom.h"

typedef struct finding_film {
    bool healthy; /* set by the caller after finding_film_hooks: nothing is drawn, organs stay in the normal range */
    /* For measuring what one finding adds to a film, set like `healthy`: 1 + the index of a finding that is drawn from
     * the same numbers but not painted, its broken bone whole; organs that it changed stay so. 0: none. */
    int left_out;
    finding_list list;
    int lesion_count;                        /* masks handed to the scene */
    int lesion_finding[PHANTOM_MAX_LESIONS]; /* index into list.items of each */
    /* Painting scratch: what a finding adds at each pixel, 0 .. 1, [height, width]; owned during the hook only. */
    float *cover;
} finding_film;

/* Do findings of this kind paint something, so that they have a mask where they are seen? Others change an organ. */
bool finding_film_paints(finding_kind kind);

/* `film` is borrowed and must outlive the hooks. */
phantom_hooks finding_film_hooks(finding_film *film);

/* Draws the list for these parameters (patient and view are taken from them), from (seed, index) alone. */
void finding_film_draw(finding_film *film, const phantom_parameters *parameters);

/* Hook 1: the organs' share in the findings; what is not found is held inside the normal range, so that the truth is
 * never in doubt. finding_alter.c */
void finding_alter(const finding_list *list, phantom_parameters *parameters, random_state *random);

/* Hook 2, one call per finding that has something to paint. Adds to scene->extra and so on, and sets `cover` where the
 * finding is seen; cover starts at 0. finding_airspace.c, finding_pleura.c, finding_bone.c */
void finding_paint_airspace(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_diffuse(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_lines(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_round(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_collapse(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_effusion(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_pneumothorax(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_thickening(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_hernia(const finding *f, phantom_scene *scene, float *cover, random_state *random);
void finding_paint_fracture(const finding *f, int which, phantom_scene *scene, float *cover, random_state *random);

#endif
