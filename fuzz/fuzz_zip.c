/* ZIP reader over any bytes; every entry is read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    zip_archive zip;
    carina_error error;
    if (zip_open(&zip, "fuzz", data, size, &error) != CARINA_OK) return 0;
    for (uint64_t i = 0; i < zip.count && i < 100; i++) {
        const uint8_t *view;
        uint8_t *owned;
        if (zip_read(&zip, &zip.entries[i], 1u << 20, &view, &owned, &error) == CARINA_OK) free(owned);
        if (zip_find(&zip, zip.entries[i].name) != &zip.entries[i]) abort();
    }
    zip_close(&zip);
    return 0;
}
