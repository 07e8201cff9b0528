/* Resizing with a bilinear kernel that widens when it shrinks, so that every source pixel counts (antialiasing).
 *
 * One output pixel of a picture shrunk by f is the average of the source under a triangle of half-width f; enlarged,
 * it is plain bilinear interpolation. Pixel centres are at half integers and edges line up with edges; weights beyond
 * the edge are dropped and the rest renormalised. (The behaviour of Pillow's BILINEAR, in f32.)
 */
#ifndef IMAGE_RESIZE_H
#define IMAGE_RESIZE_H

#include "image/image.h"

carina_status resize(image *out, const image *source, int width, int height, carina_error *error);

/* The same for a canvas of canvas_width x canvas_height that is 0 everywhere except for `source`, whose top left
 * corner lies at (left, top) and which lies inside; the canvas is never built. out [height, width] f32, caller's. */
carina_status resize_canvas(float *out, int width, int height, const image *source, int canvas_width, int canvas_height,
                            int left, int top, carina_error *error);

#endif
