/* From path lengths to a film (step 5 of phantom.h). */
#ifndef DATA_PHANTOM_IMAGING_CHAIN_H
#define DATA_PHANTOM_IMAGING_CHAIN_H

#include "data/phantom/thorax.h"

/* The collimated field: fills scene->field_mask and `softness` (its edge's penumbra in pixels, how it is shown
 * outside). */
typedef struct imaging_field {
    double centre_x, centre_y, half_width, half_height, angle; /* pixels, radians */
    double penumbra;                                           /* pixels */
    double outside;                                            /* grey level outside, 0 black .. 1 white */
    bool shown;
} imaging_field;
void imaging_chain_field(imaging_field *out, phantom_scene *scene, const phantom_options *options);

/* Fills film (already created, scene's size). work: three maps [height, width]. */
void imaging_chain_run(image *film, const phantom_scene *scene, const imaging_field *field,
                       const phantom_options *options, float *work[3]);

#endif
