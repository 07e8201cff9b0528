/* Finding the anatomical regions on a chest film.
 *
 *     carina_model *model;
 *     carina_error error;
 *     carina_location found;
 *     if (carina_model_open(&model, NULL, NULL, &error) != CARINA_OK) ...
 *     if (carina_locate_file(&found, model, "film.dcm", &error) != CARINA_OK) ...
 *     for (int i = 0; i < found.region_count; i++) puts(found.regions[i].name);
 *     carina_location_free(&found);
 *     carina_model_close(model);
 *
 * Boxes are in the file's own pixels: column x covers [x, x + 1), the origin is the top left corner. Right and left are
 * the patient's. Research software, not a medical device.
 *
 * A carina_model is used by one thread at a time; open one for each thread that locates. Results do not depend on the
 * number of threads a model uses inside.
 */
#ifndef CARINA_LOCATE_H
#define CARINA_LOCATE_H

#include <stddef.h>

#include "carina/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct carina_model carina_model;

typedef enum carina_arithmetic {
    CARINA_F32 = 0,
    CARINA_BF16 = 1 /* products in bf16, sums in f32: faster where the processor has AMX, slightly less exact */
} carina_arithmetic;

typedef struct carina_model_options {
    int threads; /* 0: all processors this process may use */
    carina_arithmetic arithmetic;
} carina_model_options;

/* name: a model's name, searched for in the folders of CARINA_MODELS and in the installation, or a path; NULL: the
 * default model. options NULL: all processors, f32. The caller closes *out. */
CARINA_API carina_status carina_model_open(carina_model **out, const char *name, const carina_model_options *options,
                                           carina_error *error);
CARINA_API void carina_model_close(carina_model *model); /* accepts NULL */

/* Borrowed from the model. */
CARINA_API const char *carina_model_name(const carina_model *model);
CARINA_API int carina_model_region_count(const carina_model *model);
CARINA_API const char *carina_model_region_name(const carina_model *model, int id); /* NULL when there is no such id */

typedef struct carina_region {
    int id;               /* index in the model's region set */
    const char *name;     /* borrowed from the model: "right lower lung zone" */
    float x1, y1, x2, y2; /* the file's pixels, clipped to the picture */
} carina_region;

/* How the network's square was made of the film: pad by (left, top) to side x side, resize to size x size. */
typedef struct carina_transform {
    int film_width, film_height; /* of the film, the file's but for files whose pixels are not square */
    int left, top, side;         /* film pixels */
    int size;                    /* pixels of the network's square */
} carina_transform;

typedef struct carina_location {
    int width, height; /* of the file, pixels */
    carina_transform transform;
    int step_count;
    char **steps; /* what was done to the file's numbers on the way to a picture, in order */
    int warning_count;
    char **warnings; /* what makes the result doubtful, for example a lateral view; often none */
    int region_count;
    carina_region *regions; /* all regions of the set, by id */
} carina_location;

/* A DICOM, PNG or JPEG file with one film, at least 64 pixels on its shorter side (CARINA_ERROR_LIMIT otherwise). *out
 * is the caller's to free; untouched when the call fails. */
CARINA_API carina_status carina_locate_file(carina_location *out, carina_model *model, const char *path,
                                            carina_error *error);

/* Grey pixels that the caller has: row y begins at byte y * stride. bits 8: one byte a pixel, 0 black, 255 white;
 * bits 16: two bytes in the machine's order, 0 black, 65535 white. */
CARINA_API carina_status carina_locate_pixels(carina_location *out, carina_model *model, const void *pixels, int width,
                                              int height, size_t stride, int bits, carina_error *error);

CARINA_API void carina_location_free(carina_location *location); /* accepts NULL and an empty location */

/* The release this library is, "0.1.0". */
CARINA_API const char *carina_version(void);

#ifdef __cplusplus
}
#endif
#endif
