/* A film's pixels from its file; see film_file.h. */
#include "data/film_file.h"

#include <stdlib.h>

#include "base/file.h"
#include "format/jpeg.h"
#include "format/png.h"

carina_status film_file_read(image *out, const char *path, carina_error *error) {
    *out = (image){0};
    file_map map;
    TRY(file_map_open(&map, path, error));
    raster picture = {0};
    carina_status status;
    if (png_recognise(map.data, map.size)) {
        status = png_load_memory(&picture, map.data, map.size, error);
    } else if (jpeg_recognise(map.data, map.size)) {
        status = jpeg_load_memory(&picture, map.data, map.size, error);
    } else {
        status = error_set(error, CARINA_ERROR_FORMAT, "neither PNG nor JPEG; give the film in one of these");
    }
    file_map_close(&map);
    if (status != CARINA_OK) return error_prefix(error, "%s", path);
    raster_make_grey(&picture);
    status = image_create(out, picture.width, picture.height, error);
    if (status == CARINA_OK) {
        size_t count = (size_t)picture.width * (size_t)picture.height;
        float scale = 1.0f / (float)((1u << picture.bit_depth) - 1);
        for (size_t i = 0; i < count; i++) out->value[i] = (float)picture.sample[i] * scale;
    }
    raster_free(&picture);
    return status;
}
