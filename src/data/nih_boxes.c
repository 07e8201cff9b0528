/* The NIH films with and without boxes; see nih_boxes.h. */
#include "data/nih_boxes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/film_file.h"
#include "data/string_index.h"
#include "format/json.h"

typedef struct nih_set {
    dataset base; /* first: a nih_set * is a dataset * */
    char *image_folder;
    int frame;       /* side of the square that boxes are given in */
    sample *samples; /* without film */
    uint64_t count;
    uint64_t fingerprint;
} nih_set;

static carina_status check_file_name(const json_document *document, const json_value *item, const char *name,
                                     carina_error *error) {
    if (*name && !strchr(name, '/') && strlen(name) < sizeof((sample *)0)->id) return CARINA_OK;
    return json_fail(document, item, "image", CARINA_ERROR_FORMAT, error, "\"%s\" is not a file name", name);
}

typedef struct label_name {
    const char *nih, *chexpert;
} label_name;

static const label_name label_names[] = {
    {"Atelectasis", "Atelectasis"},
    {"Cardiomegaly", "Cardiomegaly"},
    {"Consolidation", "Consolidation"},
    {"Edema", "Edema"},
    {"Mass", "Lung Lesion"},
    {"Nodule", "Lung Lesion"},
    {"Infiltration", "Lung Opacity"},
    {"No Finding", "No Finding"},
    {"Effusion", "Pleural Effusion"},
    {"Pleural_Thickening", "Pleural Other"},
    {"Pneumonia", "Pneumonia"},
    {"Pneumothorax", "Pneumothorax"},
};
#define LABEL_NAME_COUNT (sizeof label_names / sizeof *label_names)

static int label_index(const char *chexpert) {
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) {
        if (strcmp(atlas_label_names[i], chexpert) == 0) return i;
    }
    return -1;
}

static void fill_labels(sample *s, const json_value *labels) {
    if (json_kind_of(labels) != JSON_KIND_ARRAY) return;
    for (size_t k = 0; k < LABEL_NAME_COUNT; k++) {
        int index = label_index(label_names[k].chexpert);
        if (index < 0) continue;
        if (isnan(s->labels[index])) s->labels[index] = 0;
        for (uint64_t i = 0; i < json_count(labels); i++) {
            const char *text = json_text(json_item(labels, i));
            if (text && strcmp(text, label_names[k].nih) == 0) s->labels[index] = 1;
        }
    }
}

static void set_id(sample *s, const char *file) {
    snprintf(s->id, sizeof s->id, "%s", file);
    char *dot = strrchr(s->id, '.');
    if (dot) *dot = 0;
}

/* The RSNA challenge's reading: null or nothing where the film was not among those read. */
static carina_status read_opacity(sample *s, const json_document *document, const json_value *item,
                                  carina_error *error) {
    int64_t target;
    if (!json_has(item, "rsna_target")) return CARINA_OK;
    TRY(json_get_whole(document, item, "rsna_target", 0, 1, &target, error));
    s->opacity = (int)target;
    return CARINA_OK;
}

static carina_status read_annotation(sample *s, const json_document *document, const json_value *item,
                                     carina_error *error) {
    const char *file;
    TRY(json_get_text(document, item, "image", &file, error));
    TRY(check_file_name(document, item, file, error));
    sample_clear(s);
    set_id(s, file);
    const char *text = json_text(json_find(item, "patient"));
    if (text) snprintf(s->patient, sizeof s->patient, "%s", text);
    text = json_text(json_find(item, "view"));
    if (text) snprintf(s->view, sizeof s->view, "%s", text);
    text = json_text(json_find(item, "sex"));
    if (text && (*text == 'M' || *text == 'F')) s->sex = *text;
    int64_t age;
    if (json_whole(json_find(item, "age"), &age) && age >= 0 && age <= 150) s->age = (int)age;
    fill_labels(s, json_find(item, "labels"));
    return read_opacity(s, document, item, error);
}

