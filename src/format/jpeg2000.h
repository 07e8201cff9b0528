/* JPEG 2000 (ITU-T T.800), one component, through OpenJPEG: the codestreams inside DICOM files.
 *
 * A bare codestream or a JP2 file. Errors: FORMAT for broken or truncated data, MISMATCH when its size is not the
 * expected one (checked before pixels get memory), UNSUPPORTED for colour, subsampling and more than 16 bits.
 */
#ifndef FORMAT_JPEG2000_H
#define FORMAT_JPEG2000_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct jpeg2000_samples {
    int width, height;
    int bits; /* precision, 1 to 16 */
    bool is_signed;
    int32_t *sample; /* [height, width], owned: free() */
} jpeg2000_samples;

/* expected_width and expected_height 0: any size within the limits of raster.h. */
carina_status jpeg2000_decode(jpeg2000_samples *out, const void *data, uint64_t size, int expected_width,
                              int expected_height, carina_error *error);

#endif
