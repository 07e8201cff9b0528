/* The display pipeline over a table of all stored values; see grey_levels.h. */
#include "image/grey_levels.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/resize.h"

void grey_steps_add(grey_steps *steps, const char *format, ...) {
    if (steps->count >= GREY_MAX_STEPS) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(steps->text[steps->count++], GREY_STEP_TEXT, format, arguments);
    va_end(arguments);
}

/* ---- DICOM: at most 65536 different stored values, so each step runs once per value, not per pixel ---- */

typedef struct value_table {
    int32_t lowest; /* stored value of entry 0 */
    int count;      /* entries: highest - lowest + 1, at most 65536 */
    bool *present;  /* occurs in the picture */
    bool *padding;  /* is no part of the picture */
    double *value;  /* what the steps so far make of it; at the end in [0, 1] */
} value_table;

static void table_free(value_table *t) {
    free(t->present);
    free(t->padding);
    free(t->value);
    *t = (value_table){0};
}

static carina_status table_create(value_table *t, const dicom_film *film, carina_error *error) {
    size_t pixels = (size_t)film->attributes.rows * (size_t)film->attributes.columns;
    int32_t lowest = film->pixel[0], highest = lowest;
    for (size_t i = 0; i < pixels; i++) {
        if (film->pixel[i] < lowest) lowest = film->pixel[i];
        if (film->pixel[i] > highest) highest = film->pixel[i];
    }
    if (highest - lowest > 65535)
        return error_set(error, CARINA_ERROR_ARGUMENT, "grey levels: stored values from %d to %d are not 16 bits",
                         lowest, highest);
    *t = (value_table){.lowest = lowest, .count = highest - lowest + 1};
    t->present = calloc((size_t)t->count, sizeof *t->present);
    t->padding = calloc((size_t)t->count, sizeof *t->padding);
    t->value = calloc((size_t)t->count, sizeof *t->value);
    if (!t->present || !t->padding || !t->value) {
        table_free(t);
        return error_memory(error, "grey levels", 65536 * 10);
    }
    for (size_t i = 0; i < pixels; i++) t->present[film->pixel[i] - lowest] = true;
    return CARINA_OK;
}

static double look_up(const dicom_lut *lut, double value) {
    double index = floor(value + 0.5) - lut->first_mapped;
    if (!(index > 0)) return lut->entry[0];
    return lut->entry[index < lut->count ? (int)index : lut->count - 1];
}

static void apply_modality(value_table *t, const dicom_attributes *a, grey_steps *steps) {
    if (a->modality_lut.count) {
        grey_steps_add(steps, "modality LUT of %d entries, %d bits", a->modality_lut.count, a->modality_lut.bits);
        for (int i = 0; i < t->count; i++) t->value[i] = look_up(&a->modality_lut, t->lowest + i);
        return;
    }
    double slope = a->has_rescale ? a->rescale_slope : 1, intercept = a->has_rescale ? a->rescale_intercept : 0;
    bool flat = slope == 0; /* would leave nothing of the picture */
    if (flat) slope = 1;
    if (a->has_rescale)
        grey_steps_add(steps, "rescale slope %g%s intercept %g", slope, flat ? " (0 in the file)" : "", intercept);
    for (int i = 0; i < t->count; i++) t->value[i] = (t->lowest + i) * slope + intercept;
}

static void set_padding_aside(value_table *t, const dicom_attributes *a, grey_steps *steps) {
    if (!a->has_padding) return;
    bool any = false, all = true;
    for (int i = 0; i < t->count; i++) {
        int32_t stored = t->lowest + i;
        t->padding[i] = stored >= a->padding_low && stored <= a->padding_high;
        if (t->present[i]) {
            any = any || t->padding[i];
            all = all && t->padding[i];
        }
    }
    if (all) {
        memset(t->padding, 0, (size_t)t->count * sizeof *t->padding);
        grey_steps_add(steps, "padding ignored: it would leave nothing");
    } else if (any && a->padding_low == a->padding_high) {
        grey_steps_add(steps, "padding %d set to black", a->padding_low);
    } else if (any) {
        grey_steps_add(steps, "padding %d to %d set to black", a->padding_low, a->padding_high);
    }
}

