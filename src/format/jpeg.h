/* JPEG (ITU-T T.81, 8 bits) <-> raster, through TurboJPEG.
 *
 * Read: grey, or colour as RGB; baseline and progressive. CMYK and 12-bit files are refused.
 * Errors: FORMAT for broken or truncated files, LIMIT for oversized ones, UNSUPPORTED.
 */
#ifndef FORMAT_JPEG_H
#define FORMAT_JPEG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "format/raster.h"

bool jpeg_recognise(const void *data, uint64_t size); /* by the three bytes at the start */

carina_status jpeg_load_memory(raster *out, const void *data, uint64_t size, carina_error *error);
carina_status jpeg_load_file(raster *out, const char *path, carina_error *error); /* path is in the message */

/* samples [height, width]; quality 1 to 100. *out is malloc'ed, owned by the caller. */
carina_status jpeg_encode_grey8(uint8_t **out, uint64_t *size, const uint8_t *samples, int width, int height,
                                int quality, carina_error *error);
/* The same to a file, replaced safely (file.h). */
carina_status jpeg_save_grey8(const char *path, const uint8_t *samples, int width, int height, int quality,
                              carina_error *error);

#endif
