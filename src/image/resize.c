/* Antialiased bilinear resizing in two passes; see resize.h.
 *
 * Rows first: that pass walks the large source once, whole rows at a time, and leaves little for the second.
 */
#include "image/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

/* For each output index: which source indices count, and how much. */
typedef struct axis {
    int *first;    /* [out_count] */
    int *count;    /* [out_count], may be 0: nothing but canvas */
    float *weight; /* [out_count, width] */
    int width;     /* most weights of one output */
} axis;

static void axis_free(axis *a) {
    free(a->first);
    free(a->count);
    free(a->weight);
    *a = (axis){0};
}

/* The weights of output i over the whole canvas, normalised; then only those that fall on [start, start + length). */
static void fill_output(axis *a, int i, int canvas, int start, int length, int out_count, double *scratch) {
    double scale = (double)canvas / out_count;
    double support = scale > 1 ? scale : 1;
    double centre = (i + 0.5) * scale;
    int low = (int)floor(centre - support + 0.5), high = (int)floor(centre + support + 0.5);
    if (low < 0) low = 0;
    if (high > canvas) high = canvas;
    double sum = 0;
    for (int s = low; s < high; s++) {
        double w = 1 - fabs((s + 0.5 - centre) / support);
        scratch[s - low] = w > 0 ? w : 0;
        sum += scratch[s - low];
    }
    int from = low > start ? low : start, to = high < start + length ? high : start + length;
    a->first[i] = from - start;
    a->count[i] = to > from ? to - from : 0;
    for (int s = from; s < to; s++)
        a->weight[(size_t)i * (size_t)a->width + (size_t)(s - from)] = (float)(scratch[s - low] / sum);
}

static carina_status axis_create(axis *a, int canvas, int start, int length, int out_count, carina_error *error) {
    *a = (axis){0};
    double scale = (double)canvas / out_count;
    a->width = (int)ceil((scale > 1 ? scale : 1) * 2) + 2;
    size_t weights = (size_t)a->width * (size_t)out_count;
    a->first = malloc((size_t)out_count * sizeof *a->first);
    a->count = malloc((size_t)out_count * sizeof *a->count);
    a->weight = calloc(weights, sizeof *a->weight);
    double *scratch = malloc((size_t)a->width * sizeof *scratch);
    bool complete = a->first && a->count && a->weight && scratch;
    for (int i = 0; complete && i < out_count; i++) fill_output(a, i, canvas, start, length, out_count, scratch);
    free(scratch);
    if (complete) return CARINA_OK;
    axis_free(a);
    return error_memory(error, "resize weights", weights * sizeof *a->weight);
}

/* row [source width] = sum over the source rows that count for output row y. Four rows at a time keep the row in
 * registers longer. */
static void blend_rows(float *restrict row, const image *source, const axis *a, int y) {
    size_t width = (size_t)source->width;
    const float *weight = a->weight + (size_t)y * (size_t)a->width;
    const float *from = source->value + (size_t)a->first[y] * width;
    memset(row, 0, width * sizeof *row);
    int k = 0;
    for (; k + 4 <= a->count[y]; k += 4, from += 4 * width) {
        const float *r0 = from, *r1 = r0 + width, *r2 = r1 + width, *r3 = r2 + width;
        float w0 = weight[k], w1 = weight[k + 1], w2 = weight[k + 2], w3 = weight[k + 3];
        for (size_t x = 0; x < width; x++) row[x] += w0 * r0[x] + w1 * r1[x] + w2 * r2[x] + w3 * r3[x];
    }
    for (; k < a->count[y]; k++, from += width)
        for (size_t x = 0; x < width; x++) row[x] += weight[k] * from[x];
}

static void blend_columns(float *out, const float *row, const axis *a, int out_width) {
    for (int x = 0; x < out_width; x++) {
        const float *weight = a->weight + (size_t)x * (size_t)a->width;
        const float *from = row + a->first[x];
        float sum = 0;
        for (int k = 0; k < a->count[x]; k++) sum += weight[k] * from[k];
        out[x] = sum;
    }
}

carina_status resize_canvas(float *out, int width, int height, const image *source, int canvas_width, int canvas_height,
                            int left, int top, carina_error *error) {
    if (width < 1 || height < 1 || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE || source->width < 1 ||
        source->height < 1 || left < 0 || top < 0 || canvas_width - left < source->width ||
        canvas_height - top < source->height)
        return error_set(error, CARINA_ERROR_ARGUMENT, "resize: %d x %d at (%d, %d) of %d x %d, to %d x %d",
                         source->width, source->height, left, top, canvas_width, canvas_height, width, height);
    axis columns = {0}, rows = {0};
    float *row = malloc((size_t)source->width * sizeof *row);
    carina_status status = row ? CARINA_OK : error_memory(error, "resize", (size_t)source->width * sizeof *row);
    if (status == CARINA_OK) status = axis_create(&columns, canvas_width, left, source->width, width, error);
    if (status == CARINA_OK) status = axis_create(&rows, canvas_height, top, source->height, height, error);
    for (int y = 0; status == CARINA_OK && y < height; y++) {
        blend_rows(row, source, &rows, y);
        blend_columns(out + (size_t)y * (size_t)width, row, &columns, width);
    }
    axis_free(&columns);
    axis_free(&rows);
    free(row);
    return status;
}

carina_status resize(image *out, const image *source, int width, int height, carina_error *error) {
    TRY(image_create(out, width, height, error));
    carina_status status = resize_canvas(out->value, width, height, source, source->width, source->height, 0, 0, error);
    if (status != CARINA_OK) image_free(out);
    return status;
}
