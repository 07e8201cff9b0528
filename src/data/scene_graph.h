/* A Chest ImaGenome scene graph: what one film's report says of which region, and where each region lies.
 *
 * Format: one JSON object per film, <dicom_id>_SceneGraph.json. Boxes come in the original film's pixels
 * (original_x1 ..), in the 224 x 224 frame (the film padded to a centred square, then resized), or in both. Fields that
 * are absent, null or of another type are treated as not given: the sets on disk are not uniform. Only what makes the
 * whole file useless is an error: no JSON, or no object at its top.
 */
#ifndef DATA_SCENE_GRAPH_H
#define DATA_SCENE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"

#define SCENE_GRAPH_FRAME     224        /* side of the frame of x1, y1, x2, y2 */
#define SCENE_GRAPH_MAX_BYTES (8u << 20) /* real ones have up to about 200 kB */

typedef struct scene_object {
    const char *region; /* bbox_name */
    bool has_frame, has_original;
    box frame;    /* 224 x 224 frame */
    box original; /* film pixels */
} scene_object;

/* One sentence of the report and what it says of a region. */
typedef struct scene_phrase {
    const char *text, *section;
    const char **attributes; /* "category|yes|name" or "category|no|name" */
    uint32_t attribute_count;
} scene_phrase;

typedef struct scene_mention {
    const char *region;
    bool named; /* the text names the region; false: it follows from what was found */
    scene_phrase *phrases;
    uint32_t phrase_count;
} scene_mention;

/* All texts live as long as the graph; "" where the file does not say. */
typedef struct scene_graph {
    const char *image_id, *viewpoint, *patient_id, *study_id, *gender, *age_decile, *reason;
    int age;       /* years: exact where the file says (synthetic films do), else the middle of the decade, or -1 */
    int equipment; /* 1 a line, tube or device is named or known; 0 known to be absent; -1 not known */
    scene_object *objects;
    uint32_t object_count;
    scene_mention *mentions;
    uint32_t mention_count;
    void *memory; /* owns the texts */
} scene_graph;

/* `name` is used in messages. On failure *out is empty. */
carina_status scene_graph_parse(scene_graph *out, const char *name, const void *data, uint64_t size,
                                carina_error *error);
carina_status scene_graph_read(scene_graph *out, const char *path, carina_error *error);
void scene_graph_free(scene_graph *graph); /* accepts NULL and an empty graph */

/* The object's box in pixels of a film of width x height, clipped to it; original coordinates are taken where given.
 * False when nothing of it is left or it has no coordinates. width or height 0: not known, so the 224 frame cannot be
 * mapped and clipping is at 0 only. */
bool scene_object_box(const scene_object *object, int width, int height, box *out);

#endif
