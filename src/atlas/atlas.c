/* Looking things up in a region set, and the label names; see atlas.h. */
#include "atlas/atlas.h"

#include <string.h>
#include <strings.h>

const char *const atlas_label_names[ATLAS_LABEL_COUNT] = {
    "Atelectasis",   "Cardiomegaly", "Consolidation", "Edema",           "Enlarged Cardiomediastinum",
    "Fracture",      "Lung Lesion",  "Lung Opacity",  "No Finding",      "Pleural Effusion",
    "Pleural Other", "Pneumonia",    "Pneumothorax",  "Support Devices",
};

int atlas_find(const atlas *set, const char *name) {
    for (int i = 0; i < set->region_count; i++) {
        if (strcasecmp(set->regions[i].name, name) == 0) return i;
    }
    return -1;
}

int atlas_find_concept(const atlas *set, const char *name) {
    for (int i = 0; i < set->region_count; i++) {
        if (strcmp(set->regions[i].concept_name, name) == 0) return i;
    }
    return -1;
}
