/* format/tensorboard: written files are taken apart again by a decoder of its own (table-driven CRC, recursive fields),
 * and torn ones are continued. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/tensorboard.h"

static uint32_t table[256];

static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
        table[i] = value;
    }
}

static uint32_t unmasked(uint32_t masked) {
    uint32_t rotated = masked - 0xa282ead8u;
    return rotated >> 17 | rotated << 15;
}

static uint32_t checksum(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffffu;
    while (size--) crc = table[(crc ^ *data++) & 0xff] ^ crc >> 8;
    return crc ^ 0xffffffffu;
}

static uint64_t little(const uint8_t *data, int count) {
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value * 256 + data[i];
    return value;
}

static uint64_t number(const uint8_t **at) {
    uint64_t value = 0;
    int shift = 0;
    do value |= (uint64_t)(**at & 127) << shift, shift += 7;
    while (*(*at)++ & 128);
    return value;
}

/* Fields of a message as text: "1:8 2=7 5{1{1"tag" 2:..}}". `nested` names the path of fields that are messages. */
static void describe(const uint8_t *at, const uint8_t *end, int level, char *out) {
    while (at < end) {
        uint64_t key = number(&at);
        int field = (int)(key >> 3), wire = (int)(key & 7);
        char *to = out + strlen(out);
        if (wire == 0) {
            sprintf(to, "%d=%llu ", field, (unsigned long long)number(&at));
        } else if (wire == 1) {
            double value;
            memcpy(&value, at, 8);
            at += 8;
            sprintf(to, "%d:%g ", field, value);
        } else if (wire == 5) {
            float value;
            memcpy(&value, at, 4);
            at += 4;
            sprintf(to, "%d:%g ", field, (double)value);
        } else {
            assert_int_equal(wire, 2);
            uint64_t size = number(&at);
            assert_true(size <= (uint64_t)(end - at));
            if ((level == 0 && field == 5) || level == 1) {
                sprintf(to, "%d{", field);
                describe(at, at + size, level + 1, out);
                strcat(out, "} ");
            } else {
                sprintf(to, "%d'%.*s' ", field, (int)size, (const char *)at);
            }
            at += size;
        }
    }
    assert_ptr_equal(at, end);
}

/* All events of a file, one a line. */
static char *decode(const char *path) {
    uint8_t *bytes;
    uint64_t size, at = 0;
    carina_error error;
    assert_int_equal(file_read(path, 1u << 20, &bytes, &size, &error), CARINA_OK);
    char *out = calloc(1, 100000);
    while (at < size) {
        uint64_t length = little(bytes + at, 8);
        assert_int_equal(unmasked((uint32_t)little(bytes + at + 8, 4)), checksum(bytes + at, 8));
        assert_true(at + 16 + length <= size);
        const uint8_t *event = bytes + at + 12;
        assert_int_equal(unmasked((uint32_t)little(event + length, 4)), checksum(event, length));
        describe(event, event + length, 0, out);
        strcat(out, "\n");
        at += 16 + length;
    }
    free(bytes);
    return out;
}

static void write_steps(uint64_t steps_done, uint64_t from, uint64_t to) {
    tensorboard *board;
    carina_error error;
    assert_int_equal(tensorboard_open(&board, TEST_TMP, steps_done, 1000.5, &error), CARINA_OK);
    for (uint64_t step = from; step <= to; step++) {
        const tensorboard_value values[2] = {{"train/loss", 1.0 / (double)step}, {"rate", 0.5}};
        tensorboard_write(board, step, 1000.0 + (double)step, values, 2);
    }
    assert_int_equal(tensorboard_close(board, &error), CARINA_OK);
}

#define PATH                   TEST_TMP "/" TENSORBOARD_FILE
#define LINE(time, step, loss) "1:" time " 2=" step " 5{1{1'train/loss' 2:" loss " } 1{1'rate' 2:0.5 } } \n"

static void events_read_back(void **state) {
    (void)state;
    assert_int_equal(checksum((const uint8_t *)"123456789", 9), 0xe3069283u); /* the published check value */
    write_steps(0, 1, 2);
    char *text = decode(PATH);
    assert_string_equal(text, "1:1000.5 3'brain.Event:2' \n" LINE("1001", "1", "1") LINE("1002", "2", "0.5"));
    free(text);
    write_steps(0, 200, 200); /* a new run; a step of two varint bytes */
    text = decode(PATH);
    assert_string_equal(text, "1:1000.5 3'brain.Event:2' \n" LINE("1200", "200", "0.005"));
    free(text);
}

static void resumed_runs_read_as_one(void **state) {
    (void)state;
    write_steps(0, 1, 5);
    char *whole = decode(PATH);
    uint8_t *bytes;
    uint64_t size;
    carina_error error;
    assert_int_equal(file_read(PATH, 1u << 20, &bytes, &size, &error), CARINA_OK);
    for (uint64_t cut = size; cut > size - 70; cut--) { /* torn anywhere in the last events, checkpoint at step 3 */
        assert_int_equal(file_write(PATH, bytes, cut, &error), CARINA_OK);
        write_steps(3, 4, 5);
        char *again = decode(PATH);
        assert_string_equal(again, whole);
        free(again);
    }
    bytes[20] ^= 1; /* damage in the first record: nothing can be kept */
    assert_int_equal(file_write(PATH, bytes, size, &error), CARINA_OK);
    write_steps(3, 4, 4);
    char *again = decode(PATH);
    assert_string_equal(again, "1:1000.5 3'brain.Event:2' \n" LINE("1004", "4", "0.25"));
    free(again);
    free(bytes);
    free(whole);
}

static void errors_are_reported(void **state) {
    (void)state;
    tensorboard *board;
    carina_error error;
    assert_int_equal(tensorboard_open(&board, TEST_TMP "/no-such-folder", 0, 0, &error), CARINA_ERROR_IO);
    assert_null(board);
    assert_int_equal(tensorboard_close(NULL, &error), CARINA_OK);
    /* A file that cannot grow, as on a full disk. */
    struct rlimit before, small = {100, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(tensorboard_open(&board, TEST_TMP, 0, 0, &error), CARINA_OK);
    setrlimit(RLIMIT_FSIZE, &small);
    const tensorboard_value value = {"loss", 1};
    for (uint64_t step = 1; step < 20; step++) tensorboard_write(board, step, 0, &value, 1);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(tensorboard_close(board, &error), CARINA_ERROR_IO);
    assert_non_null(strstr(error.message, TENSORBOARD_FILE ": cannot write: File too large"));
}

int main(void) {
    make_table();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_read_back),
        cmocka_unit_test(resumed_runs_read_as_one),
        cmocka_unit_test(errors_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
