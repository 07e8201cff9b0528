/* Grey pictures: create and free; see image.h. */
#include "image/image.h"

#include <stdlib.h>

carina_status image_create(image *out, int width, int height, carina_error *error) {
    *out = (image){0};
    if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE)
        return error_set(error, CARINA_ERROR_LIMIT, "image: %d x %d pixels is not within 1 to %d a side", width, height,
                         IMAGE_MAX_SIDE);
    size_t count = (size_t)width * (size_t)height;
    out->value = calloc(count, sizeof *out->value);
    if (!out->value) return error_memory(error, "image", count * sizeof *out->value);
    out->width = width;
    out->height = height;
    return CARINA_OK;
}

void image_free(image *picture) {
    if (!picture) return;
    free(picture->value);
    *picture = (image){0};
}
