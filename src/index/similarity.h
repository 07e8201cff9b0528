/* Exact similarity search over rows in memory: the inner loops of sentence_index.c.
 *
 * Rows lie in blocks of 16, transposed: block[d][i] is number d of the block's row i, so that one vector register holds
 * one number of 16 rows and no sum runs across a register. similarity = sum over d = 0, 1, ... of query[d] * row[d],
 * in this order, product and sum rounded separately: the same bits at every instruction set and for any thread count.
 * Rows are ranked by score = similarity + weight * log_priors[row], rounded likewise; without priors the score is the
 * similarity itself.
 * The body is plain C compiled three times (similarity_body.h); the processor chooses at run time (base/cpu.h).
 */
#ifndef INDEX_SIMILARITY_H
#define INDEX_SIMILARITY_H

#include <stdint.h>

#define SIMILARITY_BLOCK 16 /* rows of a block; the last block of a matrix is filled up with rows of zeros */
#define SIMILARITY_GROUP 64 /* rows looked at together: searches start at multiples of it */

typedef struct similarity_hit {
    uint32_t row;
    float similarity;
    float score; /* what it is ranked by */
} similarity_hit;

/* The best rows so far: falling score, equal ones in rising order of their rows. */
typedef struct similarity_top {
    int wanted, count;
    similarity_hit *hits; /* [wanted], borrowed */
} similarity_top;

/* Takes the row if it is among the best. Rows must come in rising order. */
static inline void similarity_offer(similarity_top *top, similarity_hit hit) {
    if (top->count == top->wanted) {
        if (!(hit.score > top->hits[top->count - 1].score)) return;
        top->count--;
    }
    int place = top->count++;
    for (; place > 0 && hit.score > top->hits[place - 1].score; place--) top->hits[place] = top->hits[place - 1];
    top->hits[place] = hit;
}

/* What a search goes through. */
typedef struct similarity_rows {
    const float *blocks; /* 64-byte aligned, begins with first_row's block */
    int64_t first_row;   /* a multiple of SIMILARITY_GROUP */
    int64_t row_count;
    int width;
    const float *log_priors; /* [row_count] 64-byte aligned, begins with first_row; NULL: ranked by similarity */
    float weight;
} similarity_rows;

typedef struct similarity_kernels {
    const char *name;
    /* Offers rows first_row .. first_row + row_count - 1 to top. */
    void (*search)(similarity_top *top, const similarity_rows *rows, const float *query);
    /* All similarities: out [row_count]. */
    void (*all)(float *out, const float *blocks, int64_t row_count, const float *query, int width);
    /* The scores of similarities [row_count], as search has them; out may be the similarities. */
    void (*weigh)(float *out, const float *similarities, const float *log_priors, float weight, int64_t row_count);
} similarity_kernels;

extern const similarity_kernels similarity_generic_table;
extern const similarity_kernels similarity_avx2_table;
extern const similarity_kernels similarity_avx512_table;

/* The tables that this processor can run, capped by CARINA_MAX_ISA; their number. The last is the fastest. */
int similarity_kernels_all(const similarity_kernels *out[3]);
const similarity_kernels *similarity_kernels_best(void);

#endif
