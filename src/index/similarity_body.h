/* The similarity kernels in plain C. Included by similarity_generic.c, similarity_avx2.c and similarity_avx512.c, which
 * differ only in their compiler flags and SIMILARITY_TABLE / SIMILARITY_NAME. This is deliberately a header that
 * defines functions: it is the body of those three files. Flags include -ffp-contract=off (see similarity.h).
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "index/similarity.h"

#define BLOCKS (SIMILARITY_GROUP / SIMILARITY_BLOCK)

typedef float lanes __attribute__((vector_size(SIMILARITY_BLOCK * sizeof(float))));

/* Rows are read in the order in which they lie: one stream, which the processor fetches ahead. */
#define FETCH_AHEAD 8192 /* bytes; past the end of the matrix that is no error */

/* The similarities of a whole group, BLOCKS blocks of [width][16]. A block's sum waits for its last addition; the
 * processor goes on with the next blocks meanwhile. Inlined with a constant width where that pays. */
static inline __attribute__((always_inline)) void group_similarities(lanes out[BLOCKS], const float *blocks,
                                                                     const float *query, int width) {
    const lanes *row = (const lanes *)blocks;
    for (int b = 0; b < BLOCKS; b++) {
        lanes sum = {0};
        for (int d = 0; d < width; d++, row++) {
            __builtin_prefetch((const char *)row + FETCH_AHEAD);
            sum += query[d] * *row;
        }
        out[b] = sum;
    }
}

/* A group of which only the first `rows` are there. */
static void part_similarities(float *out, const float *blocks, int rows, const float *query, int width) {
    for (int i = 0; i < rows; i++) {
        const float *block = blocks + (int64_t)(i / SIMILARITY_BLOCK) * SIMILARITY_BLOCK * width;
        float sum = 0;
        for (int d = 0; d < width; d++) sum += query[d] * block[d * SIMILARITY_BLOCK + i % SIMILARITY_BLOCK];
        out[i] = sum;
    }
}

static inline bool any_above(const lanes s[BLOCKS], float bound) {
    float values[SIMILARITY_GROUP];
    memcpy(values, s, sizeof values);
    int any = 0;
    for (int i = 0; i < SIMILARITY_GROUP; i++) any |= values[i] > bound;
    return any;
}

static void offer_group(similarity_top *top, const float *values, const float *scores, int rows, int64_t first_row) {
    for (int i = 0; i < rows; i++)
        similarity_offer(top, (similarity_hit){(uint32_t)(first_row + i), values[i], scores[i]});
}

static inline float bound_of(const similarity_top *top) {
    return top->count == top->wanted ? top->hits[top->count - 1].score : -INFINITY;
}

static void weigh(float *out, const float *similarities, const float *log_priors, float weight, int64_t row_count) {
    for (int64_t i = 0; i < row_count; i++) out[i] = similarities[i] + weight * log_priors[i];
}

/* Inlined with constant width and weighted. */
static inline __attribute__((always_inline)) void search_width(similarity_top *top, const similarity_rows *r,
                                                               const float *query, int width, bool weighted) {
    int64_t row = 0;
    float bound = bound_of(top);
    for (; row + SIMILARITY_GROUP <= r->row_count; row += SIMILARITY_GROUP) {
        lanes s[BLOCKS], scores[BLOCKS];
        group_similarities(s, r->blocks + row * width, query, width);
        for (int b = 0; b < BLOCKS; b++)
            scores[b] = weighted ? s[b] + r->weight * ((const lanes *)(r->log_priors + row))[b] : s[b];
        if (!any_above(scores, bound)) continue; /* nearly always, once the best are found */
        float values[SIMILARITY_GROUP], ranked[SIMILARITY_GROUP];
        memcpy(values, s, sizeof values);
        memcpy(ranked, scores, sizeof ranked);
        offer_group(top, values, ranked, SIMILARITY_GROUP, r->first_row + row);
        bound = bound_of(top);
    }
    if (row < r->row_count) {
        float values[SIMILARITY_GROUP], ranked[SIMILARITY_GROUP];
        int left = (int)(r->row_count - row);
        part_similarities(values, r->blocks + row * width, left, query, width);
        if (weighted) weigh(ranked, values, r->log_priors + row, r->weight, left);
        offer_group(top, values, weighted ? ranked : values, left, r->first_row + row);
    }
}

static void search(similarity_top *top, const similarity_rows *rows, const float *query) {
    bool usual = rows->width == 16; /* AnatomiX's */
    if (usual && rows->log_priors)
        search_width(top, rows, query, 16, true);
    else if (usual)
        search_width(top, rows, query, 16, false);
    else
        search_width(top, rows, query, rows->width, rows->log_priors != NULL);
}

static void all(float *out, const float *blocks, int64_t row_count, const float *query, int width) {
    int64_t row = 0;
    for (; row + SIMILARITY_GROUP <= row_count; row += SIMILARITY_GROUP) {
        lanes s[BLOCKS];
        group_similarities(s, blocks + row * width, query, width);
        memcpy(out + row, s, sizeof s);
    }
    if (row < row_count) part_similarities(out + row, blocks + row * width, (int)(row_count - row), query, width);
}

const similarity_kernels SIMILARITY_TABLE = {SIMILARITY_NAME, search, all, weigh};
