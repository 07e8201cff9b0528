/* From cells to what patches show; see mask_targets.h. */
#include "train/mask_targets.h"

#include <math.h>

static bool mask_has(const finding_mask *mask, int x, int y) {
    int cell = y * FINDING_MASKS_SIDE + x;
    return mask->cells[cell / 8] >> (cell % 8) & 1;
}

/* The samples of one patch: across x down, in the square's coordinates. */
typedef struct patch_samples {
    double left, top, width, height;
    int across, down;
} patch_samples;

/* In how many of the samples each mask is seen; seen [masks->count] starts at 0. */
static void look(int *seen, const finding_masks *masks, const augment_map *map, const patch_samples *s) {
    for (int i = 0; i < s->across * s->down; i++) {
        double x = s->left + (i % s->across + 0.5) / s->across * s->width;
        double y = s->top + (i / s->across + 0.5) / s->down * s->height, u, v;
        if (!augment_map_back(map, x, y, &u, &v)) continue;
        for (int k = 0; k < masks->count; k++)
            seen[k] += mask_has(&masks->items[k], (int)(u * FINDING_MASKS_SIDE), (int)(v * FINDING_MASKS_SIDE));
    }
}

static void mark_patch(float *out, const finding_set *shown, bool sure, int findings) {
    for (int f = 0; f < findings; f++) {
        if (!finding_set_has(shown, f)) continue;
        if (sure)
            out[f] = 1;
        else if (out[f] < 1)
            out[f] = NAN;
    }
}

/* A cell each, where nothing was moved. */
static int samples_along(int patches) { return (FINDING_MASKS_SIDE + patches - 1) / patches; }

void mask_targets_fill(float *out, const finding_masks *masks, const augment_map *map, int rows, int columns,
                       int findings) {
    patch_samples s = {
        .width = 1.0 / columns, .height = 1.0 / rows, .across = samples_along(columns), .down = samples_along(rows)};
    int all = s.across * s.down, enough = all < MASK_TARGETS_SURE ? all : MASK_TARGETS_SURE;
    for (int patch = 0; patch < rows * columns; patch++, out += findings) {
        int seen[FINDING_MASKS_MOST] = {0};
        for (int f = 0; f < findings; f++) out[f] = finding_set_has(&masks->described, f) ? 0 : NAN;
        s.left = patch % columns * s.width;
        s.top = (double)(patch / columns) * s.height;
        if (masks->count > 0) look(seen, masks, map, &s);
        for (int i = 0; i < masks->count; i++)
            if (seen[i] > 0) mark_patch(out, &masks->items[i].findings, seen[i] >= enough, findings);
    }
}
