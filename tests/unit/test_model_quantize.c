/* Quantised files load to the same bits as packing their folder; the error is what packing makes it; verifying finds
 * what is wrong, and gives the fingerprint of the loaded weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/half.h"
#include "language_fixture.h"
#include "model/gemma3_file.h"
#include "model/gemma3_packed.h"
#include "model/gemma3_session.h"
#include "model/model_fingerprint.h"
#include "pipeline/model_quantize.h"
#include "pipeline/model_verify.h"

static carina_error error;
#include "assert_ok.h"

static char folder[300];
static bpe *tokenizer;

static void write_model(gemma3 *m) { language_fixture_write(folder, tokenizer, m); }

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/quantize-XXXXXX", TEST_TMP);
    tokenizer = language_fixture_tokenizer();
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    char command[400];
    bpe_free(tokenizer);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

static const char *path_of(const char *name) {
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

#define TOKENS 9

static float *logits_of(const gemma3 *m) {
    gemma3_runner *runner;
    gemma3_session *session;
    gemma3_row rows[TOKENS];
    const float *logits;
    const gemma3_runner_options options = {.type = TENSOR_F32, .chunk = 16, .tokens = 32};
    assert_ok(gemma3_runner_create(&runner, m, &options, &error));
    assert_ok(gemma3_session_create(&session, &m->config, TENSOR_F32, 32, 16, &error));
    for (int i = 0; i < TOKENS; i++) rows[i] = (gemma3_row){session, i * 37 % 400, NULL, true, 0};
    assert_ok(gemma3_runner_step(runner, rows, TOKENS, &logits, &error));
    size_t bytes = (size_t)(TOKENS * m->config.vocabulary) * sizeof *logits;
    float *copy = malloc(bytes);
    memcpy(copy, logits, bytes);
    gemma3_session_free(session);
    gemma3_runner_free(runner);
    return copy;
}

static void assert_same_configuration(const gemma3_config *a, const gemma3_config *b) {
    assert_true(a->vocabulary == b->vocabulary && a->width == b->width && a->layers == b->layers);
    assert_true(a->heads == b->heads && a->key_heads == b->key_heads && a->head_width == b->head_width);
    assert_true(a->ffn_width == b->ffn_width && a->window == b->window && a->global_every == b->global_every);
    assert_true(a->local_base == b->local_base && a->global_base == b->global_base && a->tied == b->tied);
    assert_true(a->global_scale == b->global_scale && a->query_scalar == b->query_scalar && a->epsilon == b->epsilon);
    assert_int_equal(a->positions, b->positions);
}

static void assert_same_bits(gemma3 *file, gemma3 *packed) {
    gemma3_slot a[GEMMA3_MAX_SLOTS], b[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(file, a);
    assert_int_equal(count, gemma3_slots(packed, b));
    assert_same_configuration(&file->config, &packed->config);
    for (int i = 0; i < count; i++) {
        const quantized_matrix *x = a[i].matrix->packed, *y = b[i].matrix->packed;
        assert_true(x->kind == y->kind && x->bytes == y->bytes);
        if (memcmp(x->packed, y->packed, x->bytes) != 0) fail_msg("%s differs", a[i].name);
    }
    float *x = logits_of(file), *y = logits_of(packed);
    assert_memory_equal(x, y, (size_t)(TOKENS * file->config.vocabulary) * sizeof *x);
    free(x);
    free(y);
}

static void check_errors(const quantize_result *r, const gemma3 *model, gemma3 *packed) {
    gemma3_slot slots[GEMMA3_MAX_SLOTS];
    int count = gemma3_slots(packed, slots);
    quantized_error all = {0};
    assert_int_equal(r->count, count);
    for (int i = 0; i < count; i++) {
        const parameter *p = parameters_find(model->parameters, slots[i].name);
        quantized_error sum = {0};
        for (int64_t row = 0; row < slots[i].outputs; row++) {
            quantized_error_add(&sum, slots[i].matrix->packed, row, p->value + row * slots[i].inputs);
            quantized_error_add(&all, slots[i].matrix->packed, row, p->value + row * slots[i].inputs);
        }
        assert_string_equal(r->matrices[i].name, slots[i].name);
        assert_true(fabs(quantized_error_relative(&r->matrices[i].error) - quantized_error_relative(&sum)) < 1e-12);
        assert_true(r->matrices[i].error.largest == sum.largest);
    }
    assert_true(fabs(quantized_error_relative(&r->error) - quantized_error_relative(&all)) < 1e-12);
}

static void files_have_the_same_bits(void **state) {
    (void)state;
    static const quantized_kind kinds[] = {QUANTIZED_Q8, QUANTIZED_Q4, QUANTIZED_BF16};
    thread_pool *pool;
    gemma3 *model = language_fixture_model(tokenizer);
    assert_ok(thread_pool_create(&pool, 3, &error));
    write_model(model);
    for (int i = 0; i < 3; i++) {
        gemma3 *file, *packed;
        quantize_result result;
        const quantize_options options = {.kind = kinds[i], .pool = pool};
        const gemma3_pack_options packing = {.kind = kinds[i]};
        assert_ok(model_quantize(&result, folder, path_of("out.gguf"), &options, &error));
        assert_ok(gemma3_load_packed(&file, path_of("out.gguf"), &packing, &error));
        assert_ok(gemma3_load_packed(&packed, folder, &packing, &error));
        assert_same_bits(file, packed);
        check_errors(&result, model, packed);
        assert_true(result.bytes_before == 4 * (uint64_t)parameters_total(model->parameters));
        assert_true(result.bytes_after < result.bytes_before);
        gemma3_free(file);
        gemma3_free(packed);
    }
    thread_pool_free(pool);
    gemma3_free(model);
}

/* What is bf16 in a GGUF file can be quantised; what is 8 bits is not taken for the original. */
static void from_gguf(void **state) {
    (void)state;
    gemma3 *model = language_fixture_model(tokenizer), *file, *packed;
    quantize_result result;
    for (int i = 0; i < model->parameters->count; i++)
        for (int64_t k = 0; k < model->parameters->items[i]->count; k++) {
            float *value = &model->parameters->items[i]->value[k];
            *value = bf16_to_f32(bf16_from_f32(*value));
        }
    write_model(model);
    char wide[400];
    snprintf(wide, sizeof wide, "%s", path_of("bf16.gguf"));
    const quantize_options bf16 = {.kind = QUANTIZED_BF16}, q4 = {.kind = QUANTIZED_Q4}, q4m = {.kind = QUANTIZED_Q4M};
    assert_ok(model_quantize(&result, folder, wide, &bf16, &error));
    assert_true(result.error.largest == 0);
    assert_ok(model_quantize(&result, wide, path_of("q4.gguf"), &q4, &error));
    assert_ok(gemma3_load_packed(&file, path_of("q4.gguf"), &(gemma3_pack_options){0}, &error));
    assert_ok(gemma3_load_packed(&packed, folder, &(gemma3_pack_options){.kind = QUANTIZED_Q4}, &error));
    assert_same_bits(file, packed);
    gemma3_free(file);
    gemma3_free(packed);
    char small[400];
    snprintf(small, sizeof small, "%s", path_of("q4.gguf"));
    assert_int_equal(model_quantize(&result, small, path_of("x.gguf"), &q4, &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "tensor token_embd.weight is quantised already (Q4_0)"));
    assert_int_equal(model_quantize(&result, wide, path_of("x.gguf"), &q4m, &error), CARINA_ERROR_ARGUMENT);
    assert_false(file_exists(path_of("x.gguf")));
    gemma3_free(model);
}

