/* Memory of a decoder's keys and values; see key_cache.h. */
#include "tensor/key_cache.h"

#include <string.h>

#include "base/cursor.h"

#define ALIGNMENT  64
#define MOST_BYTES (1ull << 42) /* of keys, or of values: the caches of all layers together are still a number */

static uint64_t half_bytes(const key_cache *c) {
    return (uint64_t)c->capacity * (uint64_t)c->heads * (uint64_t)c->width * (c->type == TENSOR_BF16 ? 2 : 4);
}

static uint64_t aligned(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

carina_status key_cache_size(uint64_t *bytes, tensor_type type, int64_t capacity, int64_t heads, int64_t width,
                             carina_error *error) {
    uint64_t values;
    if (capacity < 1 || heads < 1 || width < 1 || !size_multiply((uint64_t)capacity, (uint64_t)width, &values) ||
        !size_multiply(values, (uint64_t)heads, &values) || values > MOST_BYTES / 4)
        return error_set(error, CARINA_ERROR_ARGUMENT, "keys of %lld tokens of %lld x %lld values: too large",
                         (long long)capacity, (long long)heads, (long long)width);
    *bytes = 2 * aligned(half_bytes(&(key_cache){type, capacity, heads, width, NULL, NULL}));
    return CARINA_OK;
}

key_cache key_cache_place(tensor_type type, int64_t capacity, int64_t heads, int64_t width, void *memory) {
    key_cache cache = {type, capacity, heads, width, memory, NULL};
    cache.values = (uint8_t *)memory + aligned(half_bytes(&cache));
    return cache;
}

void key_cache_copy(key_cache *to, const key_cache *from) {
    memcpy(to->keys, from->keys, half_bytes(from));
    memcpy(to->values, from->values, half_bytes(from));
}

uint64_t key_cache_bytes(const key_cache *cache) { return 2 * half_bytes(cache); }
