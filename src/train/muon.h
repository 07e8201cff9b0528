/* Muon (Jordan 2024; Liu et al. 2025, "Muon is scalable for LLM training"): momentum whose every matrix is made
 * orthogonal, so that all directions of a weight learn at one speed, however small their gradients are.
 *
 *     m = b m + g,  u = g + b m,  w = w - r (0.2 sqrt(max(rows, columns)) O(u) + decay w)
 *
 * O is orthogonalize.h. The factor gives each step the root mean square of an AdamW step, so that learning rates mean
 * the same. Kernels [O, I, kh, kw] are matrices [O, I kh kw]; matrices stacked in one parameter (parameter.matrices)
 * count one by one. Everything else, vectors, embeddings and single rows, stays with AdamW (optimizer.c).
 */
#ifndef TRAIN_MUON_H
#define TRAIN_MUON_H

#include "base/threads.h"
#include "tensor/parameters.h"

/* Whether Muon moves this parameter. */
bool muon_takes(const parameter *p);

typedef struct muon muon;

/* For all of `set` that it takes; borrows set and pool. */
carina_status muon_create(muon **out, parameters *set, thread_pool *pool, carina_error *error);
void muon_free(muon *m); /* accepts NULL */

typedef struct muon_step {
    float **momentum;     /* [parameter] -> m */
    float beta;           /* b */
    float gradient_scale; /* clipping */
    const float *rate;    /* [group]; 0 leaves the group as it is, momentum too */
    const float *decay;   /* [group] */
} muon_step;

/* Changes values and momenta. One shard is one matrix, so results do not depend on threads. */
void muon_run(muon *m, const muon_step *step);

#endif
