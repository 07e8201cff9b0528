/* tensor/register_speed: every loop adds up what it says it does. How fast it does is nobody's promise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "tensor/register_speed.h"

static void sums_are_right(void **state) {
    (void)state;
    for (int kind = 0; kind < REGISTER_KINDS; kind++) {
        const register_loop *all[REGISTER_MOST];
        int count = register_loops_all((register_kind)kind, all);
        assert_in_range(count, 1, REGISTER_MOST);
        for (int i = 0; i < count; i++) {
            print_message("%s\n", all[i]->instruction);
            assert_true(all[i]->run(1000, 3, 5) == 1000.0 * (double)all[i]->sums * 15);
            assert_true(all[i]->run(7, REGISTER_MAX_VALUE, REGISTER_MAX_VALUE) == 7.0 * (double)all[i]->sums * 225);
            assert_true(all[i]->run(0, 3, 5) == 0);
            assert_true(all[i]->run(all[i]->rounds, 1, 1) == (double)all[i]->rounds * (double)all[i]->sums);
        }
        assert_ptr_equal(register_loop_best((register_kind)kind), all[count - 1]);
    }
}

/* More lanes at every level; a capped level has none of those above it. */
static void levels(void **state) {
    (void)state;
    const char *cap = getenv("CARINA_MAX_ISA"), *kept = cap ? strdup(cap) : NULL;
    for (int kind = 0; kind < REGISTER_KINDS; kind++) {
        const register_loop *all[REGISTER_MOST];
        setenv("CARINA_MAX_ISA", "generic", 1);
        assert_int_equal(register_loops_all((register_kind)kind, all), 1);
        const register_loop *plain = all[0];
        setenv("CARINA_MAX_ISA", "avx2", 1);
        int count = register_loops_all((register_kind)kind, all);
        assert_int_equal(count, cpu_level_best() >= CPU_AVX2 ? 2 : 1);
        assert_ptr_equal(all[0], plain);
    }
    if (kept)
        setenv("CARINA_MAX_ISA", kept, 1);
    else
        unsetenv("CARINA_MAX_ISA");
    free((char *)kept);
}

static void all_threads(void **state) {
    (void)state;
    carina_error error;
    thread_pool *pool;
    const register_loop *loop = register_loop_best(REGISTER_INT8);
    assert_int_equal(thread_pool_create(&pool, 2, &error), CARINA_OK);
    double alone = register_loop_run(loop, NULL);
    assert_true(fmod(alone, 2.0 * (double)loop->sums * (double)loop->rounds) == 0);
    assert_true(register_loop_run(loop, pool) == 2 * alone);
    assert_true(register_speed(loop, pool, 1) > 0);
    thread_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_right), cmocka_unit_test(levels),
                                       cmocka_unit_test(all_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
