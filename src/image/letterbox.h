/* From a film to the square a network sees, and boxes back: the "preprocess" stage.
 *
 * The film is padded with 0 to a centred square (floor half of the difference on the left or top; an odd one leaves
 * one pixel more on the right or bottom) and resized to size x size. Normalised boxes are (cx, cy, w, h) in [0, 1] of
 * that square, whatever its size. Boxes of the file are in its own, original pixels (image.h), even when the picture
 * was first resampled to square pixels.
 */
#ifndef IMAGE_LETTERBOX_H
#define IMAGE_LETTERBOX_H

#include "image/image.h"

typedef struct letterbox_transform {
    int file_width, file_height; /* pixels of the file */
    int width, height;           /* of the film; differs from the file only where pixels were not square */
    int left, top;               /* padding before the film, in its pixels */
    int side;                    /* of the padded square: max(width, height) */
} letterbox_transform;

/* For a film of width x height made from a file of file_width x file_height pixels. */
letterbox_transform letterbox_make(int file_width, int file_height, int width, int height);

/* The film padded and resized: out [size, size] f32 in [0, 1], caller's memory. Its transform is letterbox_make of the
 * film's sides. */
carina_status letterbox_apply(float *out, int size, const image *film, carina_error *error);

/* A box of the file to (cx, cy, w, h); not clipped. */
void letterbox_from_file(const letterbox_transform *t, box file_box, float normalised[4]);

/* (cx, cy, w, h) to a box of the file, clipped to its pixels [0, file_width] x [0, file_height]. */
box letterbox_to_file(const letterbox_transform *t, const float normalised[4]);

#endif
