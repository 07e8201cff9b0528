/* Fingerprints: every byte, length and order counts; a model's does not depend on the order of its parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "model/model_fingerprint.h"

static uint64_t of_bytes(const void *data, uint64_t size) {
    fingerprint f = fingerprint_start();
    fingerprint_add(&f, data, size);
    return fingerprint_value(&f);
}

static void every_byte_counts(void **state) {
    (void)state;
    uint8_t bytes[200];
    random_state random = random_seed(1);
    for (int i = 0; i < 200; i++) bytes[i] = (uint8_t)random_u64(&random);
    for (uint64_t size = 1; size <= 200; size++) {
        uint64_t before = of_bytes(bytes, size);
        assert_true(before != of_bytes(bytes, size - 1));
        for (uint64_t i = 0; i < size; i++) {
            bytes[i] ^= 0x40;
            assert_true(of_bytes(bytes, size) != before);
            bytes[i] ^= 0x40;
        }
        assert_true(of_bytes(bytes, size) == before);
    }
    assert_true(of_bytes("\0", 1) != of_bytes("\0\0", 2));
}

static void pieces_and_order_count(void **state) {
    (void)state;
    fingerprint a = fingerprint_start(), b = fingerprint_start(), c = fingerprint_start();
    fingerprint_add_text(&a, "ab");
    fingerprint_add_text(&a, "c");
    fingerprint_add_text(&b, "a");
    fingerprint_add_text(&b, "bc");
    fingerprint_add_text(&c, "c");
    fingerprint_add_text(&c, "ab");
    assert_true(fingerprint_value(&a) != fingerprint_value(&b));
    assert_true(fingerprint_value(&a) != fingerprint_value(&c));
    char text[FINGERPRINT_TEXT];
    assert_string_equal(fingerprint_text(text, 0x1234), "0000000000001234");
    fingerprint pinned = fingerprint_start(); /* files hold these: they must stay as they are */
    fingerprint_add_text(&pinned, "Left lung shows atelectasis and pleural effusion.");
    fingerprint_add_number(&pinned, 7);
    assert_string_equal(fingerprint_text(text, fingerprint_value(&pinned)), "02dc4766f3d7242f");
}

static uint64_t of_model(const char *first, const char *second, float value, int64_t rows) {
    parameters *set;
    carina_error error;
    assert_int_equal(parameters_create(&set, &error), CARINA_OK);
    parameter *p = parameters_add(set, first, PARAMETER_WEIGHT, 2, (int64_t[]){rows, 12 / rows});
    parameter *q = parameters_add(set, second, PARAMETER_WEIGHT, 2, (int64_t[]){rows, 12 / rows});
    parameter *a = parameters_find(set, "a");
    assert_true(p && q && a);
    a->value[11] = value;
    uint64_t result = model_fingerprint(set);
    parameters_free(set);
    return result;
}

static void tells_models_apart(void **state) {
    (void)state;
    uint64_t model = of_model("a", "b", 1, 3);
    assert_true(model == of_model("b", "a", 1, 3));
    assert_true(model != of_model("a", "c", 1, 3));
    assert_true(model != of_model("a", "b", 1.0000001f, 3));
    assert_true(model != of_model("a", "b", 1, 4));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(pieces_and_order_count),
        cmocka_unit_test(tells_models_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
