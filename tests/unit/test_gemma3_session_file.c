/* Sessions in files: what is restored goes on with the same bits, and damaged, truncated and other models' files are
 * refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "assert_ok.h"
#include "base/file.h"
#include "format/safetensors.h"
#include "gemma3_fixture.h"
#include "model/gemma3_random.h"
#include "model/gemma3_session_file.h"

#define CHUNK    8
#define CAPACITY 40
#define PATH     TEST_TMP "/gemma3_session.safetensors"

static carina_error error;

typedef struct bench {
    gemma3 *model;
    gemma3_runner *runner;
    uint64_t fingerprint;
} bench;

static bench start(tensor_type type) {
    bench b;
    const gemma3_config config = tied_config();
    const gemma3_runner_options options = {.type = type, .chunk = CHUNK, .tokens = CAPACITY};
    assert_ok(gemma3_create(&b.model, &config, 3, &error));
    assert_ok(gemma3_runner_create(&b.runner, b.model, &options, &error));
    b.fingerprint = gemma3_fingerprint(b.model);
    return b;
}

static void finish(bench *b) {
    gemma3_runner_free(b->runner);
    gemma3_free(b->model);
}

static gemma3_session *new_session(const bench *b, tensor_type type) {
    gemma3_session *s;
    assert_ok(gemma3_session_create(&s, &b->model->config, type, CAPACITY, CHUNK, &error));
    return s;
}

/* The next `count` tokens; their logits are the runner's until its next step. */
static const float *take(bench *b, gemma3_session *s, int count) {
    gemma3_row rows[CHUNK];
    const float *logits;
    int64_t first = gemma3_session_length(s);
    for (int i = 0; i < count; i++) rows[i] = (gemma3_row){s, (first + i) * 17 % 61, NULL, true, 0};
    assert_ok(gemma3_runner_step(b->runner, rows, count, &logits, &error));
    return logits;
}

static void take_all(bench *b, gemma3_session *s, int length) {
    for (int left = length; left > 0; left -= CHUNK) take(b, s, left < CHUNK ? left : CHUNK);
}

/* Local layers keep 13 rows: lengths before, at and long after their first turn, and a full session. */
static void what_is_restored_goes_on_with_the_same_bits(void **state) {
    (void)state;
    static const int lengths[] = {0, 1, 5, 12, 13, 14, 19, 31, CAPACITY};
    for (int type = TENSOR_F32; type <= TENSOR_BF16; type++) {
        bench b = start((tensor_type)type);
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            gemma3_session *s = new_session(&b, (tensor_type)type), *again;
            take_all(&b, s, lengths[i]);
            assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
            assert_ok(gemma3_session_read(&again, PATH, &b.model->config, b.fingerprint, NULL, CAPACITY, &error));
            assert_int_equal(gemma3_session_length(again), lengths[i]);
            assert_int_equal(gemma3_session_capacity(again), CAPACITY);
            assert_int_equal(gemma3_session_bytes(again), gemma3_session_bytes(s));
            while (gemma3_session_length(s) < CAPACITY) {
                int count = gemma3_session_length(s) + CHUNK <= CAPACITY ? CHUNK : 1;
                size_t bytes = (size_t)(count * b.model->config.vocabulary) * sizeof(float);
                float wanted[CHUNK * 61];
                memcpy(wanted, take(&b, s, count), bytes);
                assert_memory_equal(wanted, take(&b, again, count), bytes);
            }
            gemma3_session_free(s);
            gemma3_session_free(again);
        }
        finish(&b);
    }
}

/* Tokens that were forgotten leave no trace that matters; a restored session is rewound like the first. */
static void a_rewound_session_is_restored(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32), *again;
    float wanted[61];
    take_all(&b, s, 16);
    assert_true(gemma3_session_rewind(s, 14));
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    assert_ok(gemma3_session_read(&again, PATH, &b.model->config, b.fingerprint, NULL, CAPACITY, &error));
    memcpy(wanted, take(&b, s, 1), sizeof wanted);
    assert_memory_equal(wanted, take(&b, again, 1), sizeof wanted);
    assert_int_equal(gemma3_session_rewind(again, 5), gemma3_session_rewind(s, 5));
    gemma3_session_free(s);
    gemma3_session_free(again);
    finish(&b);
}

