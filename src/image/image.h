/* A grey picture as a radiologist sees it.
 *
 * value [height, width] f32 in [0, 1], row by row from the top left corner; 0 black (air), 1 white (bone).
 * Coordinates of boxes and points are continuous: pixel column x covers [x, x + 1), so a box round one whole picture
 * of width W is [0, 0, W, H]. On a frontal film the patient's right is at the image's left.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "base/error.h"

typedef struct image {
    int width, height;
    float *value; /* [height, width], owned */
} image;

#define IMAGE_MAX_SIDE 32768 /* pixels; larger pictures are refused before memory is taken */

/* Pixels start at 0. Sides must be in [1, IMAGE_MAX_SIDE]. */
carina_status image_create(image *out, int width, int height, carina_error *error);
void image_free(image *picture); /* accepts NULL and an empty image */

/* An axis-aligned box, [x1, x2) x [y1, y2), in pixels of whatever picture the context names. */
typedef struct box {
    float x1, y1, x2, y2;
} box;

#endif
