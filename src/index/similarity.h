/* Exact similarity search over rows in memory: the inner loops of sentence_index.c.
 *
 * Rows lie in blocks of 16, transposed: block[d][i] is number d of the block's row i, so that one vector register holds
 * one number of 16 rows and no sum runs across a register. similarity = sum over d = 0, 1, ... of query[d] * row[d],
 * in this order, product and sum rounded separately: the same bits at every instruction set and for any thread count.
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
} similarity_hit;

/* The best rows so far: falling similarity, equal ones in rising order of their rows. */
typedef struct similarity_top {
    int wanted, count;
    similarity_hit *hits; /* [wanted], borrowed */
} similarity_top;

/* Takes the row if it is among the best. Rows must come in rising order. */
static inline void similarity_offer(similarity_top *top, uint32_t row, float similarity) {
    if (top->count == top->wanted) {
        if (!(similarity > top->hits[top->count - 1].similarity)) return;
        top->count--;
    }
    int place = top->count++;
    for (; place > 0 && similarity > top->hits[place - 1].similarity; place--) top->hits[place] = top->hits[place - 1];
    top->hits[place] = (similarity_hit){row, similarity};
}

typedef struct similarity_kernels {
    const char *name;
    /* Offers rows first_row .. first_row + row_count - 1 to top. blocks: 64-byte aligned, begins with first_row's
     * block; first_row is a multiple of SIMILARITY_GROUP. */
    void (*search)(similarity_top *top, const float *blocks, int64_t first_row, int64_t row_count, const float *query,
                   int width);
    /* All similarities: out [row_count]. */
    void (*all)(float *out, const float *blocks, int64_t row_count, const float *query, int width);
} similarity_kernels;

extern const similarity_kernels similarity_generic_table;
extern const similarity_kernels similarity_avx2_table;
extern const similarity_kernels similarity_avx512_table;

/* The tables that this processor can run, capped by CARINA_MAX_ISA; their number. The last is the fastest. */
int similarity_kernels_all(const similarity_kernels *out[3]);
const similarity_kernels *similarity_kernels_best(void);

#endif