/* What forgotten tokens were written over is no more there than before; nor what waits for rows that were to follow. */
static void what_a_session_no_longer_has_is_not_restored(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32), *again;
    const float *logits;
    take_all(&b, s, 31);
    assert_true(gemma3_session_rewind(s, 27));
    assert_false(gemma3_session_can_rewind(s, 18));
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    assert_ok(gemma3_session_read(&again, PATH, &b.model->config, b.fingerprint, NULL, CAPACITY, &error));
    for (int64_t length = 0; length <= 27; length++)
        assert_int_equal(gemma3_session_can_rewind(again, length), gemma3_session_can_rewind(s, length));
    gemma3_session_free(again);
    assert_true(gemma3_session_rewind(s, 0));
    for (int i = 0; i < 3; i++)
        assert_ok(gemma3_runner_step(b.runner, &(gemma3_row){s, i, NULL, false, CAPACITY - 1 - i}, 1, &logits, &error));
    assert_int_equal(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error), CARINA_ERROR_ARGUMENT);
    gemma3_session_free(s);
    finish(&b);
}

static void fingerprints_tell_models_apart(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    gemma3 *other;
    gemma3_config config = b.model->config;
    assert_ok(gemma3_create(&other, &config, 3, &error));
    assert_true(gemma3_fingerprint(other) == b.fingerprint);
    other->norm->value[3] += 1e-3f;
    assert_true(gemma3_fingerprint(other) != b.fingerprint);
    gemma3_free(other);
    config.window++; /* changes no weight */
    assert_ok(gemma3_create(&other, &config, 3, &error));
    assert_true(gemma3_fingerprint(other) != b.fingerprint);
    gemma3_free(other);
    finish(&b);
}

static void packed_models_have_fingerprints_of_their_own(void **state) {
    (void)state;
    gemma3_config config = tied_config();
    config.width = config.ffn_width = 64;
    uint64_t found[3];
    for (int i = 0; i < 3; i++) {
        gemma3 *model;
        assert_ok(
            gemma3_create_random(&model, &config, i == 0 ? QUANTIZED_Q8 : QUANTIZED_BF16, i == 2 ? 2 : 1, &error));
        found[i] = gemma3_fingerprint(model);
        gemma3_free(model);
    }
    assert_true(found[0] != found[1] && found[1] != found[2] && found[0] != found[2]);
}

static lora *adapter_of(const bench *b, float scale) {
    lora *l;
    lora_shape shapes[GEMMA3_MAX_SLOTS] = {{0}};
    random_state random = random_seed(4);
    shapes[1] = shapes[6] = (lora_shape){2, scale};
    assert_ok(lora_create_empty(&l, &b->model->config, shapes, &error));
    for (int i = 0; i < l->parameters->count; i++) parameter_fill_normal(l->parameters->items[i], &random, 0.5);
    lora_changed(l);
    return l;
}

/* A session of an adapter goes on with it alone: not with none, and not with one that is only scaled otherwise. */
static void sessions_belong_to_their_adapter(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    lora *own = adapter_of(&b, 0.5f), *other = adapter_of(&b, 0.25f);
    gemma3_session *s = new_session(&b, TENSOR_F32), *again;
    float wanted[61];
    assert_ok(gemma3_session_adapt(s, own, &error));
    assert_true(lora_fingerprint(own) && lora_fingerprint(own) != lora_fingerprint(other));
    take_all(&b, s, 5);
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    const lora *wrong[] = {NULL, other};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gemma3_session_read(&again, PATH, &b.model->config, b.fingerprint, wrong[i], CAPACITY, &error),
                         CARINA_ERROR_MISMATCH);
        assert_null(again);
        assert_non_null(strstr(error.message, "a session with the adapter "));
    }
    assert_ok(gemma3_session_read(&again, PATH, &b.model->config, b.fingerprint, own, CAPACITY, &error));
    memcpy(wanted, take(&b, s, 1), sizeof wanted);
    assert_memory_equal(wanted, take(&b, again, 1), sizeof wanted);
    gemma3_session_free(again);
    gemma3_session_free(s);
    s = new_session(&b, TENSOR_F32);
    take_all(&b, s, 5);
    assert_true(memcmp(wanted, take(&b, s, 1), sizeof wanted) != 0); /* the adapter did something */
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    assert_int_equal(gemma3_session_read(&again, PATH, &b.model->config, b.fingerprint, own, CAPACITY, &error),
                     CARINA_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "a session with no adapter, not with the adapter "));
    gemma3_session_free(s);
    lora_free(own);
    lora_free(other);
    finish(&b);
}

