/* From the samples of a file to a picture as a radiologist sees it: the "study" stage's arithmetic.
 *
 * DICOM (PS3.3 C.11.1, C.11.2, C.7.6.3, PS3.4 N.2), in order: modality LUT or rescale; padding set aside; VOI LUT, or
 * the first window that makes sense, or the full range of what is there; presentation LUT shape and MONOCHROME1,
 * which invert once, last; padding black; pixels made square. PNG and JPEG: 8 bits and less by their scale, more than
 * 8 bits by the range that is there (files of 16 bits seldom use them all).
 *
 * Every step taken is noted in words, so that a result can say how its grey levels came about.
 */
#ifndef IMAGE_GREY_LEVELS_H
#define IMAGE_GREY_LEVELS_H

#include "format/dicom.h"
#include "format/raster.h"
#include "image/image.h"

#define GREY_MAX_STEPS 16
#define GREY_STEP_TEXT 120

typedef struct grey_steps {
    int count;
    char text[GREY_MAX_STEPS][GREY_STEP_TEXT]; /* "rescale slope 1 intercept -1024", "window 2048/4096 linear", ... */
} grey_steps;

void grey_steps_add(grey_steps *steps, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* out is made; it has other sides than the file where pixels were not square. steps are appended to. */
carina_status grey_levels_from_dicom(image *out, grey_steps *steps, const dicom_film *film, carina_error *error);

/* picture becomes a grey one in place. */
carina_status grey_levels_from_raster(image *out, grey_steps *steps, raster *picture, carina_error *error);

#endif
