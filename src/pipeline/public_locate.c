/* The public functions of carina/locate.h, over the locator. */
#include <stdlib.h>
#include <string.h>

#include "base/build.h"
#include "carina/locate.h"
#include "pipeline/locate.h"

struct carina_model {
    locator *locator;
};

const char *carina_version(void) { return build_version(); }

carina_status carina_model_open(carina_model **out, const char *name, const carina_model_options *options,
                                carina_error *error) {
    if (!out) return error_set(error, CARINA_ERROR_ARGUMENT, "carina_model_open: out is NULL");
    locator_options chosen = {0};
    if (options) {
        if (options->threads < 0)
            return error_set(error, CARINA_ERROR_ARGUMENT, "carina_model_open: %d threads", options->threads);
        if (options->arithmetic != CARINA_F32 && options->arithmetic != CARINA_BF16)
            return error_set(error, CARINA_ERROR_ARGUMENT, "carina_model_open: unknown arithmetic %d",
                             (int)options->arithmetic);
        chosen = (locator_options){.threads = options->threads, .bf16 = options->arithmetic == CARINA_BF16};
    }
    carina_model *model = calloc(1, sizeof *model);
    if (!model) return error_memory(error, "a model", sizeof *model);
    carina_status status = locator_open(&model->locator, name, &chosen, error);
    if (status == CARINA_OK)
        *out = model;
    else
        free(model);
    return status;
}

void carina_model_close(carina_model *model) {
    if (!model) return;
    locator_close(model->locator);
    free(model);
}

const char *carina_model_name(const carina_model *model) { return locator_name(model->locator); }

int carina_model_region_count(const carina_model *model) { return locator_regions(model->locator)->region_count; }

const char *carina_model_region_name(const carina_model *model, int id) {
    const atlas *regions = locator_regions(model->locator);
    return id >= 0 && id < regions->region_count ? regions->regions[id].name : NULL;
}

static carina_status locate(carina_location *out, carina_model *model, const study *s, carina_error *error) {
    carina_location made;
    TRY(study_check_size(s, error));
    TRY(locator_run(model->locator, &s, 1, &made, error));
    *out = made;
    return CARINA_OK;
}

carina_status carina_locate_file(carina_location *out, carina_model *model, const char *path, carina_error *error) {
    if (!out || !model || !path) return error_set(error, CARINA_ERROR_ARGUMENT, "carina_locate_file: a NULL argument");
    study s;
    TRY(study_open(&s, path, NULL, error));
    carina_status status = locate(out, model, &s, error);
    study_close(&s);
    return status;
}

static void read_row(float *out, const uint8_t *row, int width, int bits) {
    for (int x = 0; x < width; x++) {
        if (bits == 8) {
            out[x] = (float)row[x] / 255.0f;
        } else {
            uint16_t value;
            memcpy(&value, row + 2 * (size_t)x, sizeof value);
            out[x] = (float)value / 65535.0f;
        }
    }
}

carina_status carina_locate_pixels(carina_location *out, carina_model *model, const void *pixels, int width, int height,
                                   size_t stride, int bits, carina_error *error) {
    if (!out || !model || !pixels)
        return error_set(error, CARINA_ERROR_ARGUMENT, "carina_locate_pixels: a NULL argument");
    if (bits != 8 && bits != 16)
        return error_set(error, CARINA_ERROR_ARGUMENT, "carina_locate_pixels: %d bits a pixel; 8 or 16 are possible",
                         bits);
    if (width > 0 && stride < (size_t)width * (size_t)(bits / 8))
        return error_set(error, CARINA_ERROR_ARGUMENT,
                         "carina_locate_pixels: a stride of %zu bytes is shorter than a row", stride);
    study s = {0};
    TRY(image_create(&s.film.picture, width, height, error));
    for (int y = 0; y < height; y++)
        read_row(s.film.picture.value + (size_t)y * (size_t)width, (const uint8_t *)pixels + (size_t)y * stride, width,
                 bits);
    s.film.file_width = width;
    s.film.file_height = height;
    s.transform = letterbox_make(width, height, width, height);
    grey_steps_add(&s.film.steps, "%d-bit grey pixels from the caller", bits);
    carina_status status = locate(out, model, &s, error);
    study_close(&s);
    return status;
}

void carina_location_free(carina_location *location) {
    if (!location) return;
    for (int i = 0; i < location->step_count; i++) free(location->steps[i]);
    for (int i = 0; i < location->warning_count; i++) free(location->warnings[i]);
    free(location->steps);
    free(location->warnings);
    free(location->regions);
    *location = (carina_location){0};
}