/* A name that this region set does not have is left out; a box that is no box is an error: the file is ours. */
static carina_status read_boxes(sample *s, const nih_set *set, const json_document *document, const json_value *item,
                                carina_error *error) {
    const atlas *regions = set->base.regions;
    const json_value *boxes, *value;
    TRY(json_get_object(document, item, "boxes", &boxes, error));
    const char *name;
    void *position = NULL;
    while (json_next(boxes, &position, &name, &value)) {
        int region = atlas_find(regions, name);
        if (region < 0 || json_kind_of(value) == JSON_KIND_NULL) continue;
        double edge[4];
        TRY(json_get_numbers(document, boxes, name, edge, 4, error));
        if (!(edge[2] > edge[0] && edge[3] > edge[1])) {
            return json_fail(document, boxes, name, CARINA_ERROR_FORMAT, error, "empty box; use null for not visible");
        }
        for (int i = 0; i < 4; i++)
            if (!(edge[i] >= 0 && edge[i] <= set->frame))
                return json_fail(document, boxes, name, CARINA_ERROR_FORMAT, error,
                                 "edge %g lies outside the frame of %d", edge[i], set->frame);
        s->boxes[region] = (box){(float)edge[0], (float)edge[1], (float)edge[2], (float)edge[3]};
        s->present[region] = true;
    }
    const json_value *unsure = json_find(item, "unsure");
    for (uint64_t i = 0; i < json_count(unsure); i++) {
        const char *text = json_text(json_item(unsure, i));
        int region = text ? atlas_find(regions, text) : -1;
        if (region >= 0) s->unsure[region] = true;
    }
    return CARINA_OK;
}

/* Marks of the films in anatomy-boxes.json go into `marked` (by id: index of the film) and, for each, the patient. */
static carina_status join_boxes(nih_set *set, const json_document *document, string_index *films,
                                string_index *patients, bool *has_boxes, carina_error *error) {
    const json_value *root = json_root(document), *images;
    TRY(json_get_array(document, root, "images", &images, error));
    int64_t frame;
    TRY(json_get_whole(document, root, "frame", 1, IMAGE_MAX_SIDE, &frame, error));
    set->frame = (int)frame;
    for (uint64_t i = 0; i < json_count(images); i++) {
        const json_value *item = json_item(images, i);
        const char *file;
        TRY(json_get_text(document, item, "image", &file, error));
        TRY(check_file_name(document, item, file, error));
        sample name;
        set_id(&name, file);
        uint32_t index;
        if (!string_index_find(films, name.id, &index)) {
            return json_fail(document, item, "image", CARINA_ERROR_MISMATCH, error, "\"%s\" is not in annotations.json",
                             file);
        }
        TRY(read_boxes(&set->samples[index], set, document, item, error));
        has_boxes[index] = true;
        TRY(string_index_add(patients, set->samples[index].patient, 1, NULL, NULL, error));
    }
    return CARINA_OK;
}

static void keep_wanted(nih_set *set, const bool *has_boxes, bool with_boxes, const string_index *patients,
                        uint64_t limit) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < set->count; i++) {
        bool tested = string_index_find(patients, set->samples[i].patient, NULL);
        if (with_boxes ? !has_boxes[i] : tested) continue;
        if (limit && kept == limit) break;
        set->samples[kept++] = set->samples[i];
    }
    set->count = kept;
}

static void compute_fingerprint(nih_set *set) {
    uint64_t hash = DATASET_HASH_START;
    for (uint64_t i = 0; i < set->count; i++) {
        const sample *s = &set->samples[i];
        hash = dataset_hash(hash, s->id, strlen(s->id));
        hash = dataset_hash(hash, s->labels, sizeof s->labels);
        for (int r = 0; r < set->base.regions->region_count; r++) {
            if (s->present[r]) hash = dataset_hash(hash, &s->boxes[r], sizeof s->boxes[r]);
        }
    }
    set->fingerprint = hash;
}

static carina_status load(nih_set *set, const dataset_config *config, bool with_boxes, const json_document *annotations,
                          const json_document *boxes, carina_error *error) {
    const json_value *images;
    TRY(json_get_array(annotations, json_root(annotations), "images", &images, error));
    uint64_t count = json_count(images);
    set->samples = calloc((size_t)count + 1, sizeof *set->samples);
    bool *has_boxes = calloc((size_t)count + 1, sizeof *has_boxes);
    string_index *films = NULL, *patients = NULL;
    carina_status status = CARINA_OK;
    if (!set->samples || !has_boxes) status = error_memory(error, "NIH annotations", count * sizeof(sample));
    if (status == CARINA_OK) status = string_index_create(&films, error);
    if (status == CARINA_OK) status = string_index_create(&patients, error);
    for (uint64_t i = 0; status == CARINA_OK && i < count; i++) {
        status = read_annotation(&set->samples[i], annotations, json_item(images, i), error);
        if (status == CARINA_OK) status = string_index_add(films, set->samples[i].id, (uint32_t)i, NULL, NULL, error);
        set->count = i + 1;
    }
    if (status == CARINA_OK) status = join_boxes(set, boxes, films, patients, has_boxes, error);
    if (status == CARINA_OK) keep_wanted(set, has_boxes, with_boxes, patients, config->limit);
    string_index_free(films);
    string_index_free(patients);
    free(has_boxes);
    return status;
}

