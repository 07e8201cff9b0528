/* Any bytes as a sentence database: they are refused, or every sentence can be found and has an embedding of length 1.
 */
#include <math.h>
#include <stdlib.h>

#include "index/index_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_region(const sentence_index *index, int number) {
    static float vector[SENTENCE_INDEX_MAX_WIDTH];
    const sentence_region *region = sentence_index_region(index, number);
    similarity_hit hit;
    carina_error error;
    int found;
    for (uint64_t row = 0; row < region->count; row++) {
        double length = 0;
        sentence_index_vector(index, number, row, vector);
        for (int d = 0; d < sentence_index_width(index); d++) length += (double)vector[d] * (double)vector[d];
        if (fabs(length - 1) > 1e-4) abort();
        if (sentence_index_find(index, number, region->entries[row].text) != (int64_t)row) abort();
        if (!(region->log_priors[row] <= 0 && isfinite(region->log_priors[row]))) abort();
        float weight = row % 2 ? 0.01f : 0;
        if (sentence_index_search(index, NULL, number, vector, weight, 1, &hit, &found, &error) != CARINA_OK) abort();
        if (found != 1 || hit.row >= region->count || !isfinite(hit.score)) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sentence_index *index;
    carina_error error;
    if (index_file_parse(&index, "fuzz", data, size, NULL, &error) != CARINA_OK) return 0;
    for (int r = 0; r < sentence_index_regions(index); r++) check_region(index, r);
    sentence_index_free(index);
    return 0;
}
