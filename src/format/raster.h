/* Samples as a PNG or JPEG file holds them, before anything is made of them: what png.c and jpeg.c give.
 *
 * sample [height, width, channels] u16, row by row from the top left corner, each in [0, 2^bit_depth - 1].
 * channels is 1 (grey) or 3 (red, green, blue).
 */
#ifndef FORMAT_RASTER_H
#define FORMAT_RASTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct raster {
    int width, height;
    int channels;
    int bit_depth;         /* 1 to 16 */
    bool had_transparency; /* an alpha channel or a transparent colour was laid over black */
    uint16_t *sample;      /* owned */
} raster;

/* What any picture file may at most hold; larger ones are refused before memory is taken. */
#define RASTER_MAX_SIDE       32768
#define RASTER_MAX_PIXELS     (1u << 26) /* 67 million; the largest detectors have 30 */
#define RASTER_MAX_FILE_BYTES (UINT64_C(1) << 30)

/* Refuses sides and pixel counts beyond the limits; both are as the file's header claims them. */
carina_status raster_check_size(uint64_t width, uint64_t height, carina_error *error);

/* Samples start at 0. The size is checked. */
carina_status raster_create(raster *out, int width, int height, int channels, int bit_depth, carina_error *error);
void raster_free(raster *picture); /* accepts NULL and an empty raster */

typedef enum raster_grey_source {
    RASTER_WAS_GREY,
    RASTER_CHANNELS_EQUAL, /* colour file, but red = green = blue everywhere */
    RASTER_LUMINANCE,      /* real colour: 0.299 R + 0.587 G + 0.114 B, rounded */
} raster_grey_source;

/* Makes one channel of three, in place; tells how. */
raster_grey_source raster_make_grey(raster *picture);

#endif
