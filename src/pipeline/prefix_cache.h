/* Sessions that are kept for prompts to come: a prompt that begins like a text whose keys and values are still there
 * pays only for what is new.
 *
 * Keys and values are of an adapter too (model/lora.h): only sessions of the same one (gemma3_session_adapter), or of
 * none, are found.
 *
 * A text is known by a key for each of its rows: a token's id, or for a vector 63 bits of its bytes' fingerprint (two
 * of n different vectors share one with a chance of n^2 / 2^64). Which beginnings of a kept text can be gone back to is
 * limited: layers that see a window have forgotten what lies further back than a chunk of tokens behind it
 * (gemma3_session_rewind). The one that was unused for the longest goes first.
 */
#ifndef PIPELINE_PREFIX_CACHE_H
#define PIPELINE_PREFIX_CACHE_H

#include "model/gemma3_session.h"

#define PREFIX_CACHE_MAX 64

uint64_t prefix_key_of_id(int64_t id);
uint64_t prefix_key_of_vector(const float *vector, int64_t width);
/* Rows that both begin with, at most `most`. */
int64_t prefix_common(const uint64_t *a, int64_t a_count, const uint64_t *b, int64_t b_count, int64_t most);

typedef struct prefix_cache prefix_cache;

/* Keeps at most `most` sessions, 0 .. PREFIX_CACHE_MAX. */
carina_status prefix_cache_create(prefix_cache **out, int most, carina_error *error);
void prefix_cache_free(prefix_cache *c);  /* accepts NULL */
void prefix_cache_clear(prefix_cache *c); /* keeps nothing any more: memory is wanted elsewhere */

/* Takes over the session, which has seen keys[0 .. its length). Frees it where it cannot be kept. */
void prefix_cache_put(prefix_cache *c, gemma3_session *session, const uint64_t *keys);

/* The session that was used last, and its keys; NULL: none is kept. Both stay the cache's. */
gemma3_session *prefix_cache_latest(const prefix_cache *c, const uint64_t **keys);

/* The longest beginning of keys[count], at most `most` rows, that a kept session of this adapter (its fingerprint; 0:
 * none) can be brought to; 0: none. */
int64_t prefix_cache_find(const prefix_cache *c, uint64_t adapter, const uint64_t *keys, int64_t count, int64_t most,
                          int *entry);
/* Whether prefix_cache_take makes a copy of what was found. */
bool prefix_cache_copies(const prefix_cache *c, int entry, int64_t length);
/* A session that has seen the first `length` rows, as found. The kept one itself where it has seen no more, else a copy
 * of it. To be adapted again: the adapter that it was kept with may be gone, and another of the same values here. */
carina_status prefix_cache_take(prefix_cache *c, int entry, int64_t length, gemma3_session **out, carina_error *error);

#endif
