/* Samples from Chest ImaGenome + MIMIC-CXR-JPG; see chest_imagenome.h. */
#include "data/chest_imagenome.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/film_file.h"
#include "data/film_table.h"
#include "data/region_sentence.h"

#define MAX_PATH_TEXT 4096

typedef struct imagenome_set {
    dataset base; /* first: an imagenome_set * is a dataset * */
    film_table table;
    bool sentences;
    uint64_t fingerprint;
} imagenome_set;

static const film_row *row_of(const imagenome_set *set, uint64_t index, carina_error *error) {
    if (index < set->table.count) return &set->table.rows[index];
    error_set(error, CARINA_ERROR_ARGUMENT, "film %llu of a set of %llu", (unsigned long long)index,
              (unsigned long long)set->table.count);
    return NULL;
}

static carina_status read_graph(const imagenome_set *set, const film_row *row, scene_graph *out, carina_error *error) {
    char path[MAX_PATH_TEXT];
    int length = snprintf(path, sizeof path, "%s/scene_graph/%s%s_SceneGraph.json", set->table.silver_folder,
                          set->table.nested_graphs ? "scene_graph/" : "", row->id);
    if (length < 0 || (size_t)length >= sizeof path) {
        return error_set(error, CARINA_ERROR_LIMIT, "%s: path too long", set->table.silver_folder);
    }
    return scene_graph_read(out, path, error);
}

static carina_status read_film(const imagenome_set *set, const film_row *row, image *out, carina_error *error) {
    char path[MAX_PATH_TEXT];
    int length = snprintf(path, sizeof path, "%s/files/p%.2s/p%s/s%s/%s.jpg", set->table.image_folder, row->patient,
                          row->patient, row->study, row->id);
    if (length < 0 || (size_t)length >= sizeof path) {
        return error_set(error, CARINA_ERROR_LIMIT, "%s: path too long", set->table.image_folder);
    }
    if (!file_exists(path)) {
        memcpy(path + length - 3, "png", 3);
        if (!file_exists(path)) memcpy(path + length - 3, "jpg", 3); /* the message names what was expected */
    }
    return film_file_read(out, path, error);
}

static box join_boxes(box a, box b) {
    return (box){fminf(a.x1, b.x1), fminf(a.y1, b.y1), fmaxf(a.x2, b.x2), fmaxf(a.y2, b.y2)};
}

/* width, height: of the film the annotators saw, which original coordinates refer to. */
static void fill_boxes(const atlas *regions, const scene_graph *graph, int width, int height, sample *out) {
    for (uint32_t i = 0; i < graph->object_count; i++) {
        int region = atlas_find(regions, graph->objects[i].region);
        box b;
        if (region < 0 || !scene_object_box(&graph->objects[i], width, height, &b)) continue;
        out->boxes[region] = out->present[region] ? join_boxes(out->boxes[region], b) : b;
        out->present[region] = true;
    }
}

/* Sets are kept on disk in smaller copies; only a true copy (equal shape) can be scaled along. */
static carina_status scale_boxes(const char *id, int regions, int rows, int columns, sample *out, carina_error *error) {
    if (rows == 0 || (rows == out->film.height && columns == out->film.width)) return CARINA_OK;
    float sx = (float)out->film.width / (float)columns, sy = (float)out->film.height / (float)rows;
    if (fabsf(sx / sy - 1) > 0.01f) {
        return error_set(error, CARINA_ERROR_MISMATCH,
                         "%s: the film is %d x %d, but its metadata says %d x %d: cropped or another film", id,
                         out->film.width, out->film.height, columns, rows);
    }
    for (int r = 0; r < regions; r++) {
        box *b = &out->boxes[r];
        *b = (box){b->x1 * sx, b->y1 * sy, b->x2 * sx, b->y2 * sy};
    }
    return CARINA_OK;
}

static void fill_patient(const film_row *row, const scene_graph *graph, sample *out) {
    snprintf(out->id, sizeof out->id, "%s", row->id);
    snprintf(out->patient, sizeof out->patient, "%s", row->patient);
    const char *view = *row->view ? row->view : graph->viewpoint;
    snprintf(out->view, sizeof out->view, "%.7s", view);
    if (*graph->gender == 'M' || *graph->gender == 'F') out->sex = *graph->gender;
    out->age = graph->age;
    out->equipment = graph->equipment;
    for (int i = 0; i < ATLAS_LABEL_COUNT; i++) {
        out->labels[i] = row->labels[i] == FILM_TABLE_BLANK ? NAN : (float)row->labels[i];
    }
}

static bool needs_size(const scene_graph *graph) {
    for (uint32_t i = 0; i < graph->object_count; i++) {
        if (graph->objects[i].has_frame && !graph->objects[i].has_original) return true;
    }
    return false;
}

static carina_status masks_folder(char path[MAX_PATH_TEXT], const imagenome_set *set, const char *id,
                                  carina_error *error) {
    int length = snprintf(path, MAX_PATH_TEXT, "%s/masks/%s", set->table.image_folder, id);
    if (length >= 0 && length < MAX_PATH_TEXT) return CARINA_OK;
    return error_set(error, CARINA_ERROR_LIMIT, "%s: path too long", set->table.image_folder);
}

