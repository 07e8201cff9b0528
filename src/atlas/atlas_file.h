/* Region sets from YAML files; the keys are explained in configs/atlas/anatomix36.yaml.
 *
 * Checked: every key known, names unique, partners mutual, parents without a circle, colours RRGGBB, at most
 * ATLAS_MAX_REGIONS regions. The same reader makes the built-in tables while Carina is built (tools/atlas_compile.c).
 */
#ifndef ATLAS_ATLAS_FILE_H
#define ATLAS_ATLAS_FILE_H

#include <stdint.h>

#include "atlas/atlas.h"

/* The caller owns *out. */
carina_status atlas_load(atlas **out, const char *path, carina_error *error);

/* The same from bytes; name is used in messages. */
carina_status atlas_parse(atlas **out, const char *name, const void *data, uint64_t size, carina_error *error);

/* Only for sets of atlas_load and atlas_parse; accepts NULL. */
void atlas_free(atlas *set);

#endif
