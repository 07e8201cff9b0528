/* The grey-level part of augment.h: tone curves, local contrast, blur, noise, blocks, cutouts. */
#ifndef IMAGE_AUGMENT_TONE_H
#define IMAGE_AUGMENT_TONE_H

#include "image/augment.h"

/* Changes picture [size, size] in place; the result is in [0, 1]. scratch as in augment_apply. */
void augment_tone(float *picture, int size, const augment_options *options, random_state *random, void *scratch);

#endif
