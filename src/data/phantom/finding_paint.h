/* Tools for painting findings on a phantom's scene: where a lung is, smooth noise, spots and strokes. */
#ifndef DATA_PHANTOM_FINDING_PAINT_H
#define DATA_PHANTOM_FINDING_PAINT_H

#include "data/phantom/phantom.h"

/* One lung on the film: bounding box and, through row_left and row_right, its extent in every pixel row. */
typedef struct lung_frame {
    int side;
    int top, bottom, left, right; /* pixels, [top, bottom) x [left, right); empty lung: bottom == top */
    double height, width;
} lung_frame;

lung_frame lung_frame_make(const phantom_scene *scene, int side);

/* The lung's extent in one row: false when the row misses the lung. */
bool lung_frame_row(const phantom_scene *scene, const lung_frame *frame, int y, int *left, int *right);

/* The point at u (0 medial .. 1 lateral) and v (0 apex .. 1 base). */
phantom_point lung_frame_point(const phantom_scene *scene, const lung_frame *frame, double u, double v);

/* Priors give sizes in films whose lungs are 705/1024 of the frame high: the same size in this film's pixels. */
double lung_frame_pixels(const lung_frame *frame, double film_share);

/* Smooth noise in about [-1, 1], a sum of octaves; feature size `scale` pixels. Same `salt`, same picture. */
double paint_noise(double x, double y, double scale, int octaves, uint64_t salt);

/* 0 below low, 1 above high, smooth between. low may be above high (then falling). */
double paint_step(double low, double high, double x);

/* Adds `mm` of tissue along a soft-edged stroke of `width` pixels from a to b, where the mask (may be NULL) is set;
 * cover is raised to `shown` times the stroke's profile. */
void paint_stroke(float *map, float *cover, const uint8_t *mask, const phantom_scene *scene, phantom_point a,
                  phantom_point b, double width, double mm, double shown);

/* Behind the heart and the domes little lung is on the ray and much scatter: what lies there is drawn as so many times
 * what it is, or nobody would have told of it. 1 in free lung. */
double paint_through(const phantom_scene *scene, size_t i);

/* Raises a float to at least `value`. */
void paint_raise(float *target, double value);

#endif