/* PS3.3 C.11.2.1.2 and C.11.2.1.3, onto [0, 1]. */
static double through_window(double x, dicom_window window, dicom_window_function function) {
    double c = window.centre, w = window.width;
    if (function == DICOM_WINDOW_SIGMOID) return 1 / (1 + exp(-4 * (x - c) / w));
    if (function == DICOM_WINDOW_LINEAR_EXACT) return x <= c - w / 2 ? 0 : x > c + w / 2 ? 1 : (x - c) / w + 0.5;
    if (x <= c - 0.5 - (w - 1) / 2) return 0;
    if (x > c - 0.5 + (w - 1) / 2) return 1;
    return (x - (c - 0.5)) / (w - 1) + 0.5;
}

static const char *function_name(dicom_window_function function) {
    switch (function) {
        case DICOM_WINDOW_LINEAR_EXACT: return "linear exact";
        case DICOM_WINDOW_SIGMOID: return "sigmoid";
        case DICOM_WINDOW_LINEAR: return "linear";
        case DICOM_WINDOW_UNKNOWN: break;
    }
    return "linear (the function named is unknown)";
}

/* The first window whose width its function allows, or -1. */
static int choose_window(const dicom_attributes *a, grey_steps *steps) {
    bool whole = a->window_function == DICOM_WINDOW_LINEAR || a->window_function == DICOM_WINDOW_UNKNOWN;
    for (int i = 0; i < a->window_count; i++) {
        if (whole ? a->window[i].width >= 1 : a->window[i].width > 0) return i;
        grey_steps_add(steps, "window %g/%g ignored: such a width means nothing", a->window[i].centre,
                       a->window[i].width);
    }
    return -1;
}

/* What is there, padding apart, onto [0, 1]. */
static void stretch(value_table *t, grey_steps *steps) {
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < t->count; i++) {
        if (!t->present[i] || t->padding[i]) continue;
        low = fmin(low, t->value[i]);
        high = fmax(high, t->value[i]);
    }
    grey_steps_add(steps, "full range %g to %g", low, high);
    for (int i = 0; i < t->count; i++) t->value[i] = high > low ? (t->value[i] - low) / (high - low) : 0;
}

static void apply_voi(value_table *t, const dicom_attributes *a, grey_steps *steps) {
    if (a->voi_lut.count) {
        grey_steps_add(steps, "VOI LUT of %d entries, %d bits", a->voi_lut.count, a->voi_lut.bits);
        double full = (double)((1 << a->voi_lut.bits) - 1);
        for (int i = 0; i < t->count; i++) t->value[i] = look_up(&a->voi_lut, t->value[i]) / full;
        return;
    }
    int chosen = choose_window(a, steps);
    if (chosen < 0) {
        stretch(t, steps);
        return;
    }
    dicom_window window = a->window[chosen];
    grey_steps_add(steps, "window %g/%g %s", window.centre, window.width, function_name(a->window_function));
    for (int i = 0; i < t->count; i++) t->value[i] = through_window(t->value[i], window, a->window_function);
}

/* MONOCHROME1 and the shape INVERSE say the same thing (PS3.3 C.8.11.3.1.2 demands both together): one inversion. */
static void apply_presentation(value_table *t, const dicom_attributes *a, grey_steps *steps) {
    bool monochrome1 = strcmp(a->photometric, "MONOCHROME1") == 0;
    bool inverse = a->lut_shape == DICOM_SHAPE_INVERSE;
    if (a->lut_shape == DICOM_SHAPE_IDENTITY) grey_steps_add(steps, "presentation LUT shape identity");
    if (a->lut_shape == DICOM_SHAPE_UNKNOWN) grey_steps_add(steps, "unknown presentation LUT shape ignored");
    if (monochrome1 || inverse)
        grey_steps_add(steps, "inverted: %s%s%s", monochrome1 ? "MONOCHROME1" : "",
                       monochrome1 && inverse ? " and " : "", inverse ? "presentation LUT shape inverse" : "");
    for (int i = 0; i < t->count; i++) {
        double value = fmin(fmax(t->value[i], 0), 1);
        if (monochrome1 || inverse) value = 1 - value;
        t->value[i] = t->padding[i] ? 0 : value;
    }
}

