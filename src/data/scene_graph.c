/* Reading a scene graph; see scene_graph.h. */
#include "data/scene_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"

#define MAX_ITEMS \
    4096 /* objects, mentions, phrases of one mention, attributes of one phrase: real ones stay below 100 */

/* The graph's own memory: the document whose texts are borrowed, texts made from numbers, and every array. */
typedef struct graph_memory {
    json_document *document;
    void **blocks;
    uint64_t block_count, block_room;
} graph_memory;

static void *take(graph_memory *memory, uint64_t count, uint64_t size) {
    if (memory->block_count == memory->block_room) {
        uint64_t room = memory->block_room ? memory->block_room * 2 : 32;
        void **grown = realloc(memory->blocks, (size_t)room * sizeof *grown);
        if (!grown) return NULL;
        memory->blocks = grown;
        memory->block_room = room;
    }
    void *block = calloc((size_t)(count ? count : 1), (size_t)size);
    if (block) memory->blocks[memory->block_count++] = block;
    return block;
}

/* A text field; a number (study_id, patient_id) is written out. "" when absent. NULL: out of memory. */
static const char *text_of(graph_memory *memory, const json_value *parent, const char *key) {
    const json_value *value = json_find(parent, key);
    const char *text = json_text(value);
    int64_t whole;
    if (text) return text;
    if (!json_whole(value, &whole)) return "";
    char *made = take(memory, 24, 1);
    if (made) snprintf(made, 24, "%lld", (long long)whole);
    return made;
}

static bool number_of(const json_value *object, const char *key, float *out) {
    double value;
    if (!json_number(json_find(object, key), &value) || !isfinite(value) || fabs(value) > 1e7) return false;
    *out = (float)value;
    return true;
}

static bool box_of(const json_value *object, const char *const keys[4], box *out) {
    return number_of(object, keys[0], &out->x1) && number_of(object, keys[1], &out->y1) &&
           number_of(object, keys[2], &out->x2) && number_of(object, keys[3], &out->y2);
}

static carina_status no_memory(carina_error *error) { return error_memory(error, "scene graph", MAX_ITEMS); }

static carina_status limit(const json_document *document, const json_value *parent, const char *key, uint64_t *count,
                           carina_error *error) {
    const json_value *array = json_find(parent, key);
    *count = json_kind_of(array) == JSON_KIND_ARRAY ? json_count(array) : 0;
    if (*count <= MAX_ITEMS) return CARINA_OK;
    return json_fail(document, parent, key, CARINA_ERROR_LIMIT, error, "%llu entries, more than the %d a film can have",
                     (unsigned long long)*count, MAX_ITEMS);
}

static carina_status parse_objects(scene_graph *graph, graph_memory *memory, const json_value *root,
                                   carina_error *error) {
    static const char *const frame_keys[4] = {"x1", "y1", "x2", "y2"};
    static const char *const original_keys[4] = {"original_x1", "original_y1", "original_x2", "original_y2"};
    uint64_t count;
    TRY(limit(memory->document, root, "objects", &count, error));
    graph->objects = take(memory, count, sizeof *graph->objects);
    if (!graph->objects) return no_memory(error);
    for (uint64_t i = 0; i < count; i++) {
        const json_value *value = json_item(json_find(root, "objects"), i);
        const char *region = json_text(json_find(value, "bbox_name"));
        if (!region) continue;
        scene_object *object = &graph->objects[graph->object_count++];
        object->region = region;
        object->has_frame = box_of(value, frame_keys, &object->frame);
        object->has_original = box_of(value, original_keys, &object->original);
    }
    return CARINA_OK;
}

static carina_status parse_phrase(scene_phrase *phrase, graph_memory *memory, const json_value *mention, uint64_t i,
                                  carina_error *error) {
    const char *text = json_text(json_item(json_find(mention, "phrases"), i));
    const char *section = json_text(json_item(json_find(mention, "sections"), i));
    const json_value *attributes = json_item(json_find(mention, "attributes"), i);
    phrase->text = text ? text : "";
    phrase->section = section ? section : "";
    uint64_t count = json_kind_of(attributes) == JSON_KIND_ARRAY ? json_count(attributes) : 0;
    if (count > MAX_ITEMS) count = MAX_ITEMS;
    phrase->attributes = take(memory, count, sizeof *phrase->attributes);
    if (!phrase->attributes) return no_memory(error);
    for (uint64_t k = 0; k < count; k++) {
        const char *attribute = json_text(json_item(attributes, k));
        if (attribute) phrase->attributes[phrase->attribute_count++] = attribute;
    }
    return CARINA_OK;
}

static carina_status parse_mentions(scene_graph *graph, graph_memory *memory, const json_value *root,
                                    carina_error *error) {
    uint64_t count;
    TRY(limit(memory->document, root, "attributes", &count, error));
    graph->mentions = take(memory, count, sizeof *graph->mentions);
    if (!graph->mentions) return no_memory(error);
    for (uint64_t i = 0; i < count; i++) {
        const json_value *value = json_item(json_find(root, "attributes"), i);
        const char *region = json_text(json_find(value, "bbox_name"));
        if (!region) continue;
        scene_mention *mention = &graph->mentions[graph->mention_count++];
        mention->region = region;
        bool named = false;
        mention->named = json_truth(json_find(value, region), &named) && named;
        uint64_t phrases;
        TRY(limit(memory->document, value, "attributes", &phrases, error));
        mention->phrases = take(memory, phrases, sizeof *mention->phrases);
        if (!mention->phrases) return no_memory(error);
        for (uint64_t k = 0; k < phrases; k++) {
            TRY(parse_phrase(&mention->phrases[k], memory, value, k, error));
            mention->phrase_count++;
        }
    }
    return CARINA_OK;
}