/* ---- files that are refused ---- */

static void refuse(const bench *b, const void *data, uint64_t size, uint64_t fingerprint, int64_t most,
                   const char *message) {
    gemma3_session *s;
    assert_true(gemma3_session_parse(&s, "FILE", data, size, &b->model->config, fingerprint, NULL, most, &error) !=
                CARINA_OK);
    assert_null(s);
    if (!strstr(error.message, "FILE") || !strstr(error.message, message)) fail_msg("%s", error.message);
}

static void other_models_and_smaller_rooms_refuse(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32);
    uint8_t *data;
    uint64_t size;
    take_all(&b, s, 15);
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    assert_ok(file_read(PATH, 1 << 20, &data, &size, &error));
    refuse(&b, data, size, b.fingerprint + 1, CAPACITY, "a session of the model");
    refuse(&b, data, size, b.fingerprint, CAPACITY - 1, "a session for 40 tokens, at most 39");
    b.model->config.layers--; /* a fingerprint that lies */
    refuse(&b, data, size, b.fingerprint, CAPACITY, "20 tensors, expected 16");
    b.model->config.layers++;
    b.model->config.window += 2;
    refuse(&b, data, size, b.fingerprint, CAPACITY, "tensor layers.0.keys.0 is f32 [14,8]");
    b.model->config.window -= 2;
    b.model->config.head_width++;
    refuse(&b, data, size, b.fingerprint, CAPACITY, "tensor layers.0.keys.0");
    b.model->config.head_width--;
    free(data);
    /* Of 15 tokens the next one looks back to 11 (a window of 5). */
    gemma3_session_resume(s, 15, 11);
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    assert_ok(file_read(PATH, 1 << 20, &data, &size, &error));
    uint8_t *digits = memmem(data, (size_t)size, "\"first_key\":\"11\"", 16);
    assert_non_null(digits);
    digits[14] = '0';
    refuse(&b, data, size, b.fingerprint, CAPACITY, "damaged: its content has the fingerprint");
    digits[13] = '9';
    refuse(&b, data, size, b.fingerprint, CAPACITY, "first_key: expected a number from 0 to 15, found \"90\"");
    free(data);
    gemma3_session_resume(s, 15, 12);
    assert_int_equal(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error), CARINA_ERROR_ARGUMENT);
    gemma3_session_free(s);
    finish(&b);
}

static void damage_is_found(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32);
    uint8_t *data;
    uint64_t size;
    take_all(&b, s, 3);
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    assert_ok(file_read(PATH, 1 << 20, &data, &size, &error));
    for (uint64_t i = 0; i < size; i += 3) refuse(&b, data, i, b.fingerprint, CAPACITY, "");
    for (uint64_t i = 0; i < size; i++) {
        data[i] ^= 1;
        refuse(&b, data, size, b.fingerprint, CAPACITY, "");
        data[i] ^= 1;
    }
    data[size - 1] ^= 0x40;
    refuse(&b, data, size, b.fingerprint, CAPACITY, "damaged: its content has the fingerprint");
    static const char text[] = "{\"__metadata__\":{\"format\":\"x\"}}";
    uint8_t foreign[8 + sizeof text - 1] = {sizeof text - 1};
    memcpy(foreign + 8, text, sizeof text - 1);
    refuse(&b, foreign, sizeof foreign, b.fingerprint, CAPACITY, "format: expected \"carina-gemma3-session-2\"");
    free(data);
    gemma3_session_free(s);
    assert_true(gemma3_session_read(&s, TEST_TMP "/no such session", &b.model->config, 0, NULL, 1, &error) !=
                CARINA_OK);
    finish(&b);
}