/* Height of a pixel over its width: PixelSpacing, ImagerPixelSpacing, PixelAspectRatio, whichever is there. */
static double pixel_aspect(const dicom_attributes *a) {
    const double *pairs[] = {a->pixel_spacing, a->imager_spacing, a->pixel_aspect};
    for (int i = 0; i < 3; i++)
        if (pairs[i][0] > 0 && pairs[i][1] > 0) return pairs[i][0] / pairs[i][1];
    return 1;
}

/* Pixels that differ by less than half a percent come from rounded spacings. */
static carina_status make_square(image *picture, const dicom_attributes *a, grey_steps *steps, carina_error *error) {
    double aspect = pixel_aspect(a);
    if (fabs(aspect - 1) < 0.005) return CARINA_OK;
    if (!(aspect > 0.1 && aspect < 10)) {
        grey_steps_add(steps, "pixel aspect %g ignored: no film has such pixels", aspect);
        return CARINA_OK;
    }
    /* Enlarge the coarser direction, so that nothing is lost. */
    double width = aspect < 1 ? picture->width / aspect : picture->width;
    double height = aspect > 1 ? picture->height * aspect : picture->height;
    TRY(raster_check_size((uint64_t)lround(width), (uint64_t)lround(height), error));
    image square;
    TRY(resize(&square, picture, (int)lround(width), (int)lround(height), error));
    image_free(picture);
    *picture = square;
    grey_steps_add(steps, "pixels %g times as high as wide made square: %d x %d", aspect, square.width, square.height);
    return CARINA_OK;
}

carina_status grey_levels_from_dicom(image *out, grey_steps *steps, const dicom_film *film, carina_error *error) {
    const dicom_attributes *a = &film->attributes;
    TRY(image_create(out, a->columns, a->rows, error));
    value_table table = {0};
    carina_status status = table_create(&table, film, error);
    if (status == CARINA_OK) {
        apply_modality(&table, a, steps);
        set_padding_aside(&table, a, steps);
        apply_voi(&table, a, steps);
        apply_presentation(&table, a, steps);
        size_t pixels = (size_t)a->rows * (size_t)a->columns;
        for (size_t i = 0; i < pixels; i++) out->value[i] = (float)table.value[film->pixel[i] - table.lowest];
        status = make_square(out, a, steps, error);
    }
    table_free(&table);
    if (status != CARINA_OK) image_free(out);
    return status;
}

/* ---- PNG and JPEG ---- */

static void note_source(grey_steps *steps, const raster *picture, raster_grey_source source) {
    if (picture->had_transparency) grey_steps_add(steps, "transparency laid over black");
    if (source == RASTER_CHANNELS_EQUAL) grey_steps_add(steps, "colour file with equal channels taken as grey");
    if (source == RASTER_LUMINANCE) grey_steps_add(steps, "colour turned to luminance");
}

carina_status grey_levels_from_raster(image *out, grey_steps *steps, raster *picture, carina_error *error) {
    note_source(steps, picture, raster_make_grey(picture));
    TRY(image_create(out, picture->width, picture->height, error));
    size_t count = (size_t)picture->width * (size_t)picture->height;
    uint16_t low = 0, high = (uint16_t)((1u << picture->bit_depth) - 1);
    if (picture->bit_depth > 8) {
        low = UINT16_MAX;
        high = 0;
        for (size_t i = 0; i < count; i++) {
            if (picture->sample[i] < low) low = picture->sample[i];
            if (picture->sample[i] > high) high = picture->sample[i];
        }
        grey_steps_add(steps, "full range %u to %u", low, high);
    } else {
        grey_steps_add(steps, "%d-bit grey", picture->bit_depth);
    }
    float scale = high > low ? 1.0f / (float)(high - low) : 0;
    for (size_t i = 0; i < count; i++) {
        float value = (float)(picture->sample[i] - low) * scale;
        out->value[i] = value < 1 ? value : 1;
    }
    return CARINA_OK;
}
