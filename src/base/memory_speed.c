/* Reading memory as fast as it goes; see memory_speed.h. */
#include "base/memory_speed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"

#define BYTES       (256ll << 20)
#define SHARD_BYTES (1ll << 20)

typedef uint64_t wide __attribute__((vector_size(64)));

typedef struct reading {
    const uint8_t *bytes;
    uint64_t sums[BYTES / SHARD_BYTES]; /* so that nothing read is of no use */
} reading;

#if defined(__x86_64__) && !defined(__clang__)
__attribute__((target_clones("default", "avx2", "avx512f")))
#endif
static void
read_shard(void *context, int shard, int worker) {
    reading *r = context;
    const wide *at = (const wide *)(r->bytes + shard * SHARD_BYTES), *end = at + SHARD_BYTES / (int64_t)sizeof *at;
    wide a = {0}, b = {0}, c = {0}, d = {0};
    (void)worker;
    for (; at < end; at += 4) {
        for (int i = 0; i < 4; i++) __builtin_prefetch((const char *)(at + i) + 4096);
        a |= at[0], b |= at[1], c |= at[2], d |= at[3];
    }
    a |= b | c | d;
    for (int i = 0; i < 8; i++) r->sums[shard] |= a[i];
}

carina_status memory_read_speed(double *out, thread_pool *pool, int runs, carina_error *error) {
    uint8_t *bytes = aligned_alloc(64, BYTES);
    reading *r = calloc(1, sizeof *r);
    *out = 0;
    if (bytes && r) {
        memset(bytes, 1, BYTES);
        r->bytes = bytes;
        double least = 1e9;
        for (int i = 0; i < runs; i++) {
            double began = clock_seconds();
            thread_pool_run(pool, (int)(BYTES / SHARD_BYTES), read_shard, r);
            double seconds = clock_seconds() - began;
            if (seconds < least) least = seconds;
        }
        *out = (double)BYTES / least;
    }
    carina_status status = bytes && r ? CARINA_OK : error_memory(error, "memory speed", BYTES);
    free(bytes);
    free(r);
    return status;
}

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
