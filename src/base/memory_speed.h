/* What a program that is bound by memory should be held against: reading as fast as it goes, to be timed beside it, and
 * how much memory this machine has now. Other programs share both.
 */
#ifndef BASE_MEMORY_SPEED_H
#define BASE_MEMORY_SPEED_H

#include <stdint.h>

#include "base/threads.h"

/* Reads all of `bytes` (aligned to 64, size a multiple of 64) once by all threads of the pool, as fast as it goes. */
void memory_read(thread_pool *pool, const void *bytes, uint64_t size);

/* What memory_read may be timed on: MEMORY_PROBE_BYTES, which no cache holds, in large pages where the system grants
 * them. NULL: no memory. */
#define MEMORY_PROBE_BYTES ((uint64_t)256 << 20)
void *memory_probe(void);
void memory_probe_free(void *probe); /* accepts NULL */

uint64_t memory_total(void);     /* bytes; 0: unknown */
uint64_t memory_available(void); /* likewise: what can be taken without swapping */

#endif