static carina_status fill_sample(const imagenome_set *set, const film_row *row, const scene_graph *graph,
                                 bool with_film, sample *out, carina_error *error) {
    fill_patient(row, graph, out);
    int columns = row->columns, rows = row->rows;
    bool size_only = !with_film && rows == 0 && needs_size(graph);
    if (with_film || size_only) TRY(read_film(set, row, &out->film, error));
    if (rows == 0) columns = out->film.width, rows = out->film.height;
    fill_boxes(set->base.regions, graph, columns, rows, out);
    if (set->sentences) {
        carina_status status = region_sentences_make(out->sentences, set->base.regions, graph, out->present, error);
        if (status != CARINA_OK) return error_prefix(error, "%s", row->id);
    }
    out->width = columns;
    out->height = rows;
    if (with_film) {
        TRY(scale_boxes(row->id, set->base.regions->region_count, rows, columns, out, error));
        out->width = out->film.width;
        out->height = out->film.height;
        if (set->base.has_masks) {
            char folder[MAX_PATH_TEXT];
            TRY(masks_folder(folder, set, row->id, error));
            TRY(finding_masks_read(&out->masks, folder, out->width, out->height, set->base.regions, error));
        }
    } else {
        image_free(&out->film);
    }
    return CARINA_OK;
}

static carina_status set_read(const dataset *d, uint64_t index, bool with_film, sample *out, carina_error *error) {
    const imagenome_set *set = (const imagenome_set *)d;
    sample_clear(out);
    const film_row *row = row_of(set, index, error);
    if (!row) return CARINA_ERROR_ARGUMENT;
    scene_graph graph;
    TRY(read_graph(set, row, &graph, error));
    carina_status status = fill_sample(set, row, &graph, with_film, out, error);
    scene_graph_free(&graph);
    return status;
}

carina_status chest_imagenome_graph(const dataset *d, uint64_t index, scene_graph *out, carina_error *error) {
    const imagenome_set *set = (const imagenome_set *)d;
    memset(out, 0, sizeof *out);
    const film_row *row = row_of(set, index, error);
    return row ? read_graph(set, row, out, error) : CARINA_ERROR_ARGUMENT;
}

static uint64_t set_count(const dataset *d) { return ((const imagenome_set *)d)->table.count; }
static uint64_t set_fingerprint(const dataset *d) { return ((const imagenome_set *)d)->fingerprint; }

static void set_free(dataset *d) {
    imagenome_set *set = (imagenome_set *)d;
    film_table_free(&set->table);
    free(set);
}

static const dataset_class imagenome_class = {"chest_imagenome", set_count, set_read, set_fingerprint, set_free};

#define MASKS_INDEX_BYTES (1u << 20)

static carina_status hash_masks(uint64_t *hash, const imagenome_set *set, const char *id, carina_error *error) {
    char folder[MAX_PATH_TEXT];
    uint8_t *bytes;
    uint64_t size;
    TRY(masks_folder(folder, set, id, error));
    char *path = path_join(folder, "masks.json");
    if (!path) return error_memory(error, folder, sizeof folder);
    carina_status status = CARINA_OK;
    if (file_exists(path) && (status = file_read(path, MASKS_INDEX_BYTES, &bytes, &size, error)) == CARINA_OK) {
        *hash = dataset_hash(*hash, bytes, size);
        free(bytes);
    }
    free(path);
    return status;
}

/* Every id and label, and the boxes (and, where they were asked for, the lists of masks) of up to 64 films spread over
 * the set: reading all graphs of a real set would take minutes. */
static carina_status compute_fingerprint(imagenome_set *set, carina_error *error) {
    uint64_t hash = DATASET_HASH_START;
    const film_table *table = &set->table;
    for (uint64_t i = 0; i < table->count; i++) {
        hash = dataset_hash(hash, table->rows[i].id, strlen(table->rows[i].id));
        hash = dataset_hash(hash, table->rows[i].labels, sizeof table->rows[i].labels);
    }
    uint64_t step = table->count / 64 + 1;
    for (uint64_t i = 0; i < table->count; i += step) {
        scene_graph graph;
        TRY(read_graph(set, &table->rows[i], &graph, error));
        for (uint32_t k = 0; k < graph.object_count; k++) {
            hash = dataset_hash(hash, graph.objects[k].region, strlen(graph.objects[k].region));
            hash = dataset_hash(hash, &graph.objects[k].original, sizeof(box));
            hash = dataset_hash(hash, &graph.objects[k].frame, sizeof(box));
        }
        scene_graph_free(&graph);
        if (set->base.has_masks) TRY(hash_masks(&hash, set, table->rows[i].id, error));
    }
    set->fingerprint = hash;
    return CARINA_OK;
}

/* Single films may lack them. */
static carina_status find_masks(imagenome_set *set, carina_error *error) {
    char path[MAX_PATH_TEXT];
    TRY(masks_folder(path, set, "", error));
    set->base.has_masks = file_is_folder(path);
    return CARINA_OK;
}

carina_status chest_imagenome_open(dataset **out, const dataset_config *config, const atlas *regions,
                                   carina_error *error) {
    *out = NULL;
    imagenome_set *set = calloc(1, sizeof *set);
    if (!set) return error_memory(error, "data set", sizeof *set);
    set->base.type = &imagenome_class;
    set->base.regions = regions;
    set->sentences = config->sentences;
    carina_status status = film_table_open(&set->table, config, error);
    if (status == CARINA_OK && config->masks) status = find_masks(set, error);
    if (status == CARINA_OK) status = compute_fingerprint(set, error);
    if (status != CARINA_OK) {
        set_free(&set->base);
        return status;
    }
    *out = &set->base;
    return CARINA_OK;
}
