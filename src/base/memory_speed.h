/* What a program that is bound by memory should be held against: how fast this machine reads now, and how much memory
 * it has. Measured or asked anew at each call: other programs share both.
 */
#ifndef BASE_MEMORY_SPEED_H
#define BASE_MEMORY_SPEED_H

#include <stdint.h>

#include "base/threads.h"

/* Reads all of `bytes` (aligned to 64, size a multiple of 64) once by all threads of the pool, as fast as it goes. */
void memory_read(thread_pool *pool, const void *bytes, uint64_t size);

/* Bytes a second: 256 MiB, which no cache holds, read by all threads of the pool; the fastest of `runs` passes. */
carina_status memory_read_speed(double *out, thread_pool *pool, int runs, carina_error *error);

uint64_t memory_total(void);     /* bytes; 0: unknown */
uint64_t memory_available(void); /* likewise: what can be taken without swapping */

#endif
