/* Who is on which phantom film: patient, study, film id, part of the set; all from (seed, index).
 *
 * About one patient in five has several films, each its own study, one after another in the set. Ids have the shape of
 * MIMIC-CXR's but begin with 9, which no real one does.
 */
#ifndef DATA_PHANTOM_FILM_NAMES_H
#define DATA_PHANTOM_FILM_NAMES_H

#include <stdint.h>

#include "data/phantom/phantom.h"

typedef struct film_names {
    uint64_t first; /* index of the patient's first film */
    char id[48];    /* 8-8-8-8-8 hexadecimal digits */
    char patient[24], study[24];
    char date[12], time[16]; /* YYYYMMDD in the 22nd century, HHMMSS.000 */
    int split;               /* 0 train, 1 valid, 2 test */
} film_names;

void film_names_make(film_names *out, uint64_t seed, uint64_t index, const double split[3]);

/* Gives the film of a returning patient that patient's sex, build and outlines; age grows by the years between. */
void film_names_same_patient(phantom_parameters *parameters);

#endif
