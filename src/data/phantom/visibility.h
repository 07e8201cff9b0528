/* How plainly each device and finding of a phantom is seen: for tests and tools/phantom_visibility.c, not for making
 * films.
 *
 * The same film is made twice, from the same numbers, with and without the one object (phantom_probe,
 * finding_film.left_out). In squares of 1/21 of the film's height along the object
 *
 *   contrast = root mean square of the two films' difference where the object is, less what the display changed
 *              everywhere (grey levels of 255)
 *   noise    = standard deviation of the film without it round there (a square twice as wide), structures coarser than
 *              the object taken off: vessels, ribs' edges and quanta are what an object is lost in
 *   cnr      = contrast / noise
 *
 * and of the squares the median, weighted by the object's pixels in them. Of a broken bone only the break counts: it is
 * held against a bone that runs the same, whole. Organ changes (a large heart) have nothing to be held against and are
 * left out.
 */
#ifndef DATA_PHANTOM_VISIBILITY_H
#define DATA_PHANTOM_VISIBILITY_H

#include "data/phantom/finding_film.h"

typedef struct visibility {
    const char *kind; /* phantom_device.name or finding_entry.name; static */
    bool device;
    bool told, uncertain; /* as the finding; a device is told and certain */
    int pixels;           /* of the film that it covers; 0: outside the field, the rest means nothing */
    double contrast, cnr; /* medians along it */
    double seen;          /* share of it where cnr >= 1 */
} visibility;

#define VISIBILITY_MAX (FINDING_MAX + PHANTOM_MAX_DEVICES)
typedef struct visibility_list {
    int count;
    visibility items[VISIBILITY_MAX];
} visibility_list;

/* Film `index` of the set `seed` at side x side pixels. `kind`: only objects of this name; NULL: all. */
carina_status visibility_measure(visibility_list *out, uint64_t seed, uint64_t index, int side, const char *kind,
                                 carina_error *error);

/* Whether the film will have an object of this kind, as far as can be told without making it. */
bool visibility_expected(uint64_t seed, uint64_t index, const char *kind);

#endif
