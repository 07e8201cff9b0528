/* What sentence_index.c and sentence_search.c share. */
#ifndef INDEX_SENTENCE_INDEX_INTERNAL_H
#define INDEX_SENTENCE_INDEX_INTERNAL_H

#include <stdbool.h>

#include "index/sentence_index.h"

typedef struct index_region {
    sentence_region shown; /* points to what follows */
    sentence_entry *entries;
    float *rows; /* while building: [count, width], as they came */
    uint64_t room;
    float *matrix; /* finished: the blocks */
    float *log_priors;
} index_region;

struct sentence_index {
    int region_count, width;
    sentence_index_info info;
    const similarity_kernels *kernels; /* chosen once: asking the processor costs more than a small search */
    struct arena_block *arena;         /* all texts */
    index_region regions[ATLAS_MAX_REGIONS];
};

/* out [width]: vector at length 1; false when it is zero or not finite. */
bool index_normalise(float *out, const float *vector, int width);

#endif
