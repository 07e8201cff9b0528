/* Large pages by madvise; see large_memory.h. */
#include "base/large_memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE  ((uint64_t)2 << 20)
#define SMALL_PAGE 4096
#define ALIGNMENT  64
#define MOST_BYTES ((uint64_t)1 << 40) /* a size beyond it is a mistake */

/* What comes from the system itself is hidden from the address sanitizer. */
static bool is_large(uint64_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    (void)bytes;
    return false;
#else
    return bytes >= 2 * HUGE_PAGE;
#endif
}

static uint64_t whole(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

/* Fresh pages of the system's, which are zeros already. What it gives begins anywhere: what sticks out goes back. */
static void *map(uint64_t bytes) {
    uint64_t kept = whole(bytes, HUGE_PAGE), taken = kept + HUGE_PAGE;
    uint8_t *memory = mmap(NULL, (size_t)taken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    uint64_t before = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE, after = taken - kept - before;
    if (before) munmap(memory, (size_t)before);
    memory += before;
    if (after) munmap(memory + kept, (size_t)after);
#ifdef MADV_HUGEPAGE
    (void)madvise(memory, (size_t)kept, MADV_HUGEPAGE);
#endif
    return memory;
}

uint64_t large_memory_page(uint64_t bytes) { return is_large(bytes) ? HUGE_PAGE : 1; }

void *large_memory_take(uint64_t bytes) {
    if (bytes > MOST_BYTES || bytes > SIZE_MAX / 2) return NULL;
    if (is_large(bytes)) return map(bytes);
    size_t size = (size_t)whole(bytes ? bytes : 1, ALIGNMENT);
    void *memory = aligned_alloc(ALIGNMENT, size);
    return memory ? memset(memory, 0, size) : NULL;
}

void large_memory_settle(void *memory, uint64_t bytes) {
    volatile uint8_t *at = memory;
    for (uint64_t i = 0; i < bytes; i += SMALL_PAGE) at[i] = at[i];
}

void large_memory_give_back(void *memory, uint64_t bytes) {
    if (memory && is_large(bytes))
        munmap(memory, (size_t)whole(bytes, HUGE_PAGE));
    else
        free(memory);
}
