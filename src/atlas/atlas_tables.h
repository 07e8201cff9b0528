/* The region sets that are compiled in: configs/atlas/NAME.yaml as constant tables, made by tools/atlas_compile.c while
 * Carina is built, in the order of ATLAS_SETS in CMakeLists.txt. Only atlas_builtin.c reads them. */
#ifndef ATLAS_ATLAS_TABLES_H
#define ATLAS_ATLAS_TABLES_H

#include "atlas/atlas.h"

#define ATLAS_TABLE_COUNT 2
extern const atlas atlas_tables[ATLAS_TABLE_COUNT]; /* anatomix36, imagenome29 */

#endif
