/* Masks of findings from disk to cells; see finding_masks.h. */
#include "data/finding_masks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "format/png.h"
#include "image/letterbox.h"

#define MAX_PATH_TEXT 4096

/* ---- reading ---- */

typedef struct reading {
    const json_document *document;
    const char *folder;
    const char *names[SENTENCE_FINDING_NAMES];
    int name_count, width, height;
} reading;

static carina_status read_findings(finding_set *out, bool *any, const reading *r, const json_value *object,
                                   const char *key, carina_error *error) {
    const json_value *list;
    TRY(json_get_array(r->document, object, key, &list, error));
    for (uint64_t i = 0; i < json_count(list); i++) {
        const char *name = json_text(json_item(list, i));
        if (!name) return json_fail(r->document, object, key, CARINA_ERROR_FORMAT, error, "a finding is not a text");
        int finding = sentence_finding_find(r->names, r->name_count, name, strlen(name));
        if (finding < 0) continue;
        out->bits[finding / 64] |= UINT64_C(1) << (finding % 64);
        *any = true;
    }
    return CARINA_OK;
}

/* The pixels of one axis that lie in a cell: at least one where the cell is on the film at all. */
static void cell_span(int cell, int side, int before, int length, int *first, int *last) {
    *first = cell * side / FINDING_MASKS_SIDE - before;
    *last = ((cell + 1) * side + FINDING_MASKS_SIDE - 1) / FINDING_MASKS_SIDE - before;
    if (*first < 0) *first = 0;
    if (*last > length) *last = length;
}

static bool is_seen(const raster *picture, int x1, int x2, int y1, int y2) {
    unsigned half = (1u << picture->bit_depth) / 2;
    for (int y = y1; y < y2; y++)
        for (int x = x1; x < x2; x++)
            if (picture->sample[(size_t)y * (size_t)picture->width + (size_t)x] >= half) return true;
    return false;
}

static void fill_cells(finding_mask *mask, const raster *picture) {
    letterbox_transform t = letterbox_make(picture->width, picture->height, picture->width, picture->height);
    for (int row = 0; row < FINDING_MASKS_SIDE; row++) {
        int y1, y2;
        cell_span(row, t.side, t.top, t.height, &y1, &y2);
        for (int column = 0; column < FINDING_MASKS_SIDE; column++) {
            int x1, x2, cell = row * FINDING_MASKS_SIDE + column;
            cell_span(column, t.side, t.left, t.width, &x1, &x2);
            if (is_seen(picture, x1, x2, y1, y2)) mask->cells[cell / 8] |= (uint8_t)(1u << (cell % 8));
        }
    }
}

static carina_status read_picture(finding_mask *mask, const reading *r, const char *name, carina_error *error) {
    char path[MAX_PATH_TEXT];
    int length = snprintf(path, sizeof path, "%s/%s.png", r->folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: path too long", r->folder);
    raster picture = {0};
    TRY(png_load_file(&picture, path, error));
    carina_status status = CARINA_OK;
    if (picture.width != r->width || picture.height != r->height)
        status = error_set(error, CARINA_ERROR_MISMATCH, "%s: a mask of %d x %d pixels for a film of %d x %d", path,
                           picture.width, picture.height, r->width, r->height);
    raster_make_grey(&picture);
    if (status == CARINA_OK) fill_cells(mask, &picture);
    raster_free(&picture);
    return status;
}

static carina_status read_mask(finding_masks *out, const reading *r, const json_value *item, carina_error *error) {
    finding_set findings = {{0}};
    bool any = false;
    const char *name;
    if (!json_has(item, "attributes")) return CARINA_OK; /* an organ */
    TRY(read_findings(&findings, &any, r, item, "attributes", error));
    TRY(json_get_text(r->document, item, "name", &name, error));
    if (!*name || strchr(name, '/'))
        return json_fail(r->document, item, "name", CARINA_ERROR_FORMAT, error, "\"%.80s\" is not a file name", name);
    if (!any) return CARINA_OK;
    finding_mask *mask = &out->items[out->count++];
    memset(mask, 0, sizeof *mask);
    mask->findings = findings;
    return read_picture(mask, r, name, error);
}

static carina_status read_all(finding_masks *out, reading *r, carina_error *error) {
    const json_value *root = json_root(r->document), *list;
    bool any;
    TRY(read_findings(&out->described, &any, r, root, "described", error));
    TRY(json_get_array(r->document, root, "masks", &list, error));
    uint64_t count = json_count(list);
    if (count > FINDING_MASKS_MOST)
        return json_fail(r->document, root, "masks", CARINA_ERROR_LIMIT, error, "%llu masks; at most %d are read",
                         (unsigned long long)count, FINDING_MASKS_MOST);
    out->items = malloc((size_t)(count + 1) * sizeof *out->items);
    if (!out->items) return error_memory(error, "masks", count * sizeof *out->items);
    for (uint64_t i = 0; i < count; i++) TRY(read_mask(out, r, json_item(list, i), error));
    finding_mask *smaller = realloc(out->items, (size_t)(out->count + 1) * sizeof *smaller); /* organs took none */
    if (smaller) out->items = smaller;
    return CARINA_OK;
}

static carina_status read_document(finding_masks *out, json_document *document, const char *folder, int width,
                                   int height, const atlas *regions, carina_error *error) {
    reading r = {.document = document, .folder = folder, .width = width, .height = height};
    r.name_count = sentence_finding_names(r.names, regions);
    carina_status status = read_all(out, &r, error);
    json_free(document);
    if (status != CARINA_OK) finding_masks_free(out);
    return status;
}

carina_status finding_masks_read(finding_masks *out, const char *folder, int width, int height, const atlas *regions,
                                 carina_error *error) {
    *out = (finding_masks){0};
    char path[MAX_PATH_TEXT];
    int length = snprintf(path, sizeof path, "%s/masks.json", folder);
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(error, CARINA_ERROR_LIMIT, "%s: path too long", folder);
    if (!file_exists(path)) return CARINA_OK;
    json_document *document;
    TRY(json_read(&document, path, NULL, error));
    return read_document(out, document, folder, width, height, regions, error);
}

carina_status finding_masks_parse(finding_masks *out, const char *text, uint64_t size, const char *folder, int width,
                                  int height, const atlas *regions, carina_error *error) {
    *out = (finding_masks){0};
    json_document *document;
    TRY(json_parse(&document, "masks.json", text, size, NULL, error));
    return read_document(out, document, folder, width, height, regions, error);
}

void finding_masks_free(finding_masks *masks) {
    free(masks->items);
    *masks = (finding_masks){0};
}
