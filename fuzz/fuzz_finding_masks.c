/* Any bytes as a film's masks.json: refused, or no mask at all, since no picture is there. */
#include <stdlib.h>

#include "data/finding_masks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    finding_masks masks;
    carina_error error;
    const atlas *regions = atlas_builtin("anatomix36");
    if (finding_masks_parse(&masks, (const char *)data, size, "/nowhere", 64, 64, regions, &error) != CARINA_OK)
        return 0;
    if (masks.count != 0) abort();
    finding_masks_free(&masks);
    return 0;
}
