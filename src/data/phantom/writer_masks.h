/* The masks of one phantom film on disk: lungs, heart, every lesion and device, and what each of them shows. The format
 * is that of data/finding_masks.h, which reads it back; organs have "region" instead of "attributes".
 */
#ifndef DATA_PHANTOM_WRITER_MASKS_H
#define DATA_PHANTOM_WRITER_MASKS_H

#include "data/phantom/finding_film.h"

/* folder: masks/<id> of the set, made when missing. scene: with masks of its devices. */
carina_status writer_masks_write(const char *folder, const char *id, const finding_film *film,
                                 const phantom_scene *scene, carina_error *error);

#endif
