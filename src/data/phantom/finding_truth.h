/* What is true of a finished phantom, apart from any report: which regions each finding touches, which devices are on
 * the film, and the image labels that a perfect reader would give. */
#ifndef DATA_PHANTOM_FINDING_TRUTH_H
#define DATA_PHANTOM_FINDING_TRUTH_H

#include "atlas/atlas.h"
#include "data/phantom/finding_film.h"

#define FINDING_MAX_REGIONS 12

/* Region names of Chest ImaGenome; "right chest wall" and the like have no box. */
typedef struct finding_regions {
    int count;
    const char *name[FINDING_MAX_REGIONS];
} finding_regions;

/* Where finding `index` of the film is. The lung zones come from the lesion's mask and the scene's boxes. */
void finding_truth_regions(finding_regions *out, const finding_film *film, int index, const phantom_scene *scene);

/* The zone that holds most of it: 0 apical, 1 upper, 2 mid, 3 lower; -1 when it is not in one lung. */
int finding_truth_zone(const finding_film *film, int index, const phantom_scene *scene);

/* A device's words: Chest ImaGenome category and attribute (NULL when it has none: leads, pads). */
typedef struct finding_device {
    const char *scene_name; /* phantom_device.name */
    const char *category, *attribute;
    const char *region; /* where it is told of when its tip lies in no region */
} finding_device;

#define FINDING_DEVICE_COUNT 13
extern const finding_device finding_devices[FINDING_DEVICE_COUNT];
const finding_device *finding_device_find(const char *scene_name); /* NULL when unknown */
void finding_device_regions(finding_regions *out, const phantom_device *device);
bool finding_truth_equipment(const phantom_scene *scene); /* a line, tube, lead or implant is on the film */

/* 1 or 0 for each of the 14 classes. */
void finding_truth_labels(float labels[ATLAS_LABEL_COUNT], const finding_film *film, const phantom_scene *scene);

#endif
