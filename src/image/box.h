/* Arithmetic of axis-aligned boxes: what losses, augmentation and metrics share.
 *
 * `box` is (x1, y1, x2, y2) in pixels or any other unit; a normalised box is float[4] (cx, cy, w, h) in [0, 1] of the
 * letterboxed square (letterbox.h). A box with x2 <= x1 or y2 <= y1, or with a NaN, is empty: area 0.
 */
#ifndef IMAGE_BOX_H
#define IMAGE_BOX_H

#include "image/image.h"

box box_from_normalised(const float normalised[4], float width, float height);
void box_to_normalised(box b, float width, float height, float normalised[4]);

double box_area(box b);
box box_intersection(box a, box b); /* empty when they do not meet */
/* Area of the intersection over area of the union, in [0, 1]; 0 when both are empty. */
double box_iou(box a, box b);
box box_mirrored(box b, float width); /* as seen in the picture of that width flipped left to right */

#endif
