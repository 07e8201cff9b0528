/* Does a picture look like a frontal chest film? Measured without training: what the file says of itself, grey levels,
 * the thorax within the boxes that the model found, and those boxes against their usual places
 * (pipeline/film_check_table.h).
 *
 * A model answers whatever the picture; this keeps a hand or a page of text from getting 36 boxes without a word.
 * Every measure is mapped to [0, 1] by two limits; the score is the least of them, and its measure is the reason.
 * docs/film-check.md has definitions, limits, and what is accepted and refused.
 */
#ifndef PIPELINE_FILM_CHECK_H
#define PIPELINE_FILM_CHECK_H

#include <stdbool.h>

#include "atlas/atlas.h"
#include "image/film.h"
#include "pipeline/side_marker.h"

typedef enum film_measure {
    FILM_MEASURE_VIEW,     /* 0 when the file calls it a lateral view, 1 when frontal; NaN: it does not say */
    FILM_MEASURE_PART,     /* 0 when the file names a part of the body that is not the chest; NaN: it names none */
    FILM_MEASURE_SPREAD,   /* standard deviation of the grey levels, of full scale */
    FILM_MEASURE_SHADES,   /* share of the pixels outside the two commonest of 32 grey levels */
    FILM_MEASURE_GREY,     /* 1 - how far red, green and blue lie apart */
    FILM_MEASURE_SMOOTH,   /* correlation of neighbouring pixels, with 128 of them along the longer side */
    FILM_MEASURE_SYMMETRY, /* correlation of the thorax with its mirror image */
    FILM_MEASURE_AIR,      /* mediastinum minus the darker parts of both lungs, in deviations of the thorax */
    FILM_MEASURE_LIKENESS, /* correlation of the thorax with the mean thorax, whichever side the heart is on */
    FILM_MEASURE_GEOMETRY, /* how many deviations the boxes lie from their usual places, on average */
    FILM_MEASURE_COUNT,
} film_measure;

typedef struct film_check {
    float measure[FILM_MEASURE_COUNT]; /* NaN: the file or the region set lacks what it takes */
    float score;                       /* [0, 1]; below FILM_CHECK_LEAST the film is refused */
    film_measure reason;               /* the measure that gave the score */
    bool refused;
    float side; /* [-1, 1] how the thorax differs from its mirror image, against how the mean one does: below 0 the
                   heart seems to be on the right */
    side_marker marker;
    char mirrored[160]; /* why the film seems mirrored left to right, one sentence; "": it does not */
} film_check;

#define FILM_CHECK_LEAST 0.5f

/* boxes: one for each region of the set, in the file's pixels. */
carina_status film_check_run(film_check *out, const film *f, const atlas *regions, const box *boxes,
                             carina_error *error);

/* The score of measures, which sets score, reason and refused; NaN plays no part. */
void film_check_score(film_check *check);

const char *film_measure_name(film_measure measure);   /* "likeness", as in JSON */
const char *film_measure_reason(film_measure measure); /* "its grey levels hardly differ": why it was refused */

/* ---- what the table is made of (tools/make_film_check_table.c) ---- */

#define FILM_THORAX_SIDE 24
/* The picture within the box round both lungs and a little below, FILM_THORAX_SIDE squared, as ranks with mean 0 and
 * deviation 1. False when the set has no lungs, the box is empty, or nothing differs in it. */
bool film_thorax(float out[FILM_THORAX_SIDE * FILM_THORAX_SIDE], const film *f, const atlas *regions, const box *boxes);

/* Row r: region r's centre, width and height in units of the box round both lungs. False: no lungs, or none wide. */
bool film_places(float (*out)[4], const atlas *regions, const box *boxes);

#endif
