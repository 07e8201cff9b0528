/* Any bytes as the NIH selection's two files (a byte 0 parts them): they are refused, or give boxes within the frame.
 */
#include <stdlib.h>
#include <string.h>

#include "atlas/atlas.h"
#include "data/nih_boxes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    size_t first = size ? strnlen(text, size) : 0, second = first < size ? first + 1 : size;
    const atlas *regions = atlas_builtin("anatomix36");
    dataset *set;
    sample s;
    carina_error error;
    if (nih_boxes_parse(&set, text, first, text + second, size - second, regions, &error) != CARINA_OK) return 0;
    for (uint64_t i = 0; i < dataset_count(set); i++) {
        if (dataset_read(set, i, false, &s, &error) != CARINA_OK) abort();
        for (int r = 0; r < regions->region_count; r++) {
            const box *b = &s.boxes[r];
            if (s.present[r] && !(b->x1 >= 0 && b->y1 >= 0 && b->x2 <= (float)s.width && b->y2 <= (float)s.height))
                abort();
        }
        sample_free(&s);
    }
    dataset_free(set);
    return 0;
}
