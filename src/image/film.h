/* One film file (DICOM, PNG or JPEG, told apart by content, never by name) as a grey picture with what is known of it.
 *
 * Everything that reads films goes through here: the pipeline's first stage, the data sets, the tools.
 */
#ifndef IMAGE_FILM_H
#define IMAGE_FILM_H

#include "format/dicom.h"
#include "image/grey_levels.h"
#include "image/image.h"

#define FILM_MAX_WARNINGS 8
#define FILM_WARNING_TEXT 160

typedef enum film_kind {
    FILM_UNKNOWN,
    FILM_DICOM,
    FILM_PNG,
    FILM_JPEG,
    FILM_DICOM_DIRECTORY, /* lists films, is none */
} film_kind;

typedef struct film_options {
    int frame; /* of a multi-frame DICOM object, counted from 1; 0 not given */
} film_options;

typedef struct film {
    film_kind kind;
    image picture;               /* owned, pixels square */
    int file_width, file_height; /* the file's own pixels: in them boxes are given */
    grey_steps steps;
    float colour;      /* PNG and JPEG: how far red, green and blue lie apart, on average; 0 grey, 1 pure colours */
    int warning_count; /* what makes the result doubtful: a lateral view, not a chest, one flat grey, ... */
    char warning[FILM_MAX_WARNINGS][FILM_WARNING_TEXT];
    char view[8];                /* "PA", "AP", "LATERAL" or "" */
    bool other_part;             /* the file names a part of the body that is not the chest */
    dicom_attributes attributes; /* DICOM only, else zeros with age -1; its lookup tables are gone */
} film;

film_kind film_recognise(const void *data, uint64_t size);

/* Errors begin with the path. Refused by name: colour DICOM, multi-frame without a frame, unknown photometric
 * interpretations, folders, empty, truncated, oversized files and files of another kind. options may be NULL. */
carina_status film_load(film *out, const char *path, const film_options *options, carina_error *error);
carina_status film_load_memory(film *out, const void *data, uint64_t size, const film_options *options,
                               carina_error *error);
void film_free(film *f); /* accepts NULL and an empty film */

#endif
