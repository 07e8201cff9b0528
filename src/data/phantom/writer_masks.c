/* Writing the masks of a phantom film; see writer_masks.h. */
#include "data/phantom/writer_masks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/phantom/finding_truth.h"
#include "format/json_writer.h"
#include "format/png.h"

#define ORGANS    3
#define MAX_MASKS (ORGANS + PHANTOM_MAX_LESIONS + PHANTOM_MAX_DEVICES)

/* One mask and its line in masks.json. */
typedef struct written_mask {
    char name[80]; /* of its file: "lesion_03_nodule", "device_00_chest_tube" */
    const uint8_t *mask;
    const char *key, *value; /* "region", "finding" or "device", and which */
    const char *attributes[4];
    int attribute_count; /* -1: an organ */
    box extent;
} written_mask;

typedef struct mask_list {
    int count;
    written_mask items[MAX_MASKS];
} mask_list;

static written_mask *add(mask_list *list, const char *what, int index, const char *kind, const uint8_t *mask) {
    written_mask *m = &list->items[list->count++];
    *m = (written_mask){.mask = mask, .key = what, .value = kind, .attribute_count = -1};
    int length = index < 0 ? snprintf(m->name, sizeof m->name, "%s", kind)
                           : snprintf(m->name, sizeof m->name, "%s_%02d_%s", what, index, kind);
    for (int i = 0; i < length && i < (int)sizeof m->name - 1; i++)
        if (m->name[i] == ' ' || m->name[i] == '-') m->name[i] = '_';
    return m;
}

static void add_organs(mask_list *list, const phantom_scene *scene) {
    add(list, "region", -1, "right_lung", scene->lung_mask[0])->value = "right lung";
    add(list, "region", -1, "left_lung", scene->lung_mask[1])->value = "left lung";
    add(list, "region", -1, "heart", scene->heart_mask)->value = "cardiac silhouette";
}

static void add_lesions(mask_list *list, const finding_film *film, const phantom_scene *scene) {
    for (int i = 0; i < scene->lesion_count; i++) {
        const phantom_lesion *lesion = &scene->lesions[i];
        const finding_entry *entry = &finding_table[film->list.items[film->lesion_finding[i]].kind];
        written_mask *m = add(list, "lesion", i, lesion->name, lesion->mask);
        m->key = "finding";
        m->extent = lesion->extent;
        m->attributes[0] = entry->attribute;
        m->attribute_count = 1;
        for (int k = 0; k < 3 && entry->implied[k]; k++) m->attributes[m->attribute_count++] = entry->implied[k];
    }
}

static void add_devices(mask_list *list, const phantom_scene *scene) {
    for (int i = 0; i < scene->device_count; i++) {
        const phantom_device *device = &scene->devices[i];
        const finding_device *words = finding_device_find(device->name);
        written_mask *m = add(list, "device", i, device->name, device->mask);
        m->extent = device->extent;
        m->attributes[0] = words ? words->attribute : NULL;
        m->attribute_count = m->attributes[0] != NULL;
    }
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

static void put_mask(json_writer *w, const written_mask *m) {
    json_begin_inline(w, true);
    json_field_text(w, "name", m->name);
    json_field_text(w, m->key, m->value);
    if (m->attribute_count >= 0) {
        json_key(w, "attributes");
        json_begin_inline(w, false);
        for (int i = 0; i < m->attribute_count; i++) json_put_text(w, m->attributes[i]);
        json_end(w);
        const float extent[4] = {m->extent.x1, m->extent.y1, m->extent.x2, m->extent.y2};
        json_field_numbers(w, "box", extent, 4, 1);
    }
    json_end(w);
}

static carina_status write_index(const char *folder, const char *id, const mask_list *list, carina_error *error) {
    file_writer *writer;
    char *path = path_join(folder, "masks.json");
    if (!path) return error_memory(error, folder, strlen(folder));
    carina_status status = file_writer_open(&writer, path, error);
    free(path);
    if (status != CARINA_OK) return status;
    json_writer w = json_writer_make(file_writer_stream(writer), JSON_PRETTY);
    json_begin_object(&w);
    json_field_text(&w, "image_id", id);
    put_described(&w);
    json_key(&w, "masks");
    json_begin_array(&w);
    for (int i = 0; i < list->count; i++) put_mask(&w, &list->items[i]);
    json_end(&w);
    json_end(&w);
    return file_writer_commit(writer, error);
}

static carina_status write_picture(const char *folder, const written_mask *m, const phantom_scene *scene, uint8_t *grey,
                                   carina_error *error) {
    char *path;
    if (asprintf(&path, "%s/%s.png", folder, m->name) < 0) return error_memory(error, folder, strlen(folder));
    size_t count = (size_t)scene->width * (size_t)scene->height;
    for (size_t i = 0; i < count; i++) grey[i] = m->mask[i] ? 255 : 0;
    carina_status status = png_save_grey8(path, grey, scene->width, scene->height, error);
    free(path);
    return status;
}

carina_status writer_masks_write(const char *folder, const char *id, const finding_film *film,
                                 const phantom_scene *scene, carina_error *error) {
    uint64_t bytes = (uint64_t)scene->width * (uint64_t)scene->height + sizeof(mask_list);
    mask_list *list = calloc(1, sizeof *list);
    uint8_t *grey = malloc((size_t)scene->width * (size_t)scene->height);
    carina_status status = list && grey ? file_make_folders(folder, error) : error_memory(error, "masks", bytes);
    if (status == CARINA_OK) {
        file_remove_unfinished(folder);
        add_organs(list, scene);
        add_lesions(list, film, scene);
        add_devices(list, scene);
    }
    for (int i = 0; status == CARINA_OK && i < list->count; i++)
        status = write_picture(folder, &list->items[i], scene, grey, error);
    if (status == CARINA_OK) status = write_index(folder, id, list, error);
    free(grey);
    free(list);
    return status;
}
