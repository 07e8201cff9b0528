/* Region sets: which anatomical objects there are, in which order, and what they are called where.
 *
 * The order is part of every model and file format: query i of a model is region i of its set, always.
 * A region set is a data file, configs/atlas/NAME.yaml. Those files are also compiled into constant tables when
 * Carina is built, so "anatomix36" (the 36 objects of AnatomiX in its index order) and "imagenome29" need no file;
 * atlas_load (atlas/atlas_file.h) reads a user's own.
 */
#ifndef ATLAS_ATLAS_H
#define ATLAS_ATLAS_H

#include "base/error.h"

#define ATLAS_MAX_REGIONS 256

typedef struct atlas_region {
    const char *name;            /* Chest ImaGenome bbox_name, lower case: "right lower lung zone" */
    const char *display_name;    /* AnatomiX display name: "Right lower lung zone" */
    const char *concept_name;    /* raw Chest ImaGenome `name`, with ;; and && : "Trachea&&Main Bronchus" */
    int partner;                 /* index of the left/right twin, or the region's own index for midline structures */
    int parent;                  /* index of the enclosing region, or -1 */
    unsigned colour;             /* 0xRRGGBB for drawing */
    const char *const *findings; /* what can occur in it, in Chest ImaGenome's attribute words */
    int finding_count;
} atlas_region;

typedef struct atlas {
    const char *name;
    int region_count;
    const atlas_region *regions;
} atlas;

/* The 36 AnatomiX objects in index order. Borrowed, static. */
const atlas *atlas_anatomix36(void);

/* The 29 Chest ImaGenome regions in the order of RGRG and Anatomy-VLM. Borrowed, static. */
const atlas *atlas_imagenome29(void);

/* The built-in set of that name, or NULL; set i of the built-in ones, or NULL past the last. Borrowed, static. */
const atlas *atlas_builtin(const char *name);
const atlas *atlas_builtin_at(int index);

/* Index of a Chest ImaGenome name (case ignored), or -1. */
int atlas_find(const atlas *set, const char *name);

/* Index of the region whose raw concept name is `name` (case matters: it is a key of the data set's files), or -1. */
int atlas_find_concept(const atlas *set, const char *name);

/* The 14 CheXpert image labels, in MIMIC-CXR-JPG's (alphabetical) column order. */
#define ATLAS_LABEL_COUNT 14
extern const char *const atlas_label_names[ATLAS_LABEL_COUNT];

#endif
