/* base/large_memory.h: zeros at a multiple of 64, on both sides of the size from which on pages are large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/large_memory.h"

static const uint64_t sizes[] = {0, 1, 65, 4096, (4u << 20) - 1, 4u << 20, (4u << 20) + 1, (9u << 20) + 777};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void all_bytes_are_zero_and_ours(void **state) {
    uint8_t *memory[SIZES];
    (void)state;
    for (int round = 0; round < 2; round++) { /* the second time what was written before is gone */
        for (int i = 0; i < SIZES; i++) {
            memory[i] = large_memory_take(sizes[i]);
            assert_non_null(memory[i]);
            assert_int_equal((uintptr_t)memory[i] % 64, 0);
            for (uint64_t at = 0; at < sizes[i]; at++)
                if (memory[i][at]) fail_msg("byte %llu of %llu", (unsigned long long)at, (unsigned long long)sizes[i]);
            memset(memory[i], 1 + i, (size_t)sizes[i]);
        }
        for (int i = 0; i < SIZES; i++) {
            if (sizes[i]) {
                assert_int_equal(memory[i][0], 1 + i);
                assert_int_equal(memory[i][sizes[i] - 1], 1 + i);
            }
            large_memory_give_back(memory[i], sizes[i]);
        }
    }
}

static void what_is_settled_stays(void **state) {
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        uint8_t *memory = large_memory_take(sizes[i]);
        for (uint64_t at = 0; at < sizes[i]; at += 4096) memory[at] = (uint8_t)(at / 4096 * 7 + 1);
        large_memory_settle(memory, sizes[i]);
        for (uint64_t at = 0; at < sizes[i]; at++)
            if (memory[at] != (at % 4096 ? 0 : (uint8_t)(at / 4096 * 7 + 1)))
                fail_msg("byte %llu of %llu", (unsigned long long)at, (unsigned long long)sizes[i]);
        large_memory_give_back(memory, sizes[i]);
    }
}

static void what_cannot_be_is_null(void **state) {
    (void)state;
    assert_null(large_memory_take(UINT64_MAX));
    assert_null(large_memory_take(UINT64_MAX / 2));
    assert_null(large_memory_take(((uint64_t)1 << 40) + 1));
    large_memory_give_back(NULL, 0);
    large_memory_give_back(NULL, 64u << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_are_zero_and_ours),
        cmocka_unit_test(what_is_settled_stays),
        cmocka_unit_test(what_cannot_be_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
