/* The phantom's entry: parameters, hooks, building, film; see phantom.h. */
#include "data/phantom/phantom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/phantom/imaging_chain.h"
#include "data/phantom/parameters.h"
#include "data/phantom/thorax.h"

/* Float maps of a scene, in one list for creation and release. */
static int map_list(phantom_scene *s, float **out[]) {
    float **all[] = {&s->soft, &s->air[0], &s->air[1], &s->gas,        &s->heart,       &s->vessels,
                     &s->bone, &s->metal,  &s->extra,  &s->extra_bone, &s->vessel_keep, &s->hidden};
    memcpy(out, all, sizeof all);
    return (int)(sizeof all / sizeof *all);
}

static int mask_list(phantom_scene *s, uint8_t **out[]) {
    uint8_t **all[] = {&s->lung_mask[0], &s->lung_mask[1], &s->heart_mask, &s->body_mask, &s->field_mask};
    memcpy(out, all, sizeof all);
    return (int)(sizeof all / sizeof *all);
}

static void free_maps(phantom_scene *s) {
    float **map[16];
    int count = map_list(s, map);
    for (int i = 0; i < count; i++) {
        free(*map[i]);
        *map[i] = NULL;
    }
}

void phantom_result_free(phantom_result *result) {
    if (!result) return;
    image_free(&result->film);
    free_maps(&result->scene);
    uint8_t **mask[8];
    int count = mask_list(&result->scene, mask);
    for (int i = 0; i < count; i++) free(*mask[i]);
    for (int i = 0; i < result->scene.lesion_count; i++) free(result->scene.lesions[i].mask);
    for (int i = 0; i < result->scene.device_count; i++) free(result->scene.devices[i].mask);
    *result = (phantom_result){0};
}

static carina_status create(phantom_scene *s, thorax *t, float *work[3], carina_error *error) {
    size_t pixels = (size_t)s->width * (size_t)s->height;
    int side = s->width > s->height ? s->width : s->height;
    float **map[16];
    uint8_t **mask[8];
    int maps = map_list(s, map), masks = mask_list(s, mask);
    bool complete = true;
    for (int i = 0; i < maps; i++) complete &= (*map[i] = calloc(pixels, sizeof(float))) != NULL;
    for (int i = 0; i < masks; i++) complete &= (*mask[i] = calloc(pixels, 1)) != NULL;
    for (int i = 0; i < 3; i++) complete &= (work[i] = calloc(pixels, sizeof(float))) != NULL;
    t->line = calloc((size_t)side * 4 + 8, sizeof(float));
    if (!complete || !t->line) return error_memory(error, "phantom", (unsigned long long)pixels * sizeof(float) * 16);
    for (size_t i = 0; i < pixels; i++) s->vessel_keep[i] = 1;
    t->scene = s, t->p = &s->parameters;
    t->width = s->width, t->height = s->height, t->pixels = pixels;
    t->work = work[0], t->distance = work[1];
    return CARINA_OK;
}

static carina_status build(phantom_result *out, thorax *t, float *work[3], const phantom_options *options,
                           carina_error *error) {
    phantom_scene *s = &out->scene;
    const phantom_hooks *hooks = options ? options->hooks : NULL;
    imaging_field field;
    if (hooks && hooks->alter) TRY(hooks->alter(hooks->context, &s->parameters, error));
    TRY(create(s, t, work, error));
    t->probe = options ? options->probe : NULL;
    imaging_chain_field(&field, s, options);
    outlines_build(t);
    body_build(t);
    skeleton_build(t);
    mediastinum_build(t);
    vessels_build(t);
    TRY(devices_build(t, options && options->device_masks, error));
    for (size_t i = 0; i < t->pixels; i++) /* masks tell what the film shows */
        if (!s->field_mask[i]) s->lung_mask[0][i] = s->lung_mask[1][i] = s->heart_mask[i] = 0;
    truth_boxes_build(t);
    if (hooks && hooks->add) {
        TRY(hooks->add(hooks->context, s, error));
        truth_boxes_build(t); /* what a finding hides is no longer visible lung */
    }
    TRY(image_create(&out->film, s->width, s->height, error));
    memset(work[0], 0, t->pixels * sizeof(float));
    imaging_chain_run(&out->film, s, &field, options, work);
    return CARINA_OK;
}

carina_status phantom_render(uint64_t seed, uint64_t index, const phantom_options *options, phantom_result *out,
                             carina_error *error) {
    *out = (phantom_result){0};
    phantom_scene *s = &out->scene;
    s->width = options && options->width ? options->width : 512;
    s->height = options && options->height ? options->height : 512;
    if (s->width < PHANTOM_MIN_SIDE || s->height < PHANTOM_MIN_SIDE || s->width > PHANTOM_MAX_SIDE ||
        s->height > PHANTOM_MAX_SIDE) {
        carina_status status =
            error_set(error, CARINA_ERROR_LIMIT, "phantom: %d x %d pixels is not within %d to %d a side", s->width,
                      s->height, PHANTOM_MIN_SIDE, PHANTOM_MAX_SIDE);
        *out = (phantom_result){0};
        return status;
    }
    parameters_draw(&s->parameters, seed, index, options);
    float *work[3] = {0};
    thorax *t = calloc(1, sizeof *t);
    carina_status status = t ? build(out, t, work, options, error) : error_memory(error, "phantom", sizeof *t);
    for (int i = 0; i < 3; i++) free(work[i]);
    if (t) free(t->line);
    free(t);
    free_maps(s);
    if (status != CARINA_OK) phantom_result_free(out);
    return status;
}

carina_status phantom_scene_add_lesion(phantom_scene *s, const char *name, int region, uint8_t *mask,
                                       carina_error *error) {
    int x1 = s->width, x2 = -1, y1 = s->height, y2 = -1;
    if (s->lesion_count == PHANTOM_MAX_LESIONS) {
        free(mask);
        return error_set(error, CARINA_ERROR_LIMIT, "phantom: more than %d lesions on one film (%s)",
                         PHANTOM_MAX_LESIONS, name);
    }
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            if (mask[(size_t)y * (size_t)s->width + (size_t)x]) {
                if (x < x1) x1 = x;
                if (x > x2) x2 = x;
                if (y < y1) y1 = y;
                if (y > y2) y2 = y;
            }
    if (x2 < 0) {
        free(mask);
        return error_set(error, CARINA_ERROR_ARGUMENT, "phantom: the mask of lesion %s is empty", name);
    }
    phantom_lesion *lesion = &s->lesions[s->lesion_count++];
    snprintf(lesion->name, sizeof lesion->name, "%s", name);
    lesion->region = region;
    lesion->extent = (box){(float)x1, (float)y1, (float)(x2 + 1), (float)(y2 + 1)};
    lesion->mask = mask;
    return CARINA_OK;
}
