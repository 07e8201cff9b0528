/* Reading what is known of every film of a set, once, in order: annotations without pixels, several films side by side.
 * What sentences are counted and numbered by.
 */
#ifndef DATA_FILM_SCAN_H
#define DATA_FILM_SCAN_H

#include "base/threads.h"
#include "data/dataset.h"

/* What is done with film `index`; in order of the films, on the calling thread. s is gone afterwards. */
typedef carina_status film_scan_each(void *context, uint64_t index, const sample *s, carina_error *error);

/* Stops at the first film that cannot be read or is refused. title: of a progress line, NULL: silent. An interrupt is
 * CARINA_ERROR_CANCELLED. The same for any number of threads. */
carina_status film_scan(const dataset *set, thread_pool *pool, const char *title, film_scan_each *each, void *context,
                        carina_error *error);

#endif
