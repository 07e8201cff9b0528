/* How a product with packed weights is cut into runs that threads take one after the other.
 *
 * Many tokens: short runs of one length, and shorter ones of what a last round of them would be: a thread that ends
 * late then keeps the others waiting for little (1 % of a prompt). Few tokens read all weights once, as fast as memory
 * gives them, and a run takes its time to begin. Threads are not alike, either: a core may read a tenth more slowly
 * than its neighbour. So the first round of runs, one for each thread, takes five eighths of all, and every further one
 * half of what is left: the last ones are short, and threads end together. (Runs of one length were 2 to 4 % slower for
 * a token.) No run is cut below 64 kB, and one thread takes all at once.
 *
 * What a run computes does not depend on the cut.
 */
#ifndef TENSOR_WEIGHT_RUNS_H
#define TENSOR_WEIGHT_RUNS_H

#include "tensor/graph_internal.h"

typedef struct weight_runs {
    int64_t units;       /* what is cut: pairs of blocks, say */
    uint64_t unit_bytes; /* of weights */
    int threads;
    int64_t length; /* units of a run; 0: as for few tokens */
} weight_runs;

int weight_runs_count(const weight_runs *w);
/* The units of run `index`, at least one: in their order, all runs are all units. */
range weight_runs_range(const weight_runs *w, int index);

#endif
