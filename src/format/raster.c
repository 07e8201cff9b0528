/* Raster: size limits, and colour files as grey ones; see raster.h. */
#include "format/raster.h"

#include <stdlib.h>

#include "base/cursor.h"

carina_status raster_check_size(uint64_t width, uint64_t height, carina_error *error) {
    if (width == 0 || height == 0)
        return error_set(error, CARINA_ERROR_FORMAT, "the header says %llu x %llu pixels: an empty picture",
                         (unsigned long long)width, (unsigned long long)height);
    uint64_t pixels;
    if (width > RASTER_MAX_SIDE || height > RASTER_MAX_SIDE || !size_multiply(width, height, &pixels) ||
        pixels > RASTER_MAX_PIXELS)
        return error_set(error, CARINA_ERROR_LIMIT,
                         "%llu x %llu pixels, more than is accepted (%d a side, %u in all): make it smaller first",
                         (unsigned long long)width, (unsigned long long)height, RASTER_MAX_SIDE, RASTER_MAX_PIXELS);
    return CARINA_OK;
}

carina_status raster_create(raster *out, int width, int height, int channels, int bit_depth, carina_error *error) {
    *out = (raster){0};
    if (width < 0 || height < 0 || (channels != 1 && channels != 3) || bit_depth < 1 || bit_depth > 16)
        return error_set(error, CARINA_ERROR_ARGUMENT, "raster: %d x %d, %d channels, %d bits", width, height, channels,
                         bit_depth);
    TRY(raster_check_size((uint64_t)width, (uint64_t)height, error));
    size_t count = (size_t)width * (size_t)height * (size_t)channels;
    out->sample = calloc(count, sizeof *out->sample);
    if (!out->sample) return error_memory(error, "picture", count * sizeof *out->sample);
    out->width = width;
    out->height = height;
    out->channels = channels;
    out->bit_depth = bit_depth;
    return CARINA_OK;
}

void raster_free(raster *picture) {
    if (!picture) return;
    free(picture->sample);
    *picture = (raster){0};
}

raster_grey_source raster_make_grey(raster *picture) {
    if (picture->channels != 3) return RASTER_WAS_GREY;
    size_t count = (size_t)picture->width * (size_t)picture->height;
    uint16_t *sample = picture->sample;
    bool equal = true;
    for (size_t i = 0; i < count && equal; i++)
        equal = sample[3 * i] == sample[3 * i + 1] && sample[3 * i] == sample[3 * i + 2];
    for (size_t i = 0; i < count; i++) {
        uint32_t red = sample[3 * i], green = sample[3 * i + 1], blue = sample[3 * i + 2];
        sample[i] = equal ? (uint16_t)red : (uint16_t)((299 * red + 587 * green + 114 * blue + 500) / 1000);
    }
    picture->channels = 1;
    uint16_t *smaller = realloc(sample, count * sizeof *sample);
    if (smaller) picture->sample = smaller;
    return equal ? RASTER_CHANNELS_EQUAL : RASTER_LUMINANCE;
}
