/* The "locate" stage: films in, one box per region in each film's own pixels out.
 *
 * A locator is a loaded model (const), the graphs recorded for it (one for single films, one for batches) and the
 * threads they run on. One call at a time. A film's boxes do not depend on the films beside it or on the number of
 * threads.
 */
#ifndef PIPELINE_LOCATE_H
#define PIPELINE_LOCATE_H

#include <stdbool.h>

#include "atlas/atlas.h"
#include "base/threads.h"
#include "carina/locate.h"
#include "pipeline/study.h"

typedef struct locator locator;

typedef struct locator_options {
    int threads; /* 0: all processors this process may use */
    bool bf16;   /* products in bf16 */
} locator_options;

/* name as in model_path.h; NULL: the default model. options may be NULL. */
carina_status locator_open(locator **out, const char *name, const locator_options *options, carina_error *error);
void locator_close(locator *l); /* accepts NULL */

/* Borrowed from the locator. */
const char *locator_name(const locator *l); /* of the model: its file's name without suffix */
const atlas *locator_regions(const locator *l);
thread_pool *locator_threads(locator *l); /* for reading films between calls */
int locator_batch(const locator *l);      /* how many films one run of the network takes at most */

/* out[0 .. count - 1] are made (carina_location_free) for studies[0 .. count - 1], in batches. On error none is. */
carina_status locator_run(locator *l, const study *const *studies, int count, carina_location *out,
                          carina_error *error);

#endif
