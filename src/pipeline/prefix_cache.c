/* Kept sessions by what they have seen; see prefix_cache.h. */
#include "pipeline/prefix_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/fingerprint.h"

typedef struct kept_session {
    gemma3_session *session; /* owned; NULL: the place is free */
    uint64_t *keys;          /* [its length], owned */
    uint64_t used;           /* when, by the cache's clock */
} kept_session;

struct prefix_cache {
    int most;
    uint64_t clock;
    kept_session entries[PREFIX_CACHE_MAX];
};

#define VECTOR_BIT (UINT64_C(1) << 63)

uint64_t prefix_key_of_id(int64_t id) { return (uint64_t)id & ~VECTOR_BIT; }

uint64_t prefix_key_of_vector(const float *vector, int64_t width) {
    fingerprint f = fingerprint_start();
    fingerprint_add(&f, vector, (uint64_t)width * sizeof *vector);
    return fingerprint_value(&f) | VECTOR_BIT;
}

int64_t prefix_common(const uint64_t *a, int64_t a_count, const uint64_t *b, int64_t b_count, int64_t most) {
    if (a_count < most) most = a_count;
    if (b_count < most) most = b_count;
    int64_t common = 0;
    while (common < most && a[common] == b[common]) common++;
    return common;
}

carina_status prefix_cache_create(prefix_cache **out, int most, carina_error *error) {
    *out = NULL;
    if (most < 0 || most > PREFIX_CACHE_MAX)
        return error_set(error, CARINA_ERROR_ARGUMENT, "%d kept sessions: 0 to %d are possible", most,
                         PREFIX_CACHE_MAX);
    prefix_cache *c = *out = calloc(1, sizeof *c);
    if (!c) return error_memory(error, "kept sessions", sizeof *c);
    c->most = most;
    return CARINA_OK;
}

static void clear(kept_session *e) {
    gemma3_session_free(e->session);
    free(e->keys);
    *e = (kept_session){0};
}

void prefix_cache_clear(prefix_cache *c) {
    for (int i = 0; i < c->most; i++) clear(&c->entries[i]);
}

void prefix_cache_free(prefix_cache *c) {
    if (!c) return;
    prefix_cache_clear(c);
    free(c);
}

void prefix_cache_put(prefix_cache *c, gemma3_session *session, const uint64_t *keys) {
    if (!session) return;
    size_t bytes = (size_t)gemma3_session_length(session) * sizeof *keys;
    uint64_t *copy = c->most && bytes ? malloc(bytes) : NULL;
    if (!copy) {
        gemma3_session_free(session);
        return;
    }
    memcpy(copy, keys, bytes);
    kept_session *oldest = &c->entries[0]; /* free places were never used */
    for (int i = 1; i < c->most; i++)
        if (c->entries[i].used < oldest->used) oldest = &c->entries[i];
    clear(oldest);
    *oldest = (kept_session){session, copy, ++c->clock};
}

gemma3_session *prefix_cache_latest(const prefix_cache *c, const uint64_t **keys) {
    const kept_session *latest = NULL;
    for (int i = 0; i < c->most; i++)
        if (c->entries[i].session && (!latest || c->entries[i].used > latest->used)) latest = &c->entries[i];
    *keys = latest ? latest->keys : NULL;
    return latest ? latest->session : NULL;
}

int64_t prefix_cache_find(const prefix_cache *c, uint64_t adapter, const uint64_t *keys, int64_t count, int64_t most,
                          int *entry) {
    int64_t best = 0;
    *entry = -1;
    for (int i = 0; i < c->most; i++) {
        const kept_session *e = &c->entries[i];
        if (!e->session || gemma3_session_adapter(e->session) != adapter) continue;
        int64_t common = prefix_common(e->keys, gemma3_session_length(e->session), keys, count, most);
        if (common <= best || !gemma3_session_can_rewind(e->session, common)) continue;
        best = common;
        *entry = i;
    }
    return best;
}

bool prefix_cache_copies(const prefix_cache *c, int entry, int64_t length) {
    return gemma3_session_length(c->entries[entry].session) != length;
}

carina_status prefix_cache_take(prefix_cache *c, int entry, int64_t length, gemma3_session **out, carina_error *error) {
    kept_session *e = &c->entries[entry];
    *out = NULL;
    if (!prefix_cache_copies(c, entry, length)) {
        *out = e->session;
        e->session = NULL;
        clear(e);
        return CARINA_OK;
    }
    TRY(gemma3_session_copy(out, e->session, error));
    e->used = ++c->clock;
    gemma3_session_rewind(*out, length); /* it can: prefix_cache_find says so */
    return CARINA_OK;
}
