/* Memory by the megabyte, in large pages where the system grants them: it is read faster by a tenth, and taken into use
 * a page at a time (a page that is touched first while other data passes through the caches takes 20 microseconds on a
 * virtual machine, whichever size it has).
 */
#ifndef BASE_LARGE_MEMORY_H
#define BASE_LARGE_MEMORY_H

#include <stdint.h>

/* Zeros, at a multiple of 64. The system gives memory only where something is written, large_memory_page(bytes) at a
 * time. NULL: there is none, or more than 1 TiB is asked for. */
void *large_memory_take(uint64_t bytes);
void large_memory_give_back(void *memory, uint64_t bytes); /* as many as were asked for; accepts NULL */
uint64_t large_memory_page(uint64_t bytes);                /* 1: memory of that size has no large pages */
/* Has the system give all of it now, so that nobody waits for a page later. What it holds stays. */
void large_memory_settle(void *memory, uint64_t bytes);

#endif
