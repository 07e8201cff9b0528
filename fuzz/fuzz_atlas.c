/* Region set reader over any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "atlas/atlas_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    atlas *set;
    carina_error error;
    if (atlas_parse(&set, "fuzz", data, size, &error) == CARINA_OK) atlas_free(set);
    return 0;
}
