/* tensor/weight_runs.h: every unit is in exactly one run, in order, whatever the sizes; runs taper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/weight_runs.h"

static void expect_all_units_once(const weight_runs *w) {
    int count = weight_runs_count(w);
    int64_t at = 0;
    for (int i = 0; i < count; i++) {
        range r = weight_runs_range(w, i);
        if (r.begin != at || r.end <= at)
            fail_msg("run %d of %d, %lld units for %d threads: [%lld, %lld) after %lld", i, count, (long long)w->units,
                     w->threads, (long long)r.begin, (long long)r.end, (long long)at);
        at = r.end;
    }
    assert_int_equal(at, w->units);
}

static void all_units_are_there_once(void **state) {
    (void)state;
    static const uint64_t bytes[] = {1, 5000, 80000, 600000, 1u << 30};
    static const int threads[] = {1, 2, 3, 7, 64, 1024};
    for (size_t b = 0; b < sizeof bytes / sizeof *bytes; b++)
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
            for (int64_t units = 0; units < 10000; units += 1 + units / 3)
                for (int64_t length = 0; length < 5; length += 2)
                    expect_all_units_once(&(weight_runs){units, bytes[b], threads[t], length});
}

static void expect_lengths(const weight_runs *w, int count, const int64_t *expected) {
    assert_int_equal(weight_runs_count(w), count);
    for (int i = 0; i < count; i++) {
        range r = weight_runs_range(w, i);
        assert_int_equal(r.end - r.begin, expected[i]);
    }
}

/* gate and up of the 4B shape in 4 bits: 320 pairs of blocks and 92 kB each. */
static void few_tokens_taper(void **state) {
    (void)state;
    static const int64_t expected[] = {100, 100, 30, 30, 15, 15, 7, 7, 4, 4, 4, 4};
    expect_lengths(&(weight_runs){.units = 320, .unit_bytes = 92160, .threads = 2}, 12, expected);
}

static void many_tokens_taper_at_their_end(void **state) {
    (void)state;
    static const int64_t expected[] = {4, 4, 4, 4, 2, 2, 1, 1, 1}, alone[] = {4, 4, 3};
    expect_lengths(&(weight_runs){.units = 23, .unit_bytes = 1 << 20, .threads = 2, .length = 4}, 9, expected);
    expect_lengths(&(weight_runs){.units = 11, .unit_bytes = 1 << 20, .threads = 1, .length = 4}, 3, alone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_units_are_there_once),
        cmocka_unit_test(few_tokens_taper),
        cmocka_unit_test(many_tokens_taper_at_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
