/* What each patch of an augmented film shows, by the masks of its findings (data/finding_masks.h): the targets of the
 * finding head's mask layer.
 */
#ifndef TRAIN_MASK_TARGETS_H
#define TRAIN_MASK_TARGETS_H

#include "data/finding_masks.h"
#include "image/augment.h"

#define MASK_TARGETS_SURE 2 /* samples, a cell apart, that show a finding which the patch shows */

/* out [rows, columns, findings]: 1 shown, 0 not, NaN not known: of a finding that is not described and not seen, or in
 * fewer than MASK_TARGETS_SURE samples of the patch (all of them, where a patch is no larger than a cell). Findings are
 * numbered as in the masks; an empty `masks` gives NaN alone. What augmentation cut out (augment_options.cutout) still
 * counts as shown. */
void mask_targets_fill(float *out, const finding_masks *masks, const augment_map *map, int rows, int columns,
                       int findings);

#endif