static uint64_t set_count(const dataset *d) { return ((const nih_set *)d)->count; }
static uint64_t set_fingerprint(const dataset *d) { return ((const nih_set *)d)->fingerprint; }

static void set_free(dataset *d) {
    nih_set *set = (nih_set *)d;
    free(set->samples);
    free(set->image_folder);
    free(set);
}

static carina_status read_film(const nih_set *set, sample *out, carina_error *error) {
    char name[sizeof out->id + 8];
    snprintf(name, sizeof name, "%s.png", out->id);
    char *path = path_join(set->image_folder, name);
    if (!path) return error_memory(error, "path", sizeof name);
    carina_status status = film_file_read(&out->film, path, error);
    free(path);
    if (status != CARINA_OK) return status;
    out->width = out->film.width;
    out->height = out->film.height;
    /* boxes are in the annotation's square frame; the films are square too, but perhaps stored larger */
    float sx = (float)out->width / (float)set->frame, sy = (float)out->height / (float)set->frame;
    for (int r = 0; r < set->base.regions->region_count; r++) {
        box *b = &out->boxes[r];
        *b = (box){b->x1 * sx, b->y1 * sy, b->x2 * sx, b->y2 * sy};
    }
    return CARINA_OK;
}

static carina_status set_read(const dataset *d, uint64_t index, bool with_film, sample *out, carina_error *error) {
    const nih_set *set = (const nih_set *)d;
    sample_clear(out);
    if (index >= set->count) {
        return error_set(error, CARINA_ERROR_ARGUMENT, "film %llu of a set of %llu", (unsigned long long)index,
                         (unsigned long long)set->count);
    }
    *out = set->samples[index];
    out->width = out->height = set->frame;
    return with_film ? read_film(set, out, error) : CARINA_OK;
}

static const dataset_class boxes_class = {"nih_boxes", set_count, set_read, set_fingerprint, set_free};
static const dataset_class films_class = {"nih_films", set_count, set_read, set_fingerprint, set_free};

static carina_status read_json(json_document **out, const char *folder, const char *name, carina_error *error) {
    *out = NULL;
    char *path = path_join(folder, name);
    if (!path) return error_memory(error, "path", strlen(folder));
    carina_status status = json_read(out, path, NULL, error);
    free(path);
    return status;
}

static carina_status make_set(dataset **out, const dataset_config *config, const atlas *regions, bool with_boxes,
                              const json_document *annotations, const json_document *boxes, carina_error *error) {
    nih_set *set = calloc(1, sizeof *set);
    if (!set) return error_memory(error, "data set", sizeof *set);
    set->base.type = with_boxes ? &boxes_class : &films_class;
    set->base.regions = regions;
    set->image_folder = config->images ? strdup(config->images) : path_join(config->annotations, "images");
    carina_status status = set->image_folder ? load(set, config, with_boxes, annotations, boxes, error)
                                             : error_memory(error, "path", strlen(config->annotations));
    if (status != CARINA_OK) {
        set_free(&set->base);
        return status;
    }
    compute_fingerprint(set);
    *out = &set->base;
    return CARINA_OK;
}

static carina_status open_set(dataset **out, const dataset_config *config, const atlas *regions, bool with_boxes,
                              carina_error *error) {
    *out = NULL;
    json_document *annotations = NULL, *boxes = NULL;
    carina_status status = read_json(&annotations, config->annotations, "annotations.json", error);
    if (status == CARINA_OK) status = read_json(&boxes, config->annotations, "anatomy-boxes.json", error);
    if (status == CARINA_OK) status = make_set(out, config, regions, with_boxes, annotations, boxes, error);
    json_free(annotations);
    json_free(boxes);
    return status;
}

carina_status nih_boxes_parse(dataset **out, const char *annotations, uint64_t annotations_size, const char *boxes,
                              uint64_t boxes_size, const atlas *regions, carina_error *error) {
    *out = NULL;
    const dataset_config config = {.annotations = "."};
    json_document *first = NULL, *second = NULL;
    carina_status status = json_parse(&first, "annotations.json", annotations, annotations_size, NULL, error);
    if (status == CARINA_OK) status = json_parse(&second, "anatomy-boxes.json", boxes, boxes_size, NULL, error);
    if (status == CARINA_OK) status = make_set(out, &config, regions, true, first, second, error);
    json_free(first);
    json_free(second);
    return status;
}

carina_status nih_boxes_open(dataset **out, const dataset_config *config, const atlas *regions, carina_error *error) {
    return open_set(out, config, regions, true, error);
}

carina_status nih_films_open(dataset **out, const dataset_config *config, const atlas *regions, carina_error *error) {
    return open_set(out, config, regions, false, error);
}
