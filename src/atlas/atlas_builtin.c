/* The region sets that are compiled in; see atlas.h. */
#include <stddef.h>
#include <string.h>

#include "atlas/atlas.h"
#include "atlas/atlas_tables.h"

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
