/* The "locate" stage: films in, one box per region in each film's own pixels out.
 *
 * A locator is a loaded model (const), the graphs recorded for it (one for single films, one for batches) and the
 * threads they run on. One call at a time. A film's boxes do not depend on the films beside it or on the number of
 * threads. A model file may say that each film is read together with its mirror image (MODEL_FILE_MIRROR_MEAN): then
 * boxes, region features and image logits are the means of both, at twice the time, and attention is the film's own.
 */
#ifndef PIPELINE_LOCATE_H
#define PIPELINE_LOCATE_H

#include <stdbool.h>

#include "atlas/atlas.h"
#include "base/threads.h"
#include "carina/locate.h"
#include "image/image.h"
#include "model/model_file.h"
#include "pipeline/study.h"

typedef struct locator locator;

#define LOCATOR_MOST_FILMS 256

typedef struct locator_options {
    int threads;    /* 0: all processors this process may use */
    bool bf16;      /* products in bf16 */
    bool attention; /* locator_read gives the attention of the feature extraction module too */
    int batch;      /* films in one run of the network, at most LOCATOR_MOST_FILMS; 0: what memory suggests */
} locator_options;

/* name as in model_path.h; NULL: the default model. options may be NULL. */
carina_status locator_open(locator **out, const char *name, const locator_options *options, carina_error *error);
void locator_close(locator *l); /* accepts NULL */

/* Borrowed from the locator. */
const char *locator_path(const locator *l); /* of the model's file */
const model_file *locator_model(const locator *l);
const char *locator_name(const locator *l); /* of the model: its file's name without suffix */
const atlas *locator_regions(const locator *l);
thread_pool *locator_threads(locator *l); /* for reading films between calls */
int locator_batch(const locator *l);      /* how many films one run of the network takes at most */

/* out[0 .. count - 1] are made (carina_location_free) for studies[0 .. count - 1], in batches. On error none is. */
carina_status locator_run(locator *l, const study *const *studies, int count, carina_location *out,
                          carina_error *error);

/* The network's boxes alone, for pictures that no file stands behind: boxes [count, N, 4], (cx, cy, w, h) of the
 * letterboxed square, in [0, 1]. */
carina_status locator_boxes(locator *l, const image *const *pictures, int count, float *boxes, carina_error *error);

/* What the network says beside the boxes of one film. */
typedef struct locator_reading {
    float *features;     /* [N, R] the region features */
    float *image_logits; /* [labels] */
    float *attention;    /* [N, grid, grid] over the network's square, each region's sums to 1; NULL when not asked */
    int grid;            /* patches on a side of the square */
} locator_reading;

/* The same with readings[0 .. count - 1] (locator_reading_free). On error neither is made. */
carina_status locator_read(locator *l, const study *const *studies, int count, carina_location *out,
                           locator_reading *readings, carina_error *error);
void locator_reading_free(locator_reading *reading); /* accepts an empty one */

#endif
