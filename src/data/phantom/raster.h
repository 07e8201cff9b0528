/* Drawing of path lengths: polygons, distances, tubes, blobs, noise and blur on [height, width] f32 maps.
 *
 * Used by every part of the phantom. Points are film pixels. A tube's or blob's value is the length of its chord along
 * the ray, so that maps add up to path lengths in mm. Work memory is given by the caller or taken and freed inside.
 */
#ifndef DATA_PHANTOM_RASTER_H
#define DATA_PHANTOM_RASTER_H

#include "data/phantom/phantom.h"

typedef struct raster {
    int width, height;
    float *value; /* [height, width], borrowed */
} raster;

/* mask = 1 inside the closed polygon (even-odd), pixel centres; elsewhere untouched. */
void raster_fill(uint8_t *mask, int width, int height, const phantom_point *point, int count, uint8_t value);

/* out = distance in pixels to the nearest 0 pixel of the mask (0 outside; the film's edge does not count as outside);
 * work holds max(width, height) * 4 + 8 floats. */
void raster_distance(float *out, const uint8_t *mask, int width, int height, float *work);

/* A node of a swept tube. */
typedef struct raster_node {
    double x, y;      /* pixels */
    double radius;    /* pixels, in the film's plane */
    double thickness; /* mm along the ray at the axis */
    double shell;     /* 0 solid .. 1 nearly hollow: share of the radius that is marrow */
} raster_node;

/* Adds the tube through the nodes: per pixel the largest chord of any of its segments, so that joints do not add up.
 * `work` [height, width] must be 0 and is 0 again afterwards. */
enum { RASTER_CAP_START = 1, RASTER_CAP_END = 2, RASTER_CAPS = 3 }; /* rounded ends, else cut square */
void raster_tube(raster map, float *work, const raster_node *node, int count, double gain, int caps);

/* Adds thickness * sqrt(1 - r^2)^power inside the rotated ellipse. angle in radians. */
void raster_ellipse(raster map, double cx, double cy, double rx, double ry, double angle, double thickness,
                    double power);

/* Gaussian blur by three box passes, edges repeated. work [height, width]. */
void raster_blur(float *value, float *work, int width, int height, double sigma);

/* Smooth random field, mean 0, deviation about 1: octaves of interpolated lattice noise. `cell` is the coarsest cell in
 * pixels, each further octave halves it and multiplies its weight by `persistence`. */
void raster_noise(float *out, int width, int height, double cell, int octaves, double persistence,
                  random_state *random);

/* Value of smooth step from 0 at a to 1 at b. */
double raster_step(double a, double b, double x);

/* Closed or open Catmull-Rom refinement: writes count * steps (open: (count - 1) * steps + 1) points, returns that. */
int raster_spline(phantom_point *out, const phantom_point *point, int count, int steps, bool closed);

#endif