static bool names_device(const scene_graph *graph) {
    for (uint32_t m = 0; m < graph->mention_count; m++) {
        for (uint32_t p = 0; p < graph->mentions[m].phrase_count; p++) {
            const scene_phrase *phrase = &graph->mentions[m].phrases[p];
            for (uint32_t a = 0; a < phrase->attribute_count; a++) {
                const char *text = phrase->attributes[a];
                if (strncmp(text, "tubesandlines|yes|", 18) == 0 || strncmp(text, "device|yes|", 11) == 0) return true;
            }
        }
    }
    return false;
}

/* "60-70" -> 65; the exact age and whether equipment is on the film only synthetic films know. */
static void parse_patient(scene_graph *graph, const json_value *root) {
    int low, high;
    graph->age = -1;
    if (sscanf(graph->age_decile, "%3d-%3d", &low, &high) == 2 && low >= 0 && high >= low && high <= 150) {
        graph->age = (low + high) / 2;
    } else if (sscanf(graph->age_decile, "%3d", &low) == 1 && low >= 0 && low <= 150) {
        graph->age = low;
    }
    graph->equipment = names_device(graph) ? 1 : -1;
    const json_value *synthetic = json_find(root, "synthetic");
    int64_t age;
    bool equipment;
    if (json_whole(json_find(synthetic, "age"), &age) && age >= 0 && age <= 150) graph->age = (int)age;
    if (json_truth(json_find(synthetic, "equipment"), &equipment)) graph->equipment = equipment;
}

static carina_status fill(scene_graph *out, graph_memory *memory, carina_error *error) {
    const json_value *root = json_root(memory->document);
    if (json_kind_of(root) != JSON_KIND_OBJECT) {
        return json_fail(memory->document, root, NULL, CARINA_ERROR_FORMAT, error,
                         "a scene graph must be a JSON object, not %s", json_kind_name(json_kind_of(root)));
    }
    out->image_id = text_of(memory, root, "image_id");
    out->viewpoint = text_of(memory, root, "viewpoint");
    out->patient_id = text_of(memory, root, "patient_id");
    out->study_id = text_of(memory, root, "study_id");
    out->gender = text_of(memory, root, "gender");
    out->age_decile = text_of(memory, root, "age_decile");
    out->reason = text_of(memory, root, "reason_for_exam");
    if (!out->image_id || !out->viewpoint || !out->patient_id || !out->study_id || !out->gender || !out->age_decile ||
        !out->reason) {
        return no_memory(error);
    }
    TRY(parse_objects(out, memory, root, error));
    TRY(parse_mentions(out, memory, root, error));
    parse_patient(out, root);
    return CARINA_OK;
}

carina_status scene_graph_parse(scene_graph *out, const char *name, const void *data, uint64_t size,
                                carina_error *error) {
    memset(out, 0, sizeof *out);
    graph_memory *memory = calloc(1, sizeof *memory);
    if (!memory) return no_memory(error);
    out->memory = memory;
    const json_options options = {.max_bytes = SCENE_GRAPH_MAX_BYTES, .repair_utf8 = true};
    carina_status status = json_parse(&memory->document, name, data, size, &options, error);
    if (status == CARINA_OK) status = fill(out, memory, error);
    if (status != CARINA_OK) scene_graph_free(out);
    return status;
}

carina_status scene_graph_read(scene_graph *out, const char *path, carina_error *error) {
    memset(out, 0, sizeof *out);
    uint8_t *data;
    uint64_t size;
    TRY(file_read(path, SCENE_GRAPH_MAX_BYTES, &data, &size, error));
    carina_status status = scene_graph_parse(out, path, data, size, error);
    free(data);
    return status;
}

void scene_graph_free(scene_graph *graph) {
    if (!graph) return;
    graph_memory *memory = graph->memory;
    if (memory) {
        for (uint64_t i = 0; i < memory->block_count; i++) free(memory->blocks[i]);
        free(memory->blocks);
        json_free(memory->document);
        free(memory);
    }
    memset(graph, 0, sizeof *graph);
}

bool scene_object_box(const scene_object *object, int width, int height, box *out) {
    box b;
    if (object->has_original) {
        b = object->original;
    } else if (object->has_frame && width > 0 && height > 0) {
        /* the film was padded to a centred square of side s * 224, then resized by 1 / s */
        float longest = (float)(width > height ? width : height);
        float s = longest / SCENE_GRAPH_FRAME;
        float pad_x = (longest - (float)width) / 2, pad_y = (longest - (float)height) / 2;
        b = (box){object->frame.x1 * s - pad_x, object->frame.y1 * s - pad_y, object->frame.x2 * s - pad_x,
                  object->frame.y2 * s - pad_y};
    } else {
        return false;
    }
    b.x1 = fmaxf(b.x1, 0);
    b.y1 = fmaxf(b.y1, 0);
    if (width > 0) b.x2 = fminf(b.x2, (float)width);
    if (height > 0) b.y2 = fminf(b.y2, (float)height);
    if (!(b.x2 > b.x1 && b.y2 > b.y1)) return false;
    *out = b;
    return true;
}
