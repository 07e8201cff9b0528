/* Writing a set of phantoms to disk in the layouts of Chest ImaGenome and MIMIC-CXR-JPG, so that what reads the real
 * sets reads these (data/chest_imagenome.h).
 *
 *     FOLDER/README                                     says that everything here is synthetic
 *     FOLDER/phantom.json                               seed, size and so on: a folder holds one set
 *     FOLDER/files/pXX/p<subject>/s<study>/<id>.jpg     8 bits, quality 95; beside it .dcm when asked for
 *     FOLDER/files/pXX/p<subject>/s<study>.txt          report
 *     FOLDER/silver_dataset/scene_graph/<id>_SceneGraph.json
 *     FOLDER/silver_dataset/splits/{train,valid,test,images_to_avoid}.csv
 *     FOLDER/mimic-cxr-2.0.0-{split,metadata,chexpert}.csv
 *     FOLDER/masks/<id>/NAME.png and masks.json         right_lung, left_lung, heart, one per lesion and device
 *
 * A scene graph carries one more object, "synthetic": seed and index, the exact age, whether equipment is on the film,
 * the whole truth of findings and labels (the report leaves some out, as reports do) and what the tables need.
 *
 * Film i depends on seed, i and the size alone. A film's scene graph is written last: whoever finds it finds the rest,
 * so that an interrupted run goes on where it stopped. The tables are written when all films are there.
 */
#ifndef DATA_PHANTOM_WRITER_H
#define DATA_PHANTOM_WRITER_H

#include "base/progress.h"
#include "base/threads.h"
#include "data/phantom/phantom.h"

#define PHANTOM_WRITER_MAX_FILMS 10000000u

typedef struct phantom_writer_options {
    const char *folder;
    uint64_t seed;
    uint64_t start, count; /* films start .. start + count - 1 */
    int width, height;     /* pixels */
    double split[3];       /* shares of train, valid, test; by patient */
    bool dicom;            /* a DICOM file beside each JPEG */
    bool masks;
    bool healthy;       /* no findings */
    thread_pool *pool;  /* borrowed; NULL: the calling thread alone */
    progress *progress; /* borrowed; NULL: none */
} phantom_writer_options;

typedef struct phantom_writer_result {
    uint64_t rendered, found; /* films made now, and already there */
} phantom_writer_result;

/* CARINA_ERROR_CANCELLED after an interrupt (progress_interrupted); what is written stays. CARINA_ERROR_MISMATCH when
 * the folder holds a set of another seed, size or kind. */
carina_status phantom_writer_run(const phantom_writer_options *options, phantom_writer_result *out,
                                 carina_error *error);

#endif
