/* The side marker on a chest film: a lone letter L or R of lead, or written by the console.
 *
 * Bright pieces that stand out from what surrounds them and have a letter's size are held against an alphabet, at
 * several angles and from both sides (a marker may lie face down). A letter that stands in a word is passed over:
 * "ERECT" is no marker. Nothing here is trained.
 */
#ifndef PIPELINE_SIDE_MARKER_H
#define PIPELINE_SIDE_MARKER_H

#include <stdbool.h>

#include "image/image.h"

typedef struct side_marker {
    char letter;    /* 'L' or 'R'; 0: none was found */
    float x, y;     /* its middle, in [0, 1] of the picture's width and height */
    float likeness; /* to the letter: a correlation, at most 1 */
} side_marker;

/* The most letter-like of those that are found. */
carina_status side_marker_find(side_marker *out, const image *picture, carina_error *error);

/* Whether it stands on the wrong half of a film seen as radiologists do, the patient's left on the picture's right. */
bool side_marker_contradicts(const side_marker *marker);

#endif
