/* Reading memory as fast as it goes; see memory_speed.h. */
#include "base/memory_speed.h"

#include <stdio.h>
#include <string.h>

#include "base/large_memory.h"

#define SHARD_BYTES ((uint64_t)1 << 20)

typedef uint64_t wide __attribute__((vector_size(64)));

typedef struct reading {
    const uint8_t *bytes;
    uint64_t size;
} reading;

#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("default", "avx2", "avx512f")))
#endif
static void
read_shard(void *context, int shard, int worker) {
    const reading *r = context;
    uint64_t first = (uint64_t)shard * SHARD_BYTES, end = first + SHARD_BYTES < r->size ? first + SHARD_BYTES : r->size;
    const wide *at = (const wide *)(r->bytes + first), *last = (const wide *)(r->bytes + end);
    wide a = {0}, b = {0}, c = {0}, d = {0};
    (void)worker;
    for (; at + 4 <= last; at += 4) {
        for (int i = 0; i < 4; i++) __builtin_prefetch((const char *)(at + i) + 4096);
        a |= at[0], b |= at[1], c |= at[2], d |= at[3];
    }
    for (; at < last; at++) a |= at[0];
    a |= b | c | d;
    __asm__ volatile("" : : "m"(a)); /* what was read is wanted */
}

void memory_read(thread_pool *pool, const void *bytes, uint64_t size) {
    reading r = {bytes, size};
    thread_pool_run(pool, (int)((size + SHARD_BYTES - 1) / SHARD_BYTES), read_shard, &r);
}

void *memory_probe(void) {
    void *bytes = large_memory_take(MEMORY_PROBE_BYTES);
    if (bytes) memset(bytes, 1, MEMORY_PROBE_BYTES);
    return bytes;
}

void memory_probe_free(void *probe) { large_memory_give_back(probe, MEMORY_PROBE_BYTES); }

static uint64_t meminfo(const char *key) {
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file) return 0;
    size_t length = strlen(key);
    while (kib == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && line[length] == ':' && sscanf(line + length + 1, "%llu", &kib) != 1)
            kib = 0;
    fclose(file);
    return kib * 1024;
}

uint64_t memory_total(void) { return meminfo("MemTotal"); }
uint64_t memory_available(void) { return meminfo("MemAvailable"); }
