/* DICOM (PS3.3, PS3.5, PS3.10): one grey frame with what the file says of it, and a writer for films.
 *
 * Read: implicit and explicit VR, little and big endian, deflated, RLE, JPEG baseline / extended / lossless, JPEG-LS,
 * JPEG 2000 (lossless and lossy); 8 or 16 bits allocated, signed or not, any HighBit; with or without the file
 * header. What comes out are stored values: the part of each sample that BitsStored and HighBit name, sign extended;
 * whatever other planes share the word (overlays) are masked away. Grey levels are image/grey_levels.h's work.
 * Refused by name: colour, palettes, unknown photometric interpretations, multi-frame objects without a frame number,
 * objects without pixels, transfer syntaxes not listed above.
 *
 * Before the toolkit sees a byte, dicom_structure.c has checked every length, and before pixels get memory, Rows and
 * Columns have been held against the data. Flow: dicom.c (checks, samples) -> dicom_dcmtk.cc (the toolkit) or
 * jpeg2000.c (which the toolkit cannot decode).
 */
#ifndef FORMAT_DICOM_H
#define FORMAT_DICOM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DICOM_MAX_WINDOWS    16
#define DICOM_TEXT           260 /* LO: 64 characters of at most 4 bytes; longer values are cut between characters */
#define DICOM_CODE           68  /* CS (16) and UI (64) */
#define DICOM_MAX_FILE_BYTES (UINT64_C(1) << 30)

/* A lookup table, modality (PS3.3 C.11.1) or VOI (C.11.2). Values below first_mapped take the first entry, those
 * beyond the table the last. */
typedef struct dicom_lut {
    int count; /* 0: the file has none; at most 65536 */
    int32_t first_mapped;
    int bits; /* entries are in [0, 2^bits - 1] */
    uint16_t *entry;
    char explanation[DICOM_TEXT];
} dicom_lut;

typedef enum dicom_window_function {
    DICOM_WINDOW_LINEAR,
    DICOM_WINDOW_LINEAR_EXACT,
    DICOM_WINDOW_SIGMOID,
    DICOM_WINDOW_UNKNOWN, /* some other word */
} dicom_window_function;

typedef struct dicom_window {
    double centre, width;
} dicom_window;

typedef enum dicom_lut_shape {
    DICOM_SHAPE_NONE,
    DICOM_SHAPE_IDENTITY,
    DICOM_SHAPE_INVERSE,
    DICOM_SHAPE_UNKNOWN,
} dicom_lut_shape;

/* Text is valid UTF-8 without control characters, "" when absent. Numbers that are absent have a has_ flag or a
 * stated value. */
typedef struct dicom_attributes {
    char transfer_syntax[DICOM_CODE], transfer_syntax_name[DICOM_TEXT];

    /* how the pixels are stored */
    int rows, columns, frame_count, samples_per_pixel;
    int bits_allocated, bits_stored, high_bit;
    bool is_signed;
    char photometric[DICOM_CODE];

    /* what turns stored values into grey levels */
    bool has_rescale; /* a slope alone means intercept 0, an intercept alone slope 1 */
    double rescale_slope, rescale_intercept;
    dicom_lut modality_lut;
    dicom_lut voi_lut; /* the first of the sequence */
    int window_count;
    dicom_window window[DICOM_MAX_WINDOWS];
    dicom_window_function window_function;
    dicom_lut_shape lut_shape;
    bool has_padding; /* stored values in [padding_low, padding_high] are no part of the picture */
    int32_t padding_low, padding_high;

    /* geometry: vertical (between rows), horizontal (between columns); 0 unknown */
    double pixel_spacing[2], imager_spacing[2];
    double pixel_aspect[2]; /* PixelAspectRatio, vertical \ horizontal */

    /* what the film shows */
    char sop_class[DICOM_CODE], sop_instance[DICOM_CODE];
    char modality[DICOM_CODE], body_part[DICOM_CODE];
    char view_position[DICOM_CODE], view_meaning[DICOM_TEXT]; /* ViewPosition; ViewCodeSequence's code meaning */
    char orientation[2][DICOM_CODE];                          /* PatientOrientation: of the rows, of the columns */
    char laterality[DICOM_CODE];                              /* ImageLaterality, else Laterality */
    char series_description[DICOM_TEXT];
    char burned_in[DICOM_CODE]; /* "YES", "NO" or "" */

    /* who */
    char patient_id[DICOM_TEXT], patient_name[DICOM_TEXT];
    char sex;      /* 'M', 'F', 'O' or 0 */
    int age_years; /* -1 unknown */
} dicom_attributes;

typedef struct dicom_film {
    dicom_attributes attributes;
    int32_t *pixel; /* [rows, columns] stored values, owned; NULL when only attributes were asked for */
} dicom_film;

typedef struct dicom_options {
    int frame;            /* counted from 1; 0: not given, which only a single-frame object allows */
    bool attributes_only; /* no pixels; colour and multi-frame objects are described instead of refused */
} dicom_options;

/* By content: "DICM" after 128 bytes, or a data set that starts with a plausible group 2 or 8 element. */
bool dicom_recognise(const void *data, uint64_t size);
bool dicom_is_directory(const void *data, uint64_t size); /* a DICOMDIR */

/* The SOP class that the file header names; false when there is no header or no such element. The file's first few
 * hundred bytes are all that is looked at. */
bool dicom_media_class(char out[DICOM_CODE], const void *data, uint64_t size);

carina_status dicom_load_memory(dicom_film *out, const void *data, uint64_t size, const dicom_options *options,
                                carina_error *error);
carina_status dicom_load_file(dicom_film *out, const char *path, const dicom_options *options, carina_error *error);
void dicom_film_free(dicom_film *film); /* accepts NULL and an empty film */

/* The files that a DICOMDIR's image records refer to, in its order, as relative paths with '/'. Paths that would leave
 * its folder are left out. Both levels are malloc'ed; free with dicom_directory_free. */
carina_status dicom_directory_load(char ***out, int *count, const void *data, uint64_t size, carina_error *error);
void dicom_directory_free(char **paths, int count);

/* What dicom_write_film writes beside the pixels. Text is UTF-8; "" or NULL leaves an attribute empty. */
typedef struct dicom_film_attributes {
    int bits_stored;                         /* 8 to 16; up to 8 is stored in bytes */
    bool inverted;                           /* MONOCHROME1: the samples are white at 0 */
    double window_centre, window_width;      /* width 0: none written */
    double rescale_slope, rescale_intercept; /* slope 0: none written */
    double pixel_spacing[2];                 /* millimetres, vertical then horizontal; 0: none written */
    int jpeg_quality; /* 0 uncompressed explicit little endian; 1 to 100 JPEG baseline, 8 bits only */
    const char *patient_id, *patient_name;
    char sex;                                                    /* 'M', 'F', 'O' or 0 */
    int age_years;                                               /* -1 unknown */
    const char *view_position;                                   /* "PA", "AP", ... */
    const char *study_date;                                      /* YYYYMMDD */
    const char *study_instance, *series_instance, *sop_instance; /* NULL: derived from content, so that the same
                                                                    film gets the same UIDs again */
    const char *series_description;
} dicom_film_attributes;

/* Writes a Computed Radiography image (PS3.3 A.2), replacing `path` safely. sample [height, width], row by row, each
 * below 2^bits_stored. The bytes depend on the arguments alone. */
carina_status dicom_write_film(const char *path, const uint16_t *sample, int width, int height,
                               const dicom_film_attributes *attributes, carina_error *error);

#ifdef __cplusplus
}
#endif
#endif
