/* A compact form of a large tokenizer.json, kept in a folder, so that the next start need not read JSON.
 *
 * A cache is no source of truth. Its name holds the fingerprint of the tokenizer.json's bytes, which are read and
 * fingerprinted each time: one of another file, or of an older state of this one, is never looked at. Its own bytes
 * have a fingerprint too, and what they say goes through the same checks as what a tokenizer.json says (a merge's
 * result must be its two sides). Anything that does not hold makes it ignored and written anew; one that cannot be
 * written is done without. A link in its place is not followed, and a file that is no cache is neither read nor
 * replaced.
 *
 *     magic, version                16 bytes
 *     tokenizer.json                u64 size, u64 fingerprint
 *     content                       u64 size, u64 fingerprint, then:
 *       u32 tokens, u32 merges, u64 bytes of text
 *       u8 byte_fallback, fuse_unk, ignore_merges, then unk_token and the four parts as u32 size (UINT32_MAX: none),
 * text tokens by id                u8 flags (0: none), u16 size their texts, by id merges by rank              u32
 * left, right, result all little-endian.
 */
#ifndef TEXT_BPE_CACHE_H
#define TEXT_BPE_CACHE_H

#include "text/bpe.h"

#define BPE_CACHE_LEAST (1u << 20) /* bytes of a tokenizer.json that is worth one */

typedef struct bpe_cache {
    char *path; /* owned; NULL: none is wanted */
    uint64_t source_size, source_fingerprint;
} bpe_cache;

/* Where caches go if nobody says otherwise: CARINA_CACHE, or carina in XDG_CACHE_HOME or in HOME's .cache. NULL:
 * nowhere (CARINA_CACHE is empty), or no memory. Malloc'ed. */
char *bpe_cache_default_folder(void);

/* The cache of a tokenizer.json with these bytes. folder NULL: none. */
bpe_cache bpe_cache_of(const char *folder, const void *data, uint64_t size);
void bpe_cache_free(bpe_cache *c);

/* False: there is none, or it does not hold. name becomes the tokenizer's. */
bool bpe_cache_load(const bpe_cache *c, bpe **out, const char *name);
void bpe_cache_store(const bpe_cache *c, const bpe *b);

#endif
