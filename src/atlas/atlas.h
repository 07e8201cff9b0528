/* Region sets: which anatomical objects there are, in which order, and what they are called where.
 *
 * The order is part of every model and file format: query i of a model is region i of its set, always.
 * "anatomix36" (AnatomiX, index order of its 36 objects) is built in, "imagenome29" too;
 * others are read from a YAML file.
 */
#ifndef ATLAS_ATLAS_H
#define ATLAS_ATLAS_H

#include "base/error.h"

#define ATLAS_MAX_REGIONS 256

typedef struct atlas_region {
    const char *name;         /* Chest ImaGenome bbox_name, lower case: "right lower lung zone" */
    const char *display_name; /* AnatomiX display name: "Right lower lung zone" */
    const char *concept_name; /* raw Chest ImaGenome `name`, with ;; and && : "Trachea&&Main Bronchus" */
    int partner;              /* index of the left/right twin, or the region's own index for midline structures */
    int parent;               /* index of the enclosing region, or -1 */
    unsigned colour;          /* 0xRRGGBB for drawing */
} atlas_region;

typedef struct atlas {
    const char *name;
    int region_count;
    const atlas_region *regions;
} atlas;

/* The 36 AnatomiX objects in index order (formats.md 13.1). Borrowed, static. */
const atlas *atlas_anatomix36(void);

/* Index of a Chest ImaGenome name (case ignored), or -1. */
int atlas_find(const atlas *set, const char *name);

/* The 14 CheXpert image labels, in MIMIC-CXR-JPG's (alphabetical) column order. */
#define ATLAS_LABEL_COUNT 14
extern const char *const atlas_label_names[ATLAS_LABEL_COUNT];

#endif
