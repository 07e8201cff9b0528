/* The films of a data set through a locator, in batches: what the measurements of whole films have in common. A film's
 * reading is the one that `interpret` has of it, whatever lies beside it.
 */
#ifndef EVAL_FILM_LOOP_H
#define EVAL_FILM_LOOP_H

#include "data/dataset.h"
#include "pipeline/locate.h"

/* One film; called in order, on the caller's thread. index: its place in the loop. s and reading are borrowed; the
 * picture is still in s. */
typedef carina_status film_taker(void *context, uint64_t index, const sample *s, const locator_reading *reading,
                                 carina_error *error);

typedef struct film_loop {
    locator *locator;
    const dataset *set;
    const uint64_t *films; /* [count] which of the set's; NULL: the first `count` */
    uint64_t count;
    const char *progress; /* title of a progress line; NULL: silent */
    film_taker *take;
    void *context;
} film_loop;

/* Ends at the first error, and as CARINA_ERROR_CANCELLED when interrupted (base/progress.h). */
carina_status film_loop_run(const film_loop *loop, carina_error *error);

#endif