/* ---- notes ---- */

static gemma3_session_head head_of(const bench *b, tensor_file *file) {
    gemma3_session_head head;
    assert_ok(safetensors_read(file, PATH, &error));
    assert_ok(gemma3_session_head_read(&head, file, PATH, &b->model->config, b->fingerprint, NULL, &error));
    return head;
}

/* Beside a session stand its tokens and a text, and the session is what it is without them. */
static void notes_are_kept(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32), *again;
    tensor_file file;
    int32_t tokens[14];
    for (int i = 0; i < 14; i++) tokens[i] = i * 17 % 61;
    const gemma3_session_notes notes = {tokens, "what was said\n\xff", 15};
    take_all(&b, s, 14);
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, &notes, &error));
    gemma3_session_head head = head_of(&b, &file);
    assert_true(head.has_notes && head.length == 14 && head.capacity == CAPACITY && head.chunk == CHUNK);
    assert_memory_equal(head.tokens, tokens, sizeof tokens);
    assert_int_equal(head.text_size, 15);
    assert_memory_equal(head.text, notes.text, 15);
    float wanted[61];
    memcpy(wanted, take(&b, s, 1), sizeof wanted);
    assert_ok(gemma3_session_restore(&again, &head, &file, PATH, &b.model->config, NULL, &error));
    assert_memory_equal(wanted, take(&b, again, 1), sizeof wanted);
    gemma3_session_free(again);
    gemma3_session_head_free(&head);
    tensor_file_free(&file);
    assert_ok(gemma3_session_read(&again, PATH, &b.model->config, b.fingerprint, NULL, CAPACITY, &error));
    gemma3_session_free(again);
    gemma3_session_free(s);

    s = new_session(&b, TENSOR_F32); /* nothing seen, nothing said */
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, &(gemma3_session_notes){NULL, "", 0}, &error));
    head = head_of(&b, &file);
    assert_true(head.has_notes && head.length == 0 && head.text_size == 0);
    gemma3_session_head_free(&head);
    tensor_file_free(&file);
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, NULL, &error));
    head = head_of(&b, &file);
    assert_false(head.has_notes);
    gemma3_session_head_free(&head);
    tensor_file_free(&file);
    gemma3_session_free(s);
    finish(&b);
}

static void damaged_notes_are_found(void **state) {
    (void)state;
    bench b = start(TENSOR_F32);
    gemma3_session *s = new_session(&b, TENSOR_F32);
    uint8_t *data;
    uint64_t size;
    int32_t tokens[3] = {0, 17, 61};
    const gemma3_session_notes notes = {tokens, "said", 4};
    take_all(&b, s, 3);
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, &notes, &error));
    assert_ok(file_read(PATH, 1 << 20, &data, &size, &error));
    refuse(&b, data, size, b.fingerprint, CAPACITY, "token 2: 61 is not within 0 to 60");
    free(data);
    tokens[2] = 34;
    assert_ok(gemma3_session_write(PATH, s, b.fingerprint, &notes, &error));
    assert_ok(file_read(PATH, 1 << 20, &data, &size, &error));
    for (uint64_t i = 0; i < size; i++) {
        data[i] ^= 1;
        refuse(&b, data, size, b.fingerprint, CAPACITY, "");
        data[i] ^= 1;
    }
    data[size - 1] ^= 1; /* bytes come last */
    refuse(&b, data, size, b.fingerprint, CAPACITY, "damaged: its notes have the fingerprint");
    free(data);
    gemma3_session_free(s);
    finish(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_restored_goes_on_with_the_same_bits),
        cmocka_unit_test(a_rewound_session_is_restored),
        cmocka_unit_test(what_a_session_no_longer_has_is_not_restored),
        cmocka_unit_test(sessions_belong_to_their_adapter),
        cmocka_unit_test(fingerprints_tell_models_apart),
        cmocka_unit_test(packed_models_have_fingerprints_of_their_own),
        cmocka_unit_test(other_models_and_smaller_rooms_refuse),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(notes_are_kept),
        cmocka_unit_test(damaged_notes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
