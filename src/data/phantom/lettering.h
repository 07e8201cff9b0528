/* Side markers and burnt-in text. */
#ifndef DATA_PHANTOM_LETTERING_H
#define DATA_PHANTOM_LETTERING_H

#include "data/phantom/phantom.h"

/* Draws markers and words onto a finished film; one to three kinds by chance, placed as departments do. */
void lettering_draw(image *film, const phantom_scene *scene);

#endif
