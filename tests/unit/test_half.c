/* base/half.h: every 16-bit pattern survives widening and narrowing; rounding is to nearest, ties to even. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/half.h"

static void every_pattern_survives(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float wide = f16_to_f32((uint16_t)bits), brain = bf16_to_f32((uint16_t)bits);
        if (isnan(wide)) {
            assert_true(isnan(f16_to_f32(f16_from_f32(wide))));
            assert_int_equal(f16_from_f32(wide) & 0x8000, bits & 0x8000);
        } else {
            assert_int_equal(f16_from_f32(wide), bits);
        }
        if (isnan(brain))
            assert_true(isnan(bf16_to_f32(bf16_from_f32(brain))));
        else
            assert_int_equal(bf16_from_f32(brain), bits);
    }
}

static void rounding_is_to_nearest_even(void **state) {
    (void)state;
    /* Between each pair of finite neighbours: the midpoint goes to the even one, a hair beside it to the nearer. */
    for (uint32_t bits = 0; bits < 0x7bff; bits++) {
        float low = f16_to_f32((uint16_t)bits), high = f16_to_f32((uint16_t)(bits + 1));
        float middle = 0.5f * (low + high);
        assert_int_equal(f16_from_f32(middle), bits & 1 ? bits + 1 : bits);
        assert_int_equal(f16_from_f32(nextafterf(middle, low)), bits);
        assert_int_equal(f16_from_f32(nextafterf(middle, high)), bits + 1);
        assert_int_equal(f16_from_f32(-middle), 0x8000 | (bits & 1 ? bits + 1 : bits));
    }
    for (uint32_t bits = 0; bits < 0x7f7f; bits++) {
        float low = bf16_to_f32((uint16_t)bits), high = bf16_to_f32((uint16_t)(bits + 1));
        float middle = low + 0.5f * (high - low);
        assert_int_equal(bf16_from_f32(middle), bits & 1 ? bits + 1 : bits);
        assert_int_equal(bf16_from_f32(nextafterf(middle, high)), bits + 1);
    }
    assert_int_equal(f16_from_f32(65519.996f), 0x7bff);
    assert_int_equal(f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(bf16_from_f32(3.4028235e38f), 0x7f80);
    assert_int_equal(bf16_from_f32(half_float_of(0x7f800001u)), 0x7fc0); /* a NaN whose payload lies in the lost bits */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pattern_survives),
        cmocka_unit_test(rounding_is_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
