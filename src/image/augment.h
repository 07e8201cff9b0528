/* Random changes to a training film: geometry (boxes follow) and the domain randomisation of grey levels that lets a
 * model trained on synthetic films read real ones.
 *
 * Input and output are letterboxed squares (letterbox.h). All draws come from the given random state in a fixed order,
 * so a sample's augmentation depends on its stream alone. Every strength 0 (augment_none): the output is the input,
 * resampled bilinearly only when the sizes differ. Grey levels are never inverted: bone stays bright.
 *
 * Boxes under rotation. A region touches the four sides of its box at points that the box does not tell. The box of the
 * four rotated corners assumes that the region fills the corners: no organ does, and at 15 degrees boxes grow by a
 * quarter, which teaches the model to draw too large. The region that only reaches the middles of the sides gives the
 * lower bound. In between, and exact for an elliptic outline, lies the ellipse inscribed in the box, whose
 * image under the affine map has half-extents sqrt((a w/2)^2 + (b h/2)^2) along x and likewise along y: that is the
 * rule here. It is exact for every region without rotation.
 */
#ifndef IMAGE_AUGMENT_H
#define IMAGE_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "image/image.h"

typedef struct augment_options {
    /* geometry */
    float rotation;         /* degrees, drawn from +- */
    float translation;      /* fraction of the side, +- on each axis */
    float scale;            /* size drawn from 1 - scale .. 1 + scale */
    float stretch;          /* ratio of width to height changes by up to this fraction */
    float flip_probability; /* left-right; box i stays organ i: the heart tells left from right */
    float crop;             /* up to this fraction cut off (painted over) at each side, with probability 1/2 a side */
    /* grey levels */
    float equalize_probability; /* global histogram equalisation, blended by a random amount */
    float local_contrast;       /* x + k (x - local mean), k in -local_contrast / 2 .. local_contrast */
    float gamma;                /* exponent exp(+- gamma) */
    float window;               /* both ends of the window move by up to this; values outside saturate */
    float curve;                /* blends in an S-shaped or inverse-S-shaped tone curve by up to this */
    float bias_field;           /* smooth field of a 4 x 4 grid multiplies by 1 +- this */
    float blur;                 /* Gaussian deviation up to this many pixels, with probability 1/2 */
    float sharpen;              /* unsharp mask of one pixel, up to this amount, with probability 1/2 */
    float noise;                /* deviation of white noise up to this; a random part of it is smoothed */
    float blocks;               /* differences within 8 x 8 blocks rounded to steps of up to this, like a coarse JPEG */
    float cutout;               /* up to three rectangles with sides up to this fraction are painted over */
} augment_options;

augment_options augment_none(void);
/* The geometry of the reference (rotation 15, translation 0.1, scale 0.1, flip 0.3), grey levels untouched. */
augment_options augment_reference(void);

/* Bytes of scratch memory for one call at output size `size`. */
uint64_t augment_scratch_bytes(int size);

/* Where an augmented square's places were on the film before, both in [0, 1] of their squares. */
typedef struct augment_map {
    double xx, xy, yx, yy, x, y; /* (u, v) = matrix (x, y) + shift */
    box frame;                   /* what of the augmented square is not cropped; cutout is not told of */
} augment_map;

/* false: nothing of the film is there. */
bool augment_map_back(const augment_map *map, double x, double y, double *u, double *v);

/* source [source_size, source_size] u8 -> out [size, size] f32 in [0, 1]. boxes [count, 4] normalised (cx, cy, w, h)
 * and present [count] (1 or 0) are changed in place: boxes are clipped to what is left of the film; one of which less
 * than a quarter of its area is left becomes absent. scratch: augment_scratch_bytes(size), 8-byte aligned. What was
 * done to the geometry. */
augment_map augment_apply(float *out, int size, const uint8_t *source, int source_size, float *boxes, float *present,
                          int count, const augment_options *options, random_state *random, void *scratch);

#endif
