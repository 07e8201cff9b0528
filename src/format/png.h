/* PNG (ISO/IEC 15948) <-> raster, through libpng.
 *
 * Read: grey, grey with alpha, palette, RGB, RGBA; 1 to 16 bits; interlaced too. Grey keeps its bit depth; a palette
 * becomes 8-bit RGB; whatever is transparent is laid over black. Gamma and colour profiles are left alone: a film's
 * samples are taken as they are.
 * Errors: FORMAT for broken or truncated files, LIMIT for oversized ones.
 */
#ifndef FORMAT_PNG_H
#define FORMAT_PNG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "format/raster.h"

bool png_recognise(const void *data, uint64_t size); /* by the eight bytes at the start */

carina_status png_load_memory(raster *out, const void *data, uint64_t size, carina_error *error);
carina_status png_load_file(raster *out, const char *path, carina_error *error); /* path is in the message */

/* Writers replace `path` safely (file.h). Samples are [height, width] or [height, width, 3], without row padding. */
carina_status png_save_grey8(const char *path, const uint8_t *samples, int width, int height, carina_error *error);
/* The same to a stream, such as one of open_memstream. */
carina_status png_write_grey8(FILE *stream, const uint8_t *samples, int width, int height, carina_error *error);
carina_status png_save_grey16(const char *path, const uint16_t *samples, int width, int height, carina_error *error);
carina_status png_save_rgb8(const char *path, const uint8_t *samples, int width, int height, carina_error *error);

#endif
