/* Real films of NIH ChestX-ray14 as our own small selection holds them: annotations.json (labels, view, sex, age,
 * and whether radiologists of the RSNA 2018 challenge saw lung opacity) and
 * anatomy-boxes.json (boxes of some regions on some films, marked by eye, by Chest ImaGenome names).
 *
 * "nih_boxes" is the films that have boxes: for testing only, never for training. A box with an edge that was guessed
 * is marked in sample.unsure, and one that leaves the frame is an error. "nih_films" is the others, no boxes known;
 * films of a patient who has a marked film are left out of it, so that whatever is trained on it has not seen the
 * test's patients. Labels: the NIH classes that CheXpert has too (Effusion is Pleural Effusion, Mass and Nodule are
 * Lung Lesion, Infiltration is Lung Opacity, Pleural_Thickening is Pleural Other); classes NIH does not have stay NaN.
 */
#ifndef DATA_NIH_BOXES_H
#define DATA_NIH_BOXES_H

#include "data/dataset.h"

carina_status nih_boxes_open(dataset **out, const dataset_config *config, const atlas *regions, carina_error *error);
carina_status nih_films_open(dataset **out, const dataset_config *config, const atlas *regions, carina_error *error);

/* "nih_boxes" from the texts of its two files: for tests, which have no films. */
carina_status nih_boxes_parse(dataset **out, const char *annotations, uint64_t annotations_size, const char *boxes,
                              uint64_t boxes_size, const atlas *regions, carina_error *error);

#endif
