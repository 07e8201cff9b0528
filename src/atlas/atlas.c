/* Looking things up in a region set, and the sets that are built in; see atlas.h. */
#include "atlas/atlas.h"

#include <string.h>
#include <strings.h>

#include "atlas/atlas_tables.h"

const char *const atlas_label_names[ATLAS_LABEL_COUNT] = {
    "Atelectasis",   "Cardiomegaly", "Consolidation", "Edema",           "Enlarged Cardiomediastinum",
    "Fracture",      "Lung Lesion",  "Lung Opacity",  "No Finding",      "Pleural Effusion",
    "Pleural Other", "Pneumonia",    "Pneumothorax",  "Support Devices",
};

const atlas *atlas_builtin_at(int index) {
    return index >= 0 && index < ATLAS_TABLE_COUNT ? &atlas_tables[index] : NULL;
}

const atlas *atlas_builtin(const char *name) {
    for (int i = 0; i < ATLAS_TABLE_COUNT; i++) {
        if (strcmp(atlas_tables[i].name, name) == 0) return &atlas_tables[i];
    }
    return NULL;
}

const atlas *atlas_anatomix36(void) { return &atlas_tables[0]; }

const atlas *atlas_imagenome29(void) { return &atlas_tables[1]; }

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
