/* Several batches at once; see step_batches.h. */
#include "train/step_batches.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

static void *take(uint64_t count, uint64_t size, bool *failed) {
    uint64_t bytes;
    void *memory = size_multiply(count, size, &bytes) ? malloc((size_t)bytes) : NULL;
    if (!memory) *failed = true;
    return memory;
}

/* One batch alone is used where the loader has it; several are copied, because the loader holds only one at a time. */
carina_status step_batches_create(step_batches **out, int count, int batch_size, int image_size, int region_count,
                                  int64_t mask_values, carina_error *error) {
    *out = NULL;
    step_batches *s = calloc(1, sizeof *s);
    if (!s) return error_memory(error, "batches", sizeof *s);
    *s = (step_batches){NULL, count, batch_size, image_size, region_count, mask_values};
    uint64_t films = (uint64_t)batch_size, pixels = (uint64_t)image_size * (uint64_t)image_size;
    bool failed = false;
    s->items = calloc((size_t)count, sizeof *s->items);
    for (int i = 0; s->items && count > 1 && i < count; i++) {
        loader_batch *b = &s->items[i].batch;
        b->films = take(films * pixels, sizeof *b->films, &failed);
        b->targets = take(films * (uint64_t)region_count * 4, sizeof *b->targets, &failed);
        b->present = take(films * (uint64_t)region_count, sizeof *b->present, &failed);
        b->labels = take(films * ATLAS_LABEL_COUNT, sizeof *b->labels, &failed);
        if (mask_values) b->masks = take(films * (uint64_t)mask_values, sizeof *b->masks, &failed);
        b->samples = take(films, sizeof *b->samples, &failed);
    }
    if (!s->items || failed) {
        step_batches_free(s);
        return error_memory(error, "the batches of a step (training.accumulate)",
                            (uint64_t)count * films * pixels * sizeof(float));
    }
    *out = s;
    return CARINA_OK;
}

void step_batches_free(step_batches *s) {
    if (!s) return;
    for (int i = 0; s->items && s->count > 1 && i < s->count; i++) {
        loader_batch *b = &s->items[i].batch;
        free(b->films);
        free(b->targets);
        free(b->present);
        free(b->labels);
        free(b->masks);
        free(b->samples);
    }
    free(s->items);
    free(s);
}

static void keep(const step_batches *s, loader_batch *to, const loader_batch *from) {
    if (s->count == 1) {
        *to = *from;
        return;
    }
    size_t films = (size_t)s->batch_size, regions = (size_t)s->region_count;
    memcpy(to->films, from->films, films * (size_t)s->image_size * (size_t)s->image_size * sizeof *to->films);
    memcpy(to->targets, from->targets, films * regions * 4 * sizeof *to->targets);
    memcpy(to->present, from->present, films * regions * sizeof *to->present);
    memcpy(to->labels, from->labels, films * ATLAS_LABEL_COUNT * sizeof *to->labels);
    if (to->masks) memcpy(to->masks, from->masks, films * (size_t)s->mask_values * sizeof *to->masks);
    memcpy(to->samples, from->samples, films * sizeof *to->samples);
    to->number = from->number;
    to->epoch = from->epoch;
    to->count = from->count;
}

/* A batch alone need not be counted through: all is its. */
static double known_masks(const step_batches *s, const loader_batch *batch) {
    int64_t values = s->batch_size * s->mask_values, known = 0;
    if (s->count == 1) return values > 0;
    for (int64_t i = 0; i < values; i++) known += !isnan(batch->masks[i]);
    return (double)known;
}

/* Counts first, then parts. What a loss leaves out does not count: boxes that are not present, labels outside 0..1,
 * masks that are not known. */
static void share_out(step_batches *s) {
    int64_t boxes = (int64_t)s->batch_size * s->region_count, labels = (int64_t)s->batch_size * ATLAS_LABEL_COUNT;
    double all_boxes = 0, all_labels = 0, all_masks = 0;
    for (int k = 0; k < s->count; k++) {
        step_batch *b = &s->items[k];
        b->box_share = b->label_share = 0;
        for (int64_t i = 0; i < boxes; i++) b->box_share += b->batch.present[i] > 0;
        for (int64_t i = 0; i < labels; i++) b->label_share += b->batch.labels[i] >= 0 && b->batch.labels[i] <= 1;
        all_boxes += b->box_share;
        b->mask_share = known_masks(s, &b->batch);
        all_labels += b->label_share;
        all_masks += b->mask_share;
    }
    for (int k = 0; k < s->count; k++) {
        if (all_boxes > 0) s->items[k].box_share /= all_boxes;
        if (all_labels > 0) s->items[k].label_share /= all_labels;
        if (all_masks > 0) s->items[k].mask_share /= all_masks;
    }
}

carina_status step_batches_next(step_batches *s, loader *from, carina_error *error) {
    for (int k = 0; k < s->count; k++) {
        const loader_batch *batch;
        TRY(loader_next(from, &batch, error));
        keep(s, &s->items[k].batch, batch);
    }
    share_out(s);
    return CARINA_OK;
}
