/* JPEG reader: any bytes give a raster or an error. */
#include <stddef.h>

#include "format/jpeg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    raster picture;
    carina_error error;
    if (jpeg_load_memory(&picture, data, size, &error) == CARINA_OK) {
        if (picture.width < 1 || picture.height < 1 || !picture.sample) __builtin_trap();
        raster_make_grey(&picture);
    }
    raster_free(&picture);
    return 0;
}