static void bad_weights_leave_no_file(void **state) {
    (void)state;
    gemma3 *model = language_fixture_model(tokenizer);
    quantize_result result;
    model_report report;
    const quantize_options options = {.kind = QUANTIZED_Q8};
    parameters_find(model->parameters, "model.layers.1.mlp.up_proj.weight")->value[70] = NAN;
    write_model(model);
    assert_int_equal(model_quantize(&result, folder, path_of("bad.gguf"), &options, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "tensor model.layers.1.mlp.up_proj.weight: value 70 is not a finite number"));
    assert_false(file_exists(path_of("bad.gguf")));
    assert_int_equal(model_verify(&report, folder, NULL, false, &error), CARINA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "tensor model.layers.1.mlp.up_proj.weight: value 70 is not a finite number"));
    gemma3_free(model);
}

static void verified(void **state) {
    (void)state;
    thread_pool *pool;
    model_report report, file, look;
    gemma3 *model = language_fixture_model(tokenizer), *loaded;
    assert_ok(thread_pool_create(&pool, 3, &error));
    write_model(model);
    assert_ok(gemma3_load(&loaded, folder, &error));
    assert_ok(model_verify(&report, folder, pool, false, &error));
    assert_true(report.verified && report.kind == MODEL_KIND_LANGUAGE && !report.is_gguf);
    assert_true(report.weights == parameters_total(loaded->parameters) && report.others == 0);
    assert_true(report.tensors == loaded->parameters->count && report.type_count == 1);
    assert_string_equal(report.types[0].name, "f32");
    assert_true(report.fingerprint == model_fingerprint(loaded->parameters));
    quantize_result result;
    const quantize_options options = {.kind = QUANTIZED_Q8};
    assert_ok(model_quantize(&result, folder, path_of("q8.gguf"), &options, &error));
    assert_ok(model_verify(&file, path_of("q8.gguf"), NULL, false, &error));
    assert_true(file.is_gguf && file.type_count == 2 && file.fingerprint != report.fingerprint);
    assert_true(file.bytes == result.bytes_after && file.weights == report.weights);
    assert_string_equal(file.types[0].name, "Q8_0");
    assert_ok(model_look(&look, path_of("q8.gguf"), &error));
    assert_true(!look.verified && look.weights == file.weights);
    thread_pool_free(pool);
    gemma3_free(loaded);
    gemma3_free(model);
}

static void other_models(void **state) {
    (void)state;
    model_report report;
    model_kind kind;
    assert_ok(model_verify(&report, TEST_DATA "/bert", NULL, false, &error));
    assert_true(report.kind == MODEL_KIND_TEXT_ENCODER && report.verified && report.fingerprint);
    assert_int_equal(model_verify(&report, path_of("missing.gguf"), NULL, false, &error), CARINA_ERROR_IO);
    language_fixture_put(folder, "config.json", "{\"model_type\": \"llama\"}");
    assert_int_equal(model_kind_find(&kind, folder, &error), CARINA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "model_type: \"llama\", known here are gemma3"));
    assert_true(model_is_path(folder) && !model_is_path(TEST_DATA) && model_is_path("x.gguf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_have_the_same_bits),
        cmocka_unit_test(from_gguf),
        cmocka_unit_test(bad_weights_leave_no_file),
        cmocka_unit_test(verified),
        cmocka_unit_test(other_models),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
