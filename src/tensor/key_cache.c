/* Memory of a decoder's keys and values; see key_cache.h. */
#include "tensor/key_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"

static uint64_t half_bytes(const key_cache *c) {
    return (uint64_t)c->capacity * (uint64_t)c->heads * (uint64_t)c->width * (c->type == TENSOR_BF16 ? 2 : 4);
}

carina_status key_cache_create(key_cache *out, tensor_type type, int64_t capacity, int64_t heads, int64_t width,
                               carina_error *error) {
    uint64_t values;
    *out = (key_cache){.type = type, .capacity = capacity, .heads = heads, .width = width};
    if (capacity < 1 || heads < 1 || width < 1 || !size_multiply((uint64_t)capacity, (uint64_t)width, &values) ||
        !size_multiply(values, (uint64_t)heads, &values) || values > 1ull << 40)
        return error_set(error, CARINA_ERROR_ARGUMENT, "keys of %lld tokens of %lld x %lld values: too large",
                         (long long)capacity, (long long)heads, (long long)width);
    out->keys = calloc(1, half_bytes(out));
    out->values = calloc(1, half_bytes(out));
    if (out->keys && out->values) return CARINA_OK;
    carina_status status = error_memory(error, "keys and values", key_cache_bytes(out));
    key_cache_free(out);
    return status;
}

void key_cache_free(key_cache *cache) {
    free(cache->keys);
    free(cache->values);
    *cache = (key_cache){0};
}

void key_cache_copy(key_cache *to, const key_cache *from) {
    memcpy(to->keys, from->keys, half_bytes(from));
    memcpy(to->values, from->values, half_bytes(from));
}

uint64_t key_cache_bytes(const key_cache *cache) { return 2 * half_bytes(cache); }
