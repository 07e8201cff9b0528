/* Chest ImaGenome's silver annotations with the films and labels of MIMIC-CXR-JPG, as they lie on disk; phantoms are
 * written in the same layout (phantom/writer.h), so that one reader serves both.
 *
 * config->annotations: folder with silver_dataset/ (or that folder itself): splits/{train,valid,test}.csv,
 * splits/images_to_avoid.csv, scene_graph/<dicom_id>_SceneGraph.json (also scene_graph/scene_graph/).
 * config->images: folder with files/pXX/p<subject>/s<study>/<dicom_id>.jpg (.png is accepted) and, each optional and
 * each also as .csv.gz, mimic-cxr-2.0.0-{split,metadata,chexpert}.csv; of phantoms, masks/<dicom_id>/
 * (finding_masks.h).
 *
 * Boxes: original coordinates where the graph has them, else mapped from the 224 frame; clipped to the film, dropped
 * when nothing is left; a region given twice is the union; a region without a box is not present. A film stored smaller
 * than the metadata says has its boxes scaled along. Labels: blank NaN, uncertain -1. Rows of images_to_avoid.csv are
 * left out, and so are films that MIMIC-CXR's own split puts into another part, unless the configuration says
 * otherwise.
 */
#ifndef DATA_CHEST_IMAGENOME_H
#define DATA_CHEST_IMAGENOME_H

#include "data/dataset.h"
#include "data/scene_graph.h"

carina_status chest_imagenome_open(dataset **out, const dataset_config *config, const atlas *regions,
                                   carina_error *error);

/* The whole scene graph of one film, for what needs its sentences. d must be a chest_imagenome set. */
carina_status chest_imagenome_graph(const dataset *d, uint64_t index, scene_graph *out, carina_error *error);

#endif
