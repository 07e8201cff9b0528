/* Rounds of runs; see weight_runs.h. */
#include "tensor/weight_runs.h"

#define LEAST_BYTES (1u << 18) /* of a run, that reading may be worth its beginning */
#define LEAST_LAST  (1u << 16) /* of the last round, where what is left is shared out */

static int64_t run_length(const weight_runs *w, int64_t left, int round) {
    if (w->threads == 1) return w->length ? w->length : left;
    if (w->length) return left > w->threads * w->length ? w->length : (left + 2 * w->threads - 1) / (2 * w->threads);
    int64_t share = round == 0 ? 5 * left / (8 * w->threads) : left / (2 * w->threads);
    if (share >= 1 && (uint64_t)share * w->unit_bytes >= LEAST_BYTES) return share;
    int64_t least = (int64_t)(LEAST_LAST / w->unit_bytes);
    return max_i64((left + w->threads - 1) / w->threads, max_i64(least, 1));
}

int weight_runs_count(const weight_runs *w) {
    int count = 0;
    int64_t left = w->units;
    for (int round = 0; left > 0; round++) {
        int64_t length = run_length(w, left, round), runs = min_i64(w->threads, (left + length - 1) / length);
        count += (int)runs;
        left -= runs * length;
    }
    return count;
}

range weight_runs_range(const weight_runs *w, int index) {
    int round = index / w->threads;
    /* Rounds of full runs come first: no need to walk through them. */
    int full = w->length ? (int)min_i64(round, (w->units - 1) / (w->threads * w->length)) : 0;
    int64_t begin = full * w->threads * w->length;
    for (int r = full; r < round; r++) begin += w->threads * run_length(w, w->units - begin, r);
    int64_t length = run_length(w, w->units - begin, round);
    begin += index % w->threads * length;
    return (range){begin, min_i64(begin + length, w->units)};
}
