/* Keys and values of the tokens that a decoder has seen: what op_cached_attention reads and extends. It lives outside
 * any graph, because one sequence goes through graphs for many tokens and for one.
 *
 * Position p lies in row p % capacity, so a layer that looks back over a window needs no more rows than the window and
 * what one run may add; a ring that is gone through more than once has an even number of rows, so that pairs of
 * positions from an even one on lie together. Keys are kept turned by their positions. Each head has its rows side by
 * side: a query that goes through a head's keys reads one stream, which the processor fetches ahead (rows of all heads
 * together, 512 bytes of every 2,048, came at a quarter of the memory's speed).
 */
#ifndef TENSOR_KEY_CACHE_H
#define TENSOR_KEY_CACHE_H

#include "tensor/graph.h"

/* Of one layer and one sequence. */
typedef struct key_cache {
    tensor_type type;
    int64_t capacity, heads, width; /* rows of each head, values in a row */
    void *keys, *values;            /* [heads, capacity, width] of `type`, borrowed */
} key_cache;

/* Bytes of memory that such a cache takes, a multiple of 64; too large a shape is an error. */
carina_status key_cache_size(uint64_t *bytes, tensor_type type, int64_t capacity, int64_t heads, int64_t width,
                             carina_error *error);
/* A cache of a shape that key_cache_size accepted in `memory`, at a multiple of 64: as long as that is there. */
key_cache key_cache_place(tensor_type type, int64_t capacity, int64_t heads, int64_t width, void *memory);
/* Same shape wanted: what `from` holds. */
void key_cache_copy(key_cache *to, const key_cache *from);
uint64_t key_cache_bytes(const key_cache *cache); /* of its keys and values */

/* Where a row of a run belongs: a token of some sequence. */
typedef struct cached_row {
    key_cache *layers; /* [layer] of its sequence; NULL: the row only fills the run */
    int64_t position;
} cached_row;

#endif
